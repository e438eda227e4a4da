"""Where each claim of a ticket can be checked: file of the bundle, line or frames, once each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mtughost.model.basis import Basis
from mtughost.model.findings import Evidence

#: A device's command, by which its answer or capture is found: (host, line that was sent).
Asked = tuple[str, str]
_FRAMES_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The files of a bundle that hold what was read.

    Attributes:
        answers: Path of each answer.
        captures: Paths of each capture; two where a second look repeated the command.
    """

    answers: Mapping[Asked, str]
    captures: Mapping[Asked, tuple[str, ...]]


NO_SOURCES: Final = Sources(answers={}, captures={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """One observable with everywhere that it was seen.

    Attributes:
        command: What was sent, ``""`` where ``member`` says enough or nothing was sent.
        member: Path in the bundle, ``""`` where it is not handed over.
        frames: Of the capture, in order.
    """

    kind: str
    value: str
    host: str
    command: str
    member: str
    line: int | None
    frames: tuple[int, ...]
    basis: Basis

    @property
    def place(self) -> str:
        """Line or frames in words, ``""`` where neither is known."""
        if self.line is not None:
            return f"line {self.line}"
        if not self.frames:
            return ""
        shown = ", ".join(map(str, self.frames[:_FRAMES_SHOWN]))
        rest = len(self.frames) - _FRAMES_SHOWN
        more = f" and {rest} more" if rest > 0 else ""
        return f"{'frame' if len(self.frames) == 1 else 'frames'} {shown}{more}"


def citations_of(evidence: Iterable[Evidence], sources: Sources) -> tuple[Citation, ...]:
    """Return the evidence with its files; the same words about several frames become one."""
    grouped: dict[tuple[str, str, str, str | None, int | None], list[Evidence]] = {}
    for item in evidence:
        key = (item.kind, item.value, item.host, item.command, item.line)
        grouped.setdefault(key, []).append(item)
    return tuple(_citation(items, sources) for items in grouped.values())


def citation_of(item: Evidence, sources: Sources) -> Citation:
    """Return one observable with its file."""
    return _citation([item], sources)


def _citation(items: list[Evidence], sources: Sources) -> Citation:
    first = items[0]
    asked = (first.host, first.command or "")
    captures = sources.captures.get(asked, ())
    return Citation(
        kind=first.kind,
        value=first.value,
        host=first.host,
        # A capture's command is long and stands at its file already.
        command="" if captures else first.command or "",
        member=" or ".join(captures) or sources.answers.get(asked, ""),
        line=first.line,
        frames=tuple(item.frame for item in items if item.frame is not None),
        basis=first.basis,
    )
