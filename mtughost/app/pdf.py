"""A page as PDF: by WeasyPrint (extra ``pdf``) where it is installed, else by Chromium.

WeasyPrint comes first: it has no script engine at all. Neither fetches anything: the pages hold
everything, and every address is refused.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from mtughost.model.errors import EvidenceError

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_BROWSER_S: Final = 120.0
_PDF_MAGIC: Final = b"%PDF-"


class PdfError(EvidenceError):
    """No PDF could be made; the page itself is not affected."""


def page_to_pdf(page: str) -> bytes:
    """Return a self-contained page as PDF.

    Raises:
        PdfError: neither WeasyPrint nor Chromium is there, or it failed.
    """
    library = _weasyprint()
    if library is not None:
        return _by_library(library, page)
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise PdfError(
            "no PDF can be made here: neither WeasyPrint nor Chromium is installed",
            todo="Install mtughost[pdf] with the system's Pango library, or Chromium; "
            "or leave --pdf out and print the page from a browser",
        )
    return _by_browser(browser, page)


def _weasyprint() -> Any:
    try:
        import weasyprint  # noqa: PLC0415  # an extra, and slow to load
    except (ImportError, OSError):  # OSError: the package without the system's Pango
        return None
    # A missing glyph or an unknown property of CSS is no news for whoever wants a ticket.
    for name in ("weasyprint", "fontTools"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return weasyprint


def _by_library(library: Any, page: str) -> bytes:
    def refuse(url: str, *_: object, **__: object) -> dict[str, object]:
        raise ValueError(f"{url} is not fetched")

    try:
        data: bytes = library.HTML(string=page, url_fetcher=refuse).write_pdf()
    except Exception as error:  # whatever the library raises: the bundle can do without it
        raise PdfError(f"WeasyPrint cannot make the PDF: {error}") from error
    return data


def _by_browser(browser: str, page: str) -> bytes:
    with TemporaryDirectory(prefix="mtughost-pdf-") as name:
        folder = Path(name)
        (folder / "page.html").write_text(page, encoding="utf-8")
        out = folder / "page.pdf"
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--no-pdf-header-footer",
            f"--user-data-dir={folder / 'profile'}",
            f"--print-to-pdf={out}",
            (folder / "page.html").as_uri(),
        ]
        if os.geteuid() == 0:
            # Chromium's sandbox refuses to run as root; the page runs no script either way.
            command.insert(1, "--no-sandbox")
        _run(command)
        data = out.read_bytes() if out.exists() else b""
    if not data.startswith(_PDF_MAGIC):
        raise PdfError(f"{browser} made no PDF")
    return data


def _run(command: list[str]) -> None:
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            process.wait(_BROWSER_S)
        except subprocess.TimeoutExpired as error:
            raise PdfError(f"{command[0]} did not finish in {_BROWSER_S:.0f} s") from error
        finally:
            _end_group(process.pid)


def _end_group(pid: int) -> None:
    """End the helpers too, which outlive their leader: a group that only this call started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
