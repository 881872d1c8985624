"""Feeds as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from service.accounts.access import Caller
from service.feeds import service as feeds
from service.privacy.masking import readable
from service.tables import FeedState, StoredFeed
from service.web import Model

FormatName = Literal["csv", "jsonl", "json", "parquet", "whatsapp"]


class CountsOut(Model):
    """What became of the rows done so far: `rows` = `scored` + `known` + `rejected`."""

    rows: int
    scored: int
    known: Annotated[int, Field(description="Posts that the desk had already.")]
    queued: Annotated[int, Field(description="Of those scored, how many went into the queue.")]
    rejected: int


class ProgressOut(Model):
    """How far the work is; `done` and `total` are lines, rows (Parquet) or bytes of the file."""

    done: int
    total: int
    unit: Literal["bytes", "lines", "rows"]
    share: Annotated[float, Field(ge=0, le=1)]
    working: Annotated[bool, Field(description="A worker holds the feed just now.")]
    rows_per_second: float | None
    seconds_left: int | None


class FeedErrorOut(Model):
    """Why a feed failed."""

    code: str
    message: str


class FeedOut(Model):
    """An uploaded feed and how far the work on it is."""

    id: int
    name: str
    bytes: int
    sha256: str
    format: FormatName
    text_column: str | None
    sent_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    state: FeedState
    progress: ProgressOut
    counts: CountsOut
    error: FeedErrorOut | None

    @classmethod
    def of(cls, feed: StoredFeed, caller: Caller) -> FeedOut:
        """Return what the caller may see of a feed; a chat's name can be a person's number."""
        now = feeds.progress(feed, datetime.now(UTC))
        same = ("id", "bytes", "format", "text_column", "created_at", "started_at", "finished_at")
        return cls(
            **{name: getattr(feed, name) for name in same},
            name=readable(feed.name, caller),
            sha256=feed.digest,
            sent_by=feed.account.name if feed.account else None,
            state=FeedState(feed.state),
            progress=ProgressOut.model_validate(
                {name: getattr(now, name) for name in ProgressOut.model_fields}
            ),
            counts=CountsOut.model_validate(
                {name: getattr(feed, name) for name in CountsOut.model_fields}
            ),
            error=None
            if feed.error_code is None
            else FeedErrorOut(code=feed.error_code, message=readable(feed.error or "", caller)),
        )


class FeedsOut(Model):
    """A page of feeds, the newest first; `next` is the `after` of the following page."""

    feeds: list[FeedOut]
    next: int | None
