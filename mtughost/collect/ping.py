"""Sized pings: DF clear leaves no trace on the device, DF set finds the ceiling and may leave one.

Where ICMP works, a ping with DF set leaves a path-MTU entry (ten minutes on Linux) that can mask
the very fault; with DF clear it never does. Neither is ever the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

from mtughost.collect.basis import basis_of
from mtughost.content.book import Book
from mtughost.content.render import render_command
from mtughost.model.basis import Basis
from mtughost.model.errors import UsageError
from mtughost.model.evidence import PingEvidence
from mtughost.model.inventory import Device
from mtughost.model.session import Answer, RenderedCommand, Session

#: One may be lost by chance, and the first one also waits for ARP.
COUNT = 2

#: Every host must take this size (RFC 791): the control.
SMALL_BYTES = 576
#: How far a ceiling is narrowed down; the service probe finds the exact byte.
STEP_BYTES = 8

#: IP and ICMP headers around the payload that ``ping -s`` counts.
_HEADERS_BYTES = {4: 28, 6: 48}
#: By the type of the command's ``address``.
_VERSIONS = {"address": (4, 6), "ipv4": (4,), "ipv6": (6,)}

# iputils (ping_common.c, ping4.c, ping6.c), BusyBox, FreeBSD (ping.c).
# Recorded: FortiOS and Junos as BSD; IOS "Success rate is ..."; RouterOS "sent=2 received=0".
_ANSWERED = re.compile(
    r"(\d+) (?:packets )?received(?!=)|\breceived=(\d+)|success rate is \d{1,3} percent \((\d+)/",
    re.IGNORECASE,
)
_REPLY = re.compile(r"bytes from .*?(?:icmp_seq|seq)=", re.IGNORECASE)
_LOCAL = re.compile(
    r"(?:local error|sendmsg|sendto): message too long"
    # RouterOS: its own interface, or a path MTU that it keeps.
    r"|packet too large and cannot be fragmented",
    re.IGNORECASE,
)
_LOCAL_MTU = re.compile(r"message too long,? mtu[=:]? ?(\d+)", re.IGNORECASE)
_TOO_BIG = (
    re.compile(r"frag needed and DF set \(mtu(?: =)? (\d+)\)", re.IGNORECASE),
    re.compile(r"packet too big: mtu=(\d+)", re.IGNORECASE),
)
_SENT_NOTHING = re.compile(
    r"unknown host|name or service not known|network is unreachable|invalid|usage:|not permitted"
    r"|cannot|unrecognized|bad ",
    re.IGNORECASE,
)


def ping(
    session: Session, book: Book, device: Device, *, target: str, packet_bytes: int, df: bool
) -> PingEvidence | None:
    """Send a few pings of one size through the device's own ``ping``.

    Args:
        session: An open login on the device.
        book: Its task book; ``probe.ping`` and ``probe.ping_df`` name the commands.
        device: The device.
        target: Address, not a name.
        packet_bytes: IP packet size wanted.
        df: Whether to set DF. Leaves a path-MTU entry on the device where ICMP works.

    Returns:
        What came back; ``None`` when the answer does not tell (no such program, no permission, a
        name that does not resolve, a cut-off answer) or the platform's ping knows no IPv6.

    Raises:
        UsageError: the book has no such ping.
        DeviceError: the login was lost.
    """
    spec = book.probe
    command_id = (spec.ping_df if df else spec.ping) if spec else None
    if command_id is None:
        raise UsageError(
            f"the task book {book.platform} has no ping with DF {'set' if df else 'clear'}"
        )
    version = ip_address(target).version
    if version not in _VERSIONS[book.commands[command_id].params["address"].type]:
        return None
    values: dict[str, object] = {
        "address": target,
        "count": COUNT,
        "payload": packet_bytes - _HEADERS_BYTES[version],
        "packet": packet_bytes,
    }
    answer = _sent(session, book, command_id, values, df=df)
    if answer is None:
        return None
    return parse_ping(
        answer,
        host=device.name,
        target=target,
        packet_bytes=packet_bytes,
        df=None if not df and spec is not None and spec.ping_sets_df == "unknown" else df,
        basis=basis_of(device),
    )


def _sent(
    session: Session, book: Book, command_id: str, values: Mapping[str, object], *, df: bool
) -> Answer | None:
    """Send a ping between the lines that set its options and those that take them back."""

    def rendered(name: str) -> RenderedCommand:
        asked = book.commands[name].params
        return render_command(book, name, {key: values[key] for key in asked})

    spec = book.probe
    if not df or spec is None or not (spec.ping_before or spec.ping_after):
        return session.ask([rendered(command_id)])[0]
    try:
        for name in spec.ping_before:
            if session.ask([rendered(name)])[0].status != "complete":
                return None
        return session.ask([rendered(command_id)])[0]
    finally:
        session.ask([rendered(name) for name in spec.ping_after])


def ping_ceiling(
    session: Session,
    book: Book,
    device: Device,
    *,
    target: str,
    largest_bytes: int,
    df: bool = False,
) -> tuple[PingEvidence, ...]:
    """Find the largest ping that is answered; with DF clear nothing stays on the device.

    A lost full-size ping only counts beside an answered small one; then the size is narrowed down
    to eight bytes. Takes at most ten sizes.

    Args:
        session: An open login on the device.
        book: Its task book.
        device: The device.
        target: Address, not a name.
        largest_bytes: IP packet size to begin with: the MTU of the device's own interface.
        df: Whether to set DF.

    Raises:
        UsageError: the book has no ping.
        DeviceError: the login was lost.
    """
    found: list[PingEvidence] = []

    def answered(size: int) -> bool | None:
        seen = ping(session, book, device, target=target, packet_bytes=size, df=df)
        if seen is None:
            return None
        found.append(seen)
        return seen.answered

    if answered(SMALL_BYTES) and answered(largest_bytes) is False:
        delivered, lost = SMALL_BYTES, largest_bytes
        while lost - delivered > STEP_BYTES:
            middle = (delivered + lost) // 2
            if answered(middle):
                delivered = middle
            else:
                lost = middle
    return tuple(found)


def parse_ping(
    answer: Answer, *, host: str, target: str, packet_bytes: int, df: bool | None, basis: Basis
) -> PingEvidence | None:
    """Read what ``ping`` of iputils, BusyBox, BSD, IOS or RouterOS printed.

    ``mtu = 0`` (a route that is locked at the minimum, or a router older than RFC 1191) counts as a
    too-big message without a value.
    """
    text = f"{answer.text}\n{answer.stderr}"
    if answer.status != "complete":
        return None
    received = _ANSWERED.search(text)
    local = _LOCAL.search(text) is not None
    too_big = _too_big(text)
    if received is None and not local and too_big is None and not _REPLY.search(text):
        return None
    if received is None and _SENT_NOTHING.search(text) and not local:
        return None
    return PingEvidence(
        host=host,
        target=target,
        packet_bytes=packet_bytes,
        df=df,
        answered=bool(_REPLY.search(text)) or (received is not None and _number(received) > 0),
        basis=basis,
        command=answer.line,
        too_big_mtu_bytes=too_big,
        local_error=local,
        source="",
    )


def _number(received: re.Match[str]) -> int:
    return int(received[received.lastindex or 1])


def _too_big(text: str) -> int | None:
    """Return the smallest MTU named by an error, a local one included; ``None`` without one."""
    found = [int(mtu) for pattern in (*_TOO_BIG, _LOCAL_MTU) for mtu in pattern.findall(text)]
    return min((mtu for mtu in found if mtu), default=None)
