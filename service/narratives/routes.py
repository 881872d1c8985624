"""Narratives for programs: look, decide, merge, split, undo; and the week's as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from service import export
from service.accounts.access import Caller, Right
from service.database import Database
from service.errors import NotFound
from service.export import Format
from service.narratives import repository, verdicts
from service.narratives import service as narratives
from service.narratives.schemas import (
    GivenOut,
    JoinedPostOut,
    JoinedPostsOut,
    JoinedPostsQuery,
    MergeIn,
    NarrativeOut,
    NarrativesOut,
    NarrativesQuery,
    SplitIn,
    UndoIn,
)
from service.pages.words import WIB
from service.queue.schemas import OutcomeOut, VerdictIn, cursor, read_cursor
from service.tables import Narrative
from service.web import Desk, TheCaller, TheDesk, storable

router = APIRouter(prefix="/v1")
FIELDS: Final = (
    *("narrative", "week", "title", "stage", "risk", "label", "first_seen", "last_seen"),
    *("posts", "accounts", "reach", "platforms", "verdict", "verdict_at"),
)
_AT_ONCE: Final = 500


@router.get("/narratives", tags=["narratives"], summary="Narratives, the hottest first")
def list_narratives(
    caller: TheCaller, desk: TheDesk, query: Annotated[NarrativesQuery, Query()]
) -> NarrativesOut:
    """Return a page of narratives."""
    caller.need(Right.READ)
    after = read_cursor(query.after) if query.after else None
    with desk.database.read() as session:
        page = repository.page(session, query.filters(), after=after, limit=query.limit)
        return NarrativesOut(
            narratives=shown(session, page.narratives, caller), next=cursor(page.next)
        )


@router.get("/narratives.csv", tags=["narratives"], summary="Narratives that began, as a file")
def narratives_file(
    caller: TheCaller,
    desk: TheDesk,
    since: Annotated[
        date | None, Query(description="First seen on this day (WIB) or later; a week ago.")
    ] = None,
    format: Annotated[Format, Query(description="csv or jsonl")] = "csv",  # noqa: A002
) -> StreamingResponse:
    """Stream the narratives first seen since a day, in the order of their last posts."""
    caller.need(Right.READ)
    day = since or (datetime.now(WIB) - timedelta(days=7)).date()
    start = datetime.combine(day, time(), WIB).astimezone(UTC)
    return export.download("lilin-narasi", exported(desk.database, caller, start, format), format)


def exported(
    database: Database,
    caller: Caller,
    since: datetime,
    format: Format,  # noqa: A002
    *,
    at_once: int = _AT_ONCE,
) -> Iterator[bytes]:
    """Yield the narratives that began since, in pieces, each read in a transaction of its own."""
    yield export.head(FIELDS, format)
    after: tuple[datetime, int] | None = None
    while True:
        with database.read() as session:
            found = repository.first_seen_since(session, since, after, at_once)
            rows = [_row(narrative) for narrative in shown(session, found, caller)]
        if rows:
            yield export.lines(rows, format)
        if len(found) < at_once:
            return
        after = (found[-1].last_seen_at, found[-1].id)


def _row(narrative: NarrativeOut) -> dict[str, Any]:
    year, week, _ = narrative.first_seen_at.astimezone(WIB).isocalendar()
    labels = {label: n for label, n in narrative.labels.items() if label != "valid"}
    return {
        "narrative": narrative.id,
        "week": f"{year}-W{week:02}",
        "title": narrative.title,
        "stage": narrative.stage,
        "risk": round(narrative.risk, 4),
        "label": max(labels, key=lambda label: labels[label]) if labels else "valid",
        "first_seen": narrative.first_seen_at,
        "last_seen": narrative.last_seen_at,
        "posts": narrative.posts,
        "accounts": narrative.accounts,
        "reach": narrative.reach,
        "platforms": " ".join(sorted(narrative.platforms)),
        "verdict": narrative.verdict,
        "verdict_at": narrative.verdict_at,
    }


@router.get("/narratives/{narrative_id}", tags=["narratives"], summary="One narrative")
def get_narrative(narrative_id: int, caller: TheCaller, desk: TheDesk) -> NarrativeOut:
    """Return a narrative; one that became part of another says of which in `merged_into`."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        return one(session, _number(narrative_id), caller)


@router.get("/narratives/{narrative_id}/posts", tags=["narratives"], summary="Its posts")
def get_posts(
    narrative_id: int,
    caller: TheCaller,
    desk: TheDesk,
    query: Annotated[JoinedPostsQuery, Query()],
) -> JoinedPostsOut:
    """Return a page of a narrative's posts, the newest or the most seen first."""
    caller.need(Right.READ)
    after = read_cursor(query.after) if query.after else None
    with desk.database.read() as session:
        one(session, _number(narrative_id), caller)
        page = repository.posts(session, narrative_id, query.order, after=after, limit=query.limit)
        return JoinedPostsOut(
            posts=[JoinedPostOut.of(post, caller) for post in page.posts], next=cursor(page.next)
        )


@router.post(
    "/narratives/{narrative_id}/verdict", tags=["narratives"], summary="Decide all of a narrative"
)
def decide(narrative_id: int, body: VerdictIn, caller: TheCaller, desk: TheDesk) -> GivenOut:
    """Give one verdict on every open item of a narrative, all together or not at all.

    What someone else holds is left alone and reported. Posts that join later get the verdict as a
    suggestion. At most 500 items a request: `left` says how many are not reached.
    """
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        given = verdicts.give(
            session,
            _number(narrative_id),
            caller.account,
            body.verdict,
            desk.rules,
            now=datetime.now(UTC),
            note=storable(body.note),
            evidence=[storable(link) for link in body.evidence],
        )
        session.flush()
        return GivenOut(
            narrative=one(session, narrative_id, caller),
            results=[OutcomeOut.of(outcome) for outcome in given.outcomes],
            left=given.left,
        )


@router.post("/narratives/{narrative_id}/merge", tags=["narratives"], summary="Merge into another")
def merge(narrative_id: int, body: MergeIn, caller: TheCaller, desk: TheDesk) -> NarrativeOut:
    """Make a narrative part of another, and return that one."""

    def step(session: Session, now: datetime) -> Narrative:
        number = _number(narrative_id)
        return narratives.merge(
            session, number, body.into, actor=caller.account, now=now, space=desk.space
        )

    return _step(desk, caller, step)


@router.post("/narratives/{narrative_id}/split", tags=["narratives"], summary="Split posts off")
def split(narrative_id: int, body: SplitIn, caller: TheCaller, desk: TheDesk) -> NarrativeOut:
    """Make a new narrative of some of a narrative's posts, and return it."""

    def step(session: Session, now: datetime) -> Narrative:
        number = _number(narrative_id)
        return narratives.split(
            session, number, body.posts, actor=caller.account, now=now, space=desk.space
        )

    return _step(desk, caller, step)


@router.post("/narratives/{narrative_id}/undo", tags=["narratives"], summary="Take the last back")
def undo(narrative_id: int, body: UndoIn, caller: TheCaller, desk: TheDesk) -> NarrativeOut:
    """Take back one's own last verdict on all of it, or its last merge or split."""

    def step(session: Session, now: datetime) -> Narrative:
        number = _number(narrative_id)
        if body.what == "verdict":
            verdicts.take_back(session, number, caller.account, now=now)
        else:
            narratives.undo(session, number, actor=caller.account, now=now, space=desk.space)
        return session.get_one(Narrative, number)

    return _step(desk, caller, step)


def _step(
    desk: Desk, caller: Caller, step: Callable[[Session, datetime], Narrative]
) -> NarrativeOut:
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        narrative = step(session, datetime.now(UTC))
        session.flush()
        return one(session, narrative.id, caller)


def shown(session: Session, found: list[Narrative], caller: Caller) -> list[NarrativeOut]:
    """Return narratives as the caller may see them, with what there is to decide in each."""
    numbers = [narrative.id for narrative in found]
    work = repository.work(session, numbers, caller.account.id, datetime.now(UTC))
    deciders = repository.deciders(session, found)
    return [
        NarrativeOut.of(n, caller, work=work.get(n.id), decided_by=deciders.get(n.id))
        for n in found
    ]


def one(session: Session, narrative_id: int, caller: Caller) -> NarrativeOut:
    """Return a narrative as the caller may see it.

    Raises:
        NotFound: there is no such narrative.
    """
    narrative = repository.find(session, narrative_id)
    if narrative is None:
        raise NotFound(f"there is no narrative {narrative_id}")
    (out,) = shown(session, [narrative], caller)
    return out


def _number(narrative_id: int) -> int:
    if not 0 < narrative_id < 2**63:
        raise NotFound(f"there is no narrative {narrative_id}")
    return narrative_id
