"""What the pages show of one post: the reading pane of the queue, and the post's own page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from service.accounts.access import Caller, Right
from service.clarifications.nearest import Nearest
from service.narratives import repository as narratives
from service.narratives import verdicts
from service.narratives.repository import Work
from service.posts.schemas import PostOut, clipped
from service.queue import repository
from service.queue.likeness import alike, similar
from service.queue.schemas import ItemOut
from service.tables import QueueItem, State, StoredPost, Verdict
from service.web import Desk

_SIMILAR_CHARS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarRow:
    """A similar post as it is shown; ``verdict``: of a decided one."""

    post_id: int
    text: str
    risk: float
    label: str
    received_at: datetime
    state: State
    verdict: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The narrative of a post, and what can be decided in it.

    ``suggested`` is its verdict where it may be told and applied to this post, with who gave it
    and when.
    """

    id: int
    title: str
    stage: str
    posts: int
    work: Work
    suggested: Verdict | None
    by: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """A post with its item and what the viewer can do with it."""

    post: PostOut
    item: ItemOut | None
    late: bool
    golden: bool
    """It checks the desk itself; told to those who may reopen items alone."""
    mine: bool
    """The viewer holds it."""
    given: bool
    """The viewer has given a verdict that stands."""
    decides: bool
    """The viewer can decide it now: it is free, or the viewer's own."""
    similar: list[SimilarRow]
    alike: int
    """Open items that say the same, this one included."""
    colleagues: list[str]
    """Whom it can be handed over to."""
    narrative: Story | None
    known: Nearest | None
    """The clarification that may be about what the post claims."""


def pane_of(
    session: Session, desk: Desk, caller: Caller, post: StoredPost, item: QueueItem | None
) -> Pane:
    """Return the pane of a post; ``item`` is its item, with all that is shown of it."""
    me = caller.account
    shown = ItemOut.of(item, caller) if item else None
    moderates = Right.MODERATE in caller.rights
    mine = shown is not None and shown.state is State.CLAIMED and shown.assignee == me.name
    given = item is not None and any(
        r.account_id == me.id and r.undone_at is None for r in item.reviews
    )
    is_open = item is not None and item.open
    free = shown is not None and shown.state in (State.NEW, State.REOPENED)
    decides = moderates and (mine or (free and not given))
    return Pane(
        post=PostOut.of(post, caller),
        item=shown,
        late=item is not None and is_open and item.due_at < datetime.now(UTC),
        golden=item is not None and item.golden is not None and Right.REOPEN in caller.rights,
        mine=mine,
        given=given,
        decides=decides,
        similar=[
            SimilarRow(
                post_id=found.item.post_id,
                text=clipped(found.item.post.text, caller, _SIMILAR_CHARS),
                risk=found.item.post.risk,
                label=found.item.post.label,
                received_at=found.item.post.received_at,
                state=State(found.item.state),
                verdict=None if found.item.open else found.item.verdict,
            )
            for found in similar(session, desk.likeness, post)
        ],
        alike=len(alike(session, desk.likeness, item.id, viewer_id=me.id))
        if item is not None and decides
        else 0,
        colleagues=[a.name for a in repository.moderators(session) if a.id != me.id]
        if decides
        else [],
        narrative=_story(session, caller, post, item, decides=decides),
        known=desk.clarifications.nearest_to(session, post),
    )


def _story(
    session: Session, caller: Caller, post: StoredPost, item: QueueItem | None, *, decides: bool
) -> Story | None:
    if post.narrative_id is None:
        return None
    number, me = post.narrative_id, caller.account
    narrative = narratives.by_number(session, [number])[number]
    work = narratives.work(session, [number], me.id, datetime.now(UTC)).get(number, Work())
    suggested = verdicts.suggested(narrative, item, decides=decides, blind=work.blind)
    by = narratives.deciders(session, [narrative]) if suggested else {}
    return Story(
        id=number,
        title=clipped(narrative.title, caller, _SIMILAR_CHARS),
        stage=narrative.stage,
        posts=narrative.posts,
        work=work,
        suggested=suggested,
        by=by.get(number),
        at=narrative.verdict_at if suggested else None,
    )
