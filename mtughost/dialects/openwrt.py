"""OpenWrt's packet filter: with planned settings, and as ``/etc/config/firewall`` would make it.

``fw4 print`` names the files of ``/etc/nftables.d`` that it puts into its table without showing
them. Where these hold comments only, the default, the printed rules are all there is.

A zone's ``mtu_fix`` becomes one rule for what enters by its devices and one for what leaves, for
both families (firewall4 ``templates/zone-mssfix.uc``; recorded ``fw4 print``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mtughost.dialects.netfilter import read_firmware, read_saved
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Match, NameSet, Rule, Ruleset
from mtughost.model.session import Answer

#: What :func:`read_fw4` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("print", "includes")
_INCLUDE = re.compile(r'^[ \t]*include "/etc/nftables\.d/\*\.nft"[ \t]*$', re.MULTILINE)
#: For the use of such files; the printed rules themselves hold names, not variables.
_DEFINE = re.compile(r"^[ \t]*define \w+ = \{[^{}\n]*\}[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*(?:#.*)?$")
_MISSING = re.compile(r"cat: .*: No such file or directory\s*")
_ZONE = re.compile(r"firewall\.@zone\[(\d{1,2})\]")
_OPTION = re.compile(r"(firewall\.@zone\[\d{1,2}\])(?:\.(\w+))?=(.*)")
_DEVICES = re.compile(r"^\s*define (\w+)_devices = \{ ([^{}\n]*) \}[ \t]*$", re.MULTILINE)
#: A device by its name; fw4 also knows patterns, which are not followed here.
_NAME = re.compile(r'"([A-Za-z0-9_.@-]{1,15})"')
#: Options that narrow a zone's rules to a part of what its devices carry, or that add to them.
_NARROWING = frozenset({"enabled", "family", "subnet", "extra", "extra_src", "extra_dest"})
_PLANNED = "firewall.@zone["
_ON = frozenset({"1", "on", "true", "yes", "enabled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One zone of the firewall whose devices are known by name.

    Attributes:
        section: ``firewall.@zone[N]``: a zone with a section of its own name is not read.
        devices: The kernel's interface names.
        options: As ``uci show`` prints them, without quotes.
    """

    section: str
    number: int
    name: str
    devices: tuple[str, ...]
    options: Mapping[str, str]

    @property
    def is_clamped(self) -> bool:
        """Whether ``mtu_fix`` is on."""
        return self.options.get("mtu_fix", "") in _ON


def read_zones(config: str, printed: str) -> tuple[Zone, ...]:
    """Read zones; one that holds only a part of what its devices carry is left out.

    Args:
        config: What ``uci show firewall`` prints.
        printed: What ``fw4 print`` prints: only there a zone's networks have become devices.
    """
    found: dict[str, dict[str, str]] = {}
    for line in config.split("\n"):
        match = _OPTION.fullmatch(line.strip())
        if match is not None and match[2]:
            found.setdefault(match[1], {})[match[2]] = match[3].strip("'")
    devices = dict(_DEVICES.findall(printed))
    zones = []
    for section, options in found.items():
        listed = devices.get(options.get("name", ""), "").split(", ")
        names = [match[1] for word in listed if (match := _NAME.fullmatch(word))]
        number = _ZONE.fullmatch(section)
        if number is None or len(names) != len(listed) or _NARROWING & options.keys():
            continue
        zones.append(
            Zone(
                section=section,
                number=int(number[1]),
                name=options["name"],
                devices=tuple(names),
                options=options,
            )
        )
    return tuple(zones)


def read_openwrt(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Read the rules that run, with the ``mtu_fix`` that somebody plans to set.

    Args:
        answers: As for :func:`mtughost.dialects.netfilter.read_firmware`, with ``zones`` and
            ``print``. A line of ``nft-text`` in UCI's words is a planned setting: nft itself
            begins no line so.
    """
    shown = answers.get("nft-text")
    lines = shown.text.split("\n") if shown is not None else []
    planned = [line for line in lines if line.startswith(_PLANNED)]
    if shown is None or not planned:
        return read_firmware(answers)
    text = "\n".join(line for line in lines if not line.startswith(_PLANNED))
    live = read_firmware({**answers, "nft-text": replace(shown, text=text)})
    texts = [answers[name].text if name in answers else "" for name in ("zones", "print")]
    zones = {zone.section: zone for zone in read_zones(*texts)}
    rules = []
    for line in planned:
        section, _, value = line.rpartition(".mtu_fix=")
        if section not in zones or value.strip("'") not in _ON:
            return Unknown(f"what {line} would make is not known")
        rules += _mtu_fix(zones[section], line, shown.line)
    if isinstance(live, Unknown):
        return live
    chain = Chain(table="planned", name="mangle", hook="forward", priority=-150, rules=tuple(rules))
    return replace(live, chains=(*live.chains, chain))


def _mtu_fix(zone: Zone, line: str, command: str) -> list[Rule]:
    names, tcp = NameSet(names=zone.devices), frozenset({"tcp"})
    return [
        Rule(
            name=f"mtu_fix of zone {zone.name}, {way}",
            text=line,
            match=match,
            action=ClampTo(value_bytes=None),
            command=command,
        )
        for way, match in (
            ("ingress", Match(protocols=tcp, in_interfaces=names)),
            ("egress", Match(protocols=tcp, out_interfaces=names)),
        )
    ]


def read_fw4(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Read the rules that a reload or a reboot would load."""
    printed, included = answers.get("print"), answers.get("includes")
    if printed is None or printed.status != "complete":
        why = printed.error or printed.status if printed is not None else "it was not asked"
        return Unknown(f"'fw4 print' gave no complete answer: {why}")
    text = printed.text
    if included is not None and included.status == "complete" and _is_empty(included.text):
        text = _DEFINE.sub("", _INCLUDE.sub("", text))
    return read_saved({"nft-text": replace(printed, text=text)})


def _is_empty(text: str) -> bool:
    """Say whether files hold comments only; one that is not there holds nothing."""
    return bool(_MISSING.fullmatch(text)) or all(
        _COMMENT.fullmatch(line) for line in text.split("\n")
    )
