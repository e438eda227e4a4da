"""What one capture file showed: a sentence per connection, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mtughost.model.evidence import CaptureEvidence, FlowSeen
from mtughost.report.safe_text import inert

SCHEMA = "mtughost/capture/v1"


def capture_to_dict(capture: CaptureEvidence) -> dict[str, Any]:
    """Return the evidence as JSON values, with one sentence per flow."""
    document = asdict(capture)
    for flow, item in zip(capture.flows, document["flows"], strict=True):
        item["sentence"] = flow_sentence(flow)
    return {"schema": SCHEMA, **document}


def render_capture(capture: CaptureEvidence) -> RenderableType:
    """Return the capture for a terminal: its sentences, what was seen beside them, warnings."""
    lines = [Text(inert(f"{capture.host}: {_counted(capture)}"), style="bold")]
    lines += [Text("  " + inert(flow_sentence(flow))) for flow in capture.flows]
    lines += [
        Text(
            "  "
            + inert(
                f"frame {seen.frame}: {seen.reporter} told {seen.to} that the limit on the way to "
                f"{seen.quoted_destination} is {seen.next_hop_mtu_bytes} bytes"
            )
        )
        for seen in capture.too_big
    ]
    lines += [Text("  warning: " + inert(text)) for text in capture.warnings]
    return Group(*lines)


def _counted(capture: CaptureEvidence) -> str:
    fragments = capture.fragments_up + capture.fragments_down
    cut = ", cut off" if capture.truncated else ""
    return (
        f"{capture.packets} packets, {len(capture.flows)} TCP connections, "
        f"{fragments} IP fragments{cut}"
    )


def flow_sentence(flow: FlowSeen) -> str:
    """Say in one sentence what a connection shows about packet sizes."""
    ends = f"{flow.client}:{flow.client_port} to {flow.server}:{flow.server_port}"
    if flow.mid_stream:
        mss = "handshake not captured, MSS unknown"
    else:
        mss = f"MSS {_figure(flow.syn_mss_bytes)} in the SYN"
        mss += f", {_figure(flow.syn_ack_mss_bytes)} in the SYN-ACK"
    parts = [mss, _direction(flow, up=True), _direction(flow, up=False), _tls(flow)]
    return f"{ends}: {'; '.join(part for part in parts if part)}"


def _figure(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def _direction(flow: FlowSeen, *, up: bool) -> str:
    who = "client" if up else "server"
    acked = flow.largest_acked_up_bytes if up else flow.largest_acked_down_bytes
    lost = flow.smallest_lost_up_bytes if up else flow.smallest_lost_down_bytes
    again = flow.retransmits_up if up else flow.retransmits_down
    df = flow.df_up if up else flow.df_down
    if acked is None and lost is None:
        return ""
    words = f"{who} packets up to {_figure(acked)} bytes arrived"
    if lost is not None:
        words += f", {lost} bytes never did ({again} retransmissions"
        words += "" if df is None else ", DF set" if df else ", DF clear"
        words += ")"
    return words


def _tls(flow: FlowSeen) -> str:
    if flow.tls_stage in {"unknown", "none"}:
        return ""
    version = f" ({flow.tls_version})" if flow.tls_version else ""
    alert = f", alert {flow.tls_alert}" if flow.tls_alert else ""
    return f"TLS came as far as {flow.tls_stage}{version}{alert}"
