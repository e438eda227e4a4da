"""What other programs call: ``from mtughost import audit, diagnose_capture``.

Thin on purpose: each function opens the project as the command line does and calls the workflow
that the command calls. Errors are those of :mod:`mtughost.model.errors`. Nothing is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

from mtughost.app.progress import Reporter
from mtughost.app.project import open_project
from mtughost.app.reports import AuditResult
from mtughost.model.captures import CaptureReport

AnyPath = str | PathLike[str]


def audit(
    project: AnyPath | None = None,
    *,
    sites: Sequence[str] = (),
    where: str = "",
    probe: Literal["none", "path", "service"] = "none",
    capture_s: float = 0.0,
    progress: Reporter | None = None,
) -> AuditResult:
    """Audit sites. Reads only, unless a probe or a capture is asked for.

    Args:
        project: Project directory; ``None`` finds it as the command line does
            (``$MTUGHOST_PROJECT``, the trusted current directory, else the packaged content).
        sites: Names or patterns of sites; all when empty.
        where: A filter such as ``"role=ap,platform=linux"``.
        probe: ``path`` sends sized pings, ``service`` opens at most three connections a service.
        capture_s: Seconds to capture handshakes at each device; 0 captures nothing.
        progress: Is told what happens, from one thread at a time.

    Returns:
        The report of every site, what it rests on, and the documents.

    Raises:
        ContentError: content or inventory is wrong; nothing was sent.
        UsageError: nothing is selected.
        StoreError: the run cannot be kept.
    """
    from mtughost.app.audit import AuditOptions, audit_fleet  # noqa: PLC0415  # SSH loads slowly
    from mtughost.app.watch import Watch  # noqa: PLC0415

    watch = Watch(probe=probe == "service", path=probe == "path", capture_s=capture_s)
    options = AuditOptions(sites=tuple(sites), where=where, watch=watch)
    return audit_fleet(open_project(_path(project)), options, progress=progress)


def diagnose_site(
    site: str,
    project: AnyPath | None = None,
    *,
    capture_s: float = 10.0,
    bisect: bool = False,
    progress: Reporter | None = None,
) -> AuditResult:
    """Look at one site in depth: probes and captures at two points.

    Args:
        site: Its name.
        project: As for :func:`audit`.
        capture_s: Seconds to capture.
        bisect: Whether to find the exact size that is lost, with up to 15 connections.
        progress: Is told what happens.

    Raises:
        ContentError: content or inventory is wrong; nothing was sent.
        UsageError: there is no such site.
        StoreError: the run cannot be kept.
    """
    from mtughost.app.audit import AuditOptions, audit_fleet  # noqa: PLC0415
    from mtughost.app.watch import Watch  # noqa: PLC0415

    watch = Watch(probe=True, bisect=bisect, capture_s=capture_s)
    options = AuditOptions(sites=(site,), watch=watch, kind="diagnose")
    return audit_fleet(open_project(_path(project)), options, progress=progress)


def diagnose_capture(
    *files: AnyPath, ports: Sequence[int] = (), progress: Reporter | None = None
) -> CaptureReport:
    """Judge capture files (pcap or pcapng, plain or gzip) together, with no device at all.

    Args:
        files: The captures; those of the same traffic at two points are matched.
        ports: Only connections to these server ports; all when empty.
        progress: Is told of the progress, in megabytes.

    Raises:
        UsageError: a file cannot be read.
    """
    from mtughost.app.captures import CaptureOptions, judge_files  # noqa: PLC0415

    options = CaptureOptions(ports=tuple(ports))
    return judge_files([Path(file) for file in files], options, progress)


def stored_run(run_id: str = "", project: AnyPath | None = None) -> AuditResult:
    """Read a stored run again.

    Args:
        run_id: Its id; the newest finished one when empty.
        project: As for :func:`audit`.

    Raises:
        StoreError: there is no such run, or it never finished.
    """
    from mtughost.app.reports import stored_result  # noqa: PLC0415

    return stored_result(open_project(_path(project)), run_id)


def _path(project: AnyPath | None) -> Path | None:
    return Path(project) if project is not None else None
