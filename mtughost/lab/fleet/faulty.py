"""A TCP proxy that spoils a connection at a chosen byte or pattern: what a bad path does to SSH.

A toxic is bound to a direction (``down`` is towards the client) and to a moment: after so many
bytes of that direction, or when a pattern has gone by. What a proxy did stands in ``done``, so that
a test can tell a toxic that never came to act from one that did no harm.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal[
    "latency", "slice", "reset", "half-close", "stall", "flood", "corrupt", "limit", "slow-close"
]
Direction = Literal["up", "down"]

_CHUNK_BYTES: Final = 16 * 1024
_POLL_S: Final = 0.05
_FLOOD_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """What goes wrong, in which direction and from when on.

    Attributes:
        at_bytes: After so many bytes of that direction.
        pattern: Instead: once these bytes have gone by.
        value: Seconds for ``latency`` and ``slow-close``, bytes for ``slice``, MiB for ``flood``.
    """

    kind: Kind
    direction: Direction = "down"
    at_bytes: int = 0
    pattern: bytes = b""
    value: float = 1.0


@dataclass(slots=True)
class _Way:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    direction: Direction
    toxics: tuple[Toxic, ...]
    passed: int = 0
    seen: bytes = b""
    done: set[str] = field(default_factory=set)

    def due(self, toxic: Toxic) -> bool:
        """Say whether a toxic's moment has come."""
        if toxic.pattern:
            return toxic.pattern in self.seen
        return self.passed >= toxic.at_bytes


class FaultyProxy:
    """Listens on the loopback and passes connections on, with toxics.

    Attributes:
        port: Where it listens.
        done: Kinds of toxics that acted.
    """

    def __init__(self, port: int, toxics: tuple[Toxic, ...] = ()) -> None:
        """Start listening.

        Args:
            port: Where connections are passed on to, on the loopback.
            toxics: What goes wrong.
        """
        self.toxics = toxics
        self.done: set[str] = set()
        self._target = port
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End every connection."""
        self._ended.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                return
            with server:
                ways = (
                    self._way(client, server, "up"),
                    self._way(server, client, "down"),
                )
                threads = [
                    threading.Thread(target=self._pump, args=(way,), daemon=True) for way in ways
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

    def _way(self, source: socket.socket, sink: socket.socket, direction: Direction) -> _Way:
        mine = tuple(toxic for toxic in self.toxics if toxic.direction == direction)
        source.settimeout(_POLL_S)
        return _Way(source=source, sink=sink, direction=direction, toxics=mine, done=self.done)

    def _pump(self, way: _Way) -> None:
        try:
            while not self._ended.is_set():
                try:
                    data = way.source.recv(_CHUNK_BYTES)
                except TimeoutError:
                    continue
                if not data:
                    break
                if not self._pass_on(way, data):
                    return
            _shut(way.sink)
        except OSError:
            _shut(way.sink)

    def _pass_on(self, way: _Way, data: bytes) -> bool:
        """Pass bytes on through the toxics; return whether the connection goes on."""
        way.seen = (way.seen + data)[-_CHUNK_BYTES:]
        for toxic in way.toxics:
            if not toxic.pattern and way.passed < toxic.at_bytes < way.passed + len(data):
                cut = toxic.at_bytes - way.passed
                return self._pass_on(way, data[:cut]) and self._pass_on(way, data[cut:])
            if way.due(toxic):
                spoilt = self._spoil(way, toxic, data)
                if spoilt is None:
                    return False
                data = spoilt
        way.passed += len(data)
        way.sink.sendall(data)
        return True

    def _spoil(self, way: _Way, toxic: Toxic, data: bytes) -> bytes | None:
        self.done.add(toxic.kind)
        if toxic.kind == "latency":
            time.sleep(toxic.value)
        elif toxic.kind == "slice":
            size = max(1, int(toxic.value))
            for start in range(0, len(data), size):
                way.sink.sendall(data[start : start + size])
                time.sleep(0.001)
            way.passed += len(data)
            return b""
        elif toxic.kind == "corrupt":
            return bytes([data[0] ^ 0x20]) + data[1:]
        elif toxic.kind == "flood":
            junk = b"\x00" * _FLOOD_BYTES
            for _ in range(int(toxic.value * 1024 * 1024) // _FLOOD_BYTES):
                way.sink.sendall(junk)
        else:
            self._end(way, toxic)
            return None
        return data

    def _end(self, way: _Way, toxic: Toxic) -> None:
        if toxic.kind == "reset":
            for one in (way.source, way.sink):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.close()
        elif toxic.kind == "stall":
            self._ended.wait()
        elif toxic.kind == "slow-close":
            self._ended.wait(toxic.value)
            _shut(way.sink)
        else:
            # "limit" and "half-close": the bytes end here, politely.
            _shut(way.sink)


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def faulty(port: int, *toxics: Toxic) -> Iterator[FaultyProxy]:
    """Put a proxy before a port of the loopback as long as the block lasts."""
    proxy = FaultyProxy(port, toxics)
    try:
        yield proxy
    finally:
        proxy.close()
