"""The registry of rules."""

from __future__ import annotations

import re

import pytest

from mtughost.diagnose.case import build_cases
from mtughost.diagnose.coverage import prove
from mtughost.diagnose.rules import ACTIVE_RULES, NOT_MTU, SITE_RULES, STANDBY_RULES
from mtughost.model.findings import FINDING_IDS

ALL = {**ACTIVE_RULES, **STANDBY_RULES, **SITE_RULES}


def test_every_rule_is_for_a_known_finding():
    assert set(ALL) <= set(FINDING_IDS)
    assert set(FINDING_IDS) >= NOT_MTU


def test_rules_stand_in_the_decision_order():
    order = list(FINDING_IDS)

    assert list(ACTIVE_RULES) == sorted(ACTIVE_RULES, key=order.index)


@pytest.mark.parametrize("finding_id", sorted(ALL))
def test_every_rule_says_its_source_and_what_it_looks_at(finding_id):
    text = ALL[finding_id].__doc__ or ""
    number = FINDING_IDS[finding_id].split(",")[0].removesuffix(" 1")

    assert re.search(number, text), f"{finding_id} does not name {number}"


@pytest.mark.parametrize("finding_id", sorted(ACTIVE_RULES))
def test_a_rule_only_makes_its_own_finding(b, finding_id):
    worlds = (
        b.World(rules=b.other_vlan(), sends_df=False).stalled_up(fragments=3),
        b.World(lan_mtu=1492).stalled_up(),
        b.World(connected=True, rules=b.both_ways()),
        b.World(failure="connect-timeout"),
    )
    for world in worlds:
        evidence = world.evidence()
        for case in build_cases(evidence, prove(evidence)):
            assert {item.id for item in ACTIVE_RULES[finding_id](case)} <= {finding_id}
