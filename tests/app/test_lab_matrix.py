"""Counting what was said against what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.app.lab_matrix import Case, Matrix
from mtughost.lab import SiteSpec, Truth
from mtughost.lab.conversation import Handshake
from mtughost.lab.expect import Allowed

NOTHING = Handshake(syn_mss_bytes=None, syn_ack_mss_bytes=None)
FAULT = Truth(
    site="s001", service="radsec", tls="1.2", works=False, client_words="", at_device=NOTHING,
    at_wan=NOTHING, upload_frames=(), resent_frames=(), dont_fragment=None, fragments_on_wan=0,
    icmp_at_device=(), icmp_at_wan=(), download_gap=False, resets=False,
    stage="upload-unacknowledged", small_works=True, elsewhere_works=None, standby_works=None,
    login_works=None, login_small_works=None, rebooted_works=None, verdict="fault",
)  # fmt: skip
WELL = replace(FAULT, works=True, stage="round-trip", verdict="ok")


def case(truth, verdict, *findings, first=(), problem="", may_abstain=False):
    """Return a case in which ``findings`` were said."""
    return Case(
        number=7,
        spec=SiteSpec(scenario="clamp-scope"),
        access="ap-only" if may_abstain else "all",
        truth=truth,
        problem=problem,
        allowed=Allowed(
            verdicts=frozenset({truth.verdict}),
            first=frozenset(first),
            remarks=frozenset({"mss-rewritten-upstream"}),
            may_abstain=may_abstain,
        ),
        verdict=verdict,
        findings=findings,
        grades=("confirmed",) * len(findings),
        said={},
    )


@pytest.mark.parametrize(
    ("made", "score", "agrees", "false_fault"),
    [
        (case(WELL, "ok"), "right", True, False),
        (case(WELL, "ok", "mss-rewritten-upstream"), "right", True, False),
        (case(WELL, "fault", "clamp-missing"), "wrong", False, True),
        (case(WELL, "ok", "clamp-missing"), "wrong", False, True),
        (case(WELL, "unknown"), "wrong", False, False),
        (case(WELL, "unknown", may_abstain=True), "right", True, False),
        (case(FAULT, "fault", "clamp-scope", first=("clamp-scope",)), "right", True, False),
        (case(FAULT, "latent", "clamp-scope", first=("clamp-scope",)), "right", False, False),
        (case(FAULT, "fault", "server-hang", first=("clamp-scope",)), "wrong", False, False),
        (case(FAULT, "unknown", first=("clamp-scope",)), "abstained", False, False),
        (
            case(FAULT, "unknown", first=("clamp-scope",), may_abstain=True),
            "abstained",
            False,
            False,
        ),
    ],
)
def test_a_case_is_scored_by_its_first_finding(made, score, agrees, false_fault):
    assert (made.score, made.agrees, made.false_fault) == (score, agrees, false_fault)


def test_a_matrix_counts_what_held_and_lists_how_to_repeat_the_rest():
    good = case(FAULT, "fault", "clamp-scope", first=("clamp-scope",))
    bad = case(FAULT, "not-mtu", "server-hang", first=("clamp-scope",))
    out = case(WELL, "ok", problem="measured ok, built for fault")
    matrix = Matrix(seed=3, asked=4, access="all", cases=(good, good, bad, out), seconds=9.6)

    document = matrix.document

    assert (document["counted"], document["thrown_out"]) == (3, 1)
    assert document["share_right"] == 0.6667
    assert document["verdicts"]["fault"] == {
        "fault": 2, "latent": 0, "not-mtu": 1, "ok": 0, "unknown": 0,
    }  # fmt: skip
    assert document["first_findings"] == {"clamp-scope": {"right": 2, "wrong": 1, "abstained": 0}}
    assert document["grades"] == {"confirmed": 2}
    (entry,) = document["disagreements"]
    assert entry["reproduce"] == "mtughost lab run --seed 3 --access all --only 7"
    assert "| fault | 2 | 0 | 1 | 0 | 0 |" in matrix.table
    assert "thrown out, measured ok" in matrix.table
