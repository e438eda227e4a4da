"""How a workflow tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives progress. Called from one thread at a time."""

    def phase(self, name: str, total: int) -> None:
        """A phase with ``total`` steps begins."""

    def step(self, what: str, *, failed: str = "") -> None:
        """One step of the phase is done; ``failed`` says why it failed."""

    def note(self, text: str) -> None:
        """A remark for the person who waits."""


class Silent:
    """Listens to nothing: for programs."""

    def phase(self, name: str, total: int) -> None:
        """Ignore."""

    def step(self, what: str, *, failed: str = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
