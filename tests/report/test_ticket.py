"""A ticket as page, Markdown and PDF: what it says, and that nothing in it acts."""

import html
import re
import shutil
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from mtughost.app import pdf
from mtughost.model.findings import Evidence
from mtughost.model.inventory import Credential, Device, Service, Site, SiteInfo
from mtughost.report.citations import Sources
from mtughost.report.sequence import sequence_picture, sequence_sentence
from mtughost.report.ticket import (
    Excerpt,
    Exchange,
    ExchangeStep,
    Repair,
    TicketInput,
    make_ticket,
)
from mtughost.report.ticket_html import TICKET_TEMPLATES, render_ticket
from mtughost.report.ticket_markdown import ticket_to_markdown

CAPTURE = "tcpdump -i wan0 -n -w -"


def steps(words="TLS certificate"):
    rows = [
        (1, True, 74, "SYN, MSS 1460", False, False),
        (2, False, 74, "SYN-ACK, MSS 1460", False, False),
        (3, True, 1514, f"1448 bytes, {words}", False, True),
        (4, True, 1514, "1448 bytes", False, True),
        (5, True, 542, "476 bytes", False, False),
        (6, False, 78, "ACK that reports a gap (SACK)", True, False),
        (7, True, 1514, f"sent again: 1448 bytes, {words}", True, True),
    ]
    return tuple(
        ExchangeStep(frame=n, at_s=n / 1000, up=up, wire_bytes=size, words=said, bad=bad, lost=lost)
        for n, up, size, said, bad, lost in rows
    )


def exchange(**changed):
    return replace(
        Exchange(
            member="captures/01-ap.pcap",
            host="s1-ap1",
            point="ap",
            client="10.20.0.10 port 40000",
            server="203.0.113.10 port 2083",
            display_filter="tcp.port == 2083",
            steps=steps(),
            left_out=0,
        ),
        **changed,
    )


@pytest.fixture
def source(report, runbooks):
    site = next(site for site in report.sites if site.site == "site-a")
    device = Device(
        name="site-a-ap1", address="10.0.0.1", platform="linux", site="site-a", role="ap",
        credential=Credential(realm="", username=""),
        services=(Service(name="radsec", host="203.0.113.10", port=2083),),
    )  # fmt: skip
    return TicketInput(
        site=Site(name="site-a", devices=(device,), info=SiteInfo(isp="Cable")),
        report=site,
        facts=(),
        captures=(),
        recipient="gateway-provider",
        recipient_title="the provider of the gateway",
        acts_on=frozenset({"gateway", "provider"}),
        runbooks=runbooks,
        created_utc="2026-11-21T11:00:00Z",
        read_utc="2026-11-21T10:15:00Z",
        run_id="20261121T101500Z-7f3a",
        tool="mtughost 0.1.0",
        exchange=exchange(),
        sources=Sources(
            answers={("site-a-gw1", "nft -a list ruleset"): "raw/site-a-gw1/15-nft-text.txt"},
            captures={
                ("site-a-gw1", "tcpdump -i vlan20 -w - 'tcp port 2083'"): ("captures/02.pcap",)
            },
        ),
        repairs=(
            Repair(title="Repair", summary="widen the clamp", proofs=("MSS 1452 fits",),
                   blast_radius="new connections", risk="small"),
        ),
    )  # fmt: skip


@pytest.fixture
def poisoned(source, hostile):
    """Put every hostile text into a ticket: as claim, host, command, line, packet and name."""
    texts = list(hostile.values())
    evidence = tuple(
        Evidence(kind="log", basis="told", host=text[:40], command="show", line=1, value=text[:400])
        for text in texts
    )
    found = source.report.findings[0]
    bad = hostile["close title"]
    return replace(
        source,
        site=replace(source.site, name=bad, info=SiteInfo(isp=hostile["script"], circuit=bad)),
        report=replace(
            source.report,
            site=bad,
            findings=(replace(found, summary=hostile["img onerror"], evidence=evidence),),
            notes=tuple(texts),
        ),
        recipient_title=hostile["close style"],
        run_id=hostile["comment"],
        excerpts=(
            Excerpt(title=bad, host=bad, command=bad, member=bad, proving=frozenset({1}),
                    lines=tuple(enumerate(texts, start=1))),
        ),
        exchange=exchange(client=bad, server=bad, host=bad, steps=steps(bad), display_filter=bad),
        gaps=tuple(text[:400] for text in texts),
    )  # fmt: skip


def parsed(picture):
    return list(ET.fromstring(picture).iter())  # noqa: S314 - our own picture


def page_of(source, templates, **options):
    return render_ticket(
        make_ticket(source), {name: templates[name] for name in TICKET_TEMPLATES}, **options
    )


def test_the_first_lines_say_what_fails_whose_it_is_and_what_is_asked(source, templates):
    page = page_of(source, templates)
    top = page[page.index("<body>") : page.index("<figure")]
    text = " ".join(html.unescape(re.sub("<[^>]+>", " ", top)).split())

    assert "site-a: the clamp exists, but not for this path" in text
    assert "Finding clamp-scope , confirmed" in text
    assert "Must act" in text
    assert "What we ask for" in text


def test_every_claim_names_its_file_and_line_or_frame(source):
    cited = {item.kind: item for item in make_ticket(source).findings[0].evidence}

    assert cited["clamp-rule"].member == "raw/site-a-gw1/15-nft-text.txt"
    assert cited["clamp-rule"].place == "line 31"
    assert cited["syn-ack-mss"].member == "captures/02.pcap"
    assert cited["syn-ack-mss"].place == "frame 2"
    assert cited["syn-ack-mss"].command == ""


def test_the_same_observation_in_many_frames_is_told_once(source):
    found = source.report.findings[0]
    seen = [replace(found.evidence[2], frame=frame) for frame in range(1, 21)]
    report = replace(source.report, findings=(replace(found, evidence=tuple(seen)),))

    (only,) = make_ticket(replace(source, report=report)).findings[0].evidence

    assert only.frames == tuple(range(1, 21))
    assert only.place == "frames 1, 2, 3, 4, 5, 6, 7, 8 and 12 more"


def test_a_confirmed_finding_comes_before_a_possible_one(source):
    possible = replace(source.report.findings[0], id="tunnel-overhead", grade="possible")
    report = replace(source.report, findings=(possible, *source.report.findings))

    made = make_ticket(replace(source, report=report, acts_on=frozenset()))

    assert [item.finding.grade for item in made.findings] == ["confirmed", "likely", "possible"]
    assert made.lead == source.report.findings[0].summary


def test_the_sequence_shows_lost_frames_with_numbers_and_sizes(source, templates):
    picture = sequence_picture(source.exchange, ident="x")
    words = [item.text for item in parsed(picture) if item.tag.endswith("text")]

    assert {"1", "3", "74: SYN, MSS 1460", "74: SYN-ACK, MSS 1460", "542: 476 bytes"} <= set(words)
    assert "1514: 1448 bytes, TLS certificate" in words
    assert sequence_sentence(source.exchange) == (
        "Never acknowledged: frames 3, 4, 7 (1514 bytes with Ethernet header)."
    )
    assert 'class="pp pp-sequence"' in page_of(source, templates)


def test_packets_that_are_not_shown_are_counted(source):
    some = (*source.exchange.steps[:3], replace(source.exchange.steps[3], skipped=812))

    picture = sequence_picture(replace(source.exchange, steps=some), ident="x")

    assert "812 packets not shown" in picture


def test_hostile_text_stays_inside_the_picture(source, hostile_text):
    made = exchange(client=hostile_text, host=hostile_text, steps=steps(hostile_text))

    picture = sequence_picture(made, ident="x")
    tags = {item.tag.rpartition("}")[2] for item in parsed(picture)}

    assert tags <= {"svg", "title", "desc", "text", "path"}


def test_hostile_text_everywhere_on_the_page_is_no_markup(poisoned, templates):
    page = page_of(poisoned, templates)

    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z][a-zA-Z0-9]*)", page)}
    assert not tags & {"script", "img", "base", "iframe", "object", "embed", "form", "a", "link"}
    assert not re.findall(r"<[^>]*\son[a-z]+\s*=", page)
    assert page.count("<style>") == 1


def test_hostile_text_everywhere_in_markdown_is_text(poisoned):
    tokens = (
        MarkdownIt("commonmark").enable("table").parse(ticket_to_markdown(make_ticket(poisoned)))
    )
    kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}

    assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence"}


@pytest.mark.browser
def test_hostile_text_everywhere_runs_nothing_in_a_browser(in_browser, poisoned, templates):
    seen = in_browser(page_of(poisoned, templates), 390)

    assert seen["scripts"] == 0
    assert seen["hit"] == "undefined"
    assert seen["wide"] == []
    assert seen["scroll"] <= seen["client"]


# --- PDF ------------------------------------------------------------------------------------

#: Whatever a PDF can do beyond showing text (ISO 32000-1, 12.6.4 actions and 12.5.6 annotations).
ACTIVE = (
    b"/JavaScript", b"/JS", b"/Launch", b"/OpenAction", b"/AA", b"/URI", b"/SubmitForm",
    b"/ImportData", b"/GoToR", b"/GoToE", b"/EmbeddedFile", b"/RichMedia", b"/Movie", b"/Sound",
    b"/AcroForm", b"/XFA",
)  # fmt: skip


def objects_of(data):
    """Return a PDF's dictionaries: object streams unpacked, contents of pages left out."""
    parts, position = [], 0
    for found in re.finditer(rb"(?<!end)stream\r?\n", data):
        if found.start() < position:
            continue
        parts.append(data[position : found.start()])
        position = data.index(b"endstream", found.end())
        head = parts[-1][-400:]
        if b"/ObjStm" in head:
            parts.append(zlib.decompress(data[found.end() : position].rstrip(b"\r\n")))
    return b"".join([*parts, data[position:]])


def active_in(data):
    return [
        name for name in ACTIVE if re.search(re.escape(name) + rb"(?![A-Za-z])", objects_of(data))
    ]


@pytest.fixture(params=["weasyprint", "chromium"])
def maker(request, monkeypatch):
    """Each of the two programs, where it is there."""
    if request.param == "weasyprint":
        pytest.importorskip("weasyprint")
        return
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on PATH: Debian package chromium")
    monkeypatch.setitem(__import__("sys").modules, "weasyprint", None)


@pytest.mark.browser
def test_hostile_text_everywhere_in_a_pdf_does_nothing(maker, poisoned, templates):
    data = pdf.page_to_pdf(page_of(poisoned, templates, for_paper=True))

    assert data.startswith(b"%PDF-")
    assert objects_of(data).count(b"/Page") > 1
    assert active_in(data) == []


def test_an_active_pdf_would_be_noticed():
    packed = zlib.compress(b"<</S/JavaScript/JS(app.alert(1))>>")
    hidden = b"1 0 obj<</Type/ObjStm/Length 9>>stream\n" + packed + b"\nendstream endobj"

    assert active_in(hidden) == [b"/JavaScript", b"/JS"]


def test_without_either_program_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "weasyprint", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(pdf.PdfError, match="neither WeasyPrint nor Chromium") as caught:
        pdf.page_to_pdf("<p>x")

    assert "mtughost[pdf]" in caught.value.todo
