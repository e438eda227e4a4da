"""A relay that makes devices far away: every byte arrives half a round trip later.

``python benchmarks/delay.py RTT_MS`` reads a JSON list of ``[listening port, address, port]`` from
standard input, listens on 127.0.0.1, prints ``ready``, and ends when its standard input does; then
it prints how many connections there were and how often their clients spoke after the server had: a
round trip each, beside TCP's own. For kernels without netem. What it does not imitate: the
acknowledgements of TCP, and its congestion window, which a login and the answers of one device
hardly fill.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_READ_BYTES = 256 * 1024
_BACKLOG = 128


@dataclass(slots=True)
class _Half:
    """One direction of a connection: what is read here goes to ``other``."""

    sock: socket.socket
    other: _Half | None = None
    ended: bool = False
    is_client: bool = False
    spoke_last: bool = False


@dataclass(slots=True)
class Relay:
    """One loop for all connections; what is due later waits in one queue, in order."""

    rtt_s: float
    connections: int = 0
    turns: int = 0
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def listen(self, port: int, target: tuple[str, int]) -> None:
        """Relay connections to a port of 127.0.0.1 to ``target``."""
        listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self._watch(listener, lambda: self._accept(listener, target))

    def run(self, until_end_of: int) -> None:
        """Relay until a file descriptor is at its end."""
        self._selector.register(until_end_of, selectors.EVENT_READ, None)
        while True:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(wait_s):
                if key.data is None:
                    if not os.read(until_end_of, _READ_BYTES):
                        return
                    continue
                key.data()
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                heapq.heappop(self._due)[2]()

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._order), action))

    def _watch(self, sock: socket.socket, action: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, action)

    def _accept(self, listener: socket.socket, target: tuple[str, int]) -> None:
        near = _Half(listener.accept()[0], is_client=True)
        self.connections += 1
        far = _Half(socket.socket(), near)
        near.other = far
        for half in (near, far):
            half.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        # As if the handshake took its round trip: the client may speak after one, and the server
        # hears of the connection half a one later, just before what the client then said.
        def connect() -> None:
            try:
                far.sock.connect(target)
            except OSError:
                self._end(near)
                return
            self._watch(far.sock, lambda: self._pass_on(far))

        self._after(self.rtt_s * 1.5, connect)
        self._after(self.rtt_s, lambda: self._watch(near.sock, lambda: self._pass_on(near)))

    def _pass_on(self, half: _Half) -> None:
        try:
            data = half.sock.recv(_READ_BYTES)
        except OSError:
            data = b""
        other = half.other
        assert other is not None
        if data and half.is_client and not half.spoke_last:
            self.turns += 1
        half.spoke_last, other.spoke_last = True, False
        if not data:
            self._selector.unregister(half.sock)
            self._after(self.rtt_s / 2, lambda: self._end(half))
            return

        def send() -> None:
            with contextlib.suppress(OSError):  # it has gone; its own end is noticed by itself
                other.sock.sendall(data)

        self._after(self.rtt_s / 2, send)

    def _end(self, half: _Half) -> None:
        """End one direction; close both sockets once both have ended."""
        other = half.other
        assert other is not None
        half.ended = True
        with contextlib.suppress(OSError):
            other.sock.shutdown(socket.SHUT_WR)
        if other.ended:
            half.sock.close()
            other.sock.close()


def main(argv: Sequence[str]) -> None:
    """Relay until standard input ends."""
    relay = Relay(float(argv[0]) / 1000)
    for port, address, target_port in json.loads(sys.stdin.readline()):
        relay.listen(port, (address, target_port))
    print("ready", flush=True)
    relay.run(sys.stdin.fileno())
    print(json.dumps({"connections": relay.connections, "turns": relay.turns}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
