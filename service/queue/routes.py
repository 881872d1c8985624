"""The queue: look, claim, decide, undo."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.accounts.access import Caller, Right
from service.errors import NotFound
from service.queue import many, repository
from service.queue import service as queue
from service.queue.likeness import alike
from service.queue.schemas import (
    HandOverIn,
    ItemOut,
    OutcomeOut,
    OutcomesOut,
    QueueOut,
    QueueQuery,
    VerdictIn,
    VerdictsIn,
    WhyIn,
    cursor,
    read_cursor,
)
from service.tables import Account, QueueItem
from service.web import Desk, TheCaller, TheDesk, storable

router = APIRouter(prefix="/v1")


@router.get("/queue", tags=["queue"], summary="The queue, the worst first")
def get_queue(caller: TheCaller, desk: TheDesk, query: Annotated[QueueQuery, Query()]) -> QueueOut:
    """Return a page of the queue."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        page = repository.page(
            session,
            query.filters(caller),
            viewer_id=caller.account.id,
            after=read_cursor(query.after) if query.after else None,
            limit=query.limit,
        )
        return QueueOut(
            items=[ItemOut.of(item, caller) for item in page.items], next=cursor(page.next)
        )


def _step(desk: Desk, caller: Caller, step: Any, *args: Any, **more: Any) -> ItemOut:
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        item = step(session, *args, **more)
        session.flush()
        (shown,) = repository.items_of(session, [item.id])
        return ItemOut.of(shown, caller)


@router.post("/queue/{item_id}/claim", tags=["queue"], summary="Take an item")
def claim(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Take an item for some minutes; nobody else can decide it meanwhile."""
    return _step(desk, caller, queue.claim, _number(item_id), caller.account, desk.rules)


@router.post("/queue/{item_id}/release", tags=["queue"], summary="Give an item back")
def release(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Give a claimed item back to the queue."""
    return _step(desk, caller, queue.release, _number(item_id), caller.account)


@router.post("/queue/{item_id}/hand-over", tags=["queue"], summary="Give an item to a colleague")
def hand_over(item_id: int, body: HandOverIn, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Give a claimed item to a colleague, with a lease of its own."""

    def step(session: Session) -> QueueItem:
        to = session.scalar(
            select(Account).where(Account.name == storable(body.to), Account.active)
        )
        if to is None:
            raise NotFound(f"there is no moderator “{body.to}”")
        return queue.hand_over(session, _number(item_id), caller.account, to, desk.rules)

    return _step(desk, caller, step)


@router.post("/queue/{item_id}/verdict", tags=["queue"], summary="Decide an item")
def decide(item_id: int, body: VerdictIn, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Give a verdict on an item that one holds."""
    return _step(
        desk,
        caller,
        queue.decide,
        _number(item_id),
        caller.account,
        body.verdict,
        note=storable(body.note),
        evidence=[storable(link) for link in body.evidence],
    )


@router.post("/queue/{item_id}/undo", tags=["queue"], summary="Take one's verdict back")
def undo(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Take one's own last verdict on an item back."""
    return _step(desk, caller, queue.undo, caller.account, _number(item_id))


@router.post("/queue/{item_id}/reopen", tags=["queue"], summary="Reopen a decided item")
def reopen(item_id: int, body: WhyIn, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Put a decided item back into the queue, with a reason."""
    caller.need(Right.REOPEN)
    return _step(desk, caller, queue.reopen, _number(item_id), caller.account, storable(body.why))


@router.post("/queue/{item_id}/golden", tags=["queue"], summary="Let an item check the desk")
def make_golden(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Make a decided item's verdict the known answer, and put the item before the others anew."""
    caller.need(Right.REOPEN)
    return _step(desk, caller, queue.make_golden, _number(item_id), caller.account, desk.rules)


@router.delete("/queue/{item_id}/golden", tags=["queue"], summary="End such a check")
def end_golden(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Take a golden item out of the queue; it is decided with its known answer."""
    caller.need(Right.REOPEN)
    return _step(desk, caller, queue.end_golden, _number(item_id), caller.account)


@router.post("/queue/verdicts", tags=["queue"], summary="Decide many items")
def decide_many(body: VerdictsIn, caller: TheCaller, desk: TheDesk) -> OutcomesOut:
    """Give one verdict on many items; what is free is claimed and decided, each for itself.

    With `like`, on every open item whose post says the same as that one's, or nearly, among
    the latest 60,000 of the queue; at most 500 of them a call.
    """
    caller.need(Right.MODERATE)
    items = body.items
    if body.like is not None:
        with desk.database.read() as session:
            items = alike(session, desk.likeness, body.like, viewer_id=caller.account.id)
    outcomes = many.decide_many(
        desk.database,
        items,
        caller.account,
        body.verdict,
        desk.rules,
        note=storable(body.note),
        evidence=[storable(link) for link in body.evidence],
    )
    return OutcomesOut(results=[OutcomeOut.of(outcome) for outcome in outcomes])


def _number(item_id: int) -> int:
    if not 0 < item_id < 2**63:
        raise NotFound(f"there is no item {item_id} in the queue")
    return item_id
