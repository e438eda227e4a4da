"""SSH servers for virtual devices: one process, one thread, one listener per device on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import resource
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncssh

from mtughost.lab.fleet.clock import LoopClock
from mtughost.lab.fleet.device import Cli, VirtualDevice
from mtughost.lab.fleet.shell import ShellRouter
from mtughost.model.errors import LabError

if TYPE_CHECKING:
    from mtughost.lab.fleet.linux import LinuxPoint

T = TypeVar("T")
#: First address that a device listens on; the next ones follow. All of 127/8 is loopback.
FIRST_ADDRESS = ipaddress.IPv4Address("127.66.0.1")
_START_TIMEOUT_S = 60.0
#: What a listener may take, host key included, on a busy machine.
_LISTEN_S = 0.05
_OTHER_FILES = 256
#: How often a command that goes on is asked for what it printed.
_LOOK_S = 0.05
_SSH_OPTIONS = {
    "line_editor": False,
    "keepalive_interval": 0,
    "login_timeout": 30,
    "kex_algs": ["curve25519-sha256", "curve25519-sha256@libssh.org"],
    "compression_algs": None,
    "server_version": "Fleet",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a device listens and what its host key is, in OpenSSH's form."""

    address: str
    port: int
    host_key: str


class Fleet:
    """All devices and their servers.

    Attributes:
        clock: Time of the devices.
        devices: By inventory name.
        endpoints: By inventory name, once started.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._listeners: list[asyncssh.SSHAcceptor] = []
        self.clock = LoopClock(self._loop)
        self.devices: dict[str, VirtualDevice | LinuxPoint] = {}
        self.endpoints: dict[str, Endpoint] = {}

    def start(self, devices: Sequence[VirtualDevice | LinuxPoint], *, port: int = 0) -> None:
        """Listen for all devices.

        Args:
            devices: Made with this fleet's clock.
            port: The same for all; 0 takes one that is free.

        Raises:
            LabError: an address cannot be listened on.
        """
        _allow_files(2 * len(devices) + _OTHER_FILES)
        self._thread.start()
        self.call(self._listen(devices, port), _START_TIMEOUT_S + len(devices) * _LISTEN_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = _START_TIMEOUT_S) -> T:
        """Run a coroutine on the fleet's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def ask(self, question: Callable[[], T]) -> T:
        """Run a function on the fleet's thread: the only safe way to look at a device."""

        async def answer() -> T:
            return question()

        return self.call(answer())

    async def _listen(self, devices: Sequence[VirtualDevice | LinuxPoint], port: int) -> None:
        options = await asyncssh.SSHServerConnectionOptions.construct(**_SSH_OPTIONS)
        for index, device in enumerate(devices):
            address = str(FIRST_ADDRESS + index + index // 254 * 2)
            key = asyncssh.generate_private_key("ssh-ed25519")
            try:
                listener = await _listener(device, key, options, host=address, port=port)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise LabError(
                        f"{device.identity.name}: {address} port {port} cannot be listened on: "
                        f"{error}"
                    ) from error
                # Some systems have one loopback address only: then each device has its own port.
                address = "127.0.0.1"
                listener = await _listener(device, key, options, host=address, port=0)
            else:
                port = listener.get_port()
            self._listeners.append(listener)
            name = device.identity.name
            self.devices[name] = device
            public = key.export_public_key().decode().strip()
            self.endpoints[name] = Endpoint(
                address, listener.get_port(), " ".join(public.split()[:2])
            )

    def serve(self, devices: Sequence[tuple[VirtualDevice, socket.socket, bytes]]) -> None:
        """Serve devices on sockets that listen already, with host keys that are known already."""
        _allow_files(2 * len(devices) + _OTHER_FILES)
        self._thread.start()

        async def serve() -> None:
            options = await asyncssh.SSHServerConnectionOptions.construct(**_SSH_OPTIONS)
            for device, sock, host_key in devices:
                key = asyncssh.import_private_key(host_key)
                self._listeners.append(await _listener(device, key, options, sock=sock))
                self.devices[device.identity.name] = device

        self.call(serve())

    def stop(self) -> None:
        """Stop listening, end all logins, end the thread."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        with contextlib.suppress(TimeoutError):
            self.call(self._close(), 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> Self:
        """Return itself; leaving stops it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


async def _listener(
    device: VirtualDevice | LinuxPoint,
    key: asyncssh.SSHKey,
    options: asyncssh.SSHServerConnectionOptions,
    **where: Any,
) -> asyncssh.SSHAcceptor:
    return await asyncssh.listen(
        **where,
        options=options,
        server_host_keys=[key],
        server_factory=_factory(device),
        backlog=16,
    )


def _allow_files(wanted: int) -> None:
    """Raise this process's limit of open files as far as it may: a listener and a login are two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def _factory(device: VirtualDevice | LinuxPoint) -> Callable[[], asyncssh.SSHServer]:
    return lambda: _Door(device)


class _Door(asyncssh.SSHServer):
    """Who may come in. A device that boots lets nobody."""

    def __init__(self, device: VirtualDevice | LinuxPoint) -> None:
        self._device = device
        self._username = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        if not self._device.is_up:
            conn.abort()

    def begin_auth(self, username: str) -> bool:
        self._username = username
        is_open = isinstance(self._device, VirtualDevice) and self._device.asks_itself
        return not is_open

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        account = self._device.account_of(username)
        offered = key.export_public_key().decode().split()[:2]
        return account is not None and account.public_key.split()[:2] == offered

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        account = self._device.account_of(username)
        return account is not None and bool(password) and account.password == password

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> asyncssh.SSHTCPSession[bytes]:
        """Forward to the emulated far end, and to nothing else.

        This machine's own network is no part of the emulation.
        """
        del orig_host, orig_port
        if not isinstance(self._device, VirtualDevice):
            far_end = self._device.far_end(dest_host, dest_port)
            if far_end is not None:
                return far_end
        raise asyncssh.ChannelOpenError(
            asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "forwarding is switched off"
        )

    def session_requested(self) -> asyncssh.SSHServerSession[str]:
        if isinstance(self._device, VirtualDevice) and not isinstance(self._device, ShellRouter):
            return _Console(self._device, self._username)
        return self._device.exec_session(self._username)


class _Console(asyncssh.SSHServerSession[str]):
    """One terminal on a virtual device. Output keeps its order whatever its pace is."""

    def __init__(self, device: VirtualDevice, username: str) -> None:
        self._device = device
        self._manners = device.manners
        self._terminal = device.login(username).terminal()
        self._waiting: list[str] = []
        self._is_busy = False
        self._channel: asyncssh.SSHServerChannel[str] | None = None
        device.on_hang_up = _hang_up
        self._cli.channel = self

    @property
    def _cli(self) -> Cli:
        return self._terminal.cli

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        self._channel = chan

    def pty_requested(self, *_: object) -> bool:
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:  # noqa: ARG002 - asyncssh's signature
        return False

    def session_started(self) -> None:
        self._say(self._terminal.greet())
        self._idle_noise()

    def data_received(self, data: str, datatype: int | None) -> None:  # noqa: ARG002
        was_working = self._cli.job is not None
        self._say(self._terminal.feed(data), think=self._manners.think_s)
        if self._cli.job is not None and not was_working:
            self._work()

    def _work(self) -> None:
        """Show what a command that goes on prints, for as long as it does."""
        if self._channel is None or self._cli.job is None:
            return
        self._say(self._terminal.work())
        self._device.clock.call_later(_LOOK_S, self._work)

    def eof_received(self) -> bool:
        self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._channel = None
        if self._cli.job is not None:
            self._cli.job.interrupt()
            self._cli.job = None
        self._device.logout(self._cli)

    def close(self) -> None:
        """End the session."""
        if self._channel is not None:
            self._channel.exit(0)

    # -- pace ------------------------------------------------------------------------------------
    def _say(self, text: str, think: float = 0.0) -> None:
        size = self._manners.chunk_bytes or len(text) or 1
        self._waiting += [text[at : at + size] for at in range(0, len(text), size)]
        if not self._is_busy:
            self._is_busy = True
            if think:
                self._device.clock.call_later(think, self._flush)
            else:
                self._flush()

    def _flush(self) -> None:
        delay = self._manners.chunk_delay_s
        while self._waiting and self._channel is not None:
            try:
                self._channel.write(self._waiting.pop(0))
            except BrokenPipeError:  # the other side has just left
                self._channel = None
                return
            if delay and self._waiting:
                self._device.clock.call_later(delay, self._flush)
                return
        self._is_busy = False
        if self._cli.ended:
            self.close()

    def _idle_noise(self) -> None:
        mean = self._manners.idle_noise_s
        if not mean or self._channel is None:
            return
        self._device.clock.call_later(self._device.rng.expovariate(1 / mean), self._noise)

    def _noise(self) -> None:
        if self._channel is not None and not self._is_busy:
            drawn = self._terminal.screen_line() if self._manners.redraws else ""
            self._say(f"\r\n{self._device.log_line()}\r\n{drawn}")
        self._idle_noise()


def _hang_up(cli: Cli) -> None:
    console = cli.channel
    if isinstance(console, _Console):
        console.close()
