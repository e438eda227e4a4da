"""One passive visit: ask what the book reads on a device of this role, derive its facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mtughost.collect.reads import FactReader, Unplaced, entries_for, facts_from_answers
from mtughost.content.book import Book, Kind, ReadSpec
from mtughost.content.render import render_command
from mtughost.content.root import ContentRoot
from mtughost.model.device import DeviceFacts
from mtughost.model.inventory import Device
from mtughost.model.session import Answer, Clock, RenderedCommand, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one visit brought home.

    Attributes:
        answers: Raw, in the order in which they were asked: facts can be derived from them again.
        facts: Derived from the answers.
        unplaced: Lines that no parser could place.
        duration_s: Monotonic, without the login.
    """

    answers: tuple[Answer, ...]
    facts: DeviceFacts
    unplaced: tuple[Unplaced, ...]
    duration_s: float = 0.0


def read_device(
    session: Session,
    book: Book,
    root: ContentRoot,
    device: Device,
    *,
    clock: Clock,
    kinds: frozenset[str] | None = None,
) -> Visit:
    """Read a device passively. Only passive commands of the book's ``read:`` are sent.

    Args:
        session: An open login.
        book: The platform's task book.
        root: Where its parsers are.
        device: Its role chooses the entries.
        clock: For the duration.
        kinds: Only these kinds of fact; ``privilege`` is read along with ``clamps``, without
            which they prove nothing.

    Raises:
        DeviceError: only what the session itself raises; a failed command is an answer.
        ContentError: the book names a dialect that does not exist.
    """
    began_s = clock.monotonic_s()
    wanted = _wanted(book, kinds)
    first = _commands(book, device, wanted, fallback=False)
    answers = session.ask(first)
    reader = FactReader(answers, book, root, device)
    again = [kind for kind in wanted if reader.needs_fallback(kind)]
    if again:
        asked = {command.command_id for command in first}
        second = _commands(book, device, again, fallback=True)
        answers += session.ask([c for c in second if c.command_id not in asked])
    facts, unplaced = facts_from_answers(answers, book, root, device)
    return Visit(
        answers=answers,
        facts=facts,
        unplaced=unplaced,
        duration_s=clock.monotonic_s() - began_s,
    )


def _wanted(book: Book, kinds: frozenset[str] | None) -> list[Kind]:
    if kinds is None:
        return list(book.read)
    wider = kinds | {"privilege"} if "clamps" in kinds else kinds
    return [kind for kind in book.read if kind in wider]


def _commands(
    book: Book, device: Device, kinds: Iterable[Kind], *, fallback: bool
) -> list[RenderedCommand]:
    entries: list[ReadSpec] = [
        entry
        for kind in kinds
        for entry in entries_for(book, kind, device)
        if entry.fallback == fallback
    ]
    ids = dict.fromkeys(command_id for entry in entries for command_id in entry.command_ids)
    return [render_command(book, command_id) for command_id in ids]
