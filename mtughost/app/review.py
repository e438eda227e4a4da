"""Serve the page of a plan to a browser on this machine, and to nothing else.

The address holds a random token; requests for another name than the loopback's are refused, so
that no page of the web can reach it by a name that it points here. The page signs nothing.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

from mtughost.app.approving import open_plan
from mtughost.app.project import Project
from mtughost.content.root import ContentRoot
from mtughost.model.session import Clock
from mtughost.report.plan_page import PLAN_TEMPLATES, render_plan_page

LOOPBACK: Final = "127.0.0.1"
_TOKEN_BYTES: Final = 24
_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def page_of(project: Project, path: Path, *, clock: Clock | None = None) -> str:
    """Return the page of a plan whose signature and times were checked.

    Raises:
        PlanRefusedError: the plan is not valid: it is not shown.
        ContentError: a template is wrong.
    """
    plan = open_plan(project, path, clock=clock)
    return render_plan_page(plan, str(path), plan_templates(project.content))


def plan_templates(root: ContentRoot) -> dict[str, str]:
    """Return the templates of the page, by name."""
    return {name: root.text(root.file("templates", "report", name)) for name in PLAN_TEMPLATES}


@contextmanager
def serve_page(page: str, *, port: int = 0) -> Iterator[str]:
    """Serve one page as long as the block lasts; yields its address.

    Args:
        page: The whole page.
        port: On the loopback; any free one when 0.

    Raises:
        OSError: the port is taken.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    data = page.encode("utf-8")

    class Handler(_Handler):
        body, secret = data, f"/{token}/"

    with ThreadingHTTPServer((LOOPBACK, port), Handler) as server:
        Handler.names = frozenset(
            f"{name}:{server.server_port}" for name in (LOOPBACK, "localhost")
        )
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}/{token}/"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers one address with one page."""

    body: bytes = b""
    secret: str = ""
    names: frozenset[str] = frozenset()
    server_version = "mtughost"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        """Answer with the page, or with nothing."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with the page's headers."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if not (self._is_for_us() and hmac.compare_digest(self.path, self.secret)):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(self.body)

    def _is_for_us(self) -> bool:
        return self.path.isascii() and self.headers.get("Host", "") in self.names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: the address holds the token."""
