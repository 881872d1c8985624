"""The page of one post, and the form to send one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from service.accounts.access import Right
from service.errors import NotFound
from service.pages import words
from service.pages.render import Viewer, go, render
from service.posts.explain import Explanation, explain
from service.posts.intake import NewPost, accept
from service.posts.schemas import ScoreOut
from service.queue import repository
from service.queue.pages import said_in, undo_in, undo_narrative_in
from service.queue.pane import pane_of
from service.tables import QueueItem, StoredPost
from service.web import TheDesk, storable

router = APIRouter(include_in_schema=False)
_WEAK, _STRONG = 1, 2
MOST_CHARS: Final = 20_000
Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/kiriman/{post_id}")
def post_page(
    request: Request, post_id: Number, caller: Viewer, desk: TheDesk, jelaskan: str = ""
) -> HTMLResponse:
    """Show a post in full; with ``jelaskan`` the words that raised its score."""
    caller.need(Right.READ)
    explained: Explanation | None = None
    with desk.database.read() as session:
        post = session.get(StoredPost, post_id)
        if post is None:
            raise NotFound(f"there is no post {post_id}")
        number = session.scalar(select(QueueItem.id).where(QueueItem.post_id == post.id))
        item = None if number is None else repository.find_item(session, number)
        pane = pane_of(session, desk, caller, post, item)
    more: dict[str, Any] = {}
    if jelaskan:
        explained = explain(pane.post.text, desk.batcher)
        more = {
            "explained": explained,
            "marked": _marked(pane.post.text, explained),
            "spoken": spoken(pane.post.text, explained),
        }
    return render(
        request,
        "kiriman.html",
        caller=caller,
        said=said_in(request.query_params),
        failed=words.ERRORS.get(request.query_params.get("gagal", "")),
        undo=undo_in(request.query_params),
        undo_narrative=undo_narrative_in(request.query_params),
        pane=pane,
        back=f"/kiriman/{post_id}",
        queue_link=f"/?pilih={item.id}" if item and item.open else "/",
        **more,
    )


def _marked(text: str, found: Explanation) -> list[tuple[str, int]]:
    """Return the text in parts, each with its strength: 0 none, 1 some, 2 much."""
    parts: list[tuple[str, int]] = []
    at = 0
    for span in found.spans:
        parts.append((text[at : span.start], 0))
        parts.append((text[span.start : span.end], _STRONG if span.strong else _WEAK))
        at = span.end
    return [*parts, (text[at:], 0)]


def spoken(text: str, found: Explanation) -> list[tuple[str, bool]]:
    """Return the words in the order of their weight, each once."""
    by_weight = sorted(found.spans, key=lambda span: -span.weight)
    return list({text[s.start : s.end]: s.strong for s in by_weight}.items())[:20]


# --- sending -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What stands in the form's fields."""

    text: str = ""
    platform: str = "whatsapp"
    url: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of the post that was sent last."""

    id: int
    seen: int
    queued: bool


@router.get("/kirim")
def send_page(request: Request, caller: Viewer, desk: TheDesk, kiriman: str = "") -> HTMLResponse:
    """Show the form to send a post, and what became of the last one."""
    caller.need(Right.SUBMIT)
    sent, score = None, None
    if kiriman.isdecimal() and len(kiriman) < 19:
        with desk.database.read() as session:
            post = session.get(StoredPost, int(kiriman), options=[joinedload(StoredPost.item)])
        if post is not None:
            score = ScoreOut.of(post)
            sent = Sent(id=post.id, seen=post.seen, queued=post.item is not None)
    return _form(request, caller, Typed(), score=score, sent=sent)


@router.post("/kirim")
def send(
    request: Request,
    caller: Viewer,
    desk: TheDesk,
    teks: Annotated[str, Form()] = "",
    platform: Annotated[str, Form(max_length=40)] = "unknown",
    tautan: Annotated[str, Form(max_length=2000)] = "",
    akun: Annotated[str, Form(max_length=200)] = "",
    aksi: Annotated[str, Form(max_length=20)] = "simpan",
) -> Response:
    """Score a post; unless only the score was asked for, store it and queue it if it is risky."""
    caller.need(Right.SUBMIT)
    typed = Typed(
        text=storable(teks).replace("\r\n", "\n"),
        platform=platform if platform in words.PLATFORMS else "unknown",
        url=storable(tautan.strip()),
        account=storable(akun.strip()),
    )
    failed = None
    if not typed.text.strip():
        failed = "Isi dulu teks kirimannya."
    elif len(typed.text) > MOST_CHARS:
        failed = f"Teksnya terlalu panjang; paling banyak {words.number(MOST_CHARS)} karakter."
    elif typed.url and not typed.url.startswith(("https://", "http://")):
        failed = "Tautan harus diawali https:// atau http://."
    if failed:
        return _form(request, caller, typed, failed=failed, status=422)
    if aksi == "nilai":
        ((score, _),) = desk.batcher.score_and_embed([typed.text])
        return _form(request, caller, typed, score=ScoreOut.of(score))
    post = NewPost(
        text=typed.text,
        platform=typed.platform,
        source="page",
        account=typed.account or None,
        url=typed.url or None,
    )
    (accepted,) = accept(
        desk.database,
        [post],
        desk.batcher.score_and_embed,
        desk.rules,
        model=desk.batcher.version,
    )
    return go(f"/kirim?kiriman={accepted.post.id}")


def _form(
    request: Request,
    caller: Viewer,
    typed: Typed,
    *,
    score: ScoreOut | None = None,
    sent: Sent | None = None,
    failed: str | None = None,
    status: int = 200,
) -> HTMLResponse:
    return render(
        request,
        "kirim.html",
        caller=caller,
        status=status,
        failed=failed,
        typed=typed,
        score=score,
        accepted=sent,
        most=MOST_CHARS,
    )
