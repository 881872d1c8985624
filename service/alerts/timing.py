"""When a message goes out: digests, quiet hours, and the pauses between tries. No clock of its own.

Hours are those of western Indonesia (WIB), which has no summer time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from service.pages.words import WIB

MORNING: Final = 7
"""The hour (WIB) at which daily digests go out."""
FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(minutes=15)
"""So long an alert may lie after its channel has come back."""
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def when_due(
    start: datetime, digest: str, quiet_from: int | None, quiet_to: int | None
) -> datetime:
    """Return when an alert of ``start`` is to be sent on a channel with these habits."""
    return quiet_end(digest_time(start, digest), quiet_from, quiet_to)


def digest_time(start: datetime, digest: str) -> datetime:
    """Return the moment of the next digest from ``start`` on; with no digest it is ``start``."""
    local = start.astimezone(WIB)
    if digest == "hourly":
        hour = local.replace(minute=0, second=0, microsecond=0)
        due = hour if hour == local else hour + _HOUR
    elif digest == "daily":
        morning = local.replace(hour=MORNING, minute=0, second=0, microsecond=0)
        due = morning if morning >= local else morning + _DAY
    else:
        return start
    return due.astimezone(start.tzinfo)


def quiet_end(at: datetime, quiet_from: int | None, quiet_to: int | None) -> datetime:
    """Return ``at``, or the end of the quiet hours where it lies in them.

    The hours go from ``quiet_from`` to ``quiet_to``, over midnight where the second is smaller.
    """
    if quiet_from is None or quiet_to is None:
        return at
    local = at.astimezone(WIB)
    into = (local.hour - quiet_from) % 24
    if into >= (quiet_to - quiet_from) % 24:
        return at
    start = local.replace(minute=0, second=0, microsecond=0) - into * _HOUR
    return (start + ((quiet_to - quiet_from) % 24) * _HOUR).astimezone(at.tzinfo)


def next_pause(tries: int, dice: float) -> timedelta:
    """Return how long to wait after so many failed tries in a row (1 at least).

    It doubles up to the longest; ``dice`` in [0, 1) takes up to half of it away, so that what
    failed together does not come again together.
    """
    full = min(FIRST_PAUSE * 2.0 ** min(max(tries, 1) - 1, 20), LONGEST_PAUSE)
    return full * (1 - dice / 2)
