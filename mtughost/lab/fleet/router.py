"""A virtual Linux router: interfaces, MSS rules, what its programs print, what packets become.

Written after iproute2's, iptables' and nft's manuals and the kernel's documents: a rule rewrites
SYN and SYN-ACK alike wherever its interfaces match, never to more, and "path MTU" is the smaller
of the routes to and from (measured in a lab of real kernels). It shares no code with the readers.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mtughost.lab.fleet.effects import Family, Handshake

_LOOPBACK = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN "
_HEADERS_BYTES: dict[Family, int] = {"ipv4": 40, "ipv6": 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """One interface.

    Attributes:
        address: With prefix length, ``""`` for none.
        address6: The same for IPv6.
        parent: The interface below, for a VLAN.
        kind: What ``ip -d link`` calls it; ``""`` for a plain port.
    """

    name: str
    mtu: int
    mac: str
    address: str = ""
    address6: str = ""
    parent: str = ""
    kind: str = ""

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The network that its address is in."""
        return ipaddress.IPv4Interface(self.address).network


@dataclass(frozen=True, slots=True, kw_only=True)
class MssRule:
    """One rule that rewrites the MSS.

    Attributes:
        enters: Interface that a packet must come in by; ``+`` at the end matches any rest.
        leaves: Interface that it must go out by, likewise; ``""`` asks for none.
        mss: What is written; 0 takes it from the path MTU.
    """

    family: Family
    enters: str = ""
    leaves: str = ""
    mss: int = 0


def rewritten(packet: Handshake, rules: Iterable[MssRule], mtus: dict[str, int]) -> int:
    """Return the MSS with which a handshake packet leaves."""
    mss = packet.mss
    for rule in rules:
        if rule.family != packet.family:
            continue
        if not (_is(rule.enters, packet.enters) and _is(rule.leaves, packet.leaves)):
            continue
        path = min(mtus[packet.enters], mtus[packet.leaves]) - _HEADERS_BYTES[packet.family]
        mss = min(mss, rule.mss or path)
    return mss


def _is(asked: str, name: str) -> bool:
    if asked.endswith("+"):
        return name.startswith(asked[:-1])
    return asked in {"", name}


@dataclass(frozen=True, slots=True)
class Views:
    """What ``ip``, ``sysctl`` and the files of ``/proc`` show.

    Attributes:
        nics: Interfaces, without the loopback.
        next_hop: Where the default route leads, and out of which interface.
        next_hop6: Where that of IPv6 leads, out of the same interface; ``""`` for none.
    """

    nics: tuple[Nic, ...]
    next_hop: tuple[str, str]
    next_hop6: str = ""

    def answers(self) -> dict[str, str]:
        """Return what each line prints."""
        rules = "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n"
        via, out = self.next_hop
        return {
            "ip -d -j -p link show": json.dumps(list(self._links()), indent=4) + "\n",
            "ip -d link show": "".join(self._link_lines(details=True)),
            "ip link show": "".join(self._link_lines(details=False)),
            "ip -j -p address show": json.dumps(list(self._addresses()), indent=4) + "\n",
            "ip address show": "".join(self._address_lines()),
            "ip -4 route show table all": "".join(self._routes()),
            "ip -6 route show table all": "".join(self._routes6()),
            "ip -4 route show cache": "",
            "ip -6 route show cache": "",
            "ip -4 rule show": f"{rules}32767:\tfrom all lookup default\n",
            "ip -6 rule show": rules,
            "ip neigh show": f"{via} dev {out} lladdr 02:00:00:00:00:fe REACHABLE \n",
            "cat /proc/uptime": "86400.10 172000.20\n",
            "cat /proc/net/snmp": _SNMP,
            "date -u +%Y-%m-%dT%H:%M:%SZ": "2026-11-21T12:00:00Z\n",
        }

    def _links(self) -> Iterator[dict[str, object]]:
        for index, nic in enumerate(self.nics, start=2):
            shown: dict[str, object] = {
                "ifindex": index,
                "ifname": nic.name,
                "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
                "mtu": nic.mtu,
                "operstate": "UP",
                "link_type": "ether",
                "address": nic.mac,
            }
            if nic.parent:
                shown["link"] = nic.parent
            if nic.kind:
                shown["linkinfo"] = {"info_kind": nic.kind}
            yield shown

    def _link_lines(self, *, details: bool) -> Iterator[str]:
        yield _LOOPBACK + "mode DEFAULT group default qlen 1000\n"
        yield "    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
        for index, nic in enumerate(self.nics, start=2):
            yield self._head(index, nic) + "mode DEFAULT group default qlen 1000\n"
            yield f"    link/ether {nic.mac} brd ff:ff:ff:ff:ff:ff\n"
            if details and nic.kind == "vlan":
                tag = nic.name.rpartition(".")[2]
                yield f"    vlan protocol 802.1Q id {tag} <REORDER_HDR> addrgenmode eui64\n"

    def _head(self, index: int, nic: Nic) -> str:
        below = f"@{nic.parent}" if nic.parent else ""
        flags = "<BROADCAST,MULTICAST,UP,LOWER_UP>"
        return f"{index}: {nic.name}{below}: {flags} mtu {nic.mtu} qdisc noqueue state UP "

    def _addresses(self) -> Iterator[dict[str, object]]:
        for index, nic in enumerate(self.nics, start=2):
            info = []
            if nic.address:
                interface = ipaddress.IPv4Interface(nic.address)
                info.append(
                    {
                        "family": "inet",
                        "local": str(interface.ip),
                        "prefixlen": interface.network.prefixlen,
                        "scope": "global",
                        "label": nic.name,
                    }
                )
            if nic.address6:
                interface6 = ipaddress.IPv6Interface(nic.address6)
                info.append(
                    {
                        "family": "inet6",
                        "local": str(interface6.ip),
                        "prefixlen": interface6.network.prefixlen,
                        "scope": "global",
                    }
                )
            yield {"ifindex": index, "ifname": nic.name, "mtu": nic.mtu, "addr_info": info}

    def _address_lines(self) -> Iterator[str]:
        yield _LOOPBACK + "group default qlen 1000\n"
        yield "    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
        yield "    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n"
        for index, nic in enumerate(self.nics, start=2):
            yield self._head(index, nic) + "group default qlen 1000\n"
            yield f"    link/ether {nic.mac} brd ff:ff:ff:ff:ff:ff\n"
            if nic.address:
                last = ipaddress.IPv4Interface(nic.address).network.broadcast_address
                yield f"    inet {nic.address} brd {last} scope global {nic.name}\n"
                yield "       valid_lft forever preferred_lft forever\n"
            if nic.address6:
                yield f"    inet6 {nic.address6} scope global \n"
                yield "       valid_lft forever preferred_lft forever\n"

    def _routes(self) -> Iterator[str]:
        via, out = self.next_hop
        yield f"default via {via} dev {out} proto static metric 20 \n"
        for nic in self.nics:
            if nic.address:
                interface = ipaddress.IPv4Interface(nic.address)
                yield (
                    f"{interface.network} dev {nic.name} proto kernel scope link "
                    f"src {interface.ip} \n"
                )
                yield f"local {interface.ip} dev {nic.name} table local proto kernel scope host \n"

    def _routes6(self) -> Iterator[str]:
        for nic in self.nics:
            if nic.address6:
                interface = ipaddress.IPv6Interface(nic.address6)
                yield f"{interface.network} dev {nic.name} proto kernel metric 256 pref medium\n"
        if self.next_hop6:
            out = self.next_hop[1]
            yield f"default via {self.next_hop6} dev {out} proto static metric 1024 pref medium\n"
        for nic in self.nics:
            if nic.address6:
                own = ipaddress.IPv6Interface(nic.address6).ip
                yield f"local {own} dev {nic.name} table local proto kernel metric 0 pref medium\n"


_SNMP = (
    "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos "
    "InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs "
    "ReasmFails FragOKs FragFails FragCreates\n"
    "Ip: 1 64 1000 0 0 900 0 0 100 100 0 0 0 0 0 0 0 0 0\n"
)


def sysctl_text(keys: Iterable[str]) -> str:
    """Return what ``sysctl KEY...`` prints on a router that discovers path MTUs."""
    values = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
    return "".join(f"{key} = {values.get(key, '0')}\n" for key in keys)


# -- the packet filter as its programs print it ----------------------------------------------------


def iptables_save(
    chains: Iterable[tuple[str, str]], rules: Iterable[tuple[str, MssRule]], *, variant: str = ""
) -> str:
    """Return the mangle table as ``iptables-save -c`` prints it.

    Args:
        chains: Chains of the table's own, each with the built-in chain that jumps to it.
        rules: Rules, each with the chain that holds it.
        variant: ``nf_tables``, or ``""`` for the old interface.
    """
    chains, rules = tuple(chains), tuple(rules)
    version = f"v1.8.7 ({variant})" if variant else "v1.6.1"
    lines = [f"# Generated by iptables-save {version} on Sat Nov 21 12:00:00 2026", "*mangle"]
    lines += [f":{name} ACCEPT [0:0]" for name in _BUILT_IN]
    lines += [f":{name} - [0:0]" for name, _ in chains]
    lines += [f"[812:48720] -A {hook} -j {name}" for name, hook in chains]
    lines += [f"[17:1020] -A {chain} {_iptables(rule)}" for chain, rule in rules]
    return "\n".join([*lines, "COMMIT", "# Completed on Sat Nov 21 12:00:00 2026"]) + "\n"


_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def _iptables(rule: MssRule) -> str:
    words = [f"-i {rule.enters}"] if rule.enters else []
    words += [f"-o {rule.leaves}"] if rule.leaves else []
    words.append("-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS")
    words.append(f"--set-mss {rule.mss}" if rule.mss else "--clamp-mss-to-pmtu")
    return " ".join(words)
