"""The forms that work on a narrative: a verdict on all of it, merging, splitting, taking back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse

from service.accounts.access import Caller, Right
from service.errors import DeskError, NotFound
from service.narratives import service as narratives
from service.narratives import verdicts
from service.narratives.pages import Number
from service.narratives.schemas import MAX_SPLIT
from service.pages.render import Viewer
from service.queue.pages import Back, Text, back_to, evidence_of
from service.tables import State, Verdict
from service.web import Desk, TheDesk, storable

router = APIRouter(include_in_schema=False)


@router.post("/narasi/{narrative_id}/putus")
def decide(
    narrative_id: Number,
    caller: Viewer,
    desk: TheDesk,
    putusan: Annotated[Verdict, Form()],
    catatan: Text = "",
    bukti: Annotated[str, Form(max_length=40_000)] = "",
    kembali: Back = "",
) -> RedirectResponse:
    """Give a verdict on everything open in a narrative."""
    caller.need(Right.MODERATE)
    note, evidence = evidence_of(storable(catatan), storable(bukti))
    back = kembali or f"/narasi/{narrative_id}"
    try:
        with desk.database.write() as session:
            given = verdicts.give(
                session,
                narrative_id,
                caller.account,
                putusan,
                desk.rules,
                now=datetime.now(UTC),
                note=note,
                evidence=evidence,
            )
    except NotFound as error:
        return back_to(back, None, gagal=error.code)
    states = [outcome.state for outcome in given.outcomes]
    return back_to(
        back,
        None,
        sudah="narasi",
        putusan=putusan.value,
        jadi=states.count(State.DECIDED),
        kedua=len(states) - states.count(State.DECIDED) - states.count(None),
        sisa=states.count(None),
        lagi=given.left or None,
        narasi_batal=narrative_id,
    )


@router.post("/narasi/{narrative_id}/batal-putusan")
def undo_verdict(
    narrative_id: Number, caller: Viewer, desk: TheDesk, kembali: Back = ""
) -> RedirectResponse:
    """Take back one's last verdict on a narrative."""
    caller.need(Right.MODERATE)
    back = kembali or f"/narasi/{narrative_id}"
    try:
        with desk.database.write() as session:
            verdicts.take_back(session, narrative_id, caller.account, now=datetime.now(UTC))
    except DeskError as error:
        return back_to(back, None, gagal=error.code)
    return back_to(back, None, sudah="narasi-batal")


@router.post("/narasi/{narrative_id}/gabung")
def merge(
    narrative_id: Number,
    caller: Viewer,
    desk: TheDesk,
    ke: Annotated[str, Form(max_length=30)] = "",
    nomor: Annotated[str, Form(max_length=30)] = "",
) -> RedirectResponse:
    """Make a narrative part of another, by its number or chosen from the look-alikes."""
    caller.need(Right.MODERATE)
    here = f"/narasi/{narrative_id}"
    number = nomor.strip().removeprefix("#") or ke.strip()
    if not number.isdecimal() or not 0 < int(number) < 2**63:
        return back_to(here, None, gagal="no-narrative")
    try:
        with desk.database.write() as session:
            into = narratives.merge(session, narrative_id, int(number), **_by(caller, desk))
    except DeskError as error:
        return back_to(here, None, gagal=error.code)
    return back_to(f"/narasi/{into.id}", None, sudah="narasi-gabung")


@router.post("/narasi/{narrative_id}/pisah")
def split(
    narrative_id: Number,
    caller: Viewer,
    desk: TheDesk,
    kiriman: Annotated[list[int] | None, Form(max_length=MAX_SPLIT)] = None,
) -> RedirectResponse:
    """Make a new narrative of the posts chosen."""
    caller.need(Right.MODERATE)
    here = f"/narasi/{narrative_id}"
    chosen = [number for number in kiriman or [] if 0 < number < 2**63]
    if not chosen:
        return back_to(here, None, gagal="nothing-chosen")
    try:
        with desk.database.write() as session:
            made = narratives.split(session, narrative_id, chosen, **_by(caller, desk))
    except DeskError as error:
        return back_to(here, None, gagal=error.code)
    return back_to(here, None, sudah="narasi-pisah", baru=made.id)


@router.post("/narasi/{narrative_id}/batal-susunan")
def undo_grouping(narrative_id: Number, caller: Viewer, desk: TheDesk) -> RedirectResponse:
    """Take back a narrative's last merge or split."""
    caller.need(Right.MODERATE)
    here = f"/narasi/{narrative_id}"
    try:
        with desk.database.write() as session:
            narratives.undo(session, narrative_id, **_by(caller, desk))
    except DeskError as error:
        return back_to(here, None, gagal=error.code)
    return back_to(here, None, sudah="narasi-susunan")


def _by(caller: Caller, desk: Desk) -> dict[str, Any]:
    """Return who changes narratives, when and where they are compared."""
    return {"actor": caller.account, "now": datetime.now(UTC), "space": desk.space}
