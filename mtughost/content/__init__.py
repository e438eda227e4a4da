"""Task books, parsers, templates and runbooks: found, validated, rendered. Sends nothing."""

from mtughost.content.book import Book, CommandSpec, ReadSpec
from mtughost.content.load import load_book, load_runbook
from mtughost.content.parsers import ParsedRows, Parser, load_parser
from mtughost.content.render import (
    RenderedChange,
    RenderedGuard,
    render_change,
    render_command,
    render_guard,
)
from mtughost.content.root import ContentRoot, find_content, packaged_content

__all__ = [
    "Book",
    "CommandSpec",
    "ContentRoot",
    "ParsedRows",
    "Parser",
    "ReadSpec",
    "RenderedChange",
    "RenderedGuard",
    "find_content",
    "load_book",
    "load_parser",
    "load_runbook",
    "packaged_content",
    "render_change",
    "render_command",
    "render_guard",
]
