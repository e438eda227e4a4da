"""A gateway's packet filter as nftables text: by hand, by OpenWrt's fw4, by VyOS."""

from __future__ import annotations

from mtughost.lab.rules import Match, RulePlan

_HEAD = ["#!/usr/sbin/nft -f", "flush ruleset", ""]
_TOO_BIG = "icmp type destination-unreachable icmp code frag-needed"
_TOO_BIG_6 = "icmpv6 type packet-too-big"


def _chain(name: str, hook: str, rules: list[str]) -> list[str]:
    body = [f"\t\t{rule}" for rule in ([f"{hook};"] if hook else []) + rules]
    return [f"\tchain {name} {{", *body, "\t}"]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _set(names: tuple[str, ...]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"{{ {quoted} }}"


def _where(match: Match) -> str:
    entering, leaving = match
    text = f'iifname "{entering}" ' if entering else ""
    return text + (f'oifname "{leaving}" ' if leaving else "")


def _value(plan: RulePlan) -> str:
    fixed = plan.scenario.clamp_mss_bytes
    return str(fixed) if fixed else "rt mtu"


def _shadows(plan: RulePlan) -> list[str]:
    """Return the rules that end the evaluation before the clamp, where the scenario has them."""
    if plan.scenario.clamp_state != "shadowed":
        return []
    ap = plan.zone.ap
    ways = {
        "tcp": ["meta l4proto tcp counter accept"],
        "state": ["ct state { new, established, related } counter accept"],
        "vlan": [f'iifname "{ap}" counter accept', f'oifname "{ap}" counter accept'],
    }
    return ways[plan.pick("tcp", "state", "vlan")]


def _icmp_chains(plan: RulePlan) -> list[str]:
    lines: list[str] = []
    scenario = plan.scenario
    if not scenario.gateway_sends_icmp:
        rules = [f"{_TOO_BIG} drop"]
        if scenario.speaks6:
            rules.append(f"{_TOO_BIG_6} drop")
        lines += _chain("output", "type filter hook output priority filter; policy accept", rules)
    if scenario.icmp_at_gateway == "drop":
        rules = [f'iifname "{plan.zone.out}" {words} counter drop' for words in (_TOO_BIG,)]
        rules.append(f'iifname "{plan.zone.out}" {_TOO_BIG_6} counter drop')
        hook = "type filter hook prerouting priority raw; policy accept"
        lines += _chain("outer", hook, rules)
    return lines


def _nat(plan: RulePlan) -> list[str]:
    if not plan.nat:
        return []
    rules = [f'oifname "{name}" masquerade' for name in plan.zone.outside]
    hook = "type nat hook postrouting priority srcnat; policy accept"
    return ["", "table ip nat {", *_chain("postrouting", hook, rules), "}"]


def _unrelated(plan: RulePlan) -> list[str]:
    """Return tables that other services brought along."""
    if plan.dice is None:
        return []
    inside, out = plan.zone.inside[-1], plan.zone.out
    early = plan.some(
        (
            "ip saddr @blocked counter drop",
            f'iifname "{inside}" tcp dport {{ 25, 465, 587 }} counter drop',
            "udp dport { 53, 123 } counter",
            f'iifname "{out}" ip saddr {{ 192.168.0.0/16, 10.99.0.0/16 }} counter drop',
            "tcp flags & (fin | syn) == fin | syn counter drop",
            "meta l4proto icmp icmp type echo-request limit rate 200/second counter accept",
        )
    )
    late = plan.some(
        (
            f'oifname "{out}" udp dport 5060 ip dscp set ef counter',
            f'oifname "{out}" tcp dport 22 ip dscp set cs2',
            "ct state new counter",
            'meta mark 0x17 counter comment "guest quota"',
        )
    )
    return [
        "",
        f"table inet {plan.pick('extras', 'guests', 'shaper', 'vendor')} {{",
        "\tset blocked {",
        "\t\ttype ipv4_addr",
        "\t\tflags interval",
        "\t\telements = { 198.51.100.250, 192.0.2.248/29 }",
        "\t}",
        *_chain("early", "type filter hook prerouting priority -180; policy accept", early),
        *_chain("late", "type filter hook postrouting priority -20; policy accept", late),
        "}",
    ]


def native(plan: RulePlan) -> str:
    """Return what a person writes."""
    zone = plan.zone
    inside = ", ".join(f'"{name}"' for name in zone.inside)
    out = f'"{zone.out}"' if not zone.standby else _set(zone.outside)
    blocked = [f'iifname "{zone.out}" tcp dport 22 drop']
    forward = [
        "ct state established,related accept",
        f"iifname {{ {inside} }} oifname {out} accept",
    ]
    lines = [*_HEAD, "table inet filter {"]
    lines += _chain("input", "type filter hook input priority filter; policy accept", blocked)
    lines += _chain("forward", "type filter hook forward priority filter; policy drop", forward)
    lines += [*_icmp_chains(plan), "}"]
    parts = [_native_clamp(plan), _nat(plan), _unrelated(plan)]
    if plan.dice is not None:
        plan.dice.shuffle(parts)
    for part in parts:
        lines += part
    return _text(lines)


def _native_clamp(plan: RulePlan) -> list[str]:
    if not plan.matches:
        return []
    families = plan.scenario.clamp_families
    own_table = {"both": "inet", "ipv4": "ip", "ipv6": "ip6"}[families]
    table = plan.pick(own_table, "inet")
    sees = "" if table == own_table else f"meta nfproto {families} "
    rules = _shadows(plan)
    flags = plan.pick("tcp flags & (syn | rst) == syn", "tcp flags syn / syn,rst", "tcp flags syn")
    rules += [
        f"{sees}{_where(match)}{flags} counter tcp option maxseg size set {_value(plan)}"
        for match in plan.matches
    ]
    hook = "type filter hook forward priority mangle; policy accept"
    chain = _chain(
        plan.pick("forward", "mss", "clamp_fwd"),
        hook if plan.scenario.clamp_state != "unhooked" else "",
        rules,
    )
    return ["", f"table {table} {plan.pick('clamp', 'mangle', 'edge', 'mtu_fix')} {{", *chain, "}"]


_FW4_FLAGS = "tcp flags syn / fin,syn,rst"


def fw4(plan: RulePlan) -> str:
    """Return what OpenWrt's firewall4 generates from its zones (package firewall4, ruleset.uc)."""
    zone = plan.zone
    state = "ct state vmap { established : accept, related : accept }"
    guarded = [f'iifname "{zone.out}" tcp dport 22 drop comment "!fw4: Deny-SSH"']
    lines = [*_HEAD, "table inet fw4 {"]
    lines += _chain(
        "input",
        "type filter hook input priority filter; policy accept",
        [
            'iif "lo" accept comment "!fw4: Accept traffic from loopback"',
            f'{state} comment "!fw4: Handle inbound flows"',
            *guarded,
        ],
    )
    jumps = [
        f'iifname "{name}" jump forward_{kind} comment "!fw4: Handle {kind} IPv4/IPv6 forward"'
        for kind, name in _fw4_zones(plan)
    ]
    hook = "type filter hook forward priority filter; policy drop"
    handled = f'{state} comment "!fw4: Handle forwarded flows"'
    accepts = [
        f'oifname "{name}" counter accept comment "!fw4: accept wan IPv4/IPv6 traffic"'
        for name in zone.outside
    ]
    for kind, _ in _fw4_zones(plan):
        lines += _chain(f"forward_{kind}", "", accepts)
    lines += _chain("forward", hook, [handled, *jumps])
    lines += _icmp_chains(plan)
    if plan.nat:
        nat = [
            f'oifname "{name}" meta nfproto ipv4 masquerade comment "!fw4: Masquerade wan"'
            for name in zone.outside
        ]
        lines += _chain("srcnat", "type nat hook postrouting priority srcnat; policy accept", nat)
    lines += [*_fw4_mangle(plan), "}", *_unrelated(plan)]
    return _text(lines)


def _fw4_zones(plan: RulePlan) -> list[tuple[str, str]]:
    return list(zip(("lan", "pos"), plan.zone.inside, strict=False))


def _fw4_mangle(plan: RulePlan) -> list[str]:
    """Return the two chains of "MTU fixing": SYNs that leave a zone, and those that enter it."""
    zone = plan.zone
    zones = {
        "none": (),
        "any-both": (zone.out, zone.standby),
        "ap-both": (zone.ap,),
        "pos-both": (zone.pos,),
        "ap-syn": (zone.out,),
        "ap-syn-ack": (zone.out,),
        "standby-both": (zone.standby,),
    }[plan.scenario.clamp]
    sees = "" if plan.scenario.clamp_families == "both" else plan.scenario.clamp_families
    family = f"meta nfproto {sees} " if sees else ""
    words = sees.replace("ip", "IP") or "IPv4/IPv6"
    fix = f"{_FW4_FLAGS} tcp option maxseg size set {_value(plan)}"
    leaving = [
        f'{family}oifname "{name}" {fix} comment "!fw4: Zone {name} {words} egress MTU fixing"'
        for name in zones
        if name and plan.scenario.clamp != "ap-syn-ack"
    ]
    entering = [
        f'{family}iifname "{name}" {fix} comment "!fw4: Zone {name} {words} ingress MTU fixing"'
        for name in zones
        if name and plan.scenario.clamp != "ap-syn"
    ]
    lines = []
    hooked = plan.scenario.clamp_state != "unhooked"
    for name, hook, rules in (
        ("mangle_postrouting", "postrouting", leaving),
        ("mangle_forward", "forward", entering),
    ):
        base = f"type filter hook {hook} priority mangle; policy accept"
        if hooked:
            lines += _chain(name, base, [*_shadows(plan), *rules] if rules else [])
        else:
            lines += _chain(name, base, []) + _chain(f"{name}_user", "", rules)
    return lines


def vyos(plan: RulePlan) -> str:
    """Return what VyOS writes for ``adjust-mss``: by outgoing interface only, family by family."""
    zone = plan.zone
    out = f'"{zone.out}"' if not zone.standby else _set(zone.outside)
    lines = [*_HEAD, "table ip vyos_filter {"]
    hook = "type filter hook forward priority filter; policy drop"
    rules = [
        "ct state established accept",
        "ct state related accept",
        f'iifname {_set(zone.inside)} oifname {out} counter accept comment "ipv4-FWD-filter-20"',
    ]
    lines += [*_chain("VYOS_FORWARD_filter", hook, rules)]
    blocked = [f'iifname "{zone.out}" tcp dport 22 counter drop comment "ipv4-INP-filter-10"']
    lines += _chain("VYOS_INPUT_filter", "type filter hook input priority filter", blocked)
    lines += [*_icmp_chains_of(plan, "ip"), "}", ""]
    lines += ["table ip6 vyos_filter {", *_chain("VYOS_IPV6_FORWARD_filter", hook, rules)]
    lines += [*_icmp_chains_of(plan, "ip6"), "}", ""]
    lines += ["table inet mangle {"]
    lines += _chain("FORWARD", "type filter hook forward priority -150; policy accept", [])
    lines += ["}", ""]
    for table in ("ip", "ip6"):
        lines += [*_vyos_mss(plan, table), ""]
    return _text([*lines, *_nat(plan), *_unrelated(plan)])


def _icmp_chains_of(plan: RulePlan, table: str) -> list[str]:
    """Return the chains about ICMP without what this table's family cannot hold."""
    other = _TOO_BIG_6 if table == "ip" else _TOO_BIG
    return [line for line in _icmp_chains(plan) if other not in line]


def _vyos_mss(plan: RulePlan, table: str) -> list[str]:
    zone = plan.zone
    leaving = {
        "none": (),
        "any-both": (*zone.outside, *zone.inside),
        "ap-both": (zone.out, zone.ap),
        "pos-both": (zone.pos,),
        "ap-syn": (zone.out,),
        "ap-syn-ack": (zone.ap,),
        "standby-both": (zone.standby,),
    }[plan.scenario.clamp]
    fixed = plan.scenario.clamp_mss_bytes
    what = f"tcp option maxseg size {fixed + 1}-65535 " if fixed else ""
    flags = "tcp flags & (syn | rst) == syn"
    rules = [
        f'oifname "{name}" {flags} {what}tcp option maxseg size set {_value(plan)}'
        for name in leaving
        if plan.sees("ipv4" if table == "ip" else "ipv6")
    ]
    hook = "type filter hook forward priority -300; policy accept"
    if plan.scenario.clamp_state == "unhooked":
        chains = [*_chain("VYOS_TCP_MSS", hook, []), *_chain("NAME_MSS", "", rules)]
    else:
        # Connection state is not known yet this early: only the interface can shadow here.
        ap = plan.zone.ap
        shadow = [f'iifname "{ap}" accept', f'oifname "{ap}" accept']
        shadowed = plan.scenario.clamp_state == "shadowed"
        chains = _chain("VYOS_TCP_MSS", hook, [*(shadow if shadowed else []), *rules])
    return [f"table {table} raw {{", *chains, "}"]
