"""A running lab, seen from outside: run commands in it and on its devices, reboot them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtughost.lab import state
from mtughost.lab.compose import BuiltSite
from mtughost.lab.state import Record
from mtughost.model.errors import LabError
from mtughost.model.inventory import Service

_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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
        argv = [sys.executable, "-P", "-m", "mtughost.lab.holder", "reboot", device]
        self.exec(argv, check=True)

    def ask_vendor(self, device: str, wish: str, **values: object) -> Any:
        """Ask the process behind the vendors' command lines, past every command line.

        Args:
            device: A vendor's gateway.
            wish: ``heard`` for all lines that were typed, ``problems`` for what the kernel refused,
                ``plant`` with ``clamps`` to configure it anew.
            values: Further values of the wish.

        Raises:
            LabError: there is no such process, or it failed.
        """
        question = json.dumps({"do": wish, "name": device, **values})
        argv = [sys.executable, "-P", "-m", "mtughost.lab.vendor_host", question]
        return json.loads(self.exec(argv, check=True).stdout)

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
    return BuiltSite(
        **{
            **item,
            "service": Service(**service) if service else None,
            "environment": tuple(item["environment"]),
            "addresses": tuple(item["addresses"]),
        }
    )
