"""Watch-lists: made, changed, closed and tried out; and alerts marked as handled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.pii import mask
from service.alerts import budget, repository
from service.alerts.budget import HISTORY, MOST_BUDGET, ShadowRun
from service.alerts.errors import BadWatchList, WatchListTaken
from service.alerts.places import aliases_of
from service.alerts.service import AlertRules, criteria_of, cut_off_of
from service.alerts.watchlists import LANGUAGES, Criteria, fits
from service.audit import trail as audit
from service.errors import NotFound
from service.pages.words import WIB
from service.posts.intake import platform_of
from service.stats.service import Precision
from service.tables import Account, Alert, Channel, WatchList

BUDGET: Final = 40
"""Alerts a day that a new watch-list may have."""
FLAGS: Final = ("hoax", "disinformation", "malinformation")
MOST_TERMS: Final = 100
MOST_CHARS: Final = 100
_WORDS: Final = ("terms", "regions", "languages", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A watch-list as someone asks for it."""

    name: str
    criteria: Criteria = field(default_factory=Criteria)
    budget: int = BUDGET
    channels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A watch-list and how it has been of late."""

    watch_list: WatchList
    cut_off: float
    raised: int
    """In the last week; so is ``held``."""
    held: int
    precision: Precision | None


def cleaned(given: Given) -> Given:
    """Return what was asked for without blanks and repetitions.

    Raises:
        BadWatchList: it will not do; the message says why.
    """
    criteria = given.criteria
    name = " ".join(given.name.split())
    tidy = Criteria(
        **{f: _tidy(getattr(criteria, f)) for f in _WORDS},
        platforms=_tidy(tuple(map(platform_of, criteria.platforms))),
        minimum_risk=criteria.minimum_risk,
    )
    if not 1 <= len(name) <= 80:
        raise BadWatchList("a watch-list's name has 1 to 80 letters", "name")
    if not 1 <= given.budget <= MOST_BUDGET:
        raise BadWatchList(f"a budget is 1 to {MOST_BUDGET} alerts a day", "budget")
    if not 0 <= tidy.minimum_risk <= 1:
        raise BadWatchList("the risk is 0 to 1", "risk")
    for words in (tidy.terms, tidy.regions, tidy.platforms):
        if len(words) > MOST_TERMS or any(len(word) > MOST_CHARS for word in words):
            raise BadWatchList(
                f"at most {MOST_TERMS} terms of {MOST_CHARS} characters each", "many"
            )
    for word in (*tidy.terms, *aliases_of(tidy.regions)):
        if not fits(word):
            raise BadWatchList(
                f"“{word}” cannot be looked for: links, numbers and account names are not read",
                "unread",
            )
    unknown = {*tidy.languages} - {*LANGUAGES} | {*tidy.labels} - {*FLAGS}
    if unknown:
        raise BadWatchList(f"there is no language or label “{min(unknown)}”", "unknown")
    return Given(
        name=name,
        criteria=tidy,
        budget=given.budget,
        channels=tuple(dict.fromkeys(given.channels)),
    )


def _tidy(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(v for value in values if (v := " ".join(value.split()))))


def get(session: Session, number: int) -> WatchList:
    """Return a watch-list.

    Raises:
        NotFound: there is none of this number.
    """
    found = session.get(WatchList, number)
    if found is None:
        raise NotFound(f"there is no watch-list {number}")
    return found


def create(
    session: Session, given: Given, *, actor: str, now: datetime, rules: AlertRules
) -> WatchList:
    """Make a watch-list, active from now on.

    Raises:
        BadWatchList, WatchListTaken: it will not do; the message says why.
    """
    given = cleaned(given)
    _check(session, given, None)
    made = WatchList(name=given.name, budget=given.budget, channels=list(given.channels))
    session.add(made)
    _take_over(session, made, given, now, rules)
    session.flush()
    _record(session, "watch_list.create", made, actor, **_said(made))
    return made


def change(
    session: Session, number: int, given: Given, *, actor: str, now: datetime, rules: AlertRules
) -> WatchList:
    """Give a watch-list other settings; its cut-off follows from a shadow run with them.

    Raises:
        NotFound: there is none of this number.
        BadWatchList, WatchListTaken: the settings will not do; the message says why.
    """
    given = cleaned(given)
    held = _locked(session, number)
    _check(session, given, number)
    before = _said(held)
    decides = (criteria_of(held), held.budget) != (given.criteria, given.budget)
    held.name, held.budget, held.channels = given.name, given.budget, list(given.channels)
    if decides:
        _take_over(session, held, given, now, rules)
    after = _said(held)
    changed = {name: value for name, value in after.items() if value != before[name]}
    if changed:
        _record(session, "watch_list.change", held, actor, **changed)
    return held


def set_active(
    session: Session, number: int, active: bool, *, actor: str, now: datetime, rules: AlertRules
) -> WatchList:
    """Close a watch-list, or open it again; its alerts stay.

    Raises:
        NotFound: there is none of this number.
    """
    held = _locked(session, number)
    if held.active != active:
        held.active = active
        if active:  # what came while it was closed is not in its history
            _take_over(session, held, given_of(held), now, rules)
        _record(session, "watch_list.open" if active else "watch_list.close", held, actor)
    return held


def given_of(watch_list: WatchList) -> Given:
    """Return a watch-list's settings."""
    return Given(
        name=watch_list.name,
        criteria=criteria_of(watch_list),
        budget=watch_list.budget,
        channels=tuple(watch_list.channels),
    )


def shadow_run(
    session: Session, criteria: Criteria, most: int, *, now: datetime, rules: AlertRules
) -> ShadowRun:
    """Return what the last week would have brought with these criteria and ``most`` a day."""
    return budget.shadow(
        repository.matching_candidates(session, criteria, now),
        budget=most,
        now=now,
        since=repository.history_since(session, now),
        default=rules.cut_off,
        floor=rules.floor,
        zone=WIB,
    )


def overview(session: Session, held: WatchList, *, now: datetime, rules: AlertRules) -> Overview:
    """Return a watch-list and how it has been in the last week."""
    return Overview(
        watch_list=held,
        cut_off=cut_off_of(session, held, now=now, rules=rules),
        raised=repository.raised_since(session, held.id, now - HISTORY, now),
        held=repository.held_since(session, held.id, now - HISTORY),
        precision=budget.precision(repository.judged_alerts(session, held.id, now)),
    )


def overviews(session: Session, *, now: datetime, rules: AlertRules) -> list[Overview]:
    """Return every watch-list and how it has been, active ones first."""
    return [
        overview(session, held, now=now, rules=rules) for held in repository.watch_lists(session)
    ]


def mark_handled(
    session: Session, alert_id: int, account: Account, handled: bool, *, now: datetime
) -> Alert:
    """Write down that someone has seen to an alert, or take that back; the first one stays.

    Raises:
        NotFound: there is no such alert.
    """
    alert = session.scalars(
        select(Alert).where(Alert.id == alert_id).with_for_update(of=Alert)
    ).first()
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}")
    if (alert.handled_at is not None) != handled:
        alert.handled_at = now if handled else None
        alert.handled_by_id = account.id if handled else None
        audit.record(
            session,
            actor=account.name,
            action="alert.handle" if handled else "alert.unhandle",
            subject=f"alert:{alert_id}",
        )
    return alert


# --- within ------------------------------------------------------------------------------------


def _locked(session: Session, number: int) -> WatchList:
    found = session.scalars(
        select(WatchList)
        .where(WatchList.id == number)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).first()
    if found is None:
        raise NotFound(f"there is no watch-list {number}")
    return found


def _check(session: Session, given: Given, number: int | None) -> None:
    same = session.scalar(select(WatchList.id).where(WatchList.name == given.name))
    if same is not None and same != number:
        raise WatchListTaken(f"there is a watch-list “{given.name}” already")
    known = set(session.scalars(select(Channel.id).where(Channel.id.in_(given.channels))))
    if known != set(given.channels):
        raise BadWatchList("one of the channels does not exist", "channel")


def _take_over(
    session: Session, held: WatchList, given: Given, now: datetime, rules: AlertRules
) -> None:
    """Give a watch-list criteria and budget, and the cut-off that follows from them."""
    criteria = given.criteria
    for name in ("terms", "regions", "languages", "labels", "platforms"):
        setattr(held, name, list(getattr(criteria, name)))
    held.minimum_risk, held.budget = criteria.minimum_risk, given.budget
    with session.no_autoflush:
        run = shadow_run(session, criteria, given.budget, now=now, rules=rules)
    held.cut_off = run.cut_off if run.enough else None
    held.changed_at = now


def _said(held: WatchList) -> dict[str, Any]:
    """Return settings for the audit trail, which is kept for ever: without people's numbers."""
    fields = asdict(given_of(held))
    criteria = {
        k: [mask(w) for w in v] if isinstance(v, tuple) else v
        for k, v in fields.pop("criteria").items()
    }
    return fields | criteria | {"name": mask(held.name), "channels": list(held.channels)}


def _record(session: Session, action: str, held: WatchList, actor: str, **details: Any) -> None:
    audit.record(session, actor=actor, action=action, subject=f"watch-list:{held.id}", **details)
