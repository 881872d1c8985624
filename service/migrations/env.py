"""Alembic's way in: the migrations run on the database they are given, in one transaction."""

from __future__ import annotations

from alembic import context

from service.database import Database
from service.tables import Table

database: Database = context.config.attributes["database"]

with database.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=database.is_sqlite,
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
