"""The coverage proof as it would come out after a change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mtughost.diagnose import coverage
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.model.basis import NOT_COLLECTED, Known
from mtughost.model.clamps import Ruleset
from mtughost.model.device import DeviceFacts
from mtughost.model.evidence import CaptureEvidence
from mtughost.model.findings import FlowReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesetChange:
    """The device's packet filter becomes this one."""

    host: str
    ruleset: Ruleset


@dataclass(frozen=True, slots=True, kw_only=True)
class MtuChange:
    """One interface gets another MTU."""

    host: str
    interface: str
    mtu_bytes: int


Change = RulesetChange | MtuChange


def simulate_change(evidence: SiteEvidence, change: Change) -> SiteEvidence:
    """Return the evidence as it would be after a change.

    What was seen of handshakes before the change says nothing about later ones and is left out;
    what was learned about the path (brackets, ICMP, pings) stays.

    Raises:
        ValueError: the host was not read, so nothing can be simulated on it.
    """
    facts = evidence.facts_of(change.host)
    if facts is None:
        msg = f"{change.host} was not read, so no change of it can be simulated"
        raise ValueError(msg)
    changed = (
        _with_ruleset(facts, change.ruleset)
        if isinstance(change, RulesetChange)
        else _with_mtu(facts, change)
    )
    return without_handshakes(evidence.with_facts(changed))


def prove_coverage(evidence: SiteEvidence) -> tuple[FlowReport, ...]:
    """Prove coverage by configuration and path alone, for comparing before with after."""
    return coverage.prove_coverage(without_handshakes(evidence))


def without_handshakes(evidence: SiteEvidence) -> SiteEvidence:
    """Leave out what handshakes and live connections showed; keep what is known of the path."""
    return replace(
        evidence,
        facts=tuple(replace(f, sessions=NOT_COLLECTED) for f in evidence.facts),
        captures=tuple(_path_only(c) for c in evidence.captures),
    )


def _path_only(capture: CaptureEvidence) -> CaptureEvidence:
    flows = tuple(replace(f, syn_mss_bytes=None, syn_ack_mss_bytes=None) for f in capture.flows)
    return replace(capture, syns=(), flows=flows)


def _with_ruleset(facts: DeviceFacts, ruleset: Ruleset) -> DeviceFacts:
    if not isinstance(facts.clamps, Known):
        return facts
    return replace(facts, clamps=Known(ruleset, facts.clamps.source))


def _with_mtu(facts: DeviceFacts, change: MtuChange) -> DeviceFacts:
    if not isinstance(facts.interfaces, Known):
        return facts
    links = tuple(
        replace(link, mtu_bytes=change.mtu_bytes) if link.name == change.interface else link
        for link in facts.interfaces.value
    )
    return replace(facts, interfaces=Known(links, facts.interfaces.source))
