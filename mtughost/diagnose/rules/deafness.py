"""Does the host ignore "fragmentation needed"? Used by the ICMP rules and by the grading."""

from __future__ import annotations

from mtughost.diagnose.case import Case
from mtughost.diagnose.match import Packet, Tri
from mtughost.diagnose.passage import Stage
from mtughost.diagnose.walk import walk
from mtughost.model.basis import Known
from mtughost.model.clamps import Hook
from mtughost.model.device import DeviceFacts, Family
from mtughost.model.findings import Grade

#: What a person calls the message.
TOO_BIG_WORDS: dict[Family, str] = {"ipv4": "ICMP type 3 code 4", "ipv6": "ICMPv6 type 2"}
#: How tools print ICMP type 3 (code 4) and ICMPv6 type 2.
TOO_BIG_NAMES: dict[Family, frozenset[str]] = {
    "ipv4": frozenset(
        {
            "3",
            "3/4",
            "destination-unreachable",
            "fragmentation-needed",
            "frag-needed",
            "destination-unreachable/fragmentation-needed",
            "destination-unreachable/frag-needed",
            "destination-unreachable/4",
        }
    ),
    "ipv6": frozenset({"2", "2/0", "packet-too-big"}),
}


def deaf(case: Case) -> Grade | None:
    """Grade "the AP or appliance ignores ICMP too big".

    Observables: the message at the host's own port, the same size sent again afterwards, and a
    rule on the host that drops it. Source: failure-modes M16 and both measured cases there.
    """
    if case.sends_df is False or case.symptom.state == "working":
        return None
    if case.symptom.refuted or case.symptom.stays_near("up"):
        # What does not even reach a router, no router complains about.
        return None
    arrives = any(t.capture.point == "ap" for t in case.wire.too_big)
    near = any(t.capture.point == "gateway-lan" for t in case.wire.too_big)
    dropped, _ = icmp_dropped(case.ap, case.family, case.flow.sender.interface)
    again = keeps_size(case)
    if dropped == "yes":
        if again and (arrives or near):
            return "confirmed"
        return "likely" if case.symptom.stalls or again else "possible"
    if arrives and again:
        return "confirmed"
    return "likely" if near and again else None


def keeps_size(case: Case) -> bool:
    """Say whether the host sent a size again that it had been told is too big."""
    told = min((t.message.next_hop_mtu_bytes for t in case.wire.too_big), default=None)
    bound = told if told is not None else case.up.path.hard_bytes
    if bound is None:
        return False
    seen = any(
        s.flow.smallest_lost_up_bytes is not None
        and s.flow.smallest_lost_up_bytes > bound
        and s.flow.retransmits_up > 1
        and s.flow.resent_smaller_up_bytes is None
        for s in case.wire.stalled_up
    )
    stuck = any(
        s.send_mss_bytes is not None and s.path_mtu_bytes is not None and s.path_mtu_bytes > bound
        for s in case.wire.stuck_sessions
    )
    return seen or stuck


def icmp_dropped(
    facts: DeviceFacts | None, family: Family, interface: str | None, hook: Hook = "input"
) -> tuple[Tri, str]:
    """Walk a "too big" message through a device's own ruleset.

    Args:
        facts: The device.
        family: Address family.
        interface: Where the message arrives (or leaves, for ``output``), ``None`` if unknown.
        hook: ``input`` for a host that receives it, ``output`` for a gateway that sends it.

    Returns:
        Whether it is dropped, and by which rule. ``maybe`` where the rules are not known.
    """
    if facts is None or not isinstance(facts.clamps, Known):
        return "maybe", ""
    protocol = "icmp" if family == "ipv4" else "icmpv6"
    packet = Packet(
        family=family,
        protocol=protocol,
        in_interface=interface if hook == "input" else None,
        out_interface=interface if hook == "output" else None,
        icmp_types=TOO_BIG_NAMES[family],
    )

    def same(_priority: int) -> Packet:
        return packet

    hooks: tuple[Hook, ...] = ("prerouting", hook) if hook == "input" else (hook, "postrouting")
    stages = tuple(Stage(hook=each, packet=same) for each in hooks)
    result = walk(facts.clamps.value, stages, 0, None)
    return result.dropped, result.dropped_by
