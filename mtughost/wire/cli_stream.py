"""A command on a command line that prints until a key interrupts it, such as a vendor's sniffer."""

from __future__ import annotations

from mtughost.model.errors import (
    CommandRejectedError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    OutputLimitError,
    SessionDesyncError,
)
from mtughost.model.session import RenderedCommand
from mtughost.wire.cli_framing import Refusals, single_answer
from mtughost.wire.cli_talk import Talk, TalkError
from mtughost.wire.text import excerpt


def refuse_endless(host: str, command: RenderedCommand) -> CommandRejectedError:
    """Return the error for a login that could not end such a command. Nothing was sent."""
    return CommandRejectedError(
        host,
        "a command that goes on until it is interrupted cannot be run in this login",
        command=command.line,
        todo="Capture on a shell platform, or use the vendor's own capture command",
    )


def run_until_interrupted(
    talk: Talk, command: RenderedCommand, key: str, seconds: float, host: str
) -> str:
    """Run it for a while and return everything since its echo, up to the prompt at rest.

    Raises:
        DeviceUnreachableError: the session ended.
        DeviceTimeoutError: it did not end; the shell was closed, which ends it.
        OutputLimitError: it printed more than ``command.max_bytes``; it was interrupted.
    """
    try:
        text, is_full = talk.foreground(
            command.line, seconds=seconds, key=key, max_bytes=command.max_bytes
        )
    except TalkError as error:
        talk.hang_up()
        if error.status == "eof":
            raise DeviceUnreachableError(host, f"{error}, in {command.line}") from error
        raise DeviceTimeoutError(host, f"{error}: {command.line}") from error
    if is_full:
        raise OutputLimitError(
            host,
            f"more than {command.max_bytes} bytes of output: {command.line}",
            todo="Narrow the filter, shorten the time or raise the limit",
        )
    return text


def streamed(
    host: str, command: RenderedCommand, text: str, prompt: str, refusals: Refusals
) -> str:
    """Return what the command printed, without echo and prompt.

    Raises:
        SessionDesyncError: its echo is not in place.
        CommandRejectedError: the device refused it.
    """
    said = single_answer(text, prompt, command.line)
    if said is None:
        raise SessionDesyncError(host, f"the device did not echo {command.line!r}")
    refusal = refusals.first(said)
    if refusal:
        raise CommandRejectedError(
            host,
            f"the device refused {command.line!r}: {excerpt(refusal)}",
            command=command.line,
            answer=excerpt(refusal),
        )
    return said
