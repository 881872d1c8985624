"""Items of the queue as JSON."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, model_validator

from service.accounts.access import Caller
from service.errors import NotFound
from service.posts.schemas import Label, PostOut
from service.privacy.masking import check_search, readable, readable_links, sees_private
from service.queue import service as queue
from service.queue.many import Outcome
from service.queue.repository import Cursor, Filters
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
    def of(cls, review: Review, caller: Caller) -> ReviewOut:
        """Return what the caller may see of a review."""
        return cls(
            account=review.account.name,
            verdict=review.verdict,
            note=readable(review.note, caller),
            evidence=readable_links(review.evidence, caller),
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
            reviews=[ReviewOut.of(r, caller) for r in shown],
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
    narrative: Annotated[int | None, Field(gt=0, lt=2**63)] = None
    words: Annotated[str | None, Field(max_length=200)] = None
    after: Annotated[str | None, Field(max_length=40)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    def filters(self, caller: Caller) -> Filters:
        """Return the filters for ``service.queue``."""
        check_search(self.words, caller)
        given = self.model_dump(
            exclude={
                *("mine", "after", "limit", "technique", "platform", "source", "words"),
                "narrative",
            }
        )
        return Filters(
            **given,
            technique=_clean(self.technique),
            platform=_clean(self.platform),
            source=_clean(self.source),
            words=_clean(self.words),
            masked=not sees_private(caller),
            assignee_id=caller.account.id if self.mine else None,
            narrative_id=self.narrative,
        )


def _clean(text: str | None) -> str | None:
    return storable(text) if text else None


def cursor(after: Cursor | None) -> str | None:
    """Return a cursor as text."""
    return None if after is None else base64.urlsafe_b64encode(struct.pack(">dq", *after)).decode()


def read_cursor(text: str) -> Cursor:
    """Return priority and number of a cursor.

    Raises:
        NotFound: it is no cursor.
    """
    try:
        priority, number = struct.unpack(">dq", base64.urlsafe_b64decode(text.encode()))
    except (ValueError, struct.error):
        raise NotFound("“after” is no cursor; take it from “next”") from None
    if priority != priority:
        raise NotFound("“after” is no cursor; take it from “next”")
    return priority, number


Evidence = Annotated[
    list[Annotated[str, Field(max_length=2000, pattern="^https?://")]],
    Field(default_factory=list, max_length=20),
]
ItemId = Annotated[int, Field(gt=0, lt=2**63)]
MAX_ITEMS: Final = 500


class VerdictIn(Model):
    """A verdict, with what it rests on."""

    verdict: Verdict
    note: Annotated[str, Field(max_length=4000)] = ""
    evidence: Evidence


class VerdictsIn(Model):
    """One verdict on many items: those listed, or all open ones alike to one (its own included)."""

    items: Annotated[list[ItemId], Field(default_factory=list, max_length=MAX_ITEMS)]
    like: ItemId | None = None
    verdict: Verdict
    note: Annotated[str, Field(max_length=4000)] = ""
    evidence: Evidence

    @model_validator(mode="after")
    def _one_of_both(self) -> VerdictsIn:
        if bool(self.items) == (self.like is not None):
            raise ValueError("give either “items” or “like”")
        return self


class OutcomeOut(Model):
    """What became of one item; `code` and `detail` say why it was not decided."""

    id: int
    state: State | None
    code: str | None
    detail: str | None

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeOut:
        """Return what is said of an outcome."""
        error = outcome.error
        return cls(
            id=outcome.item_id,
            state=outcome.state,
            code=error.code if error else None,
            detail=str(error) if error else None,
        )


class OutcomesOut(Model):
    """One outcome per item, in the order they were worked."""

    results: list[OutcomeOut]


class HandOverIn(Model):
    """Who shall have the item."""

    to: Annotated[str, Field(max_length=80)]


class WhyIn(Model):
    """The reason of a step."""

    why: Annotated[str, Field(min_length=3, max_length=1000)]
