"""What became of one try to send a message."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from service.alerts.client import Answer

LONGEST_WAIT: Final = timedelta(days=1)
"""A receiver that asks for more patience gets this much."""
_THE_MESSAGES_FAULT: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended; with no ``error`` the receiver has taken the message."""

    error: str | None = None
    """A code of ours, never words of the receiver's: see ``service.pages.alert_words.DELIVERY_ERRORS``."""
    status: int | None = None
    """What the receiver answered: an HTTP or SMTP status."""
    wait: timedelta | None = None
    """How long the receiver asks us to wait."""
    only_this: bool = False
    """This message alone was refused; the channel takes others."""
    gone: bool = False
    """The receiver wants nothing any more."""


def of_answer(answer: Answer, now: datetime) -> Outcome:
    """Return what an HTTP answer means: 2xx has taken it, everything else has not."""
    status = answer.status
    if 200 <= status < 300:
        return Outcome(status=status)
    if 300 <= status < 400:
        return Outcome(error="redirect", status=status)
    if status == HTTPStatus.GONE:
        return Outcome(error="gone", status=status, gone=True)
    return Outcome(
        error="too-many" if status == HTTPStatus.TOO_MANY_REQUESTS else "status",
        status=status,
        wait=retry_after(answer.retry_after, now),
        only_this=status in _THE_MESSAGES_FAULT,
    )


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the span of a ``Retry-After``, in seconds or a date; None: there is none to obey."""
    if value is None:
        return None
    value = value.strip()
    try:
        if value.isascii() and value.isdigit():
            return bounded(int(value[:9]))
        until = parsedate_to_datetime(value)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        return bounded((until - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def bounded(seconds: object) -> timedelta | None:
    """Return a wait between nothing and the longest; None: this is no number of seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if math.isnan(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST_WAIT.total_seconds()))
