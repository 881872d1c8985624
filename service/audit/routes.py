"""The audit trail for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.accounts.access import Right
from service.audit import listing
from service.audit.schemas import AuditOut, AuditQuery, AuditRowOut
from service.web import TheCaller, TheDesk

router = APIRouter(prefix="/v1")


@router.get("/audit", tags=["audit"], summary="The audit trail, the newest first")
def get_audit(caller: TheCaller, desk: TheDesk, query: Annotated[AuditQuery, Query()]) -> AuditOut:
    """Return a page of the audit trail."""
    caller.need(Right.ADMINISTER)
    with desk.database.read() as session:
        found = listing.page(session, query.filters(), before=query.before, limit=query.limit)
    return AuditOut(rows=[AuditRowOut.of(row) for row in found.rows], next=found.before)
