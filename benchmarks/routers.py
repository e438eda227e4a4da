"""Virtual routers with outputs of real size, for the peers' benchmark: one process, all devices.

``python benchmarks/routers.py NUMBER DIRECTORY`` writes a project and ``targets.json`` (addresses,
commands and a digest of every true answer) into the directory, prints ``ready``, and ends when its
standard input does. What is slow to print is printed once: a real router's time is its own.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from answers import digest_of

from mtughost.content.load import load_book
from mtughost.content.render import render_command
from mtughost.content.root import packaged_content
from mtughost.lab.fleet import Account, Fleet, FleetSpec, VirtualSite, make_sites, write_project
from mtughost.lab.fleet import ios_views as views
from mtughost.lab.fleet.ios import IosRouter
from mtughost.lab.fleet.ios_cli import IosCli
from mtughost.lab.fleet.project import OPERATOR
from mtughost.lab.pki import ssh_key

PLATFORM = "cisco_xe"
#: With so many interfaces a router prints 45 kB.
INTERFACES = 46


def furnish(site: VirtualSite) -> IosRouter:
    """Give a router the interfaces of a large one."""
    router = site.gateway
    assert isinstance(router, IosRouter)
    for number in range(100, 100 + INTERFACES):
        router.running.interfaces[f"GigabitEthernet0/0/1.{number}"] = {
            "encapsulation": f"dot1Q {number}",
            "ip address": f"172.20.{number}.1 255.255.255.0",
            "ip nat": "inside",
            "ip tcp adjust-mss": "1452",
        }
    return router


def print_once() -> None:
    """Let every answer be composed once for each router."""
    real = views.show

    @cache
    def shown(cli_of: str, command: str, rest: tuple[str, ...]) -> str:
        return real(current[cli_of], command, list(rest))

    current: dict[str, IosCli] = {}

    def show(cli: IosCli, command: str, rest: list[str]) -> str:
        name = cli.device.identity.name
        current[name] = cli
        return shown(name, command, tuple(rest))

    views.show = show


def main(argv: list[str]) -> None:
    """Serve until standard input ends."""
    number, directory = int(argv[0]), Path(argv[1])
    print_once()
    key, approver = ssh_key(), ssh_key()
    account = Account(username=OPERATOR, public_key=key.public)
    book = load_book(packaged_content(), PLATFORM)
    ids = dict.fromkeys(c for specs in book.read.values() for s in specs for c in s.command_ids)
    lines = {name: render_command(book, name).line for name in ids}
    with Fleet() as fleet:
        spec = FleetSpec(sites=number, vendors=(PLATFORM,), with_aps=False)
        sites = make_sites(spec, clock=fleet.clock, accounts=(account,))
        routers = [furnish(site) for site in sites]
        fleet.start(routers)
        write_project(directory, fleet, sites, (key, approver))
        hosts = []
        for router in routers:
            cli = router.command_line(account)
            texts = {name: cli.run(line) for name, line in lines.items()}
            end = fleet.endpoints[router.identity.name]
            hosts.append(
                {
                    "name": router.identity.name,
                    "address": end.address,
                    "port": end.port,
                    "answers": {name: digest_of(text) for name, text in texts.items()},
                    "bytes": sum(map(len, texts.values())),
                }
            )
        targets = {
            "username": OPERATOR,
            "key_file": str(directory / "ssh" / "operator"),
            "commands": [{"id": name, "line": line} for name, line in lines.items()],
            "hosts": hosts,
        }
        (directory / "targets.json").write_text(json.dumps(targets), "utf-8")
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
