"""Names that netfilter's programs print: hooks, priorities, protocols, ICMP types, TCP flags."""

from __future__ import annotations

import re
from typing import get_args

from mtughost.model.clamps import Hook

HOOKS: frozenset[str] = frozenset(get_args(Hook))

#: uapi/linux/netfilter_ipv4.h and nft(8), "Standard priority names".
PRIORITIES: dict[str, int] = {
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
    "out": 100,
}
#: The bridge family has priorities of its own (uapi/linux/netfilter_bridge.h).
BRIDGE_PRIORITIES: dict[str, int] = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}

#: IANA protocol numbers that appear in rules, by the name used in the model.
_PROTOCOLS: dict[int, str] = {
    0: "hopopt",
    1: "icmp",
    2: "igmp",
    4: "ipencap",
    6: "tcp",
    8: "egp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    43: "ipv6-route",
    44: "ipv6-frag",
    46: "rsvp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmpv6",
    59: "ipv6-nonxt",
    60: "ipv6-opts",
    88: "eigrp",
    89: "ospf",
    94: "ipip",
    103: "pim",
    108: "comp",
    112: "vrrp",
    115: "l2tp",
    132: "sctp",
    136: "udplite",
}
_PROTOCOL_ALIASES = {
    "ipv6-icmp": "icmpv6",
    "icmp6": "icmpv6",
    "ospfigp": "ospf",
    "ipcomp": "comp",
}
#: What "not tcp" leaves. Numbers without a name are left out: no proof here is about them.
ALL_PROTOCOLS: frozenset[str] = frozenset(_PROTOCOLS.values())

_ICMP4 = {
    "0": "echo-reply",
    "3": "destination-unreachable",
    "4": "source-quench",
    "5": "redirect",
    "8": "echo-request",
    "9": "router-advertisement",
    "10": "router-solicitation",
    "11": "time-exceeded",
    "12": "parameter-problem",
    "13": "timestamp-request",
    "14": "timestamp-reply",
}
_ICMP6 = {
    "1": "destination-unreachable",
    "2": "packet-too-big",
    "3": "time-exceeded",
    "4": "parameter-problem",
    "128": "echo-request",
    "129": "echo-reply",
    "133": "nd-router-solicit",
    "134": "nd-router-advert",
    "135": "nd-neighbor-solicit",
    "136": "nd-neighbor-advert",
}
_UNREACHABLE_CODES = {"4": "frag-needed", "fragmentation-needed": "frag-needed"}

#: In the order of their bits (RFC 9293 3.1); nft calls ECE "ecn".
_FLAG_BITS = ("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr")
TCP_FLAGS = frozenset(_FLAG_BITS)

_PRIORITY = re.compile(r"([a-z]+)(?:\s*([+-])\s*(\d+))?")


def priority_number(text: str, family: str) -> int | None:
    """Return the number of a chain's priority (``mangle + 5`` is -145), or ``None``."""
    text = text.strip()
    if re.fullmatch(r"-?\d{1,10}", text):
        return int(text)
    match = _PRIORITY.fullmatch(text)
    names = BRIDGE_PRIORITIES if family == "bridge" else PRIORITIES
    if match is None or match[1] not in names:
        return None
    return names[match[1]] + int(f"{match[2] or '+'}{match[3] or 0}")


def protocol_name(text: str) -> str:
    """Return the model's name of a layer-4 protocol given as name or number."""
    text = text.lower()
    if text.isascii() and text.isdigit():
        return _PROTOCOLS.get(int(text), text)
    return _PROTOCOL_ALIASES.get(text, text)


def tcp_flags(text: str) -> frozenset[str] | None:
    """Return the flags of ``syn|ack``, ``0x12``, ``18``, ``all`` or ``none``, else ``None``."""
    text = text.lower()
    if text in {"all", "none"}:
        return TCP_FLAGS if text == "all" else frozenset()
    if re.fullmatch(r"0x[0-9a-f]{1,2}|\d{1,3}", text):
        number = int(text, 0)
        return frozenset(name for bit, name in enumerate(_FLAG_BITS) if number >> bit & 1)
    words = {"ecn" if word == "ece" else word for word in text.split("|")}
    return frozenset(words) if words <= TCP_FLAGS else None


def icmp_name(text: str, family: str) -> str:
    """Return ``type`` or ``type/code`` of ICMP in words where there are any.

    ``3/4`` and ``fragmentation-needed`` become ``destination-unreachable/frag-needed``.
    """
    text = text.lower()
    if family == "ipv4" and text == "fragmentation-needed":
        return "destination-unreachable/frag-needed"
    kind, _, code = text.partition("/")
    kind = (_ICMP6 if family == "ipv6" else _ICMP4).get(kind, kind)
    if family == "ipv4" and kind == "destination-unreachable":
        code = _UNREACHABLE_CODES.get(code, code)
    return f"{kind}/{code}" if code else kind
