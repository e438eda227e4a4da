"""RADIUS and CAPWAP beside RADsec: fragments of UDP, the leg behind a proxy, a data tunnel.

No MSS limits UDP: a clamp neither causes nor repairs these.
"""

from __future__ import annotations

import re
from typing import Final

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.evidence import cite, seen
from mtughost.diagnose.net import same_address
from mtughost.diagnose.wording import counted
from mtughost.model.basis import Known
from mtughost.model.evidence import CaptureEvidence, RadiusSeen
from mtughost.model.findings import Evidence, Finding, Grade, RuledOut

_NO_ANSWER: Final = re.compile(
    r"radius.*(?:no (?:reply|response)|not respond|dead|unreachable|timed? ?out)"
    r"|(?:no (?:reply|response)|timed? ?out).*(?:radius|home server|authentication server)",
    re.IGNORECASE,
)
_At = tuple[CaptureEvidence, RadiusSeen]
_CAPWAP: Final = re.compile(r"\bcapwap\b", re.IGNORECASE)


def radius_fragments_dropped(case: Case) -> Outcome:
    """M19: RADIUS over UDP loses its second fragment, so EAP-TLS dies at the client's certificate.

    Observables: requests that came as fragments, were repeated and never answered, while requests
    in one packet are answered; a first fragment whose rest never comes by. Discriminator from a
    dead server: small requests are answered. Two points, or a missing rest beside the missing
    answer, confirm it; what is whole at one point of ours and not at the next is lost by us.
    Source: catalogue M19; facts/captures.md.
    """
    seen_at = [(c, r) for c in case.wire.captures for r in c.radius if _is_mine(case, c, r)]
    bad = [(c, r) for c, r in seen_at if r.unanswered_fragmented and not r.unanswered_whole]
    if not bad:
        if any(r.fragmented and not r.unanswered_fragmented for _, r in seen_at):
            because = "fragmented RADIUS requests are answered"
            return (RuledOut(id="radius-fragments-dropped", because=because),)
        return _asks(case, "radius-fragments-dropped", _NO_ANSWER, _RADIUS_TEST)
    radius = next((r for _, r in bad if r.answered), bad[0][1])
    by_us = _lost_inside(bad)
    return (
        Finding(
            id="radius-fragments-dropped",
            grade=_fragment_grade(bad),
            owner=case.gateway_owner if by_us else "isp",
            summary=(
                f"{counted(radius.unanswered_fragmented, 'RADIUS request')} of {radius.client} to "
                f"{radius.server} that needed fragments got no answer, smaller ones "
                f"{'did' if radius.answered else 'were not seen'}: fragments are lost"
                f"{f' in {case.flow.gateway}' if by_us else ''}"
            ),
            evidence=unique(_radius_cites(bad)),
            flow=case.up.report.key,
        ),
    )


def _is_mine(case: Case, capture: CaptureEvidence, radius: RadiusSeen) -> bool:
    """Say whether the AP is the client; on the WAN its address is hidden behind the gateway's."""
    own = case.flow.sender.address
    return capture.point == "gateway-wan" or own is None or same_address(radius.client, own)


def _fragment_grade(bad: list[_At]) -> Grade:
    answered = any(r.answered for _, r in bad)
    torn = any(r.missing_fragments for _, r in bad)
    if not answered:
        # Without any answer it may be the server; a missing rest says that it is not only that.
        return "likely" if torn else "possible"
    return "confirmed" if torn or len({c.point for c, _ in bad}) > 1 else "likely"


def _lost_inside(bad: list[_At]) -> bool:
    """Say whether datagrams are whole on the gateway's inside and torn on its WAN."""
    whole = any(c.point != "gateway-wan" and not r.missing_fragments for c, r in bad)
    return whole and any(c.point == "gateway-wan" and r.missing_fragments for c, r in bad)


def _radius_cites(found: list[_At]) -> list[Evidence]:
    return [
        seen(
            "radius",
            capture,
            f"{counted(radius.unanswered_fragmented, 'fragmented request')} unanswered, "
            f"{radius.answered} of {radius.requests} answered{_torn(radius)}, at {capture.point}",
            next(iter(radius.missing_fragments or radius.frames), None),
        )
        for capture, radius in found
    ]


def _torn(radius: RadiusSeen) -> str:
    count = len(radius.missing_fragments)
    return f", {counted(count, 'first fragment')} without the rest" if count else ""


def radsec_proxy_leg(case: Case) -> Outcome:
    """M20: RADsec is healthy, and the UDP leg behind the proxy loses large answers.

    Observables: TLS up and everything acknowledged, and the words "no reply" about RADIUS.
    Discriminator: only a capture *behind* the proxy tells, and nobody of us can take one:
    ``unknown``, with that capture as the next test. Source: catalogue M20 (radsecproxy issue 80).
    """
    healthy = any(s.state == "ESTAB" and not s.unacked_segments for s in case.wire.sessions)
    if case.symptom.size_proven or not healthy:
        return ()
    return _asks(case, "radsec-proxy-leg", _NO_ANSWER, _PROXY_TEST)


def capwap_path(case: Case) -> Outcome:
    """M21: the CAPWAP data path carries less than its control path.

    Observables: joins succeed and client data fails; path MTU discovery ran on the control channel
    only. Neither is collected from Linux devices: words about CAPWAP make it ``unknown``, with the
    AP's own figures as the next test. Source: catalogue M21; Cisco CSCvm76689.
    """
    return _asks(case, "capwap-path", _CAPWAP, _CAPWAP_TEST)


_RADIUS_TEST = (
    "capture UDP ports 1812 and 1813 and all IP fragments on the gateway's WAN while a client logs "
    "in with a certificate"
)
_PROXY_TEST = "capture UDP port 1812 behind the RADsec proxy while a client logs in"
_CAPWAP_TEST = "show the AP's CAPWAP path MTU (show capwap client rcb) and ping at that size"


def _asks(case: Case, finding_id: str, words: re.Pattern[str], test: str) -> Outcome:
    """Abstain, and name the next test, where the device's words give a reason to suspect it."""
    if case.symptom.state != "failing":
        return ()
    cites = _words(case, words)
    if not cites:
        return ()
    return (
        Finding(
            id=finding_id,
            grade="unknown",
            owner="isp",
            summary=f"{case.flow.ap} says: {cites[0].value}; this would settle it: {test}",
            evidence=cites,
            flow=case.up.report.key,
        ),
    )


def _words(case: Case, words: re.Pattern[str]) -> tuple[Evidence, ...]:
    facts = case.ap
    if facts is None:
        return ()
    found: list[Evidence] = []
    if isinstance(facts.push_log, Known):
        found += [
            cite("push-log", facts.push_log.source, f.text, line=f.line, command=f.command or None)
            for f in facts.push_log.value
            if words.search(f.text)
        ]
    if isinstance(facts.cloud, Known):
        found += [
            cite("cloud", facts.cloud.source, s.last_error)
            for s in facts.cloud.value
            if words.search(s.last_error)
        ]
    return tuple(found[-1:])
