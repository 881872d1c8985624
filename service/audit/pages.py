"""The page of the audit trail: look, check the chain, take a copy."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from threading import Lock
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, Field, ValidationError

from service import export
from service.accounts.access import Caller, Right
from service.audit import listing, trail
from service.audit.listing import AuditFilters
from service.errors import AuditBroken, TooOften
from service.export import Format
from service.pages import words
from service.pages.render import Viewer, render
from service.web import Desk, TheDesk, storable

router = APIRouter(include_in_schema=False)
PAGE: Final = 50
_checking: Final = Lock()


class TrailQuery(BaseModel):
    """The filter form of the page; days are those of WIB, both included."""

    pelaku: Annotated[str, Field(max_length=120)] = ""
    tindakan: Annotated[str, Field(max_length=60)] = ""
    perihal: Annotated[str, Field(max_length=120)] = ""
    dari: date | None = None
    sampai: date | None = None

    def filters(self) -> AuditFilters:
        """Return the filters for ``service.audit.listing``."""
        actor, action, subject = (
            storable(word.strip()) or None for word in (self.pelaku, self.tindakan, self.perihal)
        )
        return AuditFilters(
            actor=actor,
            action=action,
            subject=subject,
            since=_start(self.dari),
            until=_start(self.sampai, days=1),
        )

    def query(self) -> str:
        """Return the form as a query string, without what is empty."""
        return urlencode({name: value for name, value in self.model_dump().items() if value})


def _start(day: date | None, days: int = 0) -> datetime | None:
    """Return when a day begins; a day at the end of the calendar bounds nothing."""
    if day is None or not date.min + timedelta(2) < day < date.max - timedelta(2):
        return None
    return datetime.combine(day + timedelta(days), time(), words.WIB)


def _trail_query(request: Request) -> TrailQuery:
    """Return the filter form; a field that cannot be read is left out, as an empty one is."""
    given = {name: request.query_params.get(name) for name in TrailQuery.model_fields}
    filled = {name: value for name, value in given.items() if value}
    try:
        return TrailQuery.model_validate(filled)
    except ValidationError as error:
        wrong = {str(e["loc"][0]) for e in error.errors()}
        return TrailQuery.model_validate({n: v for n, v in filled.items() if n not in wrong})


Filled = Annotated[TrailQuery, Depends(_trail_query)]


@router.get("/jejak")
def trail_page(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    form: Filled,
    sebelum: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> HTMLResponse:
    """Show a page of the trail, the newest first."""
    return _page(request, caller, desk, form, before=sebelum)


@router.post("/jejak/periksa")
def check_trail(request: Request, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Check the whole chain and say what came of it; one check at a time, for it reads all."""
    caller.need(Right.ADMINISTER)
    if not _checking.acquire(blocking=False):
        raise TooOften("the audit trail is being checked already", 30)
    try:
        with desk.database.read() as session:
            found = trail.verify(session)
    except AuditBroken as error:
        failed = f"Rantai putus. {words.said(error)} Keterangan: {error}."
        return _page(request, caller, desk, TrailQuery(), failed=failed)
    finally:
        _checking.release()
    said = f"Rantai utuh: {words.number(found.rows)} baris. Sidik baris terakhir: {found.head}"
    return _page(request, caller, desk, TrailQuery(), said=said)


@router.get("/jejak/ekspor")
def export_trail(
    caller: Viewer,
    desk: TheDesk,
    form: Filled,
    format: Format = "csv",  # noqa: A002
) -> StreamingResponse:
    """Send the trail, or what the filters leave of it, as a file."""
    caller.need(Right.ADMINISTER)
    pieces = listing.exported(desk.database, form.filters(), format)
    return export.download("jejak-audit", pieces, format)


def _page(
    request: Request,
    caller: Caller,
    desk: Desk,
    form: TrailQuery,
    *,
    before: int | None = None,
    said: str | None = None,
    failed: str | None = None,
) -> HTMLResponse:
    caller.need(Right.ADMINISTER)
    with desk.database.read() as session:
        found = listing.page(session, form.filters(), before=before, limit=PAGE)
    return render(
        request,
        "jejak.html",
        caller=caller,
        said=said,
        failed=failed,
        rows=found.rows,
        older=found.before,
        newest=before is None,
        form=form,
        form_query=form.query(),
    )
