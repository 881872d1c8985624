"""The pages of feeds: send one, watch one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from service.accounts.access import Right
from service.errors import DeskError
from service.feeds import service as feeds
from service.feeds.errors import FeedRefused
from service.feeds.routes import FeedId, take
from service.feeds.service import OPEN
from service.pages import words
from service.pages.render import Viewer, go, render
from service.privacy.masking import readable
from service.tables import StoredFeed
from service.web import Desk, TheDesk

router = APIRouter(include_in_schema=False)
_SHOWN: Final = 20
_COLUMNS_SHOWN: Final = 20


@router.get("/unggah")
def upload_page(
    request: Request,
    viewer: Viewer,
    desk: TheDesk,
    setelah: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> Response:
    """Show the form, and the last feeds with their progress."""
    viewer.need(Right.SUBMIT)
    return _upload_page(request, viewer, desk, after=setelah)


def _upload_page(
    request: Request,
    viewer: Viewer,
    desk: Desk,
    *,
    after: int | None = None,
    failed: str | None = None,
    status: int = 200,
) -> Response:
    with desk.database.read() as session:
        page = feeds.page(session, after=after, limit=_SHOWN)
    return render(
        request,
        "unggah.html",
        caller=viewer,
        status=status,
        failed=failed,
        feeds=[_shown(feed, viewer) for feed in page],
        running=any(feed.state in OPEN for feed in page),
        next=page[-1].id if len(page) == _SHOWN else None,
        most_bytes=desk.settings.max_feed_bytes,
        most=words.size(desk.settings.max_feed_bytes),
    )


@router.post("/unggah")
async def send_feed(request: Request, viewer: Viewer, desk: TheDesk) -> Response:
    """Take the form's file and go to the feed's page; say on the form what is wrong with it."""
    viewer.need(Right.SUBMIT)
    try:
        feed = await take(request, desk, viewer)
    except DeskError as error:
        said = words.said(error)
        if isinstance(error, FeedRefused) and error.columns:
            shown = ", ".join(error.columns[:_COLUMNS_SHOWN])
            said = f"{said} Kolom yang ada: {shown}."
        return _upload_page(request, viewer, desk, failed=said, status=error.status)
    return go(f"/umpan/{feed.id}")


@router.get("/umpan/{feed_id}")
def feed_page(request: Request, viewer: Viewer, desk: TheDesk, feed_id: FeedId) -> Response:
    """Show a feed: how far it is, what became of its rows, where its result is."""
    viewer.need(Right.READ)
    with desk.database.read() as session:
        feed = feeds.get(session, feed_id)
    return render(
        request,
        "umpan.html",
        caller=viewer,
        running=feed.state in OPEN,
        kept=(desk.settings.feeds_folder / feed.file).is_file(),
        **_shown(feed, viewer),
    )


@router.post("/umpan/{feed_id}/batalkan")
def cancel_feed(viewer: Viewer, desk: TheDesk, feed_id: FeedId) -> Response:
    """Stop the work on a feed."""
    viewer.need(Right.SUBMIT)
    with desk.database.write() as session:
        feeds.cancel(session, feed_id, viewer)
    return go(f"/umpan/{feed_id}")


def _shown(feed: StoredFeed, viewer: Viewer) -> dict[str, Any]:
    return {
        "feed": feed,
        "name": readable(feed.name, viewer),
        "progress": feeds.progress(feed, datetime.now(UTC)),
        "error": None if feed.error_code is None else words.ERRORS.get(feed.error_code),
        "detail": readable(feed.error or "", viewer),
    }
