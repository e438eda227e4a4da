import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mtughost.model.errors import ContentError
from mtughost.model.findings import FINDING_IDS
from mtughost.report.explain import PLACEHOLDERS, explain, explain_site, site_values
from mtughost.report.safe_text import inert

SECTIONS = ["What it means", "Check by hand", "Fix", "Do not", "Ask", "Sources"]


def site(report, name):
    return next(item for item in report.sites if item.site == name)


def test_every_finding_has_a_runbook_and_every_runbook_a_finding(runbooks):
    assert set(runbooks) - {"README"} == set(FINDING_IDS)


def test_the_index_lists_every_runbook_once(runbooks):
    listed = re.findall(
        r"^\| \[([a-z0-9-]+)\]\(([a-z0-9-]+)\.md\)", runbooks["README"], re.MULTILINE
    )

    assert [name for name, _ in listed] == list(FINDING_IDS)
    assert all(name == link for name, link in listed)


@pytest.mark.parametrize("finding_id", FINDING_IDS)
def test_a_runbook_has_its_title_and_all_parts_in_order(runbooks, finding_id):
    text = runbooks[finding_id]

    assert text.startswith(f"# {finding_id}: ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert part.strip()


@pytest.mark.parametrize("finding_id", FINDING_IDS)
def test_a_runbook_says_whom_to_ask_in_words_that_can_be_sent(runbooks, finding_id):
    ask = runbooks[finding_id].split("## Ask")[1].split("## Sources")[0]

    assert ask.strip().startswith("> ")


@pytest.mark.parametrize("finding_id", FINDING_IDS)
def test_a_runbook_reads_without_and_with_a_site(runbooks, report, finding_id):
    plain = explain(runbooks[finding_id])
    filled = explain_site(runbooks[finding_id], site(report, "site-a"), finding_id)

    assert "{{" not in plain
    assert "{{" not in filled
    assert "None" not in filled


@pytest.mark.parametrize("finding_id", FINDING_IDS)
def test_a_runbook_names_no_other_finding_that_does_not_exist(runbooks, finding_id):
    named = re.findall(r"\bsee ([a-z]+(?:-[a-z]+)+)", runbooks[finding_id])

    assert set(named) <= set(FINDING_IDS)


def test_only_known_rfcs_are_cited(runbooks):
    cited = {int(n) for text in runbooks.values() for n in re.findall(r"RFC (\d+)", text)}

    assert cited <= {
        791, 792, 826, 1035, 1191, 2132, 2516, 2784, 2865, 2923, 3579, 4253, 4443, 4459, 4638,
        4821, 4861, 4890, 5216, 5227, 5280, 5415, 5508, 5905, 6298, 6614, 7360, 7690, 7766, 8200,
        8201, 8446, 8900, 9293,
    }  # fmt: skip


def test_the_runbooks_use_exactly_the_known_placeholders(runbooks):
    used = set(re.findall(r"\{\{ (\w+) \}\}", "".join(runbooks.values())))

    assert used == set(PLACEHOLDERS)


def test_site_a_gets_its_own_figures(runbooks, report):
    text = explain_site(runbooks["clamp-scope"], site(report, "site-a"), "clamp-scope")

    assert "At site-a the SYN-ACK carries 1460 and the SYN 1460; 1452 fits (IPv6: 1432)." in text
    assert "tcpdump -ni wan0 'tcp port 2083'" in text
    assert "the WAN takes 1492 bytes, so 1452 fits" in text


def test_the_largest_ping_payload_is_the_path_less_28(report):
    assert site_values(site(report, "site-a"))["ping_payload"] == 1464


def test_unknown_values_stay_words(runbooks, report):
    text = explain_site(runbooks["clamp-scope"], site(report, "s005"), "clamp-scope")

    assert "the SYN-ACK carries [MSS in the SYN-ACK]" in text
    assert "with `mss <MSS in the SYN>`" in text


def test_a_site_without_flows_fills_its_name_only(report):
    values = site_values(replace(site(report, "s005"), flows=()))

    assert {name for name, value in values.items() if value is not None} == {"site"}


def test_an_unknown_placeholder_is_refused_by_line():
    with pytest.raises(ContentError) as caught:
        explain("a\n{{ nonsense }}\n")

    assert (caught.value.line, caught.value.key) == (2, "nonsense")


def test_a_value_is_never_read_as_a_template():
    assert "49" not in explain("{{ site }}", {"site": "{{ 7*7 }}"})
    assert explain("{{ site }}", {"site": "{{ ap }}", "ap": "x"}).count("x") == 0


def test_commands_take_plain_values_only(hostile_text):
    shown = explain("```\nping {{ ap }}\n```\n`{{ ap }}`", {"ap": hostile_text})

    lines = shown.split("\n")
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}", hostile_text)
    assert lines[1] == (f"ping {hostile_text}" if plain else "ping <AP>")


def test_prose_shows_hostile_values_as_text(hostile_text):
    if not inert(hostile_text).strip(" "):
        return
    shown = explain("At {{ site }} it fails.", {"site": hostile_text})

    tokens = MarkdownIt("commonmark").parse(shown)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children} <= {"text", "text_special"}


@given(st.text(), st.text())
def test_any_value_leaves_the_code_fences_closed(site_name, ap):
    shown = explain("```\n{{ site }}\n```\n{{ ap }}\n", {"site": site_name, "ap": ap})

    assert shown.count("```") == 2
