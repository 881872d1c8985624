"""The databases of the storage tests, for processes of their own."""

from __future__ import annotations

from tests.unit.service.conftest import database, empty_database, postgres_url

__all__ = ["database", "empty_database", "postgres_url"]
