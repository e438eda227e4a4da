import io
import json
from dataclasses import replace

from rich.console import Console

from mtughost.report.diff import diff_audits, diff_to_dict, render_diff


def printed(diff, width=100):
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False).print(render_diff(diff))
    return stream.getvalue()


def with_site(report, name, **changes):
    return replace(
        report,
        run_id="later",
        sites=tuple(replace(s, **changes) if s.site == name else s for s in report.sites),
    )


def site(report, name):
    return next(item for item in report.sites if item.site == name)


def test_an_audit_compared_with_itself_is_empty(report):
    diff = diff_audits(report, report)

    assert diff.empty
    assert "Nothing changed." in printed(diff)


def test_a_repaired_site_changes_its_verdict_and_loses_its_findings(report):
    diff = diff_audits(report, with_site(report, "site-a", verdict="ok", findings=()))

    (changed,) = diff.sites
    assert (changed.site, changed.before, changed.after) == ("site-a", "fault", "ok")
    assert [item.change for item in changed.findings] == ["gone", "gone"]


def test_a_finding_is_not_gone_where_the_site_could_not_be_judged(report):
    diff = diff_audits(report, with_site(report, "site-a", verdict="unknown", findings=()))

    assert {item.change for item in diff.sites[0].findings} == {"unsettled"}
    assert "not judged this time" in printed(diff)


def test_a_site_that_was_not_audited_again_settles_nothing(report):
    later = replace(report, sites=tuple(s for s in report.sites if s.site != "site-a"))

    (changed,) = diff_audits(report, later).sites

    assert changed.after is None
    assert {item.change for item in changed.findings} == {"unsettled"}


def test_a_new_site_brings_its_findings(report):
    earlier = replace(report, sites=tuple(s for s in report.sites if s.site != "site-a"))

    (changed,) = diff_audits(earlier, report).sites

    assert changed.before is None
    assert {item.change for item in changed.findings} == {"new"}


def test_a_changed_grade_owner_or_figure_is_named(report):
    scope, fragments = site(report, "site-a").findings
    later = replace(
        scope,
        grade="likely",
        owner="gateway",
        evidence=(replace(scope.evidence[0], value="wan0 has MTU 1480"), *scope.evidence[1:]),
    )

    diff = diff_audits(report, with_site(report, "site-a", findings=(later, fragments)))

    assert diff.sites[0].findings[0].change == "changed"
    assert diff.sites[0].findings[0].fields == ("grade", "owner", "evidence")


def test_moved_lines_and_frames_are_no_change(report):
    scope, fragments = site(report, "site-a").findings
    moved = replace(
        scope, evidence=tuple(replace(item, line=99, frame=7) for item in scope.evidence)
    )

    assert diff_audits(report, with_site(report, "site-a", findings=(moved, fragments))).empty


def test_the_same_finding_twice_is_compared_in_order(report):
    scope, _ = site(report, "site-a").findings
    twice = with_site(report, "site-a", findings=(scope, scope))
    once = with_site(report, "site-a", findings=(scope,))

    (changed,) = diff_audits(twice, once).sites

    assert [item.change for item in changed.findings] == ["gone"]


def test_devices_that_end_differently_are_told(report):
    hosts = tuple(
        replace(h, status="failed", error="timed out") if h.host == "site-a-gw1" else h
        for h in report.hosts
        if h.host != "s009-ap1"
    )

    diff = diff_audits(report, replace(report, hosts=hosts))

    told = {host.host: (host.before, host.after) for host in diff.hosts}
    assert told == {"s009-ap1": ("failed", None), "site-a-gw1": ("ok", "failed")}
    assert "site-a-gw1: ok to failed: timed out" in printed(diff)


def test_the_comparison_is_plain_json(report):
    diff = diff_audits(report, with_site(report, "site-a", verdict="ok", findings=()))

    data = json.loads(json.dumps(diff_to_dict(diff)))

    assert data["schema"] == "mtughost/diff/v1"
    assert data["sites"][0]["findings"][0]["id"] == "clamp-scope"


def test_hostile_text_stays_inert(poison, report, hostile_text):
    text = printed(diff_audits(report, poison(hostile_text)), width=80)

    assert all(char.isprintable() or char == "\n" for char in text)
    json.dumps(diff_to_dict(diff_audits(report, poison(hostile_text)))).encode()
