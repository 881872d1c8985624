"""The jobs of scoring feeds: claimed by a lease, got on with in transactions, ended.

A worker holds a feed while its lease runs and renews it as it works. Whatever a worker writes is
written under the feed's row, locked and still its own: one whose lease went to another writes
nothing more. So several workers work side by side, and a killed one's feed goes to the next.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import ColumnElement, func, insert, or_, select, update
from sqlalchemy.orm import Session

from service.audit import trail as audit
from service.database import Database
from service.errors import DatabaseUnavailable
from service.posts.intake import Stored
from service.tables import FeedPost, FeedReject, FeedState, StoredFeed

ACTOR: Final = "worker"
MOST_ATTEMPTS: Final = 10
"""How often a feed is taken up without getting on before it is given up: one that brings its
worker down each time must not do so for ever."""
_NEW_RATE: Final = 0.3
"""Weight of the last chunk in the rate that is shown."""


class LeaseLost(Exception):
    """The feed is not this worker's any more: cancelled, or taken up by another (internal)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A row that was not scored: its number, where it begins, the field at fault and why."""

    row: int
    line: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What became of some rows of a feed, the first of them after ``before`` others."""

    before: int
    rows: int
    posts: Sequence[tuple[int, Stored]]
    rejects: Sequence[Rejected]
    done: int
    total: int
    unit: str
    seconds: float


def claim(database: Database, owner: str, lease: timedelta) -> StoredFeed | None:
    """Take the oldest feed that nobody works on, for the span of a lease; None: there is none.

    Raises:
        DatabaseUnavailable: the database is gone or locked.
    """
    now = datetime.now(UTC)
    with database.read() as session:  # most of the time there is nothing, and no lock is needed
        if session.scalar(_waiting(owner, now)) is None:
            return None
    with database.write() as session:
        claimed = session.scalars(
            update(StoredFeed)
            .where(StoredFeed.id.in_(_waiting(owner, now).with_for_update(skip_locked=True)))
            .values(
                state=FeedState.RUNNING,
                lease_owner=owner,
                lease_until=now + lease,
                attempts=StoredFeed.attempts + 1,
                started_at=func.coalesce(StoredFeed.started_at, now),
            )
            .returning(StoredFeed)
            .execution_options(synchronize_session=False)
        ).first()
        if claimed is not None and claimed.attempts > MOST_ATTEMPTS:
            said = f"given up after {MOST_ATTEMPTS} attempts that got no further"
            _end(session, claimed, FeedState.FAILED, "given-up", said)
            return None
        return claimed


def _waiting(owner: str, now: datetime) -> Any:
    nobody: ColumnElement[bool] = or_(
        StoredFeed.lease_until.is_(None),
        StoredFeed.lease_until <= now,
        StoredFeed.lease_owner == owner,
    )
    return (
        select(StoredFeed.id)
        .where(StoredFeed.state.in_((FeedState.QUEUED, FeedState.RUNNING)), nobody)
        .order_by(StoredFeed.id)
        .limit(1)
    )


def renew(database: Database, feed_id: int, owner: str, lease: timedelta) -> bool:
    """Lengthen the lease; return whether it was still there to lengthen."""
    with database.write() as session:
        changed = session.execute(
            update(StoredFeed)
            .where(
                StoredFeed.id == feed_id,
                StoredFeed.lease_owner == owner,
                StoredFeed.state == FeedState.RUNNING,
            )
            .values(lease_until=datetime.now(UTC) + lease)
            .execution_options(synchronize_session=False)
        )
        return bool(changed.rowcount)  # type: ignore[attr-defined]


def hold(session: Session, feed_id: int, owner: str) -> StoredFeed:
    """Lock the feed for this transaction and return it.

    Raises:
        LeaseLost: it is not the owner's.
    """
    feed = session.scalars(
        select(StoredFeed).where(StoredFeed.id == feed_id).with_for_update()
    ).first()
    if feed is None or feed.state != FeedState.RUNNING or feed.lease_owner != owner:
        raise LeaseLost
    return feed


def advance(session: Session, feed: StoredFeed, chunk: Chunk, lease: timedelta) -> None:
    """Write down what became of a chunk, in the transaction that stores its posts.

    Raises:
        LeaseLost: the feed does not stand where the chunk begins.
    """
    if feed.rows != chunk.before:
        raise LeaseLost
    if chunk.posts:
        session.execute(
            insert(FeedPost.__table__),  # type: ignore[arg-type]
            [{"feed_id": feed.id, "row": row, "post_id": post.id} for row, post in chunk.posts],
        )
    if chunk.rejects:
        session.execute(
            insert(FeedReject.__table__),  # type: ignore[arg-type]
            [
                {
                    "feed_id": feed.id,
                    "row": reject.row,
                    "line": reject.line,
                    "field": reject.field,
                    "reason": reject.reason,
                }
                for reject in chunk.rejects
            ],
        )
    known = sum(post.seen_before for _, post in chunk.posts)
    feed.rows += chunk.rows
    feed.known += known
    feed.scored += len(chunk.posts) - known
    feed.queued += sum(post.queued and not post.seen_before for _, post in chunk.posts)
    feed.rejected += len(chunk.rejects)
    feed.done, feed.total, feed.unit = chunk.done, chunk.total, chunk.unit
    rate = chunk.rows / max(chunk.seconds, 1e-3)
    feed.rate = rate if feed.rate is None else (1 - _NEW_RATE) * feed.rate + _NEW_RATE * rate
    feed.lease_until = datetime.now(UTC) + lease
    feed.attempts = 0


def finish(database: Database, feed_id: int, owner: str) -> None:
    """End the work on a feed that is read to its end, in one transaction with its audit line.

    Raises:
        LeaseLost: it is not the owner's.
    """
    with database.write() as session:
        feed = hold(session, feed_id, owner)
        feed.done = feed.total
        if feed.scored or feed.known:
            _end(session, feed, FeedState.DONE, None, None)
        else:
            said = f"none of the {feed.rejected} rows could be scored; see why in the rejects"
            if not feed.rejected:
                said = "there are no posts in it"
            _end(session, feed, FeedState.FAILED, "nothing-scored", said)


def fail(database: Database, feed_id: int, owner: str, *, code: str, said: str) -> None:
    """End the work on a feed that cannot be read on; what was stored stays.

    Raises:
        LeaseLost: it is not the owner's.
    """
    with database.write() as session:
        _end(session, hold(session, feed_id, owner), FeedState.FAILED, code, said)


def _end(
    session: Session, feed: StoredFeed, state: FeedState, code: str | None, said: str | None
) -> None:
    feed.state, feed.error_code, feed.error = state, code, said
    feed.finished_at = datetime.now(UTC)
    feed.lease_owner = feed.lease_until = None
    audit.record(
        session,
        actor=ACTOR,
        action=f"feed.{state.value}",
        subject=f"feed:{feed.id}",
        rows=feed.rows,
        **({"error": code} if code else {}),
    )


def let_go(database: Database, feed_id: int, owner: str, *, pause: timedelta | None = None) -> None:
    """Give a feed back unfinished; nobody takes it up before the ``pause`` is over.

    Raises:
        LeaseLost: it is not the owner's.
    """
    with database.write() as session:
        feed = hold(session, feed_id, owner)
        feed.lease_owner = None
        feed.lease_until = None if pause is None else datetime.now(UTC) + pause
        feed.state = FeedState.QUEUED
        if pause is None:
            feed.attempts = 0


class Lease:
    """Keeps a claimed feed while the context is open: a thread renews its lease."""

    def __init__(self, database: Database, feed_id: int, owner: str, span: timedelta) -> None:
        self._database = database
        self._feed_id = feed_id
        self._owner = owner
        self._span = span
        self._lost = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def held(self) -> bool:
        """Whether the feed is still ours, as far as we know."""
        return not self._lost.is_set()

    def check(self) -> None:
        """Let the work go on.

        Raises:
            LeaseLost: the feed is not ours any more.
        """
        if self._lost.is_set():
            raise LeaseLost

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.wait(self._span.total_seconds() / 3):
            try:
                if not renew(self._database, self._feed_id, self._owner, self._span):
                    self._lost.set()
                    return
            except DatabaseUnavailable:
                continue  # what is written later checks the lease again
