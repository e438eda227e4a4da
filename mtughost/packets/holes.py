"""Holes: a size that never arrives while smaller ones do.

Captures know no configuration: a missing, a mis-scoped and a dead clamp look the same
(failure-modes B, remark d), so a hole is ``clamp-missing`` and at most ``likely``. Only where two
points show that something rewrites the MSS is more known of the clamp.
"""

from __future__ import annotations

from collections.abc import Iterable

from mtughost.model.evidence import Direction, FlowSeen
from mtughost.model.findings import Evidence, Finding, Grade, Owner
from mtughost.packets.case import Case, cite, lost_of, told_bytes

#: A sender that goes on unharmed after so many repeats of one packet gave up on its size.
GAVE_UP_AFTER = 2
#: Initial time to live of the usual systems: no router between the host and this point.
FIRST_HOP_TTLS = frozenset({64, 128, 255})


def holes(case: Case, direction: Direction) -> Iterable[Finding]:
    """M01 to M06, M16, M18: a size that never arrives in one direction, while smaller ones do."""
    lost = case.lost(direction)
    if lost is None:
        yield from _given_up(case, direction)
        return
    if _defied(case, direction):
        yield _icmp_ignored(case, direction, lost)
        return
    yield from _fragments_dropped(case, direction, lost)
    yield _clamp(case, direction, lost)


def _defied(case: Case, direction: Direction) -> bool:
    flows = (view.flow for view in case.connection.views)
    return any((f.honoured_up if direction == "up" else f.honoured_down) is False for f in flows)


def _icmp_ignored(case: Case, direction: Direction, lost: int) -> Finding:
    sender = case.sender(direction)
    told = told_bytes(case, direction)
    messages = [
        (view, message)
        for view in case.connection.views
        for message in view.capture.too_big
        if message.next_hop_mtu_bytes == told
        and (message.quoted_source, message.quoted_destination) == _ends(view.flow, direction)
    ]
    # On its own segment nothing but the host itself is left to drop the message.
    at_host = direction == "up" and case.near.syn_ttl in FIRST_HOP_TTLS and len(messages) > 1
    owner: Owner = "ap" if direction == "up" else "cloud"
    return Finding(
        id="icmp-ignored",
        grade="confirmed" if at_host else "likely",
        owner=owner,
        summary=(
            f"{sender} is told of the smaller path MTU of {told} bytes by ICMP, but goes on "
            f"sending {lost} bytes"
        ),
        evidence=(
            *(
                cite(
                    view,
                    "icmp",
                    f"ICMP too big from {m.reporter} to {m.to}: next hop MTU "
                    f"{m.next_hop_mtu_bytes}",
                    m.frame,
                )
                for view, m in messages[:4]
            ),
            *_stall_cites(case, direction),
        ),
        flow=case.key(direction),
    )


def _ends(flow: FlowSeen, direction: Direction) -> tuple[str, str]:
    ends = flow.client, flow.server
    return ends if direction == "up" else ends[::-1]


def _fragments(case: Case, direction: Direction) -> int:
    df = [f.df_up if direction == "up" else f.df_down for f in (case.near, case.far)]
    if any(value is True for value in df):
        return 0
    flows = (view.flow for view in case.connection.views)
    return max(f.fragmented_up if direction == "up" else f.fragmented_down for f in flows)


def _fragments_dropped(case: Case, direction: Direction, lost: int) -> Iterable[Finding]:
    df = case.near.df_up if direction == "up" else case.near.df_down
    if df is not False:
        return
    count = _fragments(case, direction)
    grade: Grade = "possible"
    how = "may be fragmented on the way (DF is clear), and nothing acknowledges them"
    if count:
        grade = "confirmed" if len(case.connection.views) > 1 else "likely"
        how = f"travel as fragments ({count} seen), and nothing acknowledges them"
    yield Finding(
        id="fragments-dropped",
        grade=grade,
        owner="isp",
        summary=(
            f"{case.sender(direction)}'s packets of {lost} bytes {how}: fragments are dropped "
            "behind this point"
        ),
        evidence=_stall_cites(case, direction),
        flow=case.key(direction),
    )


def _clamp(case: Case, direction: Direction, lost: int) -> Finding:
    """Sort a hole by what two points show of the MSS; one point shows a hole only."""
    ruling, other = ("SYN-ACK", "SYN") if direction == "up" else ("SYN", "SYN-ACK")
    kinds = ("syn-ack", "syn") if direction == "up" else ("syn", "syn-ack")
    mss = case.limit(direction)
    delivered = case.delivered(direction)
    size = (
        f"packets of {lost} bytes from {case.sender(direction)} never arrive, while {delivered} "
        "bytes do"
    )
    grade: Grade = "likely"
    if case.changed(kinds[0]):
        finding_id, grade = "clamp-too-high", "confirmed"
        lead = f"a clamp rewrites the {ruling} to MSS {mss}, more than the path carries"
    elif case.changed(kinds[1]):
        finding_id, grade = "clamp-one-direction", "confirmed"
        lead = f"a clamp rewrites the {other} only; the {ruling} passes with MSS {_figure(mss)}"
    else:
        finding_id = "clamp-missing"
        lead = f"no clamp takes effect on the {ruling}, which passes with MSS {_figure(mss)}"
    return Finding(
        id=finding_id,
        grade=grade,
        owner="gateway",
        summary=f"{size}{_where(case, direction, lost)}: {lead}",
        evidence=(*_mss_cites(case), *_stall_cites(case, direction)),
        flow=case.key(direction),
    )


def _where(case: Case, direction: Direction, lost: int) -> str:
    """Say between which points the packets die, where two of them saw the connection."""
    if len(case.connection.views) < 2:  # noqa: PLR2004 - near and far
        return ""
    near, far = case.connection.views[0], case.connection.views[-1]
    reached = (
        far.flow.largest_seen_up_bytes if direction == "up" else near.flow.largest_seen_down_bytes
    )
    last = far if direction == "up" else near
    if reached is not None and reached >= lost:
        return f" (they pass {last.capture.host}, so they die behind it)"
    return f" (they die between {near.capture.host} and {far.capture.host})"


def _given_up(case: Case, direction: Direction) -> Iterable[Finding]:
    """M33, RFC 1191 black-hole detection: repeats, then the same bytes in smaller packets."""
    for view in case.connection.views:
        flow = view.flow
        up = direction == "up"
        change = flow.resent_smaller_up_bytes if up else flow.resent_smaller_down_bytes
        again = flow.retransmits_up if up else flow.retransmits_down
        if change is None or told_bytes(case, direction) or again < GAVE_UP_AFTER:
            continue
        if not case.delivered(direction) or case.delivered(direction) >= change[0]:
            continue
        yield Finding(
            id="clamp-missing",
            grade="likely",
            owner="gateway",
            summary=(
                f"{case.sender(direction)} gives up on packets of {change[0]} bytes and sends the "
                f"same data in {change[1]} bytes, which arrive: its own black-hole detection"
            ),
            evidence=(*_mss_cites(case), cite(view, "stall", f"sent again {again} times")),
            flow=case.key(direction),
        )
        return


def lucky_fragments(case: Case, direction: Direction) -> Iterable[Finding]:
    """M28: it works only because fragments happen to pass."""
    count = _fragments(case, direction)
    if not count or not case.delivered(direction):
        return
    yield Finding(
        id="clamp-missing",
        grade="likely",
        owner="gateway",
        summary=(
            f"{case.sender(direction)}'s packets of up to {case.delivered(direction)} bytes arrive "
            f"as fragments only ({count} seen): it works today because fragments pass"
        ),
        evidence=(*_mss_cites(case), *case.cites("fragments", lambda _: f"{count} fragmented")),
        flow=case.key(direction),
    )


def _mss_cites(case: Case) -> tuple[Evidence, ...]:
    def words(flow: FlowSeen) -> str:
        if flow.mid_stream:
            return ""
        return (
            f"MSS {_figure(flow.syn_mss_bytes)} in the SYN, "
            f"{_figure(flow.syn_ack_mss_bytes)} in the SYN-ACK"
        )

    return tuple(
        cite(view, "syn-mss", text, view.flow.frames[0] if view.flow.frames else None)
        for view in case.connection.views
        if (text := words(view.flow))
    )


def _stall_cites(case: Case, direction: Direction) -> tuple[Evidence, ...]:
    def words(flow: FlowSeen) -> str:
        lost = lost_of(flow, direction)
        again = flow.retransmits_up if direction == "up" else flow.retransmits_down
        if lost is None:
            return ""
        if again:
            return f"packets of {lost} bytes were sent again {again} times, never acknowledged"
        return f"a gap of packets of up to {lost} bytes stayed open"

    return case.cites("stall", words)


def _figure(value: int | None) -> str:
    return "unknown" if value is None else str(value)
