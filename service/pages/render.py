"""Pages from templates: everything that is shown is escaped; nothing runs from inside a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from service.accounts import sessions
from service.accounts.access import Caller, Right
from service.errors import MustChangePassword, NotSignedIn
from service.pages import alert_words, words
from service.web import COOKIE, caller_of, desk_of

TEMPLATES: Final = Path(__file__).with_name("templates")
STATIC: Final = Path(__file__).with_name("static")


@cache
def environment() -> Environment:
    """Return the templates' environment, with the words and the filters that they use."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(words=words, alert_words=alert_words, Right=Right)
    made.filters.update(
        clock=words.clock, ago=words.ago, percent=words.percent, number=words.number
    )
    return made


def render(
    request: Request,
    template: str,
    *,
    caller: Caller | None = None,
    status: int = 200,
    **context: Any,
) -> HTMLResponse:
    """Return a page. ``caller`` is who sees it; ``said`` in the query is a message to show."""
    context.setdefault("said", None)
    context.setdefault("failed", None)
    page = (
        environment()
        .get_template(template)
        .render(path=request.url.path, caller=caller, query=request.query_params, **context)
    )
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})


def viewer_of(request: Request) -> Caller:
    """Return who is signed in, for a page.

    Raises:
        NotSignedIn: nobody is; the error's handler leads to the sign-in page.
        MustChangePassword: the one-time password is still in use.
    """
    if COOKIE not in request.cookies:
        raise NotSignedIn("sign in first")
    caller = caller_of(request, None)
    if caller.account.must_change and request.url.path not in ("/ganti-sandi", "/keluar"):
        raise MustChangePassword("choose a password of your own first")
    return caller


Viewer = Annotated[Caller, Depends(viewer_of)]


def go(path: str) -> RedirectResponse:
    """Return the answer to a form: look at ``path`` now (303, so that reload sends nothing)."""
    return RedirectResponse(path, 303)


def safe_path(path: str | None, otherwise: str = "/") -> str:
    """Return ``path`` if it is one of this desk, else ``otherwise``: no open redirect."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or "\\" in path:
        return otherwise
    try:
        parts = urlsplit(path)
    except ValueError:
        return otherwise
    return otherwise if parts.scheme or parts.netloc else path


def sign_in_path(request: Request) -> str:
    """Return the path of the sign-in page that comes back to this request's page."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/masuk?kembali={quote(here)}" if request.method == "GET" and here != "/" else "/masuk"


def set_session(response: RedirectResponse, request: Request, token: str) -> RedirectResponse:
    """Put the session's cookie on an answer."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(sessions.LONGEST.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https" or desk_of(request).settings.secure_cookies,
    )
    return response
