"""CSV, JUnit and metrics hold the audit's figures, and no device's words act in them."""

import csv
import io
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from mtughost.model.findings import HostStatus
from mtughost.report.exports import audit_to_csv, audit_to_junit, audit_to_metrics
from mtughost.report.json_report import counts_of

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\d+)')


def rows_of(report):
    return list(csv.DictReader(io.StringIO(audit_to_csv(report))))


def samples_of(text):
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            found[name, labels or ""] = int(value)
    return found


@pytest.fixture
def with_a_lost_device(report):
    lost = HostStatus(
        host="lost-1", site="x", role="ap", status="failed", error="no answer", error_kind="timeout"
    )
    return replace(report, hosts=(*report.hosts, lost))


def test_the_csv_has_one_line_per_site_with_its_verdict_and_finding(report):
    rows = rows_of(report)

    assert {row["site"]: row["verdict"] for row in rows} == {
        site.site: site.verdict for site in report.sites
    }
    told = {site.site: [f.id for f in site.findings] for site in report.sites}
    assert all(row["finding"] in [*told[row["site"]], ""] for row in rows)


def test_the_junit_counts_are_those_of_the_audit(with_a_lost_device):
    suite = ET.fromstring(audit_to_junit(with_a_lost_device))  # noqa: S314 - written a line above
    counts = counts_of(with_a_lost_device)["sites"]

    failing = counts["fault"] + counts["latent"] + counts["not-mtu"]
    assert int(suite.get("failures")) == failing == len(suite.findall(".//failure"))
    assert int(suite.get("skipped")) == counts["unknown"] == len(suite.findall(".//skipped"))
    assert int(suite.get("tests")) == len(suite.findall("testcase"))
    errors = [
        case.get("name") for case in suite.findall("testcase") if case.find("error") is not None
    ]
    assert "lost-1" in errors
    assert int(suite.get("errors")) == len(errors)


def test_the_metrics_add_up(with_a_lost_device):
    samples = samples_of(audit_to_metrics(with_a_lost_device))
    counts = counts_of(with_a_lost_device)

    assert sum(v for (n, _), v in samples.items() if n == "mtughost_sites") == len(
        with_a_lost_device.sites
    )
    assert samples["mtughost_devices", 'status="failed"'] == counts["hosts"]["failed"]
    for site in with_a_lost_device.sites:
        mine = {
            labels: value
            for (name, labels), value in samples.items()
            if name == "mtughost_site_verdict" and labels.startswith(f'site="{site.site}"')
        }
        assert sum(mine.values()) == 1
        assert mine[f'site="{site.site}",verdict="{site.verdict}"'] == 1


def test_hostile_text_stays_text_in_all_three(report, hostile_text):
    site = report.sites[0]
    finding = site.findings[0] if site.findings else None
    evil = replace(
        site,
        site=hostile_text or "x",
        findings=(replace(finding, summary=hostile_text),) if finding else (),
    )
    changed = replace(report, sites=(evil,))

    (row,) = rows_of(changed)
    suite = ET.fromstring(audit_to_junit(changed))  # noqa: S314 - written by us
    samples = samples_of(audit_to_metrics(changed))

    assert not row["site"].startswith(("=", "+", "-", "@"))
    assert len(suite.findall("testcase")) == 1 + int(suite.get("errors"))
    assert sum(1 for name, _ in samples if name == "mtughost_site_verdict") == 5
