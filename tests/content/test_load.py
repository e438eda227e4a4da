"""A wrong book is an error that names file, line and key; nothing half-valid is ever used."""

from __future__ import annotations

import pytest

from mtughost.content.load import load_book, load_runbook
from mtughost.model.errors import ContentError


def broken(root, book_path, old: str, new: str) -> ContentError:
    text = book_path.read_text()
    assert old in text
    book_path.write_text(text.replace(old, new))
    with pytest.raises(ContentError) as caught:
        load_book(root, "tiny")
    return caught.value


def test_a_whole_book_loads_and_is_cached(root):
    book = load_book(root, "tiny")

    assert book.commands["names"].run == "show names"
    assert book.commands["names"].ok_exit_codes == (0,)
    assert load_book(root, "tiny") is book


def test_a_changed_file_is_read_again(root, book_path):
    first = load_book(root, "tiny")
    book_path.write_text(book_path.read_text().replace("A tiny platform", "A changed platform!"))

    assert load_book(root, "tiny").title != first.title


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "words"),
    [
        ("    risk: passive\n", "    rsk: passive\n", 9, "commands.names.rsk", "unknown key"),
        ("    risk: passive\n", "", 7, "commands.names.risk", "missing"),
        ("title:", "titel:", 2, "titel", "unknown key"),
        ("risk: passive", "risk: gentle", 9, "commands.names.risk", "passive"),
        ("basis: document", "basis: hearsay", 10, "commands.names.basis", "document"),
        ("driver: exec", "driver: 12", 3, "driver", "string"),
        ("min: 1, max: 9", "min: 9, max: 1", 18, "commands.look.params.count", "greater"),
        ("min: 1, max: 9", "min: 1", 18, "commands.look.params.count", "min and max"),
        ("type: address", "type: address, max: 3", 17, "commands.look.params.address", "integer"),
        ("type: address", "type: adress", 17, "commands.look.params.address.type", "address"),
        ("  names:\n", "  NAMES:\n", 7, "commands.NAMES", "pattern"),
        ("platform: tiny", "platform: huge", 1, "platform", "'tiny'"),
        ("command: names,", "command: namse,", 21, "read.interfaces[0]", "no command 'namse'"),
        ("parser: names", "parser: other", 21, "read.interfaces[0].parser", "no such parser"),
        ("parser: names", "parser: names, dialect: x", 21, "read.interfaces[0]", "either"),
        ("interfaces:", "interfases:", 20, "read.interfases", "interfaces"),
        ("{{ count }}", "", 12, "commands.look.run", "does not use"),
        ("{{ count }}", "{{ count }} {{ more }}", 12, "commands.look.run", "'more'"),
        ("{{ count }}", "{{ count", 12, "commands.look.run", "template"),
    ],
)
def test_every_mistake_names_file_line_and_key(root, book_path, old, new, line, key, words):
    error = broken(root, book_path, old, new)

    assert (error.path, error.line, error.key) == (str(book_path), line, key)
    assert words in error.reason
    assert str(error).startswith(f"{book_path}:{line}: {key}: ")


@pytest.mark.parametrize(
    "value", ["no", "on", "0o17", "017", "12:30", "1_500", "1e3", "2026-11-21"]
)
def test_scalars_that_yaml_1_1_and_1_2_read_differently_are_refused(root, book_path, value):
    error = broken(root, book_path, "title: A tiny platform", f"title: {value}")

    assert error.line == 2


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1]\nb: *a\n",
        "a: !!python/object/apply:os.system ['true']\n",
        "a: 1\na: 2\n",
        "? [1]\n: 2\n",
        "- just\n- a list\n",
        "",
        "a: [1\n",
        "a: \x00\n",
    ],
)
def test_aliases_tags_duplicates_and_broken_yaml_are_refused(root, book_path, text):
    book_path.write_text(text)

    with pytest.raises(ContentError):
        load_book(root, "tiny")


def test_a_book_above_the_size_limit_is_refused(root, book_path):
    book_path.write_text(book_path.read_text() + "# " + "x" * (1024 * 1024) + "\n")

    with pytest.raises(ContentError, match="larger"):
        load_book(root, "tiny")


def test_an_unknown_platform_names_the_known_ones(root):
    with pytest.raises(ContentError, match="Known platforms: tiny"):
        load_book(root, "nonesuch")


def test_only_passive_commands_without_values_may_be_read(root, book_path):
    error = broken(root, book_path, "command: names,", "command: look,")

    assert "is active, not passive" in error.reason


def test_an_active_command_is_never_the_cloud_push(root, book_path):
    book_path.write_text(
        book_path.read_text() + "cloud-push: {command: names, effect: clients are dropped}\n"
    )

    with pytest.raises(ContentError, match="passive, not disruptive"):
        load_book(root, "tiny")


def test_a_change_must_rest_on_something_confirmed(root, book_path):
    book_path.write_text(
        book_path.read_text()
        + "change:\n  x:\n    summary: x\n    apply: {template: a.j2, lines: 1}\n"
        "    undo: {template: a.j2, lines: 1}\n    cost: none\n"
        "    touches_management: false\n    basis: unconfirmed\n"
    )

    with pytest.raises(ContentError) as caught:
        load_book(root, "tiny")
    assert caught.value.key == "change.x.basis"


def test_a_change_whose_template_or_guard_is_missing_is_refused(root, book_path):
    change = (
        "change:\n  x:\n    summary: x\n    apply: {template: a.j2, lines: 1}\n"
        "    undo: {template: a.j2, lines: 1}\n    guard: none-such\n    cost: none\n"
        "    touches_management: false\n    basis: document\n"
    )
    book_path.write_text(book_path.read_text() + change)
    with pytest.raises(ContentError, match=r"a\.j2"):
        load_book(root, "tiny")
    (root.path / "templates" / "tiny" / "a.j2").write_text("line\n")

    with pytest.raises(ContentError, match="no guard 'none-such'"):
        load_book(root, "tiny")


def test_a_template_that_uses_an_undeclared_value_is_refused(root, book_path):
    (root.path / "templates" / "tiny" / "a.j2").write_text("set {{ surprise }}\n")
    book_path.write_text(
        book_path.read_text()
        + "change:\n  x:\n    summary: x\n    apply: {template: a.j2, lines: 1}\n"
        "    undo: {template: a.j2, lines: 1}\n    cost: none\n"
        "    touches_management: false\n    basis: document\n"
    )

    with pytest.raises(ContentError, match="'surprise'"):
        load_book(root, "tiny")


def test_a_broken_parser_is_the_books_error(root, book_path):
    (root.path / "parsers" / "tiny" / "names.textfsm").write_text("Value NAME (\n")

    with pytest.raises(ContentError, match="TextFSM"):
        load_book(root, "tiny")


def test_a_runbook_is_found_by_its_finding(root):
    (root.path / "runbooks" / "clamp-scope.md").write_text("# Clamp\n")

    assert load_runbook(root, "clamp-scope") == "# Clamp\n"
    with pytest.raises(ContentError):
        load_runbook(root, "no-such-finding")
