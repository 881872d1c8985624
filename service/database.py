"""The database: SQLite by default, PostgreSQL by URL; transactions that read and that write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.orm import Session

from service.errors import DatabaseUnavailable

BUSY_SECONDS: Final = 5.0
"""How long a writer waits for another before the desk says "busy"."""


class Database:
    """One pool of connections, and the only way to a session.

    ``read`` sees one moment of the data; ``write`` commits at its end or leaves no trace. On
    SQLite a writer takes the write lock at its start: two writers wait for one another rather
    than fail half way.
    """

    def __init__(self, url: str) -> None:
        """``url`` is SQLAlchemy's, for example ``sqlite:///lilin.db`` or ``postgresql+psycopg://…``.

        Raises:
            DatabaseUnavailable: the URL names no database that Lilin runs on.
        """
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise DatabaseUnavailable("the database's URL cannot be read") from None
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif parsed.get_backend_name() != "sqlite":
            raise DatabaseUnavailable(
                f"Lilin runs on sqlite and postgresql, not on {parsed.get_backend_name()}"
            )
        self.url = parsed
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite and parsed.database not in (None, "", ":memory:"):
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = (
            {"connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False}}
            if self.is_sqlite
            else {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}
        )
        self.engine: Engine = create_engine(parsed, pool_size=8, max_overflow=8, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writing = self.engine.execution_options(lilin_writes=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads.

        Raises:
            DatabaseUnavailable: the database is gone or locked.
        """
        with _said_plainly(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session whose changes are committed together at its end.

        Raises:
            DatabaseUnavailable: the database is gone or locked; nothing was written.
        """
        with (
            _said_plainly(),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would open transactions by its own lights; `begin` below does it instead.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # what was accepted survives a power cut too
        "foreign_keys=ON",
        "cache_size=-16000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("lilin_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailable(
            "the database is locked or cannot be reached; try again in a moment"
        ) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable("the connection to the database broke") from error
        raise
