"""Raw output in the store: compressed, with the digest of what came from the device."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from mtughost.model.errors import StoreError

#: 6 is zlib's usual trade; command output shrinks to about a tenth.
LEVEL = 6


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
        raise StoreError(
            f"{what}: the stored bytes do not match their SHA-256",
            todo="The store is damaged; record the run again",
        )
    return data


def pack_text(text: str) -> Body:
    """Compress a device's output; lone surrogates (undecodable bytes) survive."""
    return pack(text.encode("utf-8", "surrogatepass"))


def unpack_text(body: Body, what: str) -> str:
    """Return the original text.

    Raises:
        StoreError: as :func:`unpack`.
    """
    return unpack(body, what).decode("utf-8", "surrogatepass")
