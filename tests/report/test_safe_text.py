import csv
import html as stdlib_html
import io
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mtughost.report.safe_text import (
    ascii_only,
    csv_line,
    encodable,
    for_csv,
    for_html,
    for_markdown,
    for_terminal,
    inert,
    markdown_code,
)

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.text(
    st.sampled_from("\x1b[]\r\n\t=+-@|`*_<>&\"'\\#!~$.:/a1 \u202e\x9b\u2028\ud800")
)


def unsafe_characters(text, allowed=""):
    return [
        hex(ord(char))
        for char in text
        if char not in allowed
        and (unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    ]


def test_the_table_is_large_enough(hostile):
    assert len(hostile) >= 100


def test_no_character_that_acts_or_reorders_reaches_a_terminal(hostile_text):
    assert unsafe_characters(for_terminal(hostile_text)) == []


def test_lines_are_kept_only_on_request(hostile_text):
    assert "\n" not in for_terminal(hostile_text)
    assert unsafe_characters(for_terminal(hostile_text, lines=True), "\n\t") == []


def test_an_overwriting_carriage_return_shows_both_values():
    shown = for_terminal("mtu 1500\rmtu 9000")

    assert shown == "mtu 1500\\rmtu 9000"


def test_hidden_text_becomes_visible():
    assert for_terminal("\x1b[8mpsk\x1b[0m") == "\\x1b[8mpsk\\x1b[0m"


def test_a_bidirectional_override_is_named():
    assert inert("\u202eabc") == "\\u202eabc"
    assert inert("\U000e0041") == "\\U000e0041"


def test_ordinary_letters_of_any_script_stay():
    text = "Caf\u00e9 \u4f60\u597d \u0e44\u0e17\u0e22 vlan20 1492"

    assert inert(text) == text


def test_a_long_value_says_how_much_is_left_out():
    shown = inert("A" * 5000)

    assert shown.startswith("A" * 4000)
    assert shown.endswith("... (1000 more characters)")


def test_a_terminal_without_utf8_gets_ascii(hostile_text):
    assert ascii_only(for_terminal(hostile_text)).isascii()


@given(ANY_TEXT)
def test_any_text_is_inert_and_encodable(text):
    shown = inert(text, max_chars=None)

    assert unsafe_characters(shown) == []
    shown.encode("utf-8")
    assert inert(shown, max_chars=None) == shown


@given(ANY_TEXT)
def test_any_text_can_be_stored_as_utf8(text):
    encodable(text).encode("utf-8")


class Page(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.words = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag):
        self.tags.append((tag, "end"))

    def handle_data(self, data):
        self.words.append(data)

    def handle_comment(self, data):
        self.tags.append(("comment", data))

    def handle_decl(self, decl):
        self.tags.append(("decl", decl))

    def unknown_decl(self, data):
        self.tags.append(("decl", data))


def parsed(text):
    page = Page()
    page.feed(text)
    page.close()
    return page


def test_html_content_stays_one_text(hostile_text):
    page = parsed(f"<p>{for_html(hostile_text)}</p>")

    assert page.tags == [("p", []), ("p", "end")]
    assert "".join(page.words) == inert(hostile_text, lines=True)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_html_attributes_stay_one_value(hostile_text, quote):
    page = parsed(f"<p title={quote}{for_html(hostile_text)}{quote}>x</p>")

    assert page.tags == [("p", [("title", inert(hostile_text, lines=True))]), ("p", "end")]


@given(ANY_TEXT)
def test_html_of_any_text_reads_back_as_the_inert_text(text):
    assert stdlib_html.unescape(for_html(text)) == inert(text, lines=True)


def test_csv_reads_back_as_one_inert_cell(hostile_text):
    line = csv_line([hostile_text, "next"])

    rows = list(csv.reader(io.StringIO(line, newline="")))

    assert len(rows) == 1
    assert len(rows[0]) == 2
    assert rows[0][0].removeprefix("'") in {inert(hostile_text), inert(hostile_text)[1:]}
    assert unsafe_characters(rows[0][0]) == []


def test_no_csv_cell_starts_a_formula(hostile_text):
    cell = next(csv.reader(io.StringIO(for_csv(hostile_text), newline="")), [""])[0]

    starts = (
        "=",
        "+",
        "-",
        "@",
        "|",
        "%",
        "\t",
        "\r",
        "\n",
        "\uff1d",
        "\uff0b",
        "\uff0d",
        "\uff20",
    )
    assert not cell.lstrip(" \"'").startswith(starts) or cell.startswith("'")


def test_csv_numbers_stay_numbers():
    assert csv_line([1452, -1, None, "x"]) == '1452,-1,,"x"\r\n'


def rendered_text(markdown):
    """Return the words and the inline token types that a CommonMark reader sees."""
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable("table")
    tokens = reader.parse(markdown)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children
    return "".join(child.content for child in children), {child.type for child in children}


def test_markdown_renders_as_exactly_the_text(hostile_text):
    expected = inert(hostile_text).strip(" ")
    if not expected:
        assert for_markdown(hostile_text) == ""
        return

    words, kinds = rendered_text(for_markdown(hostile_text))

    assert words == expected
    assert kinds <= {"text", "text_special"}


def test_markdown_does_not_become_a_link_where_bare_links_are_found(hostile_text):
    shown = for_markdown(hostile_text)

    assert "://" not in shown
    assert "www." not in shown


def test_markdown_does_not_break_a_table_cell(hostile_text):
    table = f"| a | b |\n|---|---|\n| {for_markdown(hostile_text)} | x |\n"

    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(table)

    assert sum(token.type == "td_open" for token in tokens) == 2


def test_a_markdown_code_span_holds_exactly_the_text(hostile_text):
    words, kinds = rendered_text("x " + markdown_code(hostile_text))

    assert kinds == {"text", "code_inline"}
    assert words.removeprefix("x ").strip(" ") == inert(hostile_text).strip(" ")


@given(ANY_TEXT)
def test_markdown_of_any_text_renders_as_that_text(text):
    expected = inert(text).strip(" ")
    if expected:
        assert rendered_text(for_markdown(text))[0] == expected
