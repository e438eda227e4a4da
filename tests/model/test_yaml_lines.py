from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mtughost.model.errors import ContentError
from mtughost.model.yaml_lines import LineMap, dotted, load_yaml, read_yaml

BOOK = """\
# a comment
host:
  port: 22
  names: [a, b]
  services:
    - name: radsec
      tls: mutual
    - {name: web, port: 8443}
"""


def test_values_come_with_the_line_of_every_key_and_item():
    value, lines = load_yaml(BOOK, "hosts.yaml")

    assert value == {
        "host": {
            "port": 22,
            "names": ["a", "b"],
            "services": [{"name": "radsec", "tls": "mutual"}, {"name": "web", "port": 8443}],
        }
    }
    assert lines.line(("host", "port")) == 3
    assert lines.line(("host", "services", 0, "tls")) == 7
    assert lines.line(("host", "services", 1)) == 8


def test_a_missing_key_has_the_line_of_its_parent():
    _, lines = load_yaml(BOOK, "hosts.yaml")

    assert lines.line(("host", "services", 1, "host")) == 8
    assert lines.line(("nobody",)) == 1
    assert LineMap().line() == 1


AMBIGUOUS = """
no yes on off Yes NO 017 08 0o17 0x5dc 0b11 12:30 190:20:30 1_500 1e3 1.5e3 2024-01-01 .inf .nan
99999999999999999999 = <<
"""


@pytest.mark.parametrize("scalar", AMBIGUOUS.split())
def test_a_scalar_that_yaml_versions_read_differently_is_refused(scalar):
    document = read_yaml(f"first: 1\nkey: {scalar}\n")

    assert [(p.line, p.path) for p in document.problems] == [(2, ("key",))]
    assert "quote it" in document.problems[0].reason


@pytest.mark.parametrize("scalar", ["no", "017", "12:30", "0x5dc", "1e3", "~", "2024-01-01"])
def test_a_quoted_scalar_is_text(scalar):
    assert load_yaml(f"key: '{scalar}'\n", "x.yaml")[0] == {"key": scalar}


def test_plain_values_keep_their_types():
    value, _ = load_yaml("[1500, -1, 0, 1.5, true, False, ~, null, text, 10.0.0.1, 'a:b']", "x")

    assert value == [1500, -1, 0, 1.5, True, False, None, None, "text", "10.0.0.1", "a:b"]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "first given in line 1"),
        ("a:\n  - !!python/object/apply:os.system [id]\n", 2, "tag"),
        ("a: !custom x\n", 1, "tag"),
        ("a: &x 1\nb: *x\n", 2, "alias"),
        ("a: {b: 1}\n<<: {c: 1}\n", 2, "merge"),
        ("a: 1\nno: 2\n", 2, "quote it"),
        ("1: 2\n", 1, "quote it"),
        ("a: 1\n? [x, y]\n: 1\n", 2, "must be text"),
        ("a: 1\n---\nb: 1\n", 2, "second YAML document"),
        ("a: 1\nb: 'open\n", 3, "not valid YAML"),
        ("a: [1, 2\n", 2, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\nb: \x01\n", 2, "U+0001"),
        ("a: 1\n\nb: \x1b[2J\n", 3, "U+001B"),
        ("\ud800", 1, "U+D800"),
    ],
)
def test_hostile_text_is_one_readable_error_with_its_line(text, line, word):
    with pytest.raises(ContentError) as caught:
        load_yaml(text, "hosts.yaml")

    assert caught.value.path == "hosts.yaml"
    assert caught.value.line == line
    assert word in str(caught.value)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_ends_in_an_error_and_not_in_a_crash(opening):
    with pytest.raises(ContentError, match=r"deep|not valid YAML"):
        load_yaml(opening * 50_000, "bomb.yaml")


def test_every_problem_of_a_file_is_collected():
    document = read_yaml("a: no\nb: 017\nc: 1\nc: 2\n")

    assert [p.line for p in document.problems] == [1, 2, 4]
    with pytest.raises(ContentError, match="and 2 more"):
        load_yaml("a: no\nb: 017\nc: 1\nc: 2\n", "x.yaml")


def test_a_password_is_not_quoted_in_a_message():
    document = read_yaml("password: 0123456\n")

    assert document.problems
    assert "0123456" not in str(document.problems)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~\n"])
def test_an_empty_document_is_none(text):
    assert load_yaml(text, "x.yaml")[0] is None


def test_key_paths_are_written_as_people_do():
    assert dotted(("data", "services", 0, "port")) == "data.services[0].port"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_pyyaml_writes_is_read_back_equal(value):
    text = yaml.safe_dump(value, allow_unicode=False)

    assert read_yaml(text).value == value


@given(st.text())
def test_any_text_ends_in_a_document_and_never_in_another_error(text):
    document = read_yaml(text)

    assert all(problem.line >= 1 for problem in document.problems)
