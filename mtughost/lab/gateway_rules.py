"""The saved packet filter of a lab gateway, as nftables or as iptables rules.

Both styles say the same: NAT on the way out, a forward filter, and the scenario's clamp, which
counts what it matches.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtughost.lab.addressing import Names
from mtughost.lab.plan import File
from mtughost.lab.scenarios import ClampScope, Scenario
from mtughost.lab.spec import ClampStyle

#: ``(in interface, out interface)`` per rule; an empty name matches any.
_Match = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Zone:
    """The interfaces that the rules speak about; ``pos`` is empty where there is none."""

    ap: str
    pos: str
    out: str


def clamp_matches(scope: ClampScope, zone: Zone) -> tuple[_Match, ...]:
    """Return the interface pairs that the clamp's rules match, in rule order."""
    table: dict[ClampScope, tuple[_Match, ...]] = {
        "none": (),
        "any-both": (("", ""),),
        "ap-both": ((zone.ap, zone.out), (zone.out, zone.ap)),
        "pos-both": ((zone.pos, zone.out), (zone.out, zone.pos)),
        "ap-syn": (("", zone.out),),
        "ap-syn-ack": ((zone.out, ""),),
    }
    return table[scope]


def gateway_files(
    scenario: Scenario, style: ClampStyle, zone: Zone, *, nat: bool = True
) -> dict[str, File]:
    """Return the saved rule files of one gateway."""
    if style == "nft":
        text = _nft(scenario, zone, nat=nat)
        return {"/etc/nftables.conf": File(content=text.encode(), mode=0o755)}
    return {
        "/etc/iptables/rules.v4": File(content=_iptables(scenario, zone, nat=nat).encode()),
        "/etc/iptables/rules.v6": File(content=_ip6tables(scenario, zone).encode()),
    }


def zone_of(names: Names) -> Zone:
    """Return the interfaces of a retail gateway."""
    return Zone(names.ap_vlan, names.pos_vlan, names.wan)


def _nft(scenario: Scenario, zone: Zone, *, nat: bool) -> str:
    inside = f'"{zone.ap}", "{zone.pos}"' if zone.pos else f'"{zone.ap}"'
    lines = [
        "#!/usr/sbin/nft -f",
        "flush ruleset",
        "",
        "table inet filter {",
        "\tchain input {",
        "\t\ttype filter hook input priority filter; policy accept;",
        f'\t\tiifname "{zone.out}" tcp dport 22 drop',
        "\t}",
        "\tchain forward {",
        "\t\ttype filter hook forward priority filter; policy drop;",
        "\t\tct state established,related accept",
        f'\t\tiifname {{ {inside} }} oifname "{zone.out}" accept',
        "\t}",
    ]
    if not scenario.gateway_sends_icmp:
        lines += [
            "\tchain output {",
            "\t\ttype filter hook output priority filter; policy accept;",
            "\t\ticmp type destination-unreachable icmp code frag-needed drop",
            "\t}",
        ]
    lines += ["}"]
    matches = clamp_matches(scenario.clamp, zone)
    if matches:
        value = str(scenario.clamp_mss_bytes) if scenario.clamp_mss_bytes else "rt mtu"
        lines += [
            "",
            "table inet clamp {",
            "\tchain forward {",
            "\t\ttype filter hook forward priority mangle; policy accept;",
        ]
        for entering, leaving in matches:
            where = f'iifname "{entering}" ' if entering else ""
            where += f'oifname "{leaving}" ' if leaving else ""
            lines.append(
                f"\t\t{where}tcp flags & (syn | rst) == syn counter"
                f" tcp option maxseg size set {value}"
            )
        lines += ["\t}", "}"]
    if nat:
        lines += [
            "",
            "table ip nat {",
            "\tchain postrouting {",
            "\t\ttype nat hook postrouting priority srcnat; policy accept;",
            f'\t\toifname "{zone.out}" masquerade',
            "\t}",
            "}",
        ]
    return "\n".join(lines) + "\n"


def _mangle(scenario: Scenario, zone: Zone) -> list[str]:
    value = (
        f"--set-mss {scenario.clamp_mss_bytes}"
        if scenario.clamp_mss_bytes
        else "--clamp-mss-to-pmtu"
    )
    lines = ["*mangle", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]"]
    lines += [":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
    for entering, leaving in clamp_matches(scenario.clamp, zone):
        where = f"-i {entering} " if entering else ""
        where += f"-o {leaving} " if leaving else ""
        lines.append(f"-A FORWARD {where}-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS {value}")
    return [*lines, "COMMIT"]


def _iptables(scenario: Scenario, zone: Zone, *, nat: bool) -> str:
    lines = _mangle(scenario, zone)
    lines += ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines.append(f"-A INPUT -i {zone.out} -p tcp -m tcp --dport 22 -j DROP")
    lines.append("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    inside = [name for name in (zone.ap, zone.pos) if name]
    lines += [f"-A FORWARD -i {name} -o {zone.out} -j ACCEPT" for name in inside]
    if not scenario.gateway_sends_icmp:
        lines.append("-A OUTPUT -p icmp -m icmp --icmp-type fragmentation-needed -j DROP")
    lines.append("COMMIT")
    if nat:
        lines += ["*nat", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]"]
        lines += [":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
        lines += [f"-A POSTROUTING -o {zone.out} -j MASQUERADE", "COMMIT"]
    return "\n".join(lines) + "\n"


def _ip6tables(scenario: Scenario, zone: Zone) -> str:
    return "\n".join(_mangle(scenario, zone)) + "\n"
