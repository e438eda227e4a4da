"""Virtual access points whose command line is a plain shell."""

from __future__ import annotations

from mtughost.lab.fleet.point import IdlePoint
from mtughost.lab.fleet.shell import ShellRouter


class ShellPoint(IdlePoint, ShellRouter):
    """One access point behind a shell."""

    def obey(self, line: str) -> str:
        """Know no line that configures."""
        return f"{line.split(maxsplit=1)[0]}: not found\n"
