"""Every class of words: what points to a hole, what points away, what leaves it open."""

from __future__ import annotations

from typing import get_args

import pytest

from mtughost.diagnose import diagnose_site
from mtughost.model.device import STALLS, VAGUE, FailureClass
from mtughost.model.findings import FINDING_IDS

AWAY = sorted(set(get_args(FailureClass)) - STALLS - VAGUE)


def sure(world):
    site = diagnose_site(world.evidence())
    return {f.id: f for f in site.findings if f.grade in {"confirmed", "likely"}}


@pytest.mark.parametrize("failure", AWAY)
def test_words_that_point_away_make_no_hole_of_an_open_clamp(b, failure):
    world = b.World(failure=failure, words="in its words")
    found = sure(world.but(captures=(world.capture("ap", syn=1460, syn_ack=1460),)))

    assert [name for name in found if FINDING_IDS[name].startswith("M")] == []


@pytest.mark.parametrize("failure", ["timeout", "radius-timeout"])
def test_a_time_out_of_an_unnamed_step_fits_a_hole_where_tcp_is_answered(b, failure):
    world = b.World(failure=failure, words="rc = 7168")
    answered = world.but(captures=(world.capture("ap", syn=1460, syn_ack=1460),))

    assert {f.grade for f in sure(answered).values()} == {"likely"}
    assert all(FINDING_IDS[name].startswith("M") for name in sure(answered))


@pytest.mark.parametrize(
    ("failure", "finding", "owner"),
    [
        ("certificate-name-mismatch", "certificate-invalid", "cloud"),
        ("certificate-rejected", "certificate-invalid", "cloud"),
        ("client-certificate-missing", "certificate-invalid", "ap"),
        ("clock-not-set", "clock-skew", "ap"),
        ("connect-failed", "no-syn-ack", "isp"),
        ("network-unreachable", "no-syn-ack", "isp"),
    ],
)
def test_finer_words_reach_the_finding_that_they_are_about(b, failure, finding, owner):
    found = sure(b.World(failure=failure, words="in its words", rules=b.both_ways()))

    assert found[finding].owner == owner


def test_an_inspectors_issuer_line_is_the_proof_of_tls_inspection(b):
    world = b.World(
        failure="tls-inspection",
        words="* issuer: CN=Zscaler Intermediate Root CA,O=Zscaler Inc.",
        rules=b.both_ways(),
    )

    assert set(sure(world)) == {"tls-inspection"}
