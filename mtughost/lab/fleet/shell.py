"""Virtual devices whose command line is a plain shell, reached by exec channels.

A script that comes over a channel is run by the machine's own ``sh`` behind a prelude in which
every program that the script may ask for is a shell function: no file is written and nothing of
this machine is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import subprocess
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import asyncssh

from mtughost.lab.fleet.device import Account, Cli, VirtualDevice


@dataclass(frozen=True, slots=True)
class Script:
    """A script as this machine's shell runs it, and its environment."""

    text: str
    environment: Mapping[str, str]


#: Runs files through ``_file``; the last argument of ``tail`` is the only file.
_READERS = """\
cat() {
    _rc=0
    for _f; do
        _file "$_f" || { echo "cat: $_f: No such file or directory" >&2; _rc=1; }
    done
    return $_rc
}
tail() { for _f; do :; done; _file "$_f" || { echo "tail: cannot open '$_f'" >&2; return 1; }; }
grep() { echo "CapEff: $_caps"; }
"""
#: A script may widen its PATH: these must not be found on this machine, whatever a device has.
_NEVER_OURS = (
    *("ip", "ss", "id", "uname", "date", "ping", "sysctl", "tcpdump", "systemctl", "timeout"),
    *("nft", "iptables-save", "ip6tables-save", "iptables", "ip6tables", "vtysh"),
)
_MISSING = '*) echo "$1: not found" >&2; return 127;; esac; }'
_ALL_CAPABILITIES, _NONE = "000001ffffffffff", "0000000000000000"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
_TIMEOUT_S = 60


def prelude(
    files: Mapping[str, str],
    answers: Mapping[str, str],
    programs: Iterable[str] = (),
    *,
    refused: Mapping[str, str] | None = None,
    is_root: bool = True,
) -> str:
    """Return functions that answer instead of programs.

    Args:
        files: What ``cat`` shows, by path.
        answers: What a program prints, by its whole line.
        programs: More names that become functions; what they are not asked is "not found".
        refused: What a program says on its error stream before it fails, by its name.
        is_root: What ``/proc/self/status`` shows.
    """
    functions = [
        f"_caps={_ALL_CAPABILITIES if is_root else _NONE}",
        f"_file() {{ case $1 in\n{_cases(files)}*) return 1;; esac; }}",
        f'_say() {{ case "$*" in\n{_cases(answers)}{_MISSING}',
    ]
    for name in dict.fromkeys((*_NEVER_OURS, *programs)):
        safe = name.replace("-", "_")
        words = (refused or {}).get(name)
        body = f'_say {name} "$@"'
        if words is not None:
            body = f"echo {shlex.quote(words)} >&2; return 1"
        functions.append(f"{safe}() {{ {body}; }}")
        if safe != name:
            functions.append(f"alias {name}={safe}")
    return "\n".join(functions) + "\n" + _READERS


def _cases(answers: Mapping[str, str]) -> str:
    return "".join(
        f"{shlex.quote(name)}) printf %s {shlex.quote(text)};;\n" for name, text in answers.items()
    )


class ShellRouter(VirtualDevice):
    """A router with a shell; ``partial`` is an account that is not root."""

    @abstractmethod
    def prelude(self, account: Account) -> str:
        """Return the functions that answer one account, for the state of this moment."""

    @abstractmethod
    def obey(self, line: str) -> str:
        """Obey one line that configures; return what it prints."""

    def command_line(self, account: Account) -> Cli:
        """Return a shell prompt: only what configures can be typed there."""
        return _Prompt(self, account)

    #: The login shell is csh: it takes no script of POSIX's, but starts ``/bin/sh``.
    has_csh = False

    def exec_session(self, username: str) -> asyncssh.SSHServerSession[str]:
        """Return what serves one exec request."""
        account = self.accounts[username]
        kind = _CshSession if self.has_csh else _ExecSession
        return kind(lambda script: self.script(account, script), self.script_ended)

    def script(self, account: Account, text: str) -> Script:
        """Return what is run for a script."""
        return Script(self.prelude(account) + text, _ENVIRONMENT)

    def script_ended(self) -> None:
        """A script was run: what the device does may have changed."""
        self.on_line()

    def run_script(self, account: Account, script: str) -> tuple[int, str, str]:
        """Run a script without SSH; exit code, output, errors."""
        made = self.script(account, script)
        done = subprocess.run(
            ["/bin/sh", "-c", made.text],
            env=made.environment,
            cwd=os.sep,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        self.script_ended()
        return done.returncode, done.stdout, done.stderr


class _Prompt(Cli):
    device: ShellRouter
    prompt = "root@gw:~# "

    def run(self, line: str) -> str:
        return self.device.obey(line)


def exec_session(prelude_of: Callable[[], str]) -> asyncssh.SSHServerSession[str]:
    """Return what serves one exec request: a script behind the prelude of that moment."""
    return _ExecSession(lambda script: Script(prelude_of() + script, _ENVIRONMENT))


class _ExecSession(asyncssh.SSHServerSession[str]):
    """One script, run by a real shell."""

    def __init__(
        self, script_of: Callable[[str], Script], ended: Callable[[], None] = lambda: None
    ) -> None:
        self._script_of, self._ended = script_of, ended
        self._channel: asyncssh.SSHServerChannel[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._command = ""

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def eof_received(self) -> bool:
        return True

    async def _script_is_here(self) -> None:
        """Wait until everything that is to run has come."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._channel = None

    async def _run(self) -> None:
        await self._script_is_here()
        made = self._script_of(self._command)
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            made.text,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=made.environment,
            cwd=os.sep,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
        except (TimeoutError, asyncio.CancelledError):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        self._ended()
        if self._channel is not None:
            self._channel.write(out.decode("utf-8", "replace"))
            self._channel.write_stderr(err.decode("utf-8", "replace"))
            self._channel.exit(process.returncode or 0)


class _CshSession(_ExecSession):
    """One request to a login shell that is csh: only ``/bin/sh`` with a script behind it works."""

    def __init__(self, script_of: Callable[[str], Script], ended: Callable[[], None]) -> None:
        super().__init__(script_of, ended)
        self._typed: list[str] = []
        self._has_all = asyncio.Event()

    def data_received(self, data: str, datatype: int | None) -> None:  # noqa: ARG002
        self._typed.append(data)

    def eof_received(self) -> bool:
        self._has_all.set()
        return True

    async def _script_is_here(self) -> None:
        if self._command == "/bin/sh":
            await asyncio.wait_for(self._has_all.wait(), _TIMEOUT_S)
            self._command = "".join(self._typed)
        elif "\n" in self._command:
            self._command = "echo 'Unmatched quote.' >&2; exit 1"
