"""Start, list and take down labs."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mtughost.lab import bound, host, project, state
from mtughost.lab.compose import Composition, compose
from mtughost.lab.handle import Lab, inner_env
from mtughost.lab.plan import to_json
from mtughost.lab.spec import LabSpec
from mtughost.lab.state import Record
from mtughost.model.errors import LabError

Progress = Callable[[str], None]
STARTUP_TIMEOUT_S = 120.0


def _silent(_: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class LabStatus:
    """One line of ``lab list``."""

    name: str
    running: bool
    created_utc: str
    project: Path
    hosts: int


def up(spec: LabSpec, *, progress: Progress = _silent, root: Path | None = None) -> Lab:
    """Start a lab.

    Args:
        spec: What it shall be.
        progress: Called with one line at each step.
        root: Directory of all labs' records; default :func:`mtughost.lab.state.labs_root`.

    Raises:
        LabError: a lab of this name runs already, something is missing on this machine, or a part
            did not start. Nothing is left running then.
    """
    root = (root or state.labs_root()).absolute()
    mapped = _preflight(spec)
    with state.locked(root, spec.name):
        if spec.name in state.names(root):
            if state.is_running(state.load(root, spec.name)):
                raise LabError(
                    f"lab {spec.name!r} is running already",
                    todo=f"Use another --name, or: mtughost lab down {spec.name}",
                )
            _remove(root, state.load(root, spec.name))
        now = dt.datetime.now(dt.UTC)
        directory = (spec.state_dir or root / spec.name / "project").absolute()
        _refuse_hidden(directory)
        progress("making keys and certificates")
        work = compose(spec, now)
        files = project.project_files(work, now)
        record = Record(
            name=spec.name,
            pid=None,
            start_ticks=0,
            boot_id=state.boot_id(),
            mapped=mapped,
            created_utc=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            project=str(directory),
            files=tuple(file.path for file in files),
            sites=tuple(asdict(site) for site in work.sites),
            hosts=tuple(host.name for host in work.hosts),
        )
        state.save(root, record)
        try:
            project.write(directory, files)
            record = _start_holder(work, record, root, progress)
            made = Lab(record, root)
            for device, script in work.after_boot:
                made.in_device(device, ["sh", "-c", script], check=True)
        except BaseException:
            _remove(root, state.load(root, spec.name))
            raise
        return made


def _preflight(spec: LabSpec) -> state.Mapped:
    for site in spec.sites:
        if site.gateway:
            bound.check(site)
    host.require(host.PROGRAMS | host.SSH_PROGRAMS)
    if any(site.plan.topology != "plain" for site in spec.sites):
        host.require(host.SERVICE_PROGRAMS)
    if any(site.plan.dhcp_mtu_bytes for site in spec.sites):
        host.require({"dnsmasq": host.OPTIONAL_PROGRAMS["dnsmasq"]})
    if any(site.plan.clock_offset_days for site in spec.sites):
        host.require({"faketime": host.OPTIONAL_PROGRAMS["faketime"]})
    if any(site.tunnel == "openvpn" and site.plan.topology == "tunnel" for site in spec.sites):
        host.require({"openvpn": host.OPTIONAL_PROGRAMS["openvpn"]})
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise LabError(
                "a tunnel by OpenVPN needs /dev/net/tun, which this user may not open",
                todo="Leave the tunnel at 'veth', or run the lab as root",
            )
    if os.geteuid() == 0:
        return "root"
    host.check_user_namespaces()
    return "range"


def _refuse_hidden(directory: Path) -> None:
    for path in (directory, Path(sys.executable), Path(__file__)):
        if path.resolve().is_relative_to("/run") or path.is_relative_to("/run"):
            raise LabError(
                f"{path} lies below /run, which every lab replaces by its own",
                todo="Use a directory elsewhere",
            )


def _start_holder(work: Composition, record: Record, root: Path, progress: Progress) -> Record:
    log = root / record.name / "holder.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mtughost.lab.holder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=inner_env(),
            start_new_session=True,
            text=True,
        )
    try:
        return _converse(process, work, record, root, progress)
    except LabError as error:
        words = log.read_text(errors="replace").strip()[-800:]
        if words:
            error.reason += f" (the holder's log says: {words})"
        raise
    finally:
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
        process.wait()


def _converse(
    process: subprocess.Popen[str],
    work: Composition,
    record: Record,
    root: Path,
    progress: Progress,
) -> Record:
    """Speak with the launcher and then with the holder it forked, until the lab stands."""

    def say(message: str) -> None:
        if process.stdin is None:
            raise LabError("the holder has no input")
        try:
            process.stdin.write(message + "\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise LabError("the lab's holder ended early") from error

    say(json.dumps({"user_namespace": record.mapped != "root"}))
    for line in process.stdout or ():
        message: dict[str, Any] = json.loads(line)
        event = message["event"]
        if event == "map-me":
            host.map_ids(process.pid)
            say("{}")
        elif event == "holder":
            pid = int(message["pid"])
            ticks = state.start_ticks(pid)
            if ticks is None:
                raise LabError("the lab's holder ended early")
            record = replace(record, pid=pid, start_ticks=ticks)
            state.save(root, record)
            say(to_json(work.plan))
        elif event == "progress":
            progress(message["text"])
        elif event == "ready":
            return record
        else:
            raise LabError(str(message["reason"]), todo=str(message.get("todo", "")))
    raise LabError("the lab's holder ended before the lab was ready")


def find(name: str = "lab", *, root: Path | None = None) -> Lab:
    """Return a running lab by name.

    Raises:
        LabError: it is not recorded, or not running.
    """
    root = root or state.labs_root()
    record = state.load(root, name)
    if not state.is_running(record):
        raise LabError(f"lab {name!r} is recorded but not running", todo=f"lab down {name}")
    return Lab(record, root)


def list_labs(*, root: Path | None = None) -> tuple[LabStatus, ...]:
    """Return all recorded labs, running or stale."""
    root = root or state.labs_root()
    records = [state.load(root, name) for name in state.names(root)]
    return tuple(
        LabStatus(
            name=record.name,
            running=state.is_running(record),
            created_utc=record.created_utc,
            project=Path(record.project),
            hosts=len(record.hosts),
        )
        for record in records
    )


def down(name: str, *, root: Path | None = None, progress: Progress = _silent) -> bool:
    """Take a lab down: kill its recorded holder, remove what ``up`` wrote.

    What others put into the project directory (runs, reports) stays.

    Returns:
        Whether it was running.

    Raises:
        LabError: no such lab, or its holder does not end.
    """
    root = root or state.labs_root()
    with state.locked(root, name):
        record = state.load(root, name)
        was_running = _remove(root, record)
        progress(f"lab {name} is down" if was_running else f"lab {name} was not running")
        if Path(record.project).is_dir():
            progress(f"left alone, not ours: {record.project}")
    return was_running


def down_all(*, root: Path | None = None, progress: Progress = _silent) -> tuple[str, ...]:
    """Take down every recorded lab, and nothing else. Returns their names."""
    root = root or state.labs_root()
    found = state.names(root)
    for name in found:
        down(name, root=root, progress=progress)
    return found


def _remove(root: Path, record: Record) -> bool:
    was_running = state.end_holder(record)
    directory = Path(record.project)
    for file in record.files:
        (directory / file).unlink(missing_ok=True)
    for folder in {(directory / file).parent for file in record.files} | {directory}:
        _remove_empty(folder)
    home = root / record.name
    for file in ("holder.log", f"{state.RECORD}.new", state.RECORD):
        (home / file).unlink(missing_ok=True)
    _remove_empty(directory)
    _remove_empty(home)
    return was_running


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        # Not empty, or not there: both are fine.
        return
