"""The page of clarifications: look, search, add one, remove one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from service.accounts.access import Caller, Right
from service.clarifications import service
from service.clarifications.nearest import FOUND
from service.clarifications.reading import MOST, BadField, given
from service.clarifications.schemas import ClarificationOut
from service.pages import words
from service.pages.render import Viewer, go, render
from service.web import Desk, TheDesk, storable

router = APIRouter(include_in_schema=False)
PAGE: Final = 50
_TEXT_SHOWN: Final = 400
_FIELDS: Final = {
    "judul": "title",
    "tautan": "url",
    "klaim": "claim",
    "penjelasan": "text",
    "penerbit": "publisher",
    "tanggal": "published_at",
    "penilaian": "rating",
}
"""Fields of the form, and what they are for the desk."""
Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/klarifikasi")
def list_page(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    cari: Annotated[str, Query(max_length=200)] = "",
    sebelum: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    simpan: Annotated[str, Query(max_length=20)] = "",
) -> HTMLResponse:
    """Show clarifications, the latest first, or those in which the words stand."""
    said = words.CLARIFICATION_DONE.get(simpan)
    return _page(request, caller, desk, {}, words_wanted=cari, before=sebelum, said=said)


@router.post("/klarifikasi")
def add(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    judul: Annotated[str, Form()] = "",
    tautan: Annotated[str, Form()] = "",
    klaim: Annotated[str, Form()] = "",
    penjelasan: Annotated[str, Form()] = "",
    penerbit: Annotated[str, Form()] = "",
    tanggal: Annotated[str, Form()] = "",
    penilaian: Annotated[str, Form()] = "",
) -> Response:
    """Add a clarification, or change the one with its address; say on the form what is wrong."""
    caller.need(Right.MODERATE)
    typed = {
        "title": judul,
        "url": tautan,
        "claim": klaim.replace("\r\n", "\n"),
        "text": penjelasan.replace("\r\n", "\n"),
        "publisher": penerbit,
        "published_at": tanggal,
        "rating": penilaian,
    }
    now = datetime.now(UTC)
    try:
        wanted = given(typed, now=now)
    except BadField as error:
        failed = f"{words.CLARIFICATION_FIELDS[error.field]}: {error.reason}."
        return _page(request, caller, desk, typed, failed=failed, status=422)
    (kept,) = service.keep(
        desk.database,
        [wanted],
        desk.batcher.score_and_embed,
        model=desk.batcher.version,
        account=caller.account,
        actor=caller.account.name,
        now=now,
    )
    return go(f"/klarifikasi?simpan={quote(kept.outcome)}#klarifikasi-{kept.id}")


@router.post("/klarifikasi/{number}/hapus")
def remove(caller: Viewer, desk: TheDesk, number: Number) -> Response:
    """Remove a clarification: it is suggested nowhere any more."""
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        service.remove(session, number, actor=caller.account.name, now=datetime.now(UTC))
    return go("/klarifikasi?simpan=removed")


def _page(
    request: Request,
    caller: Caller,
    desk: Desk,
    typed: Mapping[str, str],
    *,
    words_wanted: str = "",
    before: int | None = None,
    said: str | None = None,
    failed: str | None = None,
    status: int = 200,
) -> HTMLResponse:
    caller.need(Right.READ)
    wanted = storable(words_wanted).strip()
    with desk.database.read() as session:
        if wanted:
            rows, following = desk.clarifications.search(session, wanted), None
        else:
            rows, following = service.page(session, before=before, limit=PAGE)
    return render(
        request,
        "klarifikasi.html",
        caller=caller,
        status=status,
        said=said,
        failed=failed,
        rows=[ClarificationOut.of(row) for row in rows],
        following=following,
        first=before is None,
        wanted=wanted,
        full=bool(wanted) and len(rows) == FOUND,
        typed={name: typed.get(field, "") for name, field in _FIELDS.items()},
        most={name: MOST[field] for name, field in _FIELDS.items()},
        shown=_TEXT_SHOWN,
        today=datetime.now(words.WIB).date().isoformat(),
    )
