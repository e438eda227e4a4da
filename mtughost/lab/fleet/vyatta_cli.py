"""The command line that VyOS and EdgeOS share: bash with operational and configuration mode.

After VyOS's documents (``cli.rst``, ``config_mgmt.py``) and the prompts of its op-mode scripts:
every login edits a candidate of its own, ``commit`` makes it run, ``save`` makes it last, and an
unconfirmed ``commit-confirm`` reboots into what was saved.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from mtughost.lab.fleet import pings, sniffers
from mtughost.lab.fleet.device import Account, Cli, Page, Terminal
from mtughost.lab.fleet.words import split

if TYPE_CHECKING:
    from mtughost.lab.fleet.vyatta import VyattaRouter

_MSS_RANGE = (500, 65535)
_NUMBERS = {
    "mtu": (68, 16000),
    "adjust-mss": _MSS_RANGE,
    "adjust-mss6": _MSS_RANGE,
    "mss": (1, 1460),
}
#: Nodes whose name and value belong together.
TAGS = frozenset({"ethernet", "vif", "interface", "route", "next-hop", "pppoe"})
_YES = {"", "y", "yes"}


class PasteTerminal(Terminal):
    """A terminal of bash 5.1 and later."""

    def prompted(self) -> str:
        """Switch the brackets on before the prompt."""
        return "\x1b[?2004h" + self.cli.prompt

    def entered(self, line: str) -> str:
        """Switch them off behind the line."""
        return super().entered(line) + "\x1b[?2004l\r"


class VyattaCli(Cli):
    """One login; ``partial`` has no sudo, ``read`` may use sudo and not configure."""

    device: VyattaRouter
    page = Page(stop=":", erase="\r \r")

    def __init__(self, device: VyattaRouter, account: Account) -> None:
        super().__init__(device, account)
        self.candidate: list[str] = []
        self._edits = False
        self._unpaged = False
        self._asks = 0

    @property
    def prompt(self) -> str:
        """``user@host:~$``, with a hash while configuring; a question instead while one is open."""
        if self._asks:
            return self.device.question
        who = f"{self.account.username}@{self.device.value('system host-name')}"
        if self._edits:
            return f"{who}# "
        return f"{who}:~{'$' if self.account.level != 'partial' else '>'} "

    @property
    def page_rows(self) -> int:
        """Until the terminal's length was set to nothing."""
        return 0 if self._unpaged or self._asks else self.device.manners.page_rows

    def run(self, line: str) -> str:
        """Obey one line."""
        if self._asks:
            minutes, self._asks = self._asks, 0
            return self._confirmed_commit(minutes) if line.strip().lower() in _YES else "\n"
        words = split(line.replace("'", '"'))
        if not words:
            return ""
        return self._edit(line, words) if self._edits else self._operate(line, words)

    @property
    def above(self) -> str:
        """The level of the configuration, on a line of its own."""
        return "[edit]\r\n" if self._edits and not self._asks else ""

    def terminal(self) -> Terminal:
        """Newer ones have a line editor that brackets what is pasted."""
        return PasteTerminal(self) if self.device.brackets_paste else super().terminal()

    # -- operational mode ------------------------------------------------------------------------
    def _operate(self, line: str, words: list[str]) -> str:
        if words in self.device.length_lines:
            self._unpaged = True
        elif words == ["configure"] and self.account.level == "full":
            self.candidate = list(self.device.running)
            self._edits = True
        elif words[0] in {"exit", "logout"}:
            self.ended = True
        else:
            return self._view(line, words)
        return ""

    def _view(self, line: str, words: list[str]) -> str:
        started = None
        if self.account.level != "partial":
            started = sniffers.tcpdump(self.device.tap, line)
        if started is not None:
            greeting, self.job = started
            return greeting
        is_shell = words[0] in {"sudo", "ip", "grep", "cat"}
        found = self.device.views().get(line)
        found = pings.linux(self.device, line) if found is None else found
        if found is None or (is_shell and self.account.level == "partial"):
            return self._unknown(line)
        return found

    def _unknown(self, line: str) -> str:
        return f"\n  Invalid command: [{line.split(maxsplit=1)[0]}]\n\n"

    # -- configuration mode ----------------------------------------------------------------------
    def _edit(self, line: str, words: list[str]) -> str:
        verbs: dict[str, Callable[[], str]] = {
            "run": lambda: self._operate(line.partition(" ")[2], words[1:]),
            "set": lambda: self._set(words[1:]),
            "delete": lambda: self._delete(" ".join(words[1:])),
            "compare": self._difference,
            "commit": self._commit,
            "commit-confirm": lambda: self._ask(words[1:]),
            "confirm": self.device.confirm,
            "save": self.device.save,
            "exit": lambda: self._exit(words[1:]),
        }
        verb = verbs.get(words[0])
        return verb() if verb is not None else self._unknown(line)

    def _delete(self, path: str) -> str:
        gone = [x for x in self.candidate if x == path or x.startswith(path + " ")]
        self.candidate = [x for x in self.candidate if x not in gone]
        words = path.split()
        parent = " ".join(words[:-2] if len(words) > 2 and words[-2] in TAGS else words[:-1])  # noqa: PLR2004
        is_bare = not any(x == parent or x.startswith(parent + " ") for x in self.candidate)
        if gone and parent and is_bare:
            # A node stays when the last thing in it goes.
            self.candidate.append(parent)
        return "" if gone else "\n  Nothing to delete (the specified node does not exist)\n\n"

    def _commit(self) -> str:
        if self.candidate == self.device.running:
            return "\n  No configuration changes to commit\n\n"
        return self.device.commit(self.candidate)

    def _set(self, words: list[str]) -> str:
        candidate = self.candidate
        line = " ".join(words)
        head, _, value = line.rpartition(" ")
        if len(words) < 2 or not self.device.knows(words):  # noqa: PLR2004 - a node and a value
            return f"\n  Configuration path: [{line}] is not valid\n  Set failed\n\n"
        limits = _NUMBERS.get(words[-2])
        named = value == "clamp-mss-to-pmtu" and words[-2].startswith("adjust-mss")
        if limits and not named and not _within(value, limits):
            return f"\n  Value must be between {limits[0]} and {limits[1]}\n  Set failed\n\n"
        if words[-2] in self.device.single:
            candidate[:] = [x for x in candidate if x.rpartition(" ")[0] != head]
        # A node that was empty is so no longer.
        candidate[:] = [x for x in candidate if not line.startswith(x + " ")]
        if line not in candidate:
            candidate.append(line)
        return ""

    def _difference(self) -> str:
        old, candidate = self.device.running, self.candidate
        lines = [f"- {x}\n" for x in old if x not in candidate]
        lines += [f"+ {x}\n" for x in candidate if x not in old]
        none = "No changes between working and active configurations.\n"
        return "".join(lines) or none

    def _ask(self, words: list[str]) -> str:
        device = self.device
        minutes = words[0] if words else "10"
        if device.is_pending:
            return "Another confirm is pending\n"
        if not re.fullmatch(r"[1-9]\d{0,3}", minutes):
            return f"\n  Value validation failed: {minutes}\n\n"
        self._asks = int(minutes)
        return device.warning(int(minutes))

    def _confirmed_commit(self, minutes: int) -> str:
        return self.device.commit(self.candidate, minutes=minutes)

    def _exit(self, words: list[str]) -> str:
        if self.candidate != self.device.running and words != ["discard"]:
            return (
                "Cannot exit: configuration modified.\n"
                "Use 'exit discard' to discard the changes and exit.\n"
            )
        self._edits = False
        return "exit\n"


def _within(value: str, limits: tuple[int, int]) -> bool:
    return value.isdecimal() and limits[0] <= int(value) <= limits[1]
