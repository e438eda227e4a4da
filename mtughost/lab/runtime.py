"""Labs seen from outside: start, list, enter, take down."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mtughost.lab import project, state, userns
from mtughost.lab.compose import BuiltSite, Composition, compose
from mtughost.lab.plan import to_json
from mtughost.lab.spec import LabSpec
from mtughost.lab.state import Record
from mtughost.model.errors import LabError
from mtughost.model.inventory import Service

Progress = Callable[[str], None]
STARTUP_TIMEOUT_S = 120.0
_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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


@dataclass(frozen=True, slots=True)
class Lab:
    """A running lab.

    Attributes:
        record: What is written down about it.
        root: Directory of all labs' records.
    """

    record: Record
    root: Path

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.record.name

    @property
    def project(self) -> Path:
        """The operator's project directory, for ``--project``."""
        return Path(self.record.project)

    @property
    def sites(self) -> tuple[BuiltSite, ...]:
        """What was built, in order."""
        return tuple(_site(item) for item in self.record.sites)

    def site(self, label: str) -> BuiltSite:
        """Return one site.

        Raises:
            LabError: no such site.
        """
        for site in self.sites:
            if site.label == label:
                return site
        known = ", ".join(site.label for site in self.sites)
        raise LabError(f"lab {self.name!r} has no site {label!r}", todo=f"It has: {known}")

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of all devices."""
        return self.record.hosts

    def command(self, argv: Sequence[str], *, cwd: Path | None = None) -> list[str]:
        """Return the command line that runs ``argv`` inside the lab, where its devices are.

        Raises:
            LabError: the lab does not run (any more).
        """
        if not state.is_running(self.record):
            raise LabError(
                f"lab {self.name!r} is not running", todo=f"Take it down: lab down {self.name}"
            )
        enter = ["nsenter", f"--target={self.record.pid}"]
        if self.record.mapped != "root":
            enter.append("--user")
        enter += ["--mount", "--net", "--pid", "--uts", "--ipc", "--"]
        if cwd is not None:
            enter += ["env", "--chdir", str(cwd)]
        return [*enter, *argv]

    def exec(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = 60.0,
        text_in: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the lab and wait for it.

        Args:
            argv: Command and arguments, no shell.
            timeout_s: Kills the command afterwards (``subprocess.TimeoutExpired``).
            text_in: Standard input.
            env: Added to the environment.
            check: Raise when it fails.

        Raises:
            LabError: the lab does not run, or ``check`` and the command failed.
        """
        done = subprocess.run(
            self.command(argv),
            input=text_in,
            stdin=subprocess.DEVNULL if text_in is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=inner_env(env),
            check=False,
        )
        if check and done.returncode != 0:
            words = (done.stderr or done.stdout).strip()[-800:]
            raise LabError(f"in lab {self.name!r}: {' '.join(argv)}: {words}")
        return done

    def device_command(self, device: str, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` on a device, beside its SSH server.

        Raises:
            LabError: no such device, or the lab does not run.
        """
        if device not in self.hosts:
            raise LabError(
                f"lab {self.name!r} has no device {device!r}",
                todo=f"It has: {', '.join(self.hosts)}",
            )
        script = (
            'pid=$(cat "/run/mtughost/devices/$1/pid") && shift &&'
            ' exec nsenter --target="$pid" --mount --net --pid --uts --ipc -- "$@"'
        )
        return self.command(["sh", "-c", script, "sh", device, *argv])

    def in_device(
        self,
        device: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = 60.0,
        text_in: str | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a device, without SSH. Arguments as in :meth:`exec`."""
        done = subprocess.run(
            self.device_command(device, argv),
            input=text_in,
            stdin=subprocess.DEVNULL if text_in is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=inner_env({"HOME": "/root"}),
            check=False,
        )
        if check and done.returncode != 0:
            words = (done.stderr or done.stdout).strip()[-800:]
            raise LabError(f"on {device}: {' '.join(argv)}: {words}")
        return done

    def reboot(self, device: str) -> None:
        """Kill a device and boot it from its saved files; returns when its SSH server listens.

        Raises:
            LabError: no such device, or it does not come up.
        """
        if device not in self.hosts:
            raise LabError(f"lab {self.name!r} has no device {device!r}")
        self.exec([sys.executable, "-m", "mtughost.lab.holder", "reboot", device], check=True)

    def settle(self, *, timeout_s: float = 30.0) -> None:
        """Wait until every AP and appliance knows whether it is connected.

        Raises:
            LabError: some did not say so in time.
        """
        waiting = [site.device for site in self.sites if site.service]
        deadline = time.monotonic() + timeout_s
        while waiting:
            waiting = [device for device in waiting if not self._knows(device)]
            if waiting and time.monotonic() > deadline:
                raise LabError(f"no cloud status from {', '.join(waiting)} in {timeout_s:.0f} s")
            if waiting:
                time.sleep(0.2)

    def _knows(self, device: str) -> bool:
        status = self.exec(["cat", f"/run/mtughost/devices/{device}/fs/run/cloud/status"]).stdout
        return "connected: yes" in status or (
            "connected: no" in status and "first att" not in status
        )

    def down(self) -> None:
        """Take the lab down and remove its record and project files."""
        down(self.name, root=self.root)


def inner_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of commands inside a lab: ours, with the system's programs."""
    env = dict(os.environ)
    env["PATH"] = f"{env.get('PATH', '')}:{_SBIN}".lstrip(":")
    # The package must be found inside too, also when it runs from a checkout.
    home = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (home, env.get("PYTHONPATH", ""))))
    env.update(extra or {})
    return env


def _site(item: dict[str, Any]) -> BuiltSite:
    service = item["service"]
    return BuiltSite(**{**item, "service": Service(**service) if service else None})


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
        now = datetime.datetime.now(datetime.UTC)
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
        except BaseException:
            _remove(root, state.load(root, spec.name))
            raise
        return Lab(record, root)


def _preflight(spec: LabSpec) -> state.Mapped:
    userns.require(userns.PROGRAMS | userns.SSH_PROGRAMS)
    if any(site.plan.topology != "plain" for site in spec.sites):
        userns.require(userns.SERVICE_PROGRAMS)
    if any(site.plan.dhcp_mtu_bytes for site in spec.sites):
        userns.require({"dnsmasq": userns.OPTIONAL_PROGRAMS["dnsmasq"]})
    if any(site.tunnel == "openvpn" and site.plan.topology == "tunnel" for site in spec.sites):
        userns.require({"openvpn": userns.OPTIONAL_PROGRAMS["openvpn"]})
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise LabError(
                "a tunnel by OpenVPN needs /dev/net/tun, which this user may not open",
                todo="Leave the tunnel at 'veth', or run the lab as root",
            )
    if os.geteuid() == 0:
        return "root"
    userns.check_user_namespaces()
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
            [sys.executable, "-m", "mtughost.lab.holder"],
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
            userns.map_ids(process.pid)
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
            raise LabError(str(message["reason"]))
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
    (root / f".{record.name}.lock").unlink(missing_ok=True)
    return was_running


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        # Not empty, or not there: both are fine.
        return
