"""A login that a device asks for in its own words, after SSH let everybody in (Ruckus)."""

from __future__ import annotations

import re
from collections.abc import Callable

from mtughost.model.errors import AuthenticationRefusedError, ContentError, DeviceError
from mtughost.model.inventory import Device
from mtughost.wire.cli_talk import Talk
from mtughost.wire.netmiko_lean import LeanConnection
from mtughost.wire.profile import DriverProfile, SecondLogin
from mtughost.wire.secrets import SecretResolver

#: What is typed into a fresh terminal before the first command.
OpeningStep = Callable[[Talk, LeanConnection], None]


def second_step(
    device: Device, profile: DriverProfile, secrets: SecretResolver
) -> OpeningStep | None:
    """Return what logs in on the terminal, ``None`` where SSH is all.

    The password is typed once, only at the prompt that the task book names, and into a connection
    whose host key was checked. A refusal counts like one of SSH: it is never tried again.
    """
    spec = profile.second_login
    if spec is None:
        return None

    def log_in(talk: Talk, connection: LeanConnection) -> None:
        _log_in(talk, connection, device, spec, profile.prompt, secrets)

    return log_in


def _log_in(
    talk: Talk,
    connection: LeanConnection,
    device: Device,
    spec: SecondLogin,
    prompt: str,
    secrets: SecretResolver,
) -> None:
    try:
        password = secrets.password(device.credential)
    except ContentError as error:
        raise DeviceError(device.name, error.reason, todo=error.todo) from error
    if password is None:
        raise AuthenticationRefusedError(
            device.name,
            "the device asks for a password on its own terminal, and the inventory names none",
            todo="Give a password reference (env:NAME, keyring:SERVICE/USER or file:PATH)",
        )
    user = re.compile(spec.user)
    talk.until_prompt_like(user)
    talk.type_first(device.credential.username)
    talk.until_prompt_like(re.compile(spec.password))
    talk.type_first(password.reveal())
    talk.until_prompt_like(re.compile(f"(?:{prompt})|(?:{spec.user})"))
    said = connection.text()
    last = said.rsplit("\n", maxsplit=1)[-1]
    if user.fullmatch(last) or re.search(spec.refused, said):
        raise AuthenticationRefusedError(
            device.name,
            f"the device refused user {device.credential.username} on its own terminal",
            todo=f"Check the credential of realm {device.credential.realm}; "
            "it will not be tried again",
        )
