"""A capture on one interface of a device, for as long as a ``with`` block lasts."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from mtughost.lab import frames
from mtughost.lab.frames import Frame
from mtughost.lab.handle import Lab, inner_env
from mtughost.model.errors import LabError

#: tcpdump ends with its standard input: killing the programs around it would leave it running.
_SCRIPT = """
tcpdump --immediate-mode -U -s 0 -n -w - -i "$1" "$2" &
dump=$!
exec 2>/dev/null
cat >/dev/null
kill -INT "$dump"
wait "$dump"
"""
_START_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 10.0


class Tap:
    """Captures between ``__enter__``, which returns once tcpdump listens, and ``__exit__``.

    Args:
        lab: A running lab.
        device: Device.
        interface: Its interface.
        expression: tcpdump filter.
    """

    def __init__(self, lab: Lab, device: str, interface: str, expression: str) -> None:
        self._argv = lab.device_command(device, ["sh", "-c", _SCRIPT, "sh", interface, expression])
        self._where = f"{device} {interface}"
        self._folder = TemporaryDirectory(prefix="mtughost-tap-")
        self._file = Path(self._folder.name, "capture.pcap")
        self._process: subprocess.Popen[bytes] | None = None
        self._capture = b""

    def __enter__(self) -> Self:
        with self._file.open("wb") as output:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.PIPE,
                env=inner_env(),
            )
        words = self._first_words(self._process)
        if b"listening on" not in words:
            self._stop()
            raise LabError(f"no capture on {self._where}: {words.decode(errors='replace').strip()}")
        return self

    def _first_words(self, process: subprocess.Popen[bytes]) -> bytes:
        """Read what tcpdump says at its start; only tcpdump holds the pipe, so it ends with it."""
        words = b""
        deadline = time.monotonic() + _START_TIMEOUT_S
        stream = process.stderr
        while stream and b"listening on" not in words and time.monotonic() < deadline:
            if select.select([stream], [], [], 0.2)[0]:
                more = os.read(stream.fileno(), 4096)
                if not more:
                    break
                words += more
        return words

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is None:
            return
        try:
            self._process.communicate(timeout=_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._capture = self._file.read_bytes()
        self._folder.cleanup()
        self._process = None

    @property
    def capture(self) -> bytes:
        """The pcap, after the block."""
        return self._capture

    def frames(self) -> tuple[Frame, ...]:
        """Return the captured IPv4 frames, after the block."""
        return tuple(frames.read(self._capture))
