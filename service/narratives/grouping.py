"""Grouping: stored posts that have no narrative are placed in one, in the order of their numbers.

One at a time does it, under the lock of ``narrative_head``; posts, narratives, their counts and
what later posts are compared with are one transaction, so that a kill leaves nothing half done and
no post is placed twice. The rules of placing are in ``pipeline.grouping``.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import Row, bindparam, case, insert, select, update
from sqlalchemy.orm import Session

from models.likeness import WIDTH, Floats, Space
from pipeline.grouping import Grouper
from pipeline.narratives import Arrival, Known, Placement, State
from pipeline.spread import RISKY, Season, Stage, aggregate_risk
from pipeline.titles import lead_of
from service.database import Database
from service.narratives.counts import (
    Sum,
    add_buckets,
    bucket_of,
    fresh_accounts,
    parts,
    write_accounts,
)
from service.tables import Digest, Narrative, NarrativeHead, StoredPost

BATCH: Final = 500
"""Posts of one transaction."""
FUTURE: Final = timedelta(minutes=5)
"""A post dated further ahead of its receipt than this has a wrong clock: receipt counts."""
OWNED: Final = timedelta(seconds=10)
"""For so long others leave the grouping to whoever did it last: what one remembers is good only
while nobody else groups. It saves reading anew and nothing else: who ignores it does no harm."""
QUIET_TITLE: Final = 8
"""Posts from which a narrative that is not watched gets a title of its own making: until then it is
called by its first post, for there are many and few look at them."""
MEASURE: Final = 2
RETITLE: Final = 1
Rows = Sequence[Row[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """What a round did: posts placed, the narratives they joined, whether more may wait.

    A round without posts to place counts what others have gained in reach.
    """

    posts: int = 0
    narratives: frozenset[int] = field(default_factory=frozenset)
    more: bool = False


def event_time(posted_at: datetime | None, received_at: datetime) -> datetime:
    """Return when a post happened: when it says, unless it says nothing or the future."""
    if posted_at is None or posted_at > received_at + FUTURE:
        return received_at
    return posted_at


class Grouping:
    """Places posts; keeps what it has learned of the narratives that are alive."""

    def __init__(self, database: Database, space: Space) -> None:
        self.name = f"grouping-{uuid.uuid4().hex[:16]}"
        self._database = database
        self._space = space
        self._grouper = Grouper(space)
        self._version = -1

    def group(self, *, limit: int = BATCH, take_over: bool = False) -> Grouped:
        """Place at most ``limit`` posts, the oldest first.

        Another who did it a moment ago is left to go on with it, unless ``take_over``: whoever has
        no time to wait does it, for the other may have been killed.

        Raises:
            DatabaseUnavailable: the database is gone or locked; nothing was placed.
        """
        with self._database.read() as session:  # most of the time there is nothing to lock for
            waiting = (_ungrouped(StoredPost.id), _grown(StoredPost.id))
            if all(session.scalar(query.limit(1)) is None for query in waiting):
                return Grouped()
        known = self._version
        self._version = -1  # unless this transaction is committed, what is remembered is wrong
        with self._database.write() as session:
            now = datetime.now(UTC)
            head = session.scalars(select(NarrativeHead).with_for_update()).one()
            if not take_over and _left_to_another(head, self.name, now):
                return Grouped()
            memory = _Stored(session)
            if known != head.version:
                self._grouper.load(memory)
            grouped = self._place(session, head, memory, limit)
            if not grouped.posts:  # not beside them: in one transaction posts are held in order
                grouped = Grouped(more=_count_reach(session, limit) > 0)
            head.version += 1
            head.owner, head.owner_until = self.name, now + OWNED
            version = head.version
        self._version = version
        return grouped

    def release(self) -> None:
        """Leave the grouping to whoever comes next, now and not when ``OWNED`` is over."""
        self._version = -1
        with self._database.write() as session:
            session.execute(
                update(NarrativeHead)
                .where(NarrativeHead.owner == self.name)
                .values(owner=None, owner_until=None)
            )

    def _place(self, session: Session, head: NarrativeHead, memory: _Stored, limit: int) -> Grouped:
        rows = session.execute(_ungrouped(*_COLUMNS).limit(limit)).all()
        if not rows:
            return Grouped()
        at = {row.id: event_time(row.posted_at, row.received_at) for row in rows}
        arrivals = [
            Arrival(
                id=row.id,
                text=row.text,
                at=at[row.id],
                embedding=unpack_embedding(row.embedding, self._space),
            )
            for row in rows
        ]
        placements, states = self._grouper.place(arrivals, memory, head.next_id)
        head.next_id += sum(p.by == "first" for p in placements)
        season = Season.from_list(head.season)
        for moment in at.values():
            season.add(moment)
        head.season = season.as_list()
        _store(session, rows, at, placements, states)
        return Grouped(
            posts=len(rows),
            narratives=frozenset(p.narrative_id for p in placements),
            more=len(rows) == limit,
        )


def _left_to_another(head: NarrativeHead, name: str, now: datetime) -> bool:
    if head.owner in (None, name) or head.owner_until is None:
        return False
    # Further ahead than anyone may own it, and it was written by a wrong clock.
    return now < head.owner_until <= now + OWNED


def unpack_embedding(packed: bytes | None, space: Space) -> Floats | None:
    """Return a stored post's embedding; None where it has none, or its width is another model's."""
    if packed is None or len(packed) != 2 * len(space.mean):
        return None
    embedding: Floats = np.frombuffer(packed, np.float16).astype(np.float32)
    return embedding if np.isfinite(embedding).all() else None


_COLUMNS: Final = (
    StoredPost.id,
    StoredPost.text,
    StoredPost.posted_at,
    StoredPost.received_at,
    StoredPost.embedding,
    StoredPost.account,
    StoredPost.platform,
    StoredPost.label,
    StoredPost.risk,
    StoredPost.reach,
)


def _ungrouped(*columns: Any) -> Any:
    return select(*columns).where(StoredPost.narrative_id.is_(None)).order_by(StoredPost.id)


def _grown(*columns: Any) -> Any:
    """Return the query of the posts that were sent again with another reach since they joined."""
    grown = StoredPost.counted_reach != StoredPost.reach
    return select(*columns).where(grown).order_by(StoredPost.id)


# --- what is remembered --------------------------------------------------------------------------


class _Stored:
    """The database as ``pipeline.narratives.Memory``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def in_bands(self, bands: Iterable[int]) -> Mapping[int, Sequence[tuple[int, int]]]:
        """Return by band the posts that were kept in it, each with its narrative."""
        found: dict[int, list[tuple[int, int]]] = {}
        for part in parts(sorted(bands)):
            for band, post_id, narrative_id in self._session.execute(
                select(Digest.band, Digest.post_id, StoredPost.narrative_id)
                .join(StoredPost, StoredPost.id == Digest.post_id)
                .where(Digest.band.in_(part))
                .order_by(Digest.band, Digest.post_id)
            ):
                found.setdefault(band, []).append((post_id, narrative_id or 0))
        return found

    def known(self, post_ids: Iterable[int]) -> Mapping[int, Known]:
        """Return posts by number."""
        return {
            row.id: Known(id=row.id, text=row.text, narrative_id=row.narrative_id)
            for part in parts(sorted(post_ids))
            for row in self._session.execute(
                select(StoredPost.id, StoredPost.text, StoredPost.narrative_id).where(
                    StoredPost.id.in_(part), StoredPost.narrative_id.is_not(None)
                )
            )
        }

    def states(self, narrative_ids: Iterable[int]) -> Sequence[State]:
        """Return what is remembered of narratives."""
        rows = self._session.execute(
            select(*_STATE).where(Narrative.id.in_(set(narrative_ids)))
        ).all()
        return [state_from(row) for row in rows]

    def latest(self, most: int) -> Sequence[State]:
        """Return the narratives that had a post last, latest first."""
        rows = self._session.execute(
            select(*_STATE)
            .where(Narrative.merged_into_id.is_(None))
            .order_by(Narrative.last_post_id.desc())
            .limit(most)
        ).all()
        return [state_from(row) for row in rows if row.posts]


_STATE: Final = (
    Narrative.id,
    Narrative.centre,
    Narrative.profile,
    Narrative.last_seen_at,
    Narrative.last_post_id,
    Narrative.posts,
)


def state_from(row: Any) -> State:
    """Return what is remembered of a narrative from its row (or from those columns of it)."""
    centre = np.frombuffer(row.centre or b"", np.float32)
    return State(
        row.id,
        centre.copy() if len(centre) == WIDTH else np.zeros(WIDTH, np.float32),
        unpack_profile(row.profile or b""),
        row.posts,
        row.last_seen_at,
        row.last_post_id,
    )


def pack_profile(profile: Mapping[int, int]) -> bytes:
    """Return a narrative's words and their counts as bytes, in their order."""
    return np.array(list(profile.items()), "<u4").tobytes()


def unpack_profile(packed: bytes) -> dict[int, int]:
    """Return what ``pack_profile`` packed."""
    return dict(np.frombuffer(packed, "<u4").reshape(-1, 2).tolist())


# --- what is written -----------------------------------------------------------------------------


def _store(
    session: Session,
    rows: Rows,
    at: Mapping[int, datetime],
    placements: Sequence[Placement],
    states: Mapping[int, State],
) -> None:
    sums: dict[int, Sum] = {}
    titles: dict[int, tuple[str, int]] = {}
    for row, placement in zip(rows, placements, strict=True):
        sums.setdefault(placement.narrative_id, Sum()).add(row, at[row.id])
        if placement.by == "first":
            titles[placement.narrative_id] = (lead_of(row.text), row.id)
    grown = {n: s for n, s in sums.items() if n not in titles}
    fresh = fresh_accounts(session, {n: s.accounts for n, s in grown.items()})
    begun = [_begun(n, sums[n], states[n], *titles[n]) for n in sorted(titles)]
    if begun:
        session.execute(insert(Narrative.__table__), begun)  # type: ignore[arg-type]
    _grow(session, grown, states, fresh)
    write_accounts(session, {n: s.accounts for n, s in sums.items()})
    add_buckets(session, {n: s.buckets for n, s in sums.items()})
    post = StoredPost.__table__.c
    session.connection().execute(
        update(StoredPost.__table__)  # type: ignore[arg-type]
        .where(post.id == bindparam("_id"))
        .values(
            narrative_id=bindparam("_narrative"),
            joined_by=bindparam("_by"),
            joined_likeness=bindparam("_likeness"),
            variant_id=bindparam("_variant"),
            event_at=bindparam("_at"),
            counted_reach=bindparam("_reach"),
        ),
        [
            {
                "_id": p.post_id,
                "_narrative": p.narrative_id,
                "_by": p.by,
                "_likeness": round(p.likeness, 4),
                "_variant": p.variant_id,
                "_at": at[p.post_id],
                "_reach": row.reach,
            }
            for row, p in zip(rows, placements, strict=True)
        ],
    )
    _write_digests(session, [(band, p.post_id) for p in placements for band in p.bands])


def _count_reach(session: Session, limit: int) -> int:
    """Add to narratives what their posts have gained in reach; return how many posts that were."""
    columns = ("id", "narrative_id", "event_at", "reach", "counted_reach")
    rows = session.execute(_grown(*(getattr(StoredPost, name) for name in columns)).limit(limit))
    gained: Counter[int] = Counter()
    buckets: dict[int, dict[int, list[int]]] = {}
    counted = []
    for row in rows:
        more = row.reach - row.counted_reach
        gained[row.narrative_id] += more
        at = bucket_of(row.event_at)
        buckets.setdefault(row.narrative_id, {}).setdefault(at, [0, 0, 0])[2] += more
        counted.append({"_id": row.id, "_reach": row.reach})
    if not counted:
        return 0
    narrative, post = Narrative.__table__.c, StoredPost.__table__.c
    session.connection().execute(
        update(Narrative.__table__)  # type: ignore[arg-type]
        .where(narrative.id == bindparam("_id"))
        .values(
            reach=narrative.reach + bindparam("_more"),
            due=case((narrative.stage == Stage.QUIET.value, narrative.due), else_=MEASURE),
        ),
        [{"_id": number, "_more": gained[number]} for number in sorted(gained)],
    )
    add_buckets(session, buckets)
    session.connection().execute(
        update(StoredPost.__table__)  # type: ignore[arg-type]
        .where(post.id == bindparam("_id"))
        .values(counted_reach=bindparam("_reach")),
        counted,
    )
    return len(counted)


def _write_digests(session: Session, rows: Sequence[tuple[int, int]]) -> None:
    """Write bands: by far the most rows, so as the driver takes them, without SQLAlchemy's care."""
    if rows:
        mark = "?" if session.get_bind().dialect.name == "sqlite" else "%s"
        statement = f"INSERT INTO {Digest.__tablename__} (band, post_id) VALUES ({mark}, {mark})"
        session.connection().exec_driver_sql(statement, list(rows))


def _begun(narrative_id: int, added: Sum, state: State, title: str, post_id: int) -> dict[str, Any]:
    return {
        "id": narrative_id,
        "title": title,
        "keywords": [],
        "title_post_id": post_id,
        "stage": "quiet",
        "due": MEASURE if aggregate_risk(added.risk, added.posts) >= RISKY else 0,
        "titled_posts": 1,
        "reasons": [],
        "heat": 0.0,
        "first_seen_at": added.first,
        "accounts": len(added.accounts),
        "posts": added.posts,
        "reach": added.reach,
        "risk_sum": added.risk,
        "risk": aggregate_risk(added.risk, added.posts),
        "platforms": dict(added.platforms),
        "labels": dict(added.labels),
        "last_seen_at": added.last,
        "centre": state.centre.tobytes(),
        "profile": pack_profile(state.profile),
        "last_post_id": state.last_post_id,
    }


def _grow(
    session: Session,
    sums: Mapping[int, Sum],
    states: Mapping[int, State],
    fresh: Mapping[int, int],
) -> None:
    if not sums:
        return
    narrative = Narrative.__table__.c
    values = []
    for part in parts(sorted(sums)):
        counts = select(*_COUNTS).where(Narrative.id.in_(part)).order_by(Narrative.id)
        # Held from here on: what the watch changes at this moment is seen.
        for row in session.execute(counts.with_for_update(key_share=True)):
            added, state = sums[row.id], states[row.id]
            assert added.first is not None
            posts, risk_sum = row.posts + added.posts, row.risk_sum + added.risk
            risk = aggregate_risk(risk_sum, posts)
            due = RETITLE if posts >= max(QUIET_TITLE, 2 * row.titled_posts) else 0
            if risk >= RISKY or row.stage != Stage.QUIET.value:
                due = MEASURE
            values.append(
                {
                    "_id": row.id,
                    "posts": posts,
                    "accounts": row.accounts + fresh[row.id],
                    "platforms": dict(Counter(row.platforms) + added.platforms),
                    "labels": dict(Counter(row.labels) + added.labels),
                    "reach": row.reach + added.reach,
                    "risk_sum": risk_sum,
                    "risk": risk,
                    "due": max(row.due, due),
                    "first_seen_at": min(row.first_seen_at, added.first),
                    "last_seen_at": state.last_at,
                    "centre": state.centre.tobytes(),
                    "profile": pack_profile(state.profile),
                    "last_post_id": state.last_post_id,
                }
            )
    session.connection().execute(
        update(Narrative.__table__)  # type: ignore[arg-type]
        .where(narrative.id == bindparam("_id"))
        .values({name: bindparam(name) for name in values[0] if name != "_id"}),
        values,
    )


_COUNTS: Final = (
    Narrative.id,
    Narrative.posts,
    Narrative.accounts,
    Narrative.platforms,
    Narrative.labels,
    Narrative.reach,
    Narrative.risk_sum,
    Narrative.first_seen_at,
    Narrative.stage,
    Narrative.due,
    Narrative.titled_posts,
)
