"""The database's migrations: up with ``lilin migrate``, down with ``lilin migrate --to``."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from service.database import Database

NEWEST = "head"


def migrate(database: Database, to: str = NEWEST) -> None:
    """Bring the tables to the revision ``to``: ``head``, ``base`` (no tables), or a number."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database"] = database
    if to == "base" or (to.isdigit() and int(to) < _current(database)):
        command.downgrade(config, to)
    else:
        command.upgrade(config, to)


def _current(database: Database) -> int:
    from alembic.runtime.migration import MigrationContext

    with database.engine.connect() as connection:
        return int(MigrationContext.configure(connection).get_current_revision() or 0)
