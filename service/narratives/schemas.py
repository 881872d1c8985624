"""Narratives as JSON; the pages show the same shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from service.accounts.access import Caller
from service.narratives.repository import MINIMUM, Filters, Order, Work
from service.posts.schemas import PostOut
from service.privacy.masking import readable
from service.queue.schemas import OutcomeOut
from service.tables import Narrative, StoredPost, Verdict
from service.web import Model, storable

Stage = Literal["quiet", "lilin", "obor", "api", "padam"]
NarrativeId = Annotated[int, Field(gt=0, lt=2**63)]
MAX_SPLIT = 500
_TITLE_CHARS = 300


class Kept(Model):
    """A part of what the last measurement left in the database: what else stands there is not ours."""

    model_config = ConfigDict(extra="ignore", str_max_length=None)


class SaidOut(Kept):
    """A reason or a sign: its code, and the numbers it rests on."""

    code: str
    numbers: Annotated[dict[str, float], Field(default_factory=dict)]


class ForecastOut(Kept):
    """Further posts within the next `hours`, an 80 % interval.

    `catches` is the chance that the narrative leaves *lilin* meanwhile.
    """

    hours: float
    low: float
    mid: float
    high: float
    catches: float


class SpreadOut(Kept):
    """How a narrative spreads: rates in posts an hour, growth a hour, signs of coordination."""

    posts_last_hour: float = 0
    posts_last_day: float = 0
    rate: float = 0
    peak_rate: float = 0
    growth: float = 0
    doubling_hours: float | None = None
    expected: float | None = None
    surprise: float | None = None
    forecast: ForecastOut | None = None
    signs: Annotated[list[SaidOut], Field(default_factory=list)]


class NarrativeOut(Model):
    """A narrative; `verdict` is null for who has yet to give a second, blind one within it."""

    model_config = ConfigDict(str_max_length=None)

    id: int
    title: str
    keywords: list[str]
    stage: Stage
    stage_since: datetime | None
    reasons: list[SaidOut]
    first_seen_at: datetime
    last_seen_at: datetime
    posts: int
    accounts: int
    platforms: dict[str, int]
    labels: dict[str, int]
    reach: int
    risk: float
    heat: float
    spread: SpreadOut | None
    measured_at: datetime | None
    open_items: int
    verdict: Verdict | None
    verdict_at: datetime | None
    verdict_by: str | None
    merged_into: int | None

    @classmethod
    def of(
        cls, narrative: Narrative, caller: Caller, *, work: Work | None, decided_by: str | None
    ) -> NarrativeOut:
        """Return what the caller may see of a narrative."""
        work = work or Work()
        told = narrative.verdict is not None and not work.blind
        same = (
            *("id", "stage", "stage_since", "first_seen_at", "last_seen_at", "posts"),
            *("accounts", "labels", "reach", "risk", "heat", "measured_at"),
        )
        spread: dict[str, Any] | None = narrative.spread
        return cls(
            **{name: getattr(narrative, name) for name in same},
            title=readable(narrative.title[:_TITLE_CHARS], caller),
            keywords=[readable(word, caller) for word in narrative.keywords],
            reasons=[SaidOut.model_validate(reason) for reason in narrative.reasons],
            platforms=_named(narrative.platforms, caller),
            spread=None if spread is None else SpreadOut.model_validate(spread),
            open_items=work.open,
            verdict=narrative.verdict if told else None,
            verdict_at=narrative.verdict_at if told else None,
            verdict_by=decided_by if told else None,
            merged_into=narrative.merged_into_id,
        )


def _named(counts: dict[str, int], caller: Caller) -> dict[str, int]:
    """Return counts by name as the caller may read the names; what reads the same is added up."""
    out: dict[str, int] = {}
    for name, count in counts.items():
        shown = readable(name, caller)
        out[shown] = out.get(shown, 0) + count
    return out


class NarrativesOut(Model):
    """A page of narratives; `next` is the cursor of the following page, null at the end."""

    narratives: list[NarrativeOut]
    next: str | None


class NarrativesQuery(Model):
    """Which narratives; a watched one (lilin, obor, api) is listed from its first post on."""

    stage: Stage | None = None
    minimum_posts: Annotated[int, Field(ge=1, le=10**9)] = MINIMUM
    words: Annotated[str | None, Field(max_length=200)] = None
    after: Annotated[str | None, Field(max_length=40)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    def filters(self) -> Filters:
        """Return the filters for ``service.narratives.repository``."""
        words = storable(self.words) if self.words else None
        return Filters(stage=self.stage, minimum=self.minimum_posts, words=words)


class JoinedPostOut(Model):
    """A post of a narrative: when it happened, and how it was found to belong."""

    model_config = ConfigDict(str_max_length=None)

    post: PostOut
    event_at: datetime | None
    joined_by: str | None
    joined_likeness: float | None
    item: int | None

    @classmethod
    def of(cls, post: StoredPost, caller: Caller) -> JoinedPostOut:
        """Return what the caller may see of a post of a narrative."""
        return cls(
            post=PostOut.of(post, caller),
            event_at=post.event_at,
            joined_by=post.joined_by,
            joined_likeness=post.joined_likeness,
            item=post.item.id if post.item else None,
        )


class JoinedPostsOut(Model):
    """A page of a narrative's posts; `next` is the cursor of the following page."""

    posts: list[JoinedPostOut]
    next: str | None


class JoinedPostsQuery(Model):
    """How the posts are sorted, and where the page begins."""

    order: Order = Order.NEWEST
    after: Annotated[str | None, Field(max_length=40)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class GivenOut(Model):
    """What a verdict on a narrative did: one outcome per open item.

    `left` counts items that one request was too small for: send it again for them.
    """

    narrative: NarrativeOut
    results: list[OutcomeOut]
    left: int


class MergeIn(Model):
    """Which narrative it becomes part of."""

    into: NarrativeId


class SplitIn(Model):
    """Which posts become a narrative of their own."""

    posts: Annotated[list[NarrativeId], Field(min_length=1, max_length=MAX_SPLIT)]


class UndoIn(Model):
    """What is taken back: one's own last verdict on all, or the last merge or split of anyone."""

    what: Literal["verdict", "grouping"]
