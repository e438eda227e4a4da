"""A Linux device's state as comparable text: what a change touches, and what must stay as it is.

Volatile parts (counters, handles, comments with dates, elements that come and go by themselves)
are left out; sets are sorted. The digest of the touched section is compared first and exactly;
every other section has a digest of its own, so that drift is named by section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import Final

from mtughost.model.documents import digest
from mtughost.model.plans import Backend, PlanItem, StateDigest
from mtughost.remedy.rule_text import without_volatile

NORMALISER: Final = "linux/1"
#: What the state line prints where the touched nft table does not exist.
NO_TABLE: Final = "(no such table)"
_HANDLE: Final = re.compile(r"^\s*(?P<rule>.*\S)\s+# handle (?P<handle>[0-9]+)\s*$")
_BRACES: Final = re.compile(r"\{ ([^{}]*) \}")
_LINK: Final = re.compile(
    r"^[0-9]+: (?P<name>[^:@\s]+)(?:@\S+)?:.* mtu (?P<mtu>[0-9]+)(?:.* master (?P<master>\S+))?"
)
_CHAIN_COUNTS: Final = re.compile(r"^(:\S+ \S+) \[[0-9]+:[0-9]+\]$|^\[[0-9]+:[0-9]+\] ")
_DEFAULT_CHAIN: Final = re.compile(r":[A-Z]+ ACCEPT")
_STANZA: Final = re.compile(r"^(iface|auto|allow-\S+|mapping|source|source-directory|no-\S+)\b")

Sections = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReading:
    """One reading of a device.

    Attributes:
        relevant: Normalised lines of the touched section.
        others: Normalised lines of every other section, by name.
        saved: Normalised lines of what the next boot would load, in the same form as
            ``running`` where both exist.
        running: The running state in the form of ``saved``.
        handles: For nft: each rule of the touched table and its handle, in order.
        normaliser: Name and version of the rules that made the lines comparable.
    """

    relevant: tuple[str, ...]
    others: Sections
    saved: tuple[str, ...]
    running: tuple[str, ...]
    handles: tuple[tuple[str, int], ...] = ()
    normaliser: str = NORMALISER


def _sorted_set(found: re.Match[str]) -> str:
    return "{ " + ", ".join(sorted(part.strip() for part in found[1].split(","))) + " }"


def _nft_line(line: str) -> str:
    return _BRACES.sub(_sorted_set, without_volatile(line))


def _drop_moving_elements(lines: Sequence[str]) -> list[str]:
    """Leave out the elements of sets that fill and empty by themselves."""
    kept: list[str] = []
    block: list[str] = []
    depth = 0
    for line in lines:
        starts = re.match(r"(set|map|meter) \S+ \{", line)
        if depth == 0 and not starts:
            kept.append(line)
            continue
        block.append(line)
        depth += line.count("{") - line.count("}")
        if depth == 0:
            kept += _without_elements(block)
            block = []
    return kept + block


def _without_elements(block: list[str]) -> list[str]:
    moving = any(re.match(r"(flags .*\b(dynamic|timeout)\b|timeout )", line) for line in block)
    if not moving:
        return block
    kept, inside = [], False
    for line in block:
        inside = inside or line.startswith("elements = {")
        if not inside:
            kept.append(line)
        elif line.rstrip().endswith("}"):
            inside = False
    return kept


def nft_tables(text: str) -> dict[str, tuple[str, ...]]:
    """Split a ruleset into its tables (``inet clamp``), each normalised, by name."""
    tables: dict[str, list[str]] = {}
    current: list[str] | None = None
    for raw in text.splitlines():
        line = _nft_line(raw)
        found = re.fullmatch(r"table (\S+ \S+) \{", line)
        if found and current is None:
            current = tables.setdefault(found[1], [])
            continue
        if raw.startswith("}"):
            current = None
        elif line and current is not None and not line.startswith("#"):
            current.append(line)
    return {
        name: ("table " + name + " {", *_drop_moving_elements(lines), "}")
        for name, lines in tables.items()
    }


def nft_handles(text: str) -> tuple[tuple[str, int], ...]:
    """Return each rule of ``nft -a list table`` with its handle, in order."""
    found = (_HANDLE.match(line) for line in text.splitlines())
    return tuple(
        (_nft_line(match["rule"]), int(match["handle"]))
        for match in found
        if match and not match["rule"].endswith("{")
    )


def iptables_tables(text: str) -> dict[str, tuple[str, ...]]:
    """Split iptables-save output into its tables, without built-in chains that accept by default.

    iptables creates empty tables merely by being asked, so they carry no meaning.
    """
    tables: dict[str, tuple[str, ...]] = {}
    name, lines = "", list[str]()
    for raw in text.splitlines():
        line = _CHAIN_COUNTS.sub(r"\1", raw.strip())
        if line.startswith("*"):
            name, lines = line[1:], []
        elif line == "COMMIT":
            if lines:
                tables[name] = tuple(lines)
        elif line and not line.startswith("#") and not _DEFAULT_CHAIN.fullmatch(line):
            lines.append(line)
    return tables


def links(text: str) -> tuple[str, ...]:
    """Return ``name mtu N [master M]`` for each line of ``ip -o link``, sorted."""
    found = (_LINK.match(line.replace("\\", " ")) for line in text.splitlines())
    return tuple(
        sorted(
            f"{match['name']} mtu {match['mtu']}"
            + (f" master {match['master']}" if match["master"] else "")
            for match in found
            if match
        )
    )


def interfaces_file(text: str) -> tuple[str, ...]:
    """Return the lines of ``/etc/network/interfaces`` without comments and blanks."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def with_interface_mtu(lines: Iterable[str], interface: str, mtu_bytes: int) -> tuple[str, ...]:
    """Return the lines as the persist template leaves them: one ``mtu`` in each stanza.

    Args:
        lines: From :func:`interfaces_file`.
        interface: Whose stanzas.
        mtu_bytes: What they must say.
    """
    result: list[str] = []
    inside = False
    for line in lines:
        if _STANZA.match(line):
            inside = line.split()[:2] == ["iface", interface]
            result.append(line)
            if inside:
                result.append(f"mtu {mtu_bytes}")
        elif not (inside and line.startswith("mtu ")):
            result.append(line)
    return tuple(result)


def has_stanza(lines: Iterable[str], interface: str) -> bool:
    """Say whether the file configures the interface at all."""
    return any(line.split()[:2] == ["iface", interface] for line in lines)


def stanza_mtu(lines: Iterable[str], interface: str) -> int | None:
    """Return the MTU that the file gives an interface, ``None`` where it gives none."""
    inside = False
    for line in lines:
        words = line.split()
        if _STANZA.match(line):
            inside = words[:2] == ["iface", interface]
        elif inside and words[0] == "mtu" and words[1:2] and words[1].isdigit():
            return int(words[1])
    return None


def _flat(tables: Sections) -> tuple[str, ...]:
    return tuple(line for name in sorted(tables) for line in (f"== {name}", *tables[name]))


def reading(backend: Backend, target: str, texts: Mapping[str, str]) -> DeviceReading:
    """Make a reading comparable.

    Args:
        backend: What kind of state the change acts on.
        target: Which table or interface.
        texts: Answers by the last word of their command's id: ``relevant``, ``ruleset``,
            ``links``, ``saved``; for iptables ``relevant4``, ``relevant6``, ``running4``,
            ``running6``, ``saved4``, ``saved6``.
    """
    others = {f"nft table {k}": v for k, v in nft_tables(texts.get("ruleset", "")).items()}
    others["links"] = links(texts.get("links", ""))
    if backend == "nft":
        return _nft_reading(target, texts, others)
    if backend == "iptables":
        return _iptables_reading(texts, others)
    saved = interfaces_file(texts["saved"])
    relevant = tuple(f"interface {line}" for line in links(texts["relevant"]))
    others["links"] = tuple(line for line in others["links"] if line.split()[0] != target)
    return DeviceReading(relevant=relevant, others=others, saved=saved, running=relevant)


def _nft_reading(
    target: str, texts: Mapping[str, str], others: dict[str, tuple[str, ...]]
) -> DeviceReading:
    listed = nft_tables(texts["relevant"])
    running = nft_tables(texts["ruleset"])
    others.pop(f"nft table {target}", None)
    return DeviceReading(
        relevant=listed.get(target, (NO_TABLE,)),
        others=others,
        saved=_flat(nft_tables(texts["saved"])),
        running=_flat(running),
        handles=nft_handles(texts["relevant"]),
    )


def _iptables_reading(
    texts: Mapping[str, str], others: dict[str, tuple[str, ...]]
) -> DeviceReading:
    relevant: list[str] = []
    saved: list[str] = []
    running: list[str] = []
    for family, prefix in (("4", "ip"), ("6", "ip6")):
        others.pop(f"nft table {prefix} mangle", None)
        now = iptables_tables(texts[f"running{family}"])
        relevant += [f"== {prefix}tables mangle", *now.get("mangle", ())]
        running += [f"== {prefix}tables", *_flat(now)]
        saved += [f"== {prefix}tables", *_flat(iptables_tables(texts[f"saved{family}"]))]
        others |= {
            f"{prefix}tables {name}": lines for name, lines in now.items() if name != "mangle"
        }
        for name in now:
            others.pop(f"nft table {prefix} {name}", None)
    return DeviceReading(
        relevant=tuple(relevant), others=others, saved=tuple(saved), running=tuple(running)
    )


def state_digest(
    read: DeviceReading, *, taken_utc: str, items: Sequence[PlanItem] = ()
) -> StateDigest:
    """Return the digests of a reading."""
    sections = tuple(
        PlanItem(path=f"section {name}", value=digest(list(lines)))
        for name, lines in sorted(read.others.items())
    )
    relevant = digest(list(read.relevant))
    return StateDigest(
        relevant=relevant,
        whole=digest([relevant, *([item.path, item.value] for item in sections)]),
        saved=digest(list(read.saved)),
        normaliser=read.normaliser,
        taken_utc=taken_utc,
        items=(*items, *sections),
        lines=read.relevant,
    )


def predicted(
    read: DeviceReading, relevant: tuple[str, ...], saved: tuple[str, ...]
) -> StateDigest:
    """Return the digests that must be found after the change."""
    return state_digest(replace(read, relevant=relevant, saved=saved), taken_utc="")


def drift(planned: StateDigest, found: StateDigest) -> str:
    """Describe how a device's state differs from the planned one; ``""`` when it does not.

    Unrelated sections are named; the touched section is shown line by line.
    """
    parts: list[str] = []
    if planned.relevant != found.relevant:
        parts += unified_diff(planned.lines, found.lines, "planned", "found", lineterm="", n=1)
    if planned.whole != found.whole:
        before = {item.path: item.value for item in planned.items}
        after = {item.path: item.value for item in found.items}
        parts += [
            f"{name} {'changed' if name in before and name in after else 'came or went'}"
            for name in sorted({*before, *after})
            if name.startswith("section ") and before.get(name) != after.get(name)
        ]
    if planned.saved != found.saved:
        parts.append("the saved configuration changed")
    return "\n".join(parts)
