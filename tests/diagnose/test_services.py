"""What an access point says of its services wins: ports, UDP, an elected proxy, its own log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import SiteEvidence, diagnose_site
from mtughost.diagnose.flows import derive_flows
from mtughost.model.basis import NOT_COLLECTED, Known, Source
from mtughost.model.device import Address, CloudState, PushFailure
from mtughost.model.inventory import Site
from tests.diagnose import conftest as b

AP = "s001-ap1"
STALL = PushFailure(
    failure="handshake-stall",
    text="SSL connect failed",
    service="radsec",
    at="2026-04-17T17:50:00",
    command="show logging buffered",
    line=9,
)


def known(value):
    return Known(value, Source(host=AP, basis="sample", command="show x"))


def changed(evidence, host=AP, **facts):
    own = evidence.facts_of(host)
    return evidence.with_facts(replace(own, **facts))


def states(*found, **more):
    return changed(b.World(connected=None, **more).evidence(), cloud=known(found))


def notes(evidence):
    return " | ".join(derive_flows(evidence).notes)


def test_the_port_that_the_device_uses_wins_and_its_other_ports_are_named():
    state = CloudState(service="radsec", port=80, ports=(80, 443))
    evidence = states(state)

    (flow,) = derive_flows(evidence).flows

    assert flow.service.port == 80
    assert "port 80 (it may also use 443)" in notes(evidence)
    assert "the inventory says 203.0.113.10 port 2083" in notes(evidence)


def test_a_service_over_udp_is_told_and_never_judged_as_tcp():
    state = CloudState(
        service="capwap", server="198.51.100.20", port=12222, connected=True, transport="udp"
    )
    evidence = states(state)

    assert [flow.service.name for flow in derive_flows(evidence).flows] == ["radsec"]
    assert "is connected by CAPWAP over UDP with 198.51.100.20 port 12222" in notes(evidence)


def test_a_lone_udp_service_is_not_taken_for_the_lone_service_of_the_inventory():
    evidence = states(CloudState(service="capwap", connected=True, transport="udp"))

    assert diagnose_site(evidence).verdict == "unknown"


@pytest.mark.parametrize(
    "state",
    [
        CloudState(service="inform", server="203.0.113.10", port=8080, connected=True),
        CloudState(service="smartzone", server="198.51.100.40", connected=True),
        CloudState(service="https", server="cws.example", port=443, last_change_utc="x"),
    ],
    ids=lambda state: state.service,
)
def test_another_services_good_state_never_speaks_for_the_one_that_was_asked_for(state):
    wide = b.World(wan_mtu=1500, connected=None).evidence()

    report = diagnose_site(changed(wide, cloud=known((state,))))

    assert report.verdict == "unknown"
    assert "for radsec" not in notes(changed(wide, cloud=known((state,))))


def second_ap(evidence, address="10.20.0.11"):
    first, gateway = evidence.site.devices
    other = replace(first, name="s001-ap2", address=address)
    facts = replace(
        evidence.facts_of(AP),
        host=other.name,
        addresses=known(
            (Address(interface="mgt0", address=address, prefix_len=24, family="ipv4"),)
        ),
        cloud=known((CloudState(service="radsec", connected=False, proxy=address),)),
    )
    site = Site(name=evidence.site.name, devices=(first, other, gateway))
    return SiteEvidence(site=site, facts=(*evidence.facts, facts))


def test_the_flow_is_judged_at_the_elected_proxy_and_nowhere_else():
    evidence = second_ap(states(CloudState(service="radsec", proxy="10.20.0.11")))

    derived = derive_flows(evidence)

    assert {flow.ap for flow in derived.flows} == {"s001-ap2"}
    assert derived.held == {AP}
    assert f"{AP} names 10.20.0.11 as the one that holds its connection" in notes(evidence)
    assert "the flow was judged there" in notes(evidence)


def test_an_access_point_whose_flow_another_one_holds_leaves_nothing_open():
    evidence = second_ap(states(CloudState(service="radsec", proxy="10.20.0.11")))
    healthy = replace(
        evidence.facts_of("s001-ap2"),
        cloud=known((CloudState(service="radsec", connected=True, proxy="10.20.0.11"),)),
    )
    wide = b.World(wan_mtu=1500).evidence().facts_of("s001-gw1")
    evidence = evidence.with_facts(healthy).with_facts(wide)

    assert diagnose_site(evidence).verdict == "ok"


@pytest.mark.parametrize("proxy", ["10.20.0.10", "127.0.1.3"])
def test_a_device_that_names_itself_holds_its_own_connection(proxy):
    evidence = states(CloudState(service="radsec", proxy=proxy))

    derived = derive_flows(evidence)

    assert [flow.ap for flow in derived.flows] == [AP]
    assert derived.held == frozenset()


def test_a_proxy_that_the_inventory_lacks_is_asked_for_and_its_address_is_the_sender():
    evidence = states(CloudState(service="radsec", proxy="10.20.0.77"))

    (flow,) = derive_flows(evidence).flows

    assert flow.sender.address == "10.20.0.77"
    assert flow.sender.mtu_bytes is None
    assert "no device of this site's inventory: add it" in notes(evidence)


def logged(*failures, clock="2026-04-17T17:56:31-04:00", cloud=NOT_COLLECTED):
    evidence = b.World(connected=None, rules=()).evidence()
    time = NOT_COLLECTED if clock is None else known(clock)
    return changed(evidence, cloud=cloud, push_log=known(failures), clock_utc=time)


def test_a_device_without_a_word_on_its_state_fails_if_its_newest_attempt_just_failed():
    report = diagnose_site(logged(STALL))

    (finding,) = [f for f in report.findings if f.id == "clamp-missing"]
    assert (report.verdict, finding.grade) == ("fault", "likely")
    (cited,) = [e for e in finding.evidence if e.kind == "push-log"]
    assert (cited.command, cited.line) == ("show logging buffered", 9)


SUCCESS = replace(STALL, failure="none", text="Query PPSK success", at="2026-04-17T17:55:00")


@pytest.mark.parametrize(
    ("failures", "clock"),
    [
        ((replace(STALL, at="2026-04-17T03:00:00"),), "2026-04-17T17:56:31-04:00"),
        ((STALL,), None),
        ((replace(STALL, at=""),), "2026-04-17T17:56:31-04:00"),
        ((STALL, SUCCESS), "2026-04-17T17:56:31-04:00"),
        ((replace(STALL, service="https"),), "2026-04-17T17:56:31-04:00"),
    ],
    ids=["old", "no-clock", "no-time", "success-since", "another-service"],
)
def test_a_failure_that_is_not_proven_to_be_todays_makes_no_fault(failures, clock):
    report = diagnose_site(logged(*failures, clock=clock))

    assert report.verdict == "unknown"
    assert all(f.grade in {"possible", "unknown"} for f in report.findings)


def test_a_year_that_the_log_leaves_out_is_the_clocks():
    assert diagnose_site(logged(replace(STALL, at="--04-17T17:50:00"))).verdict == "fault"


def test_a_timeout_of_an_unnamed_step_is_no_proof_of_a_hole():
    report = diagnose_site(logged(replace(STALL, failure="timeout", text="rc = 7168")))

    assert report.verdict == "unknown"
    assert {f.grade for f in report.findings if f.id == "clamp-missing"} <= {"possible", "unknown"}


@pytest.mark.parametrize(
    ("at", "judged"), [("2026-04-17T17:50:00", True), ("2026-04-16T03:00:00", False)]
)
def test_a_far_end_that_only_the_log_names_is_judged_while_it_is_fresh(at, judged):
    upload = CloudState(service="https", server="cws.example", port=443, last_change_utc=at)
    evidence = logged(STALL, cloud=known((upload,)))

    names = {flow.service.name for flow in derive_flows(evidence).flows}

    assert ("https" in names) is judged
    assert ("so it was not judged" in notes(evidence)) is not judged


def test_nobody_is_asked_for_what_the_platform_cannot_tell():
    evidence = b.World(connected=None).evidence()
    blind = changed(evidence, sessions=NOT_COLLECTED, abilities=frozenset({"cloud", "ping"}))

    test = diagnose_site(blind).next_test

    assert test is None or (test.kind, test.host) != ("sessions", AP)
    assert test is None or test.kind != "service-probe" or test.host != AP


def test_a_proxy_is_known_by_the_services_port_where_the_device_calls_it_otherwise():
    state = CloudState(service="idm", port=2083, proxy="10.20.0.77")

    (flow,) = derive_flows(states(state)).flows

    assert flow.sender.address == "10.20.0.77"


def test_the_proxy_of_another_service_holds_nothing_of_this_one():
    other = CloudState(service="portal", port=443, proxy="10.20.0.77")
    evidence = states(CloudState(service="radsec", port=2083), other)

    assert {flow.sender.address for flow in derive_flows(evidence).flows} == {"10.20.0.10"}


@pytest.mark.parametrize("services", [(), ("portal",)])
def test_a_service_that_only_its_holder_speaks_for_is_judged_at_the_holder(services):
    """The elected proxy's own entry in the inventory need not list what it holds for others."""
    evidence = second_ap(states(CloudState(service="radsec", proxy="10.20.0.11")))
    first, other, gateway = evidence.site.devices
    own = tuple(replace(first.services[0], name=name, port=443) for name in services)
    site = replace(evidence.site, devices=(first, replace(other, services=own), gateway))

    flows = derive_flows(replace(evidence, site=site)).flows

    assert [flow.ap for flow in flows if flow.service.name == "radsec"] == ["s001-ap2"]
    assert {flow.service.name for flow in flows} == {"radsec", *services}
