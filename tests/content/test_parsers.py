"""The memo parser gives the rows of stock TextFSM, knows their lines, and loses no line."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import pytest
import textfsm
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost.content.parsers import MAX_LINE_CHARS, MEMO_ENTRIES, Parser, load_parser
from mtughost.content.root import packaged_content
from mtughost.model.errors import ContentError

CASES = Path(__file__).resolve().parent.parent / "fixtures" / "parsers"
RECORDED = sorted(CASES.glob("*/*/*.raw"))
TEMPLATES = {path: path.read_text() for path in packaged_content().path.glob("parsers/*/*.textfsm")}

#: A template with every option and operator that TextFSM has.
EVERYTHING = """\
Value Required,Key NAME (\\S+)
Value Filldown GROUP (\\w+)
Value Fillup LATER (\\d+)
Value List ITEMS (\\S+)
Value List PAIRS ((?P<left>\\w+)=(?P<right>\\w+))
Value PLAIN (\\S*)

Start
  ^group ${GROUP}
  ^name -> Continue.Record
  ^name ${NAME}
  ^item ${ITEMS}
  ^pair ${PAIRS}
  ^later ${LATER}
  ^plain ${PLAIN}
  ^clear -> Clear
  ^wipe -> Clearall
  ^more -> More
  ^stop -> End

More
  ^item ${ITEMS} -> Continue
  ^\\S+ ${PLAIN}
  ^less -> Start
  ^record -> Record Start
"""
LINES = st.sampled_from(
    [
        "group",
        "name",
        "item",
        "pair",
        "later",
        "plain",
        "clear",
        "wipe",
        "more",
        "less",
        "record",
        "stop",
        "other",
        "",
    ]
).flatmap(
    lambda word: st.sampled_from(["", " a", " b", " 12", " 34", " k=v", " x=y extra"]).map(
        word.__add__
    )
)
TEXTS = st.lists(LINES, max_size=40).map("\n".join)


def stock_rows(template: str, text: str) -> list[dict[str, object]]:
    fsm = textfsm.TextFSM(io.StringIO(template))
    return [dict(zip(fsm.header, row, strict=True)) for row in fsm.ParseText(text)]


SHARED = Parser(EVERYTHING, "everything")


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_rows_equal_stock_textfsm_with_a_warm_memo(text):
    SHARED.rows(text)
    SHARED.rows(text)  # what came twice is remembered

    assert list(SHARED.rows(text).rows) == stock_rows(EVERYTHING, text)


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_every_row_has_its_line_and_every_line_a_place(text):
    read = SHARED.rows(text)
    lines = text.split("\n")

    assert len(read.lines) == len(read.rows)
    assert all(1 <= line <= len(lines) for line in read.lines)
    assert all(lines[line - 1] == shown for line, shown in read.unplaced)


@pytest.mark.parametrize("raw", RECORDED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_recorded_answers_give_their_recorded_rows_and_those_of_stock_textfsm(raw):
    platform, name = raw.parent.parent.name, raw.parent.name
    expected = json.loads(raw.with_suffix(".json").read_text())
    text = raw.read_text()

    read = load_parser(packaged_content(), platform, name).rows(text)

    shown = [
        {"LINE": line, **{key: value for key, value in row.items() if value}}
        for row, line in zip(read.rows, read.lines, strict=True)
    ]
    assert shown == expected["rows"]
    assert [list(item) for item in read.unplaced] == expected["unplaced"]
    template = packaged_content().path / "parsers" / platform / f"{name}.textfsm"
    assert list(read.rows) == stock_rows(template.read_text(), text)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_parser_has_a_recorded_case(template):
    assert list((CASES / template.parent.name / template.stem).glob("*.raw"))


def test_shared_samples_give_the_rows_of_stock_textfsm(shared):
    for path in sorted((shared / "samples" / "gateways" / "linux").glob("*.txt")):
        text = path.read_text()
        for template, source in TEMPLATES.items():
            read = load_parser(packaged_content(), template.parent.name, template.stem).rows(text)
            assert list(read.rows) == stock_rows(source, text), (path.name, template.stem)


def test_a_line_that_no_rule_places_is_handed_back_with_its_number():
    read = SHARED.rows("name a\nwhat is this\n\nitem x\n")

    assert read.unplaced == ((2, "what is this"),)
    assert read.rows[0]["ITEMS"] == ["x"]


@pytest.mark.parametrize("operator", ["Clear", "Clearall"])
def test_a_row_that_was_given_up_gives_its_line_to_no_other(operator):
    parser = Parser(
        f"Value A (\\d+)\nValue B (\\w+)\n\nStart\n  ^a -> Continue.{operator}\n"
        "  ^a ${A}$$\n  ^b ${B}$$ -> Record\n",
        "x",
    )

    read = parser.rows("a 1\na 2\nb x\n")

    assert read.lines == (2,)
    assert read.rows[0]["A"] == "2"


def test_an_error_rule_makes_the_line_unplaced_and_reading_goes_on():
    parser = Parser("Value A (\\d+)\n\nStart\n  ^${A}$$ -> Record\n  ^. -> Error\n", "x")

    read = parser.rows("1\nx\n2\n")

    assert [row["A"] for row in read.rows] == ["1", "2"]
    assert read.unplaced == ((2, "x"),)


def test_only_lf_ends_a_line_so_that_device_text_cannot_make_lines():
    read = SHARED.rows("name a\u2028name b\rname c\nname d\n")

    assert [row["NAME"] for row in read.rows] == ["a", "d"]
    assert read.lines == (1, 2)


def test_a_line_above_the_limit_is_cut_and_counts_as_not_placed():
    read = SHARED.rows("name " + "x" * (MAX_LINE_CHARS * 2) + "\nname b\n")

    assert [line for line, _ in read.unplaced] == [1]
    assert all(len(text) <= MAX_LINE_CHARS for _, text in read.unplaced)
    assert read.rows[1]["NAME"] == "b"


def test_past_the_deadline_the_rest_is_not_placed():
    read = SHARED.rows("name a\n" * 1000, deadline_s=-1.0)

    assert not [row for row in read.rows if row["NAME"]]
    assert len(read.unplaced) == 1000


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_no_parser_of_ours_backtracks_on_hostile_lines(template):
    parser = load_parser(packaged_content(), template.parent.name, template.stem)
    words = [
        "a ",
        "1.",
        "::",
        "x=",
        "via ",
        "dev ",
        " mtu",
        ",26",
        "-",
        "\t ",
        "/",
        "uid ",
        "1: a: <",
    ]
    text = "\n".join(
        head + word * (MAX_LINE_CHARS // len(word)) + "!"
        for word in words
        for head in ("", "default ", "1: a: <UP> mtu 1 ", "ESTAB 0 0 ", "    ", "service: ")
    )
    began = time.thread_time()  # the machine may be busy with something else

    parser.rows(text, deadline_s=60.0)

    assert time.thread_time() - began < 2.0


def test_the_memo_is_bounded():
    for start in range(0, 3 * MEMO_ENTRIES, 1000):
        text = "\n".join(f"name n{start + i}" for i in range(1000))
        for _ in range(3):
            SHARED.rows(text)

    assert MEMO_ENTRIES // 2 <= _held() <= MEMO_ENTRIES
    assert len(SHARED._fsm._marks) <= MEMO_ENTRIES


def test_lines_that_came_once_take_no_place_in_the_memo():
    before = _held()
    SHARED.rows("\n".join(f"name only-once-{i}" for i in range(100)))

    assert _held() == before


def _held():
    fsm = SHARED._fsm
    return sum(len(lines) for memo in (fsm._memo, fsm._older) for lines in memo.values())


def test_threads_share_one_parser():
    texts = [f"name n{i}\nitem i{i}\n" * 50 for i in range(8)]
    found: dict[int, object] = {}

    def work(number: int) -> None:
        for _ in range(5):
            found[number] = SHARED.rows(texts[number]).rows

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(list(found[i]) == stock_rows(EVERYTHING, texts[i]) for i in range(8))


def test_a_template_is_compiled_once_per_process(root):
    assert load_parser(root, "tiny", "names") is load_parser(root, "tiny", "names")


def test_a_missing_or_broken_template_is_an_error_of_content(root):
    (root.path / "parsers" / "tiny" / "broken.textfsm").write_text("Start\n  ^${NOPE}\n")

    with pytest.raises(ContentError, match="no such parser"):
        load_parser(root, "tiny", "none")
    with pytest.raises(ContentError, match="not a valid TextFSM template"):
        load_parser(root, "tiny", "broken")


def test_a_book_may_name_the_parser_of_the_platform_whose_program_it_runs():
    own = load_parser(packaged_content(), "linux", "nodename")

    assert load_parser(packaged_content(), "vyos", "linux/nodename") is own
    with pytest.raises(ContentError):
        load_parser(packaged_content(), "vyos", "linux/nothing")
