"""Why does a working service work: because packets fit, because ICMP does its job, or by luck?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtughost.diagnose.case import Case
from mtughost.diagnose.coverage import Proof, after_gateway, before_gateway, rewritten
from mtughost.diagnose.evidence import cite, source_of
from mtughost.diagnose.wire import USUAL_MSS, Seen, went_on
from mtughost.model.basis import value_or_none
from mtughost.model.findings import Evidence

Why = Literal["fits", "discovery", "luck", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Why one direction of a working service works.

    Attributes:
        why: ``fits``: proven for any far end. ``discovery``: path MTU discovery was seen at work.
            ``luck``: only as long as something outside our hands stays as it is.
        text: The reason in words, without a final full stop.
        cites: What it rests on.
        seen_on_wire: For ``luck``: whether packets or live sessions show it.
    """

    why: Why
    text: str
    cites: tuple[Evidence, ...] = ()
    seen_on_wire: bool = False


def health(case: Case, proof: Proof) -> Health:
    """Explain one direction of a service that works."""
    if proof.covered:
        return Health(why="fits", text=proof.report.proof)
    if discovery_signs(case) and (proof.direction == "up" or case.up.covered is not True):
        return _discovery(case, proof)
    small = _small_far_end(case, proof)
    if small is not None:
        return small
    return _up(case, proof) if proof.direction == "up" else _down(case, proof)


def _discovery(case: Case, proof: Proof) -> Health:
    if proof.direction == "up":
        text = f"{case.flow.ap} learned the path MTU"
    else:
        # The handshake needed the far end's full-size flight: discovery there, or fragments that
        # the far end chose to allow, brought it here.
        text = "the service's full-size packets arrive where ICMP is seen to work"
    return Health(why="discovery", text=text)


def far_end_mss(case: Case) -> int | None:
    """Return the MSS that the far end itself asked for, where no clamp of ours can have cut it."""
    proof = case.up
    before = before_gateway(proof)
    if before is not None:
        return before
    after = after_gateway(proof)
    walked = proof.walk
    if after is None or rewritten(proof) or walked is None or walked.unreadable:
        return None
    # Behind the gateway the value is the far end's own only if no rule could have lowered it.
    return after if walked.low_bytes == walked.start_bytes else None


def _small_far_end(case: Case, proof: Proof) -> Health | None:
    """The far end's small MSS speaks of a small MTU there, which limits both directions."""
    far, needed = far_end_mss(case), proof.needed_mss_bytes
    usual = USUAL_MSS[case.family]
    if far is None or needed is None or far > needed or far >= usual:
        return None
    if proof.covered is None and proof.by_config is None:
        return None
    text = f"the far end itself asks for MSS {far}, which fits by chance; {usual} would not"
    return Health(
        why="luck",
        text=text,
        cites=(*case.syn_cites("SYN-ACK"), *session_cites(case)),
        seen_on_wire=True,
    )


def _up(case: Case, proof: Proof) -> Health:
    if case.sends_df is False:
        if proof.covered is None:
            return Health(why="unknown", text=proof.report.proof)
        seen = case.wire.fragments_up > 0
        text = f"{case.flow.ap} clears DF, and the fragments of its large packets happen to pass"
        return Health(why="luck", text=text, cites=_df_cites(case), seen_on_wire=seen)
    return Health(why="unknown", text=proof.report.proof)


def _down(case: Case, proof: Proof) -> Health:
    if proof.covered is False and case.wire.fragments_down > 0:
        text = "the service's large packets arrive as fragments that happen to pass"
        return Health(why="luck", text=text, cites=_fragment_cites(case), seen_on_wire=True)
    return Health(why="unknown", text=proof.report.proof)


def discovery_signs(case: Case) -> tuple[str, ...]:
    """Say what shows that path MTU discovery works from the AP towards the service.

    A kernel that clears DF never discovers; what it has in its cache then came from somebody's
    ping (facts/lab.md, "DF and PMTU-cache traps").
    """
    if case.sends_df is False:
        return ()
    return (
        *_kept_in_cache(case),
        *_believed_by_session(case),
        *_recovered_by_session(case),
        *(_resent(seen) for seen in case.wire.flows if _resent_and_acked(seen)),
    )


def _resent(seen: Seen) -> str:
    before, after = seen.flow.resent_smaller_up_bytes or (0, 0)
    return f"packets of {before} bytes were sent again as {after} and acknowledged"


def discovery_text(case: Case) -> str:
    """Say that path MTU discovery works here, and what shows it."""
    signs = discovery_signs(case)
    by = f": {signs[0]}" if signs else ""
    return f"path MTU discovery does its job on this path{by}"


def _resent_and_acked(seen: Seen) -> bool:
    flow = seen.flow
    if flow.resent_smaller_up_bytes is None or flow.largest_acked_up_bytes is None:
        return False
    return went_on(flow) and flow.smallest_lost_up_bytes is None


def _kept_in_cache(case: Case) -> tuple[str, ...]:
    learned, own = case.flow.sender.learned_mtu_bytes, case.flow.sender.limit_bytes
    ceiling = case.up.path.ceiling_bytes
    if case.ap is None or learned is None or own is None or ceiling is None:
        return ()
    if not ceiling <= learned < own:
        return ()
    return (f"{case.flow.ap} keeps a learned path MTU of {learned} for {case.flow.server}",)


def _believed_by_session(case: Case) -> tuple[str, ...]:
    own = case.flow.sender.limit_bytes
    return tuple(
        f"{case.flow.ap}'s live connection believes in a path MTU of {s.path_mtu_bytes}"
        for s in case.wire.sessions
        if own is not None
        and s.state == "ESTAB"
        and s.path_mtu_bytes is not None
        and s.path_mtu_bytes < own
        and s.unacked_segments == 0
    )


def _recovered_by_session(case: Case) -> tuple[str, ...]:
    """Name connections that can only have got over their large packets by discovery.

    What the kernel learned it forgets after ten minutes, also for live connections. What stays is
    the count of retransmissions: a mutual handshake that was offered the usual MSS, over a path
    that is narrower, with DF set, and everything acknowledged in the end.
    """
    settings = value_or_none(case.ap.icmp) if case.ap is not None else None
    offered = case.wire.session_syn_ack
    if settings is None or offered is None:
        return ()
    if settings.mtu_probing is not False or case.sends_df is not True:
        return ()
    if case.flow.service.tls != "mutual" or offered < USUAL_MSS[case.family]:
        return ()
    if case.up.covered is not False or case.symptom.state != "working":
        return ()
    return tuple(
        f"{case.flow.ap}'s live connection sent {s.retransmits_total} segments again and has "
        "everything acknowledged, with DF set and an offered MSS above the path's"
        for s in case.wire.sessions
        if s.state == "ESTAB" and s.retransmits_total > 0 and s.unacked_segments == 0
    )


def session_cites(case: Case) -> tuple[Evidence, ...]:
    """Quote the MSS that the AP's live connection was offered."""
    source, value = case.wire.session_source, case.wire.session_syn_ack
    if source is None or value is None:
        return ()
    text = f"{case.flow.ap}'s live connection was offered MSS {value}"
    return (cite("session", source, text),)


def _df_cites(case: Case) -> tuple[Evidence, ...]:
    if case.ap is None:
        return ()
    text = f"{case.flow.ap} sends TCP with DF clear"
    return (cite("df", source_of(case.ap.icmp, case.flow.ap), text), *_fragment_cites(case))


def _fragment_cites(case: Case) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            kind="fragments",
            basis=c.basis,
            host=c.host,
            value=f"{c.fragments_up} fragments up and {c.fragments_down} down at {c.point}",
            command=c.command,
        )
        for c in case.wire.at("gateway-wan")
        if c.fragments_up or c.fragments_down
    )
