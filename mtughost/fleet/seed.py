"""The process that workers are forked from, so that what all of them need is loaded once.

Importing, reading task books and compiling parsers take a second of CPU; a forked worker has it
all at once, and shares the memory until it writes to it. The one who forks must have no thread:
so it is a process of its own, which visits nothing. This module imports little: the seed is begun
while its parent still loads what it needs itself.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import mtughost

if TYPE_CHECKING:
    from mtughost.fleet.worker import Crew, Start

#: What a worker may take to end once its line is broken, before it is killed.
END_S = 2.0
_POLL_S = 0.01
#: Kind, the worker's number, a monotonic time.
_ORDER = struct.Struct("=cqd")
_FORK, _BURY, _ANSWER = b"F", b"B", b"A"
_SIZE = struct.Struct("=Q")


class Seed:
    """A process that workers can be forked from. Thread-safe. Close it.

    Args:
        module: Is imported at once, before it is known what the workers do; ``""`` for none.
    """

    def __init__(self, module: str = "") -> None:
        self._line, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._planted = False
        with theirs:
            argv = [sys.executable, "-P", "-c", _PROGRAM, _home(), str(theirs.fileno()), module]
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C on the terminal is the parent's business
            )

    @property
    def pid(self) -> int:
        """The process, whose children the workers are."""
        return self._process.pid

    def plant(self, start: Start) -> None:
        """Say what the workers do. Only the first time counts."""
        if not self._planted:
            self._planted = True
            message = pickle.dumps(start, protocol=pickle.HIGHEST_PROTOCOL)
            with contextlib.suppress(OSError):  # it has ended: every worker's line says so
                self._line.sendall(_SIZE.pack(len(message)) + message)

    def fork(self, number: int) -> socket.socket:
        """Return the line to a new worker; where none could be made it is at its end."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock, contextlib.suppress(OSError):
            order = _ORDER.pack(_FORK, number, 0.0)
            socket.send_fds(self._line, [order], [theirs.fileno()])
        return ours

    def answers(self) -> bool:
        """Say whether it takes orders. One that was just killed may still look alive."""
        return self._ask(_ORDER.pack(_ANSWER, 0, 0.0))

    def bury(self, number: int) -> None:
        """Wait until a worker whose line is broken has ended; after a while, end it."""
        self._ask(_ORDER.pack(_BURY, number, time.monotonic() + END_S))

    def _ask(self, order: bytes) -> bool:
        with self._lock, contextlib.suppress(OSError):
            self._line.sendall(order)
            return bool(self._line.recv(1))
        return False

    def close(self) -> None:
        """End the seed, and with it what workers are left."""
        with self._lock:
            self._line.close()
            if not self._planted:
                self._process.kill()  # nobody needs what it is loading
            try:
                self._process.wait(2 * END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _home() -> str:
    """Return the folder that this very package is imported from."""
    return str(Path(mtughost.__file__).parents[1])


#: ``-P`` keeps the current directory out; the package's own folder is named last.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from mtughost.fleet.seed import main; main(int(sys.argv[2]), sys.argv[3])"
)


def main(descriptor: int, module: str) -> NoReturn:
    """Load what the workers need, then fork one for each order until the line ends."""
    from mtughost.fleet import worker  # noqa: PLC0415  # the parent does without

    with contextlib.suppress(ImportError):  # its maker will say what is missing
        importlib.import_module(module or __name__)
    orders = socket.socket(fileno=descriptor)
    workers: dict[int, int] = {}
    start = _first_message(orders)
    crew = worker.Crew(start) if start is not None else None
    while crew is not None:
        order, descriptors, _flags, _address = socket.recv_fds(orders, _ORDER.size, 1)
        if len(order) < _ORDER.size:
            break
        kind, number, until_s = _ORDER.unpack(order)
        if kind != _FORK:
            if kind == _BURY:
                _see_off(workers.pop(number, 0), until_s)
            orders.sendall(b".")
            continue
        with contextlib.suppress(OSError):  # the machine has no more processes to give
            workers[number] = _forked(crew, descriptors[0], orders)
        os.close(descriptors[0])
    for pid in workers.values():
        _see_off(pid, 0.0)
    os._exit(0)


def _first_message(orders: socket.socket) -> Start | None:
    head = orders.recv(_SIZE.size, socket.MSG_WAITALL)
    if len(head) < _SIZE.size:
        return None  # nobody needed workers
    message = orders.recv(_SIZE.unpack(head)[0], socket.MSG_WAITALL)
    start: Start = pickle.loads(message)  # noqa: S301 - from our own parent
    return start


def _forked(crew: Crew, descriptor: int, orders: socket.socket) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        orders.close()
        crew.serve(descriptor)
    finally:
        # Threads may still hang on devices: nobody waits for them any more.
        os._exit(0)


def _see_off(pid: int, until_s: float) -> None:
    """Wait for a child until a monotonic time, then kill it."""
    if not pid:
        return
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() >= until_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(_POLL_S)
