"""The sentences: what a connection, a capture and two points show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mtughost.model.captures import PointPair
from mtughost.model.evidence import CaptureEvidence, FlowSeen
from mtughost.packets.rules import too_big_notes
from mtughost.packets.rules_radio import (
    fragment_note,
    radius_sentence,
    wifi_sentence,
    wifi_settled,
)


def flow_sentence(flow: FlowSeen) -> str:
    """Say in one sentence what a connection shows about packet sizes."""
    ends = f"{flow.client}:{flow.client_port} to {flow.server}:{flow.server_port}"
    parts = [
        _mss(flow),
        _direction(flow, up=True),
        _direction(flow, up=False),
        _tls(flow),
        _end(flow),
    ]
    return f"{ends}: {'; '.join(part for part in parts if part)}"


def _mss(flow: FlowSeen) -> str:
    if flow.mid_stream:
        return "handshake not captured, MSS unknown"
    text = f"MSS {_figure(flow.syn_mss_bytes)} in the SYN"
    if flow.answered or flow.syn_ack_mss_bytes is not None:
        return f"{text}, {_figure(flow.syn_ack_mss_bytes)} in the SYN-ACK"
    return f"{text}, {'refused' if flow.refused else 'no SYN-ACK'}"


def _figure(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _direction(flow: FlowSeen, *, up: bool) -> str:
    who = "client" if up else "server"
    acked = flow.largest_acked_up_bytes if up else flow.largest_acked_down_bytes
    lost = flow.smallest_lost_up_bytes if up else flow.smallest_lost_down_bytes
    stalled = flow.stalled_up_bytes if up else flow.stalled_down_bytes
    again = flow.retransmits_up if up else flow.retransmits_down
    df = flow.df_up if up else flow.df_down
    told = flow.told_up_bytes if up else flow.told_down_bytes
    honoured = flow.honoured_up if up else flow.honoured_down
    if acked is None and lost is None and stalled is None:
        return ""
    words = f"{who} packets up to {_figure(acked)} bytes arrived" if acked else ""
    if lost is not None:
        df_words = "" if df is None else ", DF set" if df else ", DF clear"
        words += f"{', ' if words else f'{who} packets of '}{lost} bytes never did"
        words += f" ({again} retransmissions{df_words})"
    elif stalled is not None:
        words += f"{', ' if words else f'{who}: '}one of {stalled} bytes was never acknowledged"
    if told is not None:
        heard = {True: "honoured", False: "not honoured", None: "no sign whether honoured"}
        words += f", told of MTU {told} by ICMP ({heard[honoured]})"
    return words


def _tls(flow: FlowSeen) -> str:
    if flow.tls_stage in {"unknown", "none"}:
        return ""
    version = f" ({flow.tls_version})" if flow.tls_version else ""
    resumed = ", resumed" if flow.tls_resumed else ""
    alert = f", alert {flow.tls_alert}" if flow.tls_alert else ""
    return f"TLS came as far as {flow.tls_stage}{version}{resumed}{alert}"


def _end(flow: FlowSeen) -> str:
    return f"reset by the {flow.reset_by}" if flow.reset_by and not flow.refused else ""


def nothing_sentence(captures: Sequence[CaptureEvidence]) -> str:
    """Say what captures show that hold no full-size packet and no trouble."""
    told = [message for capture in captures for message in capture.too_big]
    missing = [capture for capture in captures if capture.incomplete_datagrams]
    if any(capture.wifi for capture in captures):
        text = _wifi_sentence(captures)
    elif not any(capture.packets for capture in captures):
        text = "no packet could be read, so nothing is known"
    elif told:
        text = (
            f"{told[0].reporter} tells {told[0].to} of MTU {told[0].next_hop_mtu_bytes}; whether "
            "it is honoured is not to be seen here"
        )
    elif missing:
        text = fragment_note(missing[0])
    elif any(capture.connections for capture in captures):
        text = "no full-size packet was seen to arrive: nothing is known about sizes"
    else:
        text = "no connection was found that says anything about packet sizes"
    return text


def _wifi_sentence(captures: Sequence[CaptureEvidence]) -> str:
    """Say how far the stations came: the one that came furthest, and how many there are."""
    seen = [each for capture in captures for each in capture.wifi]
    best = max(seen, key=lambda each: (len(each.completed), len(each.accepted)))
    if len(seen) == 1:
        return wifi_sentence(best)
    done = sum(wifi_settled(each) for each in seen)
    return (
        f"{done} of {len(seen)} pairs of station and access point completed the 4-way handshake; "
        f"{wifi_sentence(best)}"
    )


def notes(captures: Sequence[CaptureEvidence], pairs: Iterable[PointPair]) -> Iterable[str]:
    """Say what limits or completes a verdict: points, fragments, RADIUS, Wi-Fi, damage."""
    for pair in pairs:
        yield _pair_note(pair)
    for capture in captures:
        note = fragment_note(capture)
        if note:
            yield note
        yield from (f"{capture.host}: {radius_sentence(seen)}" for seen in capture.radius[:20])
        yield from (f"{capture.host}: {wifi_sentence(seen)}" for seen in capture.wifi[:20])
        yield from too_big_notes(capture)
        yield from (f"{capture.host}: {text}" for text in capture.warnings)


def _pair_note(pair: PointPair) -> str:
    text = (
        f"{pair.near} and {pair.far} hold {pair.matched} handshake packets of the same connections"
    )
    if pair.ordered_by:
        text += f"; {pair.near} is nearer to the clients (by {pair.ordered_by})"
    if pair.clock_offset_s is not None:
        text += f"; the clocks differ by {pair.clock_offset_s:.3f} s"
    for change in pair.changes:
        text += (
            f"; the {change.kind.upper()}'s MSS {change.sent_bytes} becomes {change.arrived_bytes} "
            f"in between ({change.handshakes} times)"
        )
    return text
