"""The service: one app on one database and one scorer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, Protocol

from fastapi import Depends, FastAPI, Response
from sqlalchemy import inspect
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from models.scorer import Scorer, Thresholds
from service import problems
from service.batcher import Batcher, Scores
from service.database import Database
from service.errors import DatabaseUnavailable
from service.pages.render import STATIC
from service.posts import routes as posts
from service.queue import routes as queue
from service.queue.service import QueueRules
from service.settings import Settings
from service.stats import routes as stats
from service.tables import AuditHead
from service.web import Desk, check_same_site

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SAFE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; form-action 'self'"),
)


class DeskScorer(Scores, Protocol):
    """What the service needs of a scorer besides scores."""

    thresholds: Thresholds


def create_app(settings: Settings | None = None, *, scorer: DeskScorer | None = None) -> FastAPI:
    """Return the app; ``scorer`` is loaded from the settings where none is given.

    The database must be migrated (``lilin migrate``).
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        used = scorer or Scorer.load(settings.model, threads=settings.threads)
        database = Database(settings.database_url)
        batcher = Batcher(used, waiting_chars=settings.waiting_chars)
        app.state.desk = Desk(
            settings=settings,
            database=database,
            batcher=batcher,
            rules=queue_rules(settings, used.thresholds),
        )
        yield
        batcher.close()
        database.close()

    app = FastAPI(
        title="Lilin",
        version=version("lilin"),
        description="Scores Indonesian posts for hoax, disinformation and malinformation, and "
        "keeps the queue of those that a person should look at. The score is a triage of style "
        "and likeness to known falsehoods; it does not know whether a claim is true.",
        lifespan=lifespan,
        redoc_url=None,
        dependencies=[Depends(check_same_site)],
    )
    for router in (posts.router, queue.router, stats.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    problems.install(app)

    @app.get("/healthz", tags=["operation"], summary="The process is alive")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["operation"], summary="Database and model are ready")
    def readyz(response: Response) -> dict[str, str]:
        desk: Desk = app.state.desk
        try:
            with desk.database.read() as session:
                ready = inspect(session.connection()).has_table(AuditHead.__tablename__)
            said = "the tables are missing: run `lilin migrate`"
        except DatabaseUnavailable as error:
            ready, said = False, str(error)
        if not ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
            return {"status": said}
        return {"status": "ready", "model": desk.batcher.version}

    app.add_middleware(_Guard, limit=settings.max_body_bytes)
    return app


def queue_rules(settings: Settings, thresholds: Thresholds) -> QueueRules:
    """Return the rules of the queue from the settings and the model's thresholds."""
    cut = settings.queue_threshold
    return QueueRules(
        threshold=thresholds.budget_5 if cut is None else cut,
        half_life_hours=settings.half_life_hours,
        claim_minutes=settings.claim_minutes,
        hours_to_decide=settings.hours_to_decide,
        second_review_share=settings.second_review_share,
    )


class _Guard:
    """Refuses bodies beyond the limit while they come in, and adds the safe headers."""

    def __init__(self, app: Callable[..., Awaitable[None]], limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = f"the request is larger than {self.limit // 1024} KiB; send it in parts"
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
            return message

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_SAFE_HEADERS]
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.limit:
            refusal = problems.problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
            await refusal(scope, receive, guarded)
        else:
            await self.app(scope, counted, guarded)
