"""The clock of the machine, as the :class:`mtughost.model.session.Clock` that others are given."""

from __future__ import annotations

import datetime as dt
import time


class SystemClock:
    """Real time. Pass another object in tests."""

    def utc_now(self) -> str:
        """Return wall time, ISO 8601 in UTC with seconds."""
        return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def monotonic_s(self) -> float:
        """Return a monotonic reading in seconds."""
        return time.monotonic()

    def boottime_s(self) -> float:
        """Return a monotonic reading that goes on while the machine sleeps, where it exists."""
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if boottime is None else time.clock_gettime(boottime)

    def sleep(self, seconds: float) -> None:
        """Wait; a negative time is no time."""
        if seconds > 0:
            time.sleep(seconds)
