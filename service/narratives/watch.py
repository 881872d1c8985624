"""Watching: narratives that changed are measured, staged, and alerts raised where they are due.

Grouping marks what is to be measured (``Narrative.due``) in the transaction that places the posts;
here the mark is taken off in the transaction that acts on it, alerts and all. So a kill between
the two delays an alert by a restart and loses none. A round reads and writes its narratives
together, past the unit of work, which would take as long again as all the measuring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, insert, literal_column, select, update
from sqlalchemy.orm import Session

from models.likeness import Space
from pipeline.spread import (
    Bucket,
    Forecast,
    Moment,
    Season,
    Spread,
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
from service.bulk import among
from service.narratives.counts import account_number
from service.narratives.grouping import MEASURE, RETITLE
from service.tables import Narrative, NarrativeBucket, NarrativeEvent, NarrativeHead, StoredPost

ROUND: Final = 100
"""Narratives of one transaction."""
LEAST: Final = timedelta(minutes=1)
"""A narrative is not looked at again sooner than this where nothing comes in."""
FEW: Final = 100
"""Narratives of so many posts or fewer are read whole for a new title, all in one query."""
MOMENTS: Final = 200
"""Latest posts that are looked at one by one; what came before counts by the hour."""
HISTORY: Final = timedelta(days=14)
ACTOR: Final = "desk"
OUT: Final = timedelta(hours=24)
"""One that comes back after it has been out (*padam*) for so long is told of anew: two days or
more without a post lie between, and what is told now is news to whoever read the first alert."""
_HALF: Final = MOST_TEXTS // 2
_NARRATIVE: Final = Narrative.__table__.c
_POST: Final = StoredPost.__table__.c
_SEEN: Final = (
    _NARRATIVE.id,
    _NARRATIVE.due,
    _NARRATIVE.merged_into_id,
    _NARRATIVE.posts,
    _NARRATIVE.titled_posts,
    _NARRATIVE.risk,
    _NARRATIVE.reach,
    _NARRATIVE.platforms,
    _NARRATIVE.first_seen_at,
    _NARRATIVE.last_seen_at,
    _NARRATIVE.last_post_id,
    _NARRATIVE.stage,
    _NARRATIVE.stage_since,
    _NARRATIVE.woke_at,
    _NARRATIVE.verdict,
)
"""Of a narrative what is asked of it here: not its vectors and words, most of its row."""
_MARKED: Final = _NARRATIVE.due > literal_column("0")
"""Said as the index says it, or SQLite would read every narrative to find the marked."""
Seen = Any
"""A row of these columns."""
Change = dict[str, Any]


def work(
    session: Session, space: Space, *, now: datetime, rules: AlertRules, most: int = ROUND
) -> int:
    """Measure what is due at ``now`` and raise its alerts; return how many narratives that were."""
    found = _due(session, now, most)
    if not found:
        return 0
    changes: dict[int, Change] = {seen.id: {"due": 0} for seen in found}
    for seen, named in _titles(session, found, space):
        changes[seen.id] |= named
    watched = [s for s in found if s.due == MEASURE or s.stage != Stage.QUIET.value]
    season = Season.from_list(session.scalars(select(NarrativeHead.season)).one())
    histories = histories_of(session, watched, now)
    changed, events = [], []
    for seen in watched:
        moments, buckets = histories[seen.id]
        spread = measure(moments, buckets, now=now, season=season)
        staged = stage_of(_staged(seen), spread, seen.risk, now=now)
        changes[seen.id] |= _measurement(seen, spread, staged, now)
        woke_at = now if _wakes(seen, staged, now) else seen.woke_at
        changes[seen.id]["woke_at"] = woke_at
        if staged.stage.value != seen.stage:
            events.append(_event(seen, staged, now))
        changed.append(
            Changed(
                narrative_id=seen.id,
                last_seen_at=seen.last_seen_at,
                verdict=seen.verdict,
                woke_at=woke_at,
                risk=seen.risk,
                spread=spread,
                staged=staged,
                urgency=urgency(seen.risk, spread),
            )
        )
    _write(session, changes)
    if events:
        session.connection().execute(insert(NarrativeEvent.__table__), events)  # type: ignore[arg-type]
    raise_due(session, changed, now=now, rules=rules)
    return len(found)


def is_due(session: Session, now: datetime) -> bool:
    """Return whether any narrative is to be measured or named anew: a glance without a lock."""
    return any(
        session.scalar(select(_NARRATIVE.id).where(waits).limit(1)) is not None
        for waits in (_MARKED, _NARRATIVE.look_at <= now)
    )


def _due(session: Session, now: datetime, most: int) -> list[Seen]:
    """Return narratives to measure, then those not looked at for a while, then new titles."""
    every = select(*_SEEN)
    marked = every.where(_MARKED, _NARRATIVE.due == MEASURE).order_by(_NARRATIVE.id)
    waiting = every.where(_NARRATIVE.look_at <= now).order_by(_NARRATIVE.look_at)
    renamed = every.where(_MARKED, _NARRATIVE.due == RETITLE).order_by(_NARRATIVE.id)
    found: dict[int, Seen] = {}
    for query in (marked, waiting, renamed):
        left = most - len(found)
        if left > 0:
            held = query.limit(left).with_for_update(skip_locked=True, key_share=True)
            for row in session.connection().execute(held).all():
                found[row.id] = row
    full = {n: row for n, row in found.items() if row.posts and row.merged_into_id is None}
    # The others would stand in the way for ever.
    _write(session, {n: {"due": 0, "look_at": None} for n in found if n not in full})
    return list(full.values())


def _write(session: Session, changes: Mapping[int, Change]) -> None:
    """Change columns of narratives, those with the same columns together."""
    alike: dict[tuple[str, ...], list[Change]] = {}
    for number, change in changes.items():
        alike.setdefault(tuple(change), []).append({"_id": number, **change})
    for names, rows in alike.items():
        session.connection().execute(
            update(Narrative.__table__)  # type: ignore[arg-type]
            .where(_NARRATIVE.id == bindparam("_id"))
            .values({name: bindparam(name) for name in names}),
            rows,
        )


# --- the measurement -----------------------------------------------------------------------------


def _measurement(seen: Seen, spread: Spread, staged: Staged, now: datetime) -> Change:
    look = next_look(spread, staged, now=now)
    return {
        "stage": staged.stage.value,
        "stage_since": staged.since,
        "reasons": _reasons(staged),
        "spread": _plain(spread),
        "heat": heat(spread, seen.risk, staged.stage),
        "measured_at": now,
        "look_at": None if look is None else max(look, now + LEAST),
    }


def _wakes(seen: Seen, staged: Staged, now: datetime) -> bool:
    """Return whether it comes back after it has been out for long."""
    out = seen.stage == Stage.PADAM.value and now - seen.stage_since >= OUT
    return out and staged.stage in (Stage.LILIN, Stage.OBOR, Stage.API)


def _event(seen: Seen, staged: Staged, now: datetime) -> Change:
    return {
        "narrative_id": seen.id,
        "at": now,
        "kind": "stage",
        "actor": ACTOR,
        "details": {
            "from": seen.stage,
            "to": staged.stage.value,
            "posts": seen.posts,
            "reasons": _reasons(staged),
        },
    }


def _reasons(staged: Staged) -> list[dict[str, Any]]:
    return [{"code": reason.code, "numbers": reason.numbers} for reason in staged.reasons]


def _plain(spread: Spread) -> dict[str, Any]:
    """Return ``asdict(spread)`` without its copies of every number."""
    plain = {name: getattr(spread, name) for name in _SPREAD}
    plain["forecast"] = {name: getattr(spread.forecast, name) for name in _FORECAST}
    plain["signs"] = [asdict(sign) for sign in spread.signs]
    return plain


_SPREAD: Final = tuple(field.name for field in fields(Spread))
_FORECAST: Final = tuple(field.name for field in fields(Forecast))


def _staged(seen: Seen) -> Staged | None:
    """Return the stage that it was in; nobody asks for the reasons of then."""
    if seen.stage_since is None:
        return None
    return Staged(stage=Stage(seen.stage), since=seen.stage_since, reasons=())


def histories_of(
    session: Session, narratives: Sequence[Seen], now: datetime
) -> dict[int, tuple[list[Moment], list[Bucket]]]:
    """Return narratives' latest posts, oldest first, and the posts before them by the hour."""
    found: dict[int, tuple[list[Moment], list[Bucket]]] = {}
    few = []
    for seen in narratives:
        if seen.posts == 1:  # most are; its row says all there is to say
            found[seen.id] = [_only(seen)], []
        elif seen.posts < MOMENTS:
            found[seen.id] = [], []
            few.append(seen.id)
        else:
            found[seen.id] = _latest(session, seen.id, now)
    if few:
        wanted = _moments(now).where(_POST.narrative_id.in_(few))
        rows = session.connection().execute(wanted.order_by(_POST.narrative_id, _POST.event_at))
        for row in rows.all():
            found[row.narrative_id][0].append(_moment(row))
    return found


def _moments(now: datetime) -> Select[Any]:
    return select(
        _POST.narrative_id,
        _POST.event_at,
        _POST.account,
        _POST.platform,
        _POST.variant_id,
        _POST.reach,
    ).where(_POST.event_at > now - HISTORY)


def _moment(row: Any) -> Moment:
    return Moment(
        at=row.event_at,
        account=account_number(row.platform, row.account),
        platform=row.platform,
        text=row.variant_id,
        reach=row.reach,
    )


def _only(seen: Seen) -> Moment:
    return Moment(
        at=seen.first_seen_at,
        account=0,
        platform=next(iter(seen.platforms)),
        text=seen.last_post_id,
        reach=seen.reach,
    )


def _latest(session: Session, number: int, now: datetime) -> tuple[list[Moment], list[Bucket]]:
    wanted = _moments(now).where(_POST.narrative_id == number)
    rows = session.execute(wanted.order_by(_POST.event_at.desc()).limit(MOMENTS)).all()
    moments = [_moment(row) for row in reversed(rows)]
    if len(moments) < MOMENTS:
        return moments, []
    oldest = int(moments[0].at.timestamp())
    hour = NarrativeBucket.at - NarrativeBucket.at % 3600
    older = session.execute(
        select(hour.label("hour"), func.sum(NarrativeBucket.posts), func.sum(NarrativeBucket.reach))
        .where(
            NarrativeBucket.narrative_id == number,
            NarrativeBucket.at < oldest,
            NarrativeBucket.at > int((now - HISTORY).timestamp()),
        )
        .group_by(hour)
        .order_by(hour)
    )
    return moments, [
        Bucket(at=datetime.fromtimestamp(at, UTC), posts=int(n), reach=int(r)) for at, n, r in older
    ]


# --- titles --------------------------------------------------------------------------------------


def _titles(
    session: Session, narratives: Sequence[Seen], space: Space
) -> Iterator[tuple[Seen, Change]]:
    """Yield title and keywords of those that have twice the posts that they were named for."""
    grown = [s for s in narratives if s.posts >= max(3, 2 * s.titled_posts)]
    texts = _texts_of_few(session, [s.id for s in grown if s.posts <= FEW])
    for seen in grown:
        own = texts.get(seen.id) or texts_of(session, seen.id)
        title, index = title_of([text for _, text in own], space)
        named: Change = {"title": title, "title_post_id": own[index][0]} if title else {}
        named["keywords"] = keywords_of([text for _, text in own], space)
        yield seen, named | {"titled_posts": seen.posts}


def _texts_of_few(session: Session, numbers: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
    """Return what ``texts_of`` does, for narratives that have so few posts that all are read."""
    found: dict[int, list[tuple[int, str]]] = {}
    if numbers:
        wanted = (
            select(_POST.narrative_id, _POST.id, _POST.text)
            .where(among(session, _POST.narrative_id, numbers), _POST.variant_id == _POST.id)
            .order_by(_POST.narrative_id, _POST.event_at)
        )
        for row in session.connection().execute(wanted).all():
            found.setdefault(row.narrative_id, []).append((row.id, row.text))
    return {
        number: own if len(own) <= MOST_TEXTS else own[:_HALF] + own[: -_HALF - 1 : -1]
        for number, own in found.items()
    }


def texts_of(session: Session, narrative_id: int) -> Sequence[tuple[int, str]]:
    """Return wordings of a narrative, copies left out: half of them the first, half the latest."""
    every = (
        select(StoredPost.id, StoredPost.text)
        .where(StoredPost.narrative_id == narrative_id)
        .limit(_HALF)
    )
    own = every.where(StoredPost.variant_id == StoredPost.id)
    if session.execute(own.limit(1)).first() is None:  # all are copies of posts that were deleted
        own = every
    found = {row.id: row.text for row in session.execute(own.order_by(StoredPost.event_at))}
    if len(found) == _HALF:
        latest = session.execute(own.order_by(StoredPost.event_at.desc()))
        found.update((row.id, row.text) for row in latest)
    return list(found.items())
