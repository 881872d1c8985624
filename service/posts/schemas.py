"""Posts and scores as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from models.scorer import Score
from pipeline.pii import mask
from service.accounts.access import Caller, Right
from service.posts.intake import Accepted, NewPost
from service.tables import StoredPost
from service.web import Model, storable

MAX_TEXTS = 256
MAX_POSTS = 500
Label = Literal["hoax", "disinformation", "malinformation", "valid"]


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


class PostIn(Model):
    """One post as it was seen."""

    text: Annotated[str, Field(min_length=1)]
    platform: Annotated[str, Field(min_length=1, max_length=40)] = "unknown"
    external_id: Annotated[str | None, Field(max_length=200)] = None
    account: Annotated[str | None, Field(max_length=200)] = None
    url: Annotated[str | None, Field(max_length=2000, pattern="^https?://")] = None
    posted_at: AwareDatetime | None = None
    engagement: Engagement = Engagement()

    def new_post(self) -> NewPost:
        """Return the post for the intake; characters that no database keeps are taken out."""
        return NewPost(
            text=storable(self.text),
            platform=storable(self.platform),
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
        private = Right.SEE_PRIVATE in caller.rights
        same = ("id", "platform", "source", "posted_at", "received_at", "reach", "seen", "model")
        return cls(
            **{name: getattr(post, name) for name in same},
            engagement=dict(post.engagement),
            text=post.text if private else mask(post.text),
            account=post.account if private else None,
            url=post.url if private else None,
            external_id=post.external_id if private else None,
            score=ScoreOut.of(post),
        )
