"""What to ask the owner of a gateway on which nobody here may log in.

The words carry what was seen from the access point, so that the owner can check it, and ask for
exactly what would settle the case. The answer comes back with ``mtughost ingest``.
"""

from __future__ import annotations

from mtughost.diagnose.case import Case
from mtughost.model.findings import NextTest
from mtughost.model.inventory import Device


def questions_for(case: Case) -> list[NextTest]:
    """Return the question about the gateway's side, empty where the gateway was read."""
    if case.gateway is not None or case.symptom.state == "unknown":
        return []
    gateway = case.flow.gateway
    name = gateway or f"the gateway of {case.evidence.site.name}"
    owner = "provider" if _is_managed(case.evidence.device(gateway)) else "owner"
    return [
        NextTest(
            kind="question",
            host=gateway,
            summary=(
                f"Ask the {owner} of {name} for its MTUs and its MSS clamp, and read the answer "
                "with: mtughost ingest"
            ),
            question=_text(case, name),
        )
    ]


def _is_managed(device: Device | None) -> bool:
    return device is not None and bool(device.managed_by)


def _text(case: Case, name: str) -> str:
    flow = case.flow
    sender = flow.sender.address or flow.ap
    port = flow.service.port
    links = (
        "1. What is the MTU of the interface towards this address's VLAN, of the WAN interface "
        "in use, and of any tunnel or PPP link on the way?"
    )
    clamp = (
        "2. Which rule or setting limits the TCP MSS of these connections, which interfaces, "
        "directions and address families does it match, what value does it write to the SYN "
        "and to the SYN-ACK, and what is its hit counter before and after one new connection?"
    )
    head = f"On {name}, about TCP from {sender} to {flow.service.host} port {port}"
    second = "3. Is there a second WAN, and does the same hold there?"
    return " ".join((f"{head} ({_seen(case)}):", links, clamp, second, *_last(case)))


def _seen(case: Case) -> str:
    """Say what the access point's side shows."""
    wire, parts = case.wire, []
    if case.flow.sender.limit_bytes is not None:
        parts.append(f"the sender's own MTU is {case.flow.sender.limit_bytes}")
    arrived = case.up.report.mss.observed.ap
    if arrived is not None:
        parts.append(f"the SYN-ACK arrives with MSS {arrived}")
    if case.symptom.up_lost:
        lost = wire.lost_up_bytes or (wire.probe_bracket or (0, 0))[1]
        size = f"packets of {lost} bytes" if lost else "large packets"
        parts.append(f"{size} towards the service are never acknowledged, smaller ones are")
    if case.symptom.down_lost:
        parts.append("large packets from the service do not arrive")
    if wire.too_big:
        mtu = min(t.message.next_hop_mtu_bytes for t in wire.too_big)
        parts.append(f"ICMP says that the next hop's MTU is {mtu}")
    elif case.symptom.up_lost and wire.at("ap"):
        parts.append("no ICMP type 3 code 4 arrives")
    if not parts or case.symptom.state == "working":
        parts.append("it works today" if case.symptom.state == "working" else "it fails")
    return ", ".join(parts)


def _last(case: Case) -> list[str]:
    if case.sends_df and case.symptom.up_lost and not case.wire.too_big:
        return ["4. Is ICMP type 3 code 4 sent and let through towards this VLAN?"]
    if case.sends_df is False:
        return ["4. Are fragments of these packets let through on the WAN side?"]
    return []
