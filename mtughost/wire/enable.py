"""The way into the privileged mode of a command line that a login does not begin in."""

from __future__ import annotations

import re

from mtughost.model.errors import AuthenticationRefusedError, ContentError, DeviceError
from mtughost.model.inventory import Device
from mtughost.wire.cli_talk import Talk, TalkError
from mtughost.wire.netmiko_lean import LeanConnection
from mtughost.wire.profile import DriverProfile, Enable
from mtughost.wire.second_login import OpeningStep
from mtughost.wire.secrets import SecretResolver
from mtughost.wire.text import excerpt


def enable_step(
    device: Device, profile: DriverProfile, secrets: SecretResolver
) -> OpeningStep | None:
    """Return what enters the privileged mode, ``None`` where the inventory asks for nothing.

    The password is typed once, only at the prompt that the task book names. A refusal counts like
    one of SSH: it is never tried again, so that no device locks an account.
    """
    spec = profile.enable
    if spec is None or not device.credential.enable_ref:
        return None

    def enter(talk: Talk, connection: LeanConnection) -> None:
        _enter(talk, connection, device, spec, secrets)

    return enter


def _enter(
    talk: Talk,
    connection: LeanConnection,
    device: Device,
    spec: Enable,
    secrets: SecretResolver,
) -> None:
    prompts = f"(?:{spec.below})|(?:{spec.above})"
    asked = re.compile(f"{prompts}|(?:{spec.password})")
    talk.until_prompt_like(re.compile(prompts))
    if re.fullmatch(spec.above, _last(connection)):
        return
    talk.type_first(spec.line)
    talk.until_prompt_like(asked)
    if not re.fullmatch(spec.password, _last(connection)):
        said = excerpt(connection.text().removeprefix(spec.line).strip().split("\n")[0])
        raise _refused(
            device, f"answered {spec.line!r} with {said!r} instead of asking for a password"
        )
    talk.type_first(_password(device, secrets))
    try:
        talk.until_prompt_like(asked)
    except TalkError as error:
        # What came may repeat what was typed: it is not handed on.
        why = "nothing that can be trusted followed the password of the privileged mode"
        raise TalkError(error.status, why) from None
    if not re.fullmatch(spec.above, _last(connection)):
        raise _refused(device, "refused the password of its privileged mode")


def _last(connection: LeanConnection) -> str:
    return connection.tail().rsplit("\n", maxsplit=1)[-1]


def _password(device: Device, secrets: SecretResolver) -> str:
    try:
        password = secrets.enable_password(device.credential)
    except ContentError as error:
        raise DeviceError(device.name, error.reason, todo=error.todo) from error
    return password.reveal() if password is not None else ""


def _refused(device: Device, what: str) -> AuthenticationRefusedError:
    return AuthenticationRefusedError(
        device.name,
        f"the device {what}",
        todo=f"Check data.enable_ref of realm {device.credential.realm}; "
        "it will not be tried again",
    )
