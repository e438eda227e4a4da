"""The proof as it would come out after a change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import simulate_change
from mtughost.diagnose.coverage import prove_coverage
from mtughost.diagnose.simulate import MtuChange, RulesetChange
from mtughost.diagnose.simulate import prove_coverage as prove_by_configuration
from mtughost.model.basis import NOT_COLLECTED


def covered(evidence):
    return {row.key.direction: row.covered for row in prove_coverage(evidence)}


def test_widening_the_scope_is_shown_to_be_sufficient_although_old_packets_say_1460(b):
    evidence = b.World(rules=b.other_vlan()).stalled_up(fragments=20).evidence()
    change = RulesetChange(host="s001-gw1", ruleset=b.ruleset(*b.both_ways()))

    assert covered(evidence) == {"up": False, "down": False}
    assert covered(simulate_change(evidence, change)) == {"up": True, "down": True}


def test_clamping_the_way_out_alone_is_shown_to_be_insufficient(b):
    evidence = b.World().evidence()
    change = RulesetChange(host="s001-gw1", ruleset=b.ruleset(b.clamp(oif="wan0")))

    assert covered(simulate_change(evidence, change)) == {"up": False, "down": True}


def test_lowering_the_vlans_mtu_alone_is_shown_to_be_insufficient(b):
    evidence = b.World().evidence()
    change = MtuChange(host="s001-gw1", interface="vlan20", mtu_bytes=1492)

    assert covered(simulate_change(evidence, change))["up"] is False


def test_lowering_the_hosts_mtu_is_shown_to_be_sufficient(b):
    evidence = b.World(wan_mtu=1446, wan_kind="tunnel").evidence()
    change = MtuChange(host="s001-ap1", interface="eth0", mtu_bytes=1440)

    assert covered(simulate_change(evidence, change)) == {"up": True, "down": True}


def test_what_was_learned_about_the_path_stays(b):
    world = b.World(wan_mtu=1500)
    world = world.but(
        probes=(world.probe((1492, "reply"), (1493, "timeout")),),
        sessions=(world.session(1448, 1500),),
    )
    change = RulesetChange(host="s001-gw1", ruleset=b.ruleset(*b.both_ways(to=1460)))

    after = prove_coverage(simulate_change(world.evidence(), change))

    up = next(row for row in after if row.key.direction == "up")
    assert (up.path_mtu, up.covered, up.mss.observed.ap) == (1492, False, None)


def test_the_proof_by_configuration_ignores_old_handshakes(b):
    evidence = b.World(rules=b.both_ways()).stalled_up(syn_ack=1460).evidence()

    assert covered(evidence)["up"] is False
    assert all(row.covered for row in prove_by_configuration(evidence))


def test_a_device_that_was_not_read_cannot_be_simulated(b):
    change = MtuChange(host="s001-gw1", interface="vlan20", mtu_bytes=1492)

    with pytest.raises(ValueError, match="s001-gw1 was not read"):
        simulate_change(b.World(gateway_read=False).evidence(), change)


def test_facts_that_were_not_collected_stay_unknown(b):
    rules = RulesetChange(host="s001-gw1", ruleset=b.ruleset(*b.both_ways()))
    mtu = MtuChange(host="s001-ap1", interface="eth0", mtu_bytes=1492)
    blind = b.World(unread=(("s001-gw1", "clamps"), ("s001-ap1", "interfaces"))).evidence()

    assert covered(simulate_change(blind, rules)) == {"up": None, "down": None}
    assert covered(simulate_change(blind, mtu)) == {"up": None, "down": None}


def test_what_was_changed_keeps_its_source_and_everything_else_stays(b):
    evidence = b.World(rules=b.both_ways()).evidence()
    rules = b.ruleset()
    filtered = simulate_change(evidence, RulesetChange(host="s001-gw1", ruleset=rules))
    resized = simulate_change(
        evidence, MtuChange(host="s001-gw1", interface="vlan20", mtu_bytes=1400)
    )
    before, changed = evidence.facts_of("s001-gw1"), filtered.facts_of("s001-gw1")

    assert changed.clamps == replace(before.clamps, value=rules)
    assert changed.interfaces == before.interfaces
    links = resized.facts_of("s001-gw1").interfaces
    assert links.source == before.interfaces.source
    assert [(link.name, link.mtu_bytes) for link in links.value] == [
        ("vlan20", 1400),
        ("vlan30", 1500),
        ("wan0", 1492),
    ]
    assert filtered.facts_of("s001-ap1") == replace(
        evidence.facts_of("s001-ap1"), sessions=NOT_COLLECTED
    )
