"""``mtughost pcap`` as a user runs it: files, pipes, bad input, secrets, exit codes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def pcap(checkout, tmp_path):
    """Return a function that runs the command in a process of its own."""

    def run(*arguments, stdin=b"", **env):
        return subprocess.run(
            [sys.executable, "-m", "mtughost", "pcap", *map(str, arguments)],
            input=stdin,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout),
                "XDG_STATE_HOME": str(tmp_path / "state"),
                **env,
            },
            capture_output=True,
            check=False,
        )

    return run


@pytest.fixture
def site_a(checkout):
    return checkout / "tests/fixtures/captures/site-a.pcap"


def test_a_hole_ends_with_ten_and_its_json_goes_to_a_file(pcap, site_a, tmp_path):
    done = pcap(site_a, "--json", tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))

    assert done.returncode == 10
    assert done.stdout.startswith(b"fault: packets of 1500 bytes")
    assert (document["verdict"], document["findings"][0]["id"]) == ("fault", "clamp-missing")


def test_a_pipe_and_a_zipped_file_give_the_same_verdict(pcap, site_a, tmp_path):
    zipped = tmp_path / "a.pcap.gz"
    zipped.write_bytes(gzip.compress(site_a.read_bytes()))
    outputs = [
        json.loads(pcap(*arguments, "--json", "-", stdin=stdin).stdout)
        for arguments, stdin in (((zipped,), b""), (("-",), site_a.read_bytes()))
    ]

    assert outputs[0]["sentence"] == outputs[1]["sentence"]
    assert [len(output["connections"]) for output in outputs] == [2, 2]


def test_an_endless_file_is_read_up_to_the_limit_and_the_cut_is_said(pcap, site_a):
    whole = pcap("/dev/zero", "--max-megabytes", 5)
    cut = pcap("-", "--max-megabytes", 1, stdin=site_a.read_bytes() + bytes(3_000_000))

    assert whole.returncode == 11
    assert b"not a pcap or pcapng file" in whole.stdout
    assert cut.returncode == 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", b"the capture is empty"),
        (b"motd: welcome to a switch\n", b"not a pcap or pcapng file"),
        (b"\xd4\xc3\xb2\xa1", b"ends in its header"),
        (b"\x1f\x8b\x08\x00garbage", b"the gzip data is"),
    ],
)
def test_a_file_that_is_no_capture_is_unknown_and_says_why(pcap, tmp_path, content, words):
    file = tmp_path / "what.pcap"
    file.write_bytes(content)

    done = pcap(file)

    assert done.returncode == 11
    assert words in done.stdout
    assert b"Traceback" not in done.stderr


def test_a_missing_file_a_folder_and_a_file_named_twice_are_usage_errors(pcap, site_a, tmp_path):
    for arguments in ((tmp_path / "nowhere.pcap",), (tmp_path,), (site_a, site_a)):
        done = pcap(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(b"mtughost: ")


def test_a_passphrase_on_the_command_line_is_refused_and_not_repeated(pcap, site_a):
    done = pcap(site_a, "--passphrase-ref", "obviously-fake-literal")

    assert done.returncode == 2
    assert b"must be a reference" in done.stderr
    assert b"obviously-fake-literal" not in done.stdout + done.stderr


def test_a_reference_is_resolved_and_the_passphrase_shows_nowhere(pcap, site_a, tmp_path):
    arguments = (site_a, "--passphrase-ref", "env:WIFI_PSK", "--json", tmp_path / "out.json")
    missing = pcap(*arguments)
    done = pcap(*arguments, WIFI_PSK="obviously-fake-psk")

    assert missing.returncode == 3
    assert done.returncode == 10
    everything = done.stdout + done.stderr + (tmp_path / "out.json").read_bytes()
    assert b"obviously-fake-psk" not in everything


def test_progress_goes_to_stderr_while_a_large_file_is_read(pcap, site_a, tmp_path):
    large = tmp_path / "large.pcap"
    raw = site_a.read_bytes()
    large.write_bytes(raw + raw[24:] * (3_000_000 // len(raw)))

    done = pcap(large)

    assert b"reading large.pcap (MB): 2" in done.stderr
    assert b"reading" not in done.stdout
