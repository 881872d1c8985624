"""Retention: what is older than its time is deleted, a little at a time.

Deleted are posts that came in before the cut and do not stand open in the queue, with their items
and verdicts, and the narratives that have no other post; feeds uploaded before it that nobody works
on, with their files; stored answers to an ``Idempotency-Key``; sessions that have ended; tallies of
limits that have passed; messages of the outbox that were sent or given up before the cut; alerts
from before it. The audit trail stays: it holds no text.

Every batch is a short transaction that carries its own line of the audit trail, so that a run
that is killed has deleted exactly what the trail says, and the next run goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Select, delete, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from service.accounts import limits
from service.accounts.sessions import IDLE
from service.alerts import outbox
from service.alerts.repository import alerts_before, forget_alerts
from service.audit import trail as audit
from service.database import Database
from service.narratives import forgetting
from service.tables import (
    Alert,
    FeedPost,
    FeedReject,
    FeedState,
    IdempotentAnswer,
    QueueItem,
    Review,
    SignIn,
    StoredFeed,
    StoredPost,
    Tally,
)

BATCH: Final = 500
"""Posts of one transaction: some 50 ms on two cores, so that others hardly wait."""
PAUSE_S: Final = 0.05
"""Rest between batches, in which others get at the database."""
ANSWERS_KEPT: Final = timedelta(days=7)
"""A client that repeats a request does so within minutes; a week leaves room for a long outage."""
_FEED_ROWS: Final = 5000
_LOG_TRIES: Final = 10
_log = structlog.get_logger("lilin")
_Place = tuple[datetime, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many rows of each kind were deleted, or would be."""

    posts: int = 0
    items: int = 0
    reviews: int = 0
    feeds: int = 0
    answers: int = 0
    sessions: int = 0
    tallies: int = 0
    deliveries: int = 0
    alerts: int = 0
    narratives: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


def purge(
    database: Database,
    *,
    older_than: timedelta | None,
    feeds_folder: Path,
    now: datetime,
    actor: str,
    batch: int = BATCH,
    rest: Callable[[float], None] = time.sleep,
) -> Purged:
    """Delete what is older than its time, and return how much there was.

    ``older_than`` is the age of posts and feeds (None: they are kept for ever, the rest is tidied
    all the same). ``feeds_folder`` holds the feeds' files. ``rest`` is called with ``PAUSE_S``
    between batches.

    Raises:
        DatabaseUnavailable: the database is gone or locked; what was deleted stays deleted.
    """
    total = Purged()
    place: _Place | None = None
    while older_than is not None:
        with database.write() as session:
            found, place = _delete_posts(session, now - older_than, place, batch)
            if found.posts:
                _record(session, actor, found, received_before=(now - older_than).isoformat())
        total += found
        if place is None:
            break
        rest(PAUSE_S)
    if older_than is not None:
        total += _delete_feeds(database, now - older_than, feeds_folder, actor, rest)
    with database.write() as session:
        tidied = _tidy(session, older_than, now)
        if tidied != Purged():
            _record(session, actor, tidied)
    if database.is_sqlite:
        _empty_log(database, rest)
    return total + tidied


def _empty_log(database: Database, rest: Callable[[float], None]) -> None:
    """Empty SQLite's log: what was overwritten in the file may still stand there.

    Who reads or copies the log back at that moment is waited for, some times over.
    """
    with database.engine.connect() as connection:
        cursor = connection.connection.cursor()
        for _ in range(_LOG_TRIES):
            busy, *_pages = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            rest(PAUSE_S)
    _log.warning("deleted text may stand in the log beside the database until it is next emptied")


def would_purge(database: Database, *, older_than: timedelta | None, now: datetime) -> Purged:
    """Return what ``purge`` would delete, and delete nothing."""
    with database.read() as session:

        def count(query: Any) -> int:
            return session.scalar(select(func.count()).select_from(query.subquery())) or 0

        posts = items = reviews = feeds = narratives = alerts = 0
        if older_than is not None:
            old = _old_posts(now - older_than)
            posts = count(old)
            item_ids = _items_of(old.with_only_columns(StoredPost.id))
            items = count(item_ids)
            reviews = count(select(Review.id).where(Review.item_id.in_(item_ids)))
            feeds = count(_old_feeds(now - older_than))
            narratives = count(_emptied(now - older_than))
            alerts = count(_old_alerts(now - older_than))
        return Purged(
            posts=posts,
            items=items,
            reviews=reviews,
            feeds=feeds,
            answers=count(select(IdempotentAnswer.id).where(_old_answer(older_than, now))),
            sessions=count(select(SignIn.id).where(_ended(now))),
            tallies=count(
                select(Tally.key, Tally.span).where(Tally.span < now.timestamp() - limits.KEPT_S)
            ),
            deliveries=0 if older_than is None else count(outbox.closed_before(now - older_than)),
            alerts=alerts,
            narratives=narratives,
        )


def _old_posts(cut: datetime) -> Select[datetime, int]:
    """Return the query of the posts that may go: old, and not open in the queue."""
    return select(StoredPost.received_at, StoredPost.id).where(
        StoredPost.received_at < cut, ~_is_open(StoredPost)
    )


def _is_open(post: Any) -> ColumnElement[bool]:
    return select(QueueItem.id).where(QueueItem.post_id == post.id, QueueItem.open).exists()


def _emptied(cut: datetime) -> Select[int | None]:
    """Return the query of the narratives of which no post would stay."""
    other = aliased(StoredPost)
    stays = (other.received_at >= cut) | _is_open(other)
    same = select(other.id).where(other.narrative_id == StoredPost.narrative_id, stays)
    old = _old_posts(cut).with_only_columns(StoredPost.narrative_id)
    return old.where(StoredPost.narrative_id.is_not(None), ~same.exists()).distinct()


def _old_alerts(cut: datetime) -> Select[int]:
    """Return the query of the alerts that would go: old, or of narratives that go."""
    old = Alert.id.in_(alerts_before(cut)) | Alert.narrative_id.in_(_emptied(cut))
    return select(Alert.id).where(old)


def _items_of(post_ids: Any) -> Select[int]:
    return select(QueueItem.id).where(QueueItem.post_id.in_(post_ids))


def _delete_posts(
    session: Session, cut: datetime, after: _Place | None, batch: int
) -> tuple[Purged, _Place | None]:
    """Delete one batch and return what it was and where the next one begins; None: at the end."""
    _overwrite(session)
    query = _old_posts(cut).order_by(StoredPost.received_at, StoredPost.id).limit(batch)
    if after is not None:
        query = query.where(tuple_(StoredPost.received_at, StoredPost.id) > tuple_(*after))
    old = session.execute(query).all()
    if not old:
        return Purged(), None
    ids = [row.id for row in old]
    heirs = forgetting.hold(session, ids)
    # An item may have been reopened since: whoever does that holds its row, so look again.
    items = session.execute(
        select(QueueItem.id, QueueItem.post_id, QueueItem.open)
        .where(QueueItem.post_id.in_(ids))
        .order_by(QueueItem.id)
        .with_for_update()
    ).all()
    kept = {item.post_id for item in items if item.open}
    gone = [item.id for item in items if not item.open]
    reviews = _delete(session, delete(Review).where(Review.item_id.in_(gone)))
    _delete(session, delete(QueueItem).where(QueueItem.id.in_(gone)))
    ids = [number for number in ids if number not in kept]
    leaving = forgetting.leaving(session, ids, heirs)
    posts = _delete(session, delete(StoredPost).where(StoredPost.id.in_(ids)))
    narratives, alerts = forgetting.forget(session, leaving)
    last = old[-1]
    following = (last.received_at, last.id) if len(old) == batch else None
    found = Purged(
        posts=posts, items=len(gone), reviews=reviews, narratives=narratives, alerts=alerts
    )
    return found, following


def _old_feeds(cut: datetime) -> Select[int, str]:
    """Return the query of the feeds that may go: old, and nobody works on them."""
    ended = (FeedState.DONE, FeedState.FAILED, FeedState.CANCELLED)
    return select(StoredFeed.id, StoredFeed.file).where(
        StoredFeed.created_at < cut, StoredFeed.state.in_(ended)
    )


def _delete_feeds(
    database: Database, cut: datetime, folder: Path, actor: str, rest: Callable[[float], None]
) -> Purged:
    """Delete feeds one by one; the file goes first, so that none is ever left without its row."""
    with database.read() as session:
        old = session.execute(_old_feeds(cut).order_by(StoredFeed.id)).all()
    for feed_id, file in old:
        (folder / file).unlink(missing_ok=True)
        for rows in (FeedPost, FeedReject):  # there may be millions
            while True:
                some = select(rows.row).where(rows.feed_id == feed_id).order_by(rows.row)
                with database.write() as session:
                    part = session.scalars(some.limit(_FEED_ROWS)).all()
                    upto = part[-1] if part else 0
                    _delete(session, delete(rows).where(rows.feed_id == feed_id, rows.row <= upto))
                if len(part) < _FEED_ROWS:
                    break
                rest(PAUSE_S)
        with database.write() as session:
            _delete(session, delete(StoredFeed).where(StoredFeed.id == feed_id))
            _record(session, actor, Purged(feeds=1), received_before=cut.isoformat())
        rest(PAUSE_S)
    return Purged(feeds=len(old))


def _overwrite(session: Session) -> None:
    """Without it, deleted text would stand in SQLite's file until something is written there."""
    if session.get_bind().dialect.name == "sqlite":
        session.connection().exec_driver_sql("PRAGMA secure_delete=ON")


def _tidy(session: Session, older_than: timedelta | None, now: datetime) -> Purged:
    _overwrite(session)
    return Purged(
        answers=_delete(session, delete(IdempotentAnswer).where(_old_answer(older_than, now))),
        sessions=_delete(session, delete(SignIn).where(_ended(now))),
        tallies=limits.drop_old(session, now.timestamp()),
        deliveries=0 if older_than is None else outbox.forget(session, before=now - older_than),
        alerts=0 if older_than is None else forget_alerts(session, before=now - older_than),
    )


def _old_answer(older_than: timedelta | None, now: datetime) -> Any:
    kept = ANSWERS_KEPT if older_than is None else min(ANSWERS_KEPT, older_than)
    return IdempotentAnswer.at < now - kept


def _ended(now: datetime) -> Any:
    return or_(SignIn.expires_at <= now, SignIn.last_seen_at <= now - IDLE)


def _delete(session: Session, statement: Any) -> int:
    done: Any = session.execute(statement.execution_options(synchronize_session=False))
    return int(done.rowcount)


def _record(session: Session, actor: str, found: Purged, **more: str) -> None:
    counts = {f.name: getattr(found, f.name) for f in fields(found) if getattr(found, f.name)}
    audit.record(session, actor=actor, action="privacy.purge", subject="purge", **counts, **more)
