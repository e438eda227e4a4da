"""Sites whose whole report is kept in ``reports/``: the catalogue, one case per way to tell it."""

from __future__ import annotations

from dataclasses import replace

from mtughost.model.basis import Known, Source
from mtughost.model.device import (
    CloudState,
    IcmpSettings,
    Identity,
    Interface,
    PushFailure,
    Route,
)
from mtughost.model.evidence import PingEvidence
from mtughost.model.findings import HostStatus
from mtughost.model.inventory import SiteInfo
from tests.diagnose import conftest as b
from tests.diagnose import test_catalogue as catalogue
from tests.diagnose import test_policy as policy
from tests.diagnose import test_question as question
from tests.diagnose import test_services as services
from tests.diagnose import test_verdicts as verdicts

AP, GATEWAY = "s001-ap1", "s001-gw1"
LTE = {
    "extra_interfaces": (Interface(name="lte0", mtu_bytes=1428, line=6),),
    "extra_routes": (Route(destination="default", family="ipv4", interface="lte0", metric=9),),
}


def cases():
    """Return evidence per case, by the name of its file."""
    told = verdicts.scenarios(b, "handshake-stall")
    scenarios = {f"lab {name}": world.evidence() for name, world in told.items()}
    return scenarios | clamps() | icmp() | other_paths() | no_mtu() | beside() | abstained()


def clamps():
    world = b.World()
    v4 = frozenset({"ipv4"})
    seen = world.but(sessions=(world.session(1388, 1500),), connected=True, sends_df=False)
    dead = b.chain(*b.both_ways(), hook=None, name="mss")
    counted = b.clamp("policy 3", oif="wan0", to=1452, packets=9)
    return {
        "clamp-scope story": b.World(rules=b.other_vlan(), sends_df=False)
        .stalled_up(fragments=20)
        .evidence(),
        "clamp-scope by configuration": b.World(
            rules=b.other_vlan(), managed_by="controller"
        ).evidence(),
        "clamp-scope other address": b.World(
            rules=(b.clamp("only one", sources="10.20.0.99", iif="vlan20", oif="wan0"),)
        )
        .stalled_up()
        .evidence(),
        "clamp-scope stuck session": b.World(
            rules=b.other_vlan(),
            sends_df=False,
            sessions=(world.session(unacked_segments=3, backoff=3, retransmits_now=3, line=5),),
        ).evidence(),
        "clamp-one-family": b.World(family="ipv6", rules=b.both_ways(families=v4))
        .stalled_up(syn=1440, syn_ack=1440)
        .evidence(),
        "clamp-one-direction luck": b.World(
            connected=True,
            rules=(b.clamp(iif="wan0"),),
            captures=(world.capture("gateway-wan", fragments_down=6),),
        ).evidence(),
        "clamp-missing latent": seen.evidence(),
        "clamp-missing far away": verdicts_far(),
        "clamp-missing gap alone": verdicts.gap_alone(b).evidence(),
        "clamp-field-misread mtu as mss": b.World(rules=b.both_ways(to=1492))
        .stalled_down()
        .evidence(),
        "clamp-field-misread mss as mtu": b.World(
            rules=b.both_ways(to=1412), connected=True
        ).evidence(),
        "clamp-not-effective dead chain": b.World(rules=(dead,)).stalled_up().evidence(),
        "clamp-not-effective against packets": b.World(rules=b.both_ways())
        .stalled_up(syn_ack=1460)
        .evidence(),
        "clamp-semantics-changed": catalogue.firmware(b, "v7.6.3"),
        "clamp-unsupported inert": b.World(rules=b.both_ways(to=1452)).stalled_down().evidence(),
        "clamp-unsupported by book": catalogue.firmware(
            b, "12.2", meanings=(replace(catalogue.BOTH_WAYS, until="", rewrites=()),)
        ),
        "clamp-wrong-egress gone": b.World(rules=(b.clamp(oif="ppp0"),)).stalled_up().evidence(),
        "clamp-wrong-egress other": b.World(rules=(b.clamp(oif="lte0"), b.clamp(iif="lte0")), **LTE)
        .stalled_up()
        .evidence(),
        "tunnel-overhead": b.World(wan_mtu=1446, wan_kind="tunnel", specific_route=True)
        .stalled_up()
        .evidence(),
        "vlan-mtu-not-learned dhcp": dhcp(),
        "clamp told without counter": b.World(
            rules=(replace(counted, packets=None),), connected=True
        ).evidence(),
        "clamp-missing two access points": two_points(),
        "fix-not-persisted": catalogue.repaired(b, b.ruleset(b.chain())),
        "fix-not-persisted other file": catalogue.repaired(
            b, b.ruleset(b.chain(table="inet other"))
        ),
        "fix-not-persisted kept": catalogue.repaired(b, b.ruleset(*b.both_ways())),
    }


def verdicts_far():
    """A hole that packets show and no gateway's configuration explains."""
    world = b.World(gateway_read=False)
    refused = HostStatus(
        host=GATEWAY,
        site="s001",
        role="gateway",
        status="failed",
        error="refused the credential",
        error_kind="auth-refused",
    )
    return world.but(
        captures=(world.capture("ap", syn=1460, syn_ack=1460),),
        probes=(world.probe((1492, "reply"), (1493, "timeout")),),
        failed=(refused,),
    ).evidence()


def dhcp():
    evidence = b.World(lan_mtu=1492).stalled_up().evidence()
    source = Source(host=GATEWAY, basis="real program", command="cat /etc/dnsmasq.d/x")
    return evidence.with_facts(
        replace(evidence.facts_of(GATEWAY), dhcp_mtu_bytes=Known(1492, source))
    )


def two_points():
    evidence = b.World(rules=b.other_vlan()).evidence()
    second = replace(evidence.site.devices[0], name="s001-ap2")
    facts = replace(evidence.facts[0], host="s001-ap2")
    info = SiteInfo(isp="Cable")
    site = replace(evidence.site, devices=(*evidence.site.devices, second), info=info)
    return replace(evidence, site=site, facts=(*evidence.facts, facts))


def icmp():
    world = b.World()
    quiet = b.chain(
        b.rule("out 2", action="drop", protocols=frozenset({"icmp"})),
        hook="output",
        name="output",
        priority=0,
    )
    closed = b.chain(policy="drop", hook="input", name="in", priority=0)
    host = verdicts.story2(b)
    wan = b.World(wan_mtu=1500)
    nat = wan.stalled_up()
    nat = nat.but(
        captures=(*nat.captures, wan.capture("gateway-wan", too_big=(wan.too_big(1492),)))
    )
    lan = world.capture("gateway-lan", too_big=(world.too_big(1492),))
    counted = b.World(sends_df=False).stalled_up(fragments=4).evidence()
    settings = IcmpSettings(sends_df=True, fragments_created=48)
    gateway = counted.facts_of(GATEWAY)
    died = PingEvidence(
        host=AP,
        target=world.server,
        packet_bytes=1500,
        df=False,
        answered=False,
        basis="real program",
        command="ping -M dont",
    )
    passed = replace(died, packet_bytes=1492, answered=True)
    return {
        "icmp-ignored host": host.stalled_up(too_big=(host.too_big(1446),) * 4).evidence(),
        "icmp-ignored policy": b.World(ap_rules=(closed,)).evidence(),
        "icmp-ignored seen at gateway": world.but(
            captures=(*world.stalled_up().captures, lan)
        ).evidence(),
        "icmp-ignored session": world.but(
            captures=(world.capture("ap", too_big=(world.too_big(1492),)),),
            sessions=(world.session(unacked_segments=3, backoff=3, line=4),),
        ).evidence(),
        "icmp-not-sent rule": b.World(rules=(quiet,)).stalled_up().evidence(),
        "icmp-lost-at-nat": nat.evidence(),
        "icmp-lost-upstream": wan.but(
            sends_df=True,
            probes=(wan.probe((1492, "reply"), (1493, "timeout")),),
            captures=(wan.capture("gateway-wan", syn=1460, syn_ack=1460),),
        ).evidence(),
        "fragments-dropped counted": counted.with_facts(
            replace(gateway, icmp=Known(settings, gateway.clamps.source))
        ),
        "fragments-dropped ping": b.World(sends_df=False, pings=(passed, died)).evidence(),
        "fragments-dropped likely": b.World(
            sends_df=False, captures=(world.capture("gateway-wan", fragments_up=6),)
        ).evidence(),
        "ptb-misdelivered": catalogue.ptb(b),
        "ptb-misdelivered heard": catalogue.ptb(b, again=False, smaller=(1500, 1492)),
        "discovery at work": b.World(
            connected=True,
            learned=1492,
            captures=(world.capture("gateway-wan", fragments_down=4),),
        ).evidence(),
    }


def other_paths():
    world = b.World()
    hello = catalogue.hello(b, "timeout")
    own = world.flow(client_hello_bytes=1600, tls_stage="client-hello", syn_ack_mss_bytes=1460)
    port = Interface(name="p1", mtu_bytes=1480, kind="ethernet", master="vlan20", line=9)
    return {
        "mss-rewritten-upstream": catalogue.offered(b, 1400, 1460),
        "mss-rewritten-upstream same": catalogue.offered(b, 1400, 1400),
        "large-hello-dropped": replace(
            hello, captures=(world.capture("ap", syn=1460, syn_ack=1460, flows=(own,)),)
        ),
        "large-hello-dropped by probe": catalogue.hello(b, "timeout"),
        "large-hello-dropped answered": catalogue.hello(b, "reply"),
        "l2-mtu-mismatch jumbo": catalogue.segment(b),
        "l2-mtu-mismatch same mtu": catalogue.segment(b, ap_mtu=1500),
        "l2-mtu-mismatch arrives": catalogue.segment(b, far_sees=True),
        "l2-mtu-mismatch bridge": b.World(extra_interfaces=(port,), rules=b.both_ways()).evidence(),
        "l2-mtu-mismatch one end": corner_gap(),
        "pppoe-mtu-half-done": catalogue.pppoe(b, 1500, lost=1493),
        "pppoe-mtu-half-done well": catalogue.pppoe(b, 1508),
        "pppoe-mtu-half-done no parent": b.World(
            wan_mtu=1500,
            wan_kind="ppp",
            probes=(world.probe((1492, "reply"), (1493, "timeout")),),
        ).evidence(),
        "path-mtu-asymmetric": catalogue.one_way(b),
        "isp-path-mtu-low reply": isp_reply(),
        "isp-path-mtu-low luck": b.World(
            wan_mtu=1500,
            connected=True,
            sends_df=False,
            captures=(world.capture("ap", syn=1460, syn_ack=1400, too_big=(world.too_big(1492),)),),
        ).evidence(),
        "failover-path-smaller": b.World(
            wan_mtu=1500, connected=True, sends_df=False, **LTE
        ).evidence(),
        "policy routing": policy.two_ways(b, (policy.VLAN, policy.MAIN)),
        "policy routing in doubt": policy.two_ways(b, (policy.mark(), policy.MAIN)),
    }


def corner_gap():
    world = b.World()
    flow = world.flow(smallest_lost_up_bytes=1500, largest_acked_up_bytes=300, retransmits_up=0)
    return world.but(captures=(world.capture("gateway-lan", flows=(flow,)),)).evidence()


def isp_reply():
    world = b.World(wan_mtu=1492, rules=b.both_ways())
    gap = world.flow(smallest_lost_down_bytes=1492, largest_acked_down_bytes=900)
    outside = world.capture("gateway-wan", syn=1452, syn_ack=1460, flows=(gap,))
    inside = world.capture("ap", syn=1460, syn_ack=1452, flows=(gap,))
    return world.but(captures=(outside, inside)).evidence()


def no_mtu():
    world = b.World(rules=b.both_ways())
    tries = (world.syn(1460),) * 3
    inside = world.capture("ap", syns=tries)
    deny = b.chain(
        b.rule("inet filter forward handle 9", action="drop", destination_ports=2083),
        priority=0,
        name="filter",
        table="inet filter",
    )
    timeout = world.but(failure="connect-timeout")
    vague = world.but(failure="unclassified", words="?")
    alert = world.flow(
        tls_stage="alert", tls_alert="certificate_expired", largest_acked_up_bytes=1492
    )
    silent = world.flow(
        tls_stage="client-flight",
        largest_acked_up_bytes=1492,
        syn_mss_bytes=1452,
        syn_ack_mss_bytes=1452,
        silent_s=2.0,
    )
    lost = world.flow(smallest_lost_up_bytes=1400, retransmits_up=3, largest_acked_up_bytes=600)
    fine = world.flow(largest_acked_up_bytes=1492, client_port=40001)
    waiting = world.session(state="SYN-SENT", unacked_segments=1, backoff=3, line=3)
    late = world.but(
        failure="certificate-not-yet-valid",
        words="not yet valid",
        clock=("2024-01-01T00:00:00Z", "2026-11-21T12:00:00Z"),
    )
    return {
        "no-syn-ack leaves": timeout.but(
            captures=(inside, world.capture("gateway-wan", syn=1452))
        ).evidence(),
        "no-syn-ack stays": timeout.but(captures=(inside, world.capture("gateway-wan"))).evidence(),
        "no-syn-ack dropped": timeout.but(rules=(deny, *b.both_ways())).evidence(),
        "no-syn-ack refused": world.but(failure="connection-refused", words="refused").evidence(),
        "no-syn-ack sockets": vague.but(
            sessions=(waiting,), probes=(world.probe((569, "unreachable")),)
        ).evidence(),
        "dns-failure": world.but(failure="name-lookup", captures=(world.capture("ap"),)).evidence(),
        "clock-skew": late.evidence(),
        "clock unknown": late.but(clock=None).evidence(),
        "certificate-invalid ours": world.but(
            failure="tls-alert",
            words="sslv3 alert certificate expired",
            captures=(world.capture("ap", syn_ack=1452, flows=(alert,)),),
        ).evidence(),
        "certificate-invalid theirs": world.but(
            failure="certificate-untrusted", words="unable to get local issuer certificate"
        ).evidence(),
        "tls-inspection": catalogue.untrusted(
            b, "verify error: self-signed certificate in chain: /O=Fortinet/CN=FortiGate CA"
        ),
        "credential-rejected": world.but(
            failure="credential-rejected", words="Access-Reject"
        ).evidence(),
        "server-hang": world.but(
            captures=(world.capture("ap", syn=1452, syn_ack=1452, flows=(silent,)),)
        ).evidence(),
        "server-hang sent again": catalogue.sent_again(b, closed=True)[1].evidence(),
        "payload-dropped session": world.but(
            sessions=(world.session(1440, 1492, unacked_segments=1, backoff=4, line=2),)
        ).evidence(),
        "plain-loss": b.World(
            captures=(world.capture("ap", syn_ack=1460, flows=(lost, fine)),)
        ).evidence(),
        "duplicate-address": catalogue.arp(b, catalogue.OTHER),
        "duplicate-address well": catalogue.arp(b, catalogue.MAC),
        "asymmetric-state": catalogue.answered_outside(b),
        "asymmetric-state rule": catalogue.answered_outside(
            b, rules=(b.rule("t forward handle 9", iif="wan0", action="drop"),)
        ),
        "asymmetric-state arrives": catalogue.answered_outside(b, inside=True),
    }


def beside():
    """Other traffic than the judged service's, and what an access point says of itself."""
    inside = catalogue.radius(b, point="gateway-lan")
    outside = catalogue.radius(b, missing_fragments=(7,))
    both = outside.but(captures=(*inside.captures, *outside.captures))
    slow = b.World(connected=True, rules=b.both_ways()).evidence()
    stalled = HostStatus(
        host=AP,
        site="s001",
        role="ap",
        status="failed",
        error="s001-ap1: stalled after the banner",
        error_kind="management-stall",
    )
    tunnel = CloudState(
        service="capwap",
        server="198.51.100.20",
        port=5246,
        connected=True,
        transport="udp",
        path_mtu_bytes=1485,
    )
    log = (
        PushFailure(failure="none", text="fine"),
        PushFailure(failure="handshake-stall", text="SSL connection timeout", line=41),
    )
    vague = b.World(failure="unclassified", words="failed", push_log=log, rules=b.other_vlan())
    return {
        "radius-fragments-dropped gateway": both.evidence(),
        "radius-fragments-dropped isp": catalogue.radius(b).evidence(),
        "radius-fragments-dropped answered": catalogue.radius(
            b, unanswered_fragmented=0
        ).evidence(),
        "management-path-hole": slow.with_facts(
            replace(slow.facts[0], login_needed_small_mss=True)
        ),
        "management-path-hole for good": b.World(ap_read=False, failed=(stalled,)).evidence(),
        "service port of its own": services.states(
            CloudState(service="radsec", port=80, ports=(80, 443))
        ),
        "service over udp": services.states(tunnel),
        "service held by another": services.second_ap(
            services.states(CloudState(service="radsec", proxy="10.20.0.11"))
        ),
        "service held by a stranger": services.states(
            CloudState(service="radsec", proxy="10.20.0.99")
        ),
        "service by its log": vague.evidence(),
        "service not listed": services.states(
            CloudState(service="portal", server="198.51.100.7", port=443, connected=True)
        ),
    }


def abstained():
    """What cannot be told, and the one thing that would settle it."""
    asked = question.seen_from_the_ap(b)
    note = "legacy iptables rules may exist: nothing shows whether their tables are loaded"
    said = b.World(failure="unclassified", rules=b.both_ways())
    leg = said.but(words="no reply from home server", sessions=(said.session(1440, 1492),))
    evidence = b.World(rules=b.both_ways()).evidence()
    named = replace(
        evidence.facts_of(GATEWAY),
        identity=Known(
            Identity(hostname="gw", os_name="OS", os_version="7.4"),
            Source(host=GATEWAY, basis="sample", command="show version"),
        ),
    )
    return {
        "unknown gateway asked": asked.evidence(),
        "unknown gateway managed": asked.but(managed_by="controller", connected=True).evidence(),
        "unknown filter in part": question.handed_in(b.World(notes=(note,))),
        "unknown stall": evidence.with_facts(named),
        "unknown working": b.World(connected=True).evidence(),
        "unknown ap": b.World(ap_read=False).evidence(),
        "unknown site": b.World(ap_read=False, gateway_read=False).evidence(),
        "unknown radius": said.but(words="RADIUS server not responding").evidence(),
        "unknown capwap": said.but(words="CAPWAP data keep-alive lost").evidence(),
        "unknown proxy leg": leg.evidence(),
        "unknown rule": b.World(rules=(b.clamp("d", to=1400, opaque=("?",)),)).evidence(),
        "unknown dropped syn": b.World(
            rules=(b.rule("fw 9", action="drop"), *b.both_ways())
        ).evidence(),
        "unknown small mss": corners_doubt(),
    }


def corners_doubt():
    world = b.World(connected=True, rules=(b.clamp("d", to=1400, opaque=("?",)),))
    return world.but(captures=(world.capture("ap", syn=1460, syn_ack=1400),)).evidence()
