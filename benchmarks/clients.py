"""The contenders: each runs alone in a process inside the lab; whoever starts it measures it.

``python benchmarks/clients.py MODE TARGETS OUT [WORKERS]``; TARGETS is the file that
:mod:`benchmarks.run` wrote, OUT gets what came back (``{host: {command id: text}}``, or figures).
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

#: As many at once as mtughost's default policy allows.
WORKERS = 20

Targets = dict[str, Any]


def logins(targets: Targets, workers: int) -> None:
    """Connect, exchange keys, authenticate, close: stock paramiko, nothing else."""
    _paramiko(targets, workers, lambda _transport, _host: None)


def scripts(targets: Targets, workers: int) -> None:
    """Bare logins that also run the same commands as one script: what the devices cost."""

    def read(transport: Any, host: dict[str, Any]) -> None:
        channel = transport.open_session()
        channel.set_combine_stderr(True)
        channel.exec_command("\n".join(f"({command['line']})" for command in host["commands"]))
        while channel.recv(1 << 20):
            pass

    _paramiko(targets, workers, read)


def _paramiko(targets: Targets, workers: int, then: Callable[[Any, dict[str, Any]], None]) -> None:
    import paramiko  # noqa: PLC0415 - each contender pays for its own imports only

    key = paramiko.Ed25519Key.from_private_key_file(targets["key_file"])

    def visit(host: dict[str, Any]) -> None:
        sock = socket.create_connection((host["address"], host["port"]), timeout=20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock)
        try:
            transport.start_client(timeout=60)
            transport.auth_publickey(targets["username"], key)
            assert transport.is_authenticated()
            then(transport, host)
        finally:
            transport.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(visit, targets["hosts"]))


def without_ramp(targets: Targets, workers: int) -> None:  # noqa: ARG001 - the project is in the environment
    """``mtughost audit`` with neither canary nor ramp: all of the cap from the first login on."""
    from mtughost.cli.main import run  # noqa: PLC0415
    from mtughost.fleet import ramp  # noqa: PLC0415

    eager = partial(ramp._Realm, limit=workers, proven=True)  # noqa: SLF001 - users have no such setting, on purpose
    ramp._Realm = eager  # type: ignore[misc,assignment]  # noqa: SLF001
    sys.exit(run(["audit", "--quiet"]))


def plain_nornir(targets: Targets, workers: int) -> dict[str, dict[str, str]]:
    """Send the same commands one by one: nornir, nornir_netmiko, netmiko's default settings."""
    from nornir.core import Nornir  # noqa: PLC0415
    from nornir.core.inventory import (  # noqa: PLC0415
        ConnectionOptions,
        Defaults,
        Groups,
        Host,
        Hosts,
        Inventory,
    )
    from nornir.core.plugins.connections import ConnectionPluginRegister  # noqa: PLC0415
    from nornir.core.task import Result, Task  # noqa: PLC0415
    from nornir.plugins.runners import ThreadedRunner  # noqa: PLC0415
    from nornir_netmiko.tasks import netmiko_send_command  # noqa: PLC0415

    logging.disable()
    ConnectionPluginRegister.auto_register()
    extras = {"use_keys": True, "key_file": targets["key_file"]}
    defaults = Defaults(
        username=targets["username"],
        platform="linux",
        connection_options={"netmiko": ConnectionOptions(extras=extras)},
    )
    hosts = Hosts()
    for item in targets["hosts"]:
        name = item["name"]
        hosts[name] = Host(
            name=name, hostname=item["address"], port=item["port"], defaults=defaults
        )
    commands = {item["name"]: item["commands"] for item in targets["hosts"]}
    answers: dict[str, dict[str, str]] = {}
    lock = threading.Lock()

    def visit(task: Task) -> Result:
        texts: dict[str, str] = {}
        for command in commands[task.host.name]:
            done = task.run(netmiko_send_command, command_string=command["line"])
            texts[command["id"]] = str(done[0].result)
        task.host.close_connections()
        with lock:
            answers[task.host.name] = texts
        return Result(host=task.host)

    Nornir(
        inventory=Inventory(hosts=hosts, groups=Groups(), defaults=defaults),
        runner=ThreadedRunner(num_workers=workers),
    ).run(visit)
    return answers


def probe(targets: Targets, workers: int) -> dict[str, object]:  # noqa: ARG001 - one after the other
    """Probe the first access point's service with bisect; seconds and what was found."""
    from mtughost.app.inventory import open_inventory  # noqa: PLC0415
    from mtughost.app.project import open_project  # noqa: PLC0415
    from mtughost.app.sessions import SessionFactory  # noqa: PLC0415
    from mtughost.collect.probe import probe_service  # noqa: PLC0415
    from mtughost.wire.clock import SystemClock  # noqa: PLC0415

    project, clock = open_project(Path(targets["project"])), SystemClock()
    inventory = open_inventory(project)
    ap = next(device for device in inventory.devices if device.services)
    with closing(SessionFactory(project, inventory.known, clock=clock)) as factory:
        book = factory.book(ap)
        with closing(factory.open(ap)) as session:
            began_s = time.monotonic()
            found = probe_service(
                session, book, ap, ap.services[0], bisect=True, ap_mtu_bytes=None, clock=clock
            )
            took_s = time.monotonic() - began_s
    return {"took_s": took_s, "steps": len(found.steps), "unavailable": found.unavailable}


MODES: dict[str, Callable[[Targets, int], object]] = {
    "logins": logins,
    "scripts": scripts,
    "without-ramp": without_ramp,
    "plain-nornir": plain_nornir,
    "probe": probe,
}


def main(argv: list[str]) -> None:
    """Run one contender."""
    mode, targets_file, out = argv[:3]
    workers = int(argv[3]) if len(argv) > 3 else WORKERS
    targets = json.loads(Path(targets_file).read_text("utf-8"))
    Path(out).write_text(json.dumps(MODES[mode](targets, workers)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
