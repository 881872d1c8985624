"""Live counts over a real server: told once for all, ended with the session, no drag on a stop."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import uvicorn
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.fake import FakeScorer
from service.accounts import access, passwords, sessions
from service.app import create_app
from service.database import Database
from service.errors import DatabaseUnavailable, TooOften
from service.migrations import migrate
from service.narratives.events import Live
from service.settings import Settings
from service.tables import Account, SignIn
from service.web import COOKIE
from tests.unit.service.stories import tell

ROOT = Path(__file__).parents[2]
WAIT_S = 20.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return a migrated SQLite file with one moderator."""
    database = Database(f"sqlite:///{tmp_path}/desk.db")
    migrate(database)
    with database.write() as session:
        access.create_account(
            session, "ani", "moderator", actor="test", password=passwords.chosen("kuda putih lari")
        )
    yield database
    database.close()


def signed_in(database: Database) -> str:
    with database.write() as session:
        account = session.scalars(select(Account)).one()
        return sessions.start(session, account)


class Serving:
    """A desk served in a thread."""

    def __init__(self, database: Database) -> None:
        url = database.url.render_as_string(hide_password=False)
        settings = Settings(database_url=url, worker_in_service=False)
        self.app = create_app(settings, scorer=FakeScorer())
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, lifespan="on"))
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True
        )

    @property
    def live(self) -> Live:
        """What the running desk tells."""
        live: Live = self.app.state.desk.live
        return live

    def __enter__(self) -> Self:
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.01)
            assert self.thread.is_alive(), "the server died"
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive(), "the server does not stop"


@contextmanager
def stream(url: str, token: str) -> Iterator[Iterator[str]]:
    """Open the stream and yield its lines; waiting for one too long fails."""
    with (
        httpx.Client(timeout=WAIT_S, cookies={COOKIE: token}) as client,
        client.stream("GET", f"{url}/langsung") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield answer.iter_lines()


def counts(lines: Iterator[str]) -> dict[str, Any]:
    """Return the next counts of a stream."""
    for line in lines:
        if line.startswith("data: ") and line != "data: {}":
            told: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return told
    raise AssertionError("the stream ended")


def test_a_page_is_told_the_counts_and_again_when_they_change(database: Database) -> None:
    tell(database, 1, ["sebarkan a", "sebarkan b"], stage="lilin", stage_since=datetime.now(UTC))
    token = signed_in(database)
    with Serving(database) as desk, stream(desk.url, token) as lines:
        first = counts(lines)
        assert first["open"] == 2
        assert first["stages"] == {"lilin": 1, "obor": 0, "api": 0}
        assert len(first["moved"]) == 1
        tell(database, 2, ["sebarkan c"], stage="api", stage_since=datetime.now(UTC))
        second = counts(lines)
        while second["open"] == 2 or second["stages"]["api"] == 0:
            second = counts(lines)  # the posts and the narrative may be seen one after the other
        assert second["open"] == 3
        assert second["stages"] == {"lilin": 1, "obor": 0, "api": 1}


def test_the_stream_ends_with_the_session(database: Database) -> None:
    token = signed_in(database)
    with Serving(database) as desk, stream(desk.url, token) as lines:
        counts(lines)
        with database.write() as session:
            session.delete(session.scalars(select(SignIn)).one())
        assert "event: ended" in islice(lines, 99)


def test_who_is_not_signed_in_is_told_nothing(database: Database) -> None:
    with Serving(database) as desk:
        for cookies in ({}, {COOKIE: "x"}):
            answer = httpx.get(f"{desk.url}/langsung", cookies=cookies, timeout=WAIT_S)
            assert answer.status_code == 401


def test_a_listener_that_goes_away_is_forgotten(database: Database) -> None:
    token = signed_in(database)
    with Serving(database) as desk:
        with stream(desk.url, token) as lines:
            counts(lines)
            assert desk.live.listeners == 1
        for _ in range(int(WAIT_S * 100)):
            if desk.live.listeners == 0:
                break
            desk.thread.join(0.01)
        assert desk.live.listeners == 0


def test_the_server_stops_at_once_though_someone_listens(
    database: Database, tmp_path: Path
) -> None:
    program = """
import sys
import uvicorn
from models.fake import FakeScorer
from service.app import create_app
from service.settings import Settings

app = create_app(Settings(database_url=sys.argv[1], worker_in_service=False), scorer=FakeScorer())
uvicorn.run(app, port=int(sys.argv[2]), log_config=None, timeout_graceful_shutdown=3600)
"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = database.url.render_as_string(hide_password=False)
    token = signed_in(database)
    log = tmp_path / "serve.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", program, url, str(port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, process, log)
        with stream(address, token) as lines:
            counts(lines)
            process.send_signal(signal.SIGTERM)
            assert len(list(islice(lines, 9))) < 9  # to its end
        # An hour's grace was given: only a stream that ends by itself lets it go.
        process.wait(WAIT_S)
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if httpx.get(f"{url}/readyz", timeout=WAIT_S).status_code == 200:
                return
        except httpx.TransportError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    raise AssertionError(log.read_text()[-3000:])


# --- without a server ---------------------------------------------------------------------------


def test_one_reading_serves_all_and_no_connection_is_held_meanwhile(database: Database) -> None:
    token = signed_in(database)
    readings = []

    def read(_session: Session) -> dict[str, Any]:
        readings.append(1)
        return {"open": 2}

    async def run() -> None:
        live = Live(database, read=read, every_s=3600)
        streams = [live.listen(token) for _ in range(5)]
        for events in streams:
            await anext(events)
        told = {await anext(events) for events in streams}
        pool: Any = database.engine.pool
        assert (len(told), len(readings), pool.checkedout()) == (1, 1, 0)
        await live.close()

    asyncio.run(run())


def test_only_so_many_listen(database: Database) -> None:
    first, second = signed_in(database), signed_in(database)

    async def run() -> None:
        live = Live(database, most=3, most_each=2)
        open_ones: list[AsyncIterator[bytes]] = []
        for token in (first, first, second):
            events = live.listen(token)
            await anext(events)
            open_ones.append(events)
        for token in (first, second):
            with pytest.raises(TooOften):
                live.listen(token)
        await open_ones.pop().aclose()  # type: ignore[attr-defined]
        with pytest.raises(TooOften):
            live.listen(first)  # its own limit still holds
        await anext(live.listen(second))
        await live.close()

    asyncio.run(run())


def test_silence_is_broken_by_a_comment_and_a_stop_ends_every_stream(database: Database) -> None:
    token = signed_in(database)

    async def run() -> list[bytes]:
        live = Live(database, every_s=0.01, heartbeat_s=0.01)
        told = []
        async for piece in live.listen(token):
            told.append(piece)
            if piece.startswith(b":"):
                live.stop()
        await live.close()
        assert live.listeners == 0
        return told

    told = asyncio.run(run())
    assert told[0].startswith(b"retry: ")
    assert sum(piece.startswith(b"event: counts") for piece in told) <= 1
    assert told[-1].startswith(b":")


def test_a_database_that_is_away_for_a_while_ends_nothing(database: Database) -> None:
    token = signed_in(database)
    away = threading.Event()

    def read(_session: Session) -> dict[str, Any]:
        if not away.is_set():
            away.set()
            raise DatabaseUnavailable("gone")
        return {"open": 2}

    async def run() -> bytes:
        live = Live(database, read=read, every_s=0.01)
        events = live.listen(token)
        await anext(events)
        found = await anext(events)
        await live.close()
        return found

    assert b'"open":2' in asyncio.run(run())
