"""Every real capture judged against TRUTH.tsv, which was read with other tools and by hand.

The files stand beside the checkout (MTUGHOST_SHARED); without them these tests are skipped. What a
file holds is asked of its class in TRUTH.tsv; what must not be said is asked of every sentence.
"""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from mtughost.model.findings import FINDING_IDS
from mtughost.packets import judge, summarise
from mtughost.packets.verdict import NOT_MTU

FOLDER = Path(os.environ.get("MTUGHOST_SHARED") or Path(__file__).parents[3] / "shared") / "pcaps"


def rows():
    try:
        with (FOLDER / "TRUTH.tsv").open(encoding="utf-8") as lines:
            return list(csv.DictReader(lines, delimiter="\t"))
    except OSError:
        return []


ROWS = rows()
HERE = [pytest.param(row, id=row["file"]) for row in ROWS] or [
    pytest.param(
        None, marks=pytest.mark.skip("real captures are not here: set MTUGHOST_SHARED"), id="absent"
    )
]


def passphrase(row):
    found = re.search(r"PSK (\w+)", row["truth(hand)"])
    return found[1].rstrip(":") if found else ""


@pytest.fixture(scope="module")
def reports():
    kept = {}

    def run(row):
        name = row["file"]
        if name not in kept:
            with (FOLDER / name).open("rb") as stream:
                evidence = summarise(
                    stream,
                    host=name,
                    point="ap",
                    interface="",
                    basis="recorded output",
                    command="",
                    seconds=0.0,
                    services=(),
                    passphrase=passphrase(row),
                )
            kept[name] = judge([evidence])
        return kept[name]

    return run


def said(report):
    texts = [report.sentence, *report.notes, *(f.summary for f in report.findings)]
    texts += [c.sentence for c in report.connections] + [r.because for r in report.ruled_out]
    return "\n".join(texts)


def flows_of(report):
    return report.captures[0].flows


def frames(text):
    """Return the frame numbers of a cell: ``f4-7, f8-11``, ``f9: words``, ``MIC f51,90,340``."""
    found = set()
    for group in re.findall(r"f(\d+(?:[-,]\d+)*)", text):
        for part in group.split(","):
            low, _, high = part.partition("-")
            found |= set(range(int(low), int(high or low) + 1))
    return found


@pytest.mark.parametrize("row", HERE)
def test_the_facts_of_the_table_are_found(row, reports):
    report = reports(row)
    evidence = report.captures[0]
    told = {m.frame: m.next_hop_mtu_bytes for m in (*evidence.too_big, *evidence.doubted_too_big)}
    eapol = {(m.number, m.frame) for wifi in evidence.wifi for m in wifi.messages}
    stated = {(int(n), int(f)) for n, f in re.findall(r"M(\d)@(\d+)", row["eapol_sequence"])}
    claimed = re.findall(r"(\d+):(\d+)", row["icmp_too_big(frame:mtu)"])

    assert evidence.packets == int(row["frames"])
    assert told == {int(frame): int(mtu) for frame, mtu in claimed}
    if row["ip_frag_frames"] and evidence.flows:
        # Fragments beside any service are in nobody's count of "up" and "down".
        assert evidence.fragments_up + evidence.fragments_down <= int(row["ip_frag_frames"])
    # The table lists the first thirty messages of a file.
    assert stated == set(sorted(eapol, key=lambda item: item[1])[: len(stated)])


@pytest.mark.parametrize("row", HERE)
def test_nothing_is_said_that_the_truth_forbids(row, reports):
    report = reports(row)
    words = said(report)
    ids = {finding.id for finding in report.findings}
    forbidden = row["must_not_say"]
    lost = [f for f in flows_of(report) if f.smallest_lost_up_bytes or f.smallest_lost_down_bytes]

    # None of these files holds a black hole, whatever it lost.
    assert report.verdict not in {"fault", "latent"}
    assert ids <= NOT_MTU & set(FINDING_IDS)
    assert lost == []
    for text in set(re.findall(r"'([^']+)'", forbidden)) - {"M4"}:
        assert text.lower() not in words.lower()
    if "wrong PSK" in forbidden or "PSK failure" in forbidden:
        assert "credential-rejected" not in ids
        assert "does not fit" not in words
    if "a verdict on honouring" in forbidden:
        assert "unknown" in words
        assert "not to be seen here" in report.sentence
    if "'M4' for f90" in forbidden:
        assert (4, 90) not in {
            (m.number, m.frame) for w in report.captures[0].wifi for m in w.messages
        }
    if "0 packets" in forbidden:
        assert report.captures[0].packets > 0


def shown(report):
    """Return every frame that the report points at."""
    found = {frame for c in report.connections for frame in c.frames}
    found |= {e.frame for finding in report.findings for e in finding.evidence if e.frame}
    evidence = report.captures[0]
    found |= {m.frame for m in (*evidence.too_big, *evidence.doubted_too_big)}
    found |= set(evidence.incomplete_datagrams)
    for wifi in evidence.wifi:
        found |= {m.frame for m in wifi.messages} | set(wifi.mic_fits) | set(wifi.mic_fails)
    return found


@pytest.mark.parametrize("row", HERE)
def test_the_frames_that_prove_it_are_pointed_at(row, reports):
    report = reports(row)
    wanted = frames(row["smoking_gun"])
    if row["class"] == "NEG_HEALTHY_SLOW":
        # The table points at the late acknowledgement, the report at what was sent again before.
        assert shown(report) & {8, 10, 12, 13, 15}
    elif row["class"] in {"NEG_CAPTURE_DUPLICATES", "NEG_OFFLOAD"}:
        assert any("captured more than once" in n or "offload" in n for n in report.notes)
    elif wanted:
        assert wanted & shown(report)
    if "warn truncated" in row["smoking_gun"]:
        assert report.captures[0].truncated
        assert any("file ends in the middle" in note for note in report.notes)


CLASSES = {
    "PMTUD_WORKS": lambda r: (
        flows_of(r)[0].honoured_up is True
        and "path MTU discovery works" in r.sentence
        and "1492" in r.sentence
    ),
    "BOGUS_FRAGNEEDED": lambda r: r.verdict == "ok" and "receive offload" in said(r),
    "NEG_HEALTHY": lambda r: flows_of(r)[0].tls_stage == "established",
    "NEG_IPS_DROP": lambda r: (
        [f.id for f in r.findings] == ["plain-loss"] and "not by its size" in r.sentence
    ),
    "NEG_PLAIN_LOSS": lambda r: flows_of(r)[0].retransmits_down == 3,
    "MISSING_FRAGMENT": lambda r: "1 of 2 fragmented datagrams are complete" in r.sentence,
    "MISSING_FRAGMENT(capture edge)": lambda r: "190 of 192 fragmented" in r.sentence,
    "NEG_FRAGS_OK": lambda r: "7 of 7 fragmented datagrams are complete" in said(r),
    "FORMAT_EMPTY": lambda r: r.captures[0].packets == 0 and r.verdict == "unknown",
    "FRAGNEEDED_ONLY": lambda r: "1280" in r.sentence and r.verdict == "unknown",
    "FORMAT_SNAPLEN": lambda r: flows_of(r)[0].syn_mss_bytes == 1460,
    "M1_ONLY": lambda r: "inconclusive" in r.sentence and r.verdict == "unknown",
    "M3_REPEAT_NO_M4": lambda r: (
        "1 of 5 pairs" in r.sentence
        and {134, 135, 136, 137} <= {m.frame for w in r.captures[0].wifi for m in w.messages}
    ),
    "PAIRING_TRAP": lambda r: r.captures[0].wifi[0].mic_fits == (4,),
}


@pytest.mark.parametrize("row", HERE)
def test_what_its_class_says_is_the_verdict(row, reports):
    check = CLASSES.get(row["class"])
    if check is not None:
        assert check(reports(row))


@pytest.mark.parametrize("row", [p for p in HERE if "PSK_OK" in str(p.values)] or HERE[:1])
def test_the_known_passphrases_fit_where_the_truth_says_so(row, reports):
    valid = re.search(r"(?:MIC VALID|MICs) (f[\d,f]+)", row["truth(hand)"])
    wanted = {int(frame) for frame in re.findall(r"\d+", valid[1])}
    wifi = reports(row).captures[0].wifi

    assert {frame for seen in wifi for frame in seen.mic_fits} == wanted
    assert all(not seen.mic_fails for seen in wifi)
    assert reports(row).verdict == "ok"


@pytest.mark.parametrize(
    "row", [p for p in HERE if p.values[0] and passphrase(p.values[0])] or HERE[:1]
)
def test_a_wrong_passphrase_fits_nowhere(row):
    with (FOLDER / row["file"]).open("rb") as stream:
        evidence = summarise(
            stream,
            host="x",
            point="ap",
            interface="",
            basis="recorded output",
            command="",
            seconds=0.0,
            services=(),
            passphrase="certainly-not-this-one",
        )
    report = judge([evidence])

    assert not any(seen.mic_fits for seen in evidence.wifi)
    # Message 3 shows that the access point accepted the key, whatever somebody believes it is.
    assert report.findings == ()
