"""TCP connections of our own: dialled with a deadline, TCP_NODELAY, and on request a small MSS."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import queue
import socket
import struct
import termios
import threading
import time
from typing import Protocol

from mtughost.model.errors import DeviceTimeoutError, DeviceUnreachableError

_READ_BYTES = 64 * 1024
_VERSION_PREFIX = b"SSH-"


class ByteStream(Protocol):
    """What a socket and a paramiko channel have in common, as far as we need it."""

    def recv(self, nbytes: int, /) -> bytes:
        """Return up to ``nbytes``; ``b""`` at the end."""

    def send(self, data: bytes, /) -> int:
        """Send some of ``data``."""

    def settimeout(self, timeout: float | None, /) -> None:
        """Set the limit of one read or write."""

    def close(self) -> None:
        """Close."""


def forget_unsent(sock: socket.socket) -> None:
    """Let the end of this socket, or of this process, throw away what was not acknowledged.

    Otherwise the kernel goes on sending it for minutes: a line of a change that the network holds
    up would reach the device after its undo (socket(7) SO_LINGER, tcp(7) tcp_orphan_retries).
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _end_orderly(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))


def _holds_back(sock: socket.socket) -> bool:
    """Say whether the kernel still has bytes that the far end has not acknowledged."""
    waiting = bytearray(struct.calcsize("i"))
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, waiting)
    except OSError:
        return True
    return struct.unpack("i", waiting) != (0,)


class GuardedStream:
    """A connection as paramiko is given it.

    It reads in large pieces (paramiko asks for 16 bytes at a time), bounds what a server may send
    before its version line, notes when that line came, and wakes blocked readers on close.

    Attributes:
        version_at_s: Monotonic time of the server's version line, or ``None``.
        flooded: Whether the server sent too much before its version line.
    """

    def __init__(self, inner: ByteStream, *, max_banner_bytes: int) -> None:
        self._inner = inner
        self._buffer = memoryview(b"")
        self._banner = bytearray()
        self._max_banner_bytes = max_banner_bytes
        self._is_closed = False
        self.version_at_s: float | None = None
        self.flooded = False

    def recv(self, nbytes: int) -> bytes:
        """Return up to ``nbytes``, as ``socket.recv`` does."""
        if not self._buffer:
            data = self._inner.recv(_READ_BYTES)
            if self.version_at_s is None:
                self._watch_banner(data)
            if len(data) <= nbytes:
                return data
            self._buffer = memoryview(data)
        piece = self._buffer[:nbytes]
        self._buffer = self._buffer[nbytes:]
        return bytes(piece)

    def _watch_banner(self, data: bytes) -> None:
        self._banner += data
        start = 0 if self._banner.startswith(_VERSION_PREFIX) else self._banner.find(b"\nSSH-") + 1
        known = start > 0 or self._banner.startswith(_VERSION_PREFIX)
        if known and self._banner.find(b"\n", start) >= 0:
            self.version_at_s = time.monotonic()
            self._banner.clear()
        elif len(self._banner) > self._max_banner_bytes:
            self.flooded = True
            self._banner.clear()
            raise ConnectionAbortedError("too much text before the SSH version line")

    def send(self, data: bytes) -> int:
        """Send some of ``data``."""
        return self._inner.send(data)

    def settimeout(self, timeout: float | None) -> None:
        """Set the limit of one read or write."""
        self._inner.settimeout(timeout)

    def getpeername(self) -> object:
        """Return the peer's address where there is one."""
        return getattr(self._inner, "getpeername", lambda: ("", 0))()

    @property
    def _closed(self) -> bool:
        # paramiko reads this private attribute of a socket when it stops its thread.
        return self._is_closed

    def close(self) -> None:
        """End the connection and wake a thread that is blocked in ``recv``.

        A socket is only shut down here: its number must not be given to the next connection while
        a thread may still wait on it (that thread would wait for the stranger's bytes).
        :meth:`release` gives it back.
        """
        was_closed, self._is_closed = self._is_closed, True
        if isinstance(self._inner, socket.socket):
            with contextlib.suppress(OSError):
                if not was_closed and not _holds_back(self._inner):
                    _end_orderly(self._inner)
                self._inner.shutdown(socket.SHUT_RDWR)
        else:
            self._close_inner()

    def release(self) -> None:
        """Give the socket back, once no thread reads from it any more."""
        self.close()
        self._close_inner()

    def _close_inner(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._inner.close()


def dial(
    host: str,
    address: str,
    port: int,
    *,
    timeout_s: float,
    mss_bytes: int | None = None,
    is_for_change: bool = False,
) -> socket.socket:
    """Open a TCP connection within ``timeout_s`` over all addresses of a name.

    Args:
        host: Inventory name, for errors.
        address: IPv4, IPv6 or a name.
        port: TCP port.
        timeout_s: Limit for the lookup and all attempts together.
        mss_bytes: Sets ``TCP_MAXSEG`` before the connect, so that our SYN carries it and both
            directions stay below it (tcp(7)).
        is_for_change: Whether nothing may arrive any more once we are gone: :func:`forget_unsent`.

    Raises:
        DeviceUnreachableError: refused, no route, unknown name.
        DeviceTimeoutError: no answer in time.
    """
    deadline_s = time.monotonic() + timeout_s
    last: OSError | None = None
    for family, target in _lookup(host, address, port, timeout_s):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            break
        try:
            return _connect(family, target, left_s, mss_bytes, is_for_change=is_for_change)
        except OSError as error:
            last = error
    if last is None or isinstance(last, TimeoutError):
        raise DeviceTimeoutError(
            host,
            f"no TCP connection to {address} port {port} within {timeout_s:g} s",
            todo="Check the address, the route and filters on the way",
        )
    raise DeviceUnreachableError(
        host,
        f"no TCP connection to {address} port {port}: {last.strerror or last}",
        todo="Check the address, the port and that the device is up",
    ) from last


def _connect(
    family: socket.AddressFamily,
    target: tuple[object, ...],
    timeout_s: float,
    mss: int | None,
    *,
    is_for_change: bool,
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Interactive traffic: Nagle and delayed ACK together cost 40 ms per command.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if is_for_change:
            forget_unsent(sock)
        if mss is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
        sock.settimeout(timeout_s)
        sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return sock


_Found = list[tuple[socket.AddressFamily, tuple[object, ...]]]


def _lookup(host: str, address: str, port: int, timeout_s: float) -> _Found:
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _resolve(host, address, port, timeout_s)
    return _addresses(address, port)  # a literal address asks no resolver


def _addresses(name: str, port: int) -> _Found:
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [(family, target) for family, _kind, _proto, _canonical, target in found]


def _resolve(host: str, name: str, port: int, timeout_s: float) -> _Found:
    """Look a name up in a thread of its own: the resolver has no deadline."""
    answer: queue.SimpleQueue[_Found | OSError] = queue.SimpleQueue()

    def look() -> None:
        try:
            answer.put(_addresses(name, port))
        except (OSError, UnicodeError) as error:
            answer.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=look, name="mtughost-lookup", daemon=True).start()
    try:
        found = answer.get(timeout=timeout_s)
    except queue.Empty:
        raise DeviceTimeoutError(
            host, f"the name {name} was not resolved within {timeout_s:g} s", todo="Check DNS"
        ) from None
    if isinstance(found, OSError):
        raise DeviceUnreachableError(
            host, f"the name {name} cannot be resolved: {found.strerror or found}", todo="Check DNS"
        ) from found
    return found
