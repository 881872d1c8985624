"""What was decided, as a file: for reports, for colleagues, for training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import contains_eager, selectinload

from service import export
from service.accounts.access import Caller, Right
from service.database import Database
from service.export import Format
from service.posts.schemas import PostOut
from service.privacy.masking import readable
from service.tables import QueueItem, Review
from service.web import TheCaller, TheDesk

router = APIRouter(prefix="/v1")
FIELDS: Final = (
    *("item", "post", "verdict", "decided_at", "first_seen_at", "due_at"),
    *("reviews", "agreed", "note", "evidence", "platform", "source", "text", "url", "posted_at"),
    *("lilin_risk", "lilin_label", "lilin_technique", "lilin_tone", "model"),
)
_AT_ONCE: Final = 500


@router.get("/verdicts", tags=["queue"], summary="Decided items as a file")
def verdicts(
    caller: TheCaller,
    desk: TheDesk,
    format: Annotated[Format, Query(description="csv or jsonl")] = "csv",  # noqa: A002
    days: Annotated[int, Query(ge=1, le=3650, description="Decided in so many days.")] = 90,
) -> StreamingResponse:
    """Stream what was decided, in the order of the items; personal data as the caller may see it."""
    caller.need(Right.READ)
    since = datetime.now(UTC) - timedelta(days=days)
    return export.download("lilin-putusan", exported(desk.database, caller, since, format), format)


def exported(
    database: Database,
    caller: Caller,
    since: datetime,
    format: Format,  # noqa: A002
) -> Iterator[bytes]:
    """Yield the decided items in pieces, each read in a transaction of its own."""
    yield export.head(FIELDS, format)
    last = 0
    while True:
        with database.read() as session:
            items = session.scalars(
                select(QueueItem)
                .join(QueueItem.post)
                .where(~QueueItem.open, QueueItem.id > last, QueueItem.decided_at >= since)
                .options(contains_eager(QueueItem.post), selectinload(QueueItem.reviews))
                .order_by(QueueItem.id)
                .limit(_AT_ONCE)
            ).all()
            rows = [_row(item, caller) for item in items]
        if rows:
            yield export.lines(rows, format)
        if len(items) < _AT_ONCE:
            return
        last = items[-1].id


def _row(item: QueueItem, caller: Caller) -> dict[str, Any]:
    post = PostOut.of(item.post, caller)
    standing: list[Review] = [r for r in item.reviews if r.undone_at is None]
    note = "\n".join(r.note for r in standing if r.note)
    return {
        "item": item.id,
        "post": post.id,
        "verdict": item.verdict,
        "decided_at": item.decided_at,
        "first_seen_at": item.first_seen_at,
        "due_at": item.due_at,
        "reviews": len(standing),
        "agreed": len({r.verdict for r in standing}) <= 1,
        "note": readable(note, caller),
        "evidence": " ".join(readable(link, caller) for r in standing for link in r.evidence),
        "platform": post.platform,
        "source": post.source,
        "text": post.text,
        "url": post.url,
        "posted_at": post.posted_at,
        "lilin_risk": round(post.score.risk, 4),
        "lilin_label": post.score.label,
        "lilin_technique": post.score.technique,
        "lilin_tone": post.score.tone,
        "model": post.model,
    }
