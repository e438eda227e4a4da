"""A ticket as Markdown that pastes into a ticket system's text box."""

from __future__ import annotations

from collections.abc import Iterable

from mtughost.report.citations import Citation
from mtughost.report.comparison import Comparison
from mtughost.report.safe_text import for_markdown, inert, markdown_code
from mtughost.report.sequence import sequence_sentence
from mtughost.report.ticket import Excerpt, Exchange, ExchangeStep, Repair, Ticket, TicketFinding


def ticket_to_markdown(ticket: Ticket) -> str:
    """Return the ticket. Device text is inert in it."""
    source = ticket.source
    lines = [f"# {for_markdown(ticket.title)}", "", for_markdown(ticket.lead), ""]
    read = f"Read {source.read_utc}, run {for_markdown(source.run_id)}"
    whom = for_markdown(source.recipient_title)
    lines += [f"For {whom}. {read}, {for_markdown(source.tool)}.", ""]
    lines += ["## What we ask for", "", *_asked(ticket), ""]
    if source.comparison is not None:
        lines += _comparison(source.comparison)
    for item in ticket.findings:
        lines += _finding(item)
    if source.repairs:
        repairs = [line for repair in source.repairs for line in _repair(repair)]
        lines += ["## What repairs it, and why that suffices", "", *repairs, ""]
    lines += _table("Environment", ticket.environment)
    lines += _list("What leads to what", ticket.chain, numbered=True)
    lines += _list("MTU and MSS on the path", ticket.ways)
    for excerpt in source.excerpts:
        lines += _excerpt(excerpt)
    if source.exchange is not None:
        lines += _exchange(source.exchange)
    lines += _table("Ruled out", ticket.ruled_out)
    lines += _table("Timeline", ticket.timeline)
    lines += _list("Check it yourself", ticket.reproduce)
    lines += _list("What is missing or not settled", ticket.gaps)
    lines += _list("Sources", ticket.sources)
    return "\n".join(lines).rstrip() + "\n"


def _asked(ticket: Ticket) -> list[str]:
    if not ticket.own:
        return [ticket.nothing_asked]
    lines: list[str] = []
    for item in ticket.own:
        whom = f"Of {item.owner}: " if ticket.for_several else ""
        lines += [whom + (item.asked or for_markdown(item.fix) or "See the finding."), ""]
    return lines[:-1]


def _finding(item: TicketFinding) -> list[str]:
    finding = item.finding
    lines = [f"## {finding.id} ({finding.grade}); must act: {item.owner}", ""]
    lines += [for_markdown(finding.summary), ""]
    if item.proof is not None:
        lines += ["The line that proves it:", "", f"> {markdown_code(item.proof.value)}  "]
        lines += [f"> {_where(item.proof)}", ""]
    if item.fix:
        lines += [f"Fix: {for_markdown(item.fix)}", ""]
    lines += [
        f"- {markdown_code(e.value)} ({for_markdown(e.kind)}, {_where(e)})" for e in item.evidence
    ]
    if not item.evidence and item.number_of_claims:
        lines.append(f"{item.number_of_claims} observations support it; they are in report.json.")
    return [*lines, ""]


def _where(item: Citation) -> str:
    place = for_markdown(item.host)
    if item.place:
        place += f", {item.place}"
    if item.command:
        place += f" of {markdown_code(item.command)}"
    if item.member:
        place += f" in {markdown_code(item.member)}"
    return f"{place}, {item.basis}"


def _comparison(comparison: Comparison) -> list[str]:
    lines = ["## Before and after", ""]
    lines += [f"| | {comparison.before_utc} | {comparison.after_utc} |", "|---|---|---|"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in comparison.rows]
    for change in comparison.changes:
        words = f"{change.when_utc}, {change.device}: {change.summary}"
        lines += ["", for_markdown(words), ""]
        lines += [f"    {inert(line)}" for line in change.diff.splitlines()]
    if not comparison.changes:
        lines += ["", "The journal of this tool holds no change in between."]
    return [*lines, ""]


def _repair(repair: Repair) -> list[str]:
    words = f"{repair.title}: {repair.summary}. It affects {repair.blast_radius}."
    lines = [f"- {for_markdown(words)} {for_markdown(f'Risk: {repair.risk}.')}"]
    return [*lines, *(f"  - {for_markdown(proof)}" for proof in repair.proofs)]


def _table(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    made = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    return [f"## {title}", "", "| | |", "|---|---|", *made, ""] if made else []


def _cell(text: str) -> str:
    return for_markdown(text).replace("\n", " ")


def _list(title: str, items: Iterable[str], *, numbered: bool = False) -> list[str]:
    made = [
        f"{f'{number}.' if numbered else '-'} {for_markdown(item)}"
        for number, item in enumerate(items, start=1)
    ]
    return [f"## {title}", "", *made, ""] if made else []


def _excerpt(excerpt: Excerpt) -> list[str]:
    lines = [f"## {for_markdown(excerpt.title)}", ""]
    where = f"{for_markdown(excerpt.host)}, {markdown_code(excerpt.command)}"
    if excerpt.member:
        where += f", {markdown_code(excerpt.member)}"
    lines += [f"{where}:", ""]
    # Indented code takes no markup at all, whatever the device wrote.
    lines += [
        f"    {'>' if number in excerpt.proving else ' '} {number:>4}  {inert(text)}"
        for number, text in excerpt.lines
    ]
    return [*lines, ""]


def _exchange(exchange: Exchange) -> list[str]:
    lines = ["## The failing connection", ""]
    ends = f"{for_markdown(exchange.client)} to {for_markdown(exchange.server)}"
    lines += [f"{for_markdown(exchange.host)} ({exchange.point}): {ends}", ""]
    lines += ["| frame | s | | bytes | |", "|---|---|---|---|---|"]
    lines += [
        f"| {step.frame} | {step.at_s:.3f} | {'→' if step.up else '←'} | {step.wire_bytes} "
        f"| {for_markdown(step.words)}{_mark(step)} |"
        for step in exchange.steps
    ]
    where = f" All of it is in {markdown_code(exchange.member)}." if exchange.member else ""
    lines += ["", for_markdown(sequence_sentence(exchange)) + where]
    if exchange.left_out:
        lines += ["", f"{exchange.left_out} more packets of this connection are not shown."]
    return [*lines, ""]


def _mark(step: ExchangeStep) -> str:
    if step.lost:
        return " **never acknowledged**"
    return " **!**" if step.bad else ""
