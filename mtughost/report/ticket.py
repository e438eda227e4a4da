"""A ticket for one recipient: what fails, whose it is, the line that proves it, what is asked for.

Everything on it is taken from the report and the facts; where something is not known, it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mtughost.model.basis import Basis, Known
from mtughost.model.device import DeviceFacts
from mtughost.model.evidence import CaptureEvidence, FlowSeen
from mtughost.model.findings import Finding, Owner, SiteReport
from mtughost.model.inventory import Site
from mtughost.report.citations import (
    NO_SOURCES,
    Citation,
    Sources,
    citation_of,
    citations_of,
)
from mtughost.report.comparison import Comparison
from mtughost.report.explain import explain_site
from mtughost.report.runbook_parts import heading_of, section_of
from mtughost.report.summary import headline_of, paths_of, proof_of, sentence_of
from mtughost.report.words import (
    DIRECTION_WORDS,
    FAMILY_WORDS,
    GRADE_ORDER,
    LIMITED_BY,
    OWNER_MEANING,
    VERDICT_MEANING,
    count_of,
    figure,
)

_TOLD: Final[frozenset[Basis]] = frozenset({"told"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Lines of a raw answer around the one that proves something.

    Attributes:
        member: Path of the answer inside the bundle, ``""`` where raw answers are not handed over.
        lines: Number and text.
        proving: Numbers of the lines that prove something.
    """

    title: str
    host: str
    command: str
    member: str
    lines: tuple[tuple[int, str], ...]
    proving: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeStep:
    """One packet of the failing connection, for the sequence picture.

    Attributes:
        at_s: Seconds since the first.
        up: From the client to the server.
        wire_bytes: IP packet size plus 14 bytes of Ethernet header, as analysers count.
        words: What it is.
        bad: Whether it is part of the failure (sent again, a gap, fragment, ICMP, reset).
        lost: Data that the other side never acknowledged.
        skipped: How many packets of the connection before it are not shown.
    """

    frame: int
    at_s: float
    up: bool
    wire_bytes: int
    words: str
    bad: bool
    lost: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The failing connection as one capture shows it."""

    member: str
    host: str
    point: str
    client: str
    server: str
    display_filter: str
    steps: tuple[ExchangeStep, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A change that would repair the site.

    Attributes:
        proofs: The coverage proof with the change, one sentence for each flow.
    """

    title: str
    summary: str
    proofs: tuple[str, ...]
    blast_radius: str
    risk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketInput:
    """What a ticket is made from.

    Attributes:
        acts_on: Owners whose findings the recipient must act on.
        runbooks: Text by finding id.
        created_utc: When the ticket is made.
        read_utc: When the site was read.
        sources: Which file of the bundle holds what was read.
        repairs: What would repair it, with proofs.
        in_short: For a reader who decides and checks no packets: no lists of evidence.
        comparison: With the look before the repair, once it is repaired.
    """

    site: Site
    report: SiteReport
    facts: tuple[DeviceFacts, ...]
    captures: tuple[CaptureEvidence, ...]
    recipient: str
    recipient_title: str
    acts_on: frozenset[Owner]
    runbooks: Mapping[str, str]
    created_utc: str
    read_utc: str
    run_id: str
    tool: str
    excerpts: tuple[Excerpt, ...] = ()
    exchange: Exchange | None = None
    gaps: tuple[str, ...] = ()
    sources: Sources = NO_SOURCES
    repairs: tuple[Repair, ...] = ()
    in_short: bool = False
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFinding:
    """One finding as the recipient reads it."""

    finding: Finding
    owner: str
    for_you: bool
    proof: Citation | None
    evidence: tuple[Citation, ...]
    number_of_claims: int
    asked: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Everything on the page, in order."""

    title: str
    lead: str
    findings: tuple[TicketFinding, ...]
    environment: tuple[tuple[str, str], ...]
    chain: tuple[str, ...]
    timeline: tuple[tuple[str, str], ...]
    ways: tuple[str, ...]
    ruled_out: tuple[tuple[str, str], ...]
    reproduce: tuple[str, ...]
    sources: tuple[str, ...]
    gaps: tuple[str, ...]
    source: TicketInput

    @property
    def nothing_asked(self) -> str:
        """Why nothing is asked of the recipient, where nothing is."""
        if self.findings:
            return "Nothing: the findings below are for others, this is for your information."
        if self.source.comparison is not None:
            return "Nothing: it is repaired, this is for your information."
        return "Nothing: no fault was found, this is for your information."

    @property
    def for_several(self) -> bool:
        """Whether what is asked goes to several owners, who must be named then."""
        return len({item.owner for item in self.own}) > 1

    @property
    def own(self) -> tuple[TicketFinding, ...]:
        """The findings that the recipient must act on."""
        return tuple(item for item in self.findings if item.for_you)


def make_ticket(source: TicketInput) -> Ticket:
    """Put a ticket together."""
    told = [finding for finding in source.report.findings if finding.grade != "ruled-out"]
    findings = tuple(sorted((_finding(source, item) for item in told), key=_first_for_them))
    # The recipient's own finding names the page, not somebody else's.
    top = findings[0].finding if findings else headline_of(source.report)
    lead = findings[0].finding.summary if findings else sentence_of(source.report)
    # What it is comes before where: the runbook's own heading, in words.
    heading = heading_of(source.runbooks.get(top.id, "")) if top else ""
    what = heading or VERDICT_MEANING[source.report.verdict]
    if source.comparison is not None:
        what = "repaired" + (
            f", was: {source.comparison.finding}" if source.comparison.finding else ""
        )
    title = f"{source.site.name}: {what}"
    return Ticket(
        title=title,
        lead=lead,
        findings=findings,
        environment=tuple(_environment(source)),
        chain=tuple(_chain(source)),
        timeline=tuple(sorted(_timeline(source))),
        ways=tuple(_ways(source.report)),
        ruled_out=tuple((item.id, item.because) for item in source.report.ruled_out),
        reproduce=tuple(_reproduce(source)),
        sources=tuple(_sources(source, findings)),
        gaps=tuple(_gaps(source, findings)),
        source=source,
    )


def _first_for_them(item: TicketFinding) -> tuple[bool, int]:
    return not item.for_you, GRADE_ORDER.index(item.finding.grade)


def _finding(source: TicketInput, finding: Finding) -> TicketFinding:
    proof = proof_of(finding)
    for_you = finding.owner in source.acts_on
    whole = for_you and not source.in_short
    runbook = source.runbooks.get(finding.id, "")
    filled = explain_site(runbook, source.report, finding.id) if runbook else ""
    return TicketFinding(
        finding=finding,
        owner=OWNER_MEANING[finding.owner],
        for_you=for_you,
        proof=citation_of(proof, source.sources) if proof else None,
        # Whoever must act checks every claim; others see what proves it, and the rest is in JSON.
        evidence=citations_of(finding.evidence, source.sources) if whole else (),
        number_of_claims=len(finding.evidence),
        asked=section_of(filled, "Ask"),
        fix=finding.fix.summary if finding.fix else section_of(filled, "Fix"),
    )


def _environment(source: TicketInput) -> Iterable[tuple[str, str]]:
    info = source.site.info
    for name, value in (
        ("Site", source.site.name),
        ("Internet provider", info.isp),
        ("Circuit", info.circuit),
        ("Modem", info.modem),
        ("Time zone", info.timezone),
        ("Ticket", info.ticket),
    ):
        if value:
            yield name, value
    for device in source.site.devices:
        facts = next((item for item in source.facts if item.host == device.name), None)
        yield f"{device.role} {device.name}", _device_words(facts, device.platform)
        for service in device.services:
            yield (
                f"Service {service.name}",
                f"{service.host} port {service.port}, TLS {service.tls}",
            )


def _device_words(facts: DeviceFacts | None, platform: str) -> str:
    if facts is None:
        return f"{platform}, not read"
    if not isinstance(facts.identity, Known):
        return f"{platform}, its model and firmware are not known"
    identity = facts.identity.value
    said = (identity.model, identity.os_name, identity.os_version)
    words = " ".join(part for part in said if part)
    return f"{words}, serial {identity.serial}" if identity.serial else words


def _chain(source: TicketInput) -> Iterable[str]:
    """Yield the chain from what people notice down to its cause, each link a fact that was read."""
    for facts in source.facts:
        for state in facts.cloud.value if isinstance(facts.cloud, Known) else ():
            if state.connected is False:
                words = f": {state.last_error}" if state.last_error else ""
                yield f"{facts.host} reports that {state.service} is not connected{words}"
    for capture in source.captures:
        stalls = [stall for flow in capture.flows if (stall := _stall(flow))]
        if stalls:
            rest = count_of(len(stalls) - 1, "more connection")
            more = f", and the same on {rest}" if len(stalls) > 1 else ""
            yield f"At {capture.host} ({capture.point}), {stalls[0]}{more}"
    for flow_report in source.report.flows:
        if flow_report.covered is False:
            yield f"{DIRECTION_WORDS[flow_report.key.direction]}: {flow_report.proof}"


def _stall(flow: FlowSeen) -> str:
    frames = f" (frames {', '.join(map(str, flow.frames[:6]))})" if flow.frames else ""
    if flow.smallest_lost_up_bytes:
        return (
            f"client packets of {flow.smallest_lost_up_bytes} bytes were sent "
            f"{flow.retransmits_up + 1} times and never acknowledged, while "
            f"{flow.largest_acked_up_bytes or 0} bytes got through; TLS stands at "
            f"{flow.tls_stage}{frames}"
        )
    if flow.smallest_lost_down_bytes:
        return (
            f"server packets of {flow.smallest_lost_down_bytes} bytes never arrived; TLS stands "
            f"at {flow.tls_stage}{frames}"
        )
    return ""


def _timeline(source: TicketInput) -> Iterable[tuple[str, str]]:
    yield source.read_utc, "the site was read (clock of the tool)"
    for facts in source.facts:
        for state in facts.cloud.value if isinstance(facts.cloud, Known) else ():
            if state.last_change_utc:
                state_words = "connected" if state.connected else "not connected"
                words = f"{facts.host}: {state.service} {state_words} since (clock of the device)"
                yield state.last_change_utc, words
    if source.comparison is not None:
        yield source.comparison.before_utc, "the site was read before the repair"
        for change in source.comparison.changes:
            yield change.when_utc, f"{change.device}: the change was confirmed"
    if source.created_utc != source.read_utc:
        yield source.created_utc, "this ticket was made"


def _ways(report: SiteReport) -> Iterable[str]:
    for view in paths_of(report):
        for flow in (view.up, view.down):
            if flow is None:
                continue
            seen = flow.mss.observed
            yield (
                f"{DIRECTION_WORDS[flow.key.direction]}, {FAMILY_WORDS[flow.key.family]}: "
                f"{LIMITED_BY[flow.key.direction]} with MSS {figure(seen.ap)} at the AP, "
                f"{figure(seen.lan)} at the LAN side, {figure(seen.wan)} at the WAN side; "
                f"{figure(flow.mss.needed)} fits; AP {figure(flow.mtu.ap)}, "
                f"VLAN {figure(flow.mtu.vlan)}, WAN {figure(flow.mtu.wan)}, "
                f"path {figure(flow.path_mtu)}"
            )


def _reproduce(source: TicketInput) -> Iterable[str]:
    """Yield what the recipient can do with their own tools."""
    top = headline_of(source.report)
    path = next(iter(paths_of(source.report)), None)
    if path is None or top is None:
        return
    services = [s for device in source.site.devices for s in device.services]
    service = next((s for s in services if s.name == path.service), None)
    port = service.port if service else 443
    yield (
        f"Capture at the AP's port and at the WAN: tcpdump -n -s 200 'tcp port {port} or "
        "icmp[icmptype] = icmp-unreach or ip[6:2] & 0x3fff != 0'"
    )
    if source.exchange is not None:
        yield f"Wireshark display filter: {source.exchange.display_filter}"
    yield "Compare tcp.options.mss_val in the SYN and the SYN-ACK at both points."
    if path.path_mtu is not None and service is not None:
        yield (
            f"From the AP's VLAN: ping -M do -s {path.path_mtu - 28} {service.host} is answered "
            f"(where the far end answers pings), -s {path.path_mtu - 27} is not"
        )


def _sources(source: TicketInput, findings: Iterable[TicketFinding]) -> Iterable[str]:
    seen: dict[str, None] = {}
    for item in findings:
        text = section_of(source.runbooks.get(item.finding.id, ""), "Sources")
        # Our own catalogue is nothing that a recipient could look up.
        parts = (part.strip(" .") for part in text.split(";"))
        seen["; ".join(p for p in parts if p and not p.startswith("catalogue"))] = None
    return [text for text in seen if text]


def _gaps(source: TicketInput, findings: Iterable[TicketFinding]) -> Iterable[str]:
    """Yield what is missing, only told, or unsettled, so that nobody has to find out."""
    yield from source.gaps
    if not source.captures:
        yield "There is no capture: what is said about the wire rests on probes and configuration."
    for capture in source.captures:
        if capture.truncated:
            where = f"{capture.host} {capture.interface}"
            yield f"The capture at {where} ends in the middle of a packet."
        yield from (f"{capture.host} {capture.interface}: {text}" for text in capture.warnings)
    for item in findings:
        if item.finding.grade in {"likely", "possible", "unknown"}:
            yield f"{item.finding.id} is {item.finding.grade}, not confirmed."
        for evidence in item.finding.evidence:
            if evidence.basis in _TOLD:
                yield f"Only told, not measured: {evidence.value}"
    if source.report.next_test is not None:
        yield f"What would settle the rest: {source.report.next_test.summary}"
