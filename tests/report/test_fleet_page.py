"""The fleet page: its figures, its policy, its size, and its script in a real browser."""

import base64
import hashlib
import html
import json
import random
import re
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace

import pytest

from mtughost.model.findings import Contrast, FleetView
from mtughost.report.fleet_page import (
    FLEET_TEMPLATES,
    Cause,
    FleetInput,
    changes_of,
    render_fleet,
    requests_of,
)
from mtughost.report.html import render_audit
from mtughost.report.json_report import audit_from_dict, audit_to_dict
from mtughost.report.trend import TrendPoint, trend_picture

PROVIDERS = ("Cable One", "Fibre Co", "DSL Ltd", "Metro Net")
VERDICT_COLUMN, PROVIDER_COLUMN = 1, 4


def point(day, **verdicts):
    return TrendPoint(
        run_id=f"r{day}", started_utc=f"2026-11-{day:02d}T02:00:00Z", verdicts=verdicts
    )


def contrast(value="Cable One"):
    return Contrast(
        feature="isp", value=value, failing=300, passing=20, others_failing=100,
        others_passing=2000, chance=1e-12, tests=40,
    )  # fmt: skip


@pytest.fixture
def source(report):
    sites = tuple(replace(s, isp=PROVIDERS[n % 2]) for n, s in enumerate(report.sites))
    return FleetInput(
        report=replace(
            report, sites=sites, fleet=FleetView(contrasts=(contrast(),), judged=7, unknown=1)
        ),
        trend=(point(20, fault=3, ok=5), point(21, fault=2, latent=1, unknown=1, ok=4)),
        before={"s004": "fault", "s007": "ok", "elsewhere": "fault"},
        before_utc="2026-11-20T02:00:00Z",
        causes={"clamp-scope": Cause(words="the clamp exists", ask="Please extend [gateway].")},
        created_utc="2026-11-21T11:00:00Z",
    )


@pytest.fixture
def fleet_templates(templates):
    return {name: templates[name] for name in FLEET_TEMPLATES}


def big(source, number):
    """Return a fleet of many sites, drawn from the ones that we have."""
    chance = random.Random(16)  # noqa: S311 - variety, not secrecy
    sites = tuple(
        replace(chance.choice(source.report.sites), site=f"store-{n}", isp=chance.choice(PROVIDERS))
        for n in range(number)
    )
    return replace(source, report=replace(source.report, sites=sites))


def test_one_request_serves_all_sites_with_the_same_owner_and_finding(source):
    asked = {
        (r.owner, r.isp, r.finding): r.number for r in requests_of(source.report, source.causes)
    }

    assert asked["provider", "", "clamp-scope"] == 1
    (isp,) = [key for key in asked if key[0] == "ISP"]
    assert isp[1] in PROVIDERS
    assert sum(asked.values()) == len([s for s in source.report.sites if s.findings])


def test_a_change_counts_only_where_both_runs_judged(source):
    (change,) = changes_of(source.report, source.before)

    assert (change.before, change.after, change.names) == ("fault", "ok", ("s004",))


def test_every_site_stands_on_the_page_once_with_its_provider(source, fleet_templates):
    page = render_fleet(source, fleet_templates)
    names = re.findall(r'<tr class="[a-z-]+"><th scope="row">([^<]+)</th>', page)

    assert sorted(names) == sorted(site.site for site in source.report.sites)
    assert page.count(f"<td>{PROVIDERS[0]}</td>") == 4
    assert "mtughost evidence --site site-a --for gateway-provider" in page
    assert "300 / 320" in page
    assert "1 site from fault to ok" in page


def test_the_policy_allows_this_script_and_no_other(source, fleet_templates):
    page = render_fleet(source, fleet_templates)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1))

    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert script == fleet_templates["fleet.js.j2"]


def test_no_value_is_ever_written_into_the_script(fleet_templates):
    code = fleet_templates["fleet.js.j2"]

    assert "{{" not in code
    assert "{%" not in code
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function", code)


def test_hostile_names_are_text_and_never_markup(source, fleet_templates, hostile):
    sites = tuple(replace(source.report.sites[1], site=text, isp=text) for text in hostile.values())
    poisoned = replace(
        source,
        report=replace(
            source.report,
            sites=sites,
            fleet=FleetView(contrasts=(contrast(hostile["script"]),), judged=1, unknown=0),
        ),
        causes={"clamp-scope": Cause(words=hostile["img onerror"], ask=hostile["close style"])},
        before=dict.fromkeys(hostile.values(), "ok"),
    )

    page = render_fleet(poisoned, fleet_templates)

    tags = Counter(tag.lower() for tag in re.findall(r"<([a-zA-Z][a-zA-Z0-9]*)", page))
    assert tags["script"] == 1
    assert not {"img", "iframe", "base", "object", "link"} & set(tags)
    assert not re.findall(r"<[^>]*\son[a-z]+\s*=", page)


def test_the_trend_shows_every_run_and_even_one_site(source):
    points = (*source.trend, point(22, fault=1, ok=4999))
    picture = ET.fromstring(trend_picture(points, ident="t"))  # noqa: S314 - our own picture
    bars = [item for item in picture.iter() if item.tag.endswith("rect")]

    assert len(bars) == 2 + 4 + 2
    assert min(int(bar.get("height")) for bar in bars) >= 2
    assert {"11-20", "11-21", "11-22"} <= {item.text for item in picture.iter()}


def test_contrasts_stand_in_the_audit_too_and_come_back_from_json(source, templates):
    report = source.report

    assert contrast().sentence in render_audit(report, templates)
    assert audit_from_dict(json.loads(json.dumps(audit_to_dict(report)))) == report


def test_five_thousand_sites_take_seconds_and_less_than_five_megabytes(source, fleet_templates):
    many = big(source, 5000)

    begun_s = time.process_time()
    page = render_fleet(many, fleet_templates)

    assert time.process_time() - begun_s < 10
    assert len(page.encode()) < 5_000_000
    assert page.count('<tr class="') == 5000


#: What a person does, from outside: the page itself allows no script but its own.
PERSON = """
const doc = frame.contentDocument, $ = id => doc.getElementById(id);
const rows = () => Array.from($("sites").tBodies[0].rows).filter(row => !row.hidden);
const say = {controls: !$("controls").hidden, all: $("shown").textContent};
const provider = doc.querySelector("select[name=isp]");
provider.value = "=Cable One";
provider.dispatchEvent(new Event("change"));
say.filtered = $("shown").textContent;
say.providers = [...new Set(rows().map(row => row.cells[4].textContent))];
$("search").value = "STORE-12";
$("search").dispatchEvent(new Event("input"));
say.searched = rows().map(row => row.cells[0].textContent);
$("clear").click();
say.cleared = $("shown").textContent;
const heading = $("sites").tHead.rows[0].cells[0];
heading.firstChild.click();
say.first = rows().slice(0, 3).map(row => row.cells[0].textContent);
heading.firstChild.click();
say.last = rows()[0].cells[0].textContent;
say.sorted = heading.getAttribute("aria-sort");
const more = doc.querySelector("button.more");
more.click();
say.asked = [more.dataset.owner, more.dataset.cause];
const who = row => row.cells[3].textContent + " " + row.cells[2].textContent;
say.shown = [...new Set(rows().map(who))];
"""


@pytest.mark.browser
def test_a_person_can_filter_search_and_sort(in_browser, source, fleet_templates):
    page = render_fleet(big(source, 1500), fleet_templates)

    say = in_browser(page, 1280, PERSON)

    assert say["controls"] is True
    assert say["all"] == say["cleared"] == "1500 of 1500 sites"
    assert say["providers"] == ["Cable One"]
    assert say["filtered"].split()[0] == str(page.count("<td>Cable One</td>"))
    assert say["searched"]
    assert all("store-12" in name for name in say["searched"])
    assert say["first"] == ["store-0", "store-1", "store-2"]
    assert (say["last"], say["sorted"]) == ("store-1499", "descending")
    assert say["shown"] == [" ".join(say["asked"])]


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_sticks_out_sideways_and_nothing_hostile_runs(
    in_browser, source, fleet_templates, hostile, width
):
    named = tuple(
        replace(source.report.sites[1], site=text[:500], isp=text[:500])
        for text in hostile.values()
    )
    many = replace(source, report=replace(source.report, sites=named))

    seen = in_browser(render_fleet(many, fleet_templates), width)

    assert seen["wide"] == []
    assert seen["scroll"] <= seen["client"]
    assert seen["scripts"] == 1
    assert seen["hit"] == "undefined"
