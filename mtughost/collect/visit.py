"""One passive visit: ask what the book reads on a device of this role, derive its facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mtughost.collect.reads import FactReader, entries_for, facts_from_answers
from mtughost.content.book import Book, Kind, ReadSpec
from mtughost.content.render import render_command
from mtughost.content.root import ContentRoot
from mtughost.model.errors import (
    CommandRejectedError,
    DeviceError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    OutputLimitError,
    SessionDesyncError,
)
from mtughost.model.inventory import Device
from mtughost.model.session import Answer, AnswerStatus, Clock, RenderedCommand, Session
from mtughost.model.visit import Visit

_LOOK = "Log in by hand and look"


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
        DeviceError: what the session itself raises; or no command was answered at all, or the
            connection ended on the way. A single failed command is an answer.
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
    _refuse_unread(device.name, answers)
    facts, unplaced = facts_from_answers(answers, book, root, device)
    return Visit(
        answers=answers,
        facts=facts,
        unplaced=unplaced,
        duration_s=clock.monotonic_s() - began_s,
    )


#: What a device that answers nothing is called.
_UNREAD: dict[AnswerStatus, type[DeviceError]] = {
    "timeout": DeviceTimeoutError,
    "output-limit": OutputLimitError,
    "desync": SessionDesyncError,
    "eof": DeviceUnreachableError,
    "rejected": CommandRejectedError,
}


def _refuse_unread(host: str, answers: Sequence[Answer]) -> None:
    """Do not let a device count as read that answered nothing, or whose connection ended."""
    ended = [a for a in answers if a.status == "complete" or a.exit_code is not None]
    if answers and not ended:
        first = answers[0]
        kind = _UNREAD.get(first.status, SessionDesyncError)
        raise kind(host, f"no command was answered: {first.error}", todo=_LOOK)
    if answers and answers[-1].status == "eof":
        words = f"the connection ended after {len(ended)} of {len(answers)} answers"
        raise DeviceUnreachableError(host, f"{words}: {answers[-1].error}", todo=_LOOK)


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
