"""More sites whose whole report is kept: half read, told, hinted at, in the other family."""

from __future__ import annotations

from dataclasses import replace

from mtughost.diagnose.evidence import ToldMtu
from mtughost.model.device import CloudState, Interface, PushFailure, Route
from mtughost.model.evidence import PingEvidence
from mtughost.model.findings import HostStatus
from tests.diagnose import conftest as b
from tests.diagnose import test_catalogue as catalogue
from tests.diagnose import test_policy as policy
from tests.diagnose import test_services as services
from tests.diagnose import test_verdicts as verdicts

AP, GATEWAY = "s001-ap1", "s001-gw1"
READ = {AP: ("interfaces", "routes", "sessions", "cloud", "clamps", "icmp", "addresses")}
READ[GATEWAY] = ("interfaces", "routes", "clamps", "addresses")
LTE = Interface(name="lte0", mtu_bytes=1428, line=6)


def edges():
    """Return evidence per case, by the name of its file."""
    return half_read() | told() | families() | names() | sizes() | words()


def half_read():
    """One kind of fact was not read."""
    world = b.World(rules=b.other_vlan(), sends_df=False)
    kept = {
        f"unread {host[5:]} {kind}": world.but(unread=((host, kind),)).evidence()
        for host, kinds in READ.items()
        for kind in kinds
    }
    web = HostStatus(
        host=GATEWAY,
        site="s001",
        role="gateway",
        status="skipped",
        error="has a web page only: export its configuration there",
        error_kind="no-command-line",
    )
    blind = b.World(gateway_read=False, failed=(web,))
    stuck = blind.session(unacked_segments=3, backoff=3, line=5)
    seen = blind.capture("ap", syn=1460, syn_ack=1460)
    quoted = blind.capture("ap", syn=1460, syn_ack=1460, too_big=(blind.too_big(1492),))
    probe = blind.probe((352, "reply"))
    return kept | {
        "asked no command line": blind.evidence(),
        "asked stuck session": blind.but(
            sessions=(stuck,), captures=(seen,), probes=(probe,)
        ).evidence(),
        "asked after icmp": blind.but(captures=(quoted,), probes=(probe,)).evidence(),
        "asked fragments": blind.but(
            sends_df=False, captures=(seen,), probes=(blind.probe((352, "reply"), (1500, "reset")),)
        ).evidence(),
    }


def told():
    """Somebody named an MTU."""
    phone = {"note": "J. Doe by phone, 2026-11-20"}
    path = ToldMtu(gateway="", link="path", mtu_bytes=1452, **phone)
    wan = ToldMtu(gateway=GATEWAY, link="wan", mtu_bytes=1480, **phone)
    lan = ToldMtu(gateway=GATEWAY, link="lan", mtu_bytes=1400, **phone)
    far = b.World(gateway_read=False, connected=True)
    far = far.but(captures=(far.capture("ap", syn=1460, syn_ack=1460),))
    near = b.World(wan_mtu=1500).stalled_up()
    return {
        "told path": replace(far.evidence(), told=(path,)),
        "told links": replace(near.evidence(), told=(path, wan, lan)),
        "told lan": replace(near.but(connected=True).evidence(), told=(lan,)),
    }


def families():
    """The same faults over IPv6."""
    world = b.World(family="ipv6")
    drop = b.chain(
        b.rule("in 6", action="drop", protocols=frozenset({"icmpv6"})),
        hook="input",
        name="input",
        priority=0,
    )
    quiet = replace(drop, hook="output", name="output")
    asked = world.but(gateway_read=False)
    flow = world.flow(
        syn_ack_mss_bytes=1440,
        smallest_lost_up_bytes=1500,
        stalled_up_bytes=1500,
        retransmits_up=5,
        largest_acked_up_bytes=294,
    )
    return {
        "ipv6 clamp-missing": world.stalled_down(syn=1440, syn_ack=1440).evidence(),
        "ipv6 icmp-ignored": world.but(ap_rules=(drop,))
        .stalled_up(syn=1440, syn_ack=1440, too_big=(world.too_big(1492),) * 2)
        .evidence(),
        "ipv6 icmp-not-sent": world.but(rules=(quiet,))
        .stalled_up(syn=1440, syn_ack=1440)
        .evidence(),
        "ipv6 vlan": world.but(lan_mtu=1492).stalled_up(syn=1440, syn_ack=1440).evidence(),
        "ipv6 asked": asked.but(
            captures=(world.capture("ap", syn=1440, syn_ack=1440, flows=(flow,)),),
            probes=(world.probe((352, "reply")),),
        ).evidence(),
        "ipv6 mss as mtu": b.World(
            family="ipv6", rules=b.both_ways(to=1372), connected=True
        ).evidence(),
    }


def named(evidence, host="cloud.example"):
    """The service is known by its name only."""
    devices = tuple(
        replace(d, services=tuple(replace(s, host=host) for s in d.services))
        for d in evidence.site.devices
    )
    ap = evidence.facts_of(AP)
    said = replace(ap.cloud, value=(replace(ap.cloud.value[0], server=host),))
    changed = replace(evidence, site=replace(evidence.site, devices=devices))
    return changed.with_facts(replace(ap, cloud=said))


def names():
    """Hints of the inventory, names for addresses, routes with settings."""
    other = {"extra_interfaces": (LTE,)}
    kept = Route(
        destination="203.0.113.10", family="ipv4", interface="wan0", mtu_bytes=1480, cached=True
    )
    small = Route(
        destination="203.0.113.0/24",
        family="ipv4",
        interface="wan0",
        via="100.64.1.1",
        mtu_bytes=1470,
    )
    return {
        "named by name": named(b.World(rules=b.other_vlan()).stalled_up().evidence()),
        "hints disagree": b.World(wan_hint=("lte0",), vlan_hint="vlan30", **other).evidence(),
        "hint beaten by route": b.World(
            wan_hint=("lte0",), specific_route=True, **other
        ).evidence(),
        "hints instead of routes": b.World(
            wan_hint=("wan0", "lte0"), unread=((GATEWAY, "routes"),), **other
        ).evidence(),
        "route learned by gateway": b.World(wan_mtu=1500, extra_routes=(kept,)).evidence(),
        "route with an mtu": b.World(wan_mtu=1500, extra_routes=(small,)).stalled_up().evidence(),
        "route with an mtu and less beyond": b.World(
            wan_mtu=1500,
            extra_routes=(small,),
            probes=(b.World().probe((1400, "reply"), (1401, "timeout")),),
        ).evidence(),
        "icmp about the way down": down_told(),
        "policy unknown": policy.two_ways(b, None),
        "policy without a sure rule": policy.two_ways(b, (policy.mark(),)),
        "service without a name": services.states(
            CloudState(service="", server="198.51.100.7", port=443, connected=True)
        ),
        "service from an old log": services.logged(
            services.STALL,
            cloud=services.known(
                (
                    CloudState(
                        service="https",
                        server="cws.example",
                        port=443,
                        last_change_utc="2026-04-16T03:00:00",
                    ),
                )
            ),
        ),
        "service by its newest log": services.logged(services.STALL),
    }


def down_told():
    """The service was told of a smaller MTU on its way here."""
    world = b.World(wan_mtu=1500)
    message = replace(
        world.too_big(1400), quoted_source=world.server, quoted_destination="100.64.1.2"
    )
    return world.but(captures=(world.capture("gateway-wan", too_big=(message,)),)).evidence()


def sizes():
    """Brackets, pings and directions."""
    world = b.World(wan_mtu=1500)
    ping = PingEvidence(
        host=AP,
        target=world.server,
        packet_bytes=1500,
        df=True,
        answered=False,
        basis="real program",
        command="ping -M do",
    )
    pings = (replace(ping, packet_bytes=1472, answered=True), ping)
    refused = replace(ping, too_big_mtu_bytes=1480)
    both = world.flow(
        smallest_lost_up_bytes=1500,
        stalled_up_bytes=1500,
        retransmits_up=3,
        largest_acked_up_bytes=294,
        smallest_lost_down_bytes=1500,
        stalled_down_bytes=1500,
    )
    up = replace(both, smallest_lost_down_bytes=None, stalled_down_bytes=None, df_up=True)
    up = replace(up, largest_acked_down_bytes=1500)
    whole_down = world.capture("ap", syn=1460, syn_ack=1460, flows=(up,))
    gap = world.flow(largest_acked_up_bytes=294, smallest_lost_up_bytes=1492)
    back = world.flow(stalled_down_bytes=1492, smallest_lost_down_bytes=1492, retransmits_down=3)
    resent = world.flow(
        tls_stage="established",
        application_up=True,
        application_down=True,
        largest_acked_up_bytes=1492,
        resent_smaller_up_bytes=(1500, 1492),
    )
    narrow = b.World(connected=True, sends_df=True)
    never = world.flow(wan=True, smallest_lost_up_bytes=1500, largest_acked_up_bytes=300)
    outside = world.capture("gateway-wan", syn=1460, syn_ack=1460, flows=(never,))
    return {
        "isp-path-mtu-low coarse": world.but(
            probes=(world.probe((352, "reply"), (1400, "timeout")),)
        ).evidence(),
        "pings with df": world.but(pings=pings).evidence(),
        "ping refused": world.but(pings=(refused,)).evidence(),
        "path-mtu-asymmetric both": world.but(
            captures=(world.capture("ap", syn=1460, syn_ack=1460, flows=(both,)),)
        ).evidence(),
        "path-mtu-asymmetric up": world.but(captures=(whole_down,)).evidence(),
        "path-mtu-asymmetric ours": b.World(captures=(whole_down,)).evidence(),
        "l2-mtu-mismatch gap at gateway": b.World(
            rules=b.both_ways(),
            captures=(world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=(gap,)),),
        ).evidence(),
        "l2-mtu-mismatch back": b.World(
            rules=b.both_ways(),
            captures=(world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=(back,)),),
        ).evidence(),
        "gap at the wan": world.but(captures=(outside,)).evidence(),
        "discovery resent": narrow.but(
            captures=(narrow.capture("ap", syn=1460, syn_ack=1460, flows=(resent,)),)
        ).evidence(),
        "discovery believed": narrow.but(sessions=(narrow.session(1440, 1492, line=3),)).evidence(),
        "discovery recovered": narrow.but(
            mtu_probing=False, sessions=(narrow.session(1448, 1500, retransmits_total=3, line=3),)
        ).evidence(),
        "plain-loss split hello": catalogue.hello_in_pieces(b),
        "pppoe-mtu-half-done below a vlan": layers(),
        "frames of both directions": world.but(
            captures=(
                world.capture(
                    "ap",
                    syn=1460,
                    syn_ack=1460,
                    flows=(replace(both, lost_up_frame=21, lost_down_frame=33),),
                ),
            )
        ).evidence(),
        "ptb-misdelivered beside": replace(
            catalogue.ptb(b), facts=(b.World(connected=None).evidence().facts[0],)
        ),
    }


def layers():
    """PPP over a VLAN that takes it, over a port that does not."""
    links = (
        Interface(name="eth9.7", mtu_bytes=1508, kind="vlan", parent="eth9", line=7),
        Interface(name="eth9", mtu_bytes=1500, kind="ethernet", line=8),
    )
    evidence = b.World(wan_mtu=1500, wan_kind="ppp", extra_interfaces=links).evidence()
    own = evidence.facts_of(GATEWAY).interfaces.value
    below = tuple(replace(k, parent="eth9.7") if k.name == "wan0" else k for k in own)
    return catalogue.with_facts(evidence, GATEWAY, interfaces=below)


def words():
    """The access point's own words, and what stands beside them."""
    world = b.World(rules=b.both_ways())
    answered = world.flow(tls_stage="established", application_down=True)
    alert = world.flow(tls_stage="alert", tls_alert="unknown_ca")
    clocks = {"failure": "certificate-expired", "words": "expired"}
    log = (PushFailure(failure="radius-timeout", text="no reply from home server", line=12),)
    slow = b.World(connected=True, rules=b.both_ways()).evidence()
    slow = slow.with_facts(replace(slow.facts[0], login_needed_small_mss=True))
    mine, other = catalogue.radius(b, missing_fragments=(7, 9)), catalogue.radius(b, answered=0)
    return {
        "clock ahead": world.but(
            **clocks, clock=("2027-01-01 00:00:00", "2026-11-21T12:00:00Z")
        ).evidence(),
        "clock right": world.but(
            **clocks, clock=("2026-11-21T12:00:05Z", "2026-11-21T12:00:00Z")
        ).evidence(),
        "certificate-invalid alert": world.but(
            failure="unclassified",
            words="?",
            captures=(world.capture("ap", syn_ack=1452, flows=(alert,)),),
        ).evidence(),
        "certificate-invalid unknown issuer": b.World(
            failure="certificate-untrusted", words="unable to get local issuer certificate"
        ).evidence(),
        "tls-inspection unknown issuer": world.but(
            failure="tls-inspection", words="issuer: CN=somebody"
        ).evidence(),
        "credential-rejected answered": world.but(
            failure="credential-rejected",
            words="Access-Reject",
            captures=(world.capture("ap", syn_ack=1452, flows=(answered,)),),
        ).evidence(),
        "dns-failure likely": world.but(failure="name-lookup", words="no such host").evidence(),
        "no-syn-ack refused by probe": world.but(
            failure="unclassified",
            words="?",
            probes=(world.probe((569, "refused"), (1500, "unreachable")),),
        ).evidence(),
        "radius-fragments-dropped torn": mine.evidence(),
        "radius-fragments-dropped none answered": other.evidence(),
        "fix-not-persisted discovery": catalogue.repaired(b, b.ruleset(b.chain()), learned=1492),
        "duplicate-address gateway": catalogue.arp(
            b, catalogue.OTHER, address="10.20.0.1", host=AP
        ),
        "failover with df": b.World(
            wan_mtu=1500,
            connected=True,
            sends_df=True,
            extra_interfaces=(LTE,),
            extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=9),),
        ).evidence(),
        "radius words in the log": world.but(
            failure="radius-timeout", words="?", push_log=log
        ).evidence(),
        "management-path-hole managed": replace(
            slow,
            site=replace(
                slow.site,
                devices=(replace(slow.site.devices[0], managed_by="cloud"), slow.site.devices[1]),
            ),
        ),
        "management-path-hole in a lab": replace(
            slow,
            site=replace(
                slow.site,
                devices=(replace(slow.site.devices[0], lab="foundry"), slow.site.devices[1]),
            ),
        ),
        "host told nothing": verdicts.story2(b).evidence(),
    }
