"""Host keys, kept by inventory *name*: the addresses of stores overlap, their names do not.

The file has OpenSSH's format (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). A name may stand on several
lines: a virtual address of an HA pair answers with the key of either member.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from mtughost.disk import replace_file
from mtughost.model.errors import ContentError, HostKeyError

_MIN_FIELDS = 3


@dataclass(frozen=True, slots=True)
class HostKeyInfo:
    """One public host key.

    Attributes:
        key_type: SSH name of the type, such as ``ssh-ed25519``.
        base64: The key itself.
    """

    key_type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint as OpenSSH prints it: ``SHA256:`` and unpadded base64."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.key_type})"


class KnownHosts:
    """The host keys that a person vouched for. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Read ``path``; a missing file knows no key.

        Raises:
            ContentError: a line is malformed, hashed, or names a certificate authority.
        """
        self.path = path
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[HostKeyInfo, ...]] = {}
        self._revoked: set[HostKeyInfo] = set()
        self._load()

    def keys_for(self, name: str) -> tuple[HostKeyInfo, ...]:
        """Return the keys recorded for an inventory name, in file order."""
        with self._lock:
            return self._keys.get(name, ())

    def names(self) -> tuple[str, ...]:
        """Return all names that have a key, in file order."""
        with self._lock:
            return tuple(self._keys)

    def check(self, name: str, offered: HostKeyInfo) -> None:
        """Return only if ``offered`` is recorded for ``name``.

        Raises:
            HostKeyError: unknown, changed or revoked.
        """
        known = self.keys_for(name)
        if offered in self._revoked:
            raise HostKeyError(
                name,
                f"the host key {offered} is revoked in {self.path}",
                todo="Nothing was sent. Find out how the key got lost before going on",
            )
        if offered in known:
            return
        if not known:
            raise HostKeyError(
                name,
                f"unknown host key {offered}: no login was tried",
                todo=f"Compare the fingerprint and run: mtughost enroll {name}",
            )
        recorded = ", ".join(str(key) for key in known)
        raise HostKeyError(
            name,
            f"the host key changed: recorded {recorded}, offered {offered}; no login was tried",
            todo=f"If the device was replaced on purpose, remove its line from {self.path} "
            f"and run: mtughost enroll {name}",
        )

    def add(self, name: str, key: HostKeyInfo) -> None:
        """Record a key beside those already there, durably and for the owner's eyes only.

        Raises:
            ContentError: the name cannot stand in the file, or the file became malformed.
        """
        if not name or any(char.isspace() or char in ",#|*?!@" for char in name):
            raise ContentError(
                "this name cannot stand in a known_hosts file", path=str(self.path), key=name
            )
        with self._lock:
            self._read()
            if key in self._keys.get(name, ()):
                return
            old = self.path.read_text("utf-8") if self.path.exists() else ""
            gap = "" if not old or old.endswith("\n") else "\n"
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = f"{old}{gap}{name} {key.key_type} {key.base64}\n"
            replace_file(self.path, text.encode("utf-8"))
            self._keys[name] = (*self._keys.get(name, ()), key)

    def _load(self) -> None:
        with self._lock:
            self._read()

    def _read(self) -> None:
        keys: dict[str, tuple[HostKeyInfo, ...]] = {}
        revoked: set[HostKeyInfo] = set()
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        for number, line in enumerate(text.splitlines(), start=1):
            fields = line.split()
            if not fields or fields[0].startswith("#"):
                continue
            is_revoked = fields[0] == "@revoked"
            names, key = self._parse(fields[1:] if is_revoked else fields, number)
            if is_revoked:
                revoked.add(key)
                continue
            for name in names:
                if key not in keys.get(name, ()):
                    keys[name] = (*keys.get(name, ()), key)
        self._keys, self._revoked = keys, revoked

    def _parse(self, fields: list[str], number: int) -> tuple[list[str], HostKeyInfo]:
        problem = ""
        if len(fields) < _MIN_FIELDS:
            problem = "expected: name type key"
        elif fields[0].startswith("|"):
            problem = "hashed names are not supported: keys are kept by inventory name"
        elif fields[0].startswith("@"):
            problem = f"the marker {fields[0]} is not supported"
        elif not _is_key(fields[1], fields[2]):
            problem = f"not a key of type {fields[1]}"
        if problem:
            raise ContentError(problem, path=str(self.path), line=number)
        return fields[0].split(","), HostKeyInfo(fields[1], fields[2])


def _is_key(key_type: str, encoded: str) -> bool:
    """Whether the blob is base64 and begins with its own type, as RFC 4253 section 6.6 has it."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    name = key_type.encode("utf-8")
    return blob.startswith(len(name).to_bytes(4, "big") + name)
