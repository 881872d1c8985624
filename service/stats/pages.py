"""The page of the desk's figures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from service.accounts.access import Right
from service.pages import words
from service.pages.render import Viewer, render
from service.stats import charts
from service.stats.routes import statistics_of
from service.stats.service import DAYS, RANGES, golden
from service.web import TheDesk

router = APIRouter(include_in_schema=False)


@router.get("/statistik")
def statistics_page(
    request: Request, caller: Viewer, desk: TheDesk, hari: Annotated[str, Query(max_length=5)] = ""
) -> HTMLResponse:
    """Show the figures of 7, 30 or 90 days."""
    caller.need(Right.READ)
    days = int(hari) if hari.isdecimal() and int(hari) in RANGES else DAYS
    found = statistics_of(desk, days)
    checked = None
    # How well single people do is for those who look after the guide, not for everyone.
    if Right.REOPEN in caller.rights:
        with desk.database.read() as session:
            checked = golden(session)
    share = found.flagged / found.posts if found.posts else None
    by_day = charts.columns(
        found.by_day,
        name="days",
        title=f"Kiriman per hari, {days} hari terakhir",
        desc=f"{words.number(found.posts)} kiriman masuk, {words.number(found.flagged)} ditandai; "
        f"paling banyak {words.number(max(day.posts for day in found.by_day))} dalam sehari. "
        "Angka tiap hari ada di tabel di bawahnya.",
    )
    interval = None
    if found.precision is not None:
        p = found.precision
        interval = charts.interval(
            p,
            title="Ketepatan penandaan",
            desc=f"{words.percent(p.share)}, selang kepercayaan 95 %: {words.percent(p.low)} sampai "
            f"{words.percent(p.high)}",
        )
    return render(
        request,
        "statistik.html",
        caller=caller,
        ranges=RANGES,
        days=days,
        found=found,
        share=share,
        by_day=by_day,
        top=charts.ceiling(found.by_day),
        interval=interval,
        bar=charts.bar,
        golden=checked,
    )
