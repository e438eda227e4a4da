"""The journal never lies: damage is named, a torn tail is dropped, one writer at a time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from mtughost.change.journal import Journal, Writer, boot_id, load_journal, read_journal
from mtughost.model.errors import PlanRefusedError, StoreError

WRITER = Writer(actor="amy", host="laptop", boot_id="b00t")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def utc_now(self):
        return "2026-03-02T10:00:00Z"

    def monotonic_s(self):
        return self.now

    def boottime_s(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "journal.mtj"


def fill(path, runs=2, devices=2):
    with Journal.open(path, Clock()) as journal:
        for run in range(runs):
            pen = journal.run(f"run-{run}", "sha256:abc", WRITER)
            pen.write("run-open", lineage="l")
            for device in range(devices):
                pen.write("arm-intent", f"gw{device}", token="00", window_s=180)
                pen.write("armed", f"gw{device}", sums=["a", "ä"])
            pen.write("run-close")
    return path.read_bytes()


def test_records_come_back_as_they_were_written(path):
    data = fill(path)

    content = read_journal(data)

    assert [r.ev for r in content.records].count("armed") == 4
    assert content.good_bytes == len(data)
    assert load_journal(path) == content
    assert [r.seq for r in content.records] == list(range(len(content.records)))


def test_each_run_anchors_the_head_of_the_one_before(path):
    records = read_journal(fill(path)).records
    second = next(r for r in records if r.run_id == "run-1")

    assert second.data["prev_run_head"] == records[second.seq - 1].hash


def test_every_truncation_keeps_a_true_prefix(path):
    data = fill(path, runs=1)
    whole = read_journal(data).records

    for length in range(len(data)):
        content = read_journal(data[:length])
        assert content.records == whole[: len(content.records)]
        assert content.good_bytes <= length
        assert len(content.records) == data[:length].count(b"\n")


def test_every_flip_of_a_bit_in_a_whole_record_is_found(path):
    data = fill(path, runs=1, devices=1)
    everything = os.environ.get("MTUGHOST_NIGHTLY") == "full"

    for position in range(len(data)):
        for bit in range(8) if everything else (position % 8,):
            broken = bytearray(data)
            broken[position] ^= 1 << bit
            with pytest.raises(StoreError, match="record"):
                read_journal(bytes(broken))


def test_dropped_doubled_swapped_and_foreign_records_are_found(path, tmp_path):
    lines = fill(path).splitlines(keepends=True)
    other = fill(tmp_path / "other" / "journal.mtj").splitlines(keepends=True)

    for index in range(len(lines)):
        with pytest.raises(StoreError):
            read_journal(b"".join(lines[: index + 1] + lines[index:]))
        if index < len(lines) - 1:
            with pytest.raises(StoreError):
                read_journal(b"".join(lines[:index] + lines[index + 1 :]))
    for left, right in pairwise(range(len(lines))):
        turned = list(lines)
        turned[left], turned[right] = turned[right], turned[left]
        with pytest.raises(StoreError):
            read_journal(b"".join(turned))
    assert lines[0] == other[0]  # same clock, same words: only then may they be exchanged
    with pytest.raises(StoreError, match="record 0"):
        read_journal(b"".join(lines[1:]))


def test_a_journal_that_does_not_open_with_a_run_is_damaged(path, as_kept):
    with Journal.open(path, Clock()) as journal:
        journal.run("run-1", "sha256:abc", WRITER).write("armed", "gw1")

    with pytest.raises(StoreError, match="the first record does not open a run") as caught:
        load_journal(path)
    as_kept(str(caught.value))


def forge(line, **changes):
    """Return a record with other fields and a hash that fits them."""

    def canonical(fields):
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    said = json.loads(line[9:]) | changes
    plain = {key: value for key, value in said.items() if key != "hash"}
    said["hash"] = hashlib.sha256(canonical(plain)).hexdigest()
    body = canonical(said) + b"\n"
    return b"%08x " % len(body) + body


@pytest.mark.parametrize("change", [{"seq": 7}, {"prev": "0" * 64}])
def test_a_forged_record_needs_both_the_number_and_the_hash_before_it(path, change):
    head, second, *_ = fill(path).splitlines(keepends=True)

    assert len(read_journal(head + forge(second)).records) == 2
    with pytest.raises(StoreError, match="record 1 is damaged: it does not follow"):
        read_journal(head + forge(second, **change))


def test_a_run_that_is_anchored_to_another_past_is_found(path, as_kept):
    """A forger who mends the chain behind a cut still has to know what the anchor said."""
    lines = fill(path).splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if n and b'"run-open"' in line)
    forged = b"".join(lines[:at]) + forge(lines[at], data={"prev_run_head": "0" * 64})

    with pytest.raises(StoreError, match="anchor is not the head of the run before") as caught:
        read_journal(forged)
    as_kept(str(caught.value))


def test_a_journal_may_be_closed_twice_and_gives_the_lock_back(path):
    journal = Journal.open(path, Clock())
    journal.close()
    journal.close()

    with Journal.open(path, Clock()) as again:
        assert again.records == ()


def test_a_torn_tail_is_dropped_and_writing_goes_on_behind_the_last_whole_record(path):
    data = fill(path)
    path.write_bytes(data[:-7])

    with Journal.open(path, Clock()) as journal:
        journal.run("run-2", "sha256:abc", WRITER).write("run-open")

    records = load_journal(path).records
    assert records[-1].run_id == "run-2"
    assert len(records) == data.count(b"\n")


@pytest.mark.parametrize("junk", [b"x", b"0000zz", b"000000ff x", b"\x00\x00"])
def test_a_tail_that_is_no_beginning_of_a_record_is_damage(path, junk):
    data = fill(path)

    if junk.startswith(b"000000ff "):
        assert read_journal(data + junk).good_bytes == len(data)
    else:
        with pytest.raises(StoreError):
            read_journal(data + junk)


def test_a_second_writer_is_refused_while_the_first_one_lives(path):
    with (
        Journal.open(path, Clock()),
        pytest.raises(PlanRefusedError, match="another run"),
    ):
        Journal.open(path, Clock())
    Journal.open(path, Clock()).close()


def test_a_link_in_place_of_the_journal_is_refused(path, tmp_path):
    target = tmp_path / "elsewhere"
    target.write_bytes(b"")
    path.parent.mkdir()
    path.symlink_to(target)

    with pytest.raises(StoreError, match="symbolic link"):
        Journal.open(path, Clock())
    with pytest.raises(StoreError):
        load_journal(path)


def test_a_journal_that_others_can_read_is_refused(path, as_kept):
    fill(path)
    path.chmod(0o644)

    with pytest.raises(StoreError, match="0600") as caught:
        Journal.open(path, Clock())
    as_kept(str(caught.value))


def test_the_file_and_its_directory_are_private(path):
    fill(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_missing_journal_is_an_empty_one(path):
    assert load_journal(path).records == ()


@pytest.mark.parametrize("failure", ["short", "ENOSPC", "EIO"])
def test_a_failed_write_is_final_and_nothing_is_lost_before_it(path, monkeypatch, failure, as_kept):
    from mtughost.change import journal as module  # noqa: PLC0415

    fill(path)
    write, fsync = os.write, os.fsync

    def broken_write(handle, data):
        if failure == "short":
            return write(handle, data[:20])
        if failure == "ENOSPC":
            raise OSError(28, "No space left on device")
        return write(handle, data)

    def broken_fsync(handle):
        if failure == "EIO":
            raise OSError(5, "Input/output error")
        fsync(handle)

    with Journal.open(path, Clock()) as journal:
        pen = journal.run("run-2", "sha256:abc", WRITER)
        pen.write("run-open")
        monkeypatch.setattr(module.os, "write", broken_write)
        monkeypatch.setattr(module.os, "fsync", broken_fsync)
        with pytest.raises(StoreError, match="cannot write the journal") as first:
            pen.write("arm-intent", "gw0")
        monkeypatch.undo()
        with pytest.raises(StoreError, match="failed before") as second:
            pen.write("armed", "gw0")
    as_kept(f"{first.value}\n{second.value}\n")

    assert load_journal(path).records[-1].ev in {"run-open", "arm-intent"}


def test_no_acknowledged_record_is_lost_by_kill_9(path):
    program = (
        "import sys, pathlib; from mtughost.change.journal import *\n"
        "class C:\n"
        "  utc_now = lambda s: '2026-03-02T10:00:00Z'\n"
        "  boottime_s = lambda s: 1.0\n"
        "j = Journal.open(pathlib.Path(sys.argv[1]), C())\n"
        "p = j.run('r', 'd', Writer(actor='a', host='h', boot_id='b')); p.write('run-open')\n"
        "while True: print(p.write('note', n=1).seq, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    first = [child.stdout.readline() for _ in range(40)]
    child.kill()
    acknowledged = b"".join([*first, child.communicate()[0]]).split()

    with Journal.open(path, Clock()) as journal:
        kept = len(journal.records)

    assert acknowledged
    assert kept > int(acknowledged[-1])


def test_this_machine_has_a_boot_id():
    assert len(boot_id()) in {0, 36}


def test_a_machine_that_tells_no_boot_id_has_none(monkeypatch):
    def gone(*_, **__):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "read_text", gone)

    assert boot_id() == ""


def bare(text):
    """Return a line whose length is right and whose content is anything."""
    body = text.encode() + b"\n"
    return b"%08x " % len(body) + body


@pytest.mark.parametrize(
    "damage",
    [
        "not JSON",
        "no record",
        "an unknown field",
        "too long",
        "no length",
        "a length too much",
        "a hash",
        "a record twice",
        "a line end",
        "a tail",
    ],
)
def test_damage_is_named_with_its_record_and_its_kind(path, as_kept, damage):
    data = fill(path, runs=1, devices=1)
    head, second, *_ = data.splitlines(keepends=True)
    broken = {
        "not JSON": head + bare("{"),
        "no record": head + bare("{}"),
        "an unknown field": head + bare(second[9:-1].decode().replace('"ev"', '"ex"')),
        "too long": head + b"ffffffff {}\n",
        "no length": head + b"0000000g {}\n",
        "a length too much": head + b"%08x " % len(second) + second[9:],
        "a hash": head + second.replace(b'"gw0"', b'"gw1"'),
        "a record twice": head + second + second,
        "a line end": data[:-1] + b" ",
        "a tail": data + b"xyz",
    }[damage]

    with pytest.raises(StoreError) as caught:
        read_journal(broken, path="night.mtj")
    as_kept(str(caught.value))


def test_records_say_who_wrote_them_where_and_when_by_both_clocks(path):
    said = json.loads(fill(path).splitlines()[1][9:])

    assert said == said | {
        "seq": 1,
        "run_id": "run-0",
        "plan_digest": "sha256:abc",
        "t_wall_utc": Clock().utc_now(),
        "t_boottime_ns": int(Clock().boottime_s() * 1e9),
        "actor": WRITER.actor,
        "host": WRITER.host,
        "boot_id": WRITER.boot_id,
        "dev": "gw0",
        "ev": "arm-intent",
        "data": {"token": "00", "window_s": 180},
    }
