"""Feeds: sent, looked at, stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from pipeline.errors import PipelineError
from pipeline.feeds import open_feed
from service.accounts.access import Caller
from service.audit import trail as audit
from service.database import Database
from service.errors import NotFound
from service.feeds import upload as uploads
from service.feeds.errors import FeedRefused, refused
from service.feeds.upload import Upload
from service.tables import Account, FeedState, StoredFeed

OPEN = (FeedState.QUEUED, FeedState.RUNNING)


def submit(
    database: Database,
    folder: Path,
    upload: Upload,
    *,
    account: Account | None,
    actor: str,
    text_column: str | None = None,
    format: str | None = None,  # noqa: A002
) -> StoredFeed:
    """Make a job of an upload whose beginning can be read; else nothing is kept of it.

    The file has its lasting name on the disk before the job is committed.

    Raises:
        FeedRefused: it is empty, of no known format, or has no text column.
        DatabaseUnavailable: nothing was kept.
    """
    kept: Path | None = None
    try:
        found = _format(upload, text_column, format)
        file = uploads.keep(upload, folder)
        kept = folder / file
        with database.write() as session:
            feed = StoredFeed(
                name=upload.name,
                file=file,
                bytes=upload.bytes,
                digest=upload.digest,
                format=found,
                text_column=text_column,
                account_id=None if account is None else account.id,
                created_at=datetime.now(UTC),
                state=FeedState.QUEUED,
                total=upload.bytes,
            )
            session.add(feed)
            session.flush()
            audit.record(
                session,
                actor=actor,
                action="feed.upload",
                subject=f"feed:{feed.id}",
                bytes=upload.bytes,
                sha256=upload.digest,
            )
    except BaseException:
        upload.discard()
        if kept is not None:
            kept.unlink(missing_ok=True)
        raise
    feed.account = account
    return feed


def _format(upload: Upload, text_column: str | None, format_: str | None) -> str:
    try:
        with open_feed(upload.path, text_column=text_column, format=format_) as feed:
            return feed.format
    except PipelineError as error:
        raise refused(error, path=upload.path, name=upload.name) from error
    except (ValueError, NotImplementedError) as error:  # Arrow on a file written to hurt
        raise FeedRefused(f"{upload.name}: the file is damaged and cannot be read") from error


def find_same(session: Session, digest: str) -> StoredFeed | None:
    """Return the newest feed with the same content, None if there is none."""
    return session.scalars(
        select(StoredFeed).where(StoredFeed.digest == digest).order_by(StoredFeed.id.desc())
    ).first()


def page(session: Session, *, after: int | None = None, limit: int = 50) -> list[StoredFeed]:
    """Return feeds, the newest first, from the number ``after`` on down."""
    query = (
        select(StoredFeed)
        .options(joinedload(StoredFeed.account))
        .order_by(StoredFeed.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(StoredFeed.id < after)
    return list(session.scalars(query))


def get(session: Session, feed_id: int) -> StoredFeed:
    """Return a feed.

    Raises:
        NotFound: there is none of this number.
    """
    found = None
    if 0 < feed_id < 2**63:
        found = session.get(StoredFeed, feed_id, options=[joinedload(StoredFeed.account)])
    if found is None:
        raise NotFound(f"there is no feed {feed_id}")
    return found


def cancel(session: Session, feed_id: int, caller: Caller) -> StoredFeed:
    """Stop the work on a feed; what is stored stays. A feed that has ended stays as it is.

    Whoever works on it finds its lease gone and writes nothing more.

    Raises:
        NotFound: there is none of this number.
    """
    get(session, feed_id)
    feed = session.scalars(
        select(StoredFeed)
        .where(StoredFeed.id == feed_id)
        .options(joinedload(StoredFeed.account))
        .with_for_update(of=StoredFeed)
        .execution_options(populate_existing=True)
    ).one()
    if feed.state in OPEN:
        feed.state = FeedState.CANCELLED
        feed.finished_at = datetime.now(UTC)
        feed.lease_owner = feed.lease_until = None
        audit.record(
            session,
            actor=caller.account.name,
            action="feed.cancel",
            subject=f"feed:{feed.id}",
            rows=feed.rows,
        )
    return feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the work on a feed is; ``share`` from 0 to 1."""

    done: int
    total: int
    unit: str
    share: float
    working: bool
    """Whether a worker holds it just now."""
    rows_per_second: float | None
    seconds_left: int | None


def progress(feed: StoredFeed, now: datetime) -> Progress:
    """Return how far the work on a feed is."""
    working = (
        feed.state == FeedState.RUNNING and feed.lease_until is not None and feed.lease_until > now
    )
    share = min(1.0, feed.done / feed.total) if feed.total else 0.0
    rate = feed.rate if working else None
    left = None
    if rate and feed.rows and feed.done:
        rows_left = feed.rows * max(0, feed.total - feed.done) / feed.done
        left = round(rows_left / rate)
    return Progress(
        done=feed.done,
        total=feed.total,
        unit=feed.unit,
        share=1.0 if feed.state == FeedState.DONE else share,
        working=working,
        rows_per_second=None if rate is None else round(rate, 1),
        seconds_left=left,
    )
