"""What the wire must know about a platform, and the limits that hold for every connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    r"""One mode of a command line, known by its prompt.

    Attributes:
        name: What planned lines call it; ``exec`` is where a login begins.
        prompt: Regular expression of the whole prompt. That of ``exec`` names the part that all
            prompts of a login share with the group ``stem``; elsewhere ``{stem}`` stands for it.
        above: Regular expression of a line that the device draws above the prompt, such as
            Junos's ``[edit]``; ``""`` for none. It belongs to no answer.
        asks: It is a question: an empty line would answer it, so none is ever typed there.
    """

    name: str
    prompt: str
    above: str = ""
    asks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLogin:
    """How a device asks for the account on its own terminal. All are regular expressions.

    Attributes:
        user: The whole prompt for the user name.
        password: The whole prompt for the password.
        refused: What it says to a wrong one.
    """

    user: str
    password: str
    refused: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enable:
    """How a login reaches the privileged mode. All but ``line`` are regular expressions.

    Attributes:
        line: What is typed, such as ``enable``.
        below: The whole prompt of a login that is not there yet.
        above: The whole prompt of one that is.
        password: The whole prompt for the password, which is typed nowhere else.
    """

    line: str
    below: str
    above: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverProfile:
    r"""How to talk to one platform. ``app`` builds it from the task book; nothing else is sent.

    Attributes:
        kind: ``exec`` for shells with plain exec channels, ``cli`` for vendor command lines.
        netmiko_type: Netmiko's name of the platform; only told to netmiko, which writes nothing.
        prep_lines: Lines that prepare a session. Shells: first lines of every script. Command
            lines: sent one at a time after paging was switched off.
        paging_off: Line that switches the pager off, sent alone and its answer checked.
        prompt: Regular expression that a whole prompt line of this platform matches.
        pager: Regular expression of a pager's stop, such as ``--More--``.
        pager_key: Key that turns its page, or ``""``: then a stop is an error.
        error_patterns: Regular expressions; a line of a command line's answer that matches one
            makes it ``rejected``. Shells have exit codes instead.
        pipeline_proven: Whether several commands may be sent at once.
        return_key: What ends a line that is typed.
        ansi: Whether the device paints with ANSI codes, which are removed, and draws its line
            anew with carriage returns.
        script_on_stdin: Shells: start ``/bin/sh`` and write it the script, because the login shell
            is none of POSIX's.
        login_suffix: Terminal parameters behind the user name, for this login only.
        second_login: How the device asks for the account once more, ``None`` where SSH is all.
        enable: How the privileged mode is reached where the inventory names its password.
        above: Regular expression of a line that the device draws above every prompt of a login,
            such as ``{primary:node0}`` on a member of a Junos cluster; ``""`` for none.
        interrupt_key: Key that ends a command that runs until it is interrupted, or ``""``: then
            nothing of the kind is ever started.
        modes: Modes that lines of a change may move between. Without any, a session on a command
            line sends no line of risk ``change`` at all: that is how audits and plans log in.
    """

    kind: Literal["exec", "cli"]
    netmiko_type: str = "generic"
    prep_lines: tuple[str, ...] = ()
    paging_off: str = ""
    prompt: str = r"[^\s#>$][^\r\n]{0,127}[#>$%\]]\s?"
    pager: str = r"(?i)-+\s*\(?more\)?[^\n]{0,40}-+|<-+ ?more ?-+>|press any key to continue"
    pager_key: str = ""
    error_patterns: tuple[str, ...] = ()
    pipeline_proven: bool = False
    return_key: str = "\n"
    ansi: bool = False
    script_on_stdin: bool = False
    login_suffix: str = ""
    second_login: SecondLogin | None = None
    enable: Enable | None = None
    above: str = ""
    interrupt_key: str = ""
    modes: tuple[Mode, ...] = ()


#: A plain POSIX shell behind exec channels.
SHELL = DriverProfile(kind="exec")


@dataclass(frozen=True, slots=True, kw_only=True)
class WirePolicy:
    """Limits of one connection. Every wait is monotonic and ends.

    Attributes:
        connect_timeout_s: Name lookup and TCP connect together.
        banner_timeout_s: From the TCP connection to the server's version line.
        kex_timeout_s: From the version line to the end of the key exchange; past it the login
            counts as stalled.
        auth_timeout_s: All of the authentication.
        channel_timeout_s: Opening one channel and starting what runs in it.
        prompt_timeout_s: From a new shell to its first prompt.
        settle_s: Silence that confirms that a command line has come to rest.
        small_mss_bytes: MSS of our own socket when a stalled login is tried again.
        max_banner_bytes: Bytes that a server may send before its version line.
        max_script_bytes: Longest script of one exec request (dropbear refuses above 9000).
        stream_end_s: How long a stream may take to end after it was told to.
        is_for_change: Whether what a device has not acknowledged is thrown away when the login
            ends, however that comes about. A jump host's own socket is out of our reach.
    """

    connect_timeout_s: float = 10.0
    banner_timeout_s: float = 10.0
    kex_timeout_s: float = 10.0
    auth_timeout_s: float = 20.0
    channel_timeout_s: float = 10.0
    prompt_timeout_s: float = 15.0
    settle_s: float = 0.15
    small_mss_bytes: int = 900
    max_banner_bytes: int = 64 * 1024
    max_script_bytes: int = 8000
    stream_end_s: float = 5.0
    is_for_change: bool = False


DEFAULT_POLICY = WirePolicy()
