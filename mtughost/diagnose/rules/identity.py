"""Look-alikes about who answers: another device, another path, another TLS server."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.evidence import cite, source_of
from mtughost.diagnose.net import same_address
from mtughost.model.basis import value_or_none
from mtughost.model.device import DeviceFacts, Neighbour
from mtughost.model.findings import Evidence, Finding, Grade, RuledOut
from mtughost.model.tls_names import INSPECTORS

#: Hardware addresses that routers share on purpose: VRRP (RFC 9568), HSRP, GLBP.
_SHARED = ("00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f", "00:07:b4:")

#: One lost SYN-ACK is nothing.
_TRIES = 2


def tls_inspection(case: Case) -> Outcome:
    """N5: somebody in between terminates TLS and shows a certificate of its own.

    Observables: the client's words: untrusted, with an issuer that inspecting products use.
    Discriminator from N4: the issuer is not the service's. Without the issuer's name nothing tells
    them apart: ``unknown``, and one command settles it. Source: catalogue N5 (reasoned).
    """
    suspect = case.symptom.failure in {"certificate-untrusted", "tls-inspection"}
    if not suspect or case.symptom.state == "working":
        return ()
    text = case.symptom.text
    named = INSPECTORS.search(text)
    service = case.flow.service
    if named is None:
        return (
            Finding(
                id="tls-inspection",
                grade="unknown",
                owner="isp",
                summary=(
                    f"whether {service.host}'s own certificate is refused or one that somebody in "
                    "between made is not known; this would settle it: openssl s_client -connect "
                    f"{service.host}:{service.port} -showcerts from {case.flow.ap}, and again "
                    "from elsewhere: compare the issuers"
                ),
                evidence=case.symptom.cites,
                flow=case.up.report.key,
            ),
        )
    return (
        Finding(
            id="tls-inspection",
            grade="likely",
            owner=case.gateway_owner,
            summary=(
                f"the certificate that {case.flow.ap} gets for {service.host} names "
                f"'{named.group(0)}': something in between terminates TLS, and a mutual handshake "
                "cannot pass it"
            ),
            evidence=case.symptom.cites,
            flow=case.up.report.key,
        ),
    )


def duplicate_address(case: Case) -> Outcome:
    """N9: two devices answer for one address.

    Observables: the hardware address that the gateway has for the AP's address, against the AP's
    own; the same for the gateway as the AP sees it. Shared virtual addresses of router pairs do
    not count. Discriminator: independent of any size. Source: RFC 5227; catalogue N9.
    """
    pairs = (
        (case.gateway, case.ap, case.flow.sender.address),
        (case.ap, case.gateway, _lan_address(case)),
    )
    wrong: list[Evidence] = []
    right = False
    for viewer, owner, address in pairs:
        entry = _entry(viewer, address)
        own = _own_macs(owner)
        if viewer is None or owner is None or entry is None or not own:
            continue
        if entry.mac in own:
            right = True
        elif not entry.mac.startswith(_SHARED):
            text = (
                f"{viewer.host} has {entry.mac} for {address}, which {owner.host} holds as "
                f"{', '.join(sorted(own))}"
            )
            source = source_of(viewer.neighbours, viewer.host)
            wrong.append(cite("neighbour", source, text, line=entry.line))
    if not wrong:
        because = "both ends know each other by their own hardware addresses"
        return (RuledOut(id="duplicate-address", because=because),) if right else ()
    grade: Grade = "likely" if case.symptom.state == "failing" else "possible"
    return (
        Finding(
            id="duplicate-address",
            grade=grade,
            owner=case.ap_owner,
            summary=f"two devices answer for one address: {wrong[0].value}",
            evidence=unique(wrong, case.symptom.cites),
            flow=case.up.report.key,
        ),
    )


def _lan_address(case: Case) -> str | None:
    addresses = (value_or_none(case.gateway.addresses) or ()) if case.gateway is not None else ()
    own = [a for a in addresses if a.interface == case.flow.lan and a.family == case.family]
    return own[0].address if len(own) == 1 else None


def _entry(viewer: DeviceFacts | None, address: str | None) -> Neighbour | None:
    entries = (value_or_none(viewer.neighbours) or ()) if viewer is not None else ()
    if address is None:
        return None
    return next((n for n in entries if n.mac and same_address(n.address, address)), None)


def _own_macs(owner: DeviceFacts | None) -> frozenset[str]:
    links = (value_or_none(owner.interfaces) or ()) if owner is not None else ()
    return frozenset(link.mac.lower() for link in links if link.mac and link.kind != "loopback")


def asymmetric_state(case: Case) -> Outcome:
    """N9: the answer comes back, and a firewall of ours does not let it in.

    Observables: the SYN-ACK on the WAN side of the gateway and never on its LAN side, while SYNs
    are seen at both; or the SYN-ACK comes back by another interface than the SYN left by.
    Discriminator from N1: the far end does answer. Source: catalogue N9 (reasoned).
    """
    seen = case.wire.syn_ack_points
    outside = "gateway-wan" in seen
    inside = bool(case.wire.watched("ap", "gateway-lan"))
    came_in = bool(seen & {"ap", "gateway-lan"})
    if came_in and outside:
        return (RuledOut(id="asymmetric-state", because="SYN-ACKs pass the gateway"),)
    if not outside or not inside or came_in or case.wire.syns_sent < _TRIES:
        return ()
    walked = case.up.walk
    dropped = walked is not None and walked.dropped == "yes" and bool(walked.dropped_by)
    by = f": {walked.dropped_by} drops it" if walked is not None and dropped else ""
    return (
        Finding(
            id="asymmetric-state",
            grade="confirmed" if dropped else "likely",
            owner=case.gateway_owner,
            summary=(
                f"{case.flow.service.host} answers {case.flow.ap}'s SYN, the SYN-ACK reaches "
                f"{case.flow.gateway} {case.flow.egress or ''} and never {case.flow.ap}{by}"
            ),
            evidence=unique(case.wire.syn_cites, case.wire.mss_cites, case.symptom.cites),
            flow=case.up.report.key,
        ),
    )
