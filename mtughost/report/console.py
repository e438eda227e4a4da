"""An audit and a site on a terminal: rich renderables that fit 80 to 200 columns.

They read the same without colour, on a dumb terminal and in a file; ``NO_COLOR``, width and
encoding are the given console's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from mtughost.model.findings import (
    AuditReport,
    Evidence,
    Finding,
    FlowReport,
    HostStatus,
    InstalledClamp,
    SiteReport,
)
from mtughost.report import words
from mtughost.report.ink import Ink
from mtughost.report.json_report import counts_of
from mtughost.report.summary import (
    SiteSummary,
    by_urgency,
    headline_of,
    not_read,
    paths_of,
    proof_of,
    sentence_of,
    summarise,
)
from mtughost.report.svg import path_sentences, path_title

#: From this width on, every figure has a column of its own.
_WIDE_COLUMNS: Final = 126

#: Rows of a table that are made at once.
_BLOCK_ROWS: Final = 500

#: Commands in citations are cut to this many characters.
_COMMAND_CHARS = 48

_LEGEND: Final = (
    "? = not known. MSS up/down: the SYN-ACK at the AP (limits what the AP sends) / "
    "the SYN leaving the WAN (limits what the service sends)."
)


class AuditTable:
    """The audit: totals, one row per site, the devices that were not read."""

    def __init__(self, report: AuditReport) -> None:
        self.report = report

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Print all parts."""
        return self.parts(options)

    def parts(self, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield what is to be printed one after the other.

        A console holds whatever it is given at once, 14 kB a site: so a large fleet's table comes
        in blocks, each with the headings.

        Args:
            options: Of the console; the width chooses the layout.
        """
        ink = Ink.of(options)
        layout = _wide if options.max_width >= _WIDE_COLUMNS else _narrow
        yield ink.text(_totals(self.report), "bold")
        sites = by_urgency(self.report)
        while rows := [summarise(site) for site in islice(sites, _BLOCK_ROWS)]:
            yield layout(ink, rows)
        if self.report.sites:
            yield ink.text(_LEGEND, "dim")
        missing = not_read(self.report)
        if missing:
            yield Text("")
            yield from HostFailures(missing).parts(options)


def render_audit(report: AuditReport) -> AuditTable:
    """Return the audit as a renderable."""
    return AuditTable(report)


def _totals(report: AuditReport) -> str:
    counts = counts_of(report)
    hosts = counts["hosts"]
    verdicts = ", ".join(
        f"{counts['sites'][verdict]} {words.VERDICT_WORDS[verdict]}"
        for verdict in words.VERDICT_ORDER
        if counts["sites"][verdict]
    )
    return (
        f"{words.count_of(len(report.sites), 'site')}: {verdicts or 'none audited'}. "
        f"{words.count_of(hosts['asked'], 'device')} asked: {hosts['ok']} read, "
        f"{hosts['failed']} failed, {hosts['skipped']} skipped. Run {report.run_id}"
    )


def _who(row: SiteSummary) -> str:
    if row.headline is not None:
        return words.OWNER_WORDS[row.headline.owner]
    return "-" if row.site.verdict == "ok" else words.UNKNOWN


def _wide(ink: Ink, rows: list[SiteSummary]) -> RenderableType:
    figures = ("WAN", "VLAN", "MSS up/down", "path")
    table = ink.table(
        "site", "verdict", "finding", "who", "WAN", "VLAN", "clamp", "MSS up/down", "path",
        figures=figures,
    )  # fmt: skip
    table.columns[0].max_width = 24
    table.columns[2].ratio = 1
    table.columns[2].min_width = 34
    table.columns[6].max_width = 18
    for index in (1, 3, 4, 5, 7, 8):
        table.columns[index].no_wrap = True
    table.expand = True
    for row in rows:
        table.add_row(
            ink.text(row.site.site, "bold"),
            ink.verdict(row.site.verdict),
            ink.text(row.sentence),
            ink.text(_who(row)),
            ink.text(row.wan_mtu),
            ink.text(row.vlan_mtu),
            ink.text(row.clamp),
            ink.text(f"{row.mss_up}/{row.mss_down}"),
            ink.text(row.path_mtu),
        )
    return table


def _narrow(ink: Ink, rows: list[SiteSummary]) -> RenderableType:
    table = ink.table("site", "verdict", "finding and figures")
    table.columns[0].max_width = 18
    table.columns[1].no_wrap = True
    table.columns[2].ratio = 1
    table.expand = True
    for row in rows:
        figures = (
            f"WAN {row.wan_mtu}, VLAN {row.vlan_mtu}, clamp {row.clamp}, "
            f"MSS {row.mss_up}/{row.mss_down}, path {row.path_mtu}"
        )
        who = ink.text(f"must act: {_who(row)}") if row.headline is not None else None
        parts = [ink.text(row.sentence), *([who] if who else []), ink.text(figures, "dim")]
        table.add_row(ink.text(row.site.site, "bold"), ink.verdict(row.site.verdict), Group(*parts))
    return table


class HostFailures:
    """The devices that were asked for and not read, with the one line that says why."""

    def __init__(self, hosts: tuple[HostStatus, ...]) -> None:
        self.hosts = hosts

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Print all parts."""
        return self.parts(options)

    def parts(self, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the number and the table; a long one in blocks."""
        ink = Ink.of(options)
        yield ink.text(f"{words.count_of(len(self.hosts), 'device')} not read", "bold")
        for start in range(0, len(self.hosts), _BLOCK_ROWS):
            yield self._table(ink, self.hosts[start : start + _BLOCK_ROWS])

    def _table(self, ink: Ink, hosts: tuple[HostStatus, ...]) -> RenderableType:
        table = ink.table("device", "site", "status", "why")
        table.columns[0].max_width = 28
        table.columns[1].max_width = 18
        table.columns[2].no_wrap = True
        table.columns[3].ratio = 1
        table.expand = True
        for host in hosts:
            style = "red" if host.status == "failed" else "yellow"
            table.add_row(
                ink.text(host.host, "bold"),
                ink.text(host.site),
                ink.text(host.status, style),
                ink.text(host.error or host.error_kind or "no reason recorded"),
            )
        return table


def render_hosts(report: AuditReport) -> RenderableType:
    """Return the devices that were not read, or one line that says that all were."""
    missing = not_read(report)
    if missing:
        return HostFailures(missing)
    return Text(f"All {words.count_of(len(report.hosts), 'device')} read.")


class SiteDetail:
    """One site in depth, as ``diagnose`` prints it."""

    def __init__(self, site: SiteReport) -> None:
        self.site = site

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Print verdict, proof, coverage, findings, rule-outs and the next test."""
        ink = Ink.of(options)
        site = self.site
        yield Text.assemble(ink.text(site.site, "bold"), "  ", ink.verdict(site.verdict), "  ",
                            ink.text(words.VERDICT_MEANING[site.verdict], "dim"))  # fmt: skip
        yield ink.text(sentence_of(site))
        yield from _acts(ink, site)
        for view in paths_of(site):
            yield Text("")
            yield ink.text(path_title(view), "bold")
            yield ink.indented(*(ink.text(sentence) for sentence in path_sentences(view)))
            flows = [flow for flow in (view.up, view.down) if flow is not None]
            yield ink.indented(*(_coverage(ink, flow) for flow in flows))
        yield from _findings(ink, site)
        yield from _lists(ink, site)


def render_site(site: SiteReport) -> RenderableType:
    """Return one site in depth as a renderable."""
    return SiteDetail(site)


def _acts(ink: Ink, site: SiteReport) -> Iterator[RenderableType]:
    top = headline_of(site)
    if top is not None:
        yield ink.labelled("must act", ink.text(words.OWNER_MEANING[top.owner]))
        if top.fix is not None:
            named = not top.fix.host or top.fix.host in top.fix.summary
            where = "" if named else f" (on {top.fix.host})"
            yield ink.labelled("fix", ink.text(f"{top.fix.summary}{where}"))
        proof = proof_of(top)
        if proof is not None:
            yield ink.labelled("proven by", _evidence(ink, proof))
    if site.next_test is not None:
        where = f" (on {site.next_test.host})" if site.next_test.host else ""
        yield ink.labelled("next test", ink.text(f"{site.next_test.summary}{where}"))
        if site.next_test.question:
            yield ink.labelled("ask", ink.text(site.next_test.question))


def _coverage(ink: Ink, flow: FlowReport) -> RenderableType:
    seen = flow.mss.observed
    result = {
        True: ("proven", "green"),
        False: ("counterexample", "red"),
        None: ("unknown", "cyan"),
    }
    word, style = result[flow.covered]
    direction = flow.key.direction
    figures = (
        f"fits {words.figure(flow.mss.needed)}, configured {words.figure(flow.mss.configured)}, "
        f"observed AP {words.figure(seen.ap)} / LAN {words.figure(seen.lan)} / "
        f"WAN {words.figure(seen.wan)}"
    )
    head = Text.assemble(
        ink.text(f"{words.DIRECTION_WORDS[direction]} ({words.LIMITED_BY[direction]}): "),
        ink.text(word, style),
    )
    rules = [ink.text(_rule(rule), "dim") for rule in flow.mss.installed]
    installed = rules or [ink.text(_no_rule(flow), "dim")]
    return Group(Text(""), head, ink.indented(ink.text(flow.proof), ink.text(figures), *installed))


def _rule(rule: InstalledClamp) -> str:
    value = "an unknown MSS" if rule.value is None else f"MSS {rule.value}"
    counter = "no counter" if rule.packets is None else words.count_of(rule.packets, "packet")
    covers = "covers" if rule.covers else "does not cover"
    return f"installed: {rule.rule} writes {value}, {counter}: {covers}, {rule.because}"


def _no_rule(flow: FlowReport) -> str:
    return "installed: not known" if flow.mss.configured is None else "installed: no clamp"


def evidence_source(item: Evidence) -> str:
    """Return where an observable can be looked up, in words."""
    place = ""
    if item.line is not None:
        place = f" line {item.line}"
    elif item.frame is not None:
        place = f" frame {item.frame}"
    command = f" {_short(item.command)}" if item.command is not None else ""
    return f"{item.host}{place}{command} ({item.basis})"


def _short(command: str) -> str:
    """Cut a long command: JSON and the page have it whole."""
    return command if len(command) <= _COMMAND_CHARS else f"{command[: _COMMAND_CHARS - 1]}…"


def _evidence(ink: Ink, item: Evidence) -> Text:
    return Text.assemble(ink.text(item.value), " ", ink.text(f"[{evidence_source(item)}]", "dim"))


def _findings(ink: Ink, site: SiteReport) -> Iterator[RenderableType]:
    for finding in site.findings:
        yield Text("")
        yield _finding_head(ink, finding)
        yield ink.indented(
            ink.text(finding.summary), *(_evidence(ink, item) for item in finding.evidence)
        )


def _finding_head(ink: Ink, finding: Finding) -> Text:
    return Text.assemble(
        ink.text(finding.id, "bold"), " ", ink.text(f"{finding.grade}, {finding.owner}", "dim")
    )


def _lists(ink: Ink, site: SiteReport) -> Iterator[RenderableType]:
    if site.ruled_out:
        yield Text("")
        yield ink.text("ruled out", "bold")
        yield ink.indented(*(ink.text(f"{item.id}: {item.because}") for item in site.ruled_out))
    if site.notes:
        yield Text("")
        yield ink.text("notes", "bold")
        yield ink.indented(*(ink.text(note) for note in site.notes))
