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
_CODE_PROMPT = re.compile(
    r"\b(one[- ]time|otp|token|passcode|(verification|authenticat(ion|or)|security) code)\b",
    re.IGNORECASE,
)
_NOT_A_CODE = re.compile(r"\b(new|old|change|again|retype|next|wait|expired)\b", re.IGNORECASE)
_FORCED_CHANGE = re.compile(
    r"password (has |is )?(expired|too old)|(must|required to|need to) change your password"
    r"|(enter|choose|set) (a |your )?new password|change your (initial|default) password",
    re.IGNORECASE,
)
_Attempt = Callable[[], list[str]]
#: Has a person answer a question for a one-time code; ``None`` where nobody is there to.
CodeSource = Callable[[str], "Secret | None"]
_CODE_TODO = (
    "Codes are asked for at jump hosts only, where one login serves many devices, and only with a "
    "person at the terminal: log in by hand once, or use an account that needs one factor"
)


class _StrangePromptError(paramiko.SSHException):
    """The device asked for something else than the password.

    Attributes:
        is_code: It asked for a one-time code, and nobody was there to give one.
    """

    def __init__(self, words: str, *, is_code: bool) -> None:
        super().__init__(words)
        self.is_code = is_code


def authenticate(
    transport: LeanTransport,
    host: str,
    credential: Credential,
    secrets: SecretResolver,
    *,
    asks_itself: bool = False,
    code: CodeSource | None = None,
) -> None:
    """Log in on a transport whose host key was checked.

    Offers, each once and in this order: the key file, keys of the agent, the password (and the
    password to a single keyboard-interactive password prompt where plain passwords are off).

    Where the host wants a one-time code besides, ``code`` gives it, once.

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
    for label, attempt in _attempts(auth, host, credential, secrets, code):
        more = _try(host, transport, label, attempt)
        if more is None:
            refusals.append(label)
            continue
        if "keyboard-interactive" in more and code is not None:
            prompts = _PromptHandler(secrets.password(credential), code)
            more = _second_factor(host, transport, auth, credential.username, prompts)
        if more:
            raise AuthenticationRefusedError(
                host,
                f"{label} was accepted, but the device also wants {', '.join(more)}",
                todo=_CODE_TODO,
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
    auth: LeanAuth,
    host: str,
    credential: Credential,
    secrets: SecretResolver,
    code: CodeSource | None,
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
        yield "its password", lambda: _password(auth, user, secret, code)


def _try(host: str, transport: LeanTransport, label: str, attempt: _Attempt) -> list[str] | None:
    """Make one attempt: what else is wanted (empty: logged in), or ``None`` when refused."""
    try:
        return list(attempt())
    except _StrangePromptError as error:
        raise AuthenticationRefusedError(
            host,
            f"the device asks {error}, which is not a plain password prompt; nothing was answered",
            todo=_CODE_TODO if error.is_code else "Log in by hand once and see what it wants",
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


def _second_factor(
    host: str, transport: LeanTransport, auth: LeanAuth, user: str, prompts: _PromptHandler
) -> list[str]:
    """Answer what comes after the first factor; what else is wanted."""
    label = "a one-time code"
    more = _try(host, transport, label, lambda: _answered(auth, user, prompts))
    if more is None:
        raise AuthenticationRefusedError(
            host, f"the device refused {label}", todo="Start again with a new one"
        )
    return more


def _password(auth: LeanAuth, user: str, password: Secret, code: CodeSource | None) -> list[str]:
    try:
        return auth.try_password(user, password.reveal())
    except paramiko.BadAuthenticationType as error:
        if "keyboard-interactive" not in error.allowed_types:
            raise
    return _answered(auth, user, _PromptHandler(password, code))


def _answered(auth: LeanAuth, user: str, handler: _PromptHandler) -> list[str]:
    try:
        return auth.try_prompts(user, handler)
    except (paramiko.SSHException, EOFError, OSError):
        if handler.strange is not None:
            raise handler.strange from None
        raise


class _PromptHandler:
    """Answers one hidden password prompt and one for a code, each once; else ends the login.

    Attributes:
        strange: What ended it, where it was not one of these.
    """

    def __init__(self, password: Secret | None, code: CodeSource | None) -> None:
        self._password = password
        self._code = code
        self._was_told = False
        self.strange: _StrangePromptError | None = None

    def __call__(self, title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        if not prompts and not _FORCED_CHANGE.search(f"{title} {instructions}"):
            return []
        words = " ".join([title, instructions, *(prompt for prompt, _echo in prompts)])
        is_alone = len(prompts) == 1
        is_plain = (
            is_alone
            and not prompts[0][1]
            and _PASSWORD_PROMPT.search(prompts[0][0]) is not None
            and _NOT_A_PLAIN_PASSWORD.search(words) is None
        )
        is_code = (
            is_alone and _CODE_PROMPT.search(words) is not None and not _NOT_A_CODE.search(words)
        )
        answer = self._answer(prompts[0][0], is_plain=is_plain, is_code=is_code)
        if answer is None:
            again = " again" if is_plain and self._was_told else ""
            asked = f"{len(prompts)} question(s){again}: {excerpt(words)!r}"
            self.strange = _StrangePromptError(asked, is_code=is_code)
            raise self.strange
        return [answer.reveal()]

    def _answer(self, prompt: str, *, is_plain: bool, is_code: bool) -> Secret | None:
        """Return the answer, ``None`` where there is none, or where it was given already."""
        answer: Secret | None = None
        if is_plain:
            answer, self._password = self._password, None
            self._was_told = self._was_told or answer is not None
        elif is_code and self._code is not None:
            code, self._code = self._code, None
            answer = code(excerpt(prompt))
        return answer


def _refuse_forced_change(transport: LeanTransport, host: str) -> None:
    banner = transport.get_banner() or b""
    text = to_text(banner) if isinstance(banner, bytes) else str(banner)
    if _FORCED_CHANGE.search(text):
        raise AuthenticationRefusedError(
            host,
            f"the device says before the login: {excerpt(text)!r}",
            todo="Log in by hand and change the password",
        )
