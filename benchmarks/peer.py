"""The peers of the benchmark, each alone in a process of the peers' own environment.

``python benchmarks/peer.py MODE TARGETS WORKERS OUT``. Logs in to every host, sends the same
commands, parses each answer with ntc-templates as netmiko's ``use_textfsm`` does, and writes the
digest of every raw answer. Imports nothing of mtughost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from answers import digest_of

Host = dict[str, Any]
Answers = dict[str, dict[str, str]]
PLATFORM = "cisco_ios"


def parsed(line: str, text: str) -> None:
    """Do what ``use_textfsm=True`` does with an answer; where no template fits, it does nothing."""
    from netmiko.utilities import get_structured_data_textfsm  # noqa: PLC0415

    get_structured_data_textfsm(text, platform=PLATFORM, command=line)


def nornir(targets: Any, workers: int) -> Answers:
    """Nornir with nornir_netmiko, netmiko's default settings."""
    from nornir.core import Nornir  # noqa: PLC0415
    from nornir.core.inventory import (  # noqa: PLC0415
        ConnectionOptions,
        Defaults,
        Groups,
        Hosts,
        Inventory,
    )
    from nornir.core.inventory import Host as NornirHost  # noqa: PLC0415
    from nornir.core.plugins.connections import ConnectionPluginRegister  # noqa: PLC0415
    from nornir.core.task import Result, Task  # noqa: PLC0415
    from nornir.plugins.runners import ThreadedRunner  # noqa: PLC0415
    from nornir_netmiko.tasks import netmiko_send_command  # noqa: PLC0415

    logging.disable()
    ConnectionPluginRegister.auto_register()
    extras = {"use_keys": True, "key_file": targets["key_file"], "conn_timeout": 60}
    defaults = Defaults(
        username=targets["username"],
        platform=PLATFORM,
        connection_options={"netmiko": ConnectionOptions(extras=extras)},
    )
    hosts = Hosts()
    for item in targets["hosts"]:
        hosts[item["name"]] = NornirHost(
            name=item["name"], hostname=item["address"], port=item["port"], defaults=defaults
        )
    found: Answers = {}

    def visit(task: Task) -> Result:
        said = {}
        for command in targets["commands"]:
            line = command["line"]
            text = str(task.run(netmiko_send_command, command_string=line)[0].result)
            parsed(line, text)
            said[command["id"]] = digest_of(text)
        task.host.close_connections()
        found[task.host.name] = said
        return Result(host=task.host)

    Nornir(
        inventory=Inventory(hosts=hosts, groups=Groups(), defaults=defaults),
        runner=ThreadedRunner(num_workers=workers),
    ).run(visit)
    return found


def netmiko(targets: Any, workers: int) -> Answers:
    """Netmiko in a pool of threads, default settings."""
    from netmiko import ConnectHandler  # noqa: PLC0415

    def visit(host: Host) -> dict[str, str]:
        said = {}
        with ConnectHandler(
            device_type=PLATFORM,
            host=host["address"],
            port=host["port"],
            username=targets["username"],
            use_keys=True,
            key_file=targets["key_file"],
            conn_timeout=60,
        ) as connection:
            for command in targets["commands"]:
                text = str(connection.send_command(command["line"]))
                parsed(command["line"], text)
                said[command["id"]] = digest_of(text)
        return said

    return in_threads(targets, workers, visit)


def scrapli(targets: Any, workers: int) -> Answers:
    """Scrapli with its own transport, in a pool of threads."""
    from scrapli import AuthOptions, Cli, TransportSsh2Options  # type: ignore[import-not-found]  # noqa: PLC0415

    def visit(host: Host) -> dict[str, str]:
        said = {}
        with Cli(
            host["address"],
            port=host["port"],
            definition_file_or_name="cisco_iosxe",
            auth_options=AuthOptions(
                username=targets["username"], private_key_path=targets["key_file"]
            ),
            transport_options=TransportSsh2Options(),
        ) as connection:
            for command in targets["commands"]:
                text = connection.send_input(command["line"]).result
                parsed(command["line"], text)
                said[command["id"]] = digest_of(text)
        return said

    return in_threads(targets, workers, visit)


def in_threads(targets: Any, workers: int, visit: Callable[[Host], dict[str, str]]) -> Answers:
    """Visit all hosts; one that fails has no answers."""

    def safely(host: Host) -> dict[str, str]:
        try:
            return visit(host)
        except Exception as error:  # noqa: BLE001 - counted as wrong answers
            print(f"{host['name']}: {type(error).__name__}: {error}"[:300], file=sys.stderr)
            return {}

    with ThreadPoolExecutor(workers) as pool:
        said = pool.map(safely, targets["hosts"])
        return {host["name"]: each for host, each in zip(targets["hosts"], said, strict=True)}


def asyncssh(targets: Any, workers: int) -> Answers:
    """Use asyncssh with a reader of prompts of our own; one event loop."""
    import asyncssh as ssh  # noqa: PLC0415

    found: Answers = {}
    gate = asyncio.Semaphore(workers)
    prompt = re.compile(r"(?:^|\n)[\w.-]+#$")

    async def until_prompt(process: Any) -> str:
        text = ""
        while not prompt.search(text):
            piece = await process.stdout.read(1 << 16)
            if not piece:
                raise ConnectionError("it hung up")
            text += piece.replace("\r\n", "\n")
        return text

    async def visit(host: Host) -> None:
        async with gate:
            said = {}
            async with ssh.connect(
                host["address"],
                host["port"],
                username=targets["username"],
                client_keys=[targets["key_file"]],
                known_hosts=None,
                config=None,
            ) as connection:
                process = await connection.create_process(term_type="vt100", term_size=(511, 1000))
                await until_prompt(process)
                process.stdin.write("terminal length 0\n")
                await until_prompt(process)
                for command in targets["commands"]:
                    process.stdin.write(command["line"] + "\n")
                    rows = (await until_prompt(process)).split("\n")
                    text = "\n".join(rows[1:-1])
                    parsed(command["line"], text)
                    said[command["id"]] = digest_of(text)
            found[host["name"]] = said

    async def visit_all() -> None:
        await asyncio.gather(*map(visit, targets["hosts"]), return_exceptions=True)

    asyncio.run(visit_all())
    return found


def floor(targets: Any, workers: int) -> Answers:
    """What SSH itself takes on paramiko: a login, a shell, everything typed at once, no parsing.

    Nobody should do this to a device unless it is known to take typed-ahead lines.
    """
    import socket  # noqa: PLC0415

    import paramiko  # noqa: PLC0415

    key = paramiko.Ed25519Key.from_private_key_file(targets["key_file"])
    lines = ["terminal length 0", *(command["line"] for command in targets["commands"])]

    def visit(host: Host) -> dict[str, str]:
        sock = socket.create_connection((host["address"], host["port"]), timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock)
        try:
            transport.start_client(timeout=60)
            transport.auth_publickey(targets["username"], key)
            channel = transport.open_session()
            channel.get_pty(width=511, height=1000)
            channel.invoke_shell()
            channel.sendall(("\n".join(lines) + "\n").encode())
            text, mark = "", f"{host['name']}#"
            while text.count(mark) <= len(lines):
                piece = channel.recv(1 << 16)
                if not piece:
                    raise ConnectionError("it hung up")
                text += piece.decode()
        finally:
            transport.close()
        parts = text.replace("\r", "").split(mark)[2:]
        said = (part.partition("\n")[2] for part in parts)
        return {
            command["id"]: digest_of(text)
            for command, text in zip(targets["commands"], said, strict=False)
        }

    return in_threads(targets, workers, visit)


MODES = {
    "floor": floor,
    "nornir": nornir,
    "netmiko": netmiko,
    "scrapli": scrapli,
    "asyncssh": asyncssh,
}


def main(argv: list[str]) -> None:
    """Run one peer."""
    mode, targets_file, workers, out = argv
    targets = json.loads(Path(targets_file).read_text("utf-8"))
    Path(out).write_text(json.dumps(MODES[mode](targets, int(workers))), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
