"""The tool's machine loses power: what was not synced is dropped, torn or kept, by chance."""

from __future__ import annotations

import contextlib
import os
import random

import pytest

from mtughost.change.journal import Journal, load_journal
from mtughost.change.resume import open_devices, statuses

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"


class NoPowerError(BaseException):
    """The machine is off."""


class LazyDisk:
    """Keeps what is written in memory until it is synced, as a page cache does."""

    def __init__(self, chance, *, off_at) -> None:
        self._chance = chance
        self._off_at = off_at
        self._held = b""
        self.writes = 0

    def write(self, handle, data):
        if self.writes == self._off_at and self._chance.random() < 0.5:
            self._lose(handle, data)
        self._held += data
        return len(data)

    def sync(self, handle):
        if self.writes == self._off_at:
            self._lose(handle, b"")
        os.write(handle, self._held)
        self._held = b""
        self.writes += 1

    def _lose(self, handle, data):
        """Some prefix may have reached the platter by itself, or nothing."""
        held = self._held + data
        os.write(handle, held[: self._chance.randrange(len(held) + 1)])
        raise NoPowerError


def powered_off(virtual_world, chance, off_at):
    fleet = virtual_world
    (station,) = fleet.stations.values()
    disk = LazyDisk(chance, off_at=off_at)
    fleet.journal_options = {"disk": disk}
    acknowledged = []

    class Counting(Journal):
        def append(self, record):
            super().append(record)
            acknowledged.append(record.hash)

    fleet.journal_class = Counting
    with contextlib.suppress(NoPowerError):
        fleet.run()
    fleet.journal_class, fleet.journal_options = Journal, {}
    kept = [record.hash for record in load_journal(fleet.directory / "journal.mtj").records]
    assert kept[: len(acknowledged)] == acknowledged, "an acknowledged record was lost"
    assert len(kept) <= len(acknowledged) + 1
    fleet.wait(chance.choice([0, 30, 300]))
    fleet.resume()
    fleet.wait(300)
    records = fleet.records()
    assert open_devices(records) == ()
    state = [status.state for status in statuses(records)][-1:] or ["planned"]
    expected = {"confirmed": "after", "reverted": "before", "planned": "before"}
    assert fleet.side("s001-gw1") == expected[state[0]]
    assert station.gateway.broken_promises == []


def test_no_power_loss_loses_an_acknowledged_record_or_leaves_a_device_between(
    world, builder, choices, tmp_path
):
    plan = builder.one("clamp-scope-nft", choices)
    for off_at in range(22):
        chance = random.Random(off_at)  # noqa: S311 - variety
        powered_off(world.world_of(tmp_path / str(off_at), plan), chance, off_at)


@pytest.mark.nightly(basis="emulation (a disk that forgets what was not synced)")
@pytest.mark.timeout(600)
def test_five_hundred_power_losses(world, builder, choices, tmp_path, record_property):
    record_property("power losses", str(500 if FULL else 50))
    seed = os.environ.get("MTUGHOST_SEED", "1")
    chance = random.Random(seed)  # noqa: S311
    kinds = ("clamp-scope-nft", "clamp-missing-nft", "clamp-iptables", "host-mtu")
    for number in range(500 if FULL else 50):
        plan = builder.one(chance.choice(kinds), choices)
        place = tmp_path / str(number)
        powered_off(world.world_of(place, plan), chance, chance.randrange(24))


def test_a_journal_on_a_disk_that_is_full_or_broken_lets_nothing_be_confirmed(
    world, builder, choices, tmp_path
):
    from mtughost.model.errors import StoreError  # noqa: PLC0415

    plan = builder.one("clamp-scope-nft", choices)

    class Full:
        def __init__(self, at, how):
            self.left, self.how = at, how

        def write(self, handle, data):
            self.left -= 1
            if self.left < 0 and self.how == "short":
                return os.write(handle, data[: len(data) // 2])
            if self.left < 0 and self.how == "ENOSPC":
                raise OSError(28, "No space left on device")
            return os.write(handle, data)

        def sync(self, handle):
            if self.left < 0 and self.how == "EIO":
                raise OSError(5, "Input/output error")

    for how in ("short", "ENOSPC", "EIO"):
        for at in range(1, 20):
            fleet = world.world_of(tmp_path / f"{how}-{at}", plan)
            fleet.journal_options = {"disk": Full(at, how)}
            with pytest.raises(StoreError, match="cannot write the journal"):
                fleet.run()
            fleet.journal_options = {}
            fleet.wait(1000)
            # Confirm is not sent once its intent cannot be written; before that the undo comes.
            sent = fleet.stations["s001-gw1"].sent
            assert ("detached-nft.confirm" in sent) == (at > 16)
            fleet.resume()
            assert fleet.side("s001-gw1") in {"before", "after"}
            assert open_devices(fleet.records()) == ()


def test_a_record_is_on_the_disk_when_writing_it_returns(tmp_path, world):
    path = tmp_path / "journal.mtj"
    with Journal.open(path, world.Time()) as journal:
        pen = journal.run("run-1", "sha256:0", world.WRITER)
        pen.write("run-open")
        for number in range(5):
            pen.write("note", n=number)
            assert load_journal(path).records[-1].data == {"n": number}
