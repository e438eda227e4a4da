"""What each platform can do and on what basis, read from its task book and from nothing else.

``python -m mtughost.app.platforms README.md`` writes the table of the README anew.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from mtughost.content.book import Book, CommandSpec, Kind
from mtughost.content.book_change import ChangeSpec
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot, packaged_content
from mtughost.model.errors import LabError, UsageError

START, END = "<!-- platforms: written by `make platforms` -->", "<!-- end of platforms -->"
#: From the strongest to the weakest.
_BASES = ("device", "sample", "document", "unconfirmed")
_NO = "-"
_HEAD = ("platform", "read", "probe", "capture", "MTU change", "clamp change", "guard", "tried on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """One row of the table; a dash where the task book has nothing.

    Attributes:
        read: How many of the reading commands are known from where.
        probe: How a probe is sent, and the basis of its pings.
        capture: Weakest basis of the capture's commands, and whether it shows every packet.
        mtu_change: Weakest basis of the changes of an MTU, and what they cost.
        clamp_change: The same of clamps.
        guard: What undoes a change that is not confirmed, and what that costs.
        tried_on: What it was tried on by this project: never more than that is claimed.
    """

    platform: str
    read: str
    probe: str
    capture: str
    mtu_change: str
    clamp_change: str
    guard: str
    tried_on: str


def abilities(book: Book) -> Abilities:
    """Sum a task book up."""
    changes = book.change.items()
    return Abilities(
        platform=book.platform,
        read=_counted(_reading(book)),
        probe=_probe(book),
        capture=_capture(book),
        mtu_change=_changes(c for name, c in changes if not is_clamp(name)),
        clamp_change=_changes(c for name, c in changes if is_clamp(name)),
        guard=_guards(book),
        tried_on=_tried_on(book),
    )


def is_clamp(change: str) -> bool:
    """Say whether a change of that name is about clamps; all others are about MTUs."""
    return "clamp" in change or "mss" in change


def _reading(book: Book) -> list[CommandSpec]:
    names = {c for specs in book.read.values() for spec in specs for c in spec.command_ids}
    return [book.commands[name] for name in sorted(names)]


def _counted(commands: Iterable[CommandSpec]) -> str:
    count = Counter[str](command.basis for command in commands)
    return ", ".join(f"{basis} {count[basis]}" for basis in _BASES if count[basis]) or _NO


def _weakest(bases: Iterable[str]) -> str:
    return max(bases, key=_BASES.index, default=_NO)


def _probe(book: Book) -> str:
    probe = book.probe
    if probe is None:
        return _NO
    pings = [book.commands[name].basis for name in (probe.ping, probe.ping_df) if name]
    parts = ["through its SSH"] if probe.via == "direct-tcpip" else []
    parts += [f"ping: {_weakest(pings)}"] if pings else []
    return ", ".join(parts) or _NO


def _capture(book: Book) -> str:
    spec = book.capture
    if spec is None:
        return _NO
    basis = _weakest(book.commands[name].basis for name in spec.command_ids)
    return f"{basis}, not every packet" if spec.misses else basis


def _changes(changes: Iterable[ChangeSpec]) -> str:
    found = list(changes)
    if not found:
        return _NO
    costs = sorted({change.cost for change in found} - {"none"})
    return ", ".join([_weakest(change.basis for change in found), *costs])


def _guards(book: Book) -> str:
    used = {change.guard for change in book.change.values()}
    parts = sorted(
        {
            f"{book.guard[name].method} ({book.guard[name].basis})"
            + ("" if book.guard[name].cost == "none" else f", costs {book.guard[name].cost}")
            for name in used
            if name is not None
        }
    )
    return "; ".join([*parts, *(["inverse commands only"] if None in used else [])]) or _NO


def _tried_on(book: Book) -> str:
    bases = {command.basis for command in _reading(book)}
    if not bases:
        return _NO
    if "device" in bases:
        return "real programs"
    try:
        from mtughost.lab.bound import vendors  # noqa: PLC0415 - needs an optional package
    except LabError:
        return "not known here"
    vendor = vendors().get(book.platform)
    if vendor is not None:
        # No documented clamp for IPv6, no packets of IPv6.
        return "emulation, IPv4 and IPv6" if vendor.speaks6 else "emulation, IPv4"
    return "recorded output" if "sample" in bases else "nothing: documents only"


def table(books: Iterable[Book]) -> str:
    """Return the README's table in Markdown."""
    lines = [_row(_HEAD), _row(["---"] * len(_HEAD))]
    for book in books:
        platform, *rest = asdict(abilities(book)).values()
        lines.append(_row([f"`{platform}` {book.title}", *rest]))
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def all_books(content: ContentRoot) -> tuple[Book, ...]:
    """Return every task book, by platform.

    Raises:
        ContentError: one of them is wrong.
    """
    return tuple(load_book(content, platform) for platform in content.platforms())


def sheet(book: Book) -> dict[str, Any]:
    """Return all that one task book says about its platform, for people and as JSON."""
    return {
        "schema": "mtughost/platform/v1",
        "platform": book.platform,
        "title": book.title,
        "driver": book.driver,
        "driver_writes": book.driver_writes,
        "pipeline": {"state": book.pipeline, "source": book.pipeline_source},
        "abilities": asdict(abilities(book)),
        "reads": {kind: list(_reads(book, kind)) for kind in sorted(book.read)},
        "not_read": sorted(set(get_args(Kind)) - set(book.read)),
        "other_commands": [_command(book, name) for name in sorted(_others(book))],
        "capture": _capture_sheet(book),
        "changes": [
            {
                "name": name,
                "summary": change.summary,
                "basis": change.basis,
                "cost": change.cost,
                "guard": change.guard or "",
                "persists": change.persist is not None,
                "touches_management": change.touches_management,
            }
            for name, change in sorted(book.change.items())
        ],
        "guards": [
            {
                "name": name,
                "method": guard.method,
                "basis": guard.basis,
                "cost": guard.cost,
                "survives": list(guard.survives),
                "reboot_reverts": guard.reboot_reverts,
            }
            for name, guard in sorted(book.guard.items())
        ],
        "clamps": [item.model_dump(mode="json") for item in book.clamp_semantics],
    }


def _capture_sheet(book: Book) -> dict[str, Any]:
    spec = book.capture
    if spec is None:
        return {"possible": False, "because": book.no_capture or book.instead}
    return {
        "possible": True,
        "max_seconds": spec.max_seconds,
        "max_packets": spec.max_packets,
        "misses": spec.misses,
        "leaving": spec.leaving,
        "leaves": list(spec.leaves),
    }


def _reads(book: Book, kind: Kind) -> Iterator[dict[str, str]]:
    for spec in book.read[kind]:
        for name in spec.command_ids:
            yield _command(book, name)


def _others(book: Book) -> set[str]:
    read = {c for specs in book.read.values() for spec in specs for c in spec.command_ids}
    return set(book.commands) - read


def _command(book: Book, name: str) -> dict[str, str]:
    command = book.commands[name]
    return {
        "name": name,
        "run": command.run,
        "risk": command.risk,
        "basis": command.basis,
        "note": command.note,
    }


def sheet_lines(book: Book) -> list[str]:
    """Return :func:`sheet` as lines of text."""
    found = sheet(book)
    lines = [f"{book.platform}: {book.title}", ""]
    named = zip(_HEAD[1:], list(found["abilities"].values())[1:], strict=True)
    lines += [f"  {name:<13} {value}" for name, value in named]
    lines += ["", f"logs in with {book.driver}; {book.driver_writes or 'which writes nothing'}"]
    lines.append(f"several commands at once: {book.pipeline} ({book.pipeline_source})")
    lines += ["", "reads:"]
    for kind, commands in found["reads"].items():
        lines += [f"  {kind:<13} {_said(command)}" for command in commands]
    lines.append(f"does not read: {', '.join(found['not_read']) or 'nothing'}")
    if found["other_commands"]:
        lines += ["", "also in the book, sent only where a probe, a capture or a change needs it:"]
        lines += [
            f"  {command['risk']:<13} {_said(command)}" for command in found["other_commands"]
        ]
    lines += ["", *_capture_lines(found["capture"])]
    lines += ["", *_change_lines(found), "", "what its clamps do:"]
    lines += [_clamp_line(clamp) for clamp in found["clamps"]] or ["  nothing is known"]
    return lines


def _capture_lines(capture: dict[str, Any]) -> list[str]:
    if not capture["possible"]:
        return [f"does not capture: {capture['because']}" if capture["because"] else "no capture"]
    most = f"{capture['max_seconds']} s and {capture['max_packets']} packets"
    lines = [f"captures for at most {most}; leaves {'; '.join(capture['leaves']) or 'nothing'}"]
    if capture["misses"]:
        lines.append(f"  does not see: {capture['misses']}; what is missing proves nothing")
    if capture["leaving"] == "unknown":
        lines.append(
            "  packets that leave may be shown before its own clamps: their MSS is not used"
        )
    return lines


def _said(command: dict[str, str]) -> str:
    first = command["run"].split("\n")[0]
    return f"{first} [{command['basis']}]"


def _change_lines(found: dict[str, Any]) -> list[str]:
    if not found["changes"]:
        return ["changes nothing: the book has no change; a plan ends in a change request"]
    return ["changes:"] + [
        f"  {change['name']}: {change['summary']} [{change['basis']}]; costs {change['cost']}; "
        f"guard {change['guard'] or 'none'}"
        + ("; can touch the management path" if change["touches_management"] else "")
        for change in found["changes"]
    ]


def _clamp_line(clamp: dict[str, Any]) -> str:
    when = [f"from {clamp['since']}"] if clamp["since"] else []
    when += [f"before {clamp['until']}"] if clamp["until"] else []
    return (
        f"  {clamp['kind']}{' ' + ', '.join(when) if when else ''}: "
        f"{' and '.join(clamp['rewrites'])}, {' and '.join(clamp['families'])} [{clamp['basis']}] "
        f"{clamp['source']}"
    )


def rewritten(text: str, content: ContentRoot) -> str:
    """Return a README with the table of this content.

    Raises:
        UsageError: it has no place for it.
    """
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise UsageError(f"there is no {START} ... {END} in it")
    return f"{head}{START}\n{table(all_books(content))}{END}{tail}"


def main(argv: list[str]) -> int:
    """Write the table into the files named."""
    for name in argv:
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        path.write_text(rewritten(text, packaged_content()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
