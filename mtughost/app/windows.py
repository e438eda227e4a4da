"""Change windows: hours of the night at the site, as moments in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mtughost.change.approval import iso, moment
from mtughost.fleet.inventory import Inventory
from mtughost.model.errors import UsageError
from mtughost.model.plans import PlannedDevice, PlanWindow

_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


def site_windows(
    inventory: Inventory, devices: Iterable[str], hours: str, now_utc: str
) -> Mapping[str, PlanWindow]:
    """Return when each device may be changed; nothing is limited where ``hours`` is empty.

    Raises:
        UsageError: the hours cannot be read, or a site's time zone is missing or unknown.
    """
    if not hours:
        return {}
    now = moment(now_utc, "now")
    return {
        name: next_window(hours, inventory.site(inventory.known[name].site).info.timezone, now)
        for name in devices
    }


def next_window(hours: str, zone: str, now: datetime) -> PlanWindow:
    """Return the window that is open now or opens next, in local hours of ``zone``.

    Args:
        hours: ``HH:MM-HH:MM``; an end before the start is on the next day.
        zone: Name of the time zone, such as ``Europe/Berlin``.
        now: The present moment.

    Raises:
        UsageError: the hours cannot be read, or the time zone is missing or unknown.
    """
    found = _HOURS.fullmatch(hours)
    if not found or found[0][:5] == found[0][6:]:
        raise UsageError(f"{hours!r} are no hours", todo='Write for example "01:00-05:00"')
    try:
        here = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"the time zone {zone!r} of a site is not known",
            todo='Set data: {timezone: "Europe/Berlin"} in the inventory',
        ) from None
    first, last = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    today = now.astimezone(here).date()
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        start = _moment(day, first, here)
        end = _moment(day if last > first else day + timedelta(days=1), last, here)
        if now < end:
            return PlanWindow(start_utc=iso(start), end_utc=iso(end), tz=zone)
    raise AssertionError("a window of tomorrow cannot have ended")  # pragma: no cover


def _moment(day: date, hour: time, here: ZoneInfo) -> datetime:
    # An hour that the clocks leave out counts from before the jump, one that comes twice once.
    return datetime.combine(day, hour, here).astimezone(UTC)


def hull(devices: Sequence[PlannedDevice]) -> PlanWindow:
    """Return the time from the first window's start to the last one's end."""
    windows = [device.window for device in devices]
    if not windows or not all(window.start_utc for window in windows):
        return PlanWindow()
    zones = {window.tz for window in windows}
    return PlanWindow(
        start_utc=min(window.start_utc for window in windows),
        end_utc=max(window.end_utc for window in windows),
        tz=zones.pop() if len(zones) == 1 else "",
    )
