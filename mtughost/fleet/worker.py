"""A worker process: visits devices in threads, connects *and* parses, sends home what it found.

Forked by :mod:`mtughost.fleet.seed` with one end of a socket to :mod:`mtughost.fleet.pool`. What
travels is pickled by our own other end, never by a device: tasks and devices in, values and typed
errors out. Secrets do not travel: a worker resolves references itself. It ends when the other end
of the socket is gone.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from mtughost.fleet.heap import tidy, use_one_heap
from mtughost.fleet.threads import login_told_to
from mtughost.model.errors import MtughostError
from mtughost.model.inventory import Device
from mtughost.model.packed import dumps, loads

#: Visits after which a worker tidies up. Each leaves reference cycles (paramiko's, netmiko's) with
#: buffers on them, 12 kB of growth; Python's own collector comes too seldom.
TIDY_EVERY = 200


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
    """Sends whole messages from any thread; before there is a connection it keeps them."""

    connection: Connection | None = None
    kept: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, message: bytes) -> None:
        with self.lock:
            if self.connection is None:
                self.kept.append(message)
                return
            # Where the parent is gone, serve() reads its end and the process ends.
            with suppress(BrokenPipeError, ConnectionError):
                self.connection.send_bytes(message)

    def connect(self, connection: Connection) -> None:
        self.connection = connection
        for message in self.kept:
            self.tell(message)


class Crew:
    """What the workers of a pool have in common, made once before they are forked."""

    def __init__(self, start: Start) -> None:
        use_one_heap()
        self._line = _Line()
        self._visitor = made(start, self._line.tell)
        gc.collect()
        gc.freeze()  # what workers start with stays: it need not be looked through again

    def serve(self, descriptor: int) -> None:
        """Visit devices until the other end of a socket closes."""
        connection = Connection(descriptor)
        self._line.connect(connection)
        try:
            for begun in itertools.count(1):
                number, device = connection.recv()
                threading.Thread(
                    target=visit_and_tell,
                    args=(self._visitor, number, device, self._line.tell),
                    daemon=True,
                ).start()
                if begun % TIDY_EVERY == 0:
                    tidy()
        except (EOFError, OSError):
            pass


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
    told: Told = loads(message)  # only our own workers reach this
    return told


def _packed(told: Told) -> bytes:
    return dumps(told)


def _portable(error: BaseException) -> BaseException:
    """Return the error, or a stand-in where it cannot be pickled, with where it was raised."""
    if isinstance(error, MtughostError):
        return error
    where = "".join(traceback.format_tb(error.__traceback__))
    try:
        loads(dumps(error))
        carried = error
    except Exception:  # noqa: BLE001 - whatever its own pickling does
        carried = RuntimeError(type(error).__name__)
    carried.add_note(f"in a worker process:\n{where}")
    return carried
