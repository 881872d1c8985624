"""The audit trail as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from service.audit.listing import AuditFilters, as_dict
from service.tables import AuditRow
from service.web import Model, storable


class AuditRowOut(Model):
    """One line of the trail; `hash` covers it and all before it."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
    hash: str

    @classmethod
    def of(cls, row: AuditRow) -> AuditRowOut:
        """Return a row as it is shown."""
        return cls(**as_dict(row))


class AuditOut(Model):
    """A page of the trail, the newest first; `next` goes into `before`, null at the end.

    A page by actor may be short, even empty, while `next` says that there is more to look through.
    """

    rows: list[AuditRowOut]
    next: int | None


class AuditQuery(Model):
    """Filters of the trail; times are since (included) and until (not)."""

    actor: Annotated[str | None, Field(max_length=120)] = None
    action: Annotated[str | None, Field(max_length=60)] = None
    subject: Annotated[str | None, Field(max_length=120)] = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: Annotated[int | None, Field(ge=1, lt=2**63)] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100

    def filters(self) -> AuditFilters:
        """Return the filters for ``service.audit.listing``."""
        words = {name: getattr(self, name) for name in ("actor", "action", "subject")}
        return AuditFilters(
            **{name: storable(word) if word else None for name, word in words.items()},
            since=self.since,
            until=self.until,
        )
