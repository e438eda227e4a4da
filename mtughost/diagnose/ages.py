"""How old is what a device wrote into its log, by the device's own clock?"""

from __future__ import annotations

from datetime import datetime

from mtughost.model.basis import Known
from mtughost.model.device import DeviceFacts

#: A client that fails goes on trying, and writes so: what is older says nothing about now.
RECENT_S = 3600
#: A clock that was set in between may run behind its own log by a little.
_GRACE_S = 120


def is_recent(facts: DeviceFacts, at: str) -> bool:
    """Say whether ``at`` (ISO 8601; local without a zone; ``--`` for the year) is of the last hour.

    Not proven means no: without the device's clock nothing is recent.
    """
    age_s = age(facts, at)
    return age_s is not None and -_GRACE_S <= age_s <= RECENT_S


def age(facts: DeviceFacts, at: str) -> float | None:
    """Return the seconds since ``at``, ``None`` where that is not known."""
    if not isinstance(facts.clock_utc, Known) or not at:
        return None
    now = _time(facts.clock_utc.value)
    if now is None:
        return None
    if not at.startswith("--"):
        return _between(_time(at), now)
    # A line of the last evening of a year was not written at the end of this one.
    this_year = _between(_time(f"{now.year:04d}{at[1:]}"), now)
    if this_year is None or this_year >= -_GRACE_S:
        return this_year
    return _between(_time(f"{now.year - 1:04d}{at[1:]}"), now)


def _between(then: datetime | None, now: datetime) -> float | None:
    if then is None:
        return None
    if then.tzinfo is None or now.tzinfo is None:
        return (now.replace(tzinfo=None) - then.replace(tzinfo=None)).total_seconds()
    return (now - then).total_seconds()


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None
