"""An audit for other programs: CSV, JUnit XML, and metrics for Prometheus' textfile collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from mtughost.model.findings import AuditReport, SiteReport, SiteVerdict
from mtughost.report.safe_text import csv_line, inert
from mtughost.report.summary import by_urgency, not_read, summarise
from mtughost.report.words import VERDICT_MEANING, VERDICT_ORDER

_CSV_COLUMNS: Final = (
    "site",
    "verdict",
    "finding",
    "grade",
    "must_act",
    "sentence",
    "other_findings",
    "wan_mtu_bytes",
    "vlan_mtu_bytes",
    "clamp",
    "mss_up_bytes",
    "mss_down_bytes",
    "path_mtu_bytes",
    "next_test",
    "run_id",
    "started_utc",
)
_FAILING: Final[tuple[SiteVerdict, ...]] = ("fault", "latent", "not-mtu")


def audit_to_csv(report: AuditReport) -> str:
    """Return one line per site, the ones that need a person first (RFC 4180)."""
    return csv_line(_CSV_COLUMNS) + "".join(_csv_row(report, site) for site in by_urgency(report))


def _csv_row(report: AuditReport, site: SiteReport) -> str:
    row = summarise(site)
    top = row.headline
    others = [item.id for item in site.findings if item is not top and item.grade != "ruled-out"]
    return csv_line(
        [
            site.site,
            site.verdict,
            top.id if top else "",
            top.grade if top else "",
            top.owner if top else "",
            row.sentence,
            " ".join(others),
            row.wan_mtu,
            row.vlan_mtu,
            row.clamp,
            row.mss_up,
            row.mss_down,
            row.path_mtu,
            site.next_test.summary if site.next_test else "",
            report.run_id,
            report.started_utc,
        ]
    )


def audit_to_junit(report: AuditReport) -> str:
    """Return JUnit XML: a test case per site, and one per device that was not read.

    ``fault``, ``latent`` and ``not-mtu`` fail, ``unknown`` is skipped with its reason: a CI system
    that counts skipped as passed is told so by the number of skipped cases.
    """
    missing = not_read(report)
    verdicts = Counter(site.verdict for site in report.sites)
    suite = Element(
        "testsuite",
        name="mtughost audit",
        timestamp=inert(report.started_utc),
        tests=str(len(report.sites) + len(missing)),
        failures=str(sum(verdicts[verdict] for verdict in _FAILING)),
        errors=str(len(missing)),
        skipped=str(verdicts["unknown"]),
    )
    for site in by_urgency(report):
        case = SubElement(suite, "testcase", classname="site", name=inert(site.site))
        sentence = inert(summarise(site).sentence)
        if site.verdict in _FAILING:
            fault = SubElement(case, "failure", type=site.verdict, message=sentence)
            fault.text = "\n".join(
                inert(f"{item.id} ({item.grade}, {item.owner}): {item.summary}")
                for item in site.findings
            )
        elif site.verdict == "unknown":
            SubElement(case, "skipped", message=sentence)
    for host in missing:
        case = SubElement(suite, "testcase", classname="device", name=inert(host.host))
        SubElement(
            case, "error", type=inert(host.error_kind or host.status), message=inert(host.error)
        )
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suite, encoding="unicode") + "\n"


def audit_to_metrics(report: AuditReport) -> str:
    """Return metrics in the text format of Prometheus; OpenMetrics readers take it too.

    ``mtughost_site_verdict`` has one sample per site and verdict, 1 for the one it has, so that an
    alert can be written without knowing the sites.
    """
    lines: list[str] = []
    verdicts = Counter(site.verdict for site in report.sites)
    hosts = Counter(host.status for host in report.hosts)
    lines += _gauge("mtughost_run_start_timestamp_seconds", "When the audit began.")
    lines.append(f"mtughost_run_start_timestamp_seconds {_seconds(report.started_utc)}")
    lines += _gauge("mtughost_sites", "Sites by verdict.")
    for verdict in VERDICT_ORDER:
        labels = _labels(verdict=verdict, meaning=VERDICT_MEANING[verdict])
        lines.append(f"mtughost_sites{labels} {verdicts[verdict]}")
    lines += _gauge("mtughost_devices", "Devices by how their visit ended.")
    for status in ("ok", "failed", "skipped"):
        lines.append(f"mtughost_devices{_labels(status=status)} {hosts[status]}")
    lines += _gauge("mtughost_site_verdict", "1 for the verdict that a site has.")
    for site in sorted(report.sites, key=lambda item: item.site):
        for verdict in VERDICT_ORDER:
            value = int(site.verdict == verdict)
            labels = _labels(site=site.site, verdict=verdict)
            lines.append(f"mtughost_site_verdict{labels} {value}")
    lines += _gauge("mtughost_finding", "1 for every finding of a site.")
    found = {
        _labels(site=site.site, finding=item.id, grade=item.grade, owner=item.owner)
        for site in report.sites
        for item in site.findings
    }
    lines += [f"mtughost_finding{labels} 1" for labels in sorted(found)]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _gauge(name: str, text: str) -> Iterable[str]:
    return (f"# HELP {name} {text}", f"# TYPE {name} gauge")


def _labels(**values: str) -> str:
    def quoted(value: str) -> str:
        return inert(value).replace("\\", "\\\\").replace('"', '\\"')

    return "{" + ",".join(f'{name}="{quoted(value)}"' for name, value in values.items()) + "}"


def _seconds(utc: str) -> int:
    return int(datetime.fromisoformat(utc).timestamp())
