"""What every route and page shares: the running desk, who calls, and the shape of JSON."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict

from models.likeness import Space
from service.accounts import access, sessions
from service.accounts.access import Caller
from service.accounts.limits import Meter
from service.batcher import Batcher
from service.clarifications.nearest import Clarifications
from service.database import Database
from service.errors import CrossSite, DatabaseUnavailable, MustChangePassword, NotSignedIn
from service.narratives.events import Live
from service.queue.likeness import Likeness
from service.queue.service import QueueRules
from service.settings import Settings
from service.stats.service import Kept


class Model(BaseModel):
    """Base of the shapes of requests and answers: unknown fields are refused, strings bounded."""

    model_config = ConfigDict(extra="forbid", str_max_length=20_000)


def storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which PostgreSQL refuses."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


COOKIE: Final = "lilin_session"
bearer = HTTPBearer(auto_error=False, description="An API key: `lilin key create`.")


class Desk:
    """What the endpoints share; made once, at the start of the service."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        batcher: Batcher,
        rules: QueueRules,
        space: Space,
    ) -> None:
        """``space`` is where the release tells narratives apart."""
        self.settings = settings
        self.database = database
        self.batcher = batcher
        self.rules = rules
        self.space = space
        self.likeness = Likeness()
        self.clarifications = Clarifications(space, model=batcher.version)
        self.kept_statistics = Kept()
        self.meter = Meter(database, settings.requests_per_minute)
        self.live = Live(database)


def desk_of(request: Request) -> Desk:
    """Return the desk of the running service."""
    desk: Desk = request.app.state.desk
    return desk


def caller_of(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Caller:
    """Return who makes the request: the account of an API key, or of a signed-in browser.

    Raises:
        NotSignedIn: there is no key and no session, or they have ended.
        MustChangePassword: a browser calls the API with the one-time password still in use.
        TooOften: the caller has used up its requests of this minute.
    """
    desk = desk_of(request)
    database = desk.database
    token = request.cookies.get(COOKIE)
    if credentials is None and token is None:
        raise NotSignedIn("send an API key: Authorization: Bearer lilin_…")
    with database.read() as session:
        if credentials is not None:
            caller = access.caller_of_key(session, credentials.credentials)
        else:
            assert token is not None
            caller = sessions.caller_of_token(session, token)
    if caller.use_is_stale:
        # A note, no more: a database that is locked for writing must not stop who only reads.
        with suppress(DatabaseUnavailable), database.write() as session:
            if credentials is not None:
                access.note_use(session, credentials.credentials)
            elif token is not None:
                sessions.note_seen(session, token)
    if request.url.path.startswith("/v1/"):
        if credentials is None and caller.account.must_change:
            raise MustChangePassword("choose a password of your own first: /ganti-sandi")
        desk.meter.take(caller.via)
    return caller


def check_same_site(request: Request) -> None:
    """Let a request pass that changes something, unless another site sent it.

    Browsers say where a request comes from (Sec-Fetch-Site, Origin); programs with an API key
    send neither, and nobody can make a browser add their key.

    Raises:
        CrossSite: the request came from another site.
    """
    if request.method in ("GET", "HEAD", "OPTIONS") or "authorization" in request.headers:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        same = site in ("same-origin", "none")
    elif origin is not None:
        same = urlsplit(origin).netloc == request.headers.get("host")
    else:
        same = COOKIE not in request.cookies
    if not same:
        raise CrossSite("this came from another site; open the desk's own page and try again")


TheDesk = Annotated[Desk, Depends(desk_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]
