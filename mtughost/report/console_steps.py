"""The steps of a run while it goes on: a line where something is decided or needs an eye.

The journal holds every step. Of a few devices each one's stations are told, of many only how each
ended; trouble is always told, its first line here and the whole of it at the end of the run.
"""

from __future__ import annotations

from typing import Final

from mtughost.report.safe_text import for_terminal

#: What a device's way through a run ends with.
ENDS: Final = frozenset({"persisted", "reverted", "cancelled", "refused", "skipped", "needs-human"})
_TROUBLE: Final = frozenset({"unknown", "verify-failed", "restore-intent", "resumed"})
_STATIONS: Final = frozenset({"armed", "unguarded", "all-applied", "verify", "confirmed"})
#: Up to so many devices, their stations are told.
FEW: Final = 8


class Steps:
    """What was heard of a run so far."""

    def __init__(self) -> None:
        self.total = 0
        self.wave = ""
        self._under_way: set[str] = set()
        self._ended: set[str] = set()

    def begin(self, devices: int) -> None:
        """Begin a run of so many devices."""
        self.total, self.wave = devices, ""
        self._under_way.clear()
        self._ended.clear()

    def heard(self, device: str, step: str, text: str) -> str:
        """Take one step of the journal; return the line to print, ``""`` for none.

        Args:
            device: Inventory name, ``""`` for the run.
            step: The journal's word for it.
            text: One sentence, or several lines.
        """
        first = for_terminal(text.partition("\n")[0])
        if not device:
            self.wave = f"wave {first.partition(':')[0]}" if step == "wave" else self.wave
            return f"{step}: {first}"
        self._under_way.add(device)
        if step in ENDS:
            self._under_way.discard(device)
            self._ended.add(device)
        told = ENDS | _TROUBLE | (_STATIONS if self.total <= FEW else frozenset())
        return f"{for_terminal(device)} {step}: {first}" if step in told else ""

    @property
    def ended(self) -> int:
        """How many devices have come to their end."""
        return len(self._ended)

    @property
    def now(self) -> str:
        """Where the run stands, in a few words for one line."""
        busy = f"{len(self._under_way)} under way" if self._under_way else ""
        return ", ".join(part for part in (self.wave, busy) if part)
