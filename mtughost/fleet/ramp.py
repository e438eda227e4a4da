"""Who may log in next: caps, canaries, ramps and breakers, as plain data without threads.

The rules (DESIGN section 3, facts/reliability.md P22):

* Never more logins at once than the caps per device, site, jump host, credential realm and run.
* The first login with a credential is alone. Each success doubles what the realm may do at once.
* A refused credential sends its realm back to one at a time; refused at three devices, no further
  device of the realm is started.
* Three devices of one site that cannot be connected to, in a row, pause the site; after the pause
  one device is tried, and when that fails too the rest of the site is skipped.
* Devices whose worker was lost get another turn, one of them at a time: the many that a worker was
  on must not all be dialled again at once, and a device that ends its workers ends no stranger's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

from mtughost.model.errors import UsageError

MAX_THREADS = 100

#: How a visit ended, as far as the rules care. ``other`` proves nothing about the credential.
Ending = Literal["ok", "refused", "unreachable", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RampPolicy:
    """Limits of one run.

    Attributes:
        overall: Logins at once, over everything; at most 100 (more threads cost more than they
            bring, facts/performance.md B).
        per_realm: With one credential.
        per_jump: Through one jump host.
        per_site: Into one site.
        connect_retries: Further tries after no connection came about.
        retry_delay_s: Before the first further try; doubles, and varies by half.
        refused_limit: Refusals that stop a credential.
        site_failures: Devices of one site in a row without a connection that pause the site.
        site_pause_s: How long.
        grace_s: What running visits get after Ctrl-C.
    """

    overall: int = 20
    per_realm: int = 20
    per_jump: int = 4
    per_site: int = 2
    connect_retries: int = 2
    retry_delay_s: float = 1.0
    refused_limit: int = 3
    site_failures: int = 3
    site_pause_s: float = 60.0
    grace_s: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.overall <= MAX_THREADS:
            raise UsageError(f"overall must be from 1 to {MAX_THREADS}, not {self.overall}")
        for item in fields(self):
            value = getattr(self, item.name)
            least = 1 if item.name.startswith("per_") or item.name in _AT_LEAST_ONE else 0
            if not value >= least:
                raise UsageError(f"{item.name} must be at least {least}, not {value}")


_AT_LEAST_ONE = frozenset({"refused_limit", "site_failures"})


@dataclass(frozen=True, slots=True)
class Seat:
    """One device as the rules see it."""

    name: str
    realm: str
    site: str
    jump: str = ""


@dataclass(slots=True)
class _Realm:
    limit: int = 1
    running: int = 0
    proven: bool = False
    inconclusive: int = 0
    refused_at: list[str] = field(default_factory=list)
    stopped: bool = False
    pending: dict[str, dict[str, deque[Seat]]] = field(default_factory=dict)


@dataclass(slots=True)
class _Site:
    running: int = 0
    failed_devices: int = 0
    failed_tries: int = 0
    paused_until_s: float | None = None
    on_trial: bool = False


class Ramp:
    """The state of one run. Not thread-safe: the caller holds a lock."""

    def __init__(self, seats: Sequence[Seat], policy: RampPolicy) -> None:
        self._policy = policy
        self._realms: dict[str, _Realm] = {}
        self._sites: dict[str, _Site] = {}
        self._jumps: dict[str, int] = {}
        self._running: dict[str, Seat] = {}
        self._proven_by: set[str] = set()
        self._skipped: dict[str, str] = {}
        self._again: deque[Seat] = deque()
        self._second_turn = ""
        self._stopped = ""
        self._pending = len(seats)
        for seat in seats:
            realm = self._realms.setdefault(seat.realm, _Realm())
            queues = realm.pending.setdefault(seat.jump, {})
            queues.setdefault(seat.site, deque()).append(seat)
            self._sites.setdefault(seat.site, _Site())

    @property
    def running(self) -> int:
        """How many visits run now."""
        return len(self._running)

    @property
    def pending(self) -> int:
        """How many devices wait for their turn."""
        return self._pending

    @property
    def stopped_realms(self) -> tuple[str, ...]:
        """Return the realms that were stopped because of refusals."""
        return tuple(name for name, realm in self._realms.items() if realm.stopped)

    def start(self, now_s: float) -> Seat | None:
        """Return the next device that may start now and count it as running, or ``None``."""
        if len(self._running) >= self._policy.overall:
            return None
        if self._again and not self._second_turn and self._may_start(self._again[0], now_s):
            seat = self._sit_down(self._again.popleft())
            self._second_turn = seat.name
            return seat
        for realm in self._realms.values():
            if realm.pending and self._realm_free(realm):
                for queues, queue in self._queues(realm):
                    if self._site_free(queue[0].site, now_s):
                        return self._begin(realm, queues, queue)
        return None

    def _may_start(self, seat: Seat, now_s: float) -> bool:
        return (
            self._realm_free(self._realms[seat.realm])
            and self._jump_free(seat.jump)
            and self._site_free(seat.site, now_s)
        )

    def _realm_free(self, realm: _Realm) -> bool:
        return realm.running < min(realm.limit, self._policy.per_realm)

    def _jump_free(self, jump: str) -> bool:
        return not jump or self._jumps.get(jump, 0) < self._policy.per_jump

    def _queues(self, realm: _Realm) -> Iterator[tuple[dict[str, deque[Seat]], deque[Seat]]]:
        for jump, queues in realm.pending.items():
            if self._jump_free(jump):
                for queue in queues.values():
                    yield queues, queue

    def _site_free(self, name: str, now_s: float) -> bool:
        site = self._sites[name]
        if site.paused_until_s is not None:
            return site.running == 0 and now_s >= site.paused_until_s
        return site.running < self._policy.per_site

    def _begin(self, realm: _Realm, queues: dict[str, deque[Seat]], queue: deque[Seat]) -> Seat:
        seat = queue.popleft()
        if not queue:
            del queues[seat.site]
            if not queues:
                del realm.pending[seat.jump]
        return self._sit_down(seat)

    def _sit_down(self, seat: Seat) -> Seat:
        site = self._sites[seat.site]
        site.on_trial = site.paused_until_s is not None
        site.running += 1
        self._realms[seat.realm].running += 1
        self._jumps[seat.jump] = self._jumps.get(seat.jump, 0) + 1
        self._running[seat.name] = seat
        self._pending -= 1
        return seat

    def wake_at_s(self) -> float | None:
        """Return when the first paused site may be tried again, ``None`` where none is paused."""
        times = [
            site.paused_until_s
            for name, site in self._sites.items()
            if site.paused_until_s is not None and self._waits(name)
        ]
        return min(times, default=None)

    def proven(self, name: str) -> None:
        """Note that the login of a running visit was accepted: the realm may double."""
        seat = self._running.get(name)
        if seat is None or name in self._proven_by:
            return
        self._proven_by.add(name)
        realm = self._realms[seat.realm]
        grown = realm.limit * 2 if realm.proven else max(realm.limit, 2)
        realm.limit = min(grown, self._policy.per_realm)
        realm.proven = True

    def retry(self, name: str) -> bool:
        """Note that a try found no connection; say whether another may follow.

        A site whose line is down gets as many tries as one device has, not so many per device.
        """
        seat = self._running.get(name)
        if seat is None or self._stopped or self._realms[seat.realm].stopped:
            return False
        site = self._sites[seat.site]
        site.failed_tries += 1
        return site.failed_tries < self._policy.site_failures

    def finished(self, name: str, ending: Ending, now_s: float) -> None:
        """Note how a running visit ended; one that was given up no longer counts."""
        if name not in self._running:
            return
        if ending == "ok":
            self.proven(name)
        seat = self._stand_up(name)
        self._judge_realm(seat, self._realms[seat.realm], ending)
        self._judge_site(seat.site, self._sites[seat.site], ending, now_s)

    def put_back(self, name: str) -> None:
        """Let a running device wait for another turn: whoever visited it is gone."""
        if name not in self._running:
            return
        seat = self._stand_up(name)
        self._sites[seat.site].on_trial = False
        self._proven_by.discard(name)
        realm = self._realms[seat.realm]
        if self._stopped or realm.stopped:
            self._skipped[name] = self._stopped or self._why_stopped(seat.realm, realm)
            return
        self._again.append(seat)
        self._pending += 1

    def _stand_up(self, name: str) -> Seat:
        seat = self._running.pop(name)
        if name == self._second_turn:
            self._second_turn = ""
        self._realms[seat.realm].running -= 1
        self._sites[seat.site].running -= 1
        self._jumps[seat.jump] -= 1
        return seat

    def _judge_realm(self, seat: Seat, realm: _Realm, ending: Ending) -> None:
        if ending == "refused":
            realm.refused_at.append(seat.name)
            realm.limit, realm.proven, realm.inconclusive = 1, False, 0
            if len(realm.refused_at) >= self._policy.refused_limit and not realm.stopped:
                realm.stopped = True
                self._skip_realm(seat.realm, realm)
        elif seat.name not in self._proven_by and not realm.proven:
            # Dead devices at the head of the list must not make the whole run serial. Once so
            # many canaries never got to a login, as many go at once as may be refused anyway.
            realm.inconclusive += 1
            if realm.inconclusive >= self._policy.refused_limit:
                allowance = self._policy.refused_limit - len(realm.refused_at)
                realm.limit = max(realm.limit, allowance)

    def _why_stopped(self, name: str, realm: _Realm) -> str:
        where = ", ".join(realm.refused_at)
        return (
            f"credential {name} was refused at {len(realm.refused_at)} devices ({where}), "
            "so no further device was tried with it"
        )

    def _skip_realm(self, name: str, realm: _Realm) -> None:
        reason = self._why_stopped(name, realm)
        for queues in realm.pending.values():
            for queue in queues.values():
                self._skip(queue, reason)
        realm.pending.clear()
        self._skip_again(lambda seat: seat.realm == name, reason)

    def _judge_site(self, name: str, site: _Site, ending: Ending, now_s: float) -> None:
        if ending != "unreachable":
            site.failed_devices = site.failed_tries = 0
            site.paused_until_s, site.on_trial = None, False
            return
        site.failed_devices += 1
        if site.on_trial:
            site.on_trial, site.paused_until_s = False, None
            self._skip_site(name, site.failed_devices)
        elif site.failed_devices >= self._policy.site_failures and self._waits(name):
            site.paused_until_s = now_s + self._policy.site_pause_s

    def _waits(self, site: str) -> bool:
        return any(seat.site == site for seat in self._again) or any(
            site in queues for realm in self._realms.values() for queues in realm.pending.values()
        )

    def _skip_site(self, name: str, failures: int) -> None:
        reason = (
            f"{failures} devices of site {name} in a row could not be connected to, "
            "also after a pause"
        )
        for realm in self._realms.values():
            for jump, queues in list(realm.pending.items()):
                self._skip(queues.pop(name, deque()), reason)
                if not queues:
                    del realm.pending[jump]
        self._skip_again(lambda seat: seat.site == name, reason)

    def _skip_again(self, which: Callable[[Seat], bool], reason: str) -> None:
        self._skip(deque(filter(which, self._again)), reason)
        self._again = deque(seat for seat in self._again if not which(seat))

    def _skip(self, queue: deque[Seat], reason: str) -> None:
        self._pending -= len(queue)
        self._skipped.update((seat.name, reason) for seat in queue)

    def stop(self, reason: str) -> None:
        """Start nothing more: everything that waits is skipped with ``reason``."""
        self._stopped = reason
        for realm in self._realms.values():
            for queues in realm.pending.values():
                for queue in queues.values():
                    self._skip(queue, reason)
            realm.pending.clear()
        self._skip_again(lambda _seat: True, reason)
        for site in self._sites.values():
            site.paused_until_s = None

    def abandon(self, reason: str) -> None:
        """Give up the visits that still run."""
        self._skipped.update((name, reason) for name in self._running)
        self._running.clear()

    def take_skipped(self) -> dict[str, str]:
        """Return the devices skipped since the last call, with the reason."""
        taken, self._skipped = self._skipped, {}
        return taken
