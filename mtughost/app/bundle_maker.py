"""One bundle in the making: redact, diagnose what is left, write the ticket, look once more."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mtughost import __version__
from mtughost.app.before_after import Earlier
from mtughost.app.pdf import page_to_pdf
from mtughost.app.project import Project
from mtughost.app.repairs import repairs_of
from mtughost.app.stored import StoredSite, evidence_of_stored
from mtughost.app.ticket_parts import excerpts_of, gaps_of, runbooks_of
from mtughost.collect.basis import basis_of
from mtughost.content.root import ContentRoot
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import derive_flows
from mtughost.diagnose.site import diagnose_site
from mtughost.evidence.bundle import MemberSet, add_record
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
from mtughost.model.errors import EvidenceError
from mtughost.model.findings import AuditReport, SiteReport
from mtughost.report.citations import Sources
from mtughost.report.comparison import Comparison, ConfirmedChange, Look, compare
from mtughost.report.json_report import audit_to_text
from mtughost.report.ticket import Exchange, Ticket, TicketInput, make_ticket
from mtughost.report.ticket_html import TICKET_TEMPLATES, render_ticket
from mtughost.report.ticket_markdown import ticket_to_markdown
from mtughost.store import RunInfo, StoredRun
from mtughost.store.bodies import Body

_TOOL = f"mtughost {__version__}"


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
        earlier: The look before a repair, to be compared with.
    """

    project: Project
    recipient: Recipient
    run: StoredRun
    stored: StoredSite
    now_utc: str
    key: bytes
    looked_at: frozenset[str]
    pdf: bool = False
    earlier: Earlier | None = None
    members: MemberSet = field(default_factory=MemberSet.empty)

    def make(self) -> tuple[MemberSet, Manifest]:
        """Return the members and the manifest that lists them.

        Raises:
            SuspiciousValuesError: something may be a secret.
            EvidenceError: a known secret would have been left, a capture cannot be redacted, or
                the redacted evidence would say something else than the original.
        """
        looks = [self.stored, *([self.earlier.stored] if self.earlier else ())]
        originals = [evidence_of_stored(stored, self.project.content) for stored in looks]
        records = [_record(*pair) for pair in zip(looks, originals, strict=True)]
        redactor = self._redactor(originals, records)
        redactor.learn(
            (text for record in records for text in record.texts()),
            own_secrets=_own_secrets(self.stored),
        )
        now, *before = [
            self._redacted(record, original, redactor)
            for record, original in zip(records, originals, strict=True)
        ]
        if redactor.suspicions:
            raise SuspiciousValuesError(tuple(redactor.suspicions))
        if self.recipient.raw:
            add_record(self.members, now.record, _bases(now.record))
            for look in before:
                add_record(self.members, look.record, _bases(look.record), under="before/")
        comparison = self._comparison(now, before[0], redactor) if before else None
        ticket = make_ticket(replace(self._ticket_input(now), comparison=comparison))
        self._add_reports(ticket, now.report, now.record)
        self._last_look(redactor)
        return self.members, self._manifest(now.report, redactor, ticket, now.record)

    def _redacted(
        self, record: SiteRecord, original: SiteEvidence, redactor: Redactor
    ) -> _Redacted:
        redacted = redact_record(record, redactor)
        evidence = evidence_of_record(self.project.content, redacted)
        report, expected = diagnose_site(evidence), diagnose_site(original)
        # What stops the bundle anyway may also be what changed the verdict.
        same = (report.verdict, ids_of(report)) == (expected.verdict, ids_of(expected))
        if not same and not redactor.suspicions:
            raise EvidenceError(
                f"redacted, the evidence says {report.verdict} {ids_of(report)} instead of "
                f"{expected.verdict} {ids_of(expected)}",
                todo="This is a bug of ours: please report it; nothing was written",
            )
        return _Redacted(record=redacted, evidence=evidence, report=report)

    def _comparison(self, now: _Redacted, before: _Redacted, redactor: Redactor) -> Comparison:
        earlier = self.earlier
        if earlier is None:  # pragma: no cover - only called with one
            raise AssertionError
        changes = (
            ConfirmedChange(
                when_utc=change.when_utc,
                device=str(redactor.value(change.device, where="changes")),
                summary=redactor.text(change.summary, where="changes"),
                diff=redactor.text(change.diff, where="changes"),
            )
            for change in earlier.changes
        )
        return compare(_look(earlier.run, before), _look(self.run.info, now), changes)

    def _redactor(self, looks: Iterable[SiteEvidence], records: Iterable[SiteRecord]) -> Redactor:
        kept = service_addresses(self.stored.site)
        names = [*names_of(self.stored.site)]
        for evidence in looks:
            names += _serials(evidence)
            kept |= _wan_addresses(evidence) if self.recipient.keeps_wan else frozenset()
        for record in records:
            names += other_names(record)
        return Redactor(
            Pseudonyms(self.key),
            keep=self.recipient.keeps,
            names=tuple(names),
            kept_values=kept,
            harmless=self.looked_at,
        )

    def _ticket_input(self, now: _Redacted) -> TicketInput:
        record, evidence, report = now.record, now.evidence, now.report
        meta = self.run.info.meta
        return TicketInput(
            site=record.site,
            report=report,
            facts=evidence.facts,
            captures=evidence.captures,
            recipient=self.recipient.name,
            recipient_title=self.recipient.title,
            acts_on=self.recipient.acts_on,
            runbooks=runbooks_of(self.project.content, report),
            created_utc=self.now_utc,
            read_utc=meta.started_utc,
            run_id=self.run.info.run_id,
            tool=_TOOL,
            excerpts=tuple(excerpts_of(record, self._of_theirs(report)))
            if self.recipient.raw
            else (),
            in_short=not self.recipient.raw,
            exchange=self._exchange(now),
            sources=self._sources(),
            repairs=repairs_of(evidence, report),
            gaps=tuple(gaps_of(self.run, record)),
        )

    def _of_theirs(self, report: SiteReport) -> SiteReport:
        """Return the report with the findings that the recipient must act on, if there are any."""
        own = tuple(f for f in report.findings if f.owner in self.recipient.acts_on)
        return replace(report, findings=own) if own else report

    def _sources(self) -> Sources:
        answers: dict[tuple[str, str], str] = {}
        captures: dict[tuple[str, str], tuple[str, ...]] = {}
        for member in self.members.members:
            asked = (member.host, member.command)
            if member.path.startswith("before/"):
                continue
            if member.kind == "answer":
                answers[asked] = member.path
            elif member.kind == "handed-in" and member.command:
                answers.setdefault(asked, member.path)
            elif member.kind == "capture" and member.host:
                captures[asked] = (*captures.get(asked, ()), member.path)
        return Sources(answers=answers, captures=captures)

    def _exchange(self, now: _Redacted) -> Exchange | None:
        """Return the failing connection as the recipient's own side shows it, where it does."""
        if not self.recipient.raw:
            return None
        record, evidence, report = now.record, now.evidence, now.report
        paths = {m.sha256: m.path for m in self.members.members if m.kind == "capture"}
        looks = list(zip(record.captures, evidence.captures, strict=True))
        if any(finding.owner in self.recipient.acts_on for finding in report.findings):
            looks.sort(key=lambda look: look[0].point != self.recipient.side)
        for stored, seen in looks:
            found = exchange_of(stored.open(), seen, paths.get(stored.sha256, ""))
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
            # Captures hold no text any more, and a PDF the same words as the page.
            if isinstance(data, Body) or path.endswith(".pdf"):
                continue
            if redactor.leftover(data.decode("utf-8", "replace")):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Redacted:
    """One look at the site, as the recipient gets it."""

    record: SiteRecord
    evidence: SiteEvidence
    report: SiteReport


def _look(run: RunInfo, seen: _Redacted) -> Look:
    return Look(
        read_utc=run.meta.started_utc,
        run_id=run.run_id,
        report=seen.report,
        facts=seen.evidence.facts,
        captures=seen.evidence.captures,
    )


def _record(stored: StoredSite, evidence: SiteEvidence) -> SiteRecord:
    return SiteRecord(
        site=stored.site,
        hosts=stored.hosts,
        captures=stored.captures,
        probes=stored.probes,
        far_ends=_own_far_ends(stored, evidence),
        handed_in=stored.handed_in,
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
        for reference in (device.credential.password_ref, device.credential.enable_ref):
            if reference.startswith("env:"):
                yield os.environ.get(reference.removeprefix("env:"), "")


def _bases(redacted: SiteRecord) -> Mapping[str, str]:
    return {device.name: basis_of(device) for device in redacted.site.devices}
