"""Linux netfilter: nft (JSON and text) and iptables-save to one ruleset.

Interface matches, families, addresses, ports, TCP flags, MSS bounds, conntrack states, sets, maps,
jumps and verdicts become fields; every other condition becomes an opaque one, and every other
action a note, so that a proof over them ends as unknown and never as wrong.

ICMP types are given in words, with the code where a rule asks for it:
``destination-unreachable/frag-needed`` (ICMP 3/4), ``packet-too-big`` (ICMPv6 2).

Clamps never raise an MSS: neither xt_TCPMSS (since 2.6.25) nor nftables, whose
``tcp option maxseg size set`` leaves a smaller value alone (kernel ``nft_exthdr.c``). A test
measures it on the running kernel.
"""

from mtughost.dialects.netfilter.firmware import read_firmware
from mtughost.dialects.netfilter.read import read
from mtughost.dialects.netfilter.saved import read_saved

__all__ = ["read", "read_firmware", "read_saved"]
