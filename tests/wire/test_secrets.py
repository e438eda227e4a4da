"""Secrets by reference: found late, never shown."""

from __future__ import annotations

import pickle
import subprocess

import keyring
import keyring.backend
import pytest

from mtughost.model.errors import ContentError
from mtughost.model.inventory import Credential
from mtughost.wire.secrets import SecretResolver

FAKE = "not-a-real-password"


class MemoryKeyring(keyring.backend.KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.stored = {("mtughost/lab", "admin"): FAKE}

    def get_password(self, service, username):
        return self.stored.get((service, username))

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError


@pytest.fixture
def memory_keyring():
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    yield
    keyring.set_keyring(before)


def credential(ref="", key_file=""):
    return Credential(realm="retail", username="admin", password_ref=ref, key_file=str(key_file))


def test_each_kind_of_reference_leads_to_the_secret(tmp_path, memory_keyring):
    path = tmp_path / "secret"
    path.write_text(f"{FAKE}\nsecond line\n")
    path.chmod(0o600)
    resolver = SecretResolver(env={"PW": FAKE})

    for ref in ("env:PW", f"file:{path}", "keyring:mtughost/lab/admin"):
        secret = resolver.password(credential(ref))
        assert secret.reveal() == FAKE


def test_no_reference_is_no_password():
    assert SecretResolver(env={}).password(credential()) is None
    assert SecretResolver(env={}).private_key(credential()) is None


def test_a_literal_works_and_is_warned_about_once_without_being_shown():
    warnings = []
    resolver = SecretResolver(env={}, warn=warnings.append)
    secrets = [resolver.password(credential(ref)) for ref in (FAKE, FAKE, "other-fake")]

    assert [secret.reveal() for secret in secrets] == [FAKE, FAKE, "other-fake"]
    assert len(warnings) == 1
    assert "retail" in warnings[0]
    assert FAKE not in warnings[0]


def test_a_secret_shows_itself_nowhere():
    resolver = SecretResolver(env={"PW": FAKE})
    secret = resolver.password(credential("env:PW"))

    assert (
        FAKE not in f"{resolver!r} {secret!r} {secret} {credential(FAKE)!r} {resolver._passwords!r}"
    )


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("env:MISSING", "environment variable MISSING"),
        ("file:/no/such/file", "cannot be read: FileNotFoundError"),
        ("keyring:mtughost/lab/nobody", "holds no password"),
        ("keyring:broken", "keyring:SERVICE/USER"),
    ],
)
def test_a_reference_that_leads_nowhere_says_which(memory_keyring, ref, words):
    with pytest.raises(ContentError, match=words):
        SecretResolver(env={}).check(credential(ref))


def test_a_secret_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_text(FAKE)
    path.chmod(0o644)

    with pytest.raises(ContentError, match="chmod 600") as caught:
        SecretResolver(env={}).password(credential(f"file:{path}"))

    assert FAKE not in str(caught.value)
    assert FAKE not in str(pickle.loads(pickle.dumps(caught.value)))  # noqa: S301  # our own


@pytest.fixture
def key_file(tmp_path):
    def make(kind="ed25519", passphrase="", fmt=()):
        path = tmp_path / f"key-{kind}-{bool(passphrase)}-{len(fmt)}"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, *fmt, "-N", passphrase, "-f", path], check=True
        )
        return path

    return make


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("passphrase", ["", FAKE], ids=["plain", "encrypted"])
def test_keys_of_every_type_load(key_file, kind, passphrase):
    ref = "env:PW" if passphrase else ""
    resolver = SecretResolver(env={"PW": FAKE})
    key = resolver.private_key(credential(ref, key_file(kind, passphrase)))

    assert kind in key.get_name()


def test_a_pem_key_loads(key_file):
    key = SecretResolver(env={}).private_key(credential("", key_file("rsa", "", ("-m", "PEM"))))

    assert key.get_name() == "ssh-rsa"


def test_an_encrypted_key_without_its_passphrase_is_refused(key_file):
    path = key_file("ed25519", FAKE)

    with pytest.raises(ContentError, match="is encrypted"):
        SecretResolver(env={}).private_key(credential("", path))
    with pytest.raises(ContentError, match="does not open") as caught:
        SecretResolver(env={"PW": "another-fake"}).private_key(credential("env:PW", path))
    assert "another-fake" not in str(caught.value)


def test_a_missing_broken_or_open_key_file_is_refused(tmp_path, key_file):
    resolver = SecretResolver(env={})
    with pytest.raises(ContentError, match="does not exist"):
        resolver.private_key(credential("", tmp_path / "none"))
    broken = tmp_path / "broken"
    broken.write_text("not a key")
    broken.chmod(0o600)
    with pytest.raises(ContentError, match="cannot be read"):
        resolver.private_key(credential("", broken))
    shown = key_file()
    shown.chmod(0o644)
    with pytest.raises(ContentError, match="may be read by others"):
        resolver.private_key(credential("", shown))
