"""A ticket as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

from mtughost.report import words
from mtughost.report.html import pictures_of
from mtughost.report.pages import render_page
from mtughost.report.sequence import sequence_picture, sequence_sentence
from mtughost.report.ticket import Ticket

#: Files of ``templates/report`` that the page is made from.
TICKET_TEMPLATES: Final = (
    "ticket.html.j2",
    "ticket_source.html.j2",
    "audit_picture.html.j2",
    "audit.css.j2",
)


def render_ticket(ticket: Ticket, templates: Mapping[str, str], *, for_paper: bool = False) -> str:
    """Return the whole page.

    Args:
        ticket: What it shows.
        templates: Text of each file in :data:`TICKET_TEMPLATES`, by name.
        for_paper: Everything is open, and pictures bring their colours along: not every program
            that makes PDF applies a page's style sheet to them.

    Raises:
        ContentError: a template is missing or wrong; names the file and line.
    """
    exchange = ticket.source.exchange
    sequence = None
    if exchange is not None:
        # Markup is sound here: sequence.py passes every text through for_html.
        sequence = Markup(sequence_picture(exchange, ident="sequence", standalone=for_paper))  # noqa: S704
    return render_page(
        "ticket.html.j2",
        css="audit.css.j2",
        templates=templates,
        names=TICKET_TEMPLATES,
        ticket=ticket,
        source=ticket.source,
        pictures=pictures_of(ticket.source.report, anchor="ticket", standalone=for_paper),
        opened=for_paper,
        sequence=sequence,
        sequence_words=sequence_sentence(exchange) if exchange else "",
        words=words,
    )
