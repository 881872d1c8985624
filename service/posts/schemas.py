"""Posts and scores as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from models.scorer import Score
from service.accounts.access import Caller
from service.posts.explain import Explanation
from service.posts.intake import Accepted, NewPost, platform_of
from service.privacy.masking import readable, sees_private
from service.tables import StoredPost
from service.web import Model, storable

MAX_TEXTS = 256
MAX_POSTS = 500
Label = Literal["hoax", "disinformation", "malinformation", "valid"]


def shown(text: str, caller: Caller) -> str:
    """Return a post's text as the caller may see it."""
    return readable(text, caller)


def clipped(text: str, caller: Caller, length: int) -> str:
    """Return the beginning of ``shown``."""
    # Cut before masking (a post may be long), but not so short that half a number is left over.
    clip = shown(text[: 4 * length], caller)
    return clip if len(clip) <= length else clip[: length - 1].rstrip() + "…"


class ScoreIn(Model):
    """Texts to score; nothing is stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"texts": ["Sebarkan! Bantuan tunai Rp3 juta cair hari ini, klik tautan"]}]
        }
    )
    texts: Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)]


class ScoreOut(Model):
    """What the model says of one text: a triage by style and likeness, not a verdict."""

    risk: Annotated[float, Field(ge=0, le=1, description="Chance that a moderator would keep it.")]
    label: Label
    hoax: float
    disinformation: float
    malinformation: float
    technique: str | None
    tone: Literal["negative", "neutral", "positive"]

    @classmethod
    def of(cls, score: Score | StoredPost) -> ScoreOut:
        """Return the fields of a score, or of a stored post."""
        return cls.model_validate({name: getattr(score, name) for name in cls.model_fields})


class ScoresOut(Model):
    """One result per text, in order, and the release that made them."""

    model: str
    results: list[ScoreOut]


class Engagement(Model):
    """What is known of a post's spread; it weighs in the order of the queue."""

    views: Annotated[int | None, Field(ge=0, le=10**12)] = None
    likes: Annotated[int | None, Field(ge=0, le=10**12)] = None
    replies: Annotated[int | None, Field(ge=0, le=10**12)] = None
    shares: Annotated[int | None, Field(ge=0, le=10**12)] = None
    followers: Annotated[int | None, Field(ge=0, le=10**12)] = None


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this is before the year 1 or after the year 9999") from None


class PostIn(Model):
    """One post as it was seen."""

    text: Annotated[str, Field(min_length=1)]
    platform: Annotated[str, Field(min_length=1, max_length=40)] = "unknown"
    external_id: Annotated[str | None, Field(max_length=200)] = None
    account: Annotated[str | None, Field(max_length=200)] = None
    url: Annotated[str | None, Field(max_length=2000, pattern="^https?://")] = None
    posted_at: Annotated[AwareDatetime, AfterValidator(_in_utc)] | None = None
    engagement: Engagement = Engagement()

    def new_post(self) -> NewPost:
        """Return the post for the intake; characters that no database keeps are taken out."""
        return NewPost(
            text=storable(self.text),
            platform=platform_of(storable(self.platform)) or "unknown",
            external_id=storable(self.external_id) if self.external_id else None,
            account=storable(self.account) if self.account else None,
            url=storable(self.url) if self.url else None,
            posted_at=self.posted_at,
            engagement=self.engagement.model_dump(exclude_none=True),
        )


class PostsIn(Model):
    """Posts to store, score and queue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "posts": [
                        {
                            "text": "VIRALKAN! Air keran kota ini beracun, jangan diminum",
                            "platform": "x",
                            "external_id": "1789",
                            "engagement": {"shares": 120},
                        }
                    ]
                }
            ]
        }
    )
    posts: Annotated[list[PostIn], Field(min_length=1, max_length=MAX_POSTS)]


class SpanOut(Model):
    """Characters `start` to `end` of the text, and how far they raise the log-odds of the risk."""

    start: int
    end: int
    text: str
    weight: float
    strong: bool


class ExplanationOut(Model):
    """Words that raised the score: what the model reacted to, an indication and no proof.

    `text` is the post as the caller may see it; the spans count its characters (code points).
    """

    model_config = ConfigDict(str_max_length=None)

    text: str
    risk: float
    spans: list[SpanOut]
    partial: Annotated[bool, Field(description="The post is long: a part of it was looked at.")]

    @classmethod
    def of(cls, text: str, found: Explanation) -> ExplanationOut:
        """Return an explanation as it is shown."""
        return cls(
            text=text,
            risk=found.risk,
            partial=found.partial,
            spans=[
                SpanOut(
                    start=span.start,
                    end=span.end,
                    text=text[span.start : span.end],
                    weight=span.weight,
                    strong=span.strong,
                )
                for span in found.spans
            ],
        )


class AcceptedOut(Model):
    """What became of one post."""

    id: int
    seen_before: bool
    queued: bool
    score: ScoreOut

    @classmethod
    def of(cls, accepted: Accepted) -> AcceptedOut:
        """Return what is said of an accepted post."""
        return cls(
            id=accepted.post.id,
            seen_before=accepted.seen_before,
            queued=accepted.queued,
            score=ScoreOut.of(accepted.post),
        )


class AcceptedsOut(Model):
    """One answer per post, in order."""

    model: str
    posts: list[AcceptedOut]


class PostOut(Model):
    """A stored post; personal data is masked for those who may not see it."""

    model_config = ConfigDict(str_max_length=None)  # what was taken in can be shown

    id: int
    platform: str
    external_id: str | None
    source: str
    account: str | None
    url: str | None
    text: str
    posted_at: datetime | None
    received_at: datetime
    reach: int
    engagement: dict[str, int]
    seen: int
    score: ScoreOut
    model: str

    @classmethod
    def of(cls, post: StoredPost, caller: Caller) -> PostOut:
        """Return what the caller may see of a post."""
        private = sees_private(caller)
        same = ("id", "posted_at", "received_at", "reach", "seen", "model")
        return cls(
            **{name: getattr(post, name) for name in same},
            engagement=dict(post.engagement),
            text=shown(post.text, caller),
            platform=readable(post.platform, caller),
            source=readable(post.source, caller),
            account=post.account if private else None,
            url=post.url if private else None,
            external_id=post.external_id if private else None,
            score=ScoreOut.of(post),
        )
