"""Captures that do not show every packet (offloading hardware, rate limits) never mislead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import diagnose_site
from mtughost.diagnose.coverage import prove
from mtughost.packets.sparse import sparse
from tests.diagnose.test_reports import every

MISSES = "what hardware forwards past the sniffer"
#: Findings that say that something did not come, where it was watched for.
ABSENCES = {
    *("server-hang", "asymmetric-state", "icmp-lost-at-nat", "l2-mtu-mismatch"),
    "radius-fragments-dropped",
}


def ids(evidence):
    return {finding.id for finding in diagnose_site(evidence).findings}


CAPTURED = sorted(name for name, evidence in every().items() if evidence.captures)


def thinned(evidence):
    return replace(evidence, captures=tuple(sparse(c, MISSES) for c in evidence.captures))


@pytest.mark.parametrize("case", CAPTURED)
def test_with_packets_missing_the_verdict_is_the_same_or_unknown(case):
    evidence = every()[case]

    whole, thin = diagnose_site(evidence), diagnose_site(thinned(evidence))

    assert thin.verdict in {whole.verdict, "unknown"}
    found = {finding.id for finding in thin.findings if finding.grade == "confirmed"}
    assert not found & ABSENCES & {f.id for f in whole.findings if f.grade != "confirmed"}


@pytest.mark.parametrize("finding", sorted(ABSENCES))
def test_what_rests_on_a_missing_packet_is_not_found_where_packets_go_missing(finding):
    captured = [every()[name] for name in CAPTURED]
    shown = [evidence for evidence in captured if finding in ids(evidence)]

    lost = [evidence for evidence in shown if finding not in ids(thinned(evidence))]

    assert lost, "no case shows it"


def test_a_watched_point_is_one_that_shows_every_packet(b):
    world = b.World()
    whole = world.capture("gateway-wan", syn=1460, syn_ack=1460)
    seen = world.but(captures=(whole, sparse(whole, MISSES)))

    wire = prove(seen.evidence())[0].wire
    assert len(wire.at("gateway-wan")) == 2
    assert wire.watched("gateway-wan") == (whole,)
