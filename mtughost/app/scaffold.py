"""Starts for a vendor: a task book that is valid and proves nothing, parsers that place nothing.

Each comes with a recorded case whose test fails until somebody has written down, by hand, what the
output says, and a parser that finds it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mtughost.collect import rows as row_columns
from mtughost.content.book import Kind
from mtughost.content.load import load_book
from mtughost.content.root import ENGINE_FOLDERS, ContentRoot
from mtughost.model.errors import ContentError, UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_BOOK = """\
# Everything that mtughost may ever send to {name}. tasks/README.md describes every key.
# "basis" is where a line is known from: device (you saw it answer), sample (recorded output was
# read), document (the vendor's reference), unconfirmed (nobody knows; never used for a change).

platform: {name}
title: {name}, say here which devices and versions
driver: {driver}
pipeline: unproven
pipeline_source: no transcript of a real device shows several commands typed at once
driver_writes: say here what the driver itself writes on connect, and how that is avoided
{cli}
commands:
  version:
    run: show version
    risk: passive
    basis: unconfirmed
    note: model, version, serial number, host name

read:
  identity:
    - {{command: version, parser: version}}
"""
_CLI = """\
# The prompt, whole: a pattern that also fits a line of output cuts answers short.
prompt_patterns:
  - '[\\w.-]{1,64}[>#] ?'
# What the device says to a line that it refuses.
error_patterns:
  - '^% ?(Invalid|Unknown|Unrecognized)'
"""
_PARSER = """\
# {command}
{values}
Start
  # Every line of the output needs a rule: one that none places is handed back, and in a section
  # that a rule of diagnosis reads it makes the fact unknown. A row comes with "-> Record".
  ^\\s*$$

EOF
"""
_RUNNER = '''\
"""Each recorded case gives the rows that somebody wrote down by hand."""

import json
from pathlib import Path

import pytest

from mtughost.content.parsers import load_parser
from mtughost.content.root import ContentRoot

HERE = Path(__file__).resolve().parent
CASES = sorted((HERE / "fixtures" / "parsers").glob("*/*/*.raw"))


@pytest.mark.parametrize("raw", CASES, ids=lambda p: f"{p.parent.parent.name}-{p.stem}")
def test_a_recorded_answer_gives_its_recorded_rows(raw):
    expected = json.loads(raw.with_suffix(".json").read_text())
    parser = load_parser(ContentRoot(HERE.parent), raw.parent.parent.name, raw.parent.name)

    read = parser.rows(raw.read_text())

    rows = [
        {"LINE": line, **{key: value for key, value in row.items() if value}}
        for row, line in zip(read.rows, read.lines, strict=True)
    ]
    assert rows == expected["rows"]
    assert [list(item) for item in read.unplaced] == expected["unplaced"]
'''
_PLACEHOLDER = "put the device's real answer here, without names, addresses and keys of people\n"


@dataclass(frozen=True, slots=True)
class Made:
    """What was written, and what to do now."""

    files: tuple[Path, ...]
    next: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewParser:
    """A parser that shall be started.

    Attributes:
        command: The line that gives the output.
        kind: Kind of fact, for its columns.
        sample: Recorded output, ``None`` for a placeholder.
    """

    platform: str
    name: str
    command: str
    kind: str = "identity"
    sample: Path | None = None


def make_platform(
    content: ContentRoot, name: str, *, driver: str = "generic", into: Path | None = None
) -> Made:
    """Write a platform's task book, its first parser and that one's failing case.

    Raises:
        UsageError: the name is no plain word, the platform exists, or there is nowhere to write.
    """
    root = _writable(content, into)
    _check_name(name)
    book = root / "tasks" / f"{name}.yaml"
    if book.exists():
        raise UsageError(f"{book} exists already")
    _check_name(driver)
    text = _BOOK.format(name=name, driver=driver, cli="" if driver == "exec" else _CLI)
    parser = NewParser(platform=name, name="version", command="show version")
    files = [_written(book, text), *_parser_files(root, parser)]
    load_book(ContentRoot(root), name)
    return Made(tuple(files), (*_test_line(root, name), *_after(name)))


def make_parser(content: ContentRoot, wish: NewParser, *, into: Path | None = None) -> Made:
    """Write a parser and its failing case.

    Raises:
        UsageError: a name is no plain word, the parser exists, there is no such kind of fact, or
            there is nowhere to write.
        ContentError: the platform has no task book.
    """
    root = _writable(content, into)
    _check_name(wish.name)
    load_book(ContentRoot(root), wish.platform)
    if wish.kind not in get_args(Kind):
        raise UsageError(
            f"there is no kind of fact {wish.kind!r}", todo=f"Known: {', '.join(get_args(Kind))}"
        )
    files = _parser_files(root, wish)
    lines = (
        f"Add to {root / 'tasks' / f'{wish.platform}.yaml'}:",
        "  commands:",
        f"    {wish.name}: {{run: {json.dumps(wish.command)}, risk: passive, basis: document}}",
        "  read:",
        f"    {wish.kind}:",
        f"      - {{command: {wish.name}, parser: {wish.name}}}",
    )
    return Made(tuple(files), (*lines, *_test_line(root, wish.platform)))


def columns_of(kind: str) -> tuple[str, ...]:
    """Return the columns that rows of a kind of fact have, as ``collect/rows.py`` lists them."""
    found: list[str] = []
    is_ours = False
    for line in (row_columns.__doc__ or "").splitlines():
        head, rest = line[:15].strip(), line[15:]
        is_ours = head == kind or (is_ours and not head and bool(rest.strip()))
        if is_ours:
            found += re.findall(r"\b[A-Z][A-Z0-9_]+\b", rest.split("(")[0])
    return tuple(found)


def _writable(content: ContentRoot, into: Path | None) -> Path:
    root = into.resolve() if into is not None else content.path
    if into is None and content.origin == "packaged":
        raise UsageError(
            "the content of the installation is not for editing",
            todo="Make a project (mtughost init DIRECTORY) and name it with --into",
        )
    missing = [folder for folder in ENGINE_FOLDERS if not (root / folder).is_dir()]
    if missing:
        raise UsageError(f"{root} has no folder {', '.join(missing)}")
    return root


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no plain word of lower-case letters, digits, - and _")


def _parser_files(root: Path, wish: NewParser) -> list[Path]:
    template = root / "parsers" / wish.platform / f"{wish.name}.textfsm"
    if template.exists():
        raise UsageError(f"{template} exists already")
    values = "".join(f"Value {name} (\\S+)\n" for name in columns_of(wish.kind) or ("NAME",))
    case = root / "tests" / "fixtures" / "parsers" / wish.platform / wish.name
    files = [_written(template, _PARSER.format(command=wish.command, values=values))]
    files.append(_written(case / "first.raw", _sample(wish.sample)))
    expected = {
        "basis": "say where the output is from: which device, version, document",
        "rows": [],
        "unplaced": [],
    }
    files.append(_written(case / "first.json", json.dumps(expected, indent=1) + "\n"))
    runner = root / "tests" / "test_parsers.py"
    if not _is_checkout(root) and not runner.exists():
        files.append(_written(runner, _RUNNER))
    return files


def _sample(path: Path | None) -> str:
    if path is None:
        return _PLACEHOLDER
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror}", path=str(path)) from error
    return text.replace("\r\n", "\n") or _PLACEHOLDER


def _is_checkout(root: Path) -> bool:
    return (root / "tests" / "content" / "test_parsers.py").is_file()


def _test_line(root: Path, platform: str) -> tuple[str, ...]:
    test = "tests/content/test_parsers.py" if _is_checkout(root) else "tests/test_parsers.py"
    cases = Path("tests", "fixtures", "parsers", platform)
    return (
        f"The test that fails now, in {root}: pytest {test} -k {platform}"
        if not _is_checkout(root)
        else f"The test that fails now, in {root}: pytest {test}",
        f"Write what the output says into {cases}/*/first.json, by hand; then write the parser.",
    )


def _after(platform: str) -> tuple[str, ...]:
    return (
        f"What the platform can do so far: mtughost doctor --platform {platform}",
        "The whole way: CONTRIBUTING.md, 'Adding a vendor'.",
    )


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
