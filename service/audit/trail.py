"""The audit trail: append-only rows, each carrying the hash of all before it.

A row's hash is SHA-256 over the hash of the row before and its own content (a hash chain, as in
Schneier & Kelsey, 1998). Who changes, drops or slips in a row breaks the chain from there on;
``audit_head`` keeps the last hash, so that rows cut off the end are missed too. Someone who may
write the whole database can rewrite the chain: keep a copy of the head elsewhere
(``lilin audit verify`` prints it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import AuditBroken
from service.tables import AuditHead, AuditRow

START: Final = "0" * 64
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A trail that holds: how many rows, and the hash of the last."""

    rows: int
    head: str


def record(session: Session, *, actor: str, action: str, subject: str, **details: Any) -> AuditRow:
    """Append a row in the transaction of the change it tells of: both stand, or neither.

    ``details`` must be JSON; never put a password, a key or the text of a post in them.
    """
    head = session.scalars(
        select(AuditHead).with_for_update().execution_options(populate_existing=True)
    ).one()
    row = AuditRow(
        id=head.last + 1,
        at=datetime.now(UTC).replace(microsecond=0),
        actor=actor,
        action=action,
        subject=subject,
        details=orjson.loads(orjson.dumps(details)),
        hash="",
    )
    row.hash = chained(head.hash, row)
    head.last, head.hash = row.id, row.hash
    session.add(row)
    session.flush()
    return row


def chained(before: str, row: AuditRow) -> str:
    """Return the hash of a row that follows a row with the hash ``before``."""
    content = orjson.dumps(
        [row.id, row.at.isoformat(), row.actor, row.action, row.subject, row.details],
        option=orjson.OPT_SORT_KEYS,
    )
    return hashlib.sha256(before.encode() + content).hexdigest()


def rows(session: Session, *, until: int | None = None) -> Iterator[AuditRow]:
    """Yield the trail from its start to the row ``until`` (None: to its end), in pages."""
    last = 0
    while True:
        query = select(AuditRow).where(AuditRow.id > last).order_by(AuditRow.id).limit(_PAGE)
        if until is not None:
            query = query.where(AuditRow.id <= until)
        page = session.scalars(query).all()
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1].id
        session.expunge_all()


def verify(session: Session) -> Verified:
    """Check the whole chain.

    Raises:
        AuditBroken: a row was changed, dropped, slipped in or cut off; the message names it.
    """
    # What others append while this reads is not yet part of what is checked.
    head = session.scalars(select(AuditHead)).one()
    until, last = head.last, head.hash
    before, count = START, 0
    for row in rows(session, until=until):
        if row.id != count + 1:
            raise AuditBroken(f"row {count + 1} of the audit trail is missing")
        if row.hash != chained(before, row):
            raise AuditBroken(f"row {row.id} of the audit trail is not what was written")
        before, count = row.hash, row.id
    if (until, last) != (count, before):
        raise AuditBroken(
            f"the audit trail ends at row {count}, but {until} rows were written: "
            "its end was cut off"
        )
    # One statement sees one moment: nothing may stand beyond the head.
    newest = select(AuditHead.last, select(func.max(AuditRow.id)).scalar_subquery())
    counted, highest = session.execute(newest).one()
    if counted != (highest or 0):
        raise AuditBroken(f"row {highest} of the audit trail stands beyond its end, {counted}")
    return Verified(rows=count, head=before)
