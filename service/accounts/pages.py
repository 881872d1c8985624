"""The pages to sign in, to sign out and to change one's password."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response

from service.accounts import passwords, sessions
from service.errors import BadPassword, DeskError, NotSignedIn, TooOften, WrongPassword
from service.pages import words
from service.pages.render import Viewer, go, render, safe_path, set_session
from service.web import COOKIE, TheDesk, storable

router = APIRouter(include_in_schema=False)
_MOST: Final = 2000
"""Characters of a field of these forms."""
Field = Annotated[str, Form(max_length=_MOST)]


@router.get("/masuk")
def sign_in_page(request: Request, kembali: str = "", keluar: str = "") -> HTMLResponse:
    """Show the sign-in form; ``kembali`` is the page to come back to."""
    said = "Anda sudah keluar." if keluar else None
    return _sign_in_form(request, back=kembali, said=said)


@router.post("/masuk")
def sign_in(
    request: Request, desk: TheDesk, nama: Field = "", sandi: Field = "", kembali: Field = ""
) -> Response:
    """Start a session with a token of its own, whatever cookie came along."""
    name = storable(nama.strip())
    try:
        token, account = sessions.sign_in(
            desk.database,
            name,
            sandi,
            address=request.client.host if request.client else "unknown",
            old_token=request.cookies.get(COOKIE),
        )
    except (NotSignedIn, TooOften) as error:
        return _sign_in_form(
            request, back=kembali, name=name, failed=_said(error), status=error.status, error=error
        )
    back = safe_path(kembali)
    path = f"/ganti-sandi?kembali={quote(back)}" if account.must_change else back
    return set_session(go(path), request, token)


def _sign_in_form(
    request: Request,
    *,
    back: str,
    name: str = "",
    said: str | None = None,
    failed: str | None = None,
    status: int = 200,
    error: DeskError | None = None,
) -> HTMLResponse:
    page = render(
        request,
        "masuk.html",
        status=status,
        said=said,
        failed=failed,
        name=name,
        back=safe_path(back),
    )
    if error is not None and error.retry_after is not None:
        page.headers["Retry-After"] = str(error.retry_after)
    return page


def _said(error: DeskError) -> str:
    if isinstance(error, TooOften):
        return f"Terlalu banyak percobaan. Tunggu {error.retry_after} detik, lalu coba lagi."
    return words.said(error)


@router.post("/keluar")
def sign_out(request: Request, desk: TheDesk) -> Response:
    """End the session here and in the browser."""
    token = request.cookies.get(COOKIE)
    if token is not None:
        with desk.database.write() as session:
            sessions.sign_out(session, token)
    answer = go("/masuk?keluar=1")
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


@router.get("/ganti-sandi")
def password_page(request: Request, caller: Viewer, kembali: str = "") -> HTMLResponse:
    """Show the form for a new password."""
    return _password_form(request, caller, back=kembali)


@router.post("/ganti-sandi")
def change_password(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    lama: Field = "",
    baru: Field = "",
    ulang: Field = "",
    kembali: Field = "",
) -> Response:
    """Set a new password; every session of the account ends, and a new one starts here."""
    if baru != ulang:
        failed = "Kata sandi baru dan ulangannya tidak sama."
        return _password_form(request, caller, back=kembali, failed=failed, status=422)
    try:
        token = sessions.change_password(desk.database, caller.account, lama, baru)
    except (BadPassword, WrongPassword, TooOften) as error:
        return _password_form(
            request, caller, back=kembali, failed=_said(error), status=error.status
        )
    return set_session(go(safe_path(kembali)), request, token)


def _password_form(
    request: Request, caller: Viewer, *, back: str, failed: str | None = None, status: int = 200
) -> HTMLResponse:
    # With a one-time password no other page opens: the menu would only lead back here.
    forced = caller.account.must_change
    return render(
        request,
        "ganti_sandi.html",
        caller=None if forced else caller,
        status=status,
        failed=failed,
        forced=forced,
        name=caller.account.name,
        minimum=passwords.MINIMUM,
        back=safe_path(back),
    )
