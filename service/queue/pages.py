"""The queue's page: filters, list and reading pane, and the forms that work the items."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.accounts.access import Caller, Right
from service.errors import DeskError, NotFound, NothingToUndo, NotYours, Taken
from service.narratives import repository as narratives
from service.pages import spread_words, words
from service.pages.render import Viewer, go, render, safe_path
from service.posts.schemas import clipped
from service.privacy.masking import check_search, sees_private
from service.queue import grouped, many, repository
from service.queue import service as queue
from service.queue.likeness import alike
from service.queue.pane import pane_of
from service.queue.repository import Cursor, Filters
from service.queue.schemas import MAX_ITEMS, cursor, read_cursor
from service.tables import Account, QueueItem, State, Verdict
from service.web import Desk, TheDesk, storable

router = APIRouter(include_in_schema=False)
PAGE: Final = 25
_CLIP_CHARS: Final = 220
_TITLE_CHARS: Final = 90
_UNDO_AT_ONCE: Final = 100
"""Verdicts given in one act that one button takes back."""
_FILTERS: Final = (
    *("status", "label", "teknik", "risiko", "platform", "sumber", "umur", "milik", "cari"),
    "narasi",
)
Number = Annotated[int, Path(ge=1, lt=2**63)]
Text = Annotated[str, Form(max_length=5000)]
Back = Annotated[str, Form(max_length=3000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a query string asks of the queue: filters as they were typed, page and item."""

    typed: dict[str, str] = field(default_factory=dict)
    after: Cursor | None = None
    chosen: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """Return what is asked; what cannot be read is left out."""
        typed: dict[str, str] = {}
        for name in _FILTERS:
            value = storable(query.get(name, "").strip())[:200]
            if value and _FITS.get(name, _any)(value):
                typed[name] = value
        after: Cursor | None = None
        with contextlib.suppress(NotFound):
            after = read_cursor(query["setelah"][:40]) if query.get("setelah") else None
        number = query.get("pilih", "")
        chosen = int(number) if number.isdecimal() and len(number) < 19 else None
        return cls(typed=typed, after=after, chosen=chosen)

    def filters(self, caller: Caller) -> Filters:
        """Return the filters for ``service.queue.repository``."""
        get = self.typed.get
        check_search(get("cari"), caller)
        hours = get("umur")
        risk = get("risiko")
        return Filters(
            state=State(self.typed["status"]) if get("status") else None,
            label=get("label"),
            technique=get("teknik"),
            minimum_risk=float(risk) / 100 if risk else None,
            platform=get("platform"),
            source=get("sumber"),
            seen_after=datetime.now(UTC) - timedelta(hours=int(hours)) if hours else None,
            assignee_id=caller.account.id if get("milik") else None,
            narrative_id=int(self.typed["narasi"]) if get("narasi") else None,
            words=get("cari"),
            masked=not sees_private(caller),
        )

    def link(self, **more: Any) -> str:
        """Return the path of the queue with these filters; ``more`` is added, None left out."""
        asked: dict[str, Any] = {**self.typed, "setelah": cursor(self.after)} | more
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"/?{query}" if query else "/"


def _any(_value: str) -> bool:
    return True


_FITS: Final[dict[str, Callable[[str], bool]]] = {
    "status": lambda v: v in words.STATES,
    "label": lambda v: v in words.LABELS,
    "teknik": lambda v: v in words.TECHNIQUES,
    "risiko": lambda v: v.isdecimal() and len(v) <= 3 and int(v) <= 100,
    "umur": lambda v: v in words.AGES,
    "narasi": lambda v: v.isdecimal() and len(v) < 19,
}


# --- the page ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The narrative of an item as the list shows it."""

    id: int
    title: str
    stage: str
    posts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An item as the list shows it; ``others`` of its narrative stand behind it."""

    id: int
    text: str
    risk: float
    label: str
    platform: str
    reach: int
    due_at: datetime
    late: bool
    state: State
    assignee: str | None
    verdict: str | None
    narrative: Told | None
    others: int


@router.get("/")
def queue_page(request: Request, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Show a page of the queue, and one of its items in full."""
    caller.need(Right.READ)
    query = request.query_params
    wanted = Wanted.of(query)
    now = datetime.now(UTC)
    with desk.database.read() as session:
        page = grouped.page(
            session,
            wanted.filters(caller),
            viewer_id=caller.account.id,
            after=wanted.after,
            limit=PAGE,
            now=now,
        )
        items = [row.item for row in page.rows]
        chosen = next((item for item in items if item.id == wanted.chosen), None)
        if chosen is None and wanted.chosen is not None:
            chosen = repository.find_item(session, wanted.chosen)
        if chosen is None and items:
            chosen = items[0]
        asked = int(wanted.typed.get("narasi", "0"))
        numbers = {asked} | {item.post.narrative_id or 0 for item in items}
        told = {
            number: Told(
                id=number,
                title=clipped(found.title, caller, _TITLE_CHARS),
                stage=found.stage,
                posts=found.posts,
            )
            for number, found in narratives.by_number(session, numbers).items()
        }
        return render(
            request,
            "antrean.html",
            caller=caller,
            said=said_in(query),
            failed=words.ERRORS.get(query.get("gagal", "")),
            undo=undo_in(query),
            undo_narrative=undo_narrative_in(query),
            wanted=wanted,
            filtered=bool(wanted.typed.keys() - {"cari", "narasi"}),
            rows=[
                _row(row.item, caller, now, told.get(row.item.post.narrative_id or 0), row.others)
                for row in page.rows
            ],
            narrative=told.get(asked),
            chosen=chosen.id if chosen else None,
            pane=pane_of(session, desk, caller, chosen.post, chosen) if chosen else None,
            next=wanted.link(setelah=cursor(page.next)) if page.next else None,
            searched=repository.SEARCHED,
            back=wanted.link(pilih=chosen.id if chosen else None),
        )


def _row(
    item: QueueItem, caller: Caller, now: datetime, narrative: Told | None, others: int
) -> Row:
    state = queue.effective_state(item, now)
    return Row(
        id=item.id,
        text=clipped(item.post.text, caller, _CLIP_CHARS),
        risk=item.risk,
        label=item.label,
        platform=item.platform,
        reach=item.post.reach,
        due_at=item.due_at,
        late=item.open and item.due_at < now,
        state=state,
        assignee=item.assignee.name if state is State.CLAIMED and item.assignee else None,
        verdict=item.verdict,
        narrative=narrative,
        others=others,
    )


def said_in(query: Mapping[str, str]) -> str | None:
    """Return what was done, from the codes that a form's answer left in the query."""
    done = query.get("sudah", "")
    if done in words.VERDICTS:
        return f"Diputuskan: {words.VERDICTS[done]}."
    if done == "banyak":
        decided, left = _number_in(query.get("jadi", "")), _number_in(query.get("sisa", ""))
        also = f" {left} tidak: sedang dikerjakan orang lain atau sudah diputuskan." if left else ""
        return f"{decided} kiriman diputuskan.{also}"
    if done == "narasi" and query.get("putusan", "") in words.VERDICTS:
        decided, second, left, more = (
            _number_in(query.get(name, "")) for name in ("jadi", "kedua", "sisa", "lagi")
        )
        return spread_words.narrative_decided(query["putusan"], decided, second, left, more)
    return words.QUEUE_DONE.get(done)


def _number_in(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def undo_in(query: Mapping[str, str]) -> list[int]:
    """Return the items whose verdicts can be taken back at once, from the query."""
    parts = query.get("batal", "").split(",")[:_UNDO_AT_ONCE]
    return [int(part) for part in parts if part.isdecimal() and 0 < len(part) < 19]


def undo_narrative_in(query: Mapping[str, str]) -> int | None:
    """Return the narrative whose verdict can be taken back at once, from the query."""
    number = query.get("narasi_batal", "")
    return int(number) if number.isdecimal() and 0 < len(number) < 19 else None


# --- the forms ---------------------------------------------------------------------------------


@router.post("/antrean/{item_id}/ambil")
def claim(item_id: Number, caller: Viewer, desk: TheDesk, kembali: Back = "/") -> RedirectResponse:
    """Take an item."""
    return _step(desk, caller, kembali, item_id, "ambil", queue.claim, desk.rules)


@router.post("/antrean/{item_id}/lepas")
def release(
    item_id: Number, caller: Viewer, desk: TheDesk, kembali: Back = "/"
) -> RedirectResponse:
    """Give an item back."""
    return _step(desk, caller, kembali, item_id, "lepas", queue.release)


@router.post("/antrean/{item_id}/alihkan")
def hand_over(
    item_id: Number, caller: Viewer, desk: TheDesk, kepada: Text = "", kembali: Back = "/"
) -> RedirectResponse:
    """Give an item to a colleague, claiming it first where it is free."""

    def step(session: Session, number: int, account: Account) -> QueueItem:
        to = session.scalar(select(Account).where(Account.name == storable(kepada)))
        if to is None:
            raise NotFound("there is no such moderator")
        queue.take(session, number, account, desk.rules)
        return queue.hand_over(session, number, account, to, desk.rules)

    return _step(desk, caller, kembali, item_id, "alihkan", step)


@router.post("/antrean/{item_id}/putus")
def decide(
    item_id: Number,
    caller: Viewer,
    desk: TheDesk,
    putusan: Annotated[Verdict, Form()],
    catatan: Text = "",
    bukti: Annotated[str, Form(max_length=40_000)] = "",
    kembali: Back = "/",
) -> RedirectResponse:
    """Give a verdict and go on to the next item."""
    note, evidence = evidence_of(storable(catatan), storable(bukti))

    def step(session: Session, number: int, account: Account) -> QueueItem:
        return many.take_and_decide(
            session, number, account, putusan, desk.rules, note=note, evidence=evidence
        )

    return _step(desk, caller, kembali, item_id, putusan.value, step, on=True)


@router.post("/antrean/{item_id}/buka")
def reopen(
    item_id: Number, caller: Viewer, desk: TheDesk, alasan: Text = "", kembali: Back = "/"
) -> RedirectResponse:
    """Put a decided item back into the queue."""
    why = storable(alasan.strip())[:1000]
    if len(why) < 3:
        return back_to(kembali, item_id, gagal="invalid")
    return _step(desk, caller, kembali, item_id, "buka", queue.reopen, why, right=Right.REOPEN)


@router.post("/antrean/{item_id}/uji")
def make_golden(
    item_id: Number, caller: Viewer, desk: TheDesk, kembali: Back = "/"
) -> RedirectResponse:
    """Make a decided item one that checks the desk itself."""
    return _step(
        desk, caller, kembali, item_id, "uji", queue.make_golden, desk.rules, right=Right.REOPEN
    )


@router.post("/antrean/{item_id}/uji-akhir")
def end_golden(
    item_id: Number, caller: Viewer, desk: TheDesk, kembali: Back = "/"
) -> RedirectResponse:
    """Take a golden item out of the queue."""
    return _step(desk, caller, kembali, item_id, "uji-akhir", queue.end_golden, right=Right.REOPEN)


@router.post("/antrean/batal")
def undo(
    caller: Viewer,
    desk: TheDesk,
    butir: Annotated[list[int] | None, Form(max_length=_UNDO_AT_ONCE)] = None,
    kembali: Back = "/",
) -> RedirectResponse:
    """Take back one's verdicts on the items listed, or one's last one."""
    caller.need(Right.MODERATE)
    undone: int | None = None
    failed: DeskError | None = None
    numbers: list[int | None] = [*butir] if butir else [None]
    for number in numbers:
        try:
            with desk.database.write() as session:
                undone = queue.undo(session, caller.account, number).id
        except NothingToUndo as error:
            failed = error
    if undone is None:
        return back_to(kembali, None, gagal=failed.code if failed else "nothing-to-undo")
    return back_to(kembali, undone, sudah="batal")


@router.post("/antrean/putus-banyak")
def decide_many(
    caller: Viewer,
    desk: TheDesk,
    putusan: Annotated[Verdict, Form()],
    butir: Annotated[list[int] | None, Form(max_length=MAX_ITEMS)] = None,
    serupa: Annotated[int | None, Form(gt=0, lt=2**63)] = None,
    kembali: Back = "/",
) -> RedirectResponse:
    """Give one verdict on the items chosen, or on all that are alike to one."""
    caller.need(Right.MODERATE)
    items = [number for number in butir or [] if 0 < number < 2**63]
    if serupa is not None:
        with desk.database.read() as session:
            items = alike(session, desk.likeness, serupa, viewer_id=caller.account.id)
    if not items:
        return back_to(kembali, None, gagal="nothing-chosen")
    outcomes = many.decide_many(desk.database, items, caller.account, putusan, desk.rules)
    decided = [outcome.item_id for outcome in outcomes if outcome.error is None]
    return back_to(
        kembali,
        None,
        sudah="banyak",
        jadi=len(decided),
        sisa=len(outcomes) - len(decided),
        batal=",".join(map(str, decided[:_UNDO_AT_ONCE])) or None,
    )


def _step(
    desk: Desk,
    caller: Caller,
    back: str,
    item_id: int,
    done: str,
    step: Callable[..., QueueItem],
    *args: Any,
    right: Right = Right.MODERATE,
    on: bool = False,
) -> RedirectResponse:
    """Do one step on an item and go back; ``on``: to the item that follows it."""
    caller.need(right)
    try:
        with desk.database.write() as session:
            item = step(session, item_id, caller.account, *args)
            place = (item.priority, item.id)
    except (NotFound, Taken, NotYours) as error:
        return back_to(back, item_id, gagal=error.code)
    if not on:
        return back_to(back, item_id, sudah=done)
    return back_to(back, _following(desk, caller, back, place), sudah=done, batal=item_id)


def _following(desk: Desk, caller: Caller, back: str, place: Cursor) -> int | None:
    filters = Wanted.of(dict(parse_qsl(urlsplit(safe_path(back)).query))).filters(caller)
    with desk.database.read() as session:
        page = grouped.page(session, filters, viewer_id=caller.account.id, after=place, limit=1)
    return page.rows[0].item.id if page.rows else None


def back_to(path: str, chosen: int | None, **said: Any) -> RedirectResponse:
    """Go back to the page that a form came from, with what is to be said there."""
    parts = urlsplit(safe_path(path))
    told = {name: value for name, value in said.items() if value is not None}
    if parts.path.startswith(("/kiriman/", "/narasi/")):
        return go(f"{parts.path}?{urlencode(told)}")
    wanted = Wanted.of(dict(parse_qsl(parts.query)))
    return go(f"{wanted.link(pilih=chosen, **told)}#kiriman")


def evidence_of(note: str, lines: str) -> tuple[str, list[str]]:
    """Return note and links; a line that is no link becomes part of the note: nothing is lost."""
    links: list[str] = []
    rest: list[str] = []
    for line in (line.strip() for line in lines.splitlines()):
        is_link = line.startswith(("https://", "http://")) and len(line) <= 2000
        if line:
            (links if is_link and len(links) < 20 else rest).append(line)
    return "\n".join(part for part in (note.strip(), *rest) if part)[:20_000], links
