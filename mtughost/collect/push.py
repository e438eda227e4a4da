"""The forced cloud push: disruptive, so only sent when a person allowed it for this run."""

from __future__ import annotations

from mtughost.content.book import Book
from mtughost.content.render import render_command
from mtughost.model.errors import UsageError
from mtughost.model.session import Answer, Session


def cloud_push(session: Session, book: Book) -> Answer:
    """Let the device push to (or fetch from) its cloud, verbosely, and return what it said.

    The client is a new process: its handshake cannot be a resumed one.

    Args:
        session: A login on the access point.
        book: Its task book; ``cloud-push:`` names the command and says what it does to clients.

    Raises:
        UsageError: the platform has no such command.
    """
    if book.cloud_push is None:
        raise UsageError(f"the task book {book.platform} has no cloud-push")
    (answer,) = session.ask([render_command(book, book.cloud_push.command)])
    return answer
