"""The words that every document uses for verdicts, owners, grades and unknown values."""

from __future__ import annotations

from typing import Final

from mtughost.model.findings import Grade, Owner, SiteVerdict

#: How an unknown figure is written. Never empty: missing evidence is a statement.
UNKNOWN: Final = "?"

#: Verdicts, the one that needs a person first.
VERDICT_ORDER: Final[tuple[SiteVerdict, ...]] = ("fault", "latent", "unknown", "not-mtu", "ok")

VERDICT_WORDS: Final[dict[SiteVerdict, str]] = {
    "fault": "fault",
    "latent": "latent",
    "unknown": "unknown",
    "not-mtu": "not MTU",
    "ok": "ok",
}

VERDICT_MEANING: Final[dict[SiteVerdict, str]] = {
    "fault": "large packets are lost now",
    "latent": "works now, but only by luck",
    "unknown": "the evidence does not settle it yet",
    "not-mtu": "a fault, but not one of packet size",
    "ok": "proven to fit in both directions",
}

OWNER_WORDS: Final[dict[Owner, str]] = {
    "ap": "AP",
    "gateway": "gateway",
    "provider": "provider",
    "isp": "ISP",
    "cloud": "cloud",
    "host": "host",
}

OWNER_MEANING: Final[dict[Owner, str]] = {
    "ap": "whoever runs the access point, with its vendor",
    "gateway": "whoever configures the gateway",
    "provider": "the managed provider that owns the gateway",
    "isp": "the internet provider of the site's circuit",
    "cloud": "whoever runs the cloud service",
    "host": "whoever runs the host or appliance, with its maker",
}

GRADE_ORDER: Final[tuple[Grade, ...]] = ("confirmed", "likely", "possible", "unknown", "ruled-out")

DIRECTION_WORDS: Final = {"up": "AP to service", "down": "Service to AP"}

#: Which handshake packet limits a direction (RFC 9293 3.7.1: the MSS limits the other side).
LIMITED_BY: Final = {"up": "SYN-ACK", "down": "SYN"}

FAMILY_WORDS: Final = {"ipv4": "IPv4", "ipv6": "IPv6"}


def figure(value: int | None) -> str:
    """Return a figure in bytes, or the mark for "unknown"."""
    return UNKNOWN if value is None else str(value)


def count_of(number: int, singular: str, plural: str = "") -> str:
    """Return ``1 site`` or ``3 sites``."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
