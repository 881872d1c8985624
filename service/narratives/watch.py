"""Watching: narratives that changed are measured, staged, and alerts raised where they are due.

Grouping marks what is to be measured (``Narrative.due``) in the transaction that places the posts;
here the mark is taken off in the transaction that acts on it, alerts and all. So a kill between
the two delays an alert by a restart and loses none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from models.likeness import Space
from pipeline.spread import (
    Bucket,
    Moment,
    Reason,
    Season,
    Stage,
    Staged,
    heat,
    measure,
    next_look,
    stage_of,
    urgency,
)
from pipeline.titles import MOST_TEXTS, keywords_of, title_of
from service.alerts.service import AlertRules, Changed, raise_due
from service.narratives.counts import account_number
from service.narratives.grouping import MEASURE, RETITLE
from service.tables import Narrative, NarrativeBucket, NarrativeEvent, NarrativeHead, StoredPost

ROUND: Final = 100
"""Narratives of one transaction."""
LEAST: Final = timedelta(minutes=1)
"""A narrative is not looked at again sooner than this where nothing comes in."""
MOMENTS: Final = 200
"""Latest posts that are looked at one by one; what came before counts by the hour."""
HISTORY: Final = timedelta(days=14)
ACTOR: Final = "desk"


def work(
    session: Session, space: Space, *, now: datetime, rules: AlertRules, most: int = ROUND
) -> int:
    """Measure what is due at ``now`` and raise its alerts; return how many narratives that were."""
    found = _due(session, now, most)
    if not found:
        return 0
    head = session.scalars(select(NarrativeHead)).one()
    season = Season.from_list(head.season)
    changed = []
    for narrative in found:
        _retitle(session, narrative, space)
        if narrative.due == MEASURE or narrative.stage != Stage.QUIET.value:
            changed.append(_measured(session, narrative, season, now))
        narrative.due = 0
    raise_due(session, changed, now=now, rules=rules)
    return len(found)


def is_due(session: Session, now: datetime) -> bool:
    """Return whether any narrative is to be measured or named anew: a glance without a lock."""
    marked = select(Narrative.id).where(Narrative.due > 0).limit(1)
    return session.scalar(marked) is not None or session.scalar(_unseen(now).limit(1)) is not None


def _unseen(now: datetime) -> Select[Narrative]:
    """Return those whose stage may have changed by silence."""
    return select(Narrative).where(Narrative.look_at <= now)


def _due(session: Session, now: datetime, most: int) -> list[Narrative]:
    """Return narratives to measure, then those not looked at for a while, then new titles."""
    marked = select(Narrative).where(Narrative.due == MEASURE).order_by(Narrative.id)
    waiting = _unseen(now).order_by(Narrative.look_at)
    renamed = select(Narrative).where(Narrative.due == RETITLE).order_by(Narrative.id)
    found: dict[int, Narrative] = {}
    for query in (marked, waiting, renamed):
        left = most - len(found)
        if left > 0:
            rows = session.scalars(
                query.limit(left).with_for_update(skip_locked=True, key_share=True)
            )
            found.update((row.id, row) for row in rows)
    full = []
    for narrative in found.values():
        if narrative.posts and narrative.merged_into_id is None:
            full.append(narrative)
        else:  # or it would stand in the way of others for ever
            narrative.due, narrative.look_at = 0, None
    return full


def _measured(session: Session, narrative: Narrative, season: Season, now: datetime) -> Changed:
    before = _staged(narrative)
    moments, buckets = history_of(session, narrative, now)
    spread = measure(moments, buckets, now=now, season=season)
    staged = stage_of(before, spread, narrative.risk, now=now)
    if staged.stage.value != narrative.stage:
        session.add(
            NarrativeEvent(
                narrative_id=narrative.id,
                at=now,
                kind="stage",
                actor=ACTOR,
                details={
                    "from": narrative.stage,
                    "to": staged.stage.value,
                    "posts": narrative.posts,
                    "reasons": [asdict(reason) for reason in staged.reasons],
                },
            )
        )
    narrative.stage, narrative.stage_since = staged.stage.value, staged.since
    narrative.reasons = [asdict(reason) for reason in staged.reasons]
    narrative.spread = asdict(spread)
    narrative.heat = heat(spread, narrative.risk, staged.stage)
    narrative.measured_at = now
    look = next_look(spread, staged, now=now)
    narrative.look_at = None if look is None else max(look, now + LEAST)
    return Changed(
        narrative=narrative,
        spread=spread,
        staged=staged,
        urgency=urgency(narrative.risk, spread),
    )


def _staged(narrative: Narrative) -> Staged | None:
    if narrative.stage_since is None:
        return None
    return Staged(
        stage=Stage(narrative.stage),
        since=narrative.stage_since,
        reasons=tuple(Reason(**reason) for reason in narrative.reasons),
    )


def history_of(
    session: Session, narrative: Narrative, now: datetime
) -> tuple[list[Moment], list[Bucket]]:
    """Return a narrative's latest posts, oldest first, and the posts before them by the hour."""
    if narrative.posts == 1:  # most are; its row says all there is to say
        platform = next(iter(narrative.platforms))
        only = Moment(
            at=narrative.first_seen_at,
            account=0,
            platform=platform,
            text=narrative.last_post_id,
            reach=narrative.reach,
        )
        return [only], []
    rows = session.execute(
        select(
            StoredPost.event_at,
            StoredPost.account,
            StoredPost.platform,
            StoredPost.variant_id,
            StoredPost.reach,
        )
        .where(StoredPost.narrative_id == narrative.id, StoredPost.event_at > now - HISTORY)
        .order_by(StoredPost.event_at.desc())
        .limit(MOMENTS)
    ).all()
    moments = [
        Moment(
            at=row.event_at,
            account=account_number(row.platform, row.account),
            platform=row.platform,
            text=row.variant_id,
            reach=row.reach,
        )
        for row in reversed(rows)
    ]
    if len(moments) < MOMENTS:
        return moments, []
    oldest = int(moments[0].at.timestamp())
    hour = NarrativeBucket.at - NarrativeBucket.at % 3600
    older = session.execute(
        select(hour.label("hour"), func.sum(NarrativeBucket.posts), func.sum(NarrativeBucket.reach))
        .where(
            NarrativeBucket.narrative_id == narrative.id,
            NarrativeBucket.at < oldest,
            NarrativeBucket.at > int((now - HISTORY).timestamp()),
        )
        .group_by(hour)
        .order_by(hour)
    )
    return moments, [Bucket(at=_moment(at), posts=int(n), reach=int(r)) for at, n, r in older]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _retitle(session: Session, narrative: Narrative, space: Space) -> None:
    """Choose title and keywords anew where the narrative has twice the posts it was named for."""
    if narrative.posts < max(3, 2 * narrative.titled_posts):
        return
    texts = texts_of(session, narrative.id)
    title, index = title_of([text for _, text in texts], space)
    if title:
        narrative.title, narrative.title_post_id = title, texts[index][0]
    narrative.keywords = keywords_of([text for _, text in texts], space)
    narrative.titled_posts = narrative.posts


def texts_of(session: Session, narrative_id: int) -> Sequence[tuple[int, str]]:
    """Return wordings of a narrative, copies left out: half of them the first, half the latest."""
    every = (
        select(StoredPost.id, StoredPost.text)
        .where(StoredPost.narrative_id == narrative_id)
        .limit(MOST_TEXTS // 2)
    )
    own = every.where(StoredPost.variant_id == StoredPost.id)
    if session.execute(own.limit(1)).first() is None:  # all are copies of posts that were deleted
        own = every
    found = {row.id: row.text for row in session.execute(own.order_by(StoredPost.event_at))}
    if len(found) == MOST_TEXTS // 2:
        latest = session.execute(own.order_by(StoredPost.event_at.desc()))
        found.update((row.id, row.text) for row in latest)
    return list(found.items())
