"""Bytes of a capture file in chunks: plain or gzip, hashed on the way, in bounded memory."""

from __future__ import annotations

import hashlib
import io
import zlib
from threading import Thread
from typing import Protocol

CHUNK_BYTES = 1 << 20
_LARGE_BYTES = 16 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib: a gzip header is expected, 32 KiB window


class Readable(Protocol):
    """What is read of a binary file."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, ``b""`` at the end."""


class ByteSource:
    """Reads a file once, front to back, and undoes gzip (RFC 1952, several members).

    Python's own gzip reader raises at a cut file and throws away what it had already unpacked;
    this one hands out everything up to the damage and then says so.

    Attributes:
        damage: What was wrong with the gzip wrapping, or ``""``.
        position: Bytes read of the file so far.
    """

    def __init__(self, data: bytes | Readable) -> None:
        self._raw: Readable = io.BytesIO(data) if isinstance(data, bytes) else data
        self._hash = hashlib.sha256()
        self._hashing: Thread | None = None
        self.position = 0
        self._pending = self._read_raw(CHUNK_BYTES)
        self._unzip = zlib.decompressobj(_GZIP_WINDOW) if self._is_gzip(self._pending) else None
        self.damage = ""

    @staticmethod
    def _is_gzip(head: bytes) -> bool:
        return head[:2] == _GZIP_MAGIC

    def _read_raw(self, size: int) -> bytes:
        block = self._raw.read(size)
        self.position += len(block)
        self._digest(block)
        return block

    def _digest(self, block: bytes) -> None:
        """Hash the block; beside the reading, on a second core, once the file is a large one."""
        if self._hashing is not None:
            self._hashing.join()
            self._hashing = None
        if self.position <= _LARGE_BYTES or not block:
            self._hash.update(block)
            return
        self._hashing = Thread(target=self._hash.update, args=(block,), daemon=True)
        self._hashing.start()

    def read(self) -> bytes:
        """Return the next bytes, at most a few MiB; ``b""`` at the end or at damage."""
        if self._unzip is None:
            block, self._pending = self._pending or self._read_raw(CHUNK_BYTES), b""
            return block
        return self._read_gzip()

    def _read_gzip(self) -> bytes:
        while self._unzip is not None and not self.damage:
            block = self._pending or self._read_raw(CHUNK_BYTES)
            self._pending = b""
            try:
                plain = self._unzip.decompress(block, CHUNK_BYTES)
            except zlib.error as error:
                self.damage = f"the gzip data is damaged ({error})"
                return b""
            self._pending = self._unzip.unconsumed_tail
            if self._unzip.eof:
                self._next_member(self._unzip.unused_data)
            if plain:
                return plain
            if not block and self._unzip is not None and not self._unzip.eof:
                self.damage = "the gzip data is cut short"
        return b""

    def _next_member(self, rest: bytes) -> None:
        self._pending = rest or self._read_raw(CHUNK_BYTES)
        if self._is_gzip(self._pending):
            self._unzip = zlib.decompressobj(_GZIP_WINDOW)
        else:
            # The end, or padding after it, which gzip itself ignores too.
            self._pending = b""
            self._unzip = None
            while self._read_raw(CHUNK_BYTES):
                pass

    def sha256(self) -> str:
        """Return the digest of the whole file as it lies on disk, reading it to its end."""
        while self._read_raw(CHUNK_BYTES):
            pass
        self._digest(b"")
        return self._hash.hexdigest()
