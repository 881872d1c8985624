"""Alerts, watch-lists and the outbox for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypedDict

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session

from service.accounts.access import Caller, Right
from service.alerts import lists, repository
from service.alerts.schemas import (
    AlertOut,
    AlertQuery,
    AlertsOut,
    CriteriaIn,
    HandledIn,
    ShadowOut,
    WatchListIn,
    WatchListOut,
    WatchListsOut,
    cursor,
    read_cursor,
)
from service.alerts.service import AlertRules, rules_of
from service.errors import NotFound
from service.tables import WatchList
from service.web import Desk, TheCaller, TheDesk

router = APIRouter(prefix="/v1")
Number = Annotated[int, Path(ge=1, lt=2**63)]


class Now(TypedDict):
    """The clock and the rules that a step on watch-lists goes by."""

    now: datetime
    rules: AlertRules


# --- alerts ------------------------------------------------------------------------------------


@router.get("/alerts", tags=["alerts"], summary="Alerts, the newest first")
def get_alerts(
    caller: TheCaller, desk: TheDesk, query: Annotated[AlertQuery, Query()]
) -> AlertsOut:
    """Return a page of the alerts: raised ones, and those that were held back."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        page = repository.page(
            session,
            query.filters(),
            after=read_cursor(query.after) if query.after else None,
            limit=query.limit,
        )
        sent = repository.deliveries_of(session, [alert.id for alert in page.alerts])
    return AlertsOut(
        alerts=[AlertOut.of(alert, sent[alert.id]) for alert in page.alerts],
        next=cursor(page.next),
    )


@router.get("/alerts/{alert_id}", tags=["alerts"], summary="One alert")
def get_alert(alert_id: Number, caller: TheCaller, desk: TheDesk) -> AlertOut:
    """Return an alert with all it says."""
    caller.need(Right.READ)
    return _alert(desk, alert_id)


@router.post("/alerts/{alert_id}/handled", tags=["alerts"], summary="Mark an alert as handled")
def mark_handled(alert_id: Number, body: HandledIn, caller: TheCaller, desk: TheDesk) -> AlertOut:
    """Write down that someone has seen to an alert, or take that back."""
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        lists.mark_handled(session, alert_id, caller.account, body.handled, now=datetime.now(UTC))
    return _alert(desk, alert_id)


def _alert(desk: Desk, alert_id: int) -> AlertOut:
    with desk.database.read() as session:
        alert = repository.find_alert(session, alert_id)
        if alert is None:
            raise NotFound(f"there is no alert {alert_id}")
        return AlertOut.of(alert, repository.deliveries_of(session, [alert_id])[alert_id])


# --- watch-lists -------------------------------------------------------------------------------


@router.get("/watch-lists", tags=["alerts"], summary="The watch-lists")
def get_watch_lists(caller: TheCaller, desk: TheDesk) -> WatchListsOut:
    """Return every watch-list with its last week."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        found = lists.overviews(session, **clock_of(desk))
    return WatchListsOut(watch_lists=[WatchListOut.of(one) for one in found])


@router.get("/watch-lists/{number}", tags=["alerts"], summary="One watch-list")
def get_watch_list(number: Number, caller: TheCaller, desk: TheDesk) -> WatchListOut:
    """Return a watch-list with its last week."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        return _shown(desk, session, lists.get(session, number))


@router.post("/watch-lists", tags=["alerts"], summary="Make a watch-list", status_code=201)
def create_watch_list(body: WatchListIn, caller: TheCaller, desk: TheDesk) -> WatchListOut:
    """Make a watch-list, active from now on."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        made = lists.create(session, body.given(), actor=caller.account.name, **clock_of(desk))
        return _shown(desk, session, made)


@router.put("/watch-lists/{number}", tags=["alerts"], summary="Change a watch-list")
def change_watch_list(
    number: Number, body: WatchListIn, caller: TheCaller, desk: TheDesk
) -> WatchListOut:
    """Give a watch-list other settings; its cut-off follows from a shadow run with them."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        held = lists.change(
            session, number, body.given(), actor=caller.account.name, **clock_of(desk)
        )
        return _shown(desk, session, held)


@router.post("/watch-lists/{number}/close", tags=["alerts"], summary="Close a watch-list")
def close_watch_list(number: Number, caller: TheCaller, desk: TheDesk) -> WatchListOut:
    """Let a watch-list raise nothing more; its alerts stay."""
    return _set_active(desk, caller, number, False)


@router.post("/watch-lists/{number}/open", tags=["alerts"], summary="Open a watch-list again")
def open_watch_list(number: Number, caller: TheCaller, desk: TheDesk) -> WatchListOut:
    """Let a closed watch-list raise alerts again."""
    return _set_active(desk, caller, number, True)


@router.post("/watch-lists/try", tags=["alerts"], summary="Try criteria on the last week")
def try_criteria(body: CriteriaIn, caller: TheCaller, desk: TheDesk) -> ShadowOut:
    """Return what the last week would have brought with these criteria; nothing is changed."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        criteria = lists.cleaned(lists.Given(name="-", criteria=body.criteria())).criteria
        run = lists.shadow_run(session, criteria, body.budget, **clock_of(desk))
    return ShadowOut.of(run)


def _set_active(desk: Desk, caller: Caller, number: int, active: bool) -> WatchListOut:
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        held = lists.set_active(
            session, number, active, actor=caller.account.name, **clock_of(desk)
        )
        return _shown(desk, session, held)


def _shown(desk: Desk, session: Session, held: WatchList) -> WatchListOut:
    return WatchListOut.of(lists.overview(session, held, **clock_of(desk)))


def clock_of(desk: Desk) -> Now:
    """Return the wall clock and the desk's rules."""
    return Now(now=datetime.now(UTC), rules=rules_of(desk.settings))
