"""Where the desk stands, for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.accounts.access import Right
from service.stats.schemas import StatsOut, StatsQuery
from service.stats.service import Statistics, statistics
from service.web import Desk, TheCaller, TheDesk

router = APIRouter(prefix="/v1")


@router.get("/stats", tags=["stats"], summary="Where the desk stands")
def stats(caller: TheCaller, desk: TheDesk, query: Annotated[StatsQuery, Query()]) -> StatsOut:
    """Return counts, verdicts, times and agreement; figures that are slow are up to 60 s old."""
    caller.need(Right.READ)

    return StatsOut.of(statistics_of(desk, query.days))


def statistics_of(desk: Desk, days: int) -> Statistics:
    """Return the desk's figures; what was slow to reckon is shown again for a minute."""

    def make() -> Statistics:
        with desk.database.read() as session:
            return statistics(session, days=days)

    return desk.kept_statistics.get(days, make)
