"""FortiOS's MSS clamps: ``tcp-mss`` of interfaces, ``tcp-mss-sender``/``-receiver`` of policies.

Sources: Fortinet's knowledge base articles 221376 (interfaces: one direction before 7.0.1, both
from then on, the smaller value wins, never raised) and 194518 (policies). What neither says is a
condition that cannot be evaluated: whether ``tcp-mss`` reaches IPv6, and which handshake packet
``tcp-mss-sender`` means when the receiver's value differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mtughost.dialects.fortinet_tree import Block, Setting, Tree, read_tree
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Handshake, Match, NameSet, Rule, Ruleset, Verdict
from mtughost.model.session import Answer

#: What :func:`read` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("status", "interfaces", "policies", "zones", "settings")
INTERFACE_KIND = "config system interface: set tcp-mss"
POLICY_KIND = "config firewall policy: set tcp-mss-sender, set tcp-mss-receiver"
_BOTH_WAYS, _OLDEST = (7, 0, 1), (6, 0, 0)
#: From here on one table holds the policies of both families.
_ONE_TABLE = (6, 4, 0)
_VERSION = re.compile(r"^Version: \S+ v(\d+)\.(\d+)\.(\d+)\b", re.MULTILINE)
_DOMAINS = re.compile(r"^Virtual domain configuration: (\S+)", re.MULTILINE)
_V4, _V6 = frozenset({"ipv4"}), frozenset({"ipv6"})
_NO_IPV6 = "whether tcp-mss of an interface reaches IPv6 is not documented"
_OLD = "what tcp-mss of an interface does before 6.0 is not documented"
_SENDER = "which handshake packet tcp-mss-sender rewrites is not documented"
_ASKED = ("srcaddr", "dstaddr", "srcaddr6", "dstaddr6", "service", "schedule", "users", "groups")
_EVERYTHING = frozenset({"all", "any", "ALL", "always"})


def read(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn interfaces and policies into one ruleset.

    Args:
        answers: By input name (:data:`INPUTS`); interfaces, policies and status are needed.
    """
    for name in ("status", "interfaces", "policies"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            why = answer.error or answer.status if answer is not None else "it was not asked"
            line = answer.line if answer is not None else name
            return Unknown(
                f"'{line}' gave no complete answer: {why}",
                "log in with an access profile that may read network and firewall",
            )
    domains = _DOMAINS.search(answers["status"].text)
    if domains is None or domains[1] != "disable":
        return Unknown(
            "virtual domains are on: policies of other domains than this login's are not shown",
            "log in to a gateway without virtual domains, or read each domain by hand",
        )
    return _Reader(answers).ruleset()


@dataclass(frozen=True, slots=True)
class _Line:
    """A setting and where it stands."""

    owner: str
    setting: Setting


class _Reader:
    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._notes: list[str] = []
        self._version = _version(answers["status"].text)
        self._zones = self._zone_members()

    def ruleset(self) -> Ruleset | Unknown:
        interfaces = self._section("interfaces", "system interface")
        policies = self._section("policies", "firewall policy")
        if interfaces is None or policies is None:
            missing = "system interface" if interfaces is None else "firewall policy"
            return Unknown(f"the section '{missing}' was not shown whole")
        self._settings()
        names = {block.name for block in interfaces.blocks} | {"any"}
        command = self._answers["interfaces"].line
        by_interface = [r for block in interfaces.blocks for r in self._interface(block)]
        by_policy = self._policies(policies, names)
        return Ruleset(
            chains=(
                Chain(
                    table="system interface",
                    name="tcp-mss",
                    hook="forward",
                    rules=tuple(by_interface),
                ),
                Chain(
                    table="firewall policy",
                    name="policies",
                    hook="forward",
                    priority=1,
                    rules=tuple(by_policy),
                ),
            ),
            command=command,
            notes=tuple(dict.fromkeys(self._notes)),
        )

    # -- answers ---------------------------------------------------------------------------------
    def _tree(self, name: str) -> Tree | None:
        answer = self._answers.get(name)
        if answer is None or answer.status != "complete":
            return None
        tree = read_tree(answer.text)
        self._notes += [f"{answer.line}, line {line}: {text}" for line, text in tree.unplaced]
        return tree if tree.is_whole else None

    def _section(self, name: str, path: str) -> Block | None:
        tree = self._tree(name)
        return tree.section(path) if tree is not None else None

    def _zone_members(self) -> dict[str, tuple[str, ...]]:
        section = self._section("zones", "system zone")
        blocks = section.blocks if section is not None else []
        return {block.name: block.words("interface") for block in blocks}

    def _settings(self) -> None:
        section = self._section("settings", "system settings")
        if section is None:
            self._notes.append("the mode of the firewall is not known: its settings were not shown")
        elif section.word("ngfw-mode") == "policy-based":
            self._notes.append("the firewall is policy-based: its policies stand elsewhere")

    # -- interfaces ------------------------------------------------------------------------------
    def _interface(self, block: Block) -> Iterable[Rule]:
        setting = block.settings.get("tcp-mss")
        value = _number(setting)
        if setting is None or value == 0:
            return
        if value is None:
            self._notes.append(f"interface {block.name}: {setting.text}")
            return
        line = _Line(f"interface {block.name}", setting)
        names = NameSet(names=(block.name,))
        sides = [("in", Match(in_interfaces=names))]
        if self._version is None or self._version >= _BOTH_WAYS:
            sides.append(("out", Match(out_interfaces=names)))
        for side, match in sides:
            doubts = self._doubts(side)
            yield _rule(line, side, replace(match, families=_V4, opaque=doubts), value)
            yield _rule(
                line, f"{side}, IPv6", replace(match, families=_V6, opaque=(_NO_IPV6,)), value
            )

    def _doubts(self, side: str) -> tuple[str, ...]:
        if self._version is None:
            both = (
                "tcp-mss works for what leaves an interface from 7.0.1 on; the version is unknown"
            )
            return (both,) if side == "out" else (_OLD,)
        return (_OLD,) if self._version < _OLDEST else ()

    # -- policies --------------------------------------------------------------------------------
    def _policies(self, section: Block, names: set[str]) -> list[Rule]:
        """Return the policies in order, or nothing where none of them clamps."""
        rules: list[Rule] = []
        if any(_clamps(block) for block in section.blocks):
            enabled = [b for b in section.blocks if b.word("status") != "disable"]
            rules = [rule for block in enabled for rule in self._policy(block, names)]
        if self._version is None or self._version < _ONE_TABLE:
            unread = Match(families=_V6, opaque=("config firewall policy6 is not read",))
            kind = ClampTo(value_bytes=None, kind=POLICY_KIND)
            rules.append(
                Rule(name="policy6", text="config firewall policy6", match=unread, action=kind)
            )
        return rules

    def _policy(self, block: Block, names: set[str]) -> Iterable[Rule]:
        source, target = self._side(block, "srcintf", names), self._side(block, "dstintf", names)
        doubts = (*source[1], *target[1], *_conditions(block))
        verdict: Verdict = "accept" if block.word("action") == "accept" else "drop"
        if block.word("action") == "ipsec":
            doubts = (*doubts, "action ipsec")
        sender, receiver = (
            _number(block.settings.get(f"tcp-mss-{who}")) for who in ("sender", "receiver")
        )
        ways: tuple[tuple[Handshake, str, int | None, NameSet | None, NameSet | None], ...] = (
            ("syn", "sender", sender, source[0], target[0]),
            ("syn-ack", "receiver", receiver, target[0], source[0]),
        )
        for handshake, who, value, enters, leaves in ways:
            match = Match(
                in_interfaces=enters,
                out_interfaces=leaves,
                protocols=frozenset({"tcp"}),
                handshake=frozenset({handshake}),
                families=_V4 | _V6 if block.words("srcaddr6") else _V4,
                opaque=doubts,
            )
            yield from self._policy_rules(block, (who, value, sender == receiver), match, verdict)

    def _policy_rules(
        self, block: Block, clamp: tuple[str, int | None, bool], match: Match, verdict: Verdict
    ) -> Iterable[Rule]:
        who, value, is_both = clamp
        name = f"policy {block.name}"
        setting = block.settings.get(f"tcp-mss-{who}")
        other = block.settings.get(f"tcp-mss-{'receiver' if who == 'sender' else 'sender'}")
        if value and setting is not None and verdict == "accept":
            doubts = match.opaque if is_both else (*match.opaque, _SENDER)
            yield _rule(
                _Line(name, setting),
                "",
                replace(match, opaque=doubts),
                value,
                (POLICY_KIND, self._answers["policies"].line),
            )
        elif other is not None and _number(other) and verdict == "accept":
            # Only one of the two is set: it may be this packet that it means.
            yield _rule(
                _Line(name, other),
                "",
                replace(match, opaque=(*match.opaque, _SENDER)),
                _number(other) or 0,
                (POLICY_KIND, self._answers["policies"].line),
            )
        yield Rule(
            name=name,
            text=f"edit {block.name} (action {block.word('action') or 'deny'})",
            match=match,
            action=verdict,
            line=block.line,
            command=self._answers["policies"].line,
        )

    def _side(
        self, block: Block, which: str, known: set[str]
    ) -> tuple[NameSet | None, tuple[str, ...]]:
        wanted = block.words(which)
        if "any" in wanted:
            return None, ()
        members = tuple(m for name in wanted for m in self._zones.get(name, (name,)))
        strangers = [name for name in members if name not in known]
        doubts = tuple(f"{which} {name}" for name in strangers)
        return (None if strangers or not members else NameSet(names=members)), doubts


def _rule(
    line: _Line,
    side: str,
    match: Match,
    value: int,
    origin: tuple[str, str] = (INTERFACE_KIND, ""),
) -> Rule:
    kind, command = origin
    return Rule(
        name=f"{line.owner} {line.setting.text.split(' ')[1]}" + (f" ({side})" if side else ""),
        text=f"{line.owner}: {line.setting.text}",
        match=replace(match, protocols=frozenset({"tcp"})),
        action=ClampTo(value_bytes=value, kind=kind),
        line=line.setting.line,
        command=command,
    )


def _clamps(block: Block) -> bool:
    return any(_number(block.settings.get(f"tcp-mss-{w}")) for w in ("sender", "receiver"))


def _conditions(block: Block) -> tuple[str, ...]:
    """Return what a policy asks for beside interfaces; a name is an object defined elsewhere."""
    found = []
    for name in _ASKED:
        words = block.words(name)
        if words and not set(words) <= _EVERYTHING:
            found.append(f"{name} {' '.join(words)}")
        if block.word(f"{name}-negate") == "enable":
            found.append(f"{name}-negate enable")
    found += [
        f"{n} enable"
        for n in ("internet-service", "internet-service-src")
        if block.word(n) == "enable"
    ]
    return tuple(found)


def _number(setting: Setting | None) -> int | None:
    if setting is None:
        return 0
    word = setting.words[0] if setting.words else ""
    return int(word) if re.fullmatch(r"[0-9]{1,5}", word) else None


def _version(text: str) -> tuple[int, ...] | None:
    found = _VERSION.search(text)
    return tuple(int(part) for part in found.groups()) if found is not None else None
