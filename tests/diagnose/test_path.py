"""What limits the packets of one direction: who says so, and which losses count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose.coverage import prove
from mtughost.diagnose.evidence import ToldMtu
from mtughost.diagnose.flows import derive_flows
from mtughost.diagnose.path import egress_route, path_mss_mtu
from mtughost.model.device import Interface, Route
from mtughost.model.evidence import PingEvidence

GATEWAY = "s001-gw1"


def paths(evidence):
    return {proof.direction: proof.path for proof in prove(evidence) if proof.flow.active}


def up(world):
    return paths(world.evidence())["up"]


def ping(size, *, answered=False, **more):
    base = {
        "host": "s001-ap1",
        "target": "203.0.113.10",
        "df": True,
        "basis": "real program",
        "command": "ping",
    }
    return PingEvidence(**{**base, "packet_bytes": size, "answered": answered, **more})


@pytest.mark.parametrize(
    ("pings", "bracket"),
    [
        ((ping(1472, answered=True), ping(1500)), (1472, 1500)),
        ((ping(1472, answered=True), ping(1490), ping(1500)), (1472, 1490)),
        # Silence at every size says nothing about size,
        ((ping(600), ping(1500)), (None, None)),
        # a smaller one that got no answer was just lost,
        ((ping(1472, answered=True), ping(1400)), (1472, None)),
        ((ping(1472, answered=True), ping(1472)), (1472, None)),
        # without DF it may have travelled in pieces,
        ((ping(1472, answered=True, df=False), ping(1500)), (None, 1500)),
        ((ping(1472, answered=True), ping(1500, df=False)), (1472, None)),
        ((ping(1472, answered=True), ping(1500, df=None)), (1472, 1500)),
        # a kernel that refuses to send lost nothing on the way,
        ((ping(1472, answered=True), ping(1500, local_error=True)), (1472, None)),
        ((ping(1472, answered=True), ping(1500, too_big_mtu_bytes=1492)), (1472, None)),
        # and somebody else's path is another one.
        ((ping(1472, answered=True, target="192.0.2.1"), ping(1500)), (None, None)),
        ((ping(1472, answered=True), ping(1500, target="192.0.2.1")), (1472, None)),
        ((ping(1472, answered=True, host="s001-ap9"), ping(1500, host="s001-ap9")), (None, None)),
        # From the gateway it is the way beyond it, which is the same.
        ((ping(1472, answered=True, host=GATEWAY), ping(1500, host=GATEWAY)), (1472, 1500)),
    ],
)
def test_a_ping_counts_as_lost_only_where_size_is_the_only_difference(b, pings, bracket):
    path = up(b.World(wan_mtu=1500, pings=pings))

    assert (path.delivered, path.lost) == bracket


def test_what_was_delivered_refutes_a_smaller_loss_whoever_saw_it(b):
    world = b.World(wan_mtu=1500)
    probe = world.probe((569, "reply"), (1400, "timeout"))
    both = world.but(probes=(probe,), pings=(ping(1450, answered=True), ping(1500)))

    assert (up(both).delivered, up(both).lost) == (1450, 1500)


@pytest.mark.parametrize(
    ("probed", "acked", "delivered"), [(569, 1400, 1400), (1450, 1400, 1450), (569, None, 569)]
)
def test_probe_and_capture_make_one_bracket(b, probed, acked, delivered):
    world = b.World(wan_mtu=1500)
    flow = world.flow(
        smallest_lost_up_bytes=1490,
        stalled_up_bytes=1490,
        retransmits_up=4,
        largest_acked_up_bytes=acked,
    )
    probe = world.probe((probed, "reply"), (1500, "timeout"))
    path = up(world.but(probes=(probe,), captures=(world.capture("ap", flows=(flow,)),)))

    assert (path.delivered, path.lost) == (delivered, 1490)


@pytest.mark.parametrize(
    ("family", "mtu", "bound"),
    [
        ("ipv4", 575, 1500),
        ("ipv4", 576, 576),
        ("ipv6", 1279, 1500),
        ("ipv6", 1280, 1280),
    ],
)
def test_nobody_is_believed_below_the_least_mtu_of_the_family(b, family, mtu, bound):
    world = b.World(family=family, wan_mtu=1500)
    kept = Route(
        destination=world.server, family=family, interface="wan0", mtu_bytes=mtu, cached=True
    )
    refused = ping(1500, target=world.server, too_big_mtu_bytes=mtu)

    assert up(world.but(learned=mtu)).hard_bytes == bound
    assert up(world.but(extra_routes=(kept,))).hard_bytes == bound
    assert up(world.but(pings=(refused,))).hard_bytes == bound


def test_a_refusal_without_df_or_towards_others_is_no_limit_of_this_path(b):
    world = b.World(wan_mtu=1500)

    for other in ({"df": False}, {"target": "192.0.2.1"}):
        assert (
            up(world.but(pings=(ping(1500, too_big_mtu_bytes=1480, **other),))).hard_bytes == 1500
        )
    assert up(world.but(pings=(ping(1500, too_big_mtu_bytes=1480, df=None),))).hard_bytes == 1480


@pytest.mark.parametrize(
    ("told", "bounds"),
    [
        ({"gateway": "", "link": "path"}, (1400, 1400)),
        ({"gateway": GATEWAY, "link": "wan"}, (1400, 1400)),
        # The VLAN limits what arrives, not what the access point sends.
        ({"gateway": GATEWAY, "link": "lan"}, (1492, 1400)),
        ({"gateway": "s001-gw2", "link": "path"}, (1492, 1492)),
    ],
)
def test_a_told_mtu_limits_the_direction_that_crosses_the_link(b, told, bounds):
    evidence = replace(
        b.World().evidence(), told=(ToldMtu(mtu_bytes=1400, note="by phone", **told),)
    )
    found = paths(evidence)

    assert (found["up"].hard_bytes, found["down"].hard_bytes) == bounds
    assert not any(bound.ours for bound in found["up"].bounds if "told" in bound.what)


def test_a_told_wan_is_the_one_in_use(b):
    world = b.World(
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=9),),
    )
    told = ToldMtu(gateway=GATEWAY, link="wan", mtu_bytes=1400, note="by phone")
    proofs = prove(replace(world.evidence(), told=(told,)))
    bounds = {(p.flow.egress, p.direction): p.path.hard_bytes for p in proofs}

    assert (bounds["wan0", "up"], bounds["lte0", "up"]) == (1400, 1428)


@pytest.mark.parametrize(
    ("unread", "complete"),
    [
        ((), (True, True)),
        (("routes",), (False, False)),
        (("interfaces",), (False, False)),
        # Which VLAN it is nobody knows then, and only what comes down has to cross it.
        (("addresses",), (True, False)),
    ],
)
def test_a_path_is_complete_where_every_link_of_ours_on_it_stated_its_mtu(b, unread, complete):
    world = b.World(unread=tuple((GATEWAY, kind) for kind in unread))
    found = paths(world.evidence())

    assert (found["up"].complete, found["down"].complete) == complete


def clamp_mtu(world, direction="up", egress="wan0"):
    """Return the MTU that a clamp "to path MTU" takes."""
    evidence = world.evidence()
    flow = next(f for f in derive_flows(evidence).flows if f.egress == egress)
    return path_mss_mtu(evidence.facts_of(GATEWAY), flow, direction)


def test_a_clamp_to_the_path_mtu_takes_the_smaller_of_both_routes(b):
    narrow = Route(
        destination="203.0.113.0/24", family="ipv4", interface="wan0", mtu_bytes=1470, metric=1
    )

    assert clamp_mtu(b.World()) == 1492
    assert clamp_mtu(b.World(lan_mtu=1480)) == 1480
    assert clamp_mtu(b.World(extra_routes=(narrow,))) == 1470
    assert clamp_mtu(b.World(unread=((GATEWAY, "interfaces"),))) is None
    assert path_mss_mtu(None, derive_flows(b.World().evidence()).flows[0], "up") is None


def test_the_way_back_of_a_policy_routed_flow_is_the_main_tables(b):
    world = b.World(
        extra_interfaces=(Interface(name="mpls0", mtu_bytes=1400),),
        extra_routes=(Route(destination="default", family="ipv4", interface="mpls0", table="7"),),
    )

    assert clamp_mtu(world, "up", "mpls0") == 1492
    assert clamp_mtu(world, "down", "mpls0") == 1400


def test_a_route_counts_for_the_egress_that_it_leads_to(b):
    evidence = b.World(
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=9),),
    ).evidence()
    gateway = evidence.facts_of(GATEWAY)
    ways = {f.egress: egress_route(gateway, f) for f in derive_flows(evidence).flows}

    assert ways["wan0"].interface == "wan0"
    assert ways["lte0"] is None
