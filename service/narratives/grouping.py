"""Grouping: stored posts that have no narrative are placed in one, in the order of their numbers.

One at a time does it. Posts are read and compared without a lock; what came of it is written
under the lock of ``narrative_head``, if nothing that was compared with has changed meanwhile, else
it is done anew. Posts, narratives, their counts and what later posts are compared with are one
transaction, so that a kill leaves nothing half done and no post is placed twice. The rules of
placing are in ``pipeline.grouping``.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import structlog
from sqlalchemy import Row, bindparam, func, insert, literal_column, select, update
from sqlalchemy.orm import Session

from models.likeness import Space
from models.text import normalise
from pipeline.spread import RISKY, Season, Stage, aggregate_risk
from pipeline.titles import lead_of
from service.bulk import among, run_many
from service.database import CopyBack, Database
from service.narratives.counts import (
    Sum,
    add_buckets,
    bucket_of,
    fresh_accounts,
    parts,
    write_accounts,
)
from service.narratives.placing import Apart, Batch, Here, Outcome, Placer, Remembered
from service.tables import Digest, Narrative, NarrativeHead, StoredPost

BATCH: Final = 500
"""Posts of one transaction."""
FUTURE: Final = timedelta(minutes=5)
"""A post dated further ahead of its receipt than this has a wrong clock: receipt counts."""
OWNED: Final = timedelta(seconds=10)
"""For so long others leave the grouping to whoever did it last: what one remembers is good only
while nobody else groups. It saves reading anew and nothing else: who ignores it does no harm."""
QUIET_TITLE: Final = 8
"""Posts from which a narrative that is not watched gets a title of its own making, and a new one
when it has four times as many: until then it is called by its first post, for there are many and
few look at them."""
MEASURE: Final = 2
RETITLE: Final = 1
REST_S: Final = 60.0
"""After so long without many posts waiting, the second process ends."""
_COLUMNS: Final = "id text posted_at received_at embedding account platform label risk reach"
_head: Final[Any] = NarrativeHead.__table__
_narrative: Final[Any] = Narrative.__table__
_post: Final[Any] = StoredPost.__table__
_digest: Final[Any] = Digest.__table__
Rows = Sequence[Row[Any]]
_log = structlog.get_logger("lilin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """What a round did: posts placed, the narratives they joined, whether more may wait.

    A round without posts to place counts what others have gained in reach.
    """

    posts: int = 0
    narratives: frozenset[int] = field(default_factory=frozenset)
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """Posts that were read and are being placed, before anything is written."""

    version: int
    """Of what they are compared with."""
    rows: Rows
    at: Mapping[int, datetime]
    outcome: Future[Outcome]


def event_time(posted_at: datetime | None, received_at: datetime) -> datetime:
    """Return when a post happened: when it says, unless it says nothing or the future."""
    if posted_at is None or posted_at > received_at + FUTURE:
        return received_at
    return posted_at


class Grouping:
    """Places posts, and writes where they went."""

    def __init__(self, database: Database, space: Space, *, second_process: bool = False) -> None:
        """``second_process``: while many posts wait, place the next ones beside the writing."""
        self.name = f"grouping-{uuid.uuid4().hex[:16]}"
        self._database = database
        self._space = space
        self._may_split = second_process
        self._placer: Placer = Here(database, space)
        self._copying: CopyBack | None = None
        self._version = -1
        self._ahead: _Round | None = None
        self._busy_at = 0.0

    def group(self, *, limit: int = BATCH, take_over: bool = False) -> Grouped:
        """Place at most ``limit`` posts, the oldest first.

        Another who did it a moment ago is left to go on with it, unless ``take_over``: whoever has
        no time to wait does it, for the other may have been killed.

        Raises:
            DatabaseUnavailable: the database is gone or locked; nothing was placed.
        """
        ahead, self._ahead = self._ahead, None
        known, self._version = self._version, -1  # unless it is committed, it is wrong
        try:
            found = self._begun(ahead, known, limit=limit, take_over=take_over)
            return Grouped() if found is None else self._written(found, limit, take_over=take_over)
        except BrokenExecutor:
            _log.warning("the second process of the grouping was killed")
            self._join()
            return Grouped(more=True)
        finally:
            if self._version < 0:
                self._ahead = None

    def release(self) -> None:
        """Leave the grouping to whoever comes next, now and not when ``OWNED`` is over."""
        self._join()
        self._version, self._ahead = -1, None
        with self._database.write() as session:
            session.execute(
                update(NarrativeHead)
                .where(NarrativeHead.owner == self.name)
                .values(owner=None, owner_until=None)
            )

    def _begun(
        self, ahead: _Round | None, known: int, *, limit: int, take_over: bool
    ) -> _Round | None:
        """Return the posts of this round, and begin with those of the next; None: none wait."""
        with self._database.read() as session:
            found = ahead
            if found is None:
                waiting = (_ungrouped("id"), _grown("id"))
                if all(session.scalar(query.limit(1)) is None for query in waiting):
                    self._version = known
                    if time.monotonic() - self._busy_at > REST_S:
                        self._join()
                    return None
                head = session.execute(select(_head)).one()
                if not take_over and _left_to_another(head, self.name, datetime.now(UTC)):
                    self._version = known
                    return None
                rows = session.execute(_ungrouped(_COLUMNS).limit(limit)).all()
                if len(rows) == limit and self._split():
                    known = -1
                next_id = None if known == head.version else head.next_id
                found = self._submitted(rows, head.version, next_id)
            if len(found.rows) == limit and isinstance(self._placer, Apart):
                self._busy_at = time.monotonic()
                after = _ungrouped(_COLUMNS).where(_post.c.id > found.rows[-1].id)
                rows = session.execute(after.limit(limit)).all()
                if rows:
                    self._ahead = self._submitted(rows, found.version + 1, None)
        return found

    def _submitted(self, rows: Rows, version: int, next_id: int | None) -> _Round:
        at = {row.id: event_time(row.posted_at, row.received_at) for row in rows}
        batch = Batch(
            [row.id for row in rows],
            [normalise(row.text) for row in rows],
            [at[row.id] for row in rows],
            [row.embedding for row in rows],
        )
        outcome = self._placer.submit(batch, next_id=next_id)
        return _Round(version=version, rows=rows, at=at, outcome=outcome)

    def _written(self, found: _Round, limit: int, *, take_over: bool) -> Grouped:
        outcome = found.outcome.result()
        with self._database.write() as session:
            now = datetime.now(UTC)
            head = session.scalars(select(NarrativeHead).with_for_update()).one()
            if not take_over and _left_to_another(head, self.name, now):
                return Grouped()
            if head.version != found.version or not _all_there(session, found.rows):
                return Grouped(more=True)  # what was compared with has changed: anew
            more = len(found.rows) == limit
            if found.rows:
                season = Season.from_list(head.season)
                for moment in found.at.values():
                    season.add(moment)
                head.season, head.next_id = season.as_list(), outcome.next_id
                _store(session, found.rows, found.at, outcome)
            else:  # not beside them: in one transaction posts are held in order
                more = _count_reach(session, limit) > 0
            head.version += 1
            head.owner, head.owner_until = self.name, now + OWNED
            version = head.version
        self._version = version
        return Grouped(
            posts=len(found.rows),
            narratives=frozenset(outcome.states),
            more=more,
        )

    def _split(self) -> bool:
        """Begin to use a second process, where that may be; return whether it is a new one."""
        if not self._may_split or isinstance(self._placer, Apart):
            return False
        self._placer = Apart(self._database, self._space)
        if self._database.is_sqlite:
            self._copying = CopyBack(self._database)
        return True

    def _join(self) -> None:
        """End a second process, if there is one: this one goes on, and reads all anew."""
        if isinstance(self._placer, Apart):
            self._placer.close()
            self._placer = Here(self._database, self._space)
            self._version, self._ahead = -1, None
        if self._copying is not None:
            self._copying.close()
            self._copying = None


def _all_there(session: Session, rows: Rows) -> bool:
    """Return whether posts still wait: nobody deletes or groups them while the head is held."""
    waiting = select(func.count()).where(
        among(session, _post.c.id, [row.id for row in rows]), _post.c.narrative_id.is_(None)
    )
    return session.scalar(waiting) == len(rows)


def _left_to_another(head: Any, name: str, now: datetime) -> bool:
    if head.owner in (None, name) or head.owner_until is None:
        return False
    # Further ahead than anyone may own it, and it was written by a wrong clock.
    return bool(now < head.owner_until <= now + OWNED)


def _ungrouped(columns: str) -> Any:
    chosen = [_post.c[name] for name in columns.split()]
    waiting = select(*chosen).where(_post.c.narrative_id.is_(None)).order_by(_post.c.id)
    # SQLite would take the index by narrative and sort all that wait.
    return waiting.with_hint(_post, "INDEXED BY ix_posts_ungrouped", "sqlite")


def _grown(columns: str) -> Any:
    """Return the query of the posts that were sent again with another reach since they joined."""
    chosen = [_post.c[name] for name in columns.split()]
    return select(*chosen).where(_post.c.counted_reach != _post.c.reach).order_by(_post.c.id)


# --- what is written -----------------------------------------------------------------------------


def _store(session: Session, rows: Rows, at: Mapping[int, datetime], outcome: Outcome) -> None:
    placements, states = outcome.placements, outcome.states
    sums: dict[int, Sum] = {}
    titles: dict[int, tuple[str, int]] = {}
    for row, placement in zip(rows, placements, strict=True):
        sums.setdefault(placement.narrative_id, Sum()).add(row, at[row.id])
        if placement.by == "first":
            titles[placement.narrative_id] = (lead_of(row.text), row.id)
    grown = {n: s for n, s in sums.items() if n not in titles}
    fresh = fresh_accounts(session, {n: s.accounts for n, s in grown.items()})
    begun = [_begun(n, sums[n], states[n], *titles[n]) for n in sorted(titles)]
    run_many(session, _BEGIN, begun)
    _grow(session, grown, states, fresh)
    write_accounts(session, {n: s.accounts for n, s in sums.items()})
    add_buckets(session, {n: s.buckets for n, s in sums.items()})
    joined = [
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
    ]
    run_many(session, _JOIN, joined)
    digests = [
        {
            "post_id": p.post_id,
            "bands": np.array(p.bands, "<i8").tobytes(),
            "runs": p.runs,
        }
        for p in placements
        if p.bands
    ]
    run_many(session, _DIGEST, digests)


def _count_reach(session: Session, limit: int) -> int:
    """Add to narratives what their posts have gained in reach; return how many posts that were."""
    columns = "id narrative_id event_at reach counted_reach"
    rows = session.execute(_grown(columns).limit(limit))
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
    more = [{"_id": number, "_more": gained[number]} for number in sorted(gained)]
    run_many(session, _REACH, more)
    add_buckets(session, buckets)
    run_many(session, _COUNTED, counted)
    return len(counted)


def _begun(
    narrative_id: int, added: Sum, state: Remembered, title: str, post_id: int
) -> dict[str, Any]:
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
        "centre": state.centre,
        "profile": state.profile,
        "last_post_id": state.last_post_id,
    }


def _grow(
    session: Session,
    sums: Mapping[int, Sum],
    states: Mapping[int, Remembered],
    fresh: Mapping[int, int],
) -> None:
    if not sums:
        return
    values = []
    for part in parts(sorted(sums)):
        wanted = among(session, _narrative.c.id, part)
        counts = select(*_COUNTS).where(wanted).order_by(_narrative.c.id)
        # Held from here on: what the watch changes at this moment is seen.
        for row in session.execute(counts.with_for_update(key_share=True)):
            added, state = sums[row.id], states[row.id]
            assert added.first is not None
            posts, risk_sum = row.posts + added.posts, row.risk_sum + added.risk
            risk = aggregate_risk(risk_sum, posts)
            due = RETITLE if posts >= max(QUIET_TITLE, 4 * row.titled_posts) else 0
            if risk >= RISKY or row.stage != Stage.QUIET.value:
                due = MEASURE
            values.append(
                {
                    "_id": row.id,
                    "posts": posts,
                    "accounts": row.accounts + fresh[row.id],
                    "platforms": _together(row.platforms, added.platforms),
                    "labels": _together(row.labels, added.labels),
                    "reach": row.reach + added.reach,
                    "risk_sum": risk_sum,
                    "risk": risk,
                    "due": max(row.due, due),
                    "first_seen_at": min(row.first_seen_at, added.first),
                    "last_seen_at": state.last_at,
                    "centre": state.centre,
                    "profile": state.profile,
                    "last_post_id": state.last_post_id,
                }
            )
    run_many(session, _GROW, values)


def _together(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    out = dict(a)
    for name, count in b.items():
        out[name] = out.get(name, 0) + count
    return out


_BEGIN: Final = insert(_narrative)
_DIGEST: Final = insert(_digest)
_JOIN: Final = (
    update(_post)
    .where(_post.c.id == bindparam("_id"))
    .values(
        narrative_id=bindparam("_narrative"),
        joined_by=bindparam("_by"),
        joined_likeness=bindparam("_likeness"),
        variant_id=bindparam("_variant"),
        event_at=bindparam("_at"),
        counted_reach=bindparam("_reach"),
    )
)
_GROWN: Final = (
    "posts accounts platforms labels reach risk_sum risk due first_seen_at last_seen_at centre "
    "profile last_post_id"
).split()
_GROW: Final = (
    update(_narrative)
    .where(_narrative.c.id == bindparam("_id"))
    .values({name: bindparam(name) for name in _GROWN})
)
_REACH: Final = (
    update(_narrative)
    .where(_narrative.c.id == bindparam("_id"))
    .values(
        reach=_narrative.c.reach + bindparam("_more"),
        due=literal_column(f"CASE WHEN stage = '{Stage.QUIET.value}' THEN due ELSE {MEASURE} END"),
    )
)
_COUNTED: Final = (
    update(_post).where(_post.c.id == bindparam("_id")).values(counted_reach=bindparam("_reach"))
)
_COUNTS: Final = [
    _narrative.c[name]
    for name in (
        "id posts accounts platforms labels reach risk_sum first_seen_at stage due titled_posts"
    ).split()
]
