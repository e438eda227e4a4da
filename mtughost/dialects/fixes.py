"""Changes of a command line's configuration that might repair a site, from small to large.

One function per platform lists them from the answers that the clamps are read from; a task book
names it under ``fixes:``. Whether one is sufficient is not judged here: the settings are put into
those answers, the platform's own reader reads them again, and the coverage proof decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from mtughost.dialects import fixes_edgeos, fixes_openwrt, fixes_vyos
from mtughost.dialects.fortinet_tree import Block, read_tree
from mtughost.dialects.routeros_print import read_items
from mtughost.model.config import ConfigEdit, ConfigFix, ConfigValue, Setting, Wanted

#: Raw answers by the id of the command that gave them.
Texts = Mapping[str, str]
Lister = Callable[[Texts, Sequence[Wanted]], Iterator[ConfigFix]]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]{0,62}")
#: A name that RouterOS writes without quotes.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_MAX_POLICIES: Final = 8
#: Cisco's command reference: what adjust-mss takes.
_IOS_RANGE: Final = {"ipv4": (500, 1460), "ipv6": (40, 1940)}


def _smallest(wanted: Sequence[Wanted], family: str = "") -> int | None:
    values = [w.mss_bytes for w in wanted if w.mss_bytes and family in ("", w.family)]
    return min(values, default=None)


def _names(wanted: Sequence[Wanted], side: str) -> list[str]:
    found = sorted({w.lan if side == "lan" else w.wan for w in wanted})
    return found if all(_NAME.fullmatch(name) for name in found) else []


def _clamp(
    entry: str,
    command: str,
    section: str,
    key: str,
    before: str | None,
    mss: int,
    **more: ConfigValue,
) -> ConfigEdit:
    """Return an edit of one value; its templates know it as ``mss``, ``had``, ``mss_before``."""
    number = int(before) if before and before.isdecimal() else 0
    return ConfigEdit(
        entry=entry,
        command=command,
        values={"mss": mss, "had": int(before is not None), "mss_before": number, **more},
        settings=(Setting(section=section, key=key, before=before, after=str(mss)),),
    )


# -- FortiOS -------------------------------------------------------------------------------------


def fortinet(texts: Texts, wanted: Sequence[Wanted]) -> Iterator[ConfigFix]:
    """Policies first: they touch nothing but what goes from the access points to the egress."""
    mss = _smallest(wanted)
    lans, wans = _names(wanted, "lan"), _names(wanted, "wan")
    if mss is None or not lans or not wans:
        return
    policies = [
        block
        for block in _blocks(texts.get("policies", ""), "firewall policy")
        if _is_between(block, texts, lans, wans)
    ][:_MAX_POLICIES]
    between = f"{' and '.join(lans)} to {' and '.join(wans)}"
    for group in [[block] for block in policies] + ([policies] if len(policies) > 1 else []):
        ids = ", ".join(block.name for block in group)
        yield ConfigFix(
            change="clamp-missing",
            edits=tuple(_policy(block, mss) for block in group),
            summary=f"clamp the MSS of policy {ids} to {mss} for both handshake packets",
            reach=f"every host that uses policy {ids} ({between})",
            risk="a clamp lowers segment sizes by a few bytes; UDP and ICMP are not helped",
        )
    blocks = {b.name: b for b in _blocks(texts.get("interfaces-config", ""), "system interface")}
    for names in (lans, [*lans, *wans]):
        if all(name in blocks for name in names):
            yield ConfigFix(
                change="clamp-missing",
                edits=tuple(_interface(blocks[name], mss) for name in names),
                summary=f"clamp the MSS on {' and '.join(names)} to {mss}",
                reach=f"every host whose connections enter or leave by {' or '.join(names)}",
            )


def _blocks(text: str, path: str) -> list[Block]:
    section = read_tree(text).section(path)
    return section.blocks if section is not None else []


def _is_between(block: Block, texts: Texts, lans: list[str], wans: list[str]) -> bool:
    zones = {
        zone.name: set(zone.words("interface"))
        for zone in _blocks(texts.get("zones", ""), "system zone")
    }

    def holds(attribute: str, names: list[str]) -> bool:
        said = block.words(attribute)
        members = {member for word in said for member in zones.get(word, {word})}
        return "any" in said or bool(members & set(names))

    is_on = block.word("status") != "disable" and block.word("action") == "accept"
    return is_on and block.name.isdecimal() and holds("srcintf", lans) and holds("dstintf", wans)


def _policy(block: Block, mss: int) -> ConfigEdit:
    before = {who: block.word(f"tcp-mss-{who}") or None for who in ("sender", "receiver")}
    values: dict[str, ConfigValue] = {"policy": int(block.name), "mss": mss}
    for who, value in before.items():
        values |= {f"had_{who}": int(value is not None), f"{who}_before": int(value or 0)}
    return ConfigEdit(
        entry="clamp-policy",
        command="policies",
        values=values,
        settings=tuple(
            Setting(
                section=f"firewall policy > {block.name}",
                key=f"tcp-mss-{who}",
                before=value,
                after=str(mss),
            )
            for who, value in before.items()
        ),
    )


def _interface(block: Block, mss: int) -> ConfigEdit:
    return _clamp(
        "clamp-interface",
        "interfaces-config",
        f"system interface > {block.name}",
        "tcp-mss",
        block.word("tcp-mss") or None,
        mss,
        interface=block.name,
    )


# -- IOS and IOS-XE ------------------------------------------------------------------------------


def _clamp_on(names: Sequence[str], edits: Sequence[ConfigEdit]) -> ConfigFix:
    """Put clamps on whole interfaces into words."""
    values = " and ".join(sorted({str(edit.values["mss"]) for edit in edits}, reverse=True))
    return ConfigFix(
        change="clamp-missing",
        edits=tuple(edits),
        summary=f"clamp the MSS on {' and '.join(names)} to {values}",
        reach=f"every host whose connections enter or leave by {' or '.join(names)}",
    )


def cisco_ios(texts: Texts, wanted: Sequence[Wanted]) -> Iterator[ConfigFix]:
    """The access points' interface, then the egress: each works for what enters and leaves."""
    text = texts.get("interface-config", "")
    for side in ("lan", "wan"):
        names = _names(wanted, side)
        edits = [edit for name in names for edit in _adjusts(text, name, wanted)]
        if not edits or any(f"interface {name}" not in text.split("\n") for name in names):
            continue
        yield _clamp_on(names, edits)


def _adjusts(text: str, name: str, wanted: Sequence[Wanted]) -> Iterator[ConfigEdit]:
    for family, key, entry in (
        ("ipv4", "ip tcp adjust-mss", "clamp-interface"),
        ("ipv6", "ipv6 tcp adjust-mss", "clamp-interface6"),
    ):
        mss = _smallest(wanted, family)
        low, high = _IOS_RANGE[family]
        if mss is None or not low <= mss <= high:
            continue
        before = _below(text, f"interface {name}", key)
        yield _clamp(
            entry, "interface-config", f"interface {name}", key, before, mss, interface=name
        )


def _below(text: str, head: str, key: str) -> str | None:
    inside, found = False, None
    for row in text.split("\n"):
        if not row.startswith(" "):
            inside = row.rstrip() == head
        elif inside and row.strip().startswith(key + " "):
            found = row.strip()[len(key) + 1 :]
    return found


# -- Junos ---------------------------------------------------------------------------------------


def juniper_junos(texts: Texts, wanted: Sequence[Wanted]) -> Iterator[ConfigFix]:
    """One value for the whole firewall: which policy a connection uses is not read here."""
    mss = _smallest(wanted, "ipv4")
    if mss is None:
        return
    section = "security flow tcp-mss all-tcp"
    head = f"set {section} mss "
    rows = [row.strip() for row in texts.get("config-flow", "").split("\n")]
    before = next((row[len(head) :] for row in rows if row.startswith(head)), None)
    yield ConfigFix(
        change="clamp-missing",
        edits=(_clamp("clamp-device", "config-flow", section, "mss", before, mss),),
        summary=f"clamp the MSS of all IPv4 TCP through the firewall to {mss}",
        reach="every host behind the firewall",
    )


# -- RouterOS --------------------------------------------------------------------------------------


def routeros(texts: Texts, wanted: Sequence[Wanted]) -> Iterator[ConfigFix]:
    """The access points' interface, then the egress: two rules for each, in and out."""
    links = {item.get("name") for item in read_items(texts.get("links", "")).items}
    for side in ("lan", "wan"):
        names = _names(wanted, side)
        if not names or not all(_PLAIN.fullmatch(name) and name in links for name in names):
            continue
        edits = [edit for name in names for edit in _mangle(texts, name, wanted)]
        if edits:
            yield _clamp_on(names, edits)


def _mangle(texts: Texts, name: str, wanted: Sequence[Wanted]) -> Iterator[ConfigEdit]:
    for family, menu, entry, command in (
        ("ipv4", "/ip firewall mangle", "clamp-interface", "mangle"),
        ("ipv6", "/ipv6 firewall mangle", "clamp-interface6", "mangle6"),
    ):
        mss = _smallest(wanted, family)
        mine = f"mtughost-{name}"
        if mss is None or any(i.comment == mine for i in read_items(texts.get(command, "")).items):
            # Rules of an earlier change stand there: a person looks at them first.
            continue
        sides = (("", f"out-interface={name} "), (f"in-interface={name} ", ""))
        keys = (
            f"add action=change-mss chain=forward comment={mine} {enters}new-mss={mss} {leaves}"
            f"passthrough=yes protocol=tcp tcp-flags=syn tcp-mss={mss + 1}-65535"
            for enters, leaves in sides
        )
        yield ConfigEdit(
            entry=entry,
            command=command,
            values={"interface": name, "mss": mss},
            settings=tuple(Setting(section=menu, key=key, before=None, after="") for key in keys),
        )


FIXES: Mapping[str, Lister] = {
    "cisco-ios": cisco_ios,
    "edgeos": fixes_edgeos.edgeos,
    "fortinet": fortinet,
    "juniper-junos": juniper_junos,
    "openwrt": fixes_openwrt.openwrt,
    "routeros": routeros,
    "vyos": fixes_vyos.vyos,
}
