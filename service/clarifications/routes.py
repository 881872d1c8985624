"""Clarifications for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from service.accounts.access import Right
from service.clarifications import service
from service.clarifications.reading import BadField
from service.clarifications.schemas import (
    ClarificationOut,
    ClarificationsIn,
    ClarificationsOut,
    ClarificationsQuery,
    KeptOut,
    KeptsOut,
)
from service.errors import BadClarification
from service.web import TheCaller, TheDesk

router = APIRouter(prefix="/v1", tags=["clarifications"])


@router.get("/clarifications", summary="What is known about claims, the latest first")
def list_clarifications(
    caller: TheCaller, desk: TheDesk, query: Annotated[ClarificationsQuery, Query()]
) -> ClarificationsOut:
    """Return a page of clarifications, or those in which all the words of `q` stand."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        if query.q.strip():
            rows, following = desk.clarifications.search(session, query.q)[: query.limit], None
        else:
            rows, following = service.page(session, before=query.before, limit=query.limit)
    shown = [ClarificationOut.of(row) for row in rows]
    return ClarificationsOut(clarifications=shown, next=following)


@router.post("/clarifications", summary="Add clarifications, or change them, by URL")
def add_clarifications(caller: TheCaller, desk: TheDesk, body: ClarificationsIn) -> KeptsOut:
    """Add or change clarifications: all of them, or none."""
    caller.need(Right.MODERATE)
    now = datetime.now(UTC)
    try:
        wanted = [one.given(now) for one in body.clarifications]
    except BadField as error:
        raise BadClarification(str(error)) from None
    kept = service.keep(
        desk.database,
        wanted,
        desk.batcher.score_and_embed,
        model=desk.batcher.version,
        account=caller.account,
        actor=caller.account.name,
        now=now,
    )
    return KeptsOut(clarifications=[KeptOut.of(one) for one in kept])
