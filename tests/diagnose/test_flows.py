"""Which flows a site has: gateway, VLAN, egress, services and families."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose.flows import derive_flows
from mtughost.diagnose.net import (
    family_of,
    holds,
    interface,
    is_global,
    lookup,
    parse_network,
    same_address,
)
from mtughost.model.basis import Known
from mtughost.model.device import Address, CloudState, Interface, Route
from mtughost.model.inventory import Service


def flows(world, evidence=None):
    return derive_flows(evidence or world.evidence())


def with_fact(world, host, **facts):
    """Replace facts of one device, keeping their sources."""
    evidence = world.evidence()
    old = evidence.facts_of(host)
    new = {k: Known(v, getattr(old, k).source) for k, v in facts.items()}
    return evidence.with_facts(replace(old, **new))


def with_services(evidence, *services):
    devices = tuple(
        replace(d, services=services) if d.role != "gateway" else d for d in evidence.site.devices
    )
    return replace(evidence, site=replace(evidence.site, devices=devices))


def test_gateway_vlan_and_egress_follow_from_routes_and_addresses(b):
    (flow,) = flows(b.World()).flows

    assert (flow.ap, flow.gateway, flow.lan, flow.egress) == (
        "s001-ap1",
        "s001-gw1",
        "vlan20",
        "wan0",
    )
    assert (flow.sender.address, flow.sender.interface, flow.sender.mtu_bytes) == (
        "10.20.0.10",
        "eth0",
        1500,
    )
    assert (flow.server, flow.wan_address, flow.active) == ("203.0.113.10", "100.64.1.2", True)


def test_hints_that_agree_are_silent(b):
    found = flows(b.World(wan_hint=("wan0",), vlan_hint="vlan20"))

    assert found.notes == ()
    assert found.flows[0].egress == "wan0"


def test_hints_win_and_disagreement_is_reported(b):
    found = flows(b.World(wan_hint=("lte0",), vlan_hint="vlan30"))

    assert (found.flows[0].egress, found.flows[0].lan) == ("lte0", "vlan30")
    assert len(found.notes) == 2
    assert "ap_vlan vlan30" in found.notes[0]
    assert "default route leads to wan0" in found.notes[1]


def test_a_specific_route_beats_the_wan_hint(b):
    found = flows(b.World(wan_hint=("lte0",), specific_route=True))

    assert found.flows[0].egress == "wan0"
    assert found.flows[0].specific
    assert "the route was used" in found.notes[0]


def test_without_routes_the_hint_is_all_there_is(b):
    world = b.World(wan_hint=("wan0", "lte0"), unread=(("s001-gw1", "routes"),))

    assert [(f.egress, f.active) for f in flows(world).flows] == [("wan0", True), ("lte0", False)]


def test_every_default_route_is_a_possible_egress(b):
    world = b.World(
        extra_routes=(
            Route(destination="0.0.0.0/0", family="ipv4", interface="lte0", metric=200),
            Route(destination="default", family="ipv4", interface="mpls0", table="7"),
        )
    )

    found = flows(world).flows

    assert [(f.egress, f.active, f.by_policy) for f in found] == [
        ("wan0", True, False),
        ("lte0", False, False),
        ("mpls0", False, True),
    ]


def test_what_the_ap_says_about_its_server_wins_and_is_reported(b):
    state = CloudState(service="radsec", server="198.51.100.9", port=2084, connected=True)

    found = flows(None, with_fact(b.World(), "s001-ap1", cloud=(state,)))

    assert (found.flows[0].server, found.flows[0].service.port) == ("198.51.100.9", 2084)
    assert "198.51.100.9 port 2084" in found.notes[0]
    assert "203.0.113.10 port 2083" in found.notes[0]


def test_a_service_that_only_the_ap_knows_is_added_and_reported(b):
    states = (
        CloudState(service="radsec", server="203.0.113.10", port=2083, connected=True),
        CloudState(service="portal", server="203.0.113.77", port=443, connected=True),
        CloudState(service="vague", connected=True),
    )

    found = flows(None, with_fact(b.World(), "s001-ap1", cloud=states))

    assert [f.service.name for f in found.flows] == ["radsec", "portal"]
    assert "portal" in found.notes[0]


def test_services_are_matched_by_name_then_port_then_alone(b):
    by_port = CloudState(service="cloud-radius", server="203.0.113.10", port=2083, connected=True)
    alone = CloudState(service="whatever", connected=True)

    for state in (by_port, alone):
        found = flows(None, with_fact(b.World(), "s001-ap1", cloud=(state,)))
        assert [f.service.name for f in found.flows] == ["radsec"]


def test_a_name_for_a_service_is_not_a_contradiction_of_its_address(b):
    state = CloudState(service="radsec", server="radsec.example", port=2083, connected=True)

    found = flows(None, with_fact(b.World(), "s001-ap1", cloud=(state,)))

    assert found.notes == ()
    assert {f.server for f in found.flows} == {None}


def test_a_name_is_tried_in_every_family_that_the_ap_can_use(b):
    evidence = with_fact(
        b.World(), "s001-ap1", cloud=(CloudState(service="radsec", connected=None),)
    )
    evidence = with_services(evidence, Service(name="radsec", host="radsec.example", port=2083))

    assert {f.family for f in flows(None, evidence).flows} == {"ipv4", "ipv6"}


def test_a_name_without_known_addresses_is_taken_for_ipv4(b):
    world = b.World(unread=(("s001-ap1", "addresses"), ("s001-ap1", "cloud")))
    evidence = with_services(
        world.evidence(), Service(name="radsec", host="radsec.example", port=2083)
    )

    assert [f.family for f in flows(None, evidence).flows] == ["ipv4"]


def test_an_unread_ap_still_gives_a_flow_with_unknown_ends(b):
    found = flows(b.World(ap_read=False))

    (flow,) = found.flows
    assert (flow.lan, flow.sender.address, flow.egress) == (None, None, "wan0")
    assert "VLAN is unknown" in found.notes[0]


def test_an_unread_gateway_still_gives_a_flow(b):
    (flow,) = flows(b.World(gateway_read=False)).flows

    assert (flow.gateway, flow.lan, flow.egress) == ("s001-gw1", None, None)


def test_a_site_without_a_gateway_has_flows_too(b):
    evidence = b.World().evidence()
    only_ap = tuple(d for d in evidence.site.devices if d.role == "ap")
    evidence = replace(evidence, site=replace(evidence.site, devices=only_ap))

    assert [f.gateway for f in flows(None, evidence).flows] == [""]


def test_a_gateway_that_does_not_hold_the_aps_subnet_is_not_its_gateway(b):
    evidence = b.World().evidence()
    gateway = evidence.site.devices[1]
    other = replace(gateway, name="s001-gw2")
    site = replace(evidence.site, devices=(*evidence.site.devices, other))
    facts = replace(
        evidence.facts[1],
        host="s001-gw2",
        addresses=Known(
            (Address(interface="vlan9", address="10.9.0.1", prefix_len=24, family="ipv4"),),
            evidence.facts[1].addresses.source,
        ),
    )
    evidence = replace(evidence, site=site, facts=(*evidence.facts, facts))

    assert [f.gateway for f in flows(None, evidence).flows] == ["s001-gw1"]


def test_the_gateway_is_found_by_subnet_when_the_ap_has_no_routes(b):
    (flow,) = flows(b.World(unread=(("s001-ap1", "routes"),))).flows

    assert (flow.lan, flow.sender.address) == ("vlan20", "10.20.0.10")


def test_several_interfaces_without_routes_leave_the_source_unknown(b):
    evidence = with_fact(
        b.World(unread=(("s001-ap1", "routes"),)),
        "s001-ap1",
        addresses=(
            Address(interface="eth0", address="10.20.0.10", prefix_len=24, family="ipv4"),
            Address(interface="mgmt0", address="172.31.1.10", prefix_len=16, family="ipv4"),
        ),
    )

    assert flows(None, evidence).flows[0].sender.interface is None


def test_the_source_is_an_address_of_the_interface_that_the_route_uses(b):
    evidence = b.World().evidence()
    ap = evidence.facts_of("s001-ap1")
    other = Address(interface="wlan1", address="192.0.2.77", prefix_len=24, family="ipv4")
    listed = (other, *ap.addresses.value)

    found = flows(None, with_fact(b.World(), "s001-ap1", addresses=listed))

    assert found.flows[0].sender.address == "10.20.0.10"


def test_a_secondary_address_gives_way_to_the_one_beside_the_next_hop(b):
    evidence = with_fact(
        b.World(),
        "s001-ap1",
        addresses=(
            Address(interface="eth0", address="169.254.7.7", prefix_len=16, family="ipv4"),
            Address(interface="eth0", address="192.168.77.2", prefix_len=24, family="ipv4"),
            Address(interface="eth0", address="10.20.0.10", prefix_len=24, family="ipv4"),
        ),
    )

    assert flows(None, evidence).flows[0].sender.address == "10.20.0.10"


def test_route_settings_of_the_ap_limit_its_packets(b):
    route = Route(
        destination="default",
        family="ipv4",
        interface="eth0",
        via="10.20.0.1",
        mtu_bytes=1480,
        advmss_bytes=1300,
    )
    evidence = with_fact(b.World(), "s001-ap1", routes=(route,))
    sender = flows(None, evidence).flows[0].sender

    assert (sender.limit_bytes, sender.advmss_bytes) == (1480, 1300)
    without = replace(sender, mtu_bytes=None)
    assert without.limit_bytes == 1480


def test_an_appliance_counts_like_an_ap(b):
    assert len(flows(b.World(role="appliance")).flows) == 1


@pytest.mark.parametrize(
    ("destination", "expected"),
    [("10.1.2.3", "b"), ("10.9.9.9", "a"), ("8.8.8.8", "d"), (None, "d")],
)
def test_the_longest_prefix_wins_then_the_metric(destination, expected):
    def route(prefix, name, **more):
        return Route(destination=prefix, family="ipv4", interface=name, **more)

    routes = (
        route("default", "e", metric=50),
        route("default", "d", metric=10),
        route("10.0.0.0/8", "a"),
        route("10.1.0.0/16", "c", metric=9),
        route("10.1.0.0/16", "b", metric=1),
        route("10.1.2.3", "x", cached=True, mtu_bytes=1400),
        route("10.1.2.3", "y", table="99"),
        route("nonsense", "z"),
    )

    assert lookup(routes, "ipv4", destination).interface == expected


def test_address_helpers_never_raise_on_nonsense():
    assert parse_network("nonsense") is None
    assert not holds("nonsense", "10.0.0.1")
    assert not holds("10.0.0.0/8", "name.example")
    assert not holds("10.0.0.0/8", "2001:db8::1")
    assert family_of("name.example") is None
    assert family_of("2001:db8::1") == "ipv6"
    assert same_address("Name.Example.", "name.example")
    assert same_address("2001:db8::1", "2001:DB8:0::1")
    assert not same_address("10.0.0.1", "name.example")
    assert not is_global(Address(interface="x", address="fe80::1", prefix_len=64, family="ipv6"))
    assert not is_global(Address(interface="x", address="junk", prefix_len=64, family="ipv6"))


def test_interfaces_are_looked_up_by_name():
    links = (Interface(name="a", mtu_bytes=1), Interface(name="b", mtu_bytes=2))

    assert interface(links, "b") is links[1]
    assert interface(None, "b") is None
