"""Secrets by reference. They are read late, kept out of every text and handed over once."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import paramiko

from mtughost.model.errors import ContentError
from mtughost.model.inventory import Credential, Secret

_MAX_SECRET_BYTES = 64 * 1024


#: Asks the person at the keyboard: who wants to know, and what; ``None`` where nobody is there.
Asker = Callable[[str, str], "str | None"]


class SecretResolver:
    """Turns references of the inventory into secrets and keys.

    Reads: ``env:NAME``, ``keyring:SERVICE/USER``, ``file:PATH`` (first line), anything else is a
    literal and warned about once per realm. Results are kept in memory while this object lives, so
    that a thousand devices ask the keyring once. Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        warn: Callable[[str], None] | None = None,
        ask: Asker | None = None,
    ) -> None:
        """Prepare to resolve.

        Args:
            env: Environment; the process's own by default.
            warn: Is told about things that a person should change. Never contains a secret.
            ask: Answers what a device asks a person; without it nobody is there.
        """
        self._env = os.environ if env is None else env
        self._warn = warn or (lambda _text: None)
        self._ask = ask
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._passwords: dict[str, Secret] = {}
        self._keys: dict[str, paramiko.PKey] = {}
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return "SecretResolver(***)"

    def check(self, credential: Credential) -> None:
        """Resolve everything that ``credential`` names, so that a run can fail before it starts.

        Raises:
            ContentError: a reference leads nowhere.
        """
        self.password(credential)
        self.enable_password(credential)
        self.private_key(credential)

    def password(self, credential: Credential) -> Secret | None:
        """Return the password, or ``None`` where the inventory names none.

        Raises:
            ContentError: the reference leads nowhere; names the reference, never the secret.
        """
        return self._resolved(credential.password_ref, credential)

    def enable_password(self, credential: Credential) -> Secret | None:
        """Return the password of the privileged mode; as :meth:`password`."""
        return self._resolved(credential.enable_ref, credential)

    def _resolved(self, reference: str, credential: Credential) -> Secret | None:
        if not reference:
            return None
        with self._lock:
            known = self._passwords.get(reference)
            if known is None:
                known = Secret(self._read(reference, credential.realm))
                self._passwords[reference] = known
            return known

    def one_time_code(self, host: str, question: str) -> Secret | None:
        """Have a person answer ``question`` of ``host``; ``None`` where nobody is there."""
        with self._asking:
            said = self._ask(host, question) if self._ask is not None else None
        return Secret(said.strip()) if said and said.strip() else None

    def private_key(self, credential: Credential) -> paramiko.PKey | None:
        """Return the private key of ``key_file``, or ``None`` where the inventory names none.

        An encrypted key is opened with the credential's password.

        Raises:
            ContentError: missing, unreadable, encrypted without a password, or open to others.
        """
        if not credential.key_file:
            return None
        path = Path(credential.key_file).expanduser()
        password = self.password(credential)
        with self._lock:
            known = self._keys.get(str(path))
            if known is None:
                known = _load_key(path, password, credential.realm)
                self._keys[str(path)] = known
            return known

    def _read(self, reference: str, realm: str) -> str:
        scheme, _, rest = reference.partition(":")
        if scheme == "env" and rest:
            return self._from_env(rest, realm)
        if scheme == "keyring" and rest:
            return _from_keyring(rest, realm)
        if scheme == "file" and rest:
            return _from_file(Path(rest).expanduser(), realm)
        if realm not in self._warned:
            self._warned.add(realm)
            self._warn(
                f"The password of realm {realm} stands in the inventory as plain text; "
                "use env:NAME, keyring:SERVICE/USER or file:PATH instead"
            )
        return reference

    def _from_env(self, name: str, realm: str) -> str:
        value = self._env.get(name)
        if not value:
            raise ContentError(
                f"the password of realm {realm} should be in the environment variable {name}, "
                "which is not set",
                key=f"env:{name}",
                todo=f"Set {name} and start again",
            )
        return value


def _from_keyring(rest: str, realm: str) -> str:
    # Its backends are slow to import, and most inventories do not name it.
    import keyring  # noqa: PLC0415
    import keyring.errors  # noqa: PLC0415

    service, _, user = rest.rpartition("/")
    if not service or not user:
        raise ContentError(
            "a keyring reference is written keyring:SERVICE/USER", key=f"keyring:{rest}"
        )
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise ContentError(
            f"the keyring could not be read for realm {realm}: {type(error).__name__}",
            key=f"keyring:{rest}",
            todo="Unlock the keyring, or name another place",
        ) from None
    if not value:
        raise ContentError(
            f"the keyring holds no password for realm {realm}",
            key=f"keyring:{rest}",
            todo=f"Store it with: keyring set {service} {user}",
        )
    return value


def _refuse_if_open(path: Path, what: str) -> None:
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ContentError(
            f"{what} may be read by others (mode {stat.S_IMODE(mode):04o})",
            path=str(path),
            todo=f"chmod 600 {path}",
        )


def _from_file(path: Path, realm: str) -> str:
    try:
        _refuse_if_open(path, f"the password file of realm {realm}")
        with path.open("rb") as source:
            raw = source.read(_MAX_SECRET_BYTES)
        value = raw.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContentError(
            f"the password file of realm {realm} cannot be read: {type(error).__name__}",
            path=str(path),
            todo="Check the path and its mode",
        ) from None
    if not value:
        raise ContentError(f"the password file of realm {realm} is empty", path=str(path))
    return value


def _load_key(path: Path, password: Secret | None, realm: str) -> paramiko.PKey:
    what = f"the private key of realm {realm}"
    try:
        _refuse_if_open(path, what)
        key = _open_key(path, None)
        if key is None and password is not None:
            key = _open_key(path, password.reveal())
    except FileNotFoundError:
        raise ContentError(
            f"{what} does not exist", path=str(path), todo="Check key_file"
        ) from None
    except (OSError, ValueError) as error:
        raise ContentError(
            f"{what} cannot be read: {type(error).__name__}",
            path=str(path),
            todo="Check that it is an Ed25519, ECDSA or RSA key",
        ) from None
    if key is None:
        problem = "is encrypted" if password is None else "does not open with its passphrase"
        raise ContentError(
            f"{what} {problem}",
            path=str(path),
            todo="Give its passphrase as the password, or load it into ssh-agent",
        )
    return key


def _open_key(path: Path, passphrase: str | None) -> paramiko.PKey | None:
    """Load a key of any type; ``None`` where it is encrypted and ``passphrase`` does not open it.

    ``PKey.from_path`` of paramiko 5 hands text to a function that takes only bytes.

    Raises:
        ValueError: no such key.
    """
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key_file(str(path), password=passphrase)
        except paramiko.PasswordRequiredException:
            return None
        except (paramiko.SSHException, ValueError, TypeError, IndexError):
            continue  # another type, or the wrong passphrase
    if passphrase is not None:
        return None
    raise ValueError("no key of a known type")
