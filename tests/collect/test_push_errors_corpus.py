"""The classifier against what real programs said; the labels come from packets and far ends.

``tests/fixtures/push`` was recorded by ``push_recorder/record.py`` and, in labs, by
``foundry.py``. Half of it, chosen by a digest of each text, was not looked at while the rules were
written. A fresh sample is recorded while testing, so that neither half can be learned by heart.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mtughost.collect.push_errors import decide
from mtughost.model.device import STALLS, VAGUE

RECORDER = Path(__file__).with_name("push_recorder") / "record.py"
FOLDER = Path(__file__).parent.parent / "fixtures" / "push"

#: At least this share is right, and this share names the very class.
RIGHT, EXACT = 0.98, 0.85
CERTIFICATE = {
    "certificate-expired",
    "certificate-not-yet-valid",
    "certificate-untrusted",
    "certificate-name-mismatch",
    "tls-inspection",
}
#: A class to the classes that it holds: a text that tells less gets the wider one.
WIDER = {
    "certificate-rejected": CERTIFICATE,
    "certificate-untrusted": {"tls-inspection"},
    "connect-failed": {"connection-refused", "network-unreachable"},
    "timeout": {*STALLS, "connect-timeout", "radius-timeout"},
    "handshake-failed": {*CERTIFICATE, "tls-alert", "not-tls", "connection-reset"},
}


def load(path):
    head, *records = (json.loads(line) for line in path.read_text().splitlines())
    return head, records


def grade(record):
    """Return ``exact``, ``wider``, ``abstained`` or ``wrong``."""
    label, found = record["label"], decide(record["text"]).failure
    packets = record["measured"]["packets"]
    if found == label:
        return "exact"
    if found == "unclassified":
        return "abstained"
    wider = (
        label in WIDER.get(found, ())
        # the alert's name is lost, or what it means is
        or (found == "tls-alert" and record["alert"] is not None)
        # the far end did close the connection, only its reason is lost
        or (
            found == "connection-reset"
            and (label == "not-tls" or record["alert"] is not None)
            and bool(packets.get("rst_far") or packets.get("fin_far"))
        )
        # the RADIUS server did reject, only its reason is not in these lines
        or (found == "credential-rejected" and record["planted"].startswith("eap-"))
    )
    return "wider" if wider else "wrong"


def held_back(record):
    return hashlib.sha256(record["text"].encode()).digest()[0] & 1 == 1


@pytest.fixture(scope="module")
def corpus():
    head, records = load(FOLDER / "corpus.jsonl")
    lab = (FOLDER / "foundry.jsonl").read_text().splitlines()
    return head, records + [json.loads(line) for line in lab]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Record a small sample of every plant now, chosen anew in every run."""
    path = tmp_path_factory.mktemp("push") / "fresh.jsonl"
    seed = secrets.token_hex(4)
    done = subprocess.run(
        [
            *(sys.executable, str(RECORDER), "--sample", "40", "--seed", seed),
            *("--only", "curl,libcurl-gnutls,libcurl-nss,s_client,radsecproxy", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sys.stderr.write(f"seed {seed}: {done.stderr}")  # shown when a test fails
    return load(path)[1]


def shares(records):
    counts = Counter(grade(record) for record in records)
    right = (counts["exact"] + counts["wider"]) / len(records)
    # Texts without a telling word are no mistakes: nothing is guessed.
    decided = len(records) - counts["abstained"]
    return counts, right, (counts["exact"] + counts["wider"]) / decided, counts["exact"] / decided


@pytest.mark.parametrize("held", [False, True], ids=["looked-at", "held-back"])
def test_each_half_of_the_corpus_is_named_rightly(corpus, held):
    half = [record for record in corpus[1] if held_back(record) is held]

    counts, right, of_decided, exact = shares(half)

    sys.stderr.write(f"{len(half)} texts: {dict(counts)}\n")
    wrong = [(r["program"], r["planted"], decide(r["text"])) for r in half if grade(r) == "wrong"]
    assert of_decided >= RIGHT, wrong
    assert right >= RIGHT - 0.03, counts
    assert exact >= EXACT, counts


def test_nothing_that_is_not_silence_is_called_a_stall(corpus):
    false = [
        (r["program"], r["planted"], decide(r["text"]))
        for r in corpus[1]
        if r["label"] not in STALLS and decide(r["text"]).failure in STALLS
    ]

    assert false == []


def test_no_silence_is_called_by_a_name_that_points_away_from_a_hole(corpus):
    named_away = [
        (r["program"], r["planted"], decide(r["text"]))
        for r in corpus[1]
        if r["label"] in STALLS and decide(r["text"]).failure not in STALLS | VAGUE
    ]

    assert named_away == []


def test_an_alert_is_named_by_the_number_that_the_packets_showed(corpus):
    named = [
        (decide(r["text"]).alert, r["measured"]["packets"]["alert_far"])
        for r in corpus[1]
        if r["measured"]["packets"].get("alert_far") and decide(r["text"]).alert
    ]
    numbers = {}
    for name, number in named:
        numbers.setdefault(number, Counter())[name] += 1

    assert len(named) > 60
    for number, names in numbers.items():
        assert len(names) == 1, (number, names)


def test_the_deciding_line_stands_where_the_decision_says(corpus):
    for record in corpus[1]:
        decision = decide(record["text"])
        if decision.line is not None:
            line = record["text"].split("\n")[decision.line - 1]
            assert decision.text[:40].strip() in line, record["planted"]


def test_the_corpus_is_large_enough_and_says_where_it_is_from(corpus):
    head, records = corpus

    assert len(records) >= 200
    assert len({record["label"] for record in records}) >= 12
    assert head["basis"] == "real program"
    # freeradius-proxy is freeradius, and eapol_test comes from wpa_supplicant's source.
    programs = {record["program"].removesuffix("-proxy") for record in records} - {"eapol_test"}
    assert programs == set(head["versions"])


def test_the_corpus_holds_no_machines_names_paths_or_keys(corpus):
    text = "".join(path.read_text() for path in FOLDER.iterdir())

    assert not re.search(r"PRIVATE KEY|/home/|/root/|/srv/|/opt/|/tmp/", text)
    assert all(record["measured"]["packets"] is not None for record in corpus[1])


@pytest.mark.lab
def test_texts_recorded_now_are_named_as_rightly(fresh):
    counts, _, of_decided, _ = shares(fresh)

    assert counts["exact"] + counts["wider"] >= 25
    # One of forty may be a text whose program itself names another reason.
    wrong = [(r["program"], r["planted"], decide(r["text"])) for r in fresh if grade(r) == "wrong"]
    assert len(wrong) <= 2, (wrong, of_decided)
    assert not [
        (r["program"], r["planted"], decide(r["text"]))
        for r in fresh
        if r["label"] not in STALLS and decide(r["text"]).failure in STALLS
    ]


@pytest.mark.nightly(basis="generated texts")
@pytest.mark.timeout(1000)
def test_coverage_guided_fuzzing_finds_no_text_that_raises(fuzzed, corpus, tmp_path):
    seeds = tmp_path / "texts"
    seeds.mkdir()
    for number, record in enumerate(corpus[1]):
        (seeds / str(number)).write_text(record["text"], encoding="utf-8")

    fuzzed(Path(__file__).with_name("atheris_push_errors.py"), seeds)
