"""Nornir's way to a session: ``host.get_connection("mtughost_ssh", nr.config)``.

Everything special goes into ``connection_options.mtughost_ssh.extras``::

    extras:
      name: s001-ap1                 # key in known_hosts; default: the host's hostname
      known_hosts: ./known_hosts     # required
      driver: exec                   # or cli; default: exec for linux, otherwise cli
      key_file: ~/.ssh/id_ed25519    # or a password of the host, as a reference
      profile: {paging_off: terminal length 0, prompt: '...'}   # fields of DriverProfile

A program that has a :class:`~mtughost.wire.connector.Connector` gives ``connector``, ``device``
and ``profile`` objects instead. The connection is a :class:`mtughost.model.session.Session`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtughost.model.errors import UsageError
from mtughost.model.inventory import Credential, Device
from mtughost.model.session import Session
from mtughost.wire.clock import SystemClock
from mtughost.wire.connector import Connector
from mtughost.wire.known_hosts import KnownHosts
from mtughost.wire.profile import DriverProfile
from mtughost.wire.secrets import SecretResolver

#: Name of the plugin for ``get_connection``.
CONNECTION_NAME = "mtughost_ssh"
_SHELL_PLATFORMS = ("linux", "exec")


class MtughostConnection:
    """Nornir connection plugin.

    Attributes:
        connection: The open session.
    """

    connection: Session

    def __init__(self) -> None:
        self._own_connector: Connector | None = None

    def open(
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,
        extras: dict[str, Any] | None = None,
        configuration: Any = None,  # noqa: ARG002  # part of nornir's interface
    ) -> None:
        """Log in.

        Raises:
            DeviceError: one of its subclasses.
            UsageError: ``extras`` lack something.
        """
        options = dict(extras or {})
        if isinstance(options.get("connector"), Connector):
            connector: Connector = options["connector"]
            self.connection = connector.open(options["device"], options["profile"])
            return
        device = _device(hostname, username, password, port, options)
        known_hosts = options.get("known_hosts")
        if not known_hosts:
            raise UsageError(
                f"{device.name}: extras of {CONNECTION_NAME} name no known_hosts file",
                todo="Add known_hosts: PATH; there is no login without a recorded host key",
            )
        self._own_connector = Connector(
            devices={device.name: device},
            known_hosts=KnownHosts(Path(known_hosts).expanduser()),
            secrets=SecretResolver(),
            clock=SystemClock(),
        )
        self.connection = self._own_connector.open(device, _profile(platform, options))

    def close(self) -> None:
        """End the login."""
        self.connection.close()
        if self._own_connector is not None:
            self._own_connector.close()


def _device(
    hostname: str | None,
    username: str | None,
    password: str | None,
    port: int | None,
    options: Mapping[str, Any],
) -> Device:
    name = str(options.get("name") or hostname or "")
    if not name or not hostname:
        raise UsageError(f"{CONNECTION_NAME}: the host has no hostname")
    return Device(
        name=name,
        address=hostname,
        port=port or 22,
        site="",
        role="gateway",
        credential=Credential(
            realm=name,
            username=username or "",
            password_ref=password or "",
            key_file=str(options.get("key_file") or ""),
            use_agent=bool(options.get("use_agent", False)),
        ),
    )


def _profile(platform: str | None, options: Mapping[str, Any]) -> DriverProfile:
    given = options.get("profile") or {}
    if isinstance(given, DriverProfile):
        return given
    is_shell = (platform or "linux") in _SHELL_PLATFORMS
    kind = options.get("driver") or ("exec" if is_shell else "cli")
    fields: dict[str, Any] = {"kind": kind, "netmiko_type": platform or "generic"}
    for key, value in dict(given).items():
        fields[key] = tuple(value) if isinstance(value, list) else value
    try:
        return DriverProfile(**fields)
    except TypeError as error:
        raise UsageError(f"{CONNECTION_NAME}: profile: {error}") from error
