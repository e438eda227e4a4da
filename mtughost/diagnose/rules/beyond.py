"""What happens beyond our own devices: messages that get lost, an MSS that is rewritten."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.coverage import before_gateway
from mtughost.diagnose.net import same_address
from mtughost.diagnose.wire import TooBig
from mtughost.diagnose.wording import counted
from mtughost.model.findings import Finding, FixHint, RuledOut


def ptb_misdelivered(case: Case) -> Outcome:
    """M17: "too big" leaves our site towards the cloud and the right server never gets it.

    Observables: the message on our WAN side on its way out, and the service sending the same size
    again afterwards. Discriminator from M13: it was sent. From M14: it is about packets that reach
    us. A filter and an anycast or ECMP misdelivery look the same from here: never more than
    ``likely``. Source: catalogue M17; Cloudflare pmtud.
    """
    sent = [t for t in case.wire.too_big_down if t.capture.point == "gateway-wan"]
    if not sent:
        return ()
    again = [
        s
        for s in case.wire.flows
        if s.flow.stalled_down_bytes is not None
        and s.flow.retransmits_down > 1
        and s.flow.resent_smaller_down_bytes is None
        and s.flow.stalled_down_bytes > min(t.message.next_hop_mtu_bytes for t in sent)
    ]
    if not again:
        obeyed = [s for s in case.wire.flows if s.flow.resent_smaller_down_bytes is not None]
        because = "the service makes its packets smaller after it was told"
        return (RuledOut(id="ptb-misdelivered", because=because),) if obeyed else ()
    mtu = min(t.message.next_hop_mtu_bytes for t in sent)
    return (
        Finding(
            id="ptb-misdelivered",
            grade="likely" if case.symptom.state == "failing" else "possible",
            owner="cloud",
            summary=(
                f"{counted(len(sent), 'ICMP message')} about an MTU of {mtu} left "
                f"{_where(case, sent)} towards {case.flow.service.host}, which goes on sending "
                "larger packets: they reach another server, or are filtered there"
            ),
            evidence=unique(
                (t.cite() for t in sent),
                (
                    s.cite(
                        "stall",
                        f"packets of {s.flow.stalled_down_bytes} bytes come again "
                        f"{s.flow.retransmits_down} times, at {s.capture.point}",
                        "down",
                    )
                    for s in again
                ),
                case.symptom.cites,
            ),
            flow=case.down.report.key,
            fix=FixHint(
                change="clamp-missing",
                summary=f"Clamp the MSS to {mtu} less the headers, so that nobody must be told",
                host=case.flow.gateway if case.gateway is not None else "",
                value_bytes=case.down.needed_mss_bytes,
            ),
        ),
    )


def _where(case: Case, sent: list[TooBig]) -> str:
    own = case.flow.wan_address
    ours = own is not None and any(same_address(t.message.reporter, own) for t in sent)
    return case.flow.gateway if ours else "the site"


def mss_rewritten_upstream(case: Case) -> Outcome:
    """M27: somebody beyond our gateway changes the MSS.

    Observables: the SYN-ACK's MSS on our WAN side here, against what the same far end offers
    other sites. A server that keeps a path MTU of this site in its cache offers less by itself
    (failure-modes B, remark f), so never more than ``possible``; mostly benign. Source: catalogue
    M27.
    """
    before = before_gateway(case.up)
    if before is None:
        return ()
    peers = [
        p
        for p in case.evidence.far_ends
        if p.port == case.flow.service.port
        and p.family == case.family
        and case.flow.server is not None
        and same_address(p.server, case.flow.server)
    ]
    most = max(peers, key=lambda p: p.mss_bytes, default=None)
    if most is None:
        return ()
    if most.mss_bytes <= before:
        because = f"the far end offers MSS {before} here, and no more at {most.site}"
        return (RuledOut(id="mss-rewritten-upstream", because=because),)
    return (
        Finding(
            id="mss-rewritten-upstream",
            grade="possible",
            owner="isp",
            summary=(
                f"{case.flow.service.host} offers MSS {most.mss_bytes} at {most.site} and "
                f"{before} here: somebody between rewrites it, or the server remembers a smaller "
                "path to this site"
            ),
            evidence=case.syn_cites("SYN-ACK"),
            flow=case.up.report.key,
        ),
    )
