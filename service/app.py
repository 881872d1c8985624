"""The service: one app on one database and one scorer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, Protocol

import structlog
from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from models.likeness import Space
from models.scorer import Scorer, Thresholds
from service import problems
from service.accounts import admin_pages
from service.accounts import pages as accounts_pages
from service.alerts import channel_pages, channel_routes, watch_pages
from service.alerts import pages as alert_pages
from service.alerts import routes as alerts
from service.audit import pages as audit_pages
from service.audit import routes as audit
from service.background import Background
from service.batcher import ROUNDS_AT_ONCE, Batcher, Scores
from service.clarifications import pages as clarifications_pages
from service.clarifications import routes as clarifications
from service.database import Database
from service.feeds import pages as feeds_pages
from service.feeds import routes as feeds
from service.feeds import worker as feeds_worker
from service.narratives import forms as narratives_forms
from service.narratives import pages as narratives_pages
from service.narratives import routes as narratives
from service.operations import routes as operations
from service.operations.metrics import Measured, Metrics
from service.operations.middleware import Watched
from service.operations.serving import told_to_stop
from service.pages.render import STATIC
from service.posts import pages as posts_pages
from service.posts import routes as posts
from service.queue import export as verdicts
from service.queue import pages as queue_pages
from service.queue import routes as queue
from service.queue.service import QueueRules
from service.settings import Settings, load, networks
from service.stats import pages as stats_pages
from service.stats import routes as stats
from service.web import Desk, check_same_site

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = structlog.get_logger("lilin")
_SAFE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; form-action 'self'"),
)


class DeskScorer(Scores, Protocol):
    """What the service needs of a scorer besides scores."""

    thresholds: Thresholds
    space: Space


def create_app(settings: Settings | None = None, *, scorer: DeskScorer | None = None) -> FastAPI:
    """Return the app; ``scorer`` is loaded from the settings where none is given.

    The database must be migrated (``lilin migrate``).
    """
    settings = settings or load()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        used = scorer or Scorer.load(settings.model, threads=settings.threads)
        database = Database(settings.database_url)
        batcher = Batcher(
            Measured(used, metrics), waiting_chars=settings.waiting_chars, workers=ROUNDS_AT_ONCE
        )
        metrics.watch_database(database)
        metrics.watch_line(lambda: batcher.waiting)
        app.state.desk = Desk(
            settings=settings,
            database=database,
            batcher=batcher,
            rules=queue_rules(settings, used.thresholds),
            space=used.space,
        )
        worker = background = None
        if settings.worker_in_service:
            worker = _start_worker(app.state.desk, metrics)
            known = app.state.desk.clarifications
            background = Background(settings, database, used.space, metrics, known)
            background.start()
        _log.info("desk started", model=used.version)
        with told_to_stop(app.state.desk.live.stop):
            yield
        await app.state.desk.live.close()
        if worker is not None:
            await run_in_threadpool(worker.close)  # its last chunk still wants scores
        if background is not None:
            await run_in_threadpool(background.close)
        batcher.close()
        database.close()
        _log.info("desk stopped")

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
    for router in (operations.router, posts.router, queue.router, verdicts.router, stats.router):
        app.include_router(router)
    for router in (accounts_pages.router, admin_pages.router, audit.router, audit_pages.router):
        app.include_router(router)
    app.include_router(stats_pages.router)
    for router in (queue_pages.router, posts_pages.router):
        app.include_router(router)
    for router in (feeds.router, feeds_pages.router):
        app.include_router(router)
    for router in (narratives.router, narratives_pages.router, narratives_forms.router):
        app.include_router(router)
    for router in (alerts.router, alert_pages.router, watch_pages.router):
        app.include_router(router)
    for router in (channel_routes.router, channel_pages.router):
        app.include_router(router)
    for router in (clarifications.router, clarifications_pages.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    problems.install(app)
    app.state.metrics = metrics

    app.add_middleware(_Guard, limit=settings.max_body_bytes, large=feeds.large_bodies(settings))
    app.add_middleware(Watched, metrics=metrics)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=networks(settings.trusted_proxies))
    return app


def _start_worker(desk: Desk, metrics: Metrics) -> feeds_worker.InService:
    return feeds_worker.InService(
        desk.database,
        desk.batcher,
        desk.rules,
        folder=desk.settings.feeds_folder,
        max_expanded_bytes=desk.settings.max_expanded_bytes,
        on_chunk=metrics.chunks.inc,
    )


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

    def __init__(
        self, app: Callable[..., Awaitable[None]], limit: int, large: Mapping[str, int]
    ) -> None:
        """``large`` are the paths to which more may be posted, with how much."""
        self.app = app
        self.limit = limit
        self.large = large

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        large = self.large.get(scope["path"]) if scope["method"] == "POST" else None
        limit = large or self.limit
        said = f"the request is larger than {limit // 1024} KiB; send it in parts"
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
            return message

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_SAFE_HEADERS]
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        # What takes large bodies looks at their declared size itself, and says it in its own words.
        if large is None and declared.isdigit() and int(declared) > limit:
            refusal = problems.problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
            await refusal(scope, receive, guarded)
        else:
            await self.app(scope, counted, guarded)
