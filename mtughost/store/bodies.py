"""Raw output in the store: compressed, with the digest of what came from the device."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from mtughost.model.errors import StoreError

#: 6 is zlib's usual trade; command output shrinks to about a tenth.
LEVEL = 6
#: For what is packed only to be small in memory.
FAST = 1
CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes as they are stored.

    Attributes:
        size_bytes: Before compression.
        sha256: Hexadecimal, of the bytes before compression.
        packed: zlib stream.
    """

    size_bytes: int
    sha256: str
    packed: bytes


def pack(data: bytes) -> Body:
    """Compress bytes and take their digest."""
    return Body(len(data), hashlib.sha256(data).hexdigest(), zlib.compress(data, LEVEL))


def unpack(body: Body, what: str) -> bytes:
    """Return the original bytes.

    Raises:
        StoreError: they are not what was recorded; ``what`` says whose they are.
    """
    stream = zlib.decompressobj()
    try:
        # One byte more than recorded: a damaged length must not fill the memory.
        data = stream.decompress(body.packed, body.size_bytes + 1)
    except zlib.error:
        data = b""
    if len(data) != body.size_bytes or hashlib.sha256(data).hexdigest() != body.sha256:
        raise damaged(what)
    return data


class Unpacking:
    """Reads a body in chunks, front to back, as a binary file is read.

    A capture of 100 MB is never whole in memory that way. Its digest is checked at the end: what
    was read before is not to be believed when that raises.
    """

    def __init__(self, body: Body, what: str) -> None:
        """Begin; ``what`` says whose bytes they are, for the error."""
        self._body = body
        self._what = what
        self._stream = zlib.decompressobj()
        self._at = 0
        self._tail = b""
        self._hash = hashlib.sha256()
        self._size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all of them for -1, ``b""`` at the end.

        Raises:
            StoreError: they are not what was recorded.
        """
        wanted = self._body.size_bytes + 1 - self._size if size < 0 else size
        parts: list[bytes] = []
        while wanted > 0 and (part := self._next(wanted)):
            parts.append(part)
            wanted -= len(part)
        data = b"".join(parts)
        if size and (not data or size < 0):
            self._check()
        return data

    def _next(self, most: int) -> bytes:
        """Return some bytes, ``b""`` at the end. Packed bytes go in by small pieces.

        zlib hands back a copy of what it did not use, which would be the whole rest each time.
        """
        while not self._stream.eof:
            if not self._tail:
                self._tail = self._body.packed[self._at : self._at + _PIECE_BYTES]
                self._at += len(self._tail)
                if not self._tail:
                    return b""
            try:
                data = self._stream.decompress(self._tail, most)
            except zlib.error:
                raise damaged(self._what) from None
            self._tail = self._stream.unconsumed_tail
            if data:
                self._hash.update(data)
                self._size += len(data)
                if self._size > self._body.size_bytes:
                    raise damaged(self._what)
                return data
        return b""

    def _check(self) -> None:
        whole = self._size == self._body.size_bytes
        if not whole or self._hash.hexdigest() != self._body.sha256:
            raise damaged(self._what)


def chunks(source: Unpacking) -> Iterator[bytes]:
    """Yield everything that is left, in pieces of 1 MiB."""
    while block := source.read(CHUNK_BYTES):
        yield block


def pack_json_text(text: str) -> bytes:
    """Compress JSON of our own, which needs no digest: a damaged one does not parse."""
    return zlib.compress(text.encode(), LEVEL)


def unpack_json_text(packed: bytes) -> str:
    """Return the JSON.

    Raises:
        StoreError: the stored bytes are damaged.
    """
    try:
        return zlib.decompress(packed).decode()
    except (zlib.error, UnicodeDecodeError):
        raise StoreError(
            "a stored report is damaged", todo="Judge the run again: mtughost audit --run ID"
        ) from None


class Packing:
    """Packs bytes as they come, and takes their digest."""

    def __init__(self) -> None:
        """Begin."""
        self._stream = zlib.compressobj(FAST)
        self._hash = hashlib.sha256()
        self._size = 0
        self._parts: list[bytes] = []

    def add(self, data: bytes | bytearray) -> None:
        """Add the next bytes."""
        self._hash.update(data)
        self._size += len(data)
        if part := self._stream.compress(data):
            self._parts.append(part)

    def body(self) -> Body:
        """Return the whole; nothing may be added afterwards."""
        self._parts.append(self._stream.flush())
        return Body(self._size, self._hash.hexdigest(), b"".join(self._parts))


def damaged(what: str) -> StoreError:
    """Return the error for stored bytes that are not what was recorded."""
    return StoreError(
        f"{what}: the stored bytes do not match their SHA-256",
        todo="The store is damaged; record the run again",
    )


def pack_text(text: str) -> Body:
    """Compress a device's output; lone surrogates (undecodable bytes) survive."""
    return pack(text.encode("utf-8", "surrogatepass"))


def unpack_text(body: Body, what: str) -> str:
    """Return the original text.

    Raises:
        StoreError: as :func:`unpack`.
    """
    return unpack(body, what).decode("utf-8", "surrogatepass")
