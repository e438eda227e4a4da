"""A worker process: visits devices in threads, connects *and* parses, sends home what it found.

Started by :mod:`mtughost.fleet.pool` with one end of a socket. What travels is pickled by our own
other end, never by a device: tasks and devices in, values and typed errors out. Secrets do not
travel: a worker resolves references itself. It ends when the other end of the socket is gone.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from mtughost.fleet.threads import login_told_to
from mtughost.model.errors import MtughostError
from mtughost.model.inventory import Device

#: Visits after which a worker collects garbage. Each leaves reference cycles (paramiko's,
#: netmiko's) with buffers on them, 12 kB of growth; Python's own collector comes too seldom.
COLLECT_EVERY = 200


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

    def tell(self, message: bytes) -> None:
        # Where the parent is gone, main() reads its end and the process ends.
        with self.lock, suppress(BrokenPipeError, ConnectionError):
            self.connection.send_bytes(message)


def main(descriptor: int) -> None:
    """Serve until the other end closes."""
    connection = Connection(descriptor)
    line = _Line(connection)
    try:
        visitor = made(connection.recv(), line.tell)
        gc.freeze()  # what a worker starts with stays: it need not be looked through again
        for begun in itertools.count(1):
            number, device = connection.recv()
            threading.Thread(
                target=visit_and_tell, args=(visitor, number, device, line.tell), daemon=True
            ).start()
            if begun % COLLECT_EVERY == 0:
                gc.collect()
    except (EOFError, OSError):
        pass
    # Threads may still hang on devices: nobody waits for them any more.
    os._exit(0)


def made(start: Start, tell: Callable[[bytes], None]) -> Visitor:
    """Make the visitor that ``start`` names; what it has to say is told as notes."""
    module, _, name = start.maker.partition(":")
    make: Callable[[object, Callable[[str], None]], Visitor]
    make = getattr(importlib.import_module(module), name)
    return make(start.argument, lambda words: tell(_packed(Told(0, "note", words))))


def visit_and_tell(
    visitor: Visitor, number: int, device: Device, tell: Callable[[bytes], None]
) -> None:
    """Visit a device and tell, packed, when its login was accepted and how the visit ended."""
    try:
        with login_told_to(lambda: tell(_packed(Told(number, "proven")))):
            message = _packed(Told(number, "value", visitor.visit(device)))
    except BaseException as error:  # noqa: BLE001 - it is raised again at the other end
        message = _packed(Told(number, "error", _portable(error)))
    tell(message)


def unpacked(message: bytes) -> Told:
    """Return what a worker of ours told."""
    told: Told = pickle.loads(message)  # noqa: S301 - only our own workers reach this
    return told


def _packed(told: Told) -> bytes:
    return pickle.dumps(told, protocol=pickle.HIGHEST_PROTOCOL)


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
