"""MSS clamps in the configuration of VyOS and EdgeOS: saved, or where no rules can be seen.

What the packet filter really does is read from its rules (:mod:`.netfilter`). This reader serves
where those cannot be had: ``/config/config.boot``, which a boot loads, and pasted configuration.

VyOS turns each clamp into one rule for what *leaves* the interface, IPv4 and IPv6 apart
(vyos-1x ``python/vyos/ifconfig/interface.py``; 1.3: ``src/conf_mode/firewall_options.py``). Which
interfaces and directions EdgeOS's ``mss-clamp`` covers is not documented, so that it is only ever
a condition that cannot be evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from mtughost.dialects import netfilter
from mtughost.dialects.vyatta_tree import Setting, read_settings
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Match, NameSet, Rule, Ruleset
from mtughost.model.session import Answer

#: What the readers may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("config",)
KIND_OPTIONS = "firewall options interface adjust-mss"
KIND_INTERFACE = "interfaces ip adjust-mss"
KIND_EDGEOS = "firewall options mss-clamp"
_OPTIONS = ("firewall", "options", "interface")
_DISABLE = ("disable",)
_DERIVED = "clamp-mss-to-pmtu"
_FAMILIES = {"": "ipv4", "6": "ipv6", "ip": "ipv4", "ipv6": "ipv6"}
_RuleReader = Callable[[list[Setting], str], Iterator[Rule]]


def read_vyos_rules(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Read VyOS's packet filter, with the clamps that somebody plans to set.

    Args:
        answers: As for :func:`mtughost.dialects.netfilter.read`. Lines of ``nft-text`` that begin
            with ``set`` are planned settings: nft itself begins no line so.
    """
    return _with_planned(answers, ("nft-text",), netfilter.read, _vyos)


def read_edgeos_rules(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Read EdgeOS's packet filter, with the clamps that somebody plans to set.

    Which of a connection's two interfaces a clamp looks at is not documented. Type ``all`` asks for
    none, so that a planned one counts for every packet that is forwarded.

    Args:
        answers: As for :func:`mtughost.dialects.netfilter.read_firmware`; lines of the two
            listings that begin with ``set`` are planned: iptables begins no line so.
    """
    names = ("iptables-save", "ip6tables-save")
    return _with_planned(answers, names, netfilter.read_firmware, _edgeos_all)


def _with_planned(
    answers: Mapping[str, Answer],
    names: Iterable[str],
    reader: Callable[[Mapping[str, Answer]], Ruleset | Unknown],
    rules_of: _RuleReader,
) -> Ruleset | Unknown:
    """Read a packet filter, and planned settings behind it as rules of a chain of their own."""
    given, rules = dict(answers), list[Rule]()
    for name in names:
        shown = answers.get(name)
        lines = shown.text.split("\n") if shown is not None else []
        planned = [line for line in lines if line.startswith("set ")]
        if shown is None or not planned:
            continue
        text = "\n".join(line for line in lines if not line.startswith("set "))
        given[name] = replace(shown, text=text)
        rules += rules_of(list(read_settings("\n".join(planned)).found), shown.line)
    live = reader(given)
    if isinstance(live, Unknown) or not rules:
        return live
    chain = Chain(
        table="planned", name="forward", hook="forward", priority=-300, rules=tuple(rules)
    )
    return replace(live, chains=(*live.chains, chain))


def read_vyos(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn a VyOS configuration, in either form, into one ruleset."""
    return _read(answers, _vyos)


def read_edgeos(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn an EdgeOS configuration into one ruleset whose rules are all in doubt."""
    return _read(answers, _edgeos)


def _read(answers: Mapping[str, Answer], rules_of: _RuleReader) -> Ruleset | Unknown:
    answer = answers.get("config")
    if answer is None or answer.status != "complete":
        why = answer.error or answer.status if answer is not None else "it was not asked"
        return Unknown(
            f"'{answer.line if answer else 'config'}' gave no complete answer: {why}",
            "log in with an account that may read the configuration",
        )
    settings = read_settings(answer.text)
    found = _in_force(settings.found)
    if not any(setting.words[0] == "interfaces" for setting in found):
        return Unknown(
            f"'{answer.line}' shows no interface, so it is not the whole configuration",
            "log in with an account that may read the configuration",
        )
    notes = [f"line {number}: {text.strip()}" for number, text in settings.unplaced]
    rules = list(rules_of(found, answer.line))
    placed = {rule.line for rule in rules}
    notes += [
        f"line {setting.line}: {setting.text}"
        for setting in found
        if setting.line not in placed and _touches_mss(setting) and not _is_own_tcp(setting)
    ]
    chain = Chain(table="configuration", name="forward", hook="forward", rules=tuple(rules))
    return Ruleset(chains=(chain,), command=answer.line, notes=tuple(notes))


def _in_force(found: Iterable[Setting]) -> list[Setting]:
    """Leave out ``firewall options`` of an interface for which they are disabled."""
    found = list(found)
    disabled = {s.words[:4] for s in found if s.words[:3] == _OPTIONS and s.words[4:] == _DISABLE}
    return [s for s in found if s.words[:4] not in disabled]


def _touches_mss(setting: Setting) -> bool:
    return any(word.endswith("-mss") or word in {"adjust-mss6", _DERIVED} for word in setting.words)


def _is_own_tcp(setting: Setting) -> bool:
    """``protocols bgp ... tcp-mss`` is about the router's own connections."""
    return setting.words[0] == "protocols"


# -- VyOS ------------------------------------------------------------------------------------------


def _vyos(found: list[Setting], command: str) -> Iterator[Rule]:
    for setting in found:
        words = setting.words
        if words[:3] == _OPTIONS and len(words) > 4:  # noqa: PLR2004 - the name and what
            yield from _option(setting, command)
        elif words[0] == "interfaces" and len(words) > 4:  # noqa: PLR2004 - type, name, ip, what
            yield from _interface(setting, command)
        elif words[-2:-1] == ("tcp-mss",) and not _is_own_tcp(setting):
            yield from _policy(setting, command)


def _option(setting: Setting, command: str) -> Iterator[Rule]:
    """``firewall options interface X adjust-mss|adjust-mss6 N`` of 1.2 and 1.3."""
    name, key = setting.words[3], setting.words[4]
    family = _FAMILIES.get(key.removeprefix("adjust-mss"))
    if family is None:
        return
    action = _clamp(setting.words[-1], KIND_OPTIONS)
    if action is not None:
        yield _egress(setting, name, family, action, command)


def _interface(setting: Setting, command: str) -> Iterator[Rule]:
    """``interfaces TYPE X [vif V [vif-c C]] ip|ipv6 adjust-mss N`` from 1.4 on."""
    words = setting.words
    if words[-2] != "adjust-mss" or words[-3] not in {"ip", "ipv6"}:
        return
    between = words[3:-3]
    tags = between[1::2]
    if len(between) % 2 or not {*between[::2]} <= {"vif", "vif-s", "vif-c"}:
        return
    action = _clamp(words[-1], KIND_INTERFACE)
    if action is not None:
        name = ".".join((words[2], *tags))
        yield _egress(setting, name, _FAMILIES[words[-3]], action, command)


def _policy(setting: Setting, command: str) -> Iterator[Rule]:
    """``policy route`` and ``firewall`` rules: which packets reach them is not followed here."""
    doubt = f"the other conditions of {' '.join(setting.words[:-3])} are not followed"
    action = _clamp(setting.words[-1], "set tcp-mss")
    if action is not None:
        yield Rule(
            name=" ".join(setting.words[:-2]),
            text=setting.text,
            match=Match(protocols=frozenset({"tcp"}), opaque=(doubt,)),
            action=action,
            line=setting.line,
            command=command,
        )


def _egress(setting: Setting, name: str, family: str, action: ClampTo, command: str) -> Rule:
    return Rule(
        name=" ".join(setting.words[:-1]),
        text=setting.text,
        match=Match(
            families=frozenset({family}),
            protocols=frozenset({"tcp"}),
            out_interfaces=NameSet(names=(name,)),
        ),
        action=action,
        line=setting.line,
        command=command,
    )


def _clamp(value: str, kind: str) -> ClampTo | None:
    if value == _DERIVED:
        return ClampTo(value_bytes=None, kind=kind)
    return ClampTo(value_bytes=int(value), kind=kind) if value.isdecimal() else None


# -- EdgeOS ----------------------------------------------------------------------------------------


def _edgeos(found: list[Setting], command: str) -> Iterator[Rule]:
    """``firewall options mss-clamp`` and ``mss-clamp6``, by type of interface."""
    for key, family in (("mss-clamp", "ipv4"), ("mss-clamp6", "ipv6")):
        mine = [s for s in found if s.words[:3] == ("firewall", "options", key)]
        types = sorted(s.words[4] for s in mine if s.words[3:4] == ("interface-type",))
        for setting in mine:
            if setting.words[3:4] != ("mss",) or not setting.words[-1].isdecimal():
                continue
            yield _typed(setting, types, family, command)
    yield from _modified(found, command)


def _typed(setting: Setting, types: Iterable[str], family: str, command: str) -> Rule:
    named = ", ".join(types) or "of the default types"
    doubt = f"which packets of interfaces {named} mss-clamp rewrites is not documented"
    return Rule(
        name=" ".join(setting.words[:3]),
        text=setting.text,
        match=Match(families=frozenset({family}), protocols=frozenset({"tcp"}), opaque=(doubt,)),
        action=ClampTo(value_bytes=int(setting.words[-1]), kind=KIND_EDGEOS),
        line=setting.line,
        command=command,
    )


def _edgeos_all(found: list[Setting], command: str) -> Iterator[Rule]:
    """Type ``all`` alone: it is every interface's."""
    for rule in _edgeos(found, command):
        named = (*rule.name.split(), "interface-type", "all")
        if any(setting.words == named for setting in found):
            yield replace(rule, match=replace(rule.match, opaque=()))


def _modified(found: list[Setting], command: str) -> Iterator[Rule]:
    """``firewall modify NAME rule N modify tcp-mss V``."""
    for setting in found:
        if setting.words[:2] == ("firewall", "modify") and "tcp-mss" in setting.words:
            yield from _policy(setting, command)
