"""Captures handed in as files, also as the text that a vendor's sniffer printed."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtughost.app.captures import CaptureOptions, judge_files
from mtughost.lab.fleet import sniffers as emulated
from mtughost.lab.fleet.tapping import Packet

CAPTURE = Path(__file__).parents[1] / "fixtures" / "captures" / "site-a.pcap"


def packets():
    raw, at = CAPTURE.read_bytes(), 24
    while at < len(raw):
        seconds, micros, kept, wire = struct.unpack_from("<IIII", raw, at)
        yield Packet(seconds, micros, wire, raw[at + 16 : at + 16 + kept])
        at += 16 + kept


def tap(*_asked):
    found = list(packets())
    return SimpleNamespace(packets=lambda: found, is_running=False, stop=lambda: None)


def fortios():
    line = "diagnose sniffer packet wan1 'tcp' 6 0 a"
    greeting, job = emulated.fortios(tap, line, lambda _: "02:00:00:00:00:01")
    return f"FGT-1 # {line}\n{greeting}{job.more()}\nFGT-1 # "


def asa():
    captures = emulated.Captures()
    emulated.asa(captures, tap, "capture X interface outside match tcp any any eq 2083")
    return f"asa1# show capture X dump\n{emulated.asa(captures, tap, 'show capture X dump')}asa1# "


def epc():
    point = emulated.Point(tapped=tap())
    captures = emulated.Captures({"X": point})
    clock = SimpleNamespace(call_later=None, now_s=time.monotonic)
    lines = [f"show monitor capture X buffer {how}" for how in ("brief", "dump")]
    return "".join(f"rtr#{x}\n{emulated.epc(captures, tap, clock, x)}" for x in lines) + "rtr#"


@pytest.mark.parametrize("text", [fortios, asa, epc], ids=["fortios", "asa", "epc"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_pasted_sniffers_text_is_judged_like_the_capture(tmp_path, text, newline):
    pasted = tmp_path / "sniffed.txt"
    pasted.write_bytes(text().replace("\n", newline).encode())

    (told,), (real,) = (judge_files([p], CaptureOptions()).captures for p in (pasted, CAPTURE))

    assert told.packets == real.packets
    assert [(s.kind, s.mss_bytes) for s in told.syns] == [(s.kind, s.mss_bytes) for s in real.syns]
    assert [f.smallest_lost_up_bytes for f in told.flows] == [
        f.smallest_lost_up_bytes for f in real.flows
    ]
    assert "proves nothing" in told.warnings[-1]


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_the_print_of_a_real_tcpdump_gets_the_sentence_of_the_capture(tmp_path):
    argv = ["tcpdump", "-r", str(CAPTURE), "-n", "-tt", "-x"]
    pasted = tmp_path / "tcpdump.txt"
    pasted.write_bytes(subprocess.run(argv, capture_output=True, check=True).stdout)

    told, real = (judge_files([path], CaptureOptions()) for path in (pasted, CAPTURE))

    assert told.sentence.replace(pasted.name, CAPTURE.name) == real.sentence
    assert [f.id for f in told.findings] == [f.id for f in real.findings]


def test_other_text_stays_what_it_is_and_is_said_to_be_no_capture(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("0x0000 is where it begins\n" * 3)

    (told,) = judge_files([notes], CaptureOptions()).captures

    assert "not a pcap" in told.warnings[0]


def test_a_sniffers_text_may_come_by_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(fortios().encode())))

    (told,) = judge_files([Path("-")], CaptureOptions()).captures

    assert told.packets > 10
