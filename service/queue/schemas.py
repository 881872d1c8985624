"""Items of the queue as JSON."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from service.accounts.access import Caller
from service.errors import NotFound
from service.posts.schemas import Label, PostOut
from service.queue import service as queue
from service.queue.service import Filters
from service.tables import QueueItem, Review, State, Verdict
from service.web import Model, storable


class ReviewOut(Model):
    """A verdict on record."""

    account: str
    verdict: Verdict
    note: str
    evidence: list[str]
    decided_at: datetime
    undone: bool

    @classmethod
    def of(cls, review: Review) -> ReviewOut:
        """Return the review as it is shown."""
        return cls(
            account=review.account.name,
            verdict=review.verdict,
            note=review.note,
            evidence=review.evidence,
            decided_at=review.decided_at,
            undone=review.undone_at is not None,
        )


class ItemOut(Model):
    """An item of the queue; verdicts are shown once it is decided, for the second is blind."""

    id: int
    state: State
    assignee: str | None
    claim_until: datetime | None
    first_seen_at: datetime
    due_at: datetime
    decided_at: datetime | None
    verdict: Verdict | None
    reviews: list[ReviewOut]
    post: PostOut

    @classmethod
    def of(cls, item: QueueItem, caller: Caller) -> ItemOut:
        """Return what the caller may see of an item."""
        state = queue.effective_state(item, datetime.now(UTC))
        claimed = state is State.CLAIMED
        shown = item.reviews if state is State.DECIDED else []
        return cls(
            id=item.id,
            state=state,
            assignee=item.assignee.name if claimed and item.assignee else None,
            claim_until=item.claim_until if claimed else None,
            first_seen_at=item.first_seen_at,
            due_at=item.due_at,
            decided_at=item.decided_at,
            verdict=item.verdict,
            reviews=[ReviewOut.of(r) for r in shown],
            post=PostOut.of(item.post, caller),
        )


class QueueOut(Model):
    """A page of the queue; `next` is the cursor of the following page, null at the end."""

    items: list[ItemOut]
    next: str | None


class QueueQuery(Model):
    """Filters of the queue."""

    state: State | None = None
    label: Label | None = None
    technique: Annotated[str | None, Field(max_length=20)] = None
    minimum_risk: Annotated[float | None, Field(ge=0, le=1)] = None
    platform: Annotated[str | None, Field(max_length=40)] = None
    source: Annotated[str | None, Field(max_length=200)] = None
    seen_after: AwareDatetime | None = None
    seen_before: AwareDatetime | None = None
    mine: bool = False
    words: Annotated[str | None, Field(max_length=200)] = None
    after: Annotated[str | None, Field(max_length=40)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    def filters(self, caller: Caller) -> Filters:
        """Return the filters for ``service.queue``."""
        given = self.model_dump(exclude={"mine", "after", "limit", "words"})
        return Filters(
            **given,
            words=storable(self.words) if self.words else None,
            assignee_id=caller.account.id if self.mine else None,
        )


def cursor(item: QueueItem) -> str:
    """Return the cursor that stands for an item."""
    return base64.urlsafe_b64encode(struct.pack(">dq", item.priority, item.id)).decode()


def read_cursor(text: str) -> queue.Cursor:
    """Return priority and number of a cursor.

    Raises:
        NotFound: it is no cursor of this queue.
    """
    try:
        priority, number = struct.unpack(">dq", base64.urlsafe_b64decode(text.encode()))
    except (ValueError, struct.error):
        raise NotFound("“after” is no cursor of this queue; take it from “next”") from None
    if priority != priority:
        raise NotFound("“after” is no cursor of this queue; take it from “next”")
    return priority, number


class VerdictIn(Model):
    """A verdict, with what it rests on."""

    verdict: Verdict
    note: Annotated[str, Field(max_length=4000)] = ""
    evidence: Annotated[
        list[Annotated[str, Field(max_length=2000, pattern="^https?://")]],
        Field(default_factory=list, max_length=20),
    ]


class HandOverIn(Model):
    """Who shall have the item."""

    to: Annotated[str, Field(max_length=80)]


class WhyIn(Model):
    """The reason of a step."""

    why: Annotated[str, Field(min_length=3, max_length=1000)]
