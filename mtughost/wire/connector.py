"""The door of this room: opens sessions with devices of the inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from mtughost.model.inventory import Device
from mtughost.model.session import Clock, Session
from mtughost.wire.exec_session import ExecSession
from mtughost.wire.jumps import JumpPool
from mtughost.wire.known_hosts import HostKeyInfo, KnownHosts
from mtughost.wire.login import Login, LoginDesk
from mtughost.wire.profile import DEFAULT_POLICY, DriverProfile, WirePolicy
from mtughost.wire.secrets import SecretResolver


class Connector:
    """Opens sessions. Safe to use from several threads; how many at once is the caller's matter.

    Logins to jump hosts are shared and stay open until :meth:`close`.
    """

    def __init__(
        self,
        *,
        devices: Mapping[str, Device],
        known_hosts: KnownHosts,
        secrets: SecretResolver,
        clock: Clock,
        policy: WirePolicy = DEFAULT_POLICY,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            devices: The inventory by name; jump hosts are looked up in it.
            known_hosts: Host keys by inventory name.
            secrets: Resolves references to passwords and keys.
            clock: Stamps the answers.
            policy: Limits of each connection.
        """
        self._clock = clock
        self._secrets = secrets
        self._policy = policy
        self._desk = LoginDesk(known_hosts=known_hosts, secrets=secrets, policy=policy)
        self._jumps = JumpPool(devices=devices, desk=self._desk, policy=policy)

    def open(
        self, device: Device, profile: DriverProfile, *, release: Callable[[], None] | None = None
    ) -> Session:
        """Log in to ``device``.

        Args:
            device: Where to.
            profile: How its platform is spoken to.
            release: Called once the login is closed. Not called when there was none.

        Raises:
            DeviceError: one of its subclasses; nothing stays open, and no password was sent
                unless the host key is the recorded one.
        """
        login = self._desk.log_in(
            _with_suffix(device, profile.login_suffix),
            self._jumps.dialler(device),
            release=release or _nothing,
            asks_itself=profile.second_login is not None,
        )
        try:
            if profile.kind == "exec":
                return ExecSession(login, profile=profile, policy=self._policy, clock=self._clock)
            return self._command_line(login, device, profile)
        except BaseException:
            login.close()
            raise

    def _command_line(self, login: Login, device: Device, profile: DriverProfile) -> Session:
        # netmiko takes as long to import as paramiko: a fleet of shells does not pay for it.
        from mtughost.wire.cli_session import CliSession  # noqa: PLC0415
        from mtughost.wire.enable import enable_step  # noqa: PLC0415
        from mtughost.wire.second_login import second_step  # noqa: PLC0415

        steps = (step(device, profile, self._secrets) for step in (second_step, enable_step))
        return CliSession(
            login,
            profile=profile,
            policy=self._policy,
            clock=self._clock,
            steps=tuple(step for step in steps if step is not None),
        )

    @staticmethod
    def prepare(profile: DriverProfile) -> None:
        """Load what a session of this kind needs, before the first one is opened."""
        if profile.kind == "cli":
            import mtughost.wire.cli_session  # noqa: PLC0415, F401  # see _command_line

    def scan_host_key(self, device: Device) -> HostKeyInfo:
        """Return the host key that answers for ``device``, for ``enroll``. Never logs in to it.

        Raises:
            DeviceError: no key could be had.
        """
        return self._desk.host_key(device.name, self._jumps.dialler(device))

    def close(self) -> None:
        """End the shared logins to jump hosts."""
        self._jumps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _with_suffix(device: Device, suffix: str) -> Device:
    """Put a platform's terminal parameters behind the user name; refusals are still the realm's."""
    if not suffix or "+" in device.credential.username:
        return device
    username = device.credential.username + suffix
    return replace(device, credential=replace(device.credential, username=username))


def _nothing() -> None:
    """Nothing to release besides the transport."""
