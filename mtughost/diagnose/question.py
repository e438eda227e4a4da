"""What to ask the owner of a gateway on which nobody here may log in.

The words carry what was seen from the access point, so that the owner can check it, and ask for
exactly what would settle the case. The answer comes back with ``mtughost ingest``.
"""

from __future__ import annotations

from typing import Final

from mtughost.diagnose.case import Case
from mtughost.diagnose.rules.deafness import TOO_BIG_WORDS
from mtughost.model.basis import Known
from mtughost.model.device import DeviceFacts
from mtughost.model.findings import NextTest
from mtughost.model.inventory import Device

#: Basis of what was pasted or mailed.
HANDED_IN: Final = "recorded output"
_MOST_NOTES = 3
#: What makes "no rule does it" a fact: everything that could hold one, or somebody's word.
_WHOLE_FILTER: Final = (
    "Please send the whole packet filter as an administrator sees it, each output complete: "
    "'nft list ruleset', 'iptables-save -c' and 'ip6tables-save -c' (or that a program is not "
    "installed); and say whether that is everything that filters or rewrites packets there, older "
    "iptables-legacy rules included."
)
_WHOLE_SECTION: Final = (
    "Please send the whole section of the configuration as an administrator sees it, no excerpt; "
    "and say whether anything else rewrites the MSS there."
)


def questions_for(case: Case) -> list[NextTest]:
    """Return the question about the gateway's side, empty where a login says what can be known."""
    if case.symptom.state == "unknown":
        return []
    if case.gateway is not None:
        return _about_the_rest(case, case.gateway)
    gateway = case.flow.gateway
    name = gateway or f"the gateway of {case.evidence.site.name}"
    owner = _asked(case)
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


def _about_the_rest(case: Case, gateway: DeviceFacts) -> list[NextTest]:
    """Ask for what is missing to a packet filter that somebody handed in.

    What is not in an excerpt may be elsewhere, so its silence is no fact until somebody vouches for
    the whole, or the missing outputs come.
    """
    fact = gateway.clamps
    if not isinstance(fact, Known) or fact.source.basis != HANDED_IN or not fact.value.notes:
        return []
    if all(proof.covered is not None for proof in case.proofs):
        return []
    name, notes = gateway.host, "; ".join(fact.value.notes[:_MOST_NOTES])
    return [
        NextTest(
            kind="question",
            host=name,
            summary=(
                f"Ask the {_asked(case)} of {name} whether the packet filter that was handed in is "
                f"the whole one, and read the answer with: mtughost ingest --host {name} "
                "--told filter.complete=yes"
            ),
            question=(
                f"What we have of the packet filter of {name} leaves open: {notes}. {_WHOLE_FILTER}"
            ),
        )
    ]


def _asked(case: Case) -> str:
    return "provider" if _is_managed(case.evidence.device(case.flow.gateway)) else "owner"


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
    device = case.evidence.device(flow.gateway)
    whole = _WHOLE_FILTER if device is None or device.platform == "linux" else _WHOLE_SECTION
    output = f"Output answers 1 and 2 as well. {whole}"
    return " ".join((f"{head} ({_seen(case)}):", links, clamp, second, *_last(case), output))


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
        parts.append(f"no {TOO_BIG_WORDS[case.family]} arrives")
    if not parts or case.symptom.state == "working":
        parts.append("it works today" if case.symptom.state == "working" else "it fails")
    return ", ".join(parts)


def _last(case: Case) -> list[str]:
    if case.sends_df and case.symptom.up_lost and not case.wire.too_big:
        message = TOO_BIG_WORDS[case.family]
        return [f"4. Is {message} sent and let through towards this VLAN?"]
    if case.sends_df is False:
        return ["4. Are fragments of these packets let through on the WAN side?"]
    return []
