"""ICMP and path MTU discovery: ignored by the host, not sent, lost, or lost at NAT."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.evidence import cite
from mtughost.diagnose.health import discovery_signs
from mtughost.diagnose.rules.deafness import TOO_BIG_WORDS, deaf, icmp_dropped
from mtughost.diagnose.segment import lost_before_wan
from mtughost.model.basis import Known
from mtughost.model.findings import Evidence, Finding, FixHint, Grade, RuledOut


def icmp_ignored(case: Case) -> Outcome:
    """M16: "fragmentation needed" reaches the host, which goes on sending the same size.

    Observables: ICMP at the host's port, same-size retransmissions, a rule that drops it.
    Discriminator from M13 to M15: the message does arrive.
    """
    grade = deaf(case)
    dropped, by = icmp_dropped(case.ap, case.family, case.flow.sender.interface)
    if grade is None:
        if case.symptom.state == "working" and discovery_signs(case):
            because = f"{case.flow.ap} learned the path MTU, so it does listen"
            return (RuledOut(id="icmp-ignored", because=because),)
        if case.sends_df is False:
            because = f"{case.flow.ap} clears DF, so nobody sends it such a message"
            return (RuledOut(id="icmp-ignored", because=because),)
        return ()
    told = [t.cite() for t in case.wire.too_big]
    mtu = min((t.message.next_hop_mtu_bytes for t in case.wire.too_big), default=None)
    path = mtu if mtu is not None else case.up.path.known_bytes
    how = f"drops it ({by})" if dropped == "yes" else "goes on sending the same size"
    limit = f" of {path} bytes" if path is not None else ""
    said = "is told" if told else "would be told"
    return (
        Finding(
            id="icmp-ignored",
            grade=grade,
            owner=case.ap_owner,
            summary=f"{case.flow.ap} {said} of the smaller path MTU{limit} by ICMP, but {how}",
            evidence=unique(
                told,
                _drop_cites(case, by) if dropped == "yes" else (),
                case.link_cite(case.flow.gateway, case.flow.egress),
                case.link_cite(case.flow.ap, case.flow.sender.interface),
                case.symptom.wire_cites,
                case.symptom.cites,
            ),
            flow=case.up.report.key,
            fix=_host_mtu(case, path),
        ),
    )


def _host_mtu(case: Case, path: int | None) -> FixHint | None:
    if path is None:
        return None
    # Room for padding where a tunnel's overhead depends on the packet (16-byte cipher blocks).
    value = path // 16 * 16 if case.tunnelled else path
    name = case.flow.sender.interface or "its interface"
    return FixHint(
        change="host-mtu",
        summary=(
            f"On {case.flow.ap}, set the MTU of {name} to {value}, or let "
            f"{TOO_BIG_WORDS[case.family]} in"
        ),
        host=case.flow.ap,
        value_bytes=value,
    )


def _drop_cites(case: Case, by: str) -> tuple[Evidence, ...]:
    facts = case.ap
    if facts is None or not isinstance(facts.clamps, Known):
        return ()
    name = by.removeprefix("rule ")
    line, text, command = None, by, ""
    for chain in facts.clamps.value.chains:
        for rule in chain.rules:
            if rule.name == name:
                line, text, command = rule.line, rule.text, rule.command
    source = facts.clamps.source
    return (cite("icmp-rule", source, text, line=line, command=command or None),)


def icmp_not_sent(case: Case) -> Outcome:
    """M13: the gateway itself does not send "fragmentation needed".

    Observables: packets with DF set that exceed the gateway's egress MTU are sent again and again
    on its LAN side, and no message comes; or a rule of its own drops what it sends.
    """
    if case.sends_df is not True or case.symptom.state != "failing" or case.wire.too_big:
        return ()
    if case.symptom.stays_near("up"):
        return ()
    gateway, own = case.gateway, case.up.path.hard_bytes
    lost = case.wire.lost_up_bytes
    dropped, by = icmp_dropped(gateway, case.family, case.flow.lan, "output")
    watched = bool(case.wire.watched("ap", "gateway-lan"))
    sees = watched and own is not None and lost is not None and lost > own
    grade: Grade | None = None
    if dropped == "yes":
        hurts = case.symptom.stalls or case.symptom.up_lost
        grade = "confirmed" if sees else "likely" if hurts else "possible"
    elif sees and not case.up.path.hidden and gateway is not None and case.way_is_certain:
        grade = "likely"
    if grade is None:
        return ()
    why = f"{by} drops it" if dropped == "yes" else "none was seen"
    return (
        Finding(
            id="icmp-not-sent",
            grade=grade,
            owner=case.gateway_owner,
            summary=(
                f"{case.flow.gateway} does not tell {case.flow.ap} that its packets are too big "
                f"for {case.flow.egress}: {why}"
            ),
            evidence=unique(
                case.link_cite(case.flow.gateway, case.flow.egress), case.symptom.wire_cites
            ),
            flow=case.up.report.key,
            fix=FixHint(
                change="permit-icmp",
                summary=(
                    f"On {case.flow.gateway}, let {TOO_BIG_WORDS[case.family]} out towards "
                    f"{case.flow.lan}"
                ),
                host=case.flow.gateway,
            ),
        ),
    )


def icmp_lost_upstream(case: Case) -> Outcome:
    """M14: the narrow hop lies beyond our own devices, and its ICMP does not come back.

    Observables: loss by size below every MTU of ours, DF set, no message at the WAN side.
    """
    if case.symptom.state != "failing" or not case.up.path.hidden or case.wire.too_big:
        return ()
    if case.sends_df is not True or case.symptom.stays_near("up"):
        return ()
    if lost_before_wan(case.wire):
        because = f"what is lost never reaches {case.flow.gateway} {case.flow.egress}"
        return (RuledOut(id="icmp-lost-upstream", because=because),)
    watched = bool(case.wire.watched("gateway-wan"))
    grade: Grade = "likely" if watched and case.way_is_certain else "possible"
    ceiling = case.up.path.ceiling_bytes
    return (
        Finding(
            id="icmp-lost-upstream",
            grade=grade,
            owner="isp",
            summary=(
                f"beyond {case.flow.gateway} packets above {ceiling} bytes "
                "vanish, and no ICMP about them comes back"
            ),
            evidence=case.symptom.wire_cites,
            flow=case.up.report.key,
        ),
    )


def icmp_lost_at_nat(case: Case) -> Outcome:
    """M15: the message reaches the WAN side and does not get through to the AP.

    Discriminator: two points; seen at the WAN, absent at the LAN or the AP.
    """
    if case.symptom.state != "failing":
        return ()
    wan = [t for t in case.wire.too_big if t.capture.point == "gateway-wan"]
    inside = [t for t in case.wire.too_big if t.capture.point != "gateway-wan"]
    if not wan or inside or not case.wire.watched("ap", "gateway-lan"):
        return ()
    return (
        Finding(
            id="icmp-lost-at-nat",
            grade="likely",
            owner=case.gateway_owner,
            summary=(
                f"ICMP too big reaches {case.flow.gateway} {case.flow.egress} but not "
                f"{case.flow.ap}"
            ),
            evidence=unique((t.cite() for t in wan), case.symptom.wire_cites),
            flow=case.up.report.key,
        ),
    )
