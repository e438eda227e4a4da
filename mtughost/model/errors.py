"""Every error that mtughost raises on purpose, and the exit code that each one owns.

::

    MtughostError                   1   base; anything else that escapes is a bug of ours
    ├ UsageError                    2   the command line or the call is wrong
    ├ ContentError                  3   a file of content or inventory is wrong; nothing was sent
    │ └ InventoryError              3
    ├ LabError                      3   the lab cannot run here; says what is missing
    ├ DeviceError                   4   this device failed, the others go on
    │ ├ DeviceUnreachableError      4   no TCP connection, or it broke (ConnectionError)
    │ ├ DeviceTimeoutError          4   a deadline passed (TimeoutError)
    │ ├ ManagementStallError        4   stalled between banner and key exchange
    │ ├ HostKeyError                4   unknown or changed host key: no login
    │ ├ AuthenticationRefusedError  4   never retried
    │ ├ PolicyUnreachableError      4   offers only algorithms that policy forbids
    │ ├ NoCommandLineError          4   the platform has no SSH command line: says what to do
    │ ├ OutputLimitError            4   more output than the cap
    │ ├ SessionDesyncError          4   an answer could not be tied to its command
    │ ├ DeviceSkippedError          4   not tried; says why
    │ ├ WorkerLostError             4   the workers that visited it ended, again and again
    │ └ CommandRejectedError        4   the device refused a command
    ├ StoreError                    3   run store or journal unusable
    ├ SchedulerError                3   no Dask cluster, or it is gone: the finished part is kept
    ├ PlanRefusedError              5   drift, expired, unsigned: nothing was sent
    ├ ApplyError                    6   apply failed and was undone, proven
    └ NeedsHumanError               7   undo not proven: a person is needed

Every error names what it is about (device, file, line or key) and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class MtughostError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        reason: What went wrong, one sentence without a final full stop.
        todo: What the reader should do, or ``""``.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, reason: str, *, todo: str = "") -> None:
        super().__init__(reason, todo)
        self.reason = reason
        self.todo = todo

    def __str__(self) -> str:
        # Behind a diff the advice has a line of its own.
        between = "\n" if "\n" in self.reason else ". "
        return f"{self.reason}{between}{self.todo}" if self.todo else self.reason

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields would be lost by the default pickling between processes.
        return (_rebuild, (type(self), dict(self.__dict__), self.args))


def _rebuild(
    cls: type[MtughostError], state: dict[str, object], args: tuple[object, ...]
) -> MtughostError:
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class UsageError(MtughostError):
    """The command line or the call is wrong."""

    exit_code = 2


class ContentError(MtughostError):
    """A file of content is wrong. Nothing was sent.

    Attributes:
        path: The file, as the user would name it.
        line: Line number from 1, or ``None``.
        key: The offending key or host, or ``""``.
    """

    exit_code = 3

    def __init__(
        self, reason: str, *, path: str = "", line: int | None = None, key: str = "", todo: str = ""
    ) -> None:
        super().__init__(reason, todo=todo)
        self.path = path
        self.line = line
        self.key = key

    def __str__(self) -> str:
        where = self.path + (f":{self.line}" if self.line is not None else "")
        return ": ".join(part for part in (where, self.key, super().__str__()) if part)


class InventoryError(ContentError):
    """The inventory is wrong: file, line, host and key say where.

    Attributes:
        host: Inventory name of the host (``group NAME`` for a group), or ``""``.
        others: The further problems of the same inventory; ``str()`` lists them all.
    """

    def __init__(
        self,
        reason: str,
        *,
        path: str = "",
        line: int | None = None,
        host: str = "",
        key: str = "",
        todo: str = "",
        others: tuple[InventoryError, ...] = (),
    ) -> None:
        super().__init__(reason, path=path, line=line, key=key, todo=todo)
        self.host = host
        self.others = others

    def __str__(self) -> str:
        where = self.path + (f":{self.line}" if self.line is not None else "")
        text = MtughostError.__str__(self)
        first = ": ".join(part for part in (where, self.host, self.key, text) if part)
        return "\n".join([first, *map(str, self.others)])


class LabError(MtughostError):
    """The lab cannot run here, or a part of it did not start."""

    exit_code = 3


class StoreError(MtughostError):
    """The run store or the journal cannot be used."""

    exit_code = 3


class SchedulerError(MtughostError):
    """The Dask cluster cannot be used, or is gone. What had finished is kept."""

    exit_code = 3


class EvidenceError(MtughostError):
    """A bundle cannot be made or cannot be trusted: names the member and what is wrong with it."""

    exit_code = 5


class DeviceError(MtughostError):
    """This device failed; the others go on.

    Attributes:
        host: The device's inventory name.
    """

    exit_code = 4
    #: Stable word for JSON, the store and JUnit.
    kind: ClassVar[str] = "device-error"

    def __init__(self, host: str, reason: str, *, todo: str = "") -> None:
        super().__init__(reason, todo=todo)
        self.host = host

    def __str__(self) -> str:
        return f"{self.host}: {super().__str__()}"


class DeviceUnreachableError(DeviceError, ConnectionError):
    """No TCP connection, or it broke."""

    kind = "unreachable"


class DeviceTimeoutError(DeviceError, TimeoutError):
    """A deadline passed. The deadline is monotonic and covers the whole command."""

    kind = "timeout"


class ManagementStallError(DeviceTimeoutError):
    """The login stalled between the server's banner and the key exchange.

    Large packets of the management path itself may be lost: evidence of ``management-path-hole``.
    """

    kind = "management-stall"


class HostKeyError(DeviceError):
    """Unknown or changed host key, so no login was tried."""

    kind = "host-key"


class AuthenticationRefusedError(DeviceError):
    """The device refused the credential. It is never tried again."""

    kind = "auth-refused"


class PolicyUnreachableError(DeviceError):
    """The device offers only algorithms that policy forbids (SHA-1, 3DES).

    Attributes:
        offered: What the device offered, by kind, for the report.
    """

    kind = "unreachable-by-policy"

    def __init__(self, host: str, reason: str, *, offered: str = "", todo: str = "") -> None:
        super().__init__(host, reason, todo=todo)
        self.offered = offered


class NoCommandLineError(DeviceError):
    """The device has no SSH command line, so nothing was sent to it."""

    kind = "no-command-line"


class OutputLimitError(DeviceError):
    """A command answered with more bytes than its cap."""

    kind = "output-limit"


class SessionDesyncError(DeviceError):
    """An answer could not be tied to the command that was sent."""

    kind = "desync"


class DeviceSkippedError(DeviceError):
    """The device was asked for and not tried, or given up before it had finished."""

    kind = "skipped"


class WorkerLostError(DeviceError):
    """The worker that visited the device ended before the visit did, again and again."""

    kind = "worker-lost"


class CommandRejectedError(DeviceError):
    """The device refused a command.

    Attributes:
        command: The line that was sent.
        answer: The device's words, cut to a readable length.
    """

    kind = "command-rejected"

    def __init__(
        self, host: str, reason: str, *, command: str = "", answer: str = "", todo: str = ""
    ) -> None:
        super().__init__(host, reason, todo=todo)
        self.command = command
        self.answer = answer


class PlanRefusedError(MtughostError):
    """The plan was refused: drift, expired, unsigned, tampered. Nothing was sent."""

    exit_code = 5


class ApplyError(MtughostError):
    """The change failed and was undone, and the undo was read back."""

    exit_code = 6


class NeedsHumanError(MtughostError):
    """The undo could not be proven. A person must look at the named device."""

    exit_code = 7
