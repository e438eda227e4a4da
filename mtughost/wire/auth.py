"""Authentication: each credential is offered once, and nothing strange is answered."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import paramiko

from mtughost.model.errors import (
    AuthenticationRefusedError,
    ContentError,
    DeviceError,
    DeviceUnreachableError,
)
from mtughost.model.inventory import Credential, Secret
from mtughost.wire.secrets import SecretResolver
from mtughost.wire.text import excerpt, to_text
from mtughost.wire.tuning import LeanAuth, LeanTransport, auth_of

#: OpenSSH closes after six failures by default (MaxAuthTries); leave room for key and password.
_MAX_AGENT_KEYS = 3
_PASSWORD_PROMPT = re.compile(r"pass\s*(word|phrase|code)?\b", re.IGNORECASE)
_NOT_A_PLAIN_PASSWORD = re.compile(
    r"\b(new|old|current|change|expired|again|retype|token|otp|one[- ]time|verification|passcode)",
    re.IGNORECASE,
)
_FORCED_CHANGE = re.compile(
    r"password (has |is )?(expired|too old)|(must|required to|need to) change your password"
    r"|(enter|choose|set) (a |your )?new password|change your (initial|default) password",
    re.IGNORECASE,
)
_Attempt = Callable[[], list[str]]


class _StrangePromptError(paramiko.SSHException):
    """The device asked for something else than the password."""


def authenticate(
    transport: LeanTransport,
    host: str,
    credential: Credential,
    secrets: SecretResolver,
    *,
    asks_itself: bool = False,
) -> None:
    """Log in on a transport whose host key was checked.

    Offers, each once and in this order: the key file, keys of the agent, the password (and the
    password to a single keyboard-interactive password prompt where plain passwords are off).

    A device that asks for the account on its own terminal (``asks_itself``) is first asked to let
    us in without.

    Raises:
        AuthenticationRefusedError: refused, or the device wants something that a person must do.
        DeviceUnreachableError: the connection broke.
        DeviceError: the inventory names a secret that cannot be read.
    """
    refusals: list[str] = []
    auth = auth_of(transport)
    if asks_itself:
        user = credential.username
        if _try(host, transport, "no credential", lambda: auth.try_nothing(user)) == []:
            return
    for label, attempt in _attempts(auth, host, credential, secrets):
        more = _try(host, transport, label, attempt)
        if more is None:
            refusals.append(label)
            continue
        if more:
            raise AuthenticationRefusedError(
                host,
                f"{label} was accepted, but the device also wants {', '.join(more)}",
                todo="Log in by hand once, or use an account that needs one factor",
            )
        _refuse_forced_change(transport, host)
        return
    if not refusals:
        raise AuthenticationRefusedError(
            host,
            f"realm {credential.realm} names no key, agent or password to log in with",
            todo="Give key_file, use_agent or a password reference",
        )
    raise AuthenticationRefusedError(
        host,
        f"the device refused user {credential.username} with {' and '.join(refusals)}",
        todo=f"Check the credential of realm {credential.realm}; it will not be tried again",
    )


def _attempts(
    auth: LeanAuth, host: str, credential: Credential, secrets: SecretResolver
) -> Iterator[tuple[str, _Attempt]]:
    user = credential.username
    try:
        key = secrets.private_key(credential)
        password = secrets.password(credential)
    except ContentError as error:
        raise DeviceError(host, error.reason, todo=error.todo) from error
    if key is not None:
        yield "its key", lambda: auth.try_key(user, key)
    if credential.use_agent:
        with contextlib.closing(paramiko.Agent()) as agent:
            for agent_key in agent.get_keys()[:_MAX_AGENT_KEYS]:
                offered = agent_key
                yield "a key of the agent", lambda: auth.try_key(user, offered)  # noqa: B023  # called before the loop goes on
    if password is not None:
        secret = password
        yield "its password", lambda: _password(auth, user, secret)


def _try(host: str, transport: LeanTransport, label: str, attempt: _Attempt) -> list[str] | None:
    """Make one attempt: what else is wanted (empty: logged in), or ``None`` when refused."""
    try:
        return list(attempt())
    except _StrangePromptError as error:
        raise AuthenticationRefusedError(
            host,
            f"the device asks {error}, which is not a plain password prompt; nothing was answered",
            todo="Log in by hand once and see what it wants",
        ) from None
    except paramiko.AuthenticationException:
        if transport.is_active():
            return None
        raise AuthenticationRefusedError(
            host,
            f"the device closed the connection when offered {label}",
            todo="Check the credential; it will not be tried again",
        ) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        if "info request" in str(error):  # RFC 4252 section 8: the code of PASSWD_CHANGEREQ
            raise AuthenticationRefusedError(
                host,
                "the device demands a new password before it lets anybody in",
                todo="Log in by hand and change it",
            ) from None
        raise DeviceUnreachableError(
            host, f"the connection broke during the login: {excerpt(str(error)) or 'closed'}"
        ) from error


def _password(auth: LeanAuth, user: str, password: Secret) -> list[str]:
    try:
        return auth.try_password(user, password.reveal())
    except paramiko.BadAuthenticationType as error:
        if "keyboard-interactive" not in error.allowed_types:
            raise
    handler = _PromptHandler(password)
    try:
        return auth.try_prompts(user, handler)
    except (paramiko.SSHException, EOFError, OSError):
        if handler.strange:
            raise _StrangePromptError(handler.strange) from None
        raise


class _PromptHandler:
    """Answers one hidden password prompt, once. Anything else ends the login.

    Attributes:
        strange: The device's words where they were something else.
    """

    def __init__(self, password: Secret) -> None:
        self._password = password
        self._answered = False
        self.strange = ""

    def __call__(self, title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        if not prompts and not _FORCED_CHANGE.search(f"{title} {instructions}"):
            return []
        words = " ".join([title, instructions, *(prompt for prompt, _echo in prompts)])
        is_plain = (
            len(prompts) == 1
            and not prompts[0][1]
            and _PASSWORD_PROMPT.search(prompts[0][0])
            and not _NOT_A_PLAIN_PASSWORD.search(words)
        )
        if not is_plain or self._answered:
            again = " again" if is_plain else ""
            self.strange = f"{len(prompts)} question(s){again}: {excerpt(words)!r}"
            raise _StrangePromptError(self.strange)
        self._answered = True
        return [self._password.reveal()]


def _refuse_forced_change(transport: LeanTransport, host: str) -> None:
    banner = transport.get_banner() or b""
    text = to_text(banner) if isinstance(banner, bytes) else str(banner)
    if _FORCED_CHANGE.search(text):
        raise AuthenticationRefusedError(
            host,
            f"the device says before the login: {excerpt(text)!r}",
            todo="Log in by hand and change the password",
        )
