"""The file of host keys: strict, keyed by inventory name, written safely."""

from __future__ import annotations

import os
import stat
import subprocess
import threading

import pytest

from mtughost.model.errors import ContentError, HostKeyError
from mtughost.wire.known_hosts import HostKeyInfo, KnownHosts


@pytest.fixture
def make_key(tmp_path):
    made = []

    def make(kind="ed25519") -> HostKeyInfo:
        path = tmp_path / f"key{len(made)}"
        made.append(path)
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
        kind, encoded, *_ = path.with_suffix(".pub").read_text().split()
        return HostKeyInfo(kind, encoded)

    return make


def test_a_recorded_key_is_found_again_after_reading_the_file(tmp_path, make_key):
    path, key = tmp_path / "state" / "known_hosts", make_key()
    KnownHosts(path).add("s001-ap1", key)

    again = KnownHosts(path)

    assert again.keys_for("s001-ap1") == (key,)
    assert again.names() == ("s001-ap1",)
    again.check("s001-ap1", key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_fingerprint_is_the_one_that_openssh_prints(tmp_path, make_key):
    key = make_key()
    shown = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key0.pub"], capture_output=True, text=True, check=True
    ).stdout

    assert key.fingerprint in shown.split()


def test_openssh_reads_the_file_that_we_write(tmp_path, make_key):
    path, key = tmp_path / "known_hosts", make_key()
    KnownHosts(path).add("s001-ap1", key)
    found = subprocess.run(
        ["ssh-keygen", "-F", "s001-ap1", "-f", path], capture_output=True, text=True, check=True
    )

    assert key.base64 in found.stdout


def test_a_name_may_have_several_keys_and_a_line_several_names(tmp_path, make_key):
    one, two = make_key(), make_key("ecdsa")
    path = tmp_path / "known_hosts"
    path.write_text(
        f"# comment\n\nvip,gw1 {one.key_type} {one.base64} note\nvip {two.key_type} {two.base64}\n"
    )
    known = KnownHosts(path)

    assert known.keys_for("vip") == (one, two)
    assert known.keys_for("gw1") == (one,)
    known.check("vip", two)


def test_an_unknown_changed_or_revoked_key_is_refused_with_what_to_do(tmp_path, make_key):
    one, two = make_key(), make_key()
    path = tmp_path / "known_hosts"
    path.write_text(f"ap1 {one.key_type} {one.base64}\n")
    known = KnownHosts(path)

    with pytest.raises(HostKeyError, match=r"unknown host key .* mtughost enroll ap2"):
        known.check("ap2", one)
    with pytest.raises(HostKeyError, match="changed") as caught:
        known.check("ap1", two)
    assert one.fingerprint in str(caught.value)
    assert two.fingerprint in str(caught.value)

    path.write_text(f"ap1 {one.key_type} {one.base64}\n@revoked * {one.key_type} {one.base64}\n")
    with pytest.raises(HostKeyError, match="revoked"):
        KnownHosts(path).check("ap1", one)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ap1 ssh-ed25519", "expected"),
        ("ap1 ssh-ed25519 not/base64!", "not a key of type"),
        ("ap1 ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA", "not a key of type ssh-rsa"),
        ("|1|abc|def ssh-ed25519 AAAA", "hashed"),
        ("@cert-authority * ssh-ed25519 AAAA", "not supported"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, problem):
    path = tmp_path / "known_hosts"
    path.write_text(f"# first\n{line}\n")

    with pytest.raises(ContentError, match=problem) as caught:
        KnownHosts(path)

    assert str(caught.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize("name", ["", "a b", "a,b", "#a", "|1|x", "a*", "@revoked"])
def test_a_name_that_could_mean_something_else_is_refused(tmp_path, make_key, name):
    with pytest.raises(ContentError):
        KnownHosts(tmp_path / "known_hosts").add(name, make_key())


def test_keys_added_by_two_objects_and_many_threads_are_all_kept(tmp_path, make_key):
    path, key = tmp_path / "known_hosts", make_key()
    first, second = KnownHosts(path), KnownHosts(path)
    first.add("a", key)
    second.add("b", key)
    threads = [threading.Thread(target=first.add, args=(f"t{i}", key)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(KnownHosts(path).names()) == {"a", "b", *(f"t{i}" for i in range(10))}
    assert [name for name in os.listdir(tmp_path) if name.startswith(".known")] == []  # noqa: PTH208


def test_adding_the_same_key_twice_writes_once(tmp_path, make_key):
    known, key = KnownHosts(tmp_path / "known_hosts"), make_key()
    known.add("a", key)
    known.add("a", key)

    assert len(known.path.read_text().splitlines()) == 1
