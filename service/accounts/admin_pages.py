"""The administrators' pages: accounts and API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select

from service.accounts import access, passwords, people
from service.accounts.access import KEY_DAYS, ROLES, Caller, Right
from service.errors import BadName, BadScopes, LastAdmin, NameTaken
from service.pages import words
from service.pages.render import Viewer, go, render
from service.tables import Account
from service.web import Desk, TheDesk, storable

router = APIRouter(include_in_schema=False)
PAGE: Final = 100
MOST_DAYS: Final = 3650
Number = Annotated[int, Path(ge=1, lt=2**63)]
Text = Annotated[str, Form(max_length=200)]
_DONE: Final = {
    "peran": "Peran diubah; berlaku sejak permintaan berikutnya.",
    "tutup": "Akun ditutup: sesinya berakhir dan kuncinya berhenti.",
    "buka": "Akun dibuka lagi.",
    "cabut": "Kunci dicabut.",
}


# --- accounts ----------------------------------------------------------------------------------


@router.get("/pengguna")
def people_page(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    sesudah: Annotated[str | None, Query(max_length=80)] = None,
    sudah: str = "",
) -> HTMLResponse:
    """List the accounts, by name."""
    return _people(request, caller, desk, after=sesudah, said=_DONE.get(sudah))


@router.post("/pengguna")
def create_account(
    request: Request, caller: Viewer, desk: TheDesk, nama: Text = "", peran: Text = ""
) -> HTMLResponse:
    """Make an account and show its one-time password on the answer, the only time."""
    caller.need(Right.ADMINISTER)
    name = storable(nama.strip())
    made = passwords.one_time()
    try:
        with desk.database.write() as session:
            access.create_account(session, name, peran, actor=caller.account.name, password=made)
    except (BadName, NameTaken) as error:
        return _people(
            request, caller, desk, name=name, failed=words.said(error), status=error.status
        )
    return _people(request, caller, desk, shown=(name, made.text))


@router.post("/pengguna/{number}/peran")
def change_role(
    request: Request, number: Number, caller: Viewer, desk: TheDesk, peran: Text = ""
) -> Response:
    """Give an account another role."""
    caller.need(Right.ADMINISTER)
    try:
        with desk.database.write() as session:
            account = people.get_account(session, number)
            people.set_role(session, account, peran, actor=caller.account.name)
    except LastAdmin as error:
        return _people(request, caller, desk, failed=words.said(error), status=error.status)
    return go("/pengguna?sudah=peran")


@router.post("/pengguna/{number}/tutup")
def close_account(request: Request, number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Close an account."""
    caller.need(Right.ADMINISTER)
    try:
        with desk.database.write() as session:
            account = people.get_account(session, number)
            people.close(session, account, actor=caller.account.name)
    except LastAdmin as error:
        return _people(request, caller, desk, failed=words.said(error), status=error.status)
    return go("/pengguna?sudah=tutup")


@router.post("/pengguna/{number}/buka")
def open_account(number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Open a closed account again."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        account = people.get_account(session, number)
        people.reopen(session, account, actor=caller.account.name)
    return go("/pengguna?sudah=buka")


@router.post("/pengguna/{number}/sandi")
def reset_password(request: Request, number: Number, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Give an account a one-time password and show it on the answer, the only time."""
    caller.need(Right.ADMINISTER)
    made = passwords.one_time()
    with desk.database.write() as session:
        account = people.get_account(session, number)
        people.reset_password(session, account, made, actor=caller.account.name)
    return _people(request, caller, desk, shown=(account.name, made.text))


def _people(
    request: Request,
    caller: Caller,
    desk: Desk,
    *,
    after: str | None = None,
    name: str = "",
    shown: tuple[str, str] | None = None,
    said: str | None = None,
    failed: str | None = None,
    status: int = 200,
) -> HTMLResponse:
    caller.need(Right.ADMINISTER)
    with desk.database.read() as session:
        found = people.list_people(session, after=storable(after or "") or None, limit=PAGE + 1)
    return render(
        request,
        "pengguna.html",
        caller=caller,
        status=status,
        said=said,
        failed=failed,
        people=found[:PAGE],
        following=found[PAGE - 1].account.name if len(found) > PAGE else None,
        roles=ROLES,
        name=name,
        shown=shown,
    )


# --- keys --------------------------------------------------------------------------------------


@router.get("/kunci")
def keys_page(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    sebelum: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    sudah: str = "",
) -> HTMLResponse:
    """List the keys, the newest first."""
    return _keys(request, caller, desk, before=sebelum, said=_DONE.get(sudah))


@router.post("/kunci")
def create_key(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    akun: Text = "",
    nama: Annotated[str, Form(max_length=80)] = "",
    hak: Annotated[list[str] | None, Form(max_length=20)] = None,
    hari: Annotated[int, Form(ge=1, le=MOST_DAYS)] = KEY_DAYS,
) -> HTMLResponse:
    """Make a key and show it on the answer, the only time."""
    caller.need(Right.ADMINISTER)
    name = storable(nama.strip())
    try:
        with desk.database.write() as session:
            account = people.get_account(session, name=storable(akun))
            key = access.create_key(
                session, account, name or "API", hak or [], actor=caller.account.name, days=hari
            )
    except BadScopes as error:
        return _keys(
            request,
            caller,
            desk,
            failed=words.said(error),
            status=error.status,
            given={"account": akun, "name": name, "scopes": hak or [], "days": hari},
        )
    return _keys(request, caller, desk, shown=(name or "API", key))


@router.post("/kunci/{prefix}/cabut")
def revoke_key(
    prefix: Annotated[str, Path(max_length=16)], caller: Viewer, desk: TheDesk
) -> Response:
    """End a key at once."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        access.revoke_key(session, storable(prefix), actor=caller.account.name)
    return go("/kunci?sudah=cabut")


def _keys(
    request: Request,
    caller: Caller,
    desk: Desk,
    *,
    before: int | None = None,
    shown: tuple[str, str] | None = None,
    said: str | None = None,
    failed: str | None = None,
    status: int = 200,
    given: dict[str, object] | None = None,
) -> HTMLResponse:
    caller.need(Right.ADMINISTER)
    with desk.database.read() as session:
        found = access.list_keys(session, before=before, limit=PAGE + 1)
        names = session.scalars(select(Account.name).where(Account.active).order_by(Account.name))
        accounts = list(names)
    now = datetime.now(UTC)
    return render(
        request,
        "kunci.html",
        caller=caller,
        status=status,
        said=said,
        failed=failed,
        keys=[(key, access.key_state(key, now)) for key in found[:PAGE]],
        following=found[PAGE - 1].id if len(found) > PAGE else None,
        accounts=accounts,
        rights=list(Right),
        most_days=MOST_DAYS,
        given=given or {"account": caller.account.name, "name": "", "scopes": [], "days": KEY_DAYS},
        shown=shown,
    )
