"""Lines that are sent: one where one is planned, as many as declared, in a sandbox."""

from __future__ import annotations

import pytest

from mtughost.content.load import load_book
from mtughost.content.render import render_change, render_command, render_guard
from mtughost.model.errors import ContentError, UsageError

CHANGE = """\
change:
  widen:
    summary: Widen it
    params:
      table: {type: token}
      interfaces: {type: interface, many: true}
      mss: {type: integer, min: 536, max: 9000}
    apply: {template: widen.j2, lines: 2}
    undo: {template: widen.undo.j2, lines: 1}
    preview: {template: widen.preview.j2, lines: 1}
    guard: later
    cost: none
    touches_management: false
    basis: device
    timeout_s: 7
guard:
  later:
    method: detached-restore
    params:
      token: {type: run-token}
      undo: {type: script}
    arm: {template: arm.j2, lines: 1}
    read_back: {template: arm.j2, lines: 1}
    confirm: {template: arm.j2, lines: 1}
    cancel: {template: arm.j2, lines: 1}
    revert: {template: arm.j2, lines: 1}
    clean: {template: arm.j2, lines: 1}
    survives: [tool-death]
    reboot_reverts: true
    cost: none
    basis: device
"""
VALUES = {"table": "clamp", "interfaces": ["vlan20", "vlan30"], "mss": 1452}
TEMPLATES = {
    "widen.j2": "{# a remark #}\n"
    "add {{ table }} { {{ interfaces | join(', ') }} }\n\n  set {{ mss }}\n",
    "widen.undo.j2": "remove {{ table }}\n",
    "widen.preview.j2": "check {{ table }}\n",
    "arm.j2": "arm {{ token }} {{ undo | join(' ') }}\n",
}


@pytest.fixture
def book(root, book_path):
    book_path.write_text(book_path.read_text() + CHANGE)
    for name, text in TEMPLATES.items():
        (root.path / "templates" / "tiny" / name).write_text(text)
    return load_book(root, "tiny")


def test_a_command_carries_what_the_book_says_of_it(root):
    command = render_command(
        load_book(root, "tiny"), "look", {"interface": "vlan20", "address": "10.0.0.1", "count": 3}
    )

    assert command.line == "show one vlan20 10.0.0.1 3"
    assert (command.command_id, command.risk, command.basis) == ("look", "active", "document")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"interface": "vlan20", "address": "10.0.0.1"},
        {"interface": "vlan20", "address": "10.0.0.1", "count": 3, "more": 1},
        {"interface": "vlan20", "address": "10.0.0.1", "count": 10},
    ],
)
def test_missing_surplus_and_unfit_values_are_refused(root, values):
    with pytest.raises(ContentError):
        render_command(load_book(root, "tiny"), "look", values)


def test_a_command_that_is_not_in_the_book_cannot_be_made(root):
    with pytest.raises(UsageError):
        render_command(load_book(root, "tiny"), "reboot")


def test_a_change_renders_each_section_to_its_declared_lines(root, book):
    change = render_change(root, book, "widen", VALUES)

    assert [line.line for line in change.apply] == ["add clamp { vlan20, vlan30 }", "set 1452"]
    assert [line.command_id for line in change.apply] == ["widen.apply.1", "widen.apply.2"]
    assert [line.line for line in change.undo] == ["remove clamp"]
    assert [line.command_id for line in change.preview] == ["widen.preview"]
    assert change.persist == ()
    assert {(line.risk, line.basis, line.timeout_s) for line in change.apply} == {
        ("change", "device", 7.0)
    }


def test_a_template_that_renders_to_another_number_of_lines_is_refused(root, book):
    (root.path / "templates" / "tiny" / "widen.j2").write_text("add {{ table }}\n")

    with pytest.raises(ContentError, match=r"1 lines, but widen\.apply declares 2"):
        render_change(root, book, "widen", VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "{{ table.__class__.__mro__ }}\nx\n",
        "{{ ''.__class__ }}\nx\n",
        "{{ cycler.__init__ }}\nx\n",
        "{% for i in range(9) %}x{% endfor %}\nx\n",
        "{{ 'x' * 100000000 }}\nx\n",
        "{{ 2 ** 100000 }}\nx\n",
        "{{ misspelt }}\nx\n",
        "{% include '/etc/passwd' %}\nx\n",
        "a\rb\nx\n",
        "a\u2028b\nx\n",
    ],
)
def test_a_hostile_template_reaches_nothing(root, book, text):
    (root.path / "templates" / "tiny" / "widen.j2").write_text(text)

    with pytest.raises(ContentError):
        render_change(root, book, "widen", VALUES)


def test_a_guard_takes_the_undo_lines_quoted_as_one_word_each(root, book):
    change = render_change(root, book, "widen", VALUES)

    guard = render_guard(root, book, "later", {"token": "0123456789abcdef", "undo": change.undo})

    assert guard.arm[0].line == "arm 0123456789abcdef 'remove clamp'"
    assert guard.enter == ()


def test_changes_and_guards_that_are_not_in_the_book_cannot_be_made(root, book):
    with pytest.raises(UsageError):
        render_change(root, book, "reboot", {})
    with pytest.raises(UsageError):
        render_guard(root, book, "hope", {})
