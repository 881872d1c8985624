"""Feeds: upload a file, watch its progress, take its result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from pipeline.feeds import FORMATS
from pipeline.pii import mask
from service.accounts.access import Caller, Right
from service.feeds import result
from service.feeds import service as feeds
from service.feeds.errors import FeedRefused
from service.feeds.schemas import FeedOut, FeedsOut, FormatName
from service.feeds.upload import FORM_BYTES, receive
from service.privacy.masking import sees_private
from service.settings import Settings
from service.tables import StoredFeed
from service.web import Desk, TheCaller, TheDesk, storable

router = APIRouter(prefix="/v1/feeds", tags=["feeds"])
FeedId = Annotated[int, Path(ge=1, lt=2**63)]
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "text_column": {"type": "string", "maxLength": 200},
                        "format": {"type": "string", "enum": list(FORMATS)},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def large_bodies(settings: Settings) -> dict[str, int]:
    """Return the paths that take a feed, with the largest body that each takes."""
    return dict.fromkeys(("/v1/feeds", "/unggah"), settings.max_feed_bytes + FORM_BYTES)


@router.post("", status_code=202, summary="Upload a feed", openapi_extra=_BODY)
async def upload_feed(
    request: Request,
    response: Response,
    caller: TheCaller,
    desk: TheDesk,
    name: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
    text_column: Annotated[str | None, Query(max_length=200)] = None,
    format: Annotated[FormatName | None, Query()] = None,  # noqa: A002
) -> FeedOut:
    """Take a CSV, TSV, JSONL, Parquet, Telegram or WhatsApp file, also .gz or .zst, and make a job.

    Send a form with the field `file`, or the file as the body with its `name` in the query. The
    job scores, stores and queues its posts; watch it at the address in `Location`.
    """
    caller.need(Right.SUBMIT)
    feed = await take(request, desk, caller, name=name, text_column=text_column, format_=format)
    response.headers["Location"] = f"/v1/feeds/{feed.id}"
    return FeedOut.of(feed, caller)


async def take(
    request: Request,
    desk: Desk,
    caller: Caller,
    *,
    name: str | None = None,
    text_column: str | None = None,
    format_: str | None = None,
) -> StoredFeed:
    """Write the file of a request to the disk and make a job of it; for route and page.

    Raises:
        FeedTooLarge, DiskFull, UploadCutOff, FeedRefused: nothing is kept of it.
    """
    folder = desk.settings.feeds_folder
    upload = await receive(request, folder=folder, limit=desk.settings.max_feed_bytes, name=name)
    text_column = storable(text_column or upload.fields.get("text_column") or "").strip() or None
    format_ = format_ or upload.fields.get("format") or None
    try:
        if format_ is not None and format_ not in FORMATS:
            raise FeedRefused(f"there is no such format; there are {', '.join(FORMATS)}")
        if text_column is not None and len(text_column) > 200:
            raise FeedRefused("text_column is longer than 200 characters")
    except FeedRefused:
        upload.discard()
        raise
    return await run_in_threadpool(
        feeds.submit,
        desk.database,
        folder,
        upload,
        account=caller.account,
        actor=caller.account.name,
        text_column=text_column,
        format=format_,
    )


@router.get("", summary="The feeds, the newest first")
def list_feeds(
    caller: TheCaller,
    desk: TheDesk,
    after: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> FeedsOut:
    """Return a page of feeds."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        page = feeds.page(session, after=after, limit=limit)
    return FeedsOut(
        feeds=[FeedOut.of(feed, caller) for feed in page],
        next=page[-1].id if len(page) == limit else None,
    )


@router.get("/{feed_id}", summary="One feed and its progress")
def get_feed(feed_id: FeedId, caller: TheCaller, desk: TheDesk) -> FeedOut:
    """Return how far the work on a feed is, what became of its rows, and why it failed if it did."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        return FeedOut.of(feeds.get(session, feed_id), caller)


@router.post("/{feed_id}/cancel", summary="Stop the work on a feed")
def cancel_feed(feed_id: FeedId, caller: TheCaller, desk: TheDesk) -> FeedOut:
    """Stop the work; posts that are stored stay. A feed that has ended stays as it is."""
    caller.need(Right.SUBMIT)
    with desk.database.write() as session:
        return FeedOut.of(feeds.cancel(session, feed_id, caller), caller)


@router.get("/{feed_id}/result", summary="The feed with its scores", response_class=Response)
def get_result(
    feed_id: FeedId,
    caller: TheCaller,
    desk: TheDesk,
    format: Annotated[result.Format, Query()] = "csv",  # noqa: A002
) -> Response:
    """Return the scored rows so far, in the order of the file, with seven `lilin_` columns.

    Without the right to see private data: date, platform and masked text alone.
    """
    caller.need(Right.READ)
    with desk.database.read() as session:
        feed = feeds.get(session, feed_id)
    path = desk.settings.feeds_folder / feed.file
    rows = result.scored_rows(desk.database, feed, path, format, private=sees_private(caller))
    kind = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    return _download(rows, feed, f"scored.{format}", kind)


@router.get("/{feed_id}/rejects", summary="The rows that were not scored", response_class=Response)
def get_rejects(feed_id: FeedId, caller: TheCaller, desk: TheDesk) -> Response:
    """Return, as CSV, where each rejected row begins, the field at fault and why."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        feed = feeds.get(session, feed_id)
    rows = result.rejected_rows(desk.database, feed_id)
    return _download(rows, feed, "rejects.csv", "text/csv; charset=utf-8")


def _download(rows: Iterator[bytes], feed: StoredFeed, ending: str, kind: str) -> Response:
    name = quote(f"{mask(feed.name).partition('.')[0] or 'feed'}.{ending}", safe="")
    return StreamingResponse(
        rows,
        media_type=kind,
        headers={
            "Content-Disposition": (
                f"attachment; filename=\"feed-{feed.id}.{ending}\"; filename*=UTF-8''{name}"
            ),
            "Cache-Control": "no-store",
        },
    )
