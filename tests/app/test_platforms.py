"""What a platform can do is what its task book says, and the README repeats it."""

from __future__ import annotations

import pytest

from mtughost.app.platforms import abilities, all_books, rewritten, sheet, sheet_lines, table
from mtughost.content.book import Book
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content
from mtughost.model.errors import UsageError

CONTENT = packaged_content()


def book(**sections):
    minimal = {
        "platform": "box",
        "title": "Box",
        "driver": "generic",
        "pipeline": "unproven",
        "pipeline_source": "none",
        "commands": {
            "a": {"run": "show a", "risk": "passive", "basis": "sample"},
            "b": {"run": "show b", "risk": "passive", "basis": "document"},
            "dump": {"run": "dump", "risk": "active", "basis": "unconfirmed"},
        },
        "read": {"identity": ({"command": "a", "parser": "a"}, {"command": "b", "parser": "b"})},
    }
    return Book.model_validate(minimal | sections)


def change(basis, cost="none", guard=None):
    lines = {"template": "x.j2", "lines": 1}
    return {
        "summary": "x", "apply": lines, "undo": lines, "cost": cost, "basis": basis,
        "touches_management": False, "guard": guard,
    }  # fmt: skip


CAPTURE = {"reads": "fortinet", "max_seconds": 1, "max_packets": 1, "snap_bytes": 64}
CAPTURING = {"interrupt_key": "ctrl-c", "capture": {"command": "dump", **CAPTURE}}


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"capture": {"command": "dump", **CAPTURE}}, "interrupt_key"),
        ({**CAPTURING, "no_capture": "it cannot"}, "no_capture"),
        ({**CAPTURING, "driver": "exec"}, "shells"),
        ({"capture": {"command": "dump", **CAPTURE, "end": ("a",)}}, "belong to a capture"),
        ({"capture": {"command": "dump", **CAPTURE, "reads": "pcap"}}, "shells"),
        (
            {"capture": {"command": "dump", **CAPTURE, "reads": "pcap", "show": {"packets": "a"}}},
            "streamed, not shown",
        ),
    ],
)
def test_a_capture_that_nothing_could_end_or_read_is_refused(sections, problem):
    with pytest.raises(ValueError, match=problem):
        book(**sections)


def test_a_capture_in_the_devices_memory_needs_no_key():
    shown = {"command": "dump", **CAPTURE, "show": {"packets": "a"}, "end": ("b",)}

    assert book(capture=shown).capture.command_ids == ("dump", "a", "b")


def test_the_sheet_says_what_a_capture_does_not_see_and_why_there_is_none():
    seen = {"command": "dump", **CAPTURE, "misses": "what hardware forwards", "leaving": "unknown"}

    text = "\n".join(sheet_lines(book(interrupt_key="ctrl-c", capture=seen)))
    without = "\n".join(sheet_lines(book(no_capture="it shows its own packets only")))

    assert "does not see: what hardware forwards" in text
    assert "their MSS is not used" in text
    assert "does not capture: it shows its own packets only" in without


def test_the_readme_holds_the_table_of_the_task_books(checkout):
    text = (checkout / "README.md").read_text(encoding="utf-8")

    assert rewritten(text, CONTENT) == text, "run: make platforms"


def test_a_book_without_a_section_can_do_nothing_there():
    row = abilities(book())

    assert row.read == "sample 1, document 1"
    nothing = (row.probe, row.capture, row.mtu_change, row.clamp_change, row.guard)
    assert nothing == ("-",) * 5


def test_the_weakest_basis_counts_and_costs_are_named():
    changes = {
        "clamp-add": change("device"),
        "clamp-widen": change("document", cost="link-flap"),
        "vlan-mtu": change("sample", guard="timer"),
    }
    lines = {"template": "x.j2", "lines": 1}
    guard = {
        "method": "device-timer", "pending": "on", "idle": "off", "arm": lines,
        "read_back": lines, "confirm": lines, "cancel": lines,
        "survives": (), "reboot_reverts": False, "cost": "reboot", "basis": "document",
    }  # fmt: skip
    row = abilities(book(change=changes, guard={"timer": guard}, **CAPTURING))

    assert (row.clamp_change, row.mtu_change) == ("document, link-flap", "sample")
    assert row.guard == "device-timer (document), costs reboot; inverse commands only"
    assert row.capture == "unconfirmed"


@pytest.mark.parametrize("platform", CONTENT.platforms())
def test_every_command_of_a_book_stands_on_its_sheet(platform):
    found = load_book(CONTENT, platform)

    shown = sheet(found)

    listed = {c["name"] for commands in shown["reads"].values() for c in commands}
    listed |= {c["name"] for c in shown["other_commands"]}
    assert listed == set(found.commands)
    text = "\n".join(sheet_lines(found))
    assert all(spec.run.split("\n")[0] in text for spec in found.commands.values())


def test_a_table_has_one_row_per_book():
    assert table(all_books(CONTENT)).count("\n") == len(CONTENT.platforms()) + 2


def test_a_readme_without_a_place_for_the_table_is_refused():
    with pytest.raises(UsageError, match="platforms"):
        rewritten("# nothing\n", CONTENT)
