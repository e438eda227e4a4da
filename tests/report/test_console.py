import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from mtughost.report.console import render_audit, render_hosts, render_site

WIDTHS = [80, 100, 125, 126, 140, 200]


def printed(renderable, *, width=100, **kwargs):
    stream = io.StringIO()
    options = {"force_terminal": False, "no_color": True, "legacy_windows": False} | kwargs
    console = Console(file=stream, width=width, **options)
    console.print(renderable)
    return stream.getvalue()


def joined(text):
    return " ".join(text.split())


def site(report, name):
    return next(item for item in report.sites if item.site == name)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_fits_the_terminal(report, width):
    lines = printed(render_audit(report), width=width).splitlines()

    assert max(cell_len(line) for line in lines) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_every_site_shows_verdict_finding_owner_and_figures(report, width):
    text = printed(render_audit(report), width=width)

    for item in report.sites:
        assert item.site in text
    for word in ("fault", "latent", "unknown", "not MTU", "ok", "provider", "1492", "1500", "1446"):
        assert word in text
    assert "1400/1460" in text
    assert "matches vlan30 only" in joined(text)


def test_the_wide_table_has_a_column_for_every_figure(report):
    text = printed(render_audit(report), width=160)

    head = next(line for line in text.splitlines() if "verdict" in line)
    assert head.split() == [
        "site", "verdict", "finding", "who", "WAN", "VLAN", "clamp", "MSS", "up/down", "path",
    ]  # fmt: skip


def test_totals_account_for_every_device(report):
    text = joined(printed(render_audit(report)))

    assert "18 devices asked: 16 read, 1 failed, 1 skipped." in text
    assert "8 sites: 2 fault, 1 latent, 1 unknown, 1 not MTU, 3 ok." in text


def test_devices_that_were_not_read_are_listed_with_the_reason(report):
    text = joined(printed(render_audit(report), width=140))

    assert "2 devices not read" in text
    assert "s009-ap1: host key is not known" in text


def test_a_complete_run_says_that_all_were_read(report):
    complete = replace(report, hosts=report.hosts[:4])

    assert "All 4 devices read." in printed(render_hosts(complete))


def test_colour_repeats_words_only(report):
    plain = printed(render_audit(report), width=140)
    coloured = printed(
        render_audit(report),
        width=140,
        force_terminal=True,
        no_color=False,
        color_system="truecolor",
    )

    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_without_utf8_the_output_is_ascii(report, poison):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict", newline="")
    console = Console(file=stream, width=100, force_terminal=False, legacy_windows=False)

    console.print(render_audit(poison("Caf\u00e9 \u4f60")))
    console.print(render_site(site(report, "site-a")))
    stream.flush()

    assert b"Caf\\xe9" in stream.buffer.getvalue()


def test_a_dumb_terminal_gets_no_control_at_all(report):
    text = printed(
        render_audit(report),
        force_terminal=True,
        no_color=False,
        _environ={"TERM": "dumb"},
    )

    assert "\x1b" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_the_detail_of_a_site_fits_and_tells_everything(report, width):
    text = printed(render_site(site(report, "site-a")), width=width)

    assert max(cell_len(line) for line in text.splitlines()) <= width
    told = joined(text)
    assert "must act the managed provider that owns the gateway" in told
    assert "AP to service (SYN-ACK): counterexample" in told
    assert "0 packets: does not cover" in told
    assert "line 31 nft -a list ruleset (real program)" in told
    assert "no-syn-ack: 203.0.113.10:2083 answered the SYN in frame 2" in told


def test_an_unsettled_site_names_its_next_test(report):
    told = joined(printed(render_site(site(report, "s005"))))

    assert "next test Read the packet filter as root: nft -a list ruleset (on s005-gw1)" in told
    assert "installed: not known" in told


def controls(text):
    return [hex(ord(char)) for char in text if not char.isprintable() and char != "\n"]


@pytest.mark.parametrize("width", [80, 160])
def test_hostile_text_in_every_field_stays_inert(poison, hostile_text, width):
    poisoned = poison(hostile_text)

    text = printed(render_audit(poisoned), width=width)
    detail = printed(render_site(poisoned.sites[1]), width=width)

    assert controls(text) == []
    assert controls(detail) == []
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_hostile_text_cannot_style_or_link(poison, hostile_text):
    poisoned = poison(hostile_text)

    text = printed(
        render_audit(poisoned), force_terminal=True, no_color=False, color_system="truecolor"
    )

    rest = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert controls(rest) == []
    # 8 would hide text, 5 would blink: no style of ours uses them.
    used = {code for codes in re.findall(r"\x1b\[([0-9;]*)m", text) for code in codes.split(";")}
    assert used <= {"0", "1", "2", "31", "32", "33", "35", "36"}


def test_a_newline_in_a_name_cannot_forge_a_row(poison):
    text = printed(render_audit(poison("ap\nsite-z   ok   nothing found")), width=200)

    assert not any(line.lstrip().startswith("site-z") for line in text.splitlines())
