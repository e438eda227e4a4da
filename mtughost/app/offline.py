"""Work without devices: pasted output, runbooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic_core import to_jsonable_python

from mtughost.app.handed_in import refused_line
from mtughost.app.pasted import Pasted, take_apart
from mtughost.app.project import Project
from mtughost.app.reports import stored_result
from mtughost.collect.reads import facts_from_answers
from mtughost.collect.transcript import split
from mtughost.content.book import Book, ReadSpec
from mtughost.content.load import load_book, load_runbook
from mtughost.content.parsers import load_parser
from mtughost.dialects import ROWS, ROWS_OF_SEVERAL
from mtughost.model.basis import Known, Unknown
from mtughost.model.device import DeviceFacts
from mtughost.model.errors import UsageError
from mtughost.model.findings import FINDING_IDS
from mtughost.model.inventory import Credential, Device, Role
from mtughost.model.session import Answer
from mtughost.report.explain import explain, explain_site

#: Stands for the device that pasted output came from.
_PASTED = Device(
    name="pasted",
    address="",
    site="pasted",
    role="gateway",
    credential=Credential(realm="", username=""),
)


def parse_output(project: Project, platform: str, command: str, text: str) -> dict[str, Any]:
    """Parse pasted output of one command, or find it in a transcript of several.

    Args:
        project: Whose task books and parsers are used.
        platform: Name of the task book.
        command: The command as it was typed, or its name in the task book.
        text: What the device printed, or what a terminal showed around it.

    Returns:
        ``rows`` as parsed, ``facts`` made of them, ``unplaced`` lines with their numbers.

    Raises:
        UsageError: the book has no such command.
    """
    book = load_book(project.content, platform)
    command_id = _command_id(book, command)
    pieces = [p for p in split(text, book).pieces if command_id in p.command_ids]
    first_line = 0
    if pieces:
        text, first_line = pieces[0].text, pieces[0].line
    answer = Answer(command_id=command_id, line=command, text=text, exit_code=0)
    facts: dict[str, Any] = {}
    unplaced: dict[int, str] = {}
    for role in _roles_that_ask(book, command_id):
        pasted = replace(_PASTED, role=role, platform=platform)
        found, lines = facts_from_answers(
            (answer,), book, project.content, pasted, basis="recorded output"
        )
        unplaced |= {item.line: item.text for item in lines}
        facts |= _known(found)
    return {
        "schema": "mtughost/parse/v1",
        "platform": platform,
        "command": command_id,
        "basis": "recorded output",
        "first_line": first_line + 1,
        "rows": _rows(project, book, command_id, text),
        "facts": facts,
        "unplaced": [{"line": line, "text": words} for line, words in sorted(unplaced.items())],
    }


def parse_transcript(project: Project, platform: str, text: str) -> dict[str, Any]:
    """Parse everything that a pasted transcript holds, told apart by prompt and echo.

    Returns:
        ``commands`` with their rows and unplaced lines, ``facts`` made of all of them together,
        and ``left``: what was not taken, with the reason. Lines count from each answer's first.

    Raises:
        UsageError: nothing in it is understood.
    """
    book = load_book(project.content, platform)
    role, pasted = _best_role(project, platform, text)
    device = replace(_PASTED, role=role, platform=platform)
    answers = [
        Answer(
            command_id=each.command_id,
            line=each.line,
            text=each.text,
            exit_code=0,
            status="rejected" if refused_line(book, each.text) else "complete",
        )
        for each in pasted.outputs
    ]
    facts, unplaced = facts_from_answers(
        answers, book, project.content, device, basis="recorded output"
    )
    return {
        "schema": "mtughost/parse/v1",
        "platform": platform,
        "basis": "recorded output",
        "commands": [
            {
                "command": each.command_id,
                "line": each.line,
                "first_line": each.at_line,
                "rows": _rows(project, book, each.command_id, each.text),
                "unplaced": [
                    {"line": item.line, "text": item.text}
                    for item in unplaced
                    if item.command in {each.line, each.command_id}
                ],
            }
            for each in pasted.outputs
        ],
        "facts": _known(facts),
        "left": [{"typed": item.typed, "because": item.reason} for item in pasted.left],
    }


def _best_role(project: Project, platform: str, text: str) -> tuple[Role, Pasted]:
    """Read a transcript as that of a gateway and of an access point; take what gives more."""
    tried: list[tuple[Role, Pasted]] = []
    problems: list[UsageError] = []
    roles: tuple[Role, ...] = ("gateway", "ap")
    for role in roles:
        device = replace(_PASTED, role=role, platform=platform)
        try:
            tried.append((role, take_apart(text, "auto", device, project.content)))
        except UsageError as error:
            problems.append(error)
    if not tried:
        raise problems[0]
    return max(tried, key=lambda each: len(each[1].outputs))


def _known(facts: DeviceFacts) -> dict[str, Any]:
    return {
        item.name: {"value": to_jsonable_python(fact.value), "line": fact.source.line}
        for item in fields(facts)
        if isinstance(fact := getattr(facts, item.name), Known)
    }


def _rows(
    project: Project, book: Book, command_id: str, text: str
) -> list[Mapping[str, str | list[str] | None]]:
    rows: list[Mapping[str, Any]] = []
    for spec in _readers_of(book, command_id):
        if spec.parser is not None:
            rows = list(load_parser(project.content, book.platform, spec.parser).rows(text).rows)
        elif spec.dialect is not None and spec.dialect in ROWS:
            rows = list(ROWS[spec.dialect](text).rows)
        elif spec.dialect is not None and spec.dialect in ROWS_OF_SEVERAL:
            # The reader can do without its other answers, or says that it cannot.
            name = next(n for n, wanted in spec.inputs.items() if wanted == command_id)
            answer = Answer(command_id=command_id, line=command_id, text=text)
            found = ROWS_OF_SEVERAL[spec.dialect]({name: answer})
            rows = rows if isinstance(found, Unknown) else list(found.rows)
    return rows


def _command_id(book: Book, command: str) -> str:
    """Find the entry of a command as typed: by name, by its exact line, or without its values."""
    wanted = " ".join(command.split())
    if wanted in book.commands:
        return wanted
    for name, spec in book.commands.items():
        pattern = "".join(
            r"\S+" if part.startswith("{{") else re.escape(part)
            for part in re.split(r"(\{\{.*?\}\})", " ".join(spec.run.split()))
        )
        if re.fullmatch(pattern, wanted):
            return name
    raise UsageError(
        f"the task book {book.platform} has no command {command!r}",
        todo=f"It has: {', '.join(sorted(book.commands))}",
    )


def _readers_of(book: Book, command_id: str) -> list[ReadSpec]:
    return [
        spec for specs in book.read.values() for spec in specs if command_id in spec.command_ids
    ]


def _roles_that_ask(book: Book, command_id: str) -> list[Role]:
    """Return one role per way of asking, so that each reader of the answer is tried."""
    asked: list[Role] = [role for spec in _readers_of(book, command_id) for role in spec.roles]
    return list(dict.fromkeys(asked)) or ["gateway"]


def explain_finding(project: Project, finding: str, site: str = "") -> str:
    """Return a runbook, filled in with a site's values from the newest run when named.

    Raises:
        UsageError: there is no such finding, or the run holds no such site.
    """
    if finding not in FINDING_IDS:
        raise UsageError(
            f"there is no finding {finding}", todo=f"Known: {', '.join(sorted(FINDING_IDS))}"
        )
    runbook = load_runbook(project.content, finding)
    if not site:
        return explain(runbook)
    for report in stored_result(project, "").report.sites:
        if report.site == site:
            return explain_site(runbook, report, finding)
    raise UsageError(
        f"the newest run holds no site {site}", todo=f"Run: mtughost audit --site {site}"
    )
