"""The queue: look, claim, decide, undo."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from service.accounts import access
from service.accounts.access import Caller, Right
from service.errors import NotFound
from service.queue import service as queue
from service.queue.schemas import (
    HandOverIn,
    ItemOut,
    QueueOut,
    QueueQuery,
    VerdictIn,
    WhyIn,
    cursor,
    read_cursor,
)
from service.tables import Account, QueueItem, Review
from service.web import Desk, TheCaller, TheDesk, storable

router = APIRouter(prefix="/v1")


@router.get("/queue", tags=["queue"], summary="The queue, the worst first")
def get_queue(caller: TheCaller, desk: TheDesk, query: Annotated[QueueQuery, Query()]) -> QueueOut:
    """Return a page of the queue."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        items = queue.page(
            session,
            query.filters(caller),
            viewer_id=caller.account.id,
            after=read_cursor(query.after) if query.after else None,
            limit=query.limit,
        )
        return QueueOut(
            items=[ItemOut.of(item, caller) for item in items],
            next=cursor(items[-1]) if len(items) == query.limit else None,
        )


def _step(desk: Desk, caller: Caller, step: Any, *args: Any, **more: Any) -> ItemOut:
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        item = step(session, *args, **more)
        session.flush()
        shown = session.scalars(
            select(QueueItem)
            .where(QueueItem.id == item.id)
            .options(
                joinedload(QueueItem.post),
                joinedload(QueueItem.assignee),
                selectinload(QueueItem.reviews).joinedload(Review.account),
            )
            .execution_options(populate_existing=True)
        ).one()
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
        to = session.scalar(select(Account).where(Account.name == body.to, Account.active))
        if to is None or Right.MODERATE not in access.ROLES[to.role]:
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


def _number(item_id: int) -> int:
    if not 0 < item_id < 2**63:
        raise NotFound(f"there is no item {item_id} in the queue")
    return item_id
