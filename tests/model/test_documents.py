"""One value, one byte form, one digest; everything else is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.model.approvals import parse_approval
from mtughost.model.documents import canonical_bytes, digest, parse_plain
from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import (
    TOKEN_MARK,
    PlanItem,
    PlannedLine,
)
from mtughost.model.session import RenderedCommand

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
)
KEYS = st.text(st.characters(max_codepoint=126, min_codepoint=32))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


@given(VALUES)
def test_what_is_written_is_read_back(value):
    assert parse_plain(canonical_bytes(value)) == value


@given(VALUES)
def test_any_other_spelling_of_the_same_value_is_refused(value):
    spelled = json.dumps(value, indent=1).encode()
    if spelled != canonical_bytes(value):
        with pytest.raises(ValueError, match="canonical"):
            parse_plain(spelled)


@given(st.dictionaries(KEYS, SCALARS))
def test_the_order_of_keys_changes_nothing(value):
    assert digest(value) == digest(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [1.5, float("nan"), {1: 2}, {"ä": 1}, {"a": {1, 2}}, b"x"])
def test_what_has_no_single_form_is_not_written(value):
    with pytest.raises(ValueError, match=r".+"):
        canonical_bytes(value)


def test_a_lone_surrogate_is_not_written():
    with pytest.raises(UnicodeEncodeError):
        canonical_bytes("\ud800")


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a":1,"a":1}', b"[1.0]", b"NaN", b"1e3", b"-0", b" 1", b"01", b"\xff"]
)
def test_what_is_not_canonical_is_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        parse_plain(data)


def test_a_document_is_refused_by_the_name_of_its_field():
    with pytest.raises(PlanRefusedError, match="plan_digest: Field required"):
        parse_approval(b'{"schema":"mtughost/approval/v1"}')


def test_a_planned_line_takes_the_runs_token_and_only_there():
    line = PlannedLine.of(
        RenderedCommand(
            command_id="g",
            line=f"mv {TOKEN_MARK}/a b",
            risk="change",
            basis="device",
            timeout_s=1.2,
        )
    )

    assert line.timeout_s == 2
    assert line.command("00ff").line == "mv 00ff/a b"
    with pytest.raises(PlanRefusedError, match="token"):
        line.command()


def test_items_are_values():
    assert PlanItem(path="a", value="b") == PlanItem(path="a", value="b")
