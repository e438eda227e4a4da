import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mtughost.model.errors import ContentError
from mtughost.report.fleet_page import FLEET_TEMPLATES
from mtughost.report.html import TEMPLATE_NAMES, anchor_of, headline, render_audit
from mtughost.report.plan_page import PLAN_TEMPLATES
from mtughost.report.safe_text import inert
from mtughost.report.ticket_html import TICKET_TEMPLATES

VOID = {"meta", "br", "link", "img", "hr", "input"}
#: Elements that the page is made of. Anything else came from a device.
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "a", "div", "p", "h1", "h2", "h3", "h4",
    "dl", "dt", "dd", "ul", "li", "b", "span", "small", "main", "table", "thead", "tbody", "tr",
    "th", "td", "code", "br", "section", "header", "footer", "figure", "figcaption", "svg", "desc",
    "rect", "text", "path", "circle", "details", "summary",
}  # fmt: skip


class Page(HTMLParser):
    """A page as a list of elements, with the nesting checked."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.words = []
        self.stack = []
        self.odd = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append((self.stack[-1] if self.stack else "", data))

    def handle_comment(self, data):
        self.odd.append(data)

    def unknown_decl(self, data):
        self.odd.append(data)

    def all(self, tag, **wanted):
        return [
            attrs
            for name, attrs in self.elements
            if name == tag and all(attrs.get(key) == value for key, value in wanted.items())
        ]

    def text(self):
        return " ".join(" ".join(data for _, data in self.words).split())


@pytest.fixture
def page(report, templates):
    return Page(render_audit(report, templates))


def test_the_page_is_well_nested_html(page):
    assert page.elements[0][0] == "html"
    assert {tag for tag, _ in page.elements} <= KNOWN
    assert page.odd == []


def test_the_page_loads_nothing_and_runs_nothing(page):
    for tag, attrs in page.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "base", "form"}
        assert not {name for name in attrs if name.startswith("on")}
        assert not {"src", "style", "srcset", "action"} & set(attrs)
        if "href" in attrs:
            assert attrs["href"].startswith("#")


def test_the_policy_allows_this_style_sheet_and_nothing_else(report, templates):
    text = render_audit(report, templates)
    css = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()

    policy = Page(text).all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_the_style_sheet_fetches_nothing(templates):
    css = templates["audit.css.j2"]

    assert "url(" not in css
    assert "@import" not in css


def test_the_page_serves_phones_dark_rooms_and_printers(templates, page):
    assert page.all("meta", name="viewport")
    for query in ("(max-width:", "(prefers-color-scheme: dark)", "@media print"):
        assert query in templates["audit.css.j2"]


def test_every_link_leads_to_an_element_of_the_page(page):
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]

    assert len(set(ids)) == len(ids)
    for attrs in page.all("a"):
        assert attrs["href"][1:] in ids


def test_every_site_has_its_row_and_its_section(page, report):
    sections = page.all("section")

    assert len(sections) == len(report.sites)
    for attrs in sections:
        assert page.all("a", href=f"#{attrs['id']}")


def test_the_page_says_who_must_act_and_shows_the_line_that_proves_it(page):
    text = page.text()

    assert "the managed provider that owns the gateway" in text
    assert "The line that proves it" in text
    assert "line 31 of nft -a list ruleset (real program)" in text


def test_the_three_layers_stand_side_by_side_with_counters(page):
    headers = [attrs.get("data-label") for attrs in page.all("td")]

    assert {"Configured", "Installed", "Observed"} <= set(headers)
    assert "writes MSS 1452, 0 packets: does not cover" in page.text()


def test_ruled_out_causes_next_test_fix_and_notes_are_told(page):
    text = page.text()

    assert "no-syn-ack : 203.0.113.10:2083 answered the SYN in frame 2" in text
    assert "Next test Read the packet filter as root: nft -a list ruleset" in text
    assert "Let the clamp match vlan20 in both directions; it then writes 1452." in text
    assert "net.ipv4.ip_no_pmtu_disc is 1" in text


def test_every_device_that_was_not_read_is_named_with_its_reason(page):
    text = page.text()

    assert "s009-ap1: host key is not known" in text
    assert "s009-gw1 s009 skipped the credential was refused at 3 devices" in text


def test_each_path_has_two_pictures_that_say_the_same(page, report):
    pictures = page.all("svg")
    lying = [attrs for attrs in pictures if "pp-lying" in attrs["class"]]

    assert len(pictures) == 2 * len(lying) == 2 * len(report.sites)
    assert all(attrs["role"] == "img" for attrs in pictures)


def test_further_paths_of_a_site_fold_away(report, templates):
    site = report.sites[1]
    second = tuple(replace(item, key=replace(item.key, egress="lte0")) for item in site.flows)

    page = Page(
        render_audit(replace(report, sites=(replace(site, flows=site.flows + second),)), templates)
    )

    assert len(page.all("details")) == 1
    assert "Other paths of this site (1)" in page.text()
    assert len(page.all("svg")) == 4


def test_unknown_is_written_out_and_never_left_blank(page):
    empty = [tag for tag, data in page.words if tag in {"td", "dd"} and data == ""]

    assert empty == []
    assert "unknown" in page.text()


def test_the_headline_counts(report):
    assert headline(report) == (
        "2 of 8 sites lose large packets. 1 works only by luck. "
        "1 has a fault of another kind. 1 not settled. 2 devices not read."
    )
    healthy = replace(report, sites=report.sites[:1], hosts=report.hosts[:2])
    assert headline(healthy) == "1 site: full-size packets fit in both directions."
    assert headline(replace(report, sites=(), hosts=())) == "No site was audited."


def test_an_audit_without_sites_is_a_page_too(report, templates):
    page = Page(render_audit(replace(report, sites=()), templates))

    assert page.all("section") == []


def test_a_large_fleet_draws_only_the_sites_that_need_it(report, templates):
    healthy = report.sites[0]
    many = tuple(replace(healthy, site=f"s{n:04}") for n in range(100))

    page = Page(render_audit(replace(report, sites=(*many, report.sites[1])), templates))

    assert len(page.all("svg")) == 2
    assert len(page.all("section")) == 101


def test_hostile_text_in_every_field_stays_inert(poison, templates, hostile_text):
    text = render_audit(poison(hostile_text), templates)

    page = Page(text)
    shown = text.replace("\n", "").replace("\t", "")
    assert {tag for tag, _ in page.elements} <= KNOWN
    assert page.odd == []
    assert all(char.isprintable() for char in shown)
    for _, attrs in page.elements:
        assert not {name for name in attrs if name.startswith("on")}
        assert not {"src", "style"} & set(attrs)
        assert attrs.get("href", "#").startswith("#")


def test_hostile_text_is_shown_and_not_dropped(poison, templates, hostile_text):
    expected = " ".join(inert(hostile_text, lines=True).split())

    page = Page(render_audit(poison(hostile_text), templates))

    assert expected in page.text()


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_a_missing_template_is_refused_by_name(report, templates, name):
    rest = {key: value for key, value in templates.items() if key != name}

    with pytest.raises(ContentError) as caught:
        render_audit(report, rest)

    assert name in str(caught.value)


def test_a_broken_template_is_refused_with_file_and_line(report, templates):
    broken = templates | {"audit.html.j2": "one\n{{ report.nonsense }}\n"}
    unclosed = templates | {"audit_site.html.j2": "one\n{% if %}\n"}

    with pytest.raises(ContentError, match="nonsense"):
        render_audit(report, broken)
    with pytest.raises(ContentError) as caught:
        render_audit(report, unclosed)
    assert caught.value.line == 2
    assert caught.value.path.endswith("audit_site.html.j2")


def test_a_template_cannot_reach_beyond_its_sandbox(report, templates):
    evil = templates | {"audit.html.j2": "{{ report.__class__.__init__.__globals__ }}"}

    with pytest.raises(ContentError):
        render_audit(report, evil)


def test_the_shipped_templates_are_exactly_the_ones_that_are_used(templates):
    used = {*TEMPLATE_NAMES, *TICKET_TEMPLATES, *FLEET_TEMPLATES, *PLAN_TEMPLATES}

    assert used == set(templates)


@pytest.mark.parametrize("number", [1, 42])
def test_an_anchor_holds_letters_digits_and_hyphens_only(hostile_text, number):
    assert re.fullmatch(rf"site-{number}(-[a-z0-9-]+)?", anchor_of(hostile_text, number))
