"""An audit as JSON (schema ``mtughost/audit/v1``) and back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from mtughost.model.errors import ContentError
from mtughost.model.findings import (
    AuditReport,
    Contrast,
    Evidence,
    Finding,
    FixHint,
    FleetView,
    FlowKey,
    FlowReport,
    HostStatus,
    InstalledClamp,
    MssSeen,
    MssView,
    MtuView,
    NextTest,
    RuledOut,
    SiteReport,
)
from mtughost.model.packed import Packed, pack, unpack
from mtughost.report.safe_text import encodable
from mtughost.report.words import VERDICT_ORDER

if TYPE_CHECKING:
    from mtughost.report.json_models import (
        EvidenceJson,
        FindingJson,
        FleetJson,
        FlowJson,
        FlowKeyJson,
        InstalledJson,
        SiteJson,
    )

_CONTRAST_FIGURES: Final = (
    "failing", "passing", "others_failing", "others_passing", "chance", "tests",
)  # fmt: skip
SCHEMA_ID: Final = "mtughost/audit/v1"
#: Where the JSON Schema lies inside the package (for ``importlib.resources`` at the edge).
SCHEMA_RESOURCE = ("report", "schemas", "audit-v1.schema.json")

Json = dict[str, Any]


def audit_to_dict(report: AuditReport) -> Json:
    """Return the audit as plain JSON values, schema ``mtughost/audit/v1``.

    Device text stays as it was read, except lone surrogates, which no UTF-8 file can hold.
    """
    out = _rest_to_dict(report)
    out["sites"] = [site_to_dict(site) for site in report.sites]
    return out


def stored_document(report: AuditReport) -> Json:
    """Return the same for the run store: its ``sites`` are made one by one, and once only."""
    out = _rest_to_dict(report)
    out["sites"] = map(site_to_dict, report.sites)
    return out


def _rest_to_dict(report: AuditReport) -> Json:
    out: Json = {
        "schema": SCHEMA_ID,
        "run_id": encodable(report.run_id),
        "started_utc": encodable(report.started_utc),
        "tool": encodable(report.tool),
        "content_digest": encodable(report.content_digest),
        "hosts": [_host(host) for host in report.hosts],
        "sites": [],
        "counts": counts_of(report),
    }
    if report.fleet is not None:
        out["fleet"] = {
            "contrasts": [_contrast(item) for item in report.fleet.contrasts],
            "judged": report.fleet.judged,
            "unknown": report.fleet.unknown,
        }
    return out


def _contrast(item: Contrast) -> Json:
    named = {"feature": encodable(item.feature), "value": encodable(item.value)}
    return named | {name: getattr(item, name) for name in _CONTRAST_FIGURES}


def audit_to_text(report: AuditReport) -> str:
    """Return the audit as JSON text that is also inert on a terminal: pure ASCII, no controls."""
    # ensure_ascii escapes DEL and C1 too; C0 is always escaped.
    return "".join(audit_pieces(report, ensure_ascii=True))


def audit_pieces(report: AuditReport, *, ensure_ascii: bool = False) -> Iterator[str]:
    """Yield the audit as JSON text, piece by piece: one site's at a time is in memory.

    Args:
        report: The audit.
        ensure_ascii: Whether everything beyond ASCII is escaped.
    """
    out = _rest_to_dict(report)
    out["sites"] = _OneByOne(report.sites)
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=2)
    pieces = encoder.iterencode(out)
    while block := "".join(islice(pieces, _PIECES)):
        yield block
    yield "\n"


#: The encoder yields single brackets and words: so many are joined.
_PIECES: Final = 2000


class _OneByOne(list[Json]):
    """A list for the JSON encoder, which takes nothing else, that makes its items as it goes."""

    def __init__(self, sites: Sequence[SiteReport]) -> None:
        super().__init__()
        self._sites = sites

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[Json]:
        return map(site_to_dict, self._sites)


def counts_of(report: AuditReport) -> Json:
    """Return the totals of an audit; asked is always ok + failed + skipped."""
    hosts = Counter(host.status for host in report.hosts)
    verdicts: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    for site in report.sites:
        verdicts[site.verdict] += 1
        findings.update(finding.id for finding in site.findings)
    return {
        "hosts": {
            "asked": len(report.hosts),
            "ok": hosts["ok"],
            "failed": hosts["failed"],
            "skipped": hosts["skipped"],
        },
        "sites": {verdict: verdicts[verdict] for verdict in VERDICT_ORDER},
        "findings": dict(sorted(findings.items())),
    }


def site_to_dict(site: SiteReport) -> Json:
    """Return one site of the audit as plain JSON values."""
    out: Json = {
        "site": encodable(site.site),
        "verdict": site.verdict,
        "flows": [_flow(flow) for flow in site.flows],
        "findings": [_finding(finding) for finding in site.findings],
        "ruled_out": [
            {"id": encodable(item.id), "because": encodable(item.because)}
            for item in site.ruled_out
        ],
        "notes": [encodable(note) for note in site.notes],
    }
    if site.next_test is not None:
        out["next_test"] = {
            "kind": encodable(site.next_test.kind),
            "host": encodable(site.next_test.host),
            "summary": encodable(site.next_test.summary),
        }
        if site.next_test.question:
            out["next_test"]["question"] = encodable(site.next_test.question)
    if site.isp:
        out["isp"] = encodable(site.isp)
    return out


def _host(host: HostStatus) -> Json:
    out: Json = {
        "host": encodable(host.host),
        "site": encodable(host.site),
        "role": encodable(host.role),
        "status": host.status,
    }
    if host.error:
        out["error"] = encodable(host.error)
    if host.error_kind:
        out["error_kind"] = encodable(host.error_kind)
    return out


def _key(key: FlowKey) -> Json:
    return {
        "service": encodable(key.service),
        "ap": encodable(key.ap),
        "gateway": encodable(key.gateway),
        "egress": encodable(key.egress),
        "family": key.family,
        "direction": key.direction,
    }


def _flow(flow: FlowReport) -> Json:
    seen, mtu = flow.mss.observed, flow.mtu
    return _key(flow.key) | {
        "mtu": {"ap": mtu.ap, "vlan": mtu.vlan, "wan": mtu.wan, "tunnel": mtu.tunnel},
        "mss": {
            "configured": flow.mss.configured,
            "installed": [_installed(rule) for rule in flow.mss.installed],
            "observed": {"ap": seen.ap, "lan": seen.lan, "wan": seen.wan},
            "needed": flow.mss.needed,
        },
        "path_mtu": flow.path_mtu,
        "covered": flow.covered,
        "proof": encodable(flow.proof),
    }


def _installed(rule: InstalledClamp) -> Json:
    out: Json = {
        "rule": encodable(rule.rule),
        "text": encodable(rule.text),
        "value": rule.value,
        "packets": rule.packets,
        "covers": rule.covers,
        "because": encodable(rule.because),
    }
    if rule.line is not None:
        out["line"] = rule.line
    return out


def _evidence(item: Evidence) -> Json:
    out: Json = {"kind": encodable(item.kind), "basis": item.basis, "host": encodable(item.host)}
    if item.command is not None:
        out["command"] = encodable(item.command)
    if item.line is not None:
        out["line"] = item.line
    if item.frame is not None:
        out["frame"] = item.frame
    out["value"] = encodable(item.value)
    return out


def _finding(finding: Finding) -> Json:
    out: Json = {
        "id": encodable(finding.id),
        "grade": finding.grade,
        "owner": finding.owner,
        "summary": encodable(finding.summary),
        "evidence": [_evidence(item) for item in finding.evidence],
    }
    if finding.flow is not None:
        out["flow"] = _key(finding.flow)
    if finding.fix is not None:
        out["fix"] = _fix(finding.fix)
    return out


def _fix(fix: FixHint) -> Json:
    out: Json = {"change": encodable(fix.change), "summary": encodable(fix.summary)}
    if fix.host:
        out["host"] = encodable(fix.host)
    if fix.value_bytes is not None:
        out["value_bytes"] = fix.value_bytes
    return out


def audit_from_dict(data: Mapping[str, Any], *, path: str = "audit") -> AuditReport:
    """Return the audit that :func:`audit_to_dict` wrote.

    Args:
        data: Parsed JSON.
        path: Where it came from, for the error.

    Raises:
        ContentError: it is not ``mtughost/audit/v1``; names the first wrong key.
    """
    from mtughost.report.json_models import AuditJson, SiteJson  # noqa: PLC0415  # not to write

    where = ""
    sites = data.get("sites")
    one_by_one = sites if isinstance(sites, Sequence) and not isinstance(sites, str) else None
    found: list[bytes] = []
    try:
        audit = AuditJson.model_validate(data if one_by_one is None else {**data, "sites": []})
        for number, site in enumerate(one_by_one or ()):
            where = f"sites.{number}."
            found.append(pack(_site_back(SiteJson.model_validate(site))))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ContentError(
            f"is not {SCHEMA_ID}: {first['msg']}",
            path=path,
            key=where + ".".join(str(part) for part in first["loc"]),
            todo="Write it again with 'mtughost audit --json', or use a run id",
        ) from error
    return AuditReport(
        run_id=audit.run_id,
        started_utc=audit.started_utc,
        tool=audit.tool,
        content_digest=audit.content_digest,
        hosts=tuple(
            HostStatus(
                host=host.host,
                site=host.site,
                role=host.role,
                status=host.status,
                error=host.error,
                error_kind=host.error_kind,
            )
            for host in audit.hosts
        ),
        sites=Packed(found, unpack),
        fleet=_fleet_back(audit.fleet) if audit.fleet else None,
    )


def _fleet_back(fleet: FleetJson) -> FleetView:
    contrasts = tuple(Contrast(**item.model_dump()) for item in fleet.contrasts)
    return FleetView(contrasts=contrasts, judged=fleet.judged, unknown=fleet.unknown)


def _site_back(site: SiteJson) -> SiteReport:
    test = site.next_test
    return SiteReport(
        site=site.site,
        verdict=site.verdict,
        flows=tuple(_flow_back(flow) for flow in site.flows),
        findings=tuple(_finding_back(finding) for finding in site.findings),
        ruled_out=tuple(RuledOut(id=item.id, because=item.because) for item in site.ruled_out),
        next_test=(
            NextTest(kind=test.kind, host=test.host, summary=test.summary, question=test.question)
            if test
            else None
        ),
        notes=tuple(site.notes),
        isp=site.isp,
    )


def _key_back(key: FlowKeyJson) -> FlowKey:
    return FlowKey(
        service=key.service,
        ap=key.ap,
        gateway=key.gateway,
        egress=key.egress,
        family=key.family,
        direction=key.direction,
    )


def _flow_back(flow: FlowJson) -> FlowReport:
    mtu, seen = flow.mtu, flow.mss.observed
    return FlowReport(
        key=_key_back(flow),
        mtu=MtuView(ap=mtu.ap, vlan=mtu.vlan, wan=mtu.wan, tunnel=mtu.tunnel),
        mss=MssView(
            configured=flow.mss.configured,
            installed=tuple(_installed_back(rule) for rule in flow.mss.installed),
            observed=MssSeen(ap=seen.ap, lan=seen.lan, wan=seen.wan),
            needed=flow.mss.needed,
        ),
        path_mtu=flow.path_mtu,
        covered=flow.covered,
        proof=flow.proof,
    )


def _installed_back(rule: InstalledJson) -> InstalledClamp:
    return InstalledClamp(
        rule=rule.rule,
        text=rule.text,
        value=rule.value,
        packets=rule.packets,
        covers=rule.covers,
        because=rule.because,
        line=rule.line,
    )


def _evidence_back(item: EvidenceJson) -> Evidence:
    return Evidence(
        kind=item.kind,
        basis=item.basis,
        host=item.host,
        value=item.value,
        command=item.command,
        line=item.line,
        frame=item.frame,
    )


def _finding_back(finding: FindingJson) -> Finding:
    fix = finding.fix
    return Finding(
        id=finding.id,
        grade=finding.grade,
        owner=finding.owner,
        summary=finding.summary,
        evidence=tuple(_evidence_back(item) for item in finding.evidence),
        flow=_key_back(finding.flow) if finding.flow else None,
        fix=(
            FixHint(
                change=fix.change,
                summary=fix.summary,
                host=fix.host,
                value_bytes=fix.value_bytes,
            )
            if fix
            else None
        ),
    )
