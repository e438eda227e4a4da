"""The shipped books: valid, complete, and every line safe by what they say of themselves."""

from __future__ import annotations

import subprocess

import pytest

from mtughost.content.load import load_book
from mtughost.content.render import render_command
from mtughost.content.root import packaged_content
from mtughost.dialects import REGISTRY
from mtughost.dialects.sniffers import ROLES

ROOT = packaged_content()
BOOKS = [load_book(ROOT, platform) for platform in ROOT.platforms()]
LINUX = load_book(ROOT, "linux")
#: A value that each declared type accepts.
EXAMPLES = {
    "interface": "vlan20",
    "ipv4": "203.0.113.10",
    "ipv6": "2001:db8::1",
    "address": "203.0.113.10",
    "network": "10.0.0.0/8",
    "hostname": "cloud.example.net",
    "port": 2083,
    "path": "/run/x",
    "token": "x",
    "run-token": "0123456789abcdef",
}


def example(command):
    values = {}
    for name, spec in command.params.items():
        value = spec.min if spec.type == "integer" else EXAMPLES[spec.type]
        values[name] = [value, value] if spec.many else value
    return values


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.platform)
def test_every_dialect_that_a_book_names_exists(book):
    named = {entry.dialect for entries in book.read.values() for entry in entries if entry.dialect}

    assert named <= set(REGISTRY)


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.platform)
def test_every_book_captures_or_says_why_not(book):
    assert (book.capture is None) == bool(book.no_capture or book.instead)


@pytest.mark.parametrize("book", [b for b in BOOKS if b.capture], ids=lambda b: b.platform)
def test_every_capture_has_a_reader_and_fits_into_its_bytes(book):
    spec = book.capture
    if spec.reads == "pcap":
        return
    assert set(spec.show or {"packets": ""}) == set(ROLES[spec.reads])
    # Sixteen bytes take a row of at most 80 characters; whole packets are of Ethernet's size.
    rows = -(-min(spec.snap_bytes, 1522) // 16) + 2
    printed = book.commands[spec.show.get("packets", spec.command)]
    if not any("packets" in book.commands[command].params for command in spec.command_ids):
        return  # the device's own buffer bounds it
    assert spec.max_packets * rows * 80 <= printed.max_bytes


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.platform)
def test_every_command_renders_to_one_line(book):
    for command_id, command in book.commands.items():
        rendered = render_command(book, command_id, example(command))
        assert rendered.line.splitlines() == [rendered.line]


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.platform)
def test_every_command_that_is_not_passive_says_what_it_leaves_behind(book):
    assert [
        c for c, spec in book.commands.items() if spec.risk != "passive" and not spec.leaves
    ] == []


@pytest.mark.parametrize("book", BOOKS, ids=lambda b: b.platform)
def test_a_missing_program_is_never_an_answer(book):
    passive = {c: spec for c, spec in book.commands.items() if spec.risk == "passive"}

    assert [c for c, spec in passive.items() if {126, 127} & set(spec.ok_exit_codes)] == []


def test_every_line_of_the_linux_book_is_valid_shell():
    for command_id, command in LINUX.commands.items():
        line = render_command(LINUX, command_id, example(command)).line
        done = subprocess.run(["sh", "-n", "-c", line], capture_output=True, check=False, text=True)
        assert done.returncode == 0, (command_id, done.stderr)


def test_what_an_audit_sends_writes_nothing():
    words = {"tee", "rm", "mv", "cp", "touch", "dd", "nstat", "sh", "set", "add", "del", "replace"}
    read = {c for entries in LINUX.read.values() for entry in entries for c in entry.command_ids}
    for command_id in read:
        command = LINUX.commands[command_id]
        assert command.risk == "passive"
        assert ">" not in command.run.replace("2>&1", ""), command_id
        assert not words & set(command.run.split()), command_id


def test_the_linux_book_reads_everything_that_a_verdict_needs():
    assert set(LINUX.read) >= {
        "identity",
        "privilege",
        "interfaces",
        "addresses",
        "routes",
        "sessions",
        "clamps",
        "icmp",
        "cloud",
        "push-log",
        "dhcp",
        "clock",
    }
