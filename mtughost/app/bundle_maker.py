"""One bundle in the making: redact, diagnose what is left, write the ticket, look once more."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mtughost import __version__
from mtughost.app.pdf import page_to_pdf
from mtughost.app.project import Project
from mtughost.app.repairs import repairs_of
from mtughost.app.stored import StoredSite, evidence_of_stored
from mtughost.collect.basis import basis_of
from mtughost.content.load import load_runbook
from mtughost.content.root import ContentRoot
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import derive_flows
from mtughost.diagnose.site import diagnose_site
from mtughost.evidence.bundle import MemberSet, add_record, answer_path, handed_in_path
from mtughost.evidence.exchange import exchange_of
from mtughost.evidence.manifest import MANIFEST_SCHEMA, Manifest, Replaced
from mtughost.evidence.profiles import Recipient
from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.evidence.redact import Name, Redactor, Suspicion
from mtughost.evidence.site_redaction import (
    SiteRecord,
    names_of,
    other_names,
    redact_record,
    service_addresses,
)
from mtughost.model.basis import Known
from mtughost.model.errors import ContentError, EvidenceError
from mtughost.model.findings import AuditReport, Evidence, SiteReport
from mtughost.report.citations import Sources
from mtughost.report.json_report import audit_to_text
from mtughost.report.ticket import Excerpt, Exchange, Ticket, TicketInput, make_ticket
from mtughost.report.ticket_html import TICKET_TEMPLATES, render_ticket
from mtughost.report.ticket_markdown import ticket_to_markdown
from mtughost.store import StoredRun

_TOOL = f"mtughost {__version__}"
_FIGURE = re.compile(r"(?<![\w.])\d{3,4}(?![\w.])")
#: Lines shown before and after the one that proves something: an object of JSON begins there.
_BEFORE, _AFTER = 2, 8


class SuspiciousValuesError(EvidenceError):
    """Values that may be secrets stop a bundle until somebody has looked.

    Attributes:
        suspicions: Where they stand.
    """

    def __init__(self, suspicions: tuple[Suspicion, ...]) -> None:
        """List the first of them."""
        self.suspicions = suspicions
        shown = "; ".join(
            f"{item.where} line {item.line}: {item.shown} ({item.digest})"
            for item in suspicions[:8]
        )
        super().__init__(
            f"{len(suspicions)} values look like secrets and nobody has looked at them: {shown}",
            todo="Look at each, then repeat with --looked-at DIGEST for the harmless ones",
        )


def ids_of(report: SiteReport) -> tuple[str, ...]:
    """Return what two diagnoses of the same evidence must agree on."""
    return tuple(f"{item.id} {item.grade}" for item in report.findings)


def evidence_of_record(content: ContentRoot, record: SiteRecord) -> SiteEvidence:
    """Return a record's evidence, derived anew."""
    stored = StoredSite(
        site=record.site,
        hosts=record.hosts,
        captures=record.captures,
        probes=record.probes,
        far_ends=record.far_ends,
        handed_in=record.handed_in,
    )
    return evidence_of_stored(stored, content)


@dataclass(slots=True)
class BundleMaker:
    """Makes one bundle. Short-lived.

    Attributes:
        key: The project's redaction key.
        looked_at: Digests of suspicious values that a person found harmless.
        pdf: The page as PDF, too.
    """

    project: Project
    recipient: Recipient
    run: StoredRun
    stored: StoredSite
    now_utc: str
    key: bytes
    looked_at: frozenset[str]
    pdf: bool = False
    members: MemberSet = field(default_factory=MemberSet.empty)

    def make(self) -> tuple[MemberSet, Manifest]:
        """Return the members and the manifest that lists them.

        Raises:
            SuspiciousValuesError: something may be a secret.
            EvidenceError: a known secret would have been left, a capture cannot be redacted, or
                the redacted evidence would say something else than the original.
        """
        original = evidence_of_stored(self.stored, self.project.content)
        record = SiteRecord(
            site=self.stored.site,
            hosts=self.stored.hosts,
            captures=self.stored.captures,
            probes=self.stored.probes,
            far_ends=_own_far_ends(self.stored, original),
            handed_in=self.stored.handed_in,
        )
        redactor = self._redactor(original, record)
        redactor.learn(record.texts(), own_secrets=_own_secrets(self.stored))
        redacted = redact_record(record, redactor)
        if redactor.suspicions:
            raise SuspiciousValuesError(tuple(redactor.suspicions))
        evidence = evidence_of_record(self.project.content, redacted)
        report = diagnose_site(evidence)
        expected = diagnose_site(original)
        if (report.verdict, ids_of(report)) != (expected.verdict, ids_of(expected)):
            raise EvidenceError(
                f"redacted, the evidence says {report.verdict} {ids_of(report)} instead of "
                f"{expected.verdict} {ids_of(expected)}",
                todo="This is a bug of ours: please report it; nothing was written",
            )
        if self.recipient.raw:
            add_record(self.members, redacted, _bases(redacted))
        ticket = make_ticket(self._ticket_input(redacted, evidence, report))
        self._add_reports(ticket, report, redacted)
        self._last_look(redactor)
        return self.members, self._manifest(report, redactor, ticket, redacted)

    def _redactor(self, evidence: SiteEvidence, record: SiteRecord) -> Redactor:
        kept = service_addresses(self.stored.site)
        if self.recipient.keeps_wan:
            kept |= _wan_addresses(evidence)
        names = [*names_of(self.stored.site), *other_names(record), *_serials(evidence)]
        return Redactor(
            Pseudonyms(self.key),
            keep=self.recipient.keeps,
            names=tuple(names),
            kept_values=kept,
            harmless=self.looked_at,
        )

    def _ticket_input(
        self, record: SiteRecord, evidence: SiteEvidence, report: SiteReport
    ) -> TicketInput:
        meta = self.run.info.meta
        return TicketInput(
            site=record.site,
            report=report,
            facts=evidence.facts,
            captures=evidence.captures,
            recipient=self.recipient.name,
            recipient_title=self.recipient.title,
            acts_on=self.recipient.acts_on,
            runbooks=_runbooks(self.project.content, report),
            created_utc=self.now_utc,
            read_utc=meta.started_utc,
            run_id=self.run.info.run_id,
            tool=_TOOL,
            excerpts=tuple(_excerpts(record, report, raw=self.recipient.raw)),
            exchange=self._exchange(record, evidence),
            sources=self._sources(),
            repairs=repairs_of(evidence, report),
            gaps=tuple(_gaps(self.run, record)),
        )

    def _sources(self) -> Sources:
        answers: dict[tuple[str, str], str] = {}
        captures: dict[tuple[str, str], tuple[str, ...]] = {}
        for member in self.members.members:
            asked = (member.host, member.command)
            if member.kind == "answer":
                answers[asked] = member.path
            elif member.kind == "handed-in" and member.command:
                answers.setdefault(asked, member.path)
            elif member.kind == "capture" and member.host:
                captures[asked] = (*captures.get(asked, ()), member.path)
        return Sources(answers=answers, captures=captures)

    def _exchange(self, record: SiteRecord, evidence: SiteEvidence) -> Exchange | None:
        """Return the failing connection as the point nearest to the access point shows it."""
        paths = {m.sha256: m.path for m in self.members.members if m.kind == "capture"}
        for stored, seen in zip(record.captures, evidence.captures, strict=True):
            found = exchange_of(stored.pcap, seen, paths.get(stored.sha256, ""))
            if found is not None:
                return found
        return None

    def _add_reports(self, ticket: Ticket, report: SiteReport, record: SiteRecord) -> None:
        content = self.project.content
        templates = {
            name: content.text(content.file("templates", "report", name))
            for name in TICKET_TEMPLATES
        }
        audit = AuditReport(
            run_id=self.run.info.run_id,
            started_utc=self.run.info.meta.started_utc,
            tool=_TOOL,
            content_digest=content.digest,
            hosts=tuple(host.status for host in record.hosts),
            sites=(report,),
        )
        self.members.add("report.html", render_ticket(ticket, templates).encode(), "report")
        if self.pdf:
            paper = render_ticket(ticket, templates, for_paper=True)
            self.members.add("report.pdf", page_to_pdf(paper), "report")
        self.members.add("report.md", ticket_to_markdown(ticket).encode(), "report")
        self.members.add("report.json", audit_to_text(audit).encode(), "audit")

    def _last_look(self, redactor: Redactor) -> None:
        for path, data in self.members.contents.items():
            if not path.endswith((".pcap", ".pdf")) and redactor.leftover(
                data.decode("utf-8", "replace")
            ):
                raise EvidenceError(
                    f"{path} would still hold a secret",
                    todo="This is a bug of ours: please report it; nothing was written",
                )

    def _manifest(
        self, report: SiteReport, redactor: Redactor, ticket: Ticket, record: SiteRecord
    ) -> Manifest:
        return Manifest(
            schema=MANIFEST_SCHEMA,
            created_utc=self.now_utc,
            tool=_TOOL,
            content_digest=self.project.content.digest,
            run_id=self.run.info.run_id,
            site=record.site.name,
            recipient=self.recipient.name,
            verdict=report.verdict,
            findings=ids_of(report),
            kept_real=tuple(sorted(self.recipient.keeps)),
            replaced=tuple(
                Replaced(kind=kind, number=number)
                for kind, number in sorted(redactor.counts.items())
            ),
            gaps=ticket.gaps,
            members=tuple(sorted(self.members.members, key=lambda member: member.path)),
        )


def _own_far_ends(stored: StoredSite, evidence: SiteEvidence) -> tuple[Mapping[str, object], ...]:
    """Return only the far ends that this site uses: the others are nobody's business."""
    servers = {flow.server for flow in derive_flows(evidence).flows}
    return tuple(item for item in stored.far_ends if item["server"] in servers)


def _wan_addresses(evidence: SiteEvidence) -> frozenset[str]:
    """Return the gateways' addresses towards the provider."""
    found = set()
    for facts in evidence.with_role("gateway"):
        device = evidence.device(facts.host)
        wan = set(device.wan if device else ())
        if isinstance(facts.routes, Known):
            wan |= {r.interface for r in facts.routes.value if r.destination == "default"}
        if isinstance(facts.addresses, Known):
            found |= {a.address for a in facts.addresses.value if a.interface in wan}
    return frozenset(text for text in found if not ipaddress.ip_address(text).is_link_local)


def _serials(evidence: SiteEvidence) -> Iterable[Name]:
    for facts in evidence.facts:
        if isinstance(facts.identity, Known):
            identity = facts.identity.value
            if identity.serial:
                yield Name(kind="serial", value=identity.serial)
            if identity.hostname and identity.hostname != "localhost":
                yield Name(kind="host", value=identity.hostname)


def _own_secrets(stored: StoredSite) -> Iterable[str]:
    """Yield the passwords that the run itself used, where they can still be resolved."""
    for device in stored.site.devices:
        reference = device.credential.password_ref
        if reference.startswith("env:"):
            yield os.environ.get(reference.removeprefix("env:"), "")


def _bases(redacted: SiteRecord) -> Mapping[str, str]:
    return {device.name: basis_of(device) for device in redacted.site.devices}


def _runbooks(content: ContentRoot, report: SiteReport) -> dict[str, str]:
    found = {}
    for finding in report.findings:
        try:
            found[finding.id] = load_runbook(content, finding.id)
        except ContentError:
            continue
    return found


def _excerpts(record: SiteRecord, report: SiteReport, *, raw: bool) -> Iterable[Excerpt]:
    """Yield the lines around those that prove something; what touches becomes one."""
    marked: dict[tuple[str, str], dict[int, Evidence]] = {}
    for finding in report.findings:
        for item in finding.evidence:
            if item.line and item.command:
                marked.setdefault((item.host, item.command), {}).setdefault(item.line, item)
    for (host, command), by_line in marked.items():
        found = _answer(record, host, command)
        if found is None:
            continue
        member, text = found
        lines = text.rstrip("\n").split("\n")
        for group in _touching(sorted(by_line)):
            first, last = max(1, group[0] - _BEFORE), min(len(lines), group[-1] + _AFTER)
            yield Excerpt(
                title=", ".join(dict.fromkeys(by_line[line].kind for line in group)),
                host=host,
                command=command,
                member=member if raw else "",
                lines=tuple((n, lines[n - 1]) for n in range(first, last + 1)),
                proving=frozenset(_proving(lines, by_line[line]) for line in group),
            )


def _touching(numbers: list[int]) -> Iterable[list[int]]:
    """Split sorted line numbers where their surroundings do not touch."""
    group: list[int] = []
    for number in numbers:
        if group and number - group[-1] > _BEFORE + _AFTER:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _proving(lines: list[str], item: Evidence) -> int:
    """Return the line that holds the figure: what is cited may be the object that it stands in."""
    at = item.line or 1
    figures = _FIGURE.findall(item.value)
    near = range(at, min(len(lines), at + _AFTER) + 1)
    return next(
        (n for n in near if any(figure in _FIGURE.findall(lines[n - 1]) for figure in figures)), at
    )


def _answer(record: SiteRecord, host: str, command: str) -> tuple[str, str] | None:
    """Return path and text of an answer; handed-in output where the device was not read itself."""
    for visited in record.hosts:
        if visited.status.host != host:
            continue
        for number, answer in enumerate(visited.answers, start=1):
            if answer.line == command:
                return answer_path(host, number, answer), answer.text
    for number, item in reversed(list(enumerate(record.handed_in, start=1))):
        if (item.host, item.line) == (host, command) and item.command_id:
            return handed_in_path(number, item), item.text
    return None


def _gaps(run: StoredRun, record: SiteRecord) -> Iterable[str]:
    for item in record.handed_in:
        what = f"the output of {item.line!r}" if item.command_id else "that "
        what += "" if item.command_id else f"{item.told_key} is {item.told_value}"
        yield f"Not read over a login, but handed in: {item.host}, {what} ({item.note})."
    if run.info.state != "complete":
        yield f"The run was {run.info.state}: what came after is missing."
    for host in record.hosts:
        if host.status.status != "ok":
            yield f"{host.status.host} was not read: {host.status.error}"
        cut = [answer for answer in host.answers if answer.status not in {"complete", "rejected"}]
        for answer in cut:
            yield f"{host.status.host}: the answer to {answer.line!r} is {answer.status}."
        refused = [answer.line for answer in host.answers if answer.status == "rejected"]
        if refused:
            yield f"{host.status.host} refused {', '.join(map(repr, refused))}."
