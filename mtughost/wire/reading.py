"""Blocking reads of a channel that end at once on data, on end of file and on a deadline."""

from __future__ import annotations

import threading
import time
from typing import Any

import paramiko

_ALL = 16 * 1024 * 1024
_POLL_S = 0.05


class _Wake:
    """Stands in for the event of paramiko's buffer: only ever sets ours.

    paramiko clears its event when one buffer is empty, though the other may hold data.
    """

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        """Keep the event."""

    def is_set(self) -> bool:
        return self._event.is_set()


class ChannelReader:
    """Reads both output streams of a channel without polling."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._event = threading.Event()
        self._has_events = True
        wake: Any = _Wake(self._event)
        try:
            channel.in_buffer.set_event(wake)
            channel.in_stderr_buffer.set_event(wake)
        except AttributeError:  # a paramiko with other buffers: poll, slowly but right
            self._has_events = False

    def read(self, deadline_s: float) -> tuple[bytes, bytes]:
        """Wait for output until a monotonic time.

        Returns:
            What came on standard output and standard error; both empty at the deadline or at the
            end of the stream (see :attr:`at_end`).
        """
        while True:
            self._event.clear()
            ended = self._ended()  # before draining: what came before the end is still read
            out, err = self._drain()
            if out or err or ended:
                return out, err
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return b"", b""
            self._event.wait(left_s if self._has_events else min(left_s, _POLL_S))

    @property
    def at_end(self) -> bool:
        """Whether the stream has ended and everything was read."""
        return self._ended() and not (
            self._channel.recv_ready() or self._channel.recv_stderr_ready()
        )

    def _ended(self) -> bool:
        channel = self._channel
        return bool(channel.eof_received or channel.closed)

    def _drain(self) -> tuple[bytes, bytes]:
        channel = self._channel
        out = channel.recv(_ALL) if channel.recv_ready() else b""
        err = channel.recv_stderr(_ALL) if channel.recv_stderr_ready() else b""
        return out, err
