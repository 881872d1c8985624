"""The pages of narratives: the list by heat, one in full, and the forms that work on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from markupsafe import Markup

from service.accounts.access import Caller, Right
from service.alerts.service import HEADS_FOR_OBOR
from service.errors import NotFound
from service.narratives import charts, repository, timelines, verdicts
from service.narratives.repository import STAGES, WATCHED, Cursor, Filters, Order
from service.narratives.routes import one, shown
from service.narratives.schemas import NarrativeOut, SpreadOut
from service.narratives.timelines import Line
from service.pages import spread_words, words
from service.pages.render import Viewer, go, render
from service.posts.schemas import clipped
from service.privacy.masking import readable
from service.queue.pages import said_in, undo_narrative_in
from service.queue.schemas import cursor, read_cursor
from service.stats.charts import bar
from service.tables import Narrative, NarrativeEvent, State, StoredPost
from service.web import COOKIE, TheDesk, storable

router = APIRouter(include_in_schema=False)
PAGE: Final = 25
MINIMA: Final = (1, 2, 5, 10, 50)
"""What the list can be asked for: narratives of so many posts or more."""
_CLIP_CHARS: Final = 240
_HEADING: Final = 5
"""Of these, how many the list's head names, and among how many of the hottest they are sought."""
_SOUGHT: Final = 200
_GROUPED: Final = ("merge", "split", "recluster")
"""Events that ``service.narratives.service.undo`` takes back."""
Number = Annotated[int, Path(ge=1, lt=2**63)]


# --- the list -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a query string asks of the list."""

    stage: str | None
    minimum: int
    words: str
    after: Cursor | None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """Return what is asked; what cannot be read is left out."""
        stage, minimum = query.get("tahap", ""), query.get("minimal", "")
        known = minimum.isdecimal() and len(minimum) < 4 and int(minimum) in MINIMA
        return cls(
            stage=stage if stage in STAGES else None,
            minimum=int(minimum) if known else repository.MINIMUM,
            words=storable(query.get("cari", "").strip())[:200],
            after=_place(query),
        )

    @property
    def narrowed(self) -> bool:
        """Whether anything is asked beyond the plain list."""
        return bool(self.stage or self.words or self.minimum != repository.MINIMUM)

    def link(self, **more: Any) -> str:
        """Return the path of the list with these filters; ``more`` is added, None left out."""
        minimum = self.minimum if self.minimum != repository.MINIMUM else None
        asked: dict[str, Any] = {
            "tahap": self.stage,
            "minimal": minimum,
            "cari": self.words or None,
        } | more
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"/narasi?{query}" if query else "/narasi"


def _place(query: Mapping[str, str]) -> Cursor | None:
    with contextlib.suppress(NotFound):
        return read_cursor(query["setelah"][:40]) if query.get("setelah") else None
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A narrative as the list shows it."""

    narrative: NarrativeOut
    why: str
    doubling: str | None
    forecast: str | None
    spark: Markup


@router.get("/narasi")
def list_page(request: Request, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Show the narratives, the hottest first."""
    caller.need(Right.READ)
    wanted = Wanted.of(request.query_params)
    filters = Filters(stage=wanted.stage, minimum=wanted.minimum, words=wanted.words or None)
    now = datetime.now(UTC)
    with desk.database.read() as session:
        page = repository.page(session, filters, after=wanted.after, limit=PAGE)
        found = shown(session, page.narratives, caller)
        lines = timelines.sparks(session, page.narratives, now)
        counts = repository.stage_counts(session)
        heading = [n for n in repository.hottest(session, "lilin", _SOUGHT) if _heads_for_obor(n)]
        moved = repository.moved(session, 1)
    return render(
        request,
        "narasi.html",
        caller=caller,
        wanted=wanted,
        minima=MINIMA,
        rows=[_row(n, lines[n.id]) for n in found],
        counts=counts,
        heading=[(n.id, readable(n.title, caller)) for n in heading[:_HEADING]],
        heading_count=len(heading),
        since=moved[0].timestamp() if moved else 0,
        next=wanted.link(setelah=cursor(page.next)) if page.next else None,
        searched=repository.SEARCHED,
    )


def _heads_for_obor(narrative: Narrative) -> bool:
    """Return whether the forecast says that a narrative will leave lilin."""
    forecast = (narrative.spread or {}).get("forecast") or {}
    return bool(forecast.get("catches", 0) >= HEADS_FOR_OBOR)


def _row(narrative: NarrativeOut, line: Line) -> Row:
    spread = narrative.spread
    return Row(
        narrative=narrative,
        why=spread_words.why([(r.code, r.numbers) for r in narrative.reasons], most=3),
        doubling=spread_words.doubling(spread.doubling_hours) if spread else None,
        forecast=_forecast(narrative, spread_words.forecast_short)
        if narrative.stage in WATCHED
        else None,
        spark=charts.spark(line, title=_spark_title(line)),
    )


def _forecast(
    narrative: NarrativeOut, said: Callable[..., str] = spread_words.forecast
) -> str | None:
    found = narrative.spread.forecast if narrative.spread else None
    return said(found.hours, found.low, found.mid, found.high) if found else None


def _spark_title(line: Line) -> str:
    return (
        f"{words.number(sum(line.counts))} kiriman dari {words.clock(line.start)} "
        f"sampai {words.clock(line.end)} WIB"
    )


# --- one ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of a narrative's history."""

    at: datetime
    stage: str | None
    said: str
    actor: str
    undone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRow:
    """A post as the narrative's page shows it."""

    id: int
    text: str
    at: datetime
    platform: str
    account: str | None
    reach: int
    risk: float
    label: str
    joined: str | None
    state: State | None
    verdict: str | None


@router.get("/narasi/{narrative_id}")
def narrative_page(
    request: Request, narrative_id: Number, caller: Viewer, desk: TheDesk
) -> Response:
    """Show a narrative in full; one that became part of another leads there."""
    caller.need(Right.READ)
    query = request.query_params
    order = Order.REACH if query.get("urut") == "jangkauan" else Order.NEWEST
    after = _place(query)
    now = datetime.now(UTC)
    moderates = Right.MODERATE in caller.rights
    with desk.database.read() as session:
        stored = repository.find(session, narrative_id)
        if stored is not None and stored.merged_into_id is not None:
            told = f"?{urlencode({'dari': narrative_id})}"
            return go(f"/narasi/{stored.merged_into_id}{told}")
        narrative = one(session, narrative_id, caller)
        assert stored is not None
        work = repository.work(session, [narrative_id], caller.account.id, now).get(narrative_id)
        line, alive = timelines.timeline(session, stored, now)
        events = repository.events(session, narrative_id)
        posts = repository.posts(session, narrative_id, order, after=after, limit=PAGE)
        like = repository.like(session, stored) if moderates else []
    spread = narrative.spread
    back = f"/narasi/{narrative_id}"

    def link(**more: Any) -> str:
        asked = {"urut": "jangkauan" if order is Order.REACH else None} | more
        told = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"{back}?{told}#kiriman" if told else f"{back}#kiriman"

    return render(
        request,
        "narasi_satu.html",
        caller=caller,
        said=said_in(query) or _came_from(query),
        failed=words.ERRORS.get(query.get("gagal", "")),
        undo_narrative=undo_narrative_in(query),
        narrative=narrative,
        work=work,
        why=spread_words.why([(r.code, r.numbers) for r in narrative.reasons]),
        signs=_signs(spread),
        doubling=spread_words.doubling(spread.doubling_hours) if spread else None,
        forecast=_forecast(narrative) if alive else None,
        chart=_chart(narrative, line, events, now if alive else None),
        top=charts.ceiling(_highest(narrative, line, alive)),
        bins=_bins(line),
        bin_said=spread_words.bin_size(line.size_s),
        capped=line.start > stored.first_seen_at,
        history=[_entry(event, caller) for event in events if _told(event, narrative)],
        posts=[_post(post, caller) for post in posts.posts],
        order=order,
        link=link,
        after=after,
        next=link(setelah=cursor(posts.next)) if posts.next else None,
        like=[
            (found.narrative, readable(found.narrative.title, caller), found.likeness)
            for found in like
        ],
        undo_verdict=moderates and _stands(events, caller.account.name, verdicts.KIND),
        undo_grouping=moderates and _stands(events, None, *_GROUPED),
        made=_number_in(query, "baru"),
        regrouped=query.get("sudah") in ("narasi-gabung", "narasi-pisah"),
        bar=bar,
        back=back,
    )


def _signs(spread: SpreadOut | None) -> list[str]:
    said = [spread_words.sign(sign.code, sign.numbers) for sign in spread.signs] if spread else []
    return [sentence for sentence in said if sentence]


def _came_from(query: Mapping[str, str]) -> str | None:
    number = _number_in(query, "dari")
    return f"Narasi {number} sudah menjadi bagian narasi ini." if number else None


def _number_in(query: Mapping[str, str], name: str) -> int | None:
    number = query.get(name, "")
    return int(number) if number.isdecimal() and len(number) < 19 else None


def _told(event: NarrativeEvent, narrative: NarrativeOut) -> bool:
    """Return whether a line of the history may be shown: not what a second verdict must not see."""
    return event.kind != verdicts.KIND or narrative.verdict is not None


def _stands(events: Sequence[NarrativeEvent], actor: str | None, *kinds: str) -> bool:
    """Return whether something of these kinds was done, by whoever or one person, and not undone."""
    return any(
        event.kind in kinds and event.undone_at is None and actor in (None, event.actor)
        for event in events
    )


def _highest(narrative: NarrativeOut, line: Line, alive: bool) -> float:
    band = _band(narrative) if alive else None
    expected = band.high * line.size_s / (band.hours * 3600) if band else 0.0
    return max((*line.counts, expected))


def _band(narrative: NarrativeOut) -> charts.Band | None:
    forecast = narrative.spread.forecast if narrative.spread else None
    if forecast is None or forecast.hours <= 0:
        return None
    return charts.Band(hours=forecast.hours, low=forecast.low, mid=forecast.mid, high=forecast.high)


def _chart(
    narrative: NarrativeOut,
    line: Line,
    events: Sequence[NarrativeEvent],
    now: datetime | None,
) -> Markup:
    marks = [
        charts.Mark(at=event.at, stage=event.details["to"])
        for event in reversed(events)
        if event.kind == "stage" and event.details.get("to") in STAGES
    ]
    band = _band(narrative) if now is not None else None
    most = max(line.counts)
    desc = (
        f"{words.number(sum(line.counts))} kiriman dari {words.clock(line.start)} sampai "
        f"{words.clock(line.end)} WIB; paling banyak {words.number(most)} per "
        f"{spread_words.bin_size(line.size_s)}."
    )
    if band is not None:
        desc += f" Setelah sekarang, {_forecast(narrative)}."
    return charts.timeline(
        line,
        now=now,
        band=band,
        marks=marks,
        title=f"Kiriman per {spread_words.bin_size(line.size_s)}",
        desc=f"{desc} Angkanya ada di tabel di bawahnya.",
    )


def _bins(line: Line) -> list[tuple[datetime, int]]:
    """Return the bins that have posts, the latest first."""
    size = (line.end - line.start) / len(line.counts)
    full = [(line.start + i * size, count) for i, count in enumerate(line.counts) if count]
    return full[::-1]


def _entry(event: NarrativeEvent, caller: Caller) -> Entry:
    stage = event.details.get("to") if event.kind == "stage" else None
    return Entry(
        at=event.at,
        stage=stage if stage in STAGES else None,
        said=readable(spread_words.narrative_event(event.kind, event.details), caller),
        actor=words.ACTORS.get(event.actor, event.actor),
        undone=event.undone_at is not None,
    )


def _post(post: StoredPost, caller: Caller) -> PostRow:
    item = post.item
    sees = Right.SEE_PRIVATE in caller.rights
    return PostRow(
        id=post.id,
        text=clipped(post.text, caller, _CLIP_CHARS),
        at=post.event_at or post.received_at,
        platform=readable(post.platform, caller),
        account=post.account if sees else None,
        reach=post.reach,
        risk=post.risk,
        label=post.label,
        joined=spread_words.joined(post.joined_by, post.joined_likeness),
        state=None if item is None else State.DECIDED if not item.open else State.NEW,
        verdict=None if item is None or item.open else item.verdict,
    )


# --- live ---------------------------------------------------------------------------------------


@router.get("/langsung")
async def live(request: Request, caller: Viewer, desk: TheDesk) -> StreamingResponse:
    """Tell a signed-in browser the desk's counts as they change (server-sent events)."""
    caller.need(Right.READ)
    stream = desk.live.listen(request.cookies[COOKIE])
    return StreamingResponse(
        stream,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
