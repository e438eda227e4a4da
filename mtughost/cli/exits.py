"""The one place that turns outcomes and errors into exit codes (DESIGN section 9)."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from mtughost import __version__
from mtughost.model.errors import MtughostError
from mtughost.model.findings import AuditReport, SiteVerdict
from mtughost.report.safe_text import inert

OK, BUG, USAGE, CONTENT, DEVICES_FAILED = 0, 1, 2, 3, 4
FINDINGS, SOME_UNKNOWN, INTERRUPTED = 10, 11, 130
#: For the reference; DESIGN section 9.
MEANINGS = {
    OK: "all well",
    BUG: "a bug of mtughost; a crash log was written",
    USAGE: "the command line is wrong",
    CONTENT: "content, inventory, run store or scheduler cannot be used; what had finished is kept",
    DEVICES_FAILED: "devices failed, and nothing was found",
    5: "refused: plan, approval or bundle",
    6: "an apply failed and was undone",
    7: "an undo is not proven: a person is needed",
    FINDINGS: "something was found",
    SOME_UNKNOWN: "nothing was found, but some site is unknown",
    INTERRUPTED: "interrupted; what had finished is kept",
}


def exit_code_of(report: AuditReport) -> int:
    """Say how an audit ends: 10 findings, 4 devices failed, 11 some site unknown, else 0."""
    verdicts = {site.verdict for site in report.sites}
    if verdicts & {"fault", "latent", "not-mtu"}:
        return FINDINGS
    # What has no command line cannot fail: the site's verdict tells.
    failed = [host for host in report.hosts if host.error_kind != "no-command-line"]
    if any(host.status != "ok" for host in failed):
        return DEVICES_FAILED
    return SOME_UNKNOWN if "unknown" in verdicts else OK


def exit_code_of_verdict(verdict: SiteVerdict) -> int:
    """Say how the judgement of captures ends: 10 findings, 11 unknown, else 0."""
    if verdict == "ok":
        return OK
    return SOME_UNKNOWN if verdict == "unknown" else FINDINGS


def run_guarded(action: Callable[[], int]) -> int:
    """Run a command and turn what it raises into a line on stderr and an exit code.

    An error that is not one of ours is a bug: it is written with its traceback to a crash log.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return action()
    except MtughostError as error:
        # It may quote a device.
        errors.print(inert(f"mtughost: {error}", lines=True), markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        errors.print("mtughost: interrupted; what had finished is kept", markup=False)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception:  # noqa: BLE001  # the last line of defence: a bug must leave a log
        path = _write_crash_log()
        errors.print(f"mtughost: this is a bug of ours. Please report {path}", markup=False)
        return BUG


def _write_crash_log() -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = base / "mtughost" / "crash"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    # No locals: they may hold secrets.
    text = "".join(traceback.format_exception(*sys.exc_info()))
    head = f"mtughost {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    path.touch(mode=0o600)
    path.write_text(head + text, encoding="utf-8")
    return path
