"""Bring labs up and run commands inside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from mtughost import lab
from mtughost.lab import Lab, LabSpec
from mtughost.lab.handle import inner_env
from mtughost.lab.spec import ClampStyle
from mtughost.model.errors import UsageError


def bring_up(  # what a lab is, in plain words
    scenarios: Sequence[str],
    *,
    name: str = "lab",
    tls: str = "1.2",
    style: str = "nft",
    renumber: int | None = None,
    gateway: str = "",
    say: Callable[[str], None] = lambda _text: None,
) -> Lab:
    """Start a lab and wait until its access points know whether they are connected.

    Args:
        scenarios: One site each, in this order; the chain of the demo when empty.
        name: The lab's name.
        tls: TLS version of all these sites.
        style: One of :data:`mtughost.lab.spec.ClampStyle`.
        renumber: Seed for other addresses and names.
        gateway: ``PLATFORM[:VERSION]`` of virtual vendor's gateways, ``""`` for Linux ones.
        say: Is told what happens.

    Raises:
        UsageError: an option's value is unknown.
        LabError: the lab cannot run here; it says what is missing.
    """
    if tls not in {"1.2", "1.3"}:
        raise UsageError(f"--tls is 1.2 or 1.3, not {tls}")
    if style not in get_args(ClampStyle):
        raise UsageError(f"--style is one of {', '.join(get_args(ClampStyle))}, not {style}")
    if gateway and not scenarios:
        raise UsageError("--gateway needs scenarios", todo="For example: lab up clamp-scope")
    options = {"tls": tls, "style": style, "gateway": gateway}
    sites = lab.sites_of(scenarios, **options) if scenarios else lab.retail_chain()
    made = lab.up(LabSpec(name=name, sites=sites, renumber=renumber), progress=say)
    made.settle()
    return made


def own_command() -> list[str]:
    """Return how this very mtughost is started: the same Python, the same package.

    ``-P``: a folder called mtughost in the current directory is somebody else's code.
    """
    return [sys.executable, "-P", "-m", "mtughost"]


def lab_environment(project: Path) -> dict[str, str]:
    """Return the environment of commands inside a lab: the lab's project is the project."""
    return inner_env({"MTUGHOST_PROJECT": str(project)})


def inside(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` with ``mtughost`` replaced by this very installation."""
    return [*own_command(), *argv[1:]] if argv and argv[0] == "mtughost" else list(argv)


def run_inside(name: str, argv: Sequence[str]) -> int:
    """Run a command inside a lab on this terminal; return its exit code.

    Raises:
        LabError: there is no such lab.
        UsageError: no command was given, or there is no such program.
    """
    if not argv:
        raise UsageError("no command was given", todo=f"Try: mtughost lab exec {name} -- sh")
    command = inside(argv)
    if shutil.which(command[0]) is None:
        raise UsageError(f"there is no program {command[0]}")
    found = lab.find(name)
    done = subprocess.run(
        found.command(command, cwd=Path.cwd()), env=lab_environment(found.project), check=False
    )
    # A command ended by a signal: the shell's convention.
    return done.returncode if done.returncode >= 0 else 128 - done.returncode
