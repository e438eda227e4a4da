"""The fleet as a whole: a contrast is shown only where the numbers support it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.diagnose import diagnose_site
from mtughost.diagnose.cohorts import contrasts, features, fisher_exact, fleet_view, with_far_ends
from mtughost.model.basis import Known
from mtughost.model.device import Identity
from mtughost.model.inventory import SiteInfo

counts = st.integers(0, 12)


@pytest.mark.parametrize(
    ("table", "p"),
    # Fisher's own tea table, and figures of R's fisher.test.
    [
        ((3, 1, 1, 3), 0.4857142857),
        ((1, 9, 11, 3), 0.002759456185),
        ((0, 0, 5, 5), 1.0),
        ((8, 2, 1, 5), 0.03496503497),
        ((0, 0, 0, 0), 1.0),
    ],
)
def test_the_exact_test_gives_the_known_figures(table, p):
    assert fisher_exact(*table) == pytest.approx(p, rel=1e-9)


@given(counts, counts, counts, counts)
def test_the_exact_test_is_a_probability_and_does_not_care_how_a_table_is_turned(a, b, c, d):
    p = fisher_exact(a, b, c, d)

    assert 0 < p <= 1
    assert p == pytest.approx(fisher_exact(c, d, a, b))
    assert p == pytest.approx(fisher_exact(a, c, b, d))
    if a + b + c + d:
        least = comb(a + b, a) * comb(c + d, c) / comb(a + b + c + d, a + c)
        assert p >= least * (1 - 1e-9)


def sites(failing, passing, feature="isp"):
    """Sites by value of one feature: how many fail, how many pass."""
    known, bad = {}, set()
    for value in {**failing, **passing}:
        for kind, table in (("bad", failing), ("good", passing)):
            for number in range(table.get(value, 0)):
                name = f"{value}-{kind}-{number}"
                known[name] = {feature: value}
                if kind == "bad":
                    bad.add(name)
    return known, bad, set(known) - bad


def test_a_provider_whose_sites_fail_is_named_with_its_figures():
    (found,) = contrasts(*sites({"A": 12, "B": 1}, {"A": 1, "B": 20}))

    assert (found.feature, found.value, found.failing, found.passing) == ("isp", "A", 12, 1)
    assert "12 of 13 sites fail, elsewhere 1 of 21" in found.sentence


@pytest.mark.parametrize(
    ("failing", "passing"),
    [
        ({"A": 2}, {"B": 40}),  # an anecdote
        ({"A": 3, "B": 3}, {"A": 3, "B": 3}),  # no difference
        ({"A": 20}, {}),  # nothing to compare with
        ({"A": 5}, {"A": 20, "B": 5}),  # chance
        ({}, {"A": 20, "B": 20}),
    ],
)
def test_what_the_numbers_do_not_support_is_not_shown(failing, passing):
    assert contrasts(*sites(failing, passing)) == ()


def test_with_many_values_tested_the_threshold_shrinks():
    known, bad, good = sites({"A": 5}, {"A": 1, "B": 10})
    assert contrasts(known, bad, good)
    for index, name in enumerate(known):
        for extra in range(20):
            known[name][f"feature {extra}"] = str((index * 7 + extra) % 11)

    assert contrasts(known, bad, good) == ()


@given(st.permutations(range(30)))
def test_verdicts_that_are_dealt_out_at_random_hardly_ever_make_a_contrast(order):
    known = {f"s{i}": {"isp": "AB"[i % 2], "modem": "XYZ"[i % 3]} for i in range(30)}
    bad = {f"s{i}" for i in order[:10]}
    for found in contrasts(known, bad, set(known) - bad):
        assert found.chance <= 0.05 / 5


def named(world, site, isp):
    evidence = world.evidence()
    return replace(evidence, site=replace(evidence.site, name=site, info=SiteInfo(isp=isp)))


def test_latent_sites_count_as_failing_and_unknown_ones_count_nowhere(b):
    latent = b.World(connected=True, sends_df=False, sessions=(b.World().session(1388, 1500),))
    well = b.World(connected=True, rules=b.both_ways())
    evidence = [
        *(named(latent, f"bad{i}", "Cable") for i in range(6)),
        *(named(well, f"good{i}", "Fibre") for i in range(9)),
        named(b.World(connected=True), "open", "Fibre"),
    ]
    reports = [diagnose_site(item) for item in evidence]
    view = fleet_view(evidence, reports)

    assert {r.verdict for r in reports if r.site.startswith("bad")} == {"latent"}
    assert {r.isp for r in reports if r.site.startswith("bad")} == {"Cable"}
    assert (view.judged, view.unknown) == (15, 1)
    assert {("isp", "Cable"), ("gateway clamp rules", "none")} <= {
        (c.feature, c.value) for c in view.contrasts
    }


def test_sites_with_the_same_rules_share_their_digest_whatever_was_counted(b):
    world = b.World(rules=b.both_ways())
    counted = b.World(rules=tuple(replace(r, packets=9999) for r in b.both_ways()))
    other = b.World(rules=b.other_vlan())

    digests = [features(w.evidence())["gateway clamp rules"] for w in (world, counted, other)]
    assert digests[0] == digests[1] != digests[2]
    assert "gateway clamp rules" not in features(b.World(gateway_read=False).evidence())


def test_the_digest_of_rules_is_the_same_in_every_process():
    """Sets are ordered by chance in each process; reports of several runs are compared."""
    program = (
        "from mtughost.model.clamps import Match; from mtughost.diagnose.cohorts import _condition;"
        "print(_condition(Match(icmp_types=frozenset({'a', 'b', 'c', 'd', 'e'}))))"
    )

    def said(seed):
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        argv = [sys.executable, "-c", program]
        return subprocess.run(argv, env=env, capture_output=True, check=True).stdout

    assert said(1) == said(2)
    assert b"['a', 'b', 'c', 'd', 'e']" in said(1)


def test_every_site_learns_what_the_far_end_offers_elsewhere_and_never_its_own(b):
    def offering(site, mss):
        world = b.World(names=b.Names(site=site))
        return world.but(captures=(world.capture("gateway-wan", syn=1460, syn_ack=mss),)).evidence()

    told = with_far_ends([offering("a", 1460), offering("b", 1400), offering("c", 1452)])

    assert [[(f.site, f.mss_bytes) for f in item.far_ends] for item in told] == [
        [("c", 1452)],
        [("a", 1460)],
        [("a", 1460)],
    ]
    alone = b.World().evidence()
    assert with_far_ends([alone]) == (alone,)


def test_a_value_whose_sites_fail_less_than_the_rest_is_no_suspect():
    """Of B's sites half fail, exactly as many as pass; A is the one that does well."""
    found = contrasts(*sites({"A": 3, "B": 20}, {"A": 60, "B": 20}))

    assert [item.value for item in found] == ["B"]


def test_all_sites_of_a_value_may_fail_while_nothing_else_is_known_to():
    known, failing, passing = sites({"A": 9}, {"B": 9})
    (found,) = contrasts(known, failing, passing)

    assert (found.failing, found.passing) == (9, 0)
    assert (found.others_failing, found.others_passing) == (0, 9)
    assert found.tests == 2


def test_sites_without_the_feature_and_without_a_verdict_count_nowhere():
    known, failing, passing = sites({"A": 8, "B": 1}, {"A": 1, "B": 9})
    known |= {"bare": {}, "open": {"isp": "A"}}
    (found,) = contrasts(known, failing | {"bare"}, passing)

    assert (found.failing, found.passing, found.others_failing, found.others_passing) == (
        8,
        1,
        1,
        9,
    )


def test_what_a_far_end_offers_is_told_with_its_address_port_and_family(b):
    world = b.World(names=b.Names(site="a"))
    seen = world.but(captures=(world.capture("gateway-wan", syn=1460, syn_ack=1400),)).evidence()
    _, other = with_far_ends([seen, b.World(names=b.Names(site="b")).evidence()])
    (offer,) = other.far_ends

    assert (offer.server, offer.port, offer.family) == (world.server, 2083, "ipv4")
    assert (offer.site, offer.mss_bytes) == ("a", 1400)


@pytest.mark.parametrize("point", ["ap", "gateway-lan"])
def test_what_was_seen_behind_our_own_gateway_is_no_offer_of_the_far_end(b, point):
    world = b.World()
    seen = world.but(captures=(world.capture(point, syn=1460, syn_ack=1400),)).evidence()

    assert with_far_ends([seen, b.World(names=b.Names(site="b")).evidence()])[1].far_ends == ()


def test_a_far_end_without_an_address_is_nobodys_to_compare(b):
    world = b.World()
    seen = world.but(captures=(world.capture("gateway-wan", syn=1460, syn_ack=1400),)).evidence()
    ap = seen.facts[0]
    named = replace(ap.cloud, value=(replace(ap.cloud.value[0], server="cloud.example"),))

    assert with_far_ends([seen.with_facts(replace(ap, cloud=named))])[0].far_ends == ()


def test_what_a_site_can_be_compared_by_is_named_and_what_is_unknown_left_out(b):
    evidence = b.World(rules=b.both_ways()).evidence()
    identity = Known(
        Identity(hostname="gw", model="X1", os_name="OS", os_version="7.4"),
        evidence.facts[1].clamps.source,
    )
    own = Identity(hostname="ap", model="A9", os_name="", os_version="10.6")
    info = SiteInfo(isp="Cable", modem="M2")
    full = replace(
        evidence.with_facts(replace(evidence.facts[1], identity=identity)).with_facts(
            replace(evidence.facts[0], identity=replace(identity, value=own))
        ),
        site=replace(evidence.site, info=info),
    )
    known = features(full)

    digest = known.pop("gateway clamp rules")
    assert len(digest) == 12
    assert known == {
        "isp": "Cable",
        "modem": "M2",
        "gateway model": "X1",
        "gateway firmware": "OS 7.4",
        "access point model": "A9",
        "access point firmware": "10.6",
    }
    assert set(features(evidence)) == {"gateway clamp rules"}
