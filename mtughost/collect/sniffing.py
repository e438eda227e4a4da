"""Captures on vendors' command lines: a sniffer that prints, or a capture in the device's memory.

Both end by themselves (a number of packets, a time), are ended by us, and are removed again. The
text becomes a capture file (:mod:`mtughost.dialects.sniffers`), so that nothing above knows.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from mtughost.content.book import Book, CaptureSpec
from mtughost.content.render import render_command
from mtughost.dialects.hexdump import Sniffed
from mtughost.dialects.sniffers import SNIFFERS
from mtughost.model.errors import CommandRejectedError, DeviceTimeoutError
from mtughost.model.session import Answer, AnswerStatus, Clock, RenderedCommand, Session

Values = Mapping[str, object]
#: Lines that end a capture have to get there.
_LATER_S = 5


def rendered(book: Book, command_id: str, values: Values) -> list[RenderedCommand]:
    """Render a capture's command with those of the values that it takes.

    One that takes a single port is rendered once for each.
    """
    wanted = book.commands[command_id].params
    given = {name: values[name] for name in wanted if name != "port"}
    if "port" not in wanted:
        return [render_command(book, command_id, given)]
    ports = values["ports"]
    assert isinstance(ports, list)  # noqa: S101 - made below
    return [render_command(book, command_id, {**given, "port": port}) for port in ports]


def sniff(
    session: Session,
    book: Book,
    spec: CaptureSpec,
    values: Values,
    *,
    seconds: float,
    clock: Clock,
    started: Callable[[], None] = lambda: None,
) -> tuple[Sniffed, str, tuple[str, ...]]:
    """Capture by text.

    Args:
        session: An open login of this capture's own: a command line does one thing at a time.
        book: The device's task book.
        spec: Its capture.
        values: What its commands may take.
        seconds: How long.
        clock: Time.
        started: Called as soon as packets are caught.

    Returns:
        The packets, the line that made them, and remarks.

    Raises:
        DeviceError: refused, or the answer is not whole. What was made on the device was removed
            where that was still possible.
    """
    # In memory it ends by itself a little later than we end it.
    limit_s = math.ceil(seconds) + (_LATER_S if spec.show else 0)
    values = {**values, "name": f"MG{secrets.token_hex(3)}", "seconds": limit_s}
    start = rendered(book, spec.command, values)[0]
    began_s = datetime.fromisoformat(clock.utc_now()).timestamp()
    if not spec.show:
        started()
        text = session.stream(start, seconds=seconds).decode("utf-8", "replace")
        return SNIFFERS[spec.reads]({"packets": text}, began_s), start.line, ()
    # All of them before the first is sent: a value that does not fit must leave nothing behind.
    begin = _lines(book, (*spec.begin, spec.command), values)
    stop, show = _lines(book, spec.stop, values), _lines(book, spec.show.values(), values)
    end = _lines(book, spec.end, values)
    remarks: list[str] = []
    try:
        _tell(session, begin)
        started()
        began_s = datetime.fromisoformat(clock.utc_now()).timestamp()
        clock.sleep(seconds)
        _tell(session, stop)
        shown = _ask(session, show)
    finally:
        remarks += _removed(session, end)
    answers = {role: answer.text for role, answer in zip(spec.show, shown, strict=True)}
    return SNIFFERS[spec.reads](answers, began_s), start.line, tuple(remarks)


def _lines(book: Book, command_ids: Iterable[str], values: Values) -> list[RenderedCommand]:
    return [line for each in command_ids for line in rendered(book, each, values)]


def _ask(session: Session, commands: Iterable[RenderedCommand]) -> tuple[Answer, ...]:
    """Send lines one after the other; the first that is not obeyed ends it."""
    return tuple(_one(session, command, ("complete",)) for command in commands)


def _tell(session: Session, commands: Iterable[RenderedCommand]) -> None:
    """Send lines whose answer does not matter unless it is a refusal.

    A log line in between leaves an answer in doubt: whether the capture runs shows later.
    """
    for command in commands:
        _one(session, command, ("complete", "desync"))


def _one(session: Session, command: RenderedCommand, good: tuple[AnswerStatus, ...]) -> Answer:
    answer = session.ask([command])[0]
    if answer.status == "rejected":
        raise CommandRejectedError(
            session.host,
            f"the device refused {command.line!r}: {answer.error}",
            command=command.line,
            answer=answer.error,
        )
    if answer.status not in good:
        raise DeviceTimeoutError(
            session.host, f"{command.line!r} was not answered whole: {answer.error}"
        )
    return answer


def _removed(session: Session, commands: Iterable[RenderedCommand]) -> list[str]:
    """Send the lines that remove the capture; say so where that is not certain."""
    for command in commands:
        statuses = [session.ask([command])[0].status]
        if statuses[-1] == "desync":
            # What is gone already is refused: that proves it, too.
            statuses.append(session.ask([command])[0].status)
        proven = {"complete"} if len(statuses) == 1 else {"complete", "rejected"}
        if statuses[-1] not in proven:
            return [f"the capture may still be on the device; {command.line!r} removes it"]
    return []
