"""A ticket as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mtughost.report import words
from mtughost.report.html import pictures_of
from mtughost.report.pages import render_page
from mtughost.report.ticket import Ticket

#: Files of ``templates/report`` that the page is made from.
TICKET_TEMPLATES: Final = (
    "ticket.html.j2",
    "audit_source.html.j2",
    "audit_picture.html.j2",
    "audit.css.j2",
)


def render_ticket(ticket: Ticket, templates: Mapping[str, str]) -> str:
    """Return the whole page.

    Raises:
        ContentError: a template is missing or wrong; names the file and line.
    """
    return render_page(
        "ticket.html.j2",
        css="audit.css.j2",
        templates=templates,
        names=TICKET_TEMPLATES,
        ticket=ticket,
        source=ticket.source,
        pictures=pictures_of(ticket.source.report, anchor="ticket"),
        words=words,
    )
