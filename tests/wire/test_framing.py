"""The pure parts: cutting streams into answers, whatever the chunks and whatever the content."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.wire.cli_framing import (
    has_prompt,
    learn_prompt,
    pipelined_answers,
    plain,
    refusals_of,
    single_answer,
)
from mtughost.wire.framing import FrameReader, Nonce, build_script, quoted
from mtughost.wire.text import excerpt, to_text

NONCE = Nonce("0123456789abcdef", "fedcba9876543210")
PROMPT = "AP-1#"
outputs = st.lists(st.binary(max_size=60), min_size=1, max_size=6)


def wire_bytes(answers, codes=None) -> bytes:
    word = NONCE.word
    raw = b"\n" + word + b" p 4711\n"
    for index, data in enumerate(answers):
        code = (codes or [0] * len(answers))[index]
        raw += b"\n%s b %d\n" % (word, index) + data + b"\n%s e %d %d\n" % (word, index, code)
    return raw


def cut(raw: bytes, sizes) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(raw[at : at + size])
        at += size
    return [*pieces, raw[at:]]


@given(outputs, st.lists(st.integers(1, 40), max_size=30), st.binary(max_size=30))
def test_frames_are_exact_for_any_output_in_any_chunks(answers, sizes, noise):
    reader = FrameReader(NONCE, len(answers))
    for piece in cut(noise + wire_bytes(answers), sizes):
        reader.feed(piece)

    assert reader.done
    assert not reader.broken
    assert [frame.data for frame in reader.frames] == answers
    assert (reader.noise, reader.pid) == (noise, 4711)


@given(outputs, st.data())
def test_a_cut_off_stream_never_completes_the_command_under_way(answers, data):
    raw = wire_bytes(answers)
    at = data.draw(st.integers(0, len(raw) - 1))
    reader = FrameReader(NONCE, len(answers))
    reader.feed(raw[:at])

    assert not reader.done
    assert [frame.data for frame in reader.frames] == answers[: len(reader.frames)]


@pytest.mark.parametrize(
    "raw",
    [
        wire_bytes([b"a"]).replace(b" b 0", b" b 1"),
        wire_bytes([b"a"]).replace(b" e 0 0", b" e 1 0"),
        wire_bytes([b"a"]).replace(b" e 0 0", b" e 0"),
        wire_bytes([b"a"]).replace(b" b 0", b" e 0 0"),
        wire_bytes([b"a\n" + NONCE.word + b" b 0"]),
        wire_bytes([b"a\n" + NONCE.word + b" and more that is no marker" + b"x" * 80]),
    ],
)
def test_a_marker_out_of_order_breaks_the_stream(raw):
    reader = FrameReader(NONCE, 1)
    reader.feed(raw)

    assert reader.broken
    assert not reader.done


def test_the_script_never_contains_its_own_marker():
    script = build_script(["echo hi"], NONCE, ["LC_ALL=C; export LC_ALL"])

    assert NONCE.word.decode() not in script
    assert "LC_ALL=C" in script


def test_two_nonces_are_never_the_same():
    assert Nonce.fresh() != Nonce.fresh()


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_quoting_survives_a_posix_shell_parser(text):
    assert shlex.split(quoted(text)) == [text]


def test_a_quoted_line_reaches_the_shell_unchanged():
    line = "printf '%s|' a \"b c\" '$x' `echo d` \\e"
    done = subprocess.run(
        ["sh", "-c", build_script([line], NONCE)], capture_output=True, check=True
    )
    reader = FrameReader(NONCE, 1)
    reader.feed(done.stdout)

    assert reader.frames[0].data == b"a|b c|$x|d|e|"


# -- command lines -----------------------------------------------------------------------

rows = st.lists(
    st.one_of(
        st.sampled_from([PROMPT, PROMPT + "show b", PROMPT + " ", "", "show b", PROMPT[:3]]),
        st.text(alphabet="ab #>1", max_size=8),
    ),
    max_size=5,
)
LINES = ["show a", "show b", "show c"]


def said(answers, lines=LINES) -> str:
    """What a well-behaved device sends for lines typed at once, and an empty one after them."""
    parts = [
        f"{line}\n" + "".join(f"{row}\n" for row in answer) + PROMPT
        for line, answer in zip(lines, answers, strict=True)
    ]
    return "".join(parts) + "\n" + PROMPT


@given(st.tuples(rows, rows, rows))
def test_a_pipelined_answer_is_exact_or_refused(answers):
    got = pipelined_answers(said(answers), PROMPT, [*LINES, ""])
    exact = tuple("".join(f"{row}\n" for row in answer) for answer in answers)

    assert got is None or got[:3] == exact


def test_a_clean_pipelined_batch_is_accepted():
    got = pipelined_answers(said([["x"], [], ["y", "z"]]), PROMPT, [*LINES, ""])

    assert got == ("x\n", "", "y\nz\n", "")


@given(st.tuples(rows, rows, rows), st.data())
def test_a_pipelined_stream_that_lost_lines_is_refused(answers, data):
    text = said(answers).split("\n")
    lost = data.draw(st.integers(0, len(text) - 1))
    if text[lost].startswith(PROMPT) or lost == 0:
        del text[lost]
        got = pipelined_answers("\n".join(text), PROMPT, [*LINES, ""])
        exact = tuple("".join(f"{row}\n" for row in answer) for answer in answers)
        assert got is None or got[:3] == exact or any(PROMPT in "".join(a) for a in answers)


def test_a_single_answer_needs_its_echo_and_the_prompt():
    assert single_answer(f"show a\nx\n{PROMPT}", PROMPT, "show a") == "x\n"
    assert single_answer(f"show a\n{PROMPT}", PROMPT, "show a") == ""
    assert single_answer(f"show b\nx\n{PROMPT}", PROMPT, "show a") is None
    assert single_answer("show a\nx\nAP-2#", PROMPT, "show a") is None
    assert single_answer(PROMPT, PROMPT, "show a") is None


def test_the_prompt_is_learned_only_where_echo_and_last_line_agree():
    looks = re.compile(r"[\w-]+[#>]")

    assert learn_prompt("hello #\nAP-1#off\nAP-1#", "off", looks) == "AP-1#"
    assert learn_prompt("AP-1#off\nAP-2#", "off", looks) == ""
    assert learn_prompt("AP-1#off\n", "off", looks) == ""
    assert learn_prompt("AP-1#\nAP-1#", "", looks) == "AP-1#"
    assert learn_prompt("AP-1#", "", looks) == ""
    assert learn_prompt("not a prompt\nnot a prompt", "", looks) == ""


def test_a_redrawn_line_is_read_as_it_ends_up():
    assert plain("show intX\x08\x08 a\x08b") == "show in b"
    assert plain("\x08show") == "show"


def test_lines_like_the_prompt_are_noticed():
    assert has_prompt("a\nAP-1#\nb", PROMPT)
    assert not has_prompt("a AP-1#\n", PROMPT)


def test_a_refusal_is_found_on_its_line():
    refusals = refusals_of((r"^% ?Invalid",))

    assert refusals.first("x\n% Invalid input\n") == "% Invalid input"
    assert refusals.first("said: % Invalid\n") == ""


def test_a_refusal_is_found_again_after_more_lines_than_are_remembered():
    refusals = refusals_of((r"^%.*denied$",))
    asked = "% access denied\n"
    for start in range(0, 20_000, 1000):
        assert refusals.first("".join(f"line {n}\n" for n in range(start, start + 1000))) == ""
        assert refusals.first(f"%{'x' * 400}\n{asked}") == asked.strip()
    assert len(refusals._known) <= 4096


@given(st.binary())
def test_any_bytes_become_text_without_carriage_returns(raw):
    assert "\r" not in to_text(raw)


@given(st.text(alphabet="\r\nx"))
def test_every_kind_of_line_end_becomes_one(text):
    assert to_text(text.encode()) == re.sub("\r+\n|\n\r|\r", "\n", text)


@given(st.text())
def test_an_excerpt_is_one_inert_line(text):
    shown = excerpt(text)

    assert all(" " <= char <= "~" or char == "…" for char in shown)
    assert len(shown) <= 161
