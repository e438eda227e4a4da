"""Real OpenSSH servers and raw hostile ones, on loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh
import pytest

from mtughost.model.inventory import Credential, Device
from mtughost.model.session import RenderedCommand
from mtughost.wire.clock import SystemClock
from mtughost.wire.connector import Connector
from mtughost.wire.known_hosts import HostKeyInfo, KnownHosts
from mtughost.wire.profile import SHELL, WirePolicy
from mtughost.wire.secrets import SecretResolver

QUICK = WirePolicy(
    connect_timeout_s=3,
    banner_timeout_s=1.0,
    kex_timeout_s=1.0,
    auth_timeout_s=3,
    channel_timeout_s=3,
    prompt_timeout_s=1.5,
)


def pytest_configure():
    if shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")) is None:
        pytest.exit("the tests of wire need OpenSSH's sshd (Debian package openssh-server)", 4)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "test", "-f", path],
        check=True,
    )
    return path


def public_key(path: Path) -> HostKeyInfo:
    kind, encoded, *_ = Path(f"{path}.pub").read_text().split()
    return HostKeyInfo(kind, encoded)


@dataclass(frozen=True)
class Server:
    """A running sshd. ``pid`` is the only process that the fixture ends."""

    port: int
    pid: int
    host_key: HostKeyInfo
    user_key: Path
    log: Path

    def children(self) -> list[int]:
        """Return everybody below the server: an ordinary user's logins have two processes each."""
        found, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop()
            listing = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            below = [int(child) for child in listing.split()]
            found += below
            waiting += below
        return found


class SshdFarm:
    """Starts OpenSSH servers as the current user, each with keys of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []
        self.user_key = make_key(directory / "user_key")

    def start(self, *options: str, host_key: str = "ed25519") -> Server:
        number = len(self._running)
        home = self._directory / f"sshd{number}"
        home.mkdir()
        key = make_key(home / "host_key", host_key)
        (home / "authorized_keys").write_text(Path(f"{self.user_key}.pub").read_text())
        port = free_port()
        config = home / "sshd_config"
        lines = [
            *options,  # the first value of an option counts
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {key}",
            f"AuthorizedKeysFile {home / 'authorized_keys'}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "MaxSessions 50",
            "MaxStartups 200",
            "LogLevel VERBOSE",
            "PrintMotd no",
            "SetEnv SHLVL=2",  # else bash reads the tester's own ~/.bashrc for every command
        ]
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = home / "log"
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sshd, "-D", "-e", "-f", config],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._running.append(process)
        wait_until(lambda: can_connect(port) or process.poll() is not None, 10)
        assert process.poll() is None, log.read_text()
        return Server(port, process.pid, public_key(key), self.user_key, log)

    def stop(self) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            process.wait(10)


def can_connect(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
        return probe.recv(4) == b"SSH-"
    return False


def wait_until(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture(scope="session")
def sshd_farm(tmp_path_factory):
    farm = SshdFarm(tmp_path_factory.mktemp("sshd"))
    yield farm
    farm.stop()


@pytest.fixture(scope="session")
def sshd(sshd_farm):
    return sshd_farm.start()


class Net:
    """An inventory under construction, with a connector for it."""

    def __init__(self, directory: Path) -> None:
        self.known_hosts = KnownHosts(directory / "known_hosts")
        self.devices: dict[str, Device] = {}
        self.env: dict[str, str] = {"TEST_PASSWORD": "not-a-real-password"}
        self.warnings: list[str] = []
        self._connectors: list[Connector] = []

    def add(self, name: str, port: int, *, key: HostKeyInfo | None = None, **changes) -> Device:
        credential = changes.pop("credential", password_credential())
        device = Device(
            name=name,
            address="127.0.0.1",
            port=port,
            site="s1",
            role="ap",
            credential=credential,
        )
        device = replace(device, **changes)
        self.devices[name] = device
        if key is not None:
            self.known_hosts.add(name, key)
        return device

    def add_sshd(self, name: str, server: Server, **changes) -> Device:
        changes.setdefault("credential", key_credential(server.user_key))
        changes.setdefault("key", server.host_key)
        return self.add(name, changes.pop("port", server.port), **changes)

    def connector(self, policy: WirePolicy = QUICK) -> Connector:
        connector = Connector(
            devices=self.devices,
            known_hosts=self.known_hosts,
            secrets=SecretResolver(env=self.env, warn=self.warnings.append),
            clock=SystemClock(),
            policy=policy,
        )
        self._connectors.append(connector)
        return connector

    def open(self, device: Device, profile=SHELL, policy: WirePolicy = QUICK):
        return self.connector(policy).open(device, profile)

    def close(self) -> None:
        for connector in self._connectors:
            connector.close()


def key_credential(path: Path) -> Credential:
    return Credential(realm="lab", username=getpass.getuser(), key_file=str(path))


def password_credential(ref: str = "env:TEST_PASSWORD", username: str = "admin") -> Credential:
    return Credential(realm="lab", username=username, password_ref=ref)


@pytest.fixture
def net(tmp_path):
    network = Net(tmp_path)
    yield network
    network.close()


@pytest.fixture
def session(net, sshd):
    opened = net.open(net.add_sshd("ap1", sshd))
    yield opened
    opened.close()


@pytest.fixture
def command():
    def make(line: str, *, timeout_s: float = 5.0, risk: str = "passive", **more):
        return RenderedCommand(
            command_id=more.pop("command_id", "test"),
            line=line,
            risk=risk,
            timeout_s=timeout_s,
            **more,
        )

    return make


class RawServer:
    """A TCP server whose every connection is handled by a plain function in a thread."""

    def __init__(self, handle) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.stopping = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="raw-server", daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            self._handle(client, self.stopping)

    def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._sockets:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(3)


@pytest.fixture
def raw_server():
    servers: list[RawServer] = []

    def make(handle) -> RawServer:
        servers.append(RawServer(handle))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


class AsyncServer:
    """An asyncssh server in a thread of its own. Notes every credential that it is offered."""

    def __init__(self, kind="ssh-ed25519", **options) -> None:
        self.offered: list[tuple[str, str]] = []
        self.key = asyncssh.generate_private_key(kind)
        words = self.key.export_public_key().decode().split()
        self.host_key = HostKeyInfo(words[0], words[1])
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._options = options
        self.port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        self._loop.close()

    async def _listen(self) -> None:
        factory = self._options.pop("server_factory", PasswordServer)
        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: factory(self.offered),
            server_host_keys=[self.key],
            **self._options,
        )
        self.port = self._acceptor.get_port()

    def stop(self) -> None:
        async def end() -> None:
            self._acceptor.close()
            await asyncio.sleep(0.05)
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class PasswordServer(asyncssh.SSHServer):
    """Lets in who knows the one password; ``offered`` notes every try."""

    good = "not-a-real-password"

    def __init__(self, offered) -> None:
        self.offered = offered

    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        self.offered.append((username, password))
        return password == self.good


@pytest.fixture
def async_server():
    servers = []

    def make(**options):
        servers.append(AsyncServer(**options))
        return servers[-1]

    make.PasswordServer = PasswordServer
    yield make
    for server in servers:
        server.stop()
