"""What is read of watch-lists, alerts and candidates."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, delete, func, select, tuple_
from sqlalchemy.orm import Session, defer, joinedload

from service.alerts.budget import Candidate
from service.alerts.content import title_of
from service.alerts.watchlists import TEXTS, Criteria, Texts
from service.tables import (
    Alert,
    AlertCandidate,
    Channel,
    Delivery,
    Narrative,
    QueueItem,
    StoredPost,
    Verdict,
    WatchList,
)

LOOKED_BACK: Final = timedelta(days=30)
"""Verdicts come days after the alerts: a precision is of the last month's."""
MOST_CANDIDATES: Final = 600
"""Newest candidates that a shadow run looks at: with words to look for, some second of one core."""
SHADOW_TEXTS: Final = 12
_NO_VECTORS: Final = (defer(Narrative.centre), defer(Narrative.profile))
_SHOWN: Final = (
    joinedload(Alert.watch_list),
    joinedload(Alert.narrative).options(*_NO_VECTORS),
    joinedload(Alert.handled_by),
)
Cursor = tuple[datetime, int]
"""Time and number of the last alert of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilters:
    """What to see of the alerts; None: everything."""

    state: str | None = None
    kind: str | None = None
    watch_list_id: int | None = None
    handled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPage:
    """Alerts, the newest first, and the cursor of the next page; None: there is none."""

    alerts: list[Alert]
    next: Cursor | None


# --- raising -----------------------------------------------------------------------------------


def narratives_of(session: Session, numbers: Collection[int]) -> dict[int, Narrative]:
    """Return narratives by number, as the database has them now; their vectors are not read."""
    found = session.scalars(
        select(Narrative)
        .where(Narrative.id.in_(numbers))
        .options(*_NO_VECTORS)
        .execution_options(populate_existing=True)
    )
    return {narrative.id: narrative for narrative in found}


def alerts_of(
    session: Session, narrative_ids: Collection[int]
) -> dict[tuple[int, int, str], Alert]:
    """Return the latest alerts of narratives by watch-list, narrative and kind.

    What they say is not read.
    """
    wanted = select(Alert).where(Alert.narrative_id.in_(narrative_ids)).order_by(Alert.wave)
    found = session.scalars(wanted.options(defer(Alert.payload)))
    return {(a.watch_list_id, a.narrative_id, a.kind): a for a in found}


def candidates_of(
    session: Session, narrative_ids: Collection[int]
) -> dict[tuple[int, str], AlertCandidate]:
    """Return the candidates of narratives by narrative and kind."""
    wanted = select(AlertCandidate).where(AlertCandidate.narrative_id.in_(narrative_ids))
    return {(row.narrative_id, row.kind): row for row in session.scalars(wanted)}


def newest_texts(session: Session, narrative_id: int, most: int = TEXTS) -> Sequence[str]:
    """Return the newest texts of a narrative."""
    return session.scalars(
        select(StoredPost.text)
        .where(StoredPost.narrative_id == narrative_id)
        .order_by(StoredPost.event_at.desc(), StoredPost.id.desc())
        .limit(most)
    ).all()


def told(session: Session, most: int = 20) -> list[datetime]:
    """Return when the latest alerts were raised, the latest first."""
    query = select(Alert.at).where(Alert.state == "raised").order_by(Alert.at.desc()).limit(most)
    return list(session.scalars(query))


def raised_since(session: Session, watch_list_id: int, since: datetime, now: datetime) -> int:
    """Return how many alerts a watch-list had after ``since``, until ``now``."""
    return _count(
        session,
        Alert.watch_list_id == watch_list_id,
        Alert.state == "raised",
        Alert.at > since,
        Alert.at <= now,
    )


def held_since(session: Session, watch_list_id: int, since: datetime) -> int:
    """Return how many alerts of a watch-list are held back that were due after ``since``."""
    return _count(
        session, Alert.watch_list_id == watch_list_id, Alert.state == "held", Alert.at > since
    )


def _count(session: Session, *conditions: Any) -> int:
    return session.scalar(select(func.count()).select_from(Alert).where(*conditions)) or 0


def history_since(session: Session, now: datetime) -> datetime | None:
    """Return when candidates began to be kept; None: not before ``now``."""
    return session.scalar(select(func.min(AlertCandidate.at)).where(AlertCandidate.at <= now))


def urgencies(
    session: Session, watch_list_id: int, since: datetime, now: datetime
) -> Sequence[float]:
    """Return how urgent what was due for a watch-list was, raised or held."""
    return session.scalars(
        select(Alert.urgency).where(
            Alert.watch_list_id == watch_list_id, Alert.due_at > since, Alert.due_at <= now
        )
    ).all()


def open_channels(session: Session, numbers: Collection[int]) -> Sequence[Channel]:
    """Return those of the channels that are active."""
    if not numbers:
        return []
    wanted = select(Channel).where(Channel.id.in_(numbers), Channel.active).order_by(Channel.id)
    return session.scalars(wanted).all()


# --- looking back ------------------------------------------------------------------------------


def matching_candidates(session: Session, criteria: Criteria, now: datetime) -> list[Candidate]:
    """Return the candidates of the last month that the criteria let pass, with their verdicts.

    Judged by what the narratives hold today: a narrative may have grown since it was due.
    """
    rows = session.execute(
        select(AlertCandidate, Narrative)
        .join(Narrative, Narrative.id == AlertCandidate.narrative_id)
        .where(AlertCandidate.at > now - LOOKED_BACK, AlertCandidate.at <= now)
        .order_by(AlertCandidate.at.desc(), AlertCandidate.id.desc())
        .limit(MOST_CANDIDATES)
        .options(*_NO_VECTORS)
    ).all()
    fitting: dict[int, bool] = {}
    for _, narrative in rows:
        if narrative.id not in fitting:
            fitting[narrative.id] = criteria.admits(
                risk=narrative.risk, platforms=narrative.platforms, labels=narrative.labels
            ) and (
                not criteria.reads
                or criteria.reads_in(Texts(newest_texts(session, narrative.id, SHADOW_TEXTS)))
            )
    kept = verdicts_of(session, [number for number, fits in fitting.items() if fits])
    return [
        Candidate(
            narrative_id=narrative.id,
            kind=row.kind,
            at=row.at,
            urgency=row.urgency,
            title=title_of(narrative),
            kept=kept.get(narrative.id),
        )
        for row, narrative in rows
        if fitting[narrative.id]
    ]


def verdicts_of(session: Session, narrative_ids: Collection[int]) -> dict[int, bool]:
    """Return by narrative whether people found it worth it: its own verdict, else its posts'.

    Of its posts more than half must have been kept; "needs more" says nothing, and golden items
    check the desk itself.
    """
    kept: dict[int, bool] = {}
    for some in _in_parts(narrative_ids):
        counts: dict[int, list[int]] = {}
        decided = (
            select(StoredPost.narrative_id, QueueItem.verdict, func.count())
            .join(QueueItem, QueueItem.post_id == StoredPost.id)
            .where(
                StoredPost.narrative_id.in_(some),
                QueueItem.verdict.is_not(None),
                QueueItem.verdict != Verdict.NEEDS_MORE,
                QueueItem.golden.is_(None),
            )
            .group_by(StoredPost.narrative_id, QueueItem.verdict)
        )
        for number, verdict, count in session.execute(decided):
            counts.setdefault(int(number or 0), [0, 0])[verdict != Verdict.VALID] += count
        kept |= {number: good > bad for number, (bad, good) in counts.items() if good != bad}
        own = select(Narrative.id, Narrative.verdict).where(
            Narrative.id.in_(some),
            Narrative.verdict.is_not(None),
            Narrative.verdict != Verdict.NEEDS_MORE,
        )
        kept |= {number: verdict != Verdict.VALID for number, verdict in session.execute(own)}
    return kept


def _in_parts(numbers: Collection[int], size: int = 500) -> Iterator[list[int]]:
    ordered = sorted(numbers)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def judged_alerts(session: Session, watch_list_id: int, now: datetime) -> list[Candidate]:
    """Return the alerts that a watch-list had in the last month, with their verdicts."""
    rows = session.execute(
        select(Alert.narrative_id, Alert.kind, Alert.at, Alert.urgency).where(
            Alert.watch_list_id == watch_list_id,
            Alert.state == "raised",
            Alert.at > now - LOOKED_BACK,
        )
    ).all()
    kept = verdicts_of(session, {row.narrative_id for row in rows})
    return [
        Candidate(
            narrative_id=row.narrative_id,
            kind=row.kind,
            at=row.at,
            urgency=row.urgency,
            kept=kept.get(row.narrative_id),
        )
        for row in rows
    ]


# --- pages -------------------------------------------------------------------------------------


def page(
    session: Session, filters: AlertFilters, *, after: Cursor | None = None, limit: int = 50
) -> AlertPage:
    """Return alerts, the newest first, from ``after`` on."""
    query = select(Alert).options(*_SHOWN)
    pairs: tuple[tuple[Any, Any], ...] = (
        (Alert.state, filters.state),
        (Alert.kind, filters.kind),
        (Alert.watch_list_id, filters.watch_list_id),
    )
    query = query.where(*(column == value for column, value in pairs if value is not None))
    if filters.handled is not None:
        marked = Alert.handled_at.is_not(None)
        query = query.where(marked if filters.handled else ~marked)
    if after is not None:
        query = query.where(tuple_(Alert.at, Alert.id) < tuple_(*after))
    found = list(session.scalars(query.order_by(Alert.at.desc(), Alert.id.desc()).limit(limit + 1)))
    shown = found[:limit]
    more = len(found) > limit
    return AlertPage(alerts=shown, next=(shown[-1].at, shown[-1].id) if more else None)


def deliveries_of(session: Session, alert_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Return by alert how many of its deliveries are in which state."""
    found: dict[int, dict[str, int]] = {number: {} for number in alert_ids}
    if not alert_ids:
        return found
    counted = (
        select(Delivery.alert_id, Delivery.state, func.count())
        .where(Delivery.alert_id.in_(alert_ids))
        .group_by(Delivery.alert_id, Delivery.state)
    )
    for number, state, count in session.execute(counted):
        if number is not None:
            found[number][state] = count
    return found


def find_alert(session: Session, alert_id: int) -> Alert | None:
    """Return an alert with all that is shown of it."""
    return session.scalars(select(Alert).where(Alert.id == alert_id).options(*_SHOWN)).first()


def watch_lists(session: Session) -> Sequence[WatchList]:
    """Return the watch-lists: active ones first, by name."""
    return session.scalars(
        select(WatchList).order_by(WatchList.active.desc(), WatchList.name)
    ).all()


def riskiest(session: Session, narrative_id: int) -> StoredPost | None:
    """Return the riskiest of a narrative's newest posts."""
    newest = (
        select(StoredPost)
        .where(StoredPost.narrative_id == narrative_id)
        .order_by(StoredPost.event_at.desc(), StoredPost.id.desc())
        .limit(TEXTS)
        .options(defer(StoredPost.embedding))
    )
    return max(session.scalars(newest), key=lambda post: (post.risk, post.id), default=None)


# --- retention ---------------------------------------------------------------------------------


def alerts_before(before: datetime) -> Select[int]:
    """Return the query of the alerts from before then, raised or held."""
    return select(Alert.id).where(Alert.at < before)


def forget_alerts(session: Session, *, before: datetime) -> int:
    """Delete alerts and candidates from before then; return how many alerts it was."""
    old = delete(AlertCandidate).where(AlertCandidate.at < before)
    session.execute(old.execution_options(synchronize_session=False))
    done: Any = session.execute(
        delete(Alert).where(Alert.at < before).execution_options(synchronize_session=False)
    )
    return int(done.rowcount)
