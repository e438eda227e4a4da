"""Words of nft's language by what they do in a rule."""

from __future__ import annotations

from collections.abc import Mapping

from mtughost.dialects.netfilter.steps import Op
from mtughost.model.clamps import Verdict

VERDICTS: Mapping[str, Verdict] = {
    "accept": "accept",
    "drop": "drop",
    "return": "return",
    "continue": "pass",
}
MSS = ("tcp", "option", "maxseg", "size")
BARE_META = frozenset(
    {
        "iif",
        "oif",
        "iifname",
        "oifname",
        "iiftype",
        "oiftype",
        "iifgroup",
        "oifgroup",
        "skuid",
        "skgid",
        "pkttype",
        "cpu",
        "cgroup",
        "ibrname",
        "obrname",
        "nftrace",
        "rtclassid",
        "mark",
    }
)
HEADERS = frozenset(
    {
        "ip",
        "ip6",
        "tcp",
        "udp",
        "th",
        "icmp",
        "icmpv6",
        "ether",
        "vlan",
        "arp",
        "sctp",
        "dccp",
        "udplite",
        "esp",
        "ah",
        "comp",
        "igmp",
    }
)
#: Matches with a grammar of their own. They only choose packets.
OTHER_MATCHES = frozenset(
    {
        "fib",
        "rt",
        "socket",
        "osf",
        "numgen",
        "jhash",
        "symhash",
        "ipsec",
        "exthdr",
        "frag",
        "hbh",
        "dst",
        "mh",
        "srh",
        "ct",
        "limit",
        "quota",
    }
)
NAT = frozenset({"masquerade", "snat", "dnat", "redirect"})
OPS: Mapping[str, Op] = {
    "==": "==",
    "!=": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "!": "none",
}
#: After something unknown, reading goes on at one of these.
SAFE = frozenset({*VERDICTS, *NAT, "reject", "jump", "goto", "queue", "counter", "comment"})
BIT_KEYS = frozenset({"tcp flags", "ct state", "ct status"})
