"""The database: SQLite by default, PostgreSQL by URL; transactions that read and that write."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from service.errors import DatabaseUnavailable

_JSON: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
COPY_EVERY_S: Final = 0.5
"""Some 9,000 pages are written meanwhile where posts come in as fast as they can."""
BUSY_SECONDS: Final = 5.0
"""How long a writer waits for another, or anyone for a connection, before the desk says so."""


class Database:
    """One pool of connections, and the only way to a session.

    ``read`` sees one moment of the data; ``write`` commits at its end or leaves no trace. On
    SQLite a writer takes the write lock at its start: two writers wait for one another rather
    than fail half way.
    """

    def __init__(self, url: str | SecretStr) -> None:
        """``url`` is SQLAlchemy's, for example ``sqlite:///lilin.db`` or ``postgresql+psycopg://…``.

        Raises:
            DatabaseUnavailable: the URL names no database that Lilin runs on.
        """
        given = url.get_secret_value() if isinstance(url, SecretStr) else url
        try:
            parsed = make_url(given)
        except (ArgumentError, ValueError):
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
            else {"pool_pre_ping": True, "connect_args": _postgres_options(parsed)}
        )
        self.engine: Engine = create_engine(
            parsed,
            pool_size=8,
            max_overflow=8,
            pool_timeout=BUSY_SECONDS,
            json_serializer=_as_json,
            json_deserializer=_from_json,
            hide_parameters=True,  # an error's message must not carry a post's text into a log
            **options,
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self.writing = sessionmaker(
            self.engine.execution_options(lilin_writes=True), expire_on_commit=False
        )

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
        with _said_plainly(), self.writing() as session, session.begin():
            yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


class CopyBack:
    """Copies SQLite's log back into its file in a thread of its own, until it is closed.

    Else whoever commits when the log is long does it, and waits for the disk; that happens still,
    but little is left to copy by then. It takes nothing away from anyone who reads or writes.
    """

    def __init__(self, database: Database) -> None:
        self._file = str(database.url.database)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copy-back", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, and wait for what is under way."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            while not self._closing.wait(COPY_EVERY_S):
                with suppress(sqlite3.Error):  # whoever commits copies then
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


# By orjson, for thousands of rows a second have some; what it refuses (half of a surrogate pair in
# a text) as the standard library has it.


def _as_json(value: object) -> str:
    try:
        return orjson.dumps(value, option=_JSON).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value)


def _from_json(written: str | bytes) -> Any:
    try:
        return orjson.loads(written)
    except orjson.JSONDecodeError:
        return json.loads(written)


def _postgres_options(url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {"connect_timeout": 5}
    if "options" not in url.query:
        options["options"] = f"-c lock_timeout={BUSY_SECONDS:g}s"
    return options


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would open transactions by its own lights; `begin` below does it instead.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # what was accepted survives a power cut too
        "foreign_keys=ON",
        "cache_size=-16000",
        "wal_autocheckpoint=16000",  # 64 MB: a page that changes often is copied back less often
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
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise DatabaseUnavailable(
            "the database is locked or cannot be reached; try again in a moment"
        ) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable("the connection to the database broke") from error
        raise
