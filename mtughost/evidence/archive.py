"""The zip itself: written the same way each time, read as if an enemy had made it."""

from __future__ import annotations

import hashlib
import io
import stat
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from mtughost.evidence.manifest import (
    MANIFEST_NAME,
    SIGNATURE_NAME,
    Manifest,
    parse_manifest,
)
from mtughost.model.errors import EvidenceError
from mtughost.store.bodies import Body, Unpacking, chunks

#: A bundle with three captures of 100 MB fits; a bomb does not.
MAX_TOTAL_BYTES: Final = 2 * 1024**3
MAX_MEMBERS: Final = 10_000
#: Device text compresses well, but nothing honest reaches this.
MAX_RATIO: Final = 2000
#: What a member holds; what is large stays packed until it is written.
Content = bytes | Body
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o644


def write_archive(manifest: bytes, signature: bytes, members: Mapping[str, Content]) -> bytes:
    """Return the zip's bytes: the same members give the same bytes.

    Args:
        manifest: Canonical bytes.
        signature: Armoured SSH signature, or ``b""`` for an unsigned bundle.
        members: Contents by path.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        _add(archive, MANIFEST_NAME, manifest)
        if signature:
            _add(archive, SIGNATURE_NAME, signature)
        for path in sorted(members):
            _add(archive, path, members[path])
    return out.getvalue()


def _add(archive: zipfile.ZipFile, path: str, data: Content) -> None:
    info = zipfile.ZipInfo(path, date_time=_EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | _MODE) << 16
    if isinstance(data, bytes):
        archive.writestr(info, data)
        return
    info.file_size = data.size_bytes  # so that the header says whether it needs ZIP64
    with archive.open(info, "w") as member:
        for block in chunks(Unpacking(data, path)):
            member.write(block)


class Archive:
    """An opened bundle whose every member was checked against its manifest.

    Attributes:
        manifest: As read; its signature is checked by whoever knows the allowed signers.
        manifest_data: The bytes that are signed.
        signature: ``b""`` where there is none.
        members: Contents by path.
    """

    def __init__(self, data: bytes, *, name: str) -> None:
        """Read and check everything.

        Raises:
            EvidenceError: it is no bundle, was changed, or is built to do harm.
        """
        self._name = name
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                contents = self._read(archive)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as bad:
            raise self._error(f"is no readable zip: {bad}") from bad
        if MANIFEST_NAME not in contents:
            raise self._error("holds no manifest.json: this is no bundle")
        self.manifest_data = contents.pop(MANIFEST_NAME)
        self.signature = contents.pop(SIGNATURE_NAME, b"")
        self.manifest: Manifest = parse_manifest(self.manifest_data)
        self.members = contents
        self._compare()

    def _error(self, words: str) -> EvidenceError:
        return EvidenceError(f"{self._name} {words}", todo="Ask for the bundle again")

    def _read(self, archive: zipfile.ZipFile) -> dict[str, bytes]:
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise self._error(f"holds {len(infos)} members, more than {MAX_MEMBERS}")
        self._check_names(infos)
        if sum(info.file_size for info in infos) > MAX_TOTAL_BYTES:
            raise self._error(f"would unpack to more than {MAX_TOTAL_BYTES} bytes")
        return {info.filename: self._one(archive, info) for info in infos}

    def _one(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
        if info.file_size > MAX_RATIO * max(info.compress_size, 1024):
            raise self._error(f"{info.filename!r} unpacks to {info.file_size} bytes: a bomb")
        with archive.open(info) as stream:
            # The header's size is a claim; reading one byte more than it says tells a lie apart.
            data = stream.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise self._error(f"{info.filename!r} is not as long as it says")
        return data

    def _check_names(self, infos: list[zipfile.ZipInfo]) -> None:
        seen: set[str] = set()
        for info in infos:
            name = info.filename
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in {0, stat.S_IFREG} or info.is_dir():
                raise self._error(f"{name!r} is no ordinary file")
            if info.flag_bits & 1:
                raise self._error(f"{name!r} is encrypted")
            if not _is_plain_path(name):
                raise self._error(f"{name!r} is no plain relative path")
            folded = unicodedata.normalize("NFKC", name).casefold()
            if folded in seen:
                raise self._error(f"{name!r} stands in it twice")
            seen.add(folded)

    def _compare(self) -> None:
        listed = {member.path: member for member in self.manifest.members}
        if len(listed) != len(self.manifest.members):
            raise self._error("lists a member twice")
        for path in sorted(self.members.keys() - listed.keys()):
            raise self._error(f"holds {path!r}, which its manifest does not list")
        for path, member in listed.items():
            data = self.members.get(path)
            if data is None:
                raise self._error(f"lacks {path!r}, which its manifest lists")
            if len(data) != member.size or hashlib.sha256(data).hexdigest() != member.sha256:
                raise self._error(f"{path!r} was changed: it does not match its digest")


def _is_plain_path(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        bool(name)
        and name.isascii()
        and name.isprintable()
        and not path.is_absolute()
        and ".." not in path.parts
        and not any(char in name for char in '\\:*?"<>|')
        and str(path) == name
    )
