"""A gateway's packet filter as the files that ``iptables-restore`` and its IPv6 twin read."""

from __future__ import annotations

from typing import Literal

from mtughost.lab.rules import Match, RulePlan

_Family = Literal["ipv4", "ipv6"]
_TOO_BIG = {
    "ipv4": "-p icmp -m icmp --icmp-type fragmentation-needed",
    "ipv6": "-p ipv6-icmp -m icmp6 --icmpv6-type packet-too-big",
}


def v4(plan: RulePlan) -> str:
    """Return ``rules.v4``."""
    lines = [*_mangle(plan, "ipv4"), *_filter(plan, "ipv4")]
    if plan.nat:
        lines += ["*nat", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]"]
        lines += [":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
        lines += [f"-A POSTROUTING -o {name} -j MASQUERADE" for name in plan.zone.outside]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def v6(plan: RulePlan) -> str:
    """Return ``rules.v6``; a filter only where the service is reached by IPv6."""
    lines = _mangle(plan, "ipv6")
    if plan.scenario.speaks6:
        lines += _filter(plan, "ipv6")
    return "\n".join(lines) + "\n"


def _where(match: Match) -> str:
    entering, leaving = match
    text = f"-i {entering} " if entering else ""
    return text + (f"-o {leaving} " if leaving else "")


def _mangle(plan: RulePlan, family: _Family) -> list[str]:
    fixed = plan.scenario.clamp_mss_bytes
    value = f"--set-mss {fixed}" if fixed else "--clamp-mss-to-pmtu"
    unhooked = plan.scenario.clamp_state == "unhooked"
    chain = "MSSFIX" if unhooked else "FORWARD"
    lines = ["*mangle", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]"]
    lines += [":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
    if unhooked:
        lines.append(":MSSFIX - [0:0]")
    if plan.scenario.icmp_at_gateway == "drop":
        lines.append(f"-A PREROUTING -i {plan.zone.out} {_TOO_BIG[family]} -j DROP")
    lines += plan.some(
        (
            "-A PREROUTING -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP",
            f"-A POSTROUTING -o {plan.zone.out} -p udp -m udp --dport 5060 -j DSCP --set-dscp 0x2e",
            "-A FORWARD -p udp -m udp --dport 443 -j MARK --set-xmark 0x17/0xff",
            '-A FORWARD -p udp -m comment --comment "voice, see ticket" -j RETURN',
        )
    )
    if plan.sees(family):
        if plan.scenario.clamp_state == "shadowed":
            lines += _shadows(plan)
        lines += [
            f"-A {chain} {_where(match)}-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS {value}"
            for match in plan.matches
        ]
    return [*lines, "COMMIT"]


def _shadows(plan: RulePlan) -> list[str]:
    ap = plan.zone.ap
    ways = {
        "tcp": ["-A FORWARD -p tcp -j ACCEPT"],
        "state": ["-A FORWARD -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT"],
        "vlan": [f"-A FORWARD -i {ap} -j ACCEPT", f"-A FORWARD -o {ap} -j ACCEPT"],
    }
    return ways[plan.pick("tcp", "state", "vlan")]


def _filter(plan: RulePlan, family: _Family) -> list[str]:
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines.append(f"-A INPUT -i {plan.zone.out} -p tcp -m tcp --dport 22 -j DROP")
    lines.append("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    lines += plan.some(
        (
            f"-A FORWARD -i {plan.zone.inside[-1]} -p tcp -m multiport --dports 25,465 -j DROP",
            "-A INPUT -p tcp -m tcp --dport 23 -j REJECT",
            "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
        )
    )
    lines += [
        f"-A FORWARD -i {name} -o {out} -j ACCEPT"
        for name in plan.zone.inside
        for out in plan.zone.outside
    ]
    if not plan.scenario.gateway_sends_icmp:
        lines.append(f"-A OUTPUT {_TOO_BIG[family]} -j DROP")
    return [*lines, "COMMIT"]
