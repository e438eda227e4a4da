"""The order of a run: a canary alone, then small waves, then larger ones.

Two devices of one site, or of one HA pair, never stand in one wave: what the first does to its
site must have been seen before the second is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import Plan, PlannedDevice, Wave

#: Per cent of all devices in the wave after the canary, and in every later one.
SMALL_PERCENT: Final = 5
LARGE_PERCENT: Final = 25
#: Devices of a wave that are changed at the same time.
MAX_PARALLEL: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WavePolicy:
    """How a run is divided.

    Attributes:
        canary: Site that goes first; the first one of the plan when empty.
        max_parallel: Devices of a wave that are changed at the same time.
        soak_s: Seconds to wait after each wave but the last.
    """

    canary: str = ""
    max_parallel: int = MAX_PARALLEL
    soak_s: int = 0


def build_waves(devices: Sequence[PlannedDevice], policy: WavePolicy) -> tuple[Wave, ...]:
    """Divide the devices: 1, at most 5 %, then at most 25 % at a time.

    Raises:
        PlanRefusedError: the canary's site is not in the plan.
    """
    if policy.canary and policy.canary not in {device.site for device in devices}:
        raise PlanRefusedError(f"the canary {policy.canary} is not a site of this plan")
    # Windows that open first come first, so that nobody waits behind a later time zone.
    waiting = sorted(devices, key=lambda one: (one.site != policy.canary, one.window.start_utc))
    waves: list[Wave] = []
    while waiting:
        chosen = _choose(waiting, _size(len(waves), len(devices)))
        waiting = [device for device in waiting if device not in chosen]
        waves.append(
            Wave(
                n=len(waves) + 1,
                devices=tuple(device.name for device in chosen),
                max_parallel=min(policy.max_parallel, len(chosen)),
                soak_s=policy.soak_s if waiting else 0,
            )
        )
    return tuple(waves)


def _size(done: int, total: int) -> int:
    percent = {0: 0, 1: SMALL_PERCENT}.get(done, LARGE_PERCENT)
    return max(1, total * percent // 100)


def _choose(waiting: Sequence[PlannedDevice], size: int) -> list[PlannedDevice]:
    chosen: list[PlannedDevice] = []
    for device in waiting:
        if len(chosen) < size and not any(belong_together(device, other) for other in chosen):
            chosen.append(device)
    return chosen


def belong_together(one: PlannedDevice, other: PlannedDevice) -> bool:
    """Say whether two devices must never be changed at once."""
    return one.site == other.site or one.ha_peer == other.name or other.ha_peer == one.name


def check_waves(plan: Plan) -> None:
    """Refuse a plan whose waves are larger or closer together than the policy allows.

    Raises:
        PlanRefusedError: says which wave.
    """
    total = len(plan.devices)
    if plan.fail_budget != 0:
        raise PlanRefusedError(f"the failure budget is {plan.fail_budget}, it must be 0")
    for done, wave in enumerate(plan.waves):
        devices = [plan.device(name) for name in wave.devices]
        if not 0 < len(devices) <= _size(done, total):
            raise PlanRefusedError(
                f"wave {wave.n} holds {len(devices)} of {total} devices, "
                f"at most {_size(done, total)} are allowed"
            )
        if not 1 <= wave.max_parallel <= len(devices):
            raise PlanRefusedError(f"wave {wave.n} would change {wave.max_parallel} at once")
        for number, device in enumerate(devices):
            for other in devices[:number]:
                if belong_together(device, other):
                    raise PlanRefusedError(
                        f"wave {wave.n} holds {other.name} and {device.name}, which belong together"
                    )
