"""What every route and page shares: the running desk, who calls, and the shape of JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict

from service.accounts import access
from service.accounts.access import Caller
from service.batcher import Batcher
from service.database import Database
from service.errors import NotSignedIn
from service.queue.service import QueueRules
from service.settings import Settings


class Model(BaseModel):
    """Base of the shapes of requests and answers: unknown fields are refused, strings bounded."""

    model_config = ConfigDict(extra="forbid", str_max_length=20_000)


def storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which PostgreSQL refuses."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


_bearer = HTTPBearer(auto_error=False, description="An API key: `lilin key create`.")


class Desk:
    """What the endpoints share; made once, at the start of the service."""

    def __init__(
        self, *, settings: Settings, database: Database, batcher: Batcher, rules: QueueRules
    ) -> None:
        self.settings = settings
        self.database = database
        self.batcher = batcher
        self.rules = rules


def desk_of(request: Request) -> Desk:
    """Return the desk of the running service."""
    desk: Desk = request.app.state.desk
    return desk


def caller_of(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return who makes the request."""
    if credentials is None:
        raise NotSignedIn("send an API key: Authorization: Bearer lilin_…")
    with desk_of(request).database.read() as session:
        return access.caller_of_key(session, credentials.credentials)


TheDesk = Annotated[Desk, Depends(desk_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]
