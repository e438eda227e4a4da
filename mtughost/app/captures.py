"""Judge capture files, with no device at all."""

from __future__ import annotations

import gc
import io
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mtughost.app.progress import Reporter, Silent
from mtughost.dialects.sniffers import read_text, recognised
from mtughost.model.captures import CaptureReport
from mtughost.model.errors import UsageError
from mtughost.model.evidence import CaptureEvidence
from mtughost.model.inventory import Credential, Secret, Service
from mtughost.packets import judge, summarise
from mtughost.packets.source import Readable

#: A pipe or a device file may never end: so much is read of it, unless told otherwise.
PIPE_LIMIT_BYTES = 4_000_000_000
_MEGABYTE = 1_000_000
#: So much of a file tells whether it is a sniffer's text, and so much of such a text is read.
_HEAD_BYTES, _TEXT_BYTES = 65_536, 256 * 1024 * 1024
#: Whose sniffer may not print every packet that passes; which it was, a text does not say.
_PARTIAL = frozenset({"fortinet", "cisco-epc", "cisco-asa"})
_PRINTED = "what the device's own sniffer did not print"
_REFERENCES = ("env:", "file:", "keyring:")
#: The pass over a capture makes millions of tuples and no cycles: looking for cycles after every
#: 700 of them took a sixth of the time.
_COLLECT_AFTER = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """How captures are read.

    Attributes:
        ports: Only connections to these server ports; all when empty.
        passphrase_ref: Reference to the Wi-Fi passphrase (``env:NAME``, ``file:PATH``,
            ``keyring:SERVICE/USER``), or ``""``.
        ssid: Name of the Wi-Fi network, where the capture does not show it.
        limit_bytes: How much is read of each file, 0 for all of a file and
            ``PIPE_LIMIT_BYTES`` of a pipe.
    """

    ports: tuple[int, ...] = ()
    passphrase_ref: str = ""
    ssid: str = ""
    limit_bytes: int = 0


def judge_files(
    files: Sequence[Path], options: CaptureOptions, reporter: Reporter | None = None
) -> CaptureReport:
    """Judge every connection of all files together.

    Args:
        files: pcap or pcapng, plain or gzip, or what a vendor's sniffer printed in hex (FortiOS,
            IOS-XE, ASA, tcpdump -tt -x); ``-`` is standard input. Damage ends a file early,
            with a note.
        options: How they are read.
        reporter: Is told of the progress, in megabytes.

    Raises:
        UsageError: a file cannot be read, or the passphrase is no reference.
        ContentError: the reference to the passphrase leads nowhere.
    """
    passphrase = _passphrase(options.passphrase_ref)
    names = _names(files)
    with _rare_collection():
        captures = [
            _read(path, name, options, passphrase, reporter or Silent())
            for path, name in zip(files, names, strict=True)
        ]
    return judge(captures)


def _names(files: Sequence[Path]) -> list[str]:
    """Name each file by its last part, by its whole path where that is not enough."""
    short = [path.name or str(path) for path in files]
    if len(set(map(str, files))) < len(files):
        raise UsageError("a file is named twice", todo="Name every capture once")
    return [str(p) if short.count(s) > 1 else s for p, s in zip(files, short, strict=True)]


def _read(
    path: Path, name: str, options: CaptureOptions, passphrase: Secret | None, reporter: Reporter
) -> CaptureEvidence:
    services = tuple(Service(name=str(port), host="", port=port) for port in options.ports)
    try:
        with _opened(path) as stream:
            size = _size(stream)
            limit = options.limit_bytes or (PIPE_LIMIT_BYTES if size is None else 0)
            limited: Readable = _Limited(stream, limit) if limit else stream
            limited, printed_by = _as_capture(limited)
            progress = _Megabytes(reporter, name, size or 0)
            found = summarise(
                limited,
                host=name,
                point="ap",
                interface="",
                basis="recorded output",
                command="",
                seconds=0.0,
                services=services,
                misses=_PRINTED if printed_by in _PARTIAL else "",
                misses_later=printed_by in _PARTIAL,
                passphrase=passphrase.reveal() if passphrase is not None else "",
                ssid=options.ssid,
                progress=progress,
            )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    return found


def _as_capture(stream: Readable) -> tuple[Readable, str]:
    """Return a file as a capture: what a device's sniffer printed becomes one."""
    head = stream.read(_HEAD_BYTES)
    name = "" if b"\0" in head else recognised(head.decode("utf-8", "replace"))
    if not name:
        return _Rejoined(head, stream), ""
    text = head + stream.read(_TEXT_BYTES)
    return io.BytesIO(read_text(text.decode("utf-8", "replace"), name).pcap), name


class _Rejoined:
    """A stream with what was read of it put in front again."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Read on."""
        if not self._head:
            return self._stream.read(size)
        cut = len(self._head) if size < 0 else size
        block, self._head = self._head[:cut], self._head[cut:]
        return block + (self._stream.read(-1) if size < 0 else b"")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with path.open("rb") as stream:
        yield stream


def _size(stream: BinaryIO) -> int | None:
    """Return the size of a regular file, ``None`` for what may never end."""
    try:
        found = stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return None
    status = Path(f"/dev/fd/{found}").stat()
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class _Limited(io.RawIOBase):
    """The first bytes of a stream. The cut shows as a cut file, which the verdict says."""

    def __init__(self, stream: BinaryIO, limit_bytes: int) -> None:
        self._stream = stream
        self._left = limit_bytes

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read on, up to the limit."""
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._stream.read(wanted) if wanted else b""
        self._left -= len(block)
        return block


class _Megabytes:
    """Turns bytes read into steps of a megabyte."""

    def __init__(self, reporter: Reporter, name: str, size_bytes: int) -> None:
        self._reporter = reporter
        self._name = name
        self._done = 0
        if size_bytes > _MEGABYTE:
            reporter.phase(f"reading {name} (MB)", size_bytes // _MEGABYTE)

    def __call__(self, read_bytes: int) -> None:
        """Advance to ``read_bytes``."""
        while (self._done + 1) * _MEGABYTE <= read_bytes:
            self._done += 1
            self._reporter.step(self._name)


@contextmanager
def _rare_collection() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _passphrase(reference: str) -> Secret | None:
    if not reference:
        return None
    if not reference.startswith(_REFERENCES):
        # The command line is in the shell's history and in ps: never echo what stands there.
        raise UsageError(
            "the passphrase must be a reference, not the passphrase itself",
            todo="Give env:NAME, file:PATH or keyring:SERVICE/USER",
        )
    from mtughost.wire.secrets import SecretResolver  # noqa: PLC0415 - SSH takes long to load

    credential = Credential(realm="wifi", username="", password_ref=reference)
    return SecretResolver().password(credential)
