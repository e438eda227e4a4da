from __future__ import annotations

import itertools

import pytest

from mtughost.store import RunMeta, RunStore


class FakeClock:
    """One second later each time somebody asks."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def utc_now(self) -> str:
        second = next(self._ticks)
        return f"2026-01-31T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}+00:00"

    def monotonic_s(self) -> float:
        return float(next(self._ticks))

    def boottime_s(self) -> float:
        return float(next(self._ticks))

    def sleep(self, seconds: float) -> None:
        pass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "runs.sqlite"


@pytest.fixture
def store(path, clock):
    with RunStore.open(path, clock=clock) as opened:
        yield opened


@pytest.fixture
def begin(store):
    """Begin a run; the number makes its id."""

    def make(number: int = 1, hosts: tuple[str, ...] = (), into: RunStore = store) -> str:
        meta = RunMeta(
            started_utc=f"2026-02-{number:02}T10:00:00+00:00",
            tool="mtughost 0",
            hosts=hosts,
            content_digest="sha256:c",
            inventory_digest="sha256:i",
            options={"sites": ["s*"]},
        )
        return into.create_run(meta, suffix=f"{number:06x}")

    return make
