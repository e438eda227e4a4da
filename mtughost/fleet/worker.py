"""A worker process: visits devices in threads, connects *and* parses, sends home what it found.

Started by :mod:`mtughost.fleet.pool` with one end of a socket. What travels is pickled by our own
other end, never by a device: tasks and devices in, values and typed errors out. Secrets do not
travel: a worker resolves references itself. It ends when the other end of the socket is gone.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from mtughost.fleet.threads import login_told_to
from mtughost.model.errors import MtughostError
from mtughost.model.inventory import Device


class Visitor(Protocol):
    """What is done with a device, here or in a worker."""

    def visit(self, device: Device) -> Any:
        """Log in, read, log out; tell :func:`mtughost.fleet.threads.login_proven` in between.

        Called from many threads at once.
        """


@dataclass(frozen=True, slots=True)
class Start:
    """The first message to a worker.

    Attributes:
        maker: ``module:function``; the function makes the visitor from ``argument`` and a callable
            that tells the person in front of the parent something.
        argument: Anything that can be pickled.
    """

    maker: str
    argument: object


@dataclass(frozen=True, slots=True)
class Told:
    """A message from a worker.

    Attributes:
        number: The visit; 0 for what concerns none.
        kind: ``proven`` (the login was accepted), ``value``, ``error`` or ``note``.
        what: The value, the exception or the words.
    """

    number: int
    kind: str
    what: object = None


@dataclass(slots=True)
class _Line:
    """Sends whole messages from any thread."""

    connection: Connection
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, message: Told) -> None:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with self.lock:
            self.connection.send_bytes(data)


def main(descriptor: int) -> None:
    """Serve until the other end closes."""
    connection = Connection(descriptor)
    line = _Line(connection)
    try:
        start: Start = connection.recv()
        module, _, name = start.maker.partition(":")
        make: Callable[[object, Callable[[str], None]], Visitor]
        make = getattr(importlib.import_module(module), name)
        visitor = make(start.argument, lambda words: line.tell(Told(0, "note", words)))
        while True:
            number, device = connection.recv()
            threading.Thread(
                target=_visit, args=(visitor, number, device, line), daemon=True
            ).start()
    except (EOFError, OSError):
        pass
    # Threads may still hang on devices: nobody waits for them any more.
    os._exit(0)


def _visit(visitor: Visitor, number: int, device: Device, line: _Line) -> None:
    try:
        with login_told_to(lambda: line.tell(Told(number, "proven"))):
            message = Told(number, "value", visitor.visit(device))
        line.tell(message)
    except (BrokenPipeError, ConnectionError) as error:
        if isinstance(error, MtughostError):
            line.tell(Told(number, "error", error))
    except BaseException as error:  # noqa: BLE001 - it is raised again at the other end
        line.tell(Told(number, "error", _portable(error)))


def _portable(error: BaseException) -> BaseException:
    """Return the error, or a stand-in where it cannot be pickled, with where it was raised."""
    if isinstance(error, MtughostError):
        return error
    where = "".join(traceback.format_tb(error.__traceback__))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes of this very moment
        carried = error
    except Exception:  # noqa: BLE001 - whatever its own pickling does
        carried = RuntimeError(type(error).__name__)
    carried.add_note(f"in a worker process:\n{where}")
    return carried


if __name__ == "__main__":
    main(int(sys.argv[1]))
