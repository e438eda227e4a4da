"""A progress bar on a terminal, plain lines elsewhere, nothing with ``--quiet``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mtughost.app.progress import Reporter
from mtughost.cli.context import Globals
from mtughost.report.console_steps import Steps

if TYPE_CHECKING:
    from rich.progress import Progress

    from mtughost.change.tools import Progress as Step


def _line(what: str, failed: str) -> str:
    """Name the device once: most of its errors begin with it."""
    return failed if failed.startswith(f"{what}: ") else f"{what}: {failed}"


class PlainReporter:
    """One line per phase and one per failed host: for logs and pipes."""

    def __init__(self, shared: Globals) -> None:
        self._shared = shared

    def phase(self, name: str, total: int) -> None:
        """Say that a phase begins."""
        self._shared.say(f"{name}: {total}")

    def step(self, what: str, *, failed: str = "") -> None:
        """Say that a device failed; success is silent here."""
        if failed:
            self._shared.say(_line(what, failed))

    def note(self, text: str) -> None:
        """Print one remark."""
        self._shared.say(text)


class BarReporter:
    """A live bar per phase; failures and remarks scroll above it."""

    def __init__(self, shared: Globals, bar: Progress) -> None:
        self._shared = shared
        self._bar = bar
        self._task = bar.add_task("", visible=False)

    def phase(self, name: str, total: int) -> None:
        """Start the bar of a phase."""
        self._bar.reset(self._task, total=total, description=name, visible=True)

    def step(self, what: str, *, failed: str = "") -> None:
        """Advance the bar."""
        self._bar.advance(self._task)
        if failed:
            self._bar.console.print(_line(what, failed), markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print one remark above the bar."""
        self._bar.console.print(text, markup=False, soft_wrap=True)


@contextmanager
def progress_on(shared: Globals) -> Iterator[Reporter]:
    """Yield the reporter that fits the terminal."""
    with _bar_on(shared) as bar:
        yield PlainReporter(shared) if bar is None else BarReporter(shared, bar)


@contextmanager
def steps_on(shared: Globals) -> Iterator[Callable[[Step], None]]:
    """Yield what tells the steps of a run: lines, and on a terminal a bar below them."""
    steps, turn = Steps(), threading.Lock()
    with _bar_on(shared) as bar:
        task = None if bar is None else bar.add_task("", total=None)

        def say(step: Step) -> None:
            with turn:
                if step.step == "run":
                    steps.begin(step.devices)
                line = steps.heard(step.device, step.step, step.text)
                if line:
                    shared.say(line)
                if bar is not None and task is not None:
                    bar.update(
                        task,
                        description=steps.now,
                        completed=steps.ended,
                        total=steps.total or None,
                    )

        yield say


@contextmanager
def _bar_on(shared: Globals) -> Iterator[Progress | None]:
    """Yield a live bar where there is a terminal that wants one."""
    if shared.quiet or not shared.log.is_terminal:
        yield None
        return
    from rich.progress import (  # noqa: PLC0415  # a run without a terminal does without
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=shared.log, transient=True) as bar:
        yield bar
