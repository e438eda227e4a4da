"""What must hold for every site: less evidence never claims more, names never matter."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtughost.diagnose import diagnose_site, prove_coverage
from mtughost.diagnose.verdict import WAITING
from mtughost.model.basis import NOT_COLLECTED, Known
from mtughost.model.device import (
    DeviceFacts,
    Interface,
    Neighbour,
    PolicyRule,
    PushFailure,
    Route,
)
from mtughost.model.evidence import ProbeStep, RadiusSeen

GRADES = ("confirmed", "likely", "possible", "unknown", "ruled-out")
#: Every fact that a device may tell.
KINDS = tuple(f.name for f in fields(DeviceFacts) if f.default is NOT_COLLECTED)
MAIN = PolicyRule(priority=32766, family="ipv4", table="main", text="from all lookup main")
MAIN6 = replace(MAIN, family="ipv6")
BY_VLAN = PolicyRule(priority=9, family="ipv4", table="7", in_interface="vlan20", text="iif vlan20")
BY_MARK = PolicyRule(priority=8, family="ipv4", table="7", opaque=("fwmark 1",), text="fwmark 1")

WITNESSES = ("", "", "up", "down", "hello", "radius", "ping", "session")

#: By the profile: 100 examples are its usual number.
SECOND_WAN = tuple(
    Route(destination="default", family=family, interface="lte0", table="7")
    for family in ("ipv4", "ipv6")
)
STRANGER = Neighbour(address="10.20.0.10", mac="02:00:5e:10:00:99", interface="vlan20")

#: By day the same examples every time: what is drawn by chance is for the long runs, which draw
#: twenty times as many and are known to find a rare counterexample (a grade that rises).
quick = settings(
    max_examples=settings.default.max_examples * 3 // 2,
    derandomize=settings.default.max_examples < 1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def worlds(b):
    """A strategy for consistent sites: what is observed follows from what is configured."""

    @st.composite
    def draw_world(draw):
        names = b.Names()
        wan = draw(st.sampled_from([1500, 1492, 1446]))
        ap = draw(st.sampled_from([1500, 1492, 1440]))
        rules = draw(
            st.sampled_from(
                [
                    (),
                    b.both_ways(),
                    b.other_vlan(),
                    (b.clamp(oif="wan0"),),
                    (b.clamp(iif="wan0"),),
                    b.both_ways(to=1460),
                    b.both_ways(families=frozenset({"ipv4"})),
                    (b.rule(), *b.both_ways()),
                ]
            )
        )
        world = b.World(
            names=names,
            family=draw(st.sampled_from(["ipv4", "ipv6"])),
            ap_mtu=ap,
            lan_mtu=draw(st.sampled_from([1500, 1492])),
            wan_mtu=wan,
            wan_kind=draw(st.sampled_from(["ethernet", "tunnel"])),
            rules=rules,
            notes=draw(st.sampled_from([(), (), ("not understood",)])),
            sends_df=draw(st.sampled_from([True, False, None])),
            policy=draw(
                st.sampled_from(
                    [None, (MAIN, MAIN6), (BY_VLAN, MAIN, MAIN6), (BY_MARK, MAIN, MAIN6)]
                )
            ),
            extra_routes=draw(st.sampled_from([(), SECOND_WAN])),
            extra_interfaces=(Interface(name="lte0", mtu_bytes=1428, kind="ethernet"),),
            saved=draw(st.sampled_from([None, (), rules, (b.chain(),)])),
            neighbours=draw(st.sampled_from([None, (), (STRANGER,)])),
            managed_by=draw(st.sampled_from(["", "controller"])),
        )
        return _observe(b, world, draw)

    return draw_world()


def _observe(b, world, draw):
    """Let the world behave as its configuration makes it, with optional witnesses."""
    # Of several ways out the one in use comes first.
    table = {r.key.direction: r for r in reversed(prove_coverage(world.evidence()))}
    up, down = table["up"], table["down"]
    far = draw(st.sampled_from([1460, 1460, 1400])) - (20 if world.six else 0)
    heals = draw(st.booleans()) and world.sends_df is not False
    fits = (up.covered or far <= (up.mss.needed or 0)) and (down.covered or far < 1440)
    if fits or heals:
        world = world.but(connected=True, failure="none")
        if heals and not up.covered and draw(st.booleans()):
            world = world.but(learned=world.wan_mtu)
        carried = min(far, (up.mss.configured or far))
        if draw(st.booleans()):
            return world.but(captures=(world.capture("ap", syn=world.own_mss, syn_ack=carried),))
        return world
    world = _in_words(world, draw)
    if up.covered is False and draw(st.booleans()):
        world = world.stalled_up(
            syn=down.mss.configured or 1460,
            syn_ack=up.mss.configured or 1460,
            fragments=0 if world.sends_df is not False else 6,
        )
    elif down.covered is False and up.covered is not False and draw(st.booleans()):
        world = world.stalled_down(
            syn=down.mss.configured or 1460, syn_ack=up.mss.configured or 1452
        )
    world = _other_witnesses(world, draw, min(world.own_mss, up.mss.configured or far))
    if up.key.egress != world.names.wan:
        # Nobody captures on the way that is taken.
        near = tuple(c for c in world.captures if c.point != "gateway-wan")
        world = world.but(captures=near)
    if up.covered is False and draw(st.booleans()):
        lost = ((576, "reply"), (world.ap_mtu, "timeout"))
        world = world.but(probes=(world.probe(*lost),))
    return world


def _in_words(world, draw):
    """Let the AP say that it fails: in its state, perhaps in its log, now or a while ago."""
    failure = draw(st.sampled_from(["handshake-stall", "no-reply-after-handshake"]))
    logged = draw(st.sampled_from([None, None, failure, "timeout", "unclassified"]))
    if logged is None:
        return world.but(failure=failure, push_log=draw(st.sampled_from([None, ()])))
    at = draw(st.sampled_from(["2026-11-21T11:58:00Z", "2026-11-20T09:00:00Z", ""]))
    service = world.names.service
    line = PushFailure(failure=logged, text="push failed", service=service, when=at, at=at, line=7)
    return world.but(
        connected=draw(st.sampled_from([False, None])),
        failure=draw(st.sampled_from([failure, "timeout"])),
        push_log=(line,),
        clock=draw(st.sampled_from([None, ("2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z")])),
    )


def _other_witnesses(world, draw, sends_mss):
    """Now and then let something else be seen: each of them explains a stall in its own way.

    Args:
        sends_mss: MSS that the AP may use, by its own and by the SYN-ACK that reaches it, in bytes.
    """
    kind = draw(
        st.sampled_from(["", "", "segment", "answer", "hello", "radius", "ping", "session"])
    )
    if kind in {"up", "down"}:
        lost = _segment(world, kind, gap=draw(st.booleans()))
        world = world.but(captures=(*world.captures, *lost))
    elif kind == "hello":
        split = ProbeStep(hello_bytes=1900, packet_bytes=1952, segments=2, outcome="timeout")
        probe = world.probe((352, "reply"), (world.ap_mtu, "reply"))
        world = world.but(probes=(replace(probe, steps=(*probe.steps, split)),))
    elif kind == "radius":
        counts = {"requests": 3, "answered": 2, "repeats": 4, "unanswered_fragmented": 1}
        seen = RadiusSeen(client=world.client, server="198.51.100.9", port=1812, **counts)
        capture = world.capture(draw(st.sampled_from(["ap", "gateway-wan"])), radius=(seen,))
        world = world.but(captures=(*world.captures, capture))
    elif kind == "ping":
        sizes = ((576, True), (world.wan_mtu, True), (world.ap_mtu, False))
        df = world.sends_df is not False
        pings = tuple(world.ping(size, answered=answered, df=df) for size, answered in sizes)
        world = world.but(pings=pings)
    elif kind == "session":
        stuck = world.session(
            sends_mss - 12,
            world.ap_mtu,
            world.own_mss - 12,
            unacked_segments=3,
            backoff=4,
            acked_bytes=300,
        )
        world = world.but(sessions=(stuck,))
    return world


def _segment(world, way, *, gap):
    """Packets that leave one end of the segment again and again and never reach the other.

    With ``gap`` something smaller gets across behind them, so that each end alone shows it.
    """
    size = min(world.ap_mtu, 1400)
    base = {"client_port": 40001, "largest_acked_up_bytes": 294, "tls_stage": "client-hello"}
    lost = {f"stalled_{way}_bytes": size, f"largest_seen_{way}_bytes": size}
    open_gap = {f"smallest_lost_{way}_bytes": size} if gap else {}
    near = world.flow(**base, **lost, **open_gap, **{f"retransmits_{way}": 5})
    far = world.flow(**base, **open_gap, closed=True)
    ends = ("ap", "gateway-lan") if way == "up" else ("gateway-lan", "ap")
    return tuple(
        world.capture(point, flows=(flow,)) for point, flow in zip(ends, (near, far), strict=True)
    )


def removals(evidence):
    """Every way to know one kind of thing less."""
    for index, facts in enumerate(evidence.facts):
        rest = evidence.facts[:index] + evidence.facts[index + 1 :]
        yield f"all of {facts.host}", replace(evidence, facts=rest)
        for kind in KINDS:
            if isinstance(getattr(facts, kind), Known):
                gone = replace(facts, **{kind: NOT_COLLECTED})
                yield f"{kind} of {facts.host}", evidence.with_facts(gone)
    for kind in ("captures", "probes", "pings", "told"):
        if getattr(evidence, kind):
            yield kind, replace(evidence, **{kind: ()})
    for index in range(len(evidence.captures)):
        yield from _less_captured(evidence, index)


def _less_captured(evidence, index):
    captures = evidence.captures
    before, capture, after = captures[:index], captures[index], captures[index + 1 :]
    yield f"capture {index}", replace(evidence, captures=before + after)
    for part in ("flows", "syns", "too_big", "radius"):
        if getattr(capture, part):
            less = replace(capture, **{part: ()})
            yield f"{part} of capture {index}", replace(evidence, captures=(*before, less, *after))


def cause(finding_id):
    """Packets alone cannot tell the kinds of missing clamp apart, so they count as one."""
    clamps = finding_id.startswith("clamp-") or finding_id == "tunnel-overhead"
    return "no effective clamp" if clamps else finding_id


def grades(report):
    best = {}
    for finding in report.findings:
        grade = GRADES.index(finding.grade)
        best[cause(finding.id)] = min(grade, best.get(cause(finding.id), grade))
    return best


#: What explains a stall so well that a hole in the clamps beside it is only possible.
EXPLAINING = (
    *("l2-mtu-mismatch", "plain-loss", "icmp-ignored", "payload-dropped", "server-hang"),
    "large-hello-dropped",
)


def is_sized(report):
    """Say whether the wire showed that large packets are lost and small ones are not."""
    return any(
        out.id == "payload-dropped" and "only large ones" in out.because for out in report.ruled_out
    )


def is_sure(grade):
    return grade is not None and GRADES[grade] in {"confirmed", "likely"}


@quick
@given(data=st.data())
def test_knowing_less_never_makes_a_site_well(worlds, data):
    evidence = data.draw(worlds).evidence()
    whole = diagnose_site(evidence)

    # What will bite later is known from the saved rules or the standby path alone: without them
    # the site is what it is today, well.
    waits = [f.id for f in whole.findings if f.grade in {"confirmed", "likely"}]
    only_waits = whole.verdict == "latent" and WAITING.issuperset(waits)

    for what, less in removals(evidence):
        if whole.verdict != "ok" and not only_waits:
            assert diagnose_site(less).verdict != "ok", what


@quick
@given(data=st.data())
def test_knowing_less_never_raises_a_grade(worlds, data):
    evidence = data.draw(worlds).evidence()
    report = diagnose_site(evidence)
    whole = grades(report)
    # What was removed may be the very thing that had ruled a cause out.
    excused = {cause(r.id) for r in report.ruled_out if cause(r.id) not in whole}

    for what, less in removals(evidence):
        remaining = diagnose_site(less)
        found = grades(remaining)
        # Where that explained a stall otherwise, the suspicion against the clamp stands again.
        unexplained = any(is_sure(whole.get(e)) and not is_sure(found.get(e)) for e in EXPLAINING)
        # Where it showed which direction loses large packets, the hole in the other one was only
        # possible; a stall in a log alone fits both.
        undirected = is_sized(report) and not is_sized(remaining)
        for finding_id, grade in found.items():
            if is_sure(grade) and finding_id not in excused and not (unexplained or undirected):
                assert finding_id in whole, (what, finding_id)
                assert grade >= whole[finding_id], (what, finding_id)


@quick
@given(data=st.data())
def test_a_covered_flow_stays_covered_or_becomes_unknown_with_less_knowledge(worlds, data):
    evidence = data.draw(worlds).evidence()
    whole: dict[str, set] = {}
    for row in prove_coverage(evidence):
        whole.setdefault(row.key.direction, set()).add(row.covered)

    for what, less in removals(evidence):
        for row in prove_coverage(less):
            if what.endswith(("clamps", "interfaces")) or what.startswith("all of s001-gw1"):
                assert row.covered in whole[row.key.direction] | {None, True}, what


@quick
@given(data=st.data())
def test_names_and_addresses_never_matter(b, worlds, data):
    world = data.draw(worlds)
    other = b.Names(
        site="store-7",
        ap="zz",
        gateway="aa",
        lan="br-lan.77",
        other="ge-0/0/9.3",
        wan="pppoe-x",
        port="mgt0",
        service="cloud",
        ap_address="192.168.9.77",
        lan_address="192.168.9.1",
        wan_address="198.51.100.6",
        isp="198.51.100.5",
        server="192.0.2.200",
        ap6="2001:db8:9::77",
        lan6="2001:db8:9::1",
        wan6="2001:db8:f::6",
        isp6="2001:db8:f::5",
        server6="2001:db8:e::200",
    )

    renamed = _rename(world, other)

    def shape(one):
        report = diagnose_site(one.evidence())
        return (
            report.verdict,
            [(f.id, f.grade, f.owner) for f in report.findings],
            [(r.key.direction, r.covered, r.path_mtu, r.mss.configured) for r in report.flows],
        )

    assert shape(renamed) == shape(world)


def _rename(world, other):
    """Change every name and address, consistently, wherever it stands."""
    table = {getattr(world.names, f.name): getattr(other, f.name) for f in fields(world.names)}

    def walk(value):
        if isinstance(value, str):
            return table.get(value, value)
        if isinstance(value, tuple):
            return tuple(walk(item) for item in value)
        if hasattr(value, "__dataclass_fields__"):
            return replace(
                value, **{f.name: walk(getattr(value, f.name)) for f in fields(value) if f.init}
            )
        return value

    return replace(
        world,
        names=other,
        rules=walk(world.rules),
        saved=walk(world.saved),
        policy=walk(world.policy),
        neighbours=walk(world.neighbours),
        captures=walk(world.captures),
        probes=walk(world.probes),
        sessions=walk(world.sessions),
        pings=walk(world.pings),
        push_log=walk(world.push_log),
    )


@quick
@given(data=st.data())
def test_an_opaque_rule_never_yields_a_wrong_proof(b, worlds, data):
    world = data.draw(worlds)
    place = data.draw(st.integers(0, len(world.rules)))
    action = data.draw(
        st.sampled_from(
            [
                "accept",
                "drop",
                "return",
                "pass",
                b.ClampTo(value_bytes=1300),
                b.ClampTo(value_bytes=1460, can_raise=True),
            ]
        )
    )
    opaque = b.rule("opaque", action=action, opaque=("something nobody can read",))
    before = {r.key: r.covered for r in prove_coverage(world.evidence())}

    doubted = world.but(rules=(*world.rules[:place], opaque, *world.rules[place:]))

    # Whatever the rule means, one of these two worlds is the true one.
    never = world.but(rules=world.rules)
    always = world.but(
        rules=(*world.rules[:place], replace(opaque, match=b.rule().match), *world.rules[place:])
    )
    ways = [{r.key: r.covered for r in prove_coverage(w.evidence())} for w in (never, always)]
    for row in prove_coverage(doubted.evidence()):
        if row.covered is not None:
            assert row.covered == before[row.key]
            assert all(way[row.key] in {row.covered, None} for way in ways)


@quick
@given(data=st.data())
def test_an_opaque_rule_never_makes_a_site_well(b, worlds, data):
    world = data.draw(worlds)
    opaque = b.rule("opaque", action="accept", opaque=("?",))
    before = diagnose_site(world.evidence()).verdict

    after = diagnose_site(world.but(rules=(opaque, *world.rules)).evidence()).verdict

    if before != "ok":
        assert after != "ok"


@quick
@given(data=st.data())
def test_the_same_evidence_gives_the_same_report(worlds, data):
    evidence = data.draw(worlds).evidence()

    assert diagnose_site(evidence) == diagnose_site(evidence)
