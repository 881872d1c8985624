"""What becomes of narratives whose posts are deleted.

What they count goes down, a name made of a deleted post goes with it, and a narrative without
posts goes altogether, with what was merged into it, its history and its alerts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, select, tuple_, update
from sqlalchemy.orm import Session, defer

from pipeline.spread import aggregate_risk
from pipeline.titles import lead_of
from service.narratives.counts import COUNTED, Sum, parts
from service.narratives.grouping import MEASURE, RETITLE
from service.narratives.placing import pack_profile, unpack_profile
from service.tables import (
    Alert,
    Digest,
    Narrative,
    NarrativeAccount,
    NarrativeBucket,
    NarrativeHead,
    StoredPost,
)

_LATEST: Final = 200
"""Posts of a narrative among which copies of a deleted post are looked for: later ones may come."""
_COLUMNS: Final = (
    StoredPost.id,
    StoredPost.narrative_id,
    StoredPost.account,
    StoredPost.platform,
    StoredPost.label,
    StoredPost.risk,
    COUNTED.label("reach"),
    StoredPost.event_at,
)
Rows = Sequence[Any]
"""What ``leaving`` read of each post."""


Heirs = Mapping[int, Sequence[int]]
"""By post the copies of it that may stand for it when it is deleted."""


def hold(session: Session, post_ids: Collection[int]) -> Heirs:
    """Hold posts, their heirs and their narratives until the transaction ends.

    In the order in which all do who change both (``service.narratives.service``). Their keys are
    left to others until the deletion: whoever changes an item looks whether its post is there.
    """
    session.execute(select(NarrativeHead).with_for_update()).all()
    of_posts = select(StoredPost.narrative_id).where(StoredPost.id.in_(post_ids))
    held = select(Narrative.id).where(Narrative.id.in_(of_posts)).order_by(Narrative.id)
    session.execute(held.with_for_update(key_share=True)).all()
    heirs = _heirs(session, set(post_ids))
    both = {*post_ids, *(heir for copies in heirs.values() for heir in copies)}
    posts = select(StoredPost.id).where(StoredPost.id.in_(both)).order_by(StoredPost.id)
    session.execute(posts.with_for_update(key_share=True)).all()
    return heirs


def _heirs(session: Session, post_ids: set[int]) -> Heirs:
    """Return copies in narratives that keep other posts."""
    of_posts = select(StoredPost.narrative_id, func.count()).where(StoredPost.id.in_(post_ids))
    rows = session.execute(of_posts.group_by(StoredPost.narrative_id))
    counts = {narrative_id: count for narrative_id, count in rows if narrative_id is not None}
    sizes = select(Narrative.id, Narrative.posts).where(Narrative.id.in_(counts))
    heirs: dict[int, list[int]] = {}
    for narrative_id, posts in session.execute(sizes).all():
        if posts <= counts[narrative_id]:
            continue
        latest = session.execute(
            select(StoredPost.id, StoredPost.variant_id)
            .where(StoredPost.narrative_id == narrative_id)
            .order_by(StoredPost.event_at.desc())
            .limit(_LATEST)
        )
        for post_id, variant_id in latest:
            if variant_id in post_ids and post_id not in post_ids:
                heirs.setdefault(variant_id, []).append(post_id)
    return heirs


def leaving(session: Session, post_ids: Collection[int], heirs: Heirs) -> Rows:
    """Return what ``forget`` needs of posts that are about to be deleted; they are held.

    What later posts are compared with passes to copies that stay: else the next copy would begin
    a narrative of its own.
    """
    for post_id, copies in sorted(heirs.items()):
        if post_id not in post_ids:
            continue
        heir = min(copies)
        for statement in (
            update(Digest).where(Digest.post_id == post_id).values(post_id=heir),
            update(StoredPost).where(StoredPost.id.in_(copies)).values(variant_id=heir),
        ):
            session.execute(statement.execution_options(synchronize_session=False))
    return session.execute(
        select(*_COLUMNS).where(StoredPost.id.in_(post_ids), StoredPost.narrative_id.is_not(None))
    ).all()


def forget(session: Session, rows: Rows) -> tuple[int, int]:
    """Take posts that were deleted out of their narratives.

    Returns how many narratives went too, and how many alerts with them.
    """
    sums: dict[int, Sum] = {}
    for row in rows:
        sums.setdefault(row.narrative_id, Sum()).add(row, row.event_at)
    if not sums:
        return 0, 0
    gone = {row.id for row in rows}
    fewer = _take_from_parts(session, sums)
    query = select(Narrative).where(Narrative.id.in_(sums)).order_by(Narrative.id)
    empty = []
    for narrative in session.scalars(query.options(defer(Narrative.centre))).all():
        times = _times(session, narrative.id)
        if times is None:
            empty.append(narrative.id)
            continue
        narrative.first_seen_at, narrative.last_seen_at = times
        _lower(narrative, sums[narrative.id], fewer.get(narrative.id, 0))
        if narrative.title_post_id in gone:
            retitle(session, narrative)
    session.flush()
    merged = _merged_into(session, sums)
    session.execute(
        update(Narrative)
        .where(Narrative.id.in_(merged), Narrative.title_post_id.in_(gone))
        .values(title="", title_post_id=None, keywords=[])
        .execution_options(synchronize_session=False)
    )
    with_parts = [*empty, *_merged_into(session, empty)]
    alerts, _ = (
        _rows_of(session, delete(table).where(column.in_(with_parts)))
        for table, column in ((Alert, Alert.narrative_id), (Narrative, Narrative.id))
    )
    session.execute(update(NarrativeHead).values(version=NarrativeHead.version + 1))
    return len(empty), alerts


def _rows_of(session: Session, statement: Any) -> int:
    done: Any = session.execute(statement.execution_options(synchronize_session=False))
    return int(done.rowcount)


def retitle(session: Session, narrative: Narrative) -> None:
    """Name a narrative after its first post, until the watch chooses among all of them."""
    first = session.execute(
        select(StoredPost.id, StoredPost.text)
        .where(StoredPost.narrative_id == narrative.id)
        .order_by(StoredPost.event_at, StoredPost.id)
        .limit(1)
    ).first()
    narrative.title, narrative.title_post_id, narrative.keywords = "", None, []
    narrative.titled_posts = 0
    narrative.due = max(narrative.due, RETITLE)
    if first is not None:
        narrative.title, narrative.title_post_id = lead_of(first.text), first.id


def scaled(profile: Mapping[int, int], factor: float) -> dict[int, int]:
    """Return a narrative's words with their counts times a factor, at least 1."""
    return {word: max(1, round(count * factor)) for word, count in profile.items()}


def _lower(narrative: Narrative, taken: Sum, accounts: int) -> None:
    before = narrative.posts
    narrative.posts -= taken.posts
    narrative.accounts -= accounts
    narrative.reach -= taken.reach
    narrative.risk_sum = max(0.0, narrative.risk_sum - taken.risk)
    narrative.risk = aggregate_risk(narrative.risk_sum, narrative.posts)
    narrative.platforms = dict(Counter(narrative.platforms) - Counter(taken.platforms))
    narrative.labels = dict(Counter(narrative.labels) - Counter(taken.labels))
    # The centre stays: what is long past weighs nothing in it.
    words = unpack_profile(narrative.profile or b"")
    narrative.profile = pack_profile(scaled(words, narrative.posts / before))
    if narrative.stage != "quiet":
        narrative.due = MEASURE


def _times(session: Session, narrative_id: int) -> tuple[datetime, datetime] | None:
    """Return when a narrative's first post and its last were; None: it has none."""
    at = select(StoredPost.event_at).where(StoredPost.narrative_id == narrative_id).limit(1)
    first = session.scalar(at.order_by(StoredPost.event_at))
    last = session.scalar(at.order_by(StoredPost.event_at.desc()))
    return None if first is None or last is None else (first, last)


def _take_from_parts(session: Session, sums: Mapping[int, Sum]) -> dict[int, int]:
    """Lower accounts and buckets; return by narrative how many accounts it has no more."""
    accounts = [
        {"_narrative": n, "_key": account, "_posts": posts}
        for n in sorted(sums)
        for account, posts in sorted(sums[n].accounts.items())
    ]
    buckets = [
        {"_narrative": n, "_key": at, "_posts": b[0], "_risky": b[1], "_reach": b[2]}
        for n in sorted(sums)
        for at, b in sorted(sums[n].buckets.items())
    ]
    fewer: Counter[int] = Counter()
    for table, key, names, values in (
        (NarrativeAccount, "account", ("posts",), accounts),
        (NarrativeBucket, "at", ("posts", "risky", "reach"), buckets),
    ):
        if not values:
            continue
        columns = table.__table__.c
        session.connection().execute(
            update(table.__table__)  # type: ignore[arg-type]
            .where(
                columns.narrative_id == bindparam("_narrative"), columns[key] == bindparam("_key")
            )
            .values({name: columns[name] - bindparam(f"_{name}") for name in names}),
            values,
        )
        for part in parts([(v["_narrative"], v["_key"]) for v in values]):
            spent = tuple_(columns.narrative_id, columns[key]).in_(part) & (columns.posts <= 0)
            if table is NarrativeAccount:
                counted = select(columns.narrative_id, func.count()).where(spent)
                fewer.update(dict(session.execute(counted.group_by(columns.narrative_id)).all()))
            _rows_of(session, delete(table).where(spent))
    return fewer


def _merged_into(session: Session, narrative_ids: Iterable[int]) -> list[int]:
    """Return the narratives that were merged into these, and into those, and so on."""
    found: list[int] = []
    wanted = list(narrative_ids)
    while wanted:
        query = select(Narrative.id).where(Narrative.merged_into_id.in_(wanted))
        wanted = sorted(session.scalars(query))
        found += wanted
    return found
