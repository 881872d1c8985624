"""The database's migrations: up with ``lilin migrate``, down with ``lilin migrate --to``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import inspect, text

from service.database import Database

NEWEST = "head"


def migrate(database: Database, to: str = NEWEST) -> None:
    """Bring the tables to the revision ``to``: ``head``, ``base`` (no tables), or a number."""
    if to == NEWEST and _current(database) == newest():
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database"] = database
    if to == "base" or (to.isdigit() and int(to) < _current(database)):
        command.downgrade(config, to)
    else:
        command.upgrade(config, to)


@cache
def newest() -> int:
    """Return the number of the newest migration: their files' names begin with it."""
    return max(int(path.name[:4]) for path in (Path(__file__).parent / "versions").glob("0*.py"))


def state_of(database: Database) -> str | None:
    """Return what is wrong with the tables, None if they fit the code.

    Raises:
        DatabaseUnavailable: the database is gone or locked.
    """
    current = _current(database)
    if current == newest():
        return None
    if current == 0:
        return "the tables are missing: run `lilin migrate`"
    if current < newest():
        return (
            f"the tables are behind the code (migration {current:04d} of {newest():04d}): "
            "run `lilin migrate`"
        )
    return f"the tables are newer than the code (migration {current:04d}): start the newer Lilin"


def _current(database: Database) -> int:
    with database.read() as session:
        connection = session.connection()
        if not inspect(connection).has_table("alembic_version"):
            return 0
        return int(connection.scalar(text("SELECT version_num FROM alembic_version")) or 0)
