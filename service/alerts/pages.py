"""The pages of alerts: the list, one in full, and the forms that work on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from service.accounts.access import Caller, Right
from service.alerts import lists, outbox, repository
from service.alerts.repository import AlertFilters, Cursor
from service.alerts.schemas import cursor, read_cursor
from service.errors import NotDead, NotFound
from service.pages import alert_words, words
from service.pages.render import Viewer, go, render, safe_path
from service.posts.explain import explain
from service.posts.pages import spoken
from service.privacy.masking import readable
from service.tables import Alert
from service.web import Desk, TheDesk

router = APIRouter(include_in_schema=False)
PAGE: Final = 25
Number = Annotated[int, Path(ge=1, lt=2**63)]
Back = Annotated[str, Form(max_length=3000)]
_FILTERS: Final = ("keadaan", "tahap", "pantauan", "ditangani")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a query string asks of the list: filters as they were typed, and the page."""

    typed: dict[str, str]
    after: Cursor | None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """Return what is asked; what cannot be read is left out."""
        typed = {
            name: value
            for name in _FILTERS
            if (value := query.get(name, "")[:20]) and _FITS[name](value)
        }
        after: Cursor | None = None
        with contextlib.suppress(NotFound):
            after = read_cursor(query["setelah"][:40]) if query.get("setelah") else None
        return cls(typed=typed, after=after)

    def filters(self) -> AlertFilters:
        """Return the filters for ``service.alerts.repository``."""
        get = self.typed.get
        return AlertFilters(
            state=get("keadaan"),
            kind=get("tahap"),
            watch_list_id=int(self.typed["pantauan"]) if get("pantauan") else None,
            handled=get("ditangani") == "sudah" if get("ditangani") else None,
        )

    def link(self, **more: Any) -> str:
        """Return the path of the list with these filters; ``more`` is added, None left out."""
        asked: dict[str, Any] = {**self.typed, "setelah": cursor(self.after)} | more
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"/peringatan?{query}" if query else "/peringatan"


_FITS: Final[dict[str, Callable[[str], bool]]] = {
    "keadaan": lambda v: v in alert_words.STATES,
    "tahap": lambda v: v in alert_words.LEVELS,
    "pantauan": lambda v: v.isascii() and v.isdecimal() and 0 < int(v) < 2**63,
    "ditangani": lambda v: v in alert_words.HANDLED,
}


@router.get("/peringatan")
def alerts_page(request: Request, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Show the alerts, the newest first, those held back among them."""
    caller.need(Right.READ)
    wanted = Wanted.of(request.query_params)
    with desk.database.read() as session:
        page = repository.page(session, wanted.filters(), after=wanted.after, limit=PAGE)
        sent = repository.deliveries_of(session, [alert.id for alert in page.alerts])
        watch_lists = repository.watch_lists(session)
        dead = outbox.dead_count(session)
        told = repository.told(session, 1)
    return render(
        request,
        "peringatan.html",
        caller=caller,
        said=alert_words.DONE.get(request.query_params.get("sudah", "")),
        wanted=wanted,
        alerts=page.alerts,
        sent=sent,
        watch_lists=watch_lists,
        dead=dead,
        since=told[0].timestamp() if told else 0,
        next=wanted.link(setelah=cursor(page.next)) if page.next else None,
        back=wanted.link(),
    )


@router.get("/peringatan/{alert_id}")
def alert_page(
    request: Request, alert_id: Number, caller: Viewer, desk: TheDesk, jelaskan: str = ""
) -> HTMLResponse:
    """Show an alert in full; with ``jelaskan`` the words that raised its riskiest post's score."""
    caller.need(Right.READ)
    query = request.query_params
    with desk.database.read() as session:
        alert = _alert(repository.find_alert(session, alert_id), alert_id)
        deliveries = outbox.list_deliveries(session, alert_id=alert_id)
        riskiest = repository.riskiest(session, alert.narrative_id) if jelaskan else None
    heard: list[tuple[str, bool]] = []
    if riskiest is not None:
        text = readable(riskiest.text, caller)
        heard = spoken(text, explain(text, desk.batcher))
    return render(
        request,
        "peringatan_satu.html",
        caller=caller,
        said=alert_words.DONE.get(query.get("sudah", "")),
        failed=words.ERRORS.get(query.get("gagal", "")),
        alert=alert,
        content=alert.payload,
        deliveries=deliveries,
        riskiest=riskiest,
        spoken=heard,
        moment=datetime.fromisoformat,
        back=f"/peringatan/{alert_id}",
    )


def _alert(found: Alert | None, alert_id: int) -> Alert:
    if found is None:
        raise NotFound(f"there is no alert {alert_id}")
    return found


# --- the forms ---------------------------------------------------------------------------------


@router.post("/peringatan/{alert_id}/tangani")
def handle(
    alert_id: Number, caller: Viewer, desk: TheDesk, kembali: Back = "/peringatan"
) -> RedirectResponse:
    """Write down that the caller has seen to an alert."""
    return _mark(desk, caller, alert_id, True, kembali)


@router.post("/peringatan/{alert_id}/batal-tangani")
def unhandle(
    alert_id: Number, caller: Viewer, desk: TheDesk, kembali: Back = "/peringatan"
) -> RedirectResponse:
    """Take that back."""
    return _mark(desk, caller, alert_id, False, kembali)


def _mark(desk: Desk, caller: Caller, alert_id: int, handled: bool, back: str) -> RedirectResponse:
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        lists.mark_handled(session, alert_id, caller.account, handled, now=datetime.now(UTC))
    return go(told(back, sudah="tangani" if handled else "batal-tangani"))


@router.post("/pesan/{number}/ulang")
def resend(
    number: Number, caller: Viewer, desk: TheDesk, kembali: Back = "/saluran"
) -> RedirectResponse:
    """Let a dead letter be tried anew."""
    caller.need(Right.ADMINISTER)
    try:
        with desk.database.write() as session:
            outbox.resend(session, number, now=datetime.now(UTC), actor=caller.account.name)
    except NotDead as error:
        return go(told(kembali, gagal=error.code))
    return go(told(kembali, sudah="ulang"))


def told(path: str, **said: str) -> str:
    """Return the page that a form came from, with what is to be said there."""
    parts = urlsplit(safe_path(path, "/peringatan"))
    kept = [
        (name, value) for name, value in parse_qsl(parts.query) if name not in ("sudah", "gagal")
    ]
    return f"{parts.path}?{urlencode([*kept, *said.items()])}"
