"""Clamp rules as nft and iptables print them, taken apart and put together again.

Only rules of one plain shape are understood, and only if putting them together gives back the
same text: whatever this module does not know (sets by name, marks, ports, verdicts) makes it
answer ``None``, and the fix then adds a rule of its own instead of rewriting one. The shape is
also what the templates in ``templates/linux`` can write, from typed values alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

Tool = Literal["nft", "iptables"]
NfProto = Literal[0, 4, 6]
#: 1: any SYN bit. 2: SYN without RST. 3: SYN without RST and ACK (never clamps a SYN-ACK).
Flags = Literal[1, 2, 3]
#: Where nft's ``counter`` stands: 0 nowhere, 1 after the flags, 2 before the value, 3 at the end.
CounterAt = Literal[0, 1, 2, 3]

_NFT_FLAGS: Final[dict[str, Flags]] = {
    "tcp flags syn": 1,
    "tcp flags syn / syn,rst": 2,
}
_IPT_FLAGS: Final[dict[str, Flags]] = {
    "SYN SYN": 1,
    "SYN,RST SYN": 2,
    "FIN,SYN,RST,ACK SYN": 3,
}
#: What templates can carry: vendors' names are longer than the kernel's.
ANY_INTERFACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]{0,62}")
#: The kernel's limit for an interface name is 15 bytes.
INTERFACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]{0,14}")
COMMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_MSS: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class ClampText:
    """One clamp rule.

    Attributes:
        tool: Whose text it is.
        nfproto: For nft: limited to IPv4 or IPv6, 0 for both. For iptables: 4 or 6.
        in_interfaces: Empty for "any".
        out_interfaces: Empty for "any".
        above_bytes: Only an MSS above this is rewritten; 0 for "any".
        mss_bytes: What is written; 0 for "derived from the path MTU".
        comment: One word, or ``""``.
    """

    tool: Tool
    nfproto: NfProto = 0
    in_interfaces: tuple[str, ...] = ()
    out_interfaces: tuple[str, ...] = ()
    flags: Flags = 2
    above_bytes: int = 0
    counter_at: CounterAt = 0
    mss_bytes: int = 0
    comment: str = ""

    def text(self) -> str:
        """Return the rule as its tool prints it (iptables: without ``-A CHAIN``)."""
        return _nft_text(self) if self.tool == "nft" else _iptables_text(self)

    def mirrored(self) -> ClampText:
        """Return the rule for the opposite direction."""
        return replace(self, in_interfaces=self.out_interfaces, out_interfaces=self.in_interfaces)


def _nft_names(names: tuple[str, ...]) -> str:
    quoted = [f'"{name}"' for name in sorted(names)]
    return quoted[0] if len(quoted) == 1 else "{ " + ", ".join(quoted) + " }"


def _nft_text(rule: ClampText) -> str:
    flags = {number: text for text, number in _NFT_FLAGS.items()}
    parts = [f"meta nfproto ipv{rule.nfproto}"] if rule.nfproto else []
    parts += [f"iifname {_nft_names(rule.in_interfaces)}"] if rule.in_interfaces else []
    parts += [f"oifname {_nft_names(rule.out_interfaces)}"] if rule.out_interfaces else []
    parts.append(flags[rule.flags])
    parts += ["counter"] if rule.counter_at == 1 else []
    parts += [f"tcp option maxseg size > {rule.above_bytes}"] if rule.above_bytes else []
    parts += ["counter"] if rule.counter_at == 2 else []  # noqa: PLR2004 - CounterAt
    parts.append(f"tcp option maxseg size set {rule.mss_bytes or 'rt mtu'}")
    parts += ["counter"] if rule.counter_at == 3 else []  # noqa: PLR2004 - CounterAt
    parts += [f'comment "{rule.comment}"'] if rule.comment else []
    return " ".join(parts)


def _iptables_text(rule: ClampText) -> str:
    flags = {number: text for text, number in _IPT_FLAGS.items()}
    parts = [f"-i {rule.in_interfaces[0]}"] if rule.in_interfaces else []
    parts += [f"-o {rule.out_interfaces[0]}"] if rule.out_interfaces else []
    parts.append(f"-p tcp -m tcp --tcp-flags {flags[rule.flags]}")
    parts += [f"-m tcpmss --mss {rule.above_bytes + 1}:{_MAX_MSS}"] if rule.above_bytes else []
    parts += [f"-m comment --comment {rule.comment}"] if rule.comment else []
    parts.append(
        f"-j TCPMSS --set-mss {rule.mss_bytes}"
        if rule.mss_bytes
        else "-j TCPMSS --clamp-mss-to-pmtu"
    )
    return " ".join(parts)


_NFT_IF: Final = r'(?:"[^"{}]+"|\{ "[^{}]+" \})'
_NFT: Final = re.compile(
    r"(?:meta nfproto ipv(?P<nfproto>[46]) )?"
    rf"(?:iifname (?P<iif>{_NFT_IF}) )?"
    rf"(?:oifname (?P<oif>{_NFT_IF}) )?"
    r"(?P<flags>tcp flags syn(?: / syn,rst)?)"
    r"(?P<counter1> counter)?"
    r"(?: tcp option maxseg size > (?P<above>[0-9]{1,5}))?"
    r"(?P<counter2> counter)?"
    r" tcp option maxseg size set (?P<mss>rt mtu|[0-9]{1,5})"
    r"(?P<counter3> counter)?"
    r'(?: comment "(?P<comment>[A-Za-z0-9_.-]+)")?'
)
_IPTABLES: Final = re.compile(
    r"(?:-i (?P<iif>\S+) )?(?:-o (?P<oif>\S+) )?-p tcp -m tcp --tcp-flags (?P<flags>\S+ \S+)"
    r"(?: -m tcpmss --mss (?P<above>[0-9]{1,5}):65535)?"
    r"(?: -m comment --comment (?P<comment>[A-Za-z0-9_.-]+))?"
    r" -j TCPMSS (?:--clamp-mss-to-pmtu|--set-mss (?P<mss>[0-9]{1,5}))"
)
_VOLATILE: Final = re.compile(r"(?<=counter) packets [0-9]+ bytes [0-9]+| ?# handle [0-9]+\s*$")


def without_volatile(text: str) -> str:
    """Return an nft rule without counts and handle, blanks made single."""
    return " ".join(_VOLATILE.sub("", text).split())


def parse_nft(text: str) -> ClampText | None:
    """Read one nft rule; ``None`` when it is not of the plain shape."""
    plain = without_volatile(text)
    found = _NFT.fullmatch(plain)
    if not found:
        return None
    counters = [at for at in (1, 2, 3) if found[f"counter{at}"]]
    rule = ClampText(
        tool="nft",
        nfproto=4 if found["nfproto"] == "4" else 6 if found["nfproto"] == "6" else 0,
        in_interfaces=_unquoted(found["iif"]),
        out_interfaces=_unquoted(found["oif"]),
        flags=_NFT_FLAGS[found["flags"]],
        above_bytes=int(found["above"] or 0),
        counter_at=_counter_at(counters),
        mss_bytes=0 if found["mss"] == "rt mtu" else int(found["mss"]),
        comment=found["comment"] or "",
    )
    return rule if rule.text() == plain and _plain_names(rule) else None


def _counter_at(found: list[int]) -> CounterAt:
    if found == [1]:
        return 1
    if found == [2]:
        return 2
    return 3 if found == [3] else 0


def _unquoted(text: str | None) -> tuple[str, ...]:
    return tuple(re.findall(r'"([^"]*)"', text or ""))


def _plain_names(rule: ClampText) -> bool:
    names = rule.in_interfaces + rule.out_interfaces
    return all(INTERFACE.fullmatch(name) for name in names) and (
        not rule.comment or bool(COMMENT.fullmatch(rule.comment))
    )


_IPT_PREFIX: Final = re.compile(r"(?:\[[0-9]+:[0-9]+\] )?-A (?P<chain>\S+) (?P<rest>.*)")


def parse_iptables(text: str, nfproto: Literal[4, 6]) -> tuple[str, ClampText] | None:
    """Read one line of iptables-save; return its chain and the rule, or ``None``."""
    outer = _IPT_PREFIX.fullmatch(" ".join(text.split()))
    found = _IPTABLES.fullmatch(outer["rest"]) if outer else None
    if not outer or not found or found["flags"] not in _IPT_FLAGS:
        return None
    rule = ClampText(
        tool="iptables",
        nfproto=nfproto,
        in_interfaces=(found["iif"],) if found["iif"] else (),
        out_interfaces=(found["oif"],) if found["oif"] else (),
        flags=_IPT_FLAGS[found["flags"]],
        above_bytes=int(found["above"]) - 1 if found["above"] else 0,
        mss_bytes=int(found["mss"] or 0),
        comment=found["comment"] or "",
    )
    if rule.text() != outer["rest"] or not _plain_names(rule):
        return None
    return outer["chain"], rule
