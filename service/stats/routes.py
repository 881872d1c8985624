"""Where the desk stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.accounts.access import Right
from service.queue import service as queue
from service.tables import QueueItem, StoredPost
from service.web import Model, TheCaller, TheDesk

router = APIRouter(prefix="/v1")


class StatsOut(Model):
    """Where the desk stands."""

    posts: int
    open: int
    overdue: int
    verdicts: dict[str, int]
    second_reviews: int
    agreement: float | None
    kappa: float | None


@router.get("/stats", tags=["stats"], summary="Where the desk stands")
def stats(caller: TheCaller, desk: TheDesk) -> StatsOut:
    """Return counts of posts, of open, overdue and decided items, and the agreement."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        return stats_of(session)


def stats_of(session: Session) -> StatsOut:
    """Return where the desk stands."""

    def count(*conditions: Any) -> int:
        return session.scalar(select(func.count()).select_from(QueueItem).where(*conditions)) or 0

    decided: Sequence[Any] = session.execute(
        select(QueueItem.verdict, func.count()).where(~QueueItem.open).group_by(QueueItem.verdict)
    ).all()
    found = queue.agreement(session)
    return StatsOut(
        posts=session.scalar(select(func.count()).select_from(StoredPost)) or 0,
        open=count(QueueItem.open),
        overdue=count(QueueItem.open, QueueItem.due_at < datetime.now(UTC)),
        verdicts={str(verdict): number for verdict, number in decided},
        second_reviews=found.pairs,
        agreement=found.alike if found.pairs else None,
        kappa=found.kappa,
    )
