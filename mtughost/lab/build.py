"""Builds a planned lab from inside its namespaces: nodes, cables, daemons, devices."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from mtughost.lab import boot, nsops, offload, vendor_host
from mtughost.lab.addressing import MANAGEMENT
from mtughost.lab.plan import Daemon, LabPlan, Link, Node
from mtughost.model.errors import LabError

NODES_DIR = boot.LAB_DIR / "nodes"
BRIDGE = "mgmtbr"
DAEMON_TIMEOUT_S = 30.0


def build(plan: LabPlan, progress: Callable[[str], None]) -> None:
    """Build everything; returns when every daemon is ready and every device has booted.

    Raises:
        LabError: something did not start; the message quotes what it said.
        OSError: the kernel refused something.
    """
    ports = {node.name: node.ports for node in plan.nodes}
    _networks(plan)
    _cables(plan.links, plan.operator)
    for name, own in ports.items():
        offload.switch_off(boot.NETNS_DIR / name, own)
    progress(f"{len(plan.nodes)} network namespaces and {len(plan.links)} cables are up")
    plain = [node for node in plan.nodes if node.kind == "plain"]
    for node in plain:
        _plain(node)
    started = {node.name: _daemons(node) for node in plain if not node.waits_for}
    devices = [node for node in plan.nodes if node.kind == "device"]
    for node in devices:
        files = {path: (file.content, file.mode) for path, file in node.files.items()}
        boot.install(node.name, node.ports, files)
    first = [node.name for node in devices if not node.waits_for]
    for name in first:
        boot.start(name)
    for name, running in started.items():
        _await_daemons(name, running)
    if any(started.values()):
        progress("the cloud's servers are ready")
    second = [node.name for node in devices if node.waits_for]
    for name in second:
        boot.start(name)
    for node in plain:
        if node.waits_for:
            _daemons(node)
    boot.wait_booted((*first, *second))
    progress(f"{len(devices)} devices have booted")
    vendor_host.start(plan.bound, progress)


def _batch(lines: Sequence[str], what: str) -> None:
    done = subprocess.run(
        ["ip", "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"{what}: {' '.join(done.stderr.split())}")


def _networks(plan: LabPlan) -> None:
    _batch([f"netns add {node.name}" for node in plan.nodes], "network namespaces")


def _cables(links: Sequence[Link], operator: str) -> None:
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge forward_delay 0",
        f"address add {operator}/{MANAGEMENT.prefixlen} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    for number, link in enumerate(links):
        if link.node_b:
            lines.append(
                f"link add {link.port_a} netns {link.node_a} type veth"
                f" peer name {link.port_b} netns {link.node_b}"
            )
        else:
            lines.append(
                f"link add m{number} type veth peer name {link.port_a} netns {link.node_a}"
            )
            lines.append(f"link set m{number} master {BRIDGE} up")
    _batch(lines, "cables")
    for number, link in enumerate(links):
        if link.ceiling_bytes:
            _rules(
                f"table netdev m{number} {{\n\tchain ceiling {{\n"
                f'\t\ttype filter hook ingress device "m{number}" priority 0; policy accept;\n'
                f"\t\tip length > {link.ceiling_bytes} counter drop\n\t}}\n}}\n",
                f"cable of {link.node_a}",
            )


def _plain(node: Node) -> None:
    home = NODES_DIR / node.name
    home.mkdir()
    for name, file in node.files.items():
        path = home / name
        path.touch(mode=file.mode)
        path.write_bytes(file.content)
    with nsops.inside(boot.NETNS_DIR / node.name):
        for key, value in node.sysctls.items():
            Path("/proc/sys", *key.split(".")).write_text(value)
        _batch(node.batch, f"network of {node.name}")
        if node.ruleset:
            _rules(node.ruleset, node.name)


def _rules(text: str, owner: str) -> None:
    done = subprocess.run(
        ["nft", "-f", "-"], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"rules of {owner}: {' '.join(done.stderr.split())}")


_Running = list[tuple[Daemon, "subprocess.Popen[bytes]"]]


def _daemons(node: Node) -> _Running:
    home = NODES_DIR / node.name
    values = {
        "dir": str(home),
        "python": sys.executable,
        "data": str(resources.files("mtughost.lab").joinpath("data")),
    }
    running: _Running = []
    with nsops.inside(boot.NETNS_DIR / node.name):
        for daemon in node.daemons:
            argv = [part.format(**values) for part in daemon.argv]
            with (home / daemon.log).open("ab") as log:
                process = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home
                )
            running.append((daemon, process))
    return running


def _await_daemons(name: str, running: _Running) -> None:
    deadline = time.monotonic() + DAEMON_TIMEOUT_S
    for daemon, process in running:
        log = NODES_DIR / name / daemon.log
        while daemon.ready_text not in (text := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"{daemon.argv[0]} of {name} did not start: {text[-1500:]}")
            time.sleep(0.01)
