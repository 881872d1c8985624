"""The API, ``/v1``: score, send, look up, and work the queue.

Errors are problem JSON (``service.problems``). Who may do what is decided in ``service.access``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from models.scorer import Score
from pipeline.pii import mask
from service import access, queue
from service.access import Caller, Right
from service.batcher import Batcher
from service.database import Database
from service.errors import NotFound, NotSignedIn, UsedOtherwise
from service.intake import Accepted, NewPost, accept
from service.queue import Filters, QueueRules
from service.settings import Settings
from service.tables import (
    Account,
    IdempotentAnswer,
    QueueItem,
    Review,
    State,
    StoredPost,
    Verdict,
)

router = APIRouter(prefix="/v1")
MAX_TEXTS = 256
MAX_POSTS = 500
Label = Literal["hoax", "disinformation", "malinformation", "valid"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=20_000)


# --- who calls ----------------------------------------------------------------------------------

_bearer = HTTPBearer(auto_error=False, description="An API key: `lilin key create`.")


class Desk:
    """What the endpoints share; made once, at the start of the service."""

    def __init__(
        self, *, settings: Settings, database: Database, batcher: Batcher, rules: QueueRules
    ) -> None:
        self.settings = settings
        self.database = database
        self.batcher = batcher
        self.rules = rules


def desk_of(request: Request) -> Desk:
    """Return the desk of the running service."""
    desk: Desk = request.app.state.desk
    return desk


def caller_of(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return who makes the request."""
    if credentials is None:
        raise NotSignedIn("send an API key: Authorization: Bearer lilin_…")
    with desk_of(request).database.read() as session:
        return access.caller_of_key(session, credentials.credentials)


TheDesk = Annotated[Desk, Depends(desk_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]


# --- scoring ------------------------------------------------------------------------------------


class ScoreIn(_Model):
    """Texts to score; nothing is stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"texts": ["Sebarkan! Bantuan tunai Rp3 juta cair hari ini, klik tautan"]}]
        }
    )
    texts: Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)]


class ScoreOut(_Model):
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


class ScoresOut(_Model):
    """One result per text, in order, and the release that made them."""

    model: str
    results: list[ScoreOut]


@router.post("/score", tags=["score"], summary="Score texts, store nothing")
async def score(body: ScoreIn, caller: TheCaller, desk: TheDesk) -> ScoresOut:
    """Return a score for each text, in the order sent."""
    caller.need(Right.SUBMIT)
    results = await asyncio.wrap_future(desk.batcher.submit(body.texts))
    return ScoresOut(model=desk.batcher.version, results=[ScoreOut.of(s) for s, _ in results])


# --- posts --------------------------------------------------------------------------------------


class Engagement(_Model):
    """What is known of a post's spread; it weighs in the order of the queue."""

    views: Annotated[int | None, Field(ge=0, le=10**12)] = None
    likes: Annotated[int | None, Field(ge=0, le=10**12)] = None
    replies: Annotated[int | None, Field(ge=0, le=10**12)] = None
    shares: Annotated[int | None, Field(ge=0, le=10**12)] = None
    followers: Annotated[int | None, Field(ge=0, le=10**12)] = None


class PostIn(_Model):
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
            text=_storable(self.text),
            platform=_storable(self.platform),
            external_id=_storable(self.external_id) if self.external_id else None,
            account=_storable(self.account) if self.account else None,
            url=_storable(self.url) if self.url else None,
            posted_at=self.posted_at,
            engagement=self.engagement.model_dump(exclude_none=True),
        )


def _storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which PostgreSQL refuses."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


class PostsIn(_Model):
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


class AcceptedOut(_Model):
    """What became of one post."""

    id: int
    seen_before: bool
    queued: bool
    score: ScoreOut


class AcceptedsOut(_Model):
    """One answer per post, in order."""

    model: str
    posts: list[AcceptedOut]


@router.post("/posts", status_code=201, tags=["posts"], summary="Send posts")
def send_posts(
    body: PostsIn,
    caller: TheCaller,
    desk: TheDesk,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> AcceptedsOut:
    """Store, score and queue posts; a post that is known is counted, not stored again.

    With an `Idempotency-Key`, the same request again gets the same answer.
    """
    caller.need(Right.SUBMIT)
    request = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    if idempotency_key is not None:
        with desk.database.read() as session:
            known = _answered(session, caller, idempotency_key, request)
        if known is not None:
            return AcceptedsOut.model_validate(known)
    accepted = accept(
        desk.database,
        [post.new_post() for post in body.posts],
        desk.batcher.score_and_embed,
        desk.rules,
        model=desk.batcher.version,
    )
    answer = AcceptedsOut(model=desk.batcher.version, posts=[_accepted(a) for a in accepted])
    if idempotency_key is not None:
        with desk.database.write() as session:
            if _answered(session, caller, idempotency_key, request) is None:
                session.add(
                    IdempotentAnswer(
                        caller=caller.via,
                        key=idempotency_key,
                        request=request,
                        answer=answer.model_dump(),
                        at=datetime.now(UTC),
                    )
                )
    return answer


def _answered(session: Session, caller: Caller, key: str, request: str) -> Any | None:
    row = session.scalar(
        select(IdempotentAnswer).where(
            IdempotentAnswer.caller == caller.via, IdempotentAnswer.key == key
        )
    )
    if row is None:
        return None
    if row.request != request:
        raise UsedOtherwise("this Idempotency-Key came before with another request")
    return row.answer


def _accepted(accepted: Accepted) -> AcceptedOut:
    return AcceptedOut(
        id=accepted.post.id,
        seen_before=accepted.seen_before,
        queued=accepted.queued,
        score=ScoreOut.of(accepted.post),
    )


class PostOut(_Model):
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


@router.get("/posts/{post_id}", tags=["posts"], summary="One post")
def get_post(post_id: int, caller: TheCaller, desk: TheDesk) -> PostOut:
    """Return a stored post with its score."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        post = session.get(StoredPost, post_id) if post_id < 2**63 else None
        if post is None:
            raise NotFound(f"there is no post {post_id}")
        return PostOut.of(post, caller)


# --- the queue ----------------------------------------------------------------------------------


class ReviewOut(_Model):
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


class ItemOut(_Model):
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


class QueueOut(_Model):
    """A page of the queue; `next` is the cursor of the following page, null at the end."""

    items: list[ItemOut]
    next: str | None


class QueueQuery(_Model):
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
            words=_storable(self.words) if self.words else None,
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


@router.get("/queue", tags=["queue"], summary="The queue, the worst first")
def get_queue(caller: TheCaller, desk: TheDesk, query: Annotated[QueueQuery, Query()]) -> QueueOut:
    """Return a page of the queue."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        items = queue.page(
            session,
            query.filters(caller),
            viewer_id=caller.account.id,
            after=read_cursor(query.after) if query.after else None,
            limit=query.limit,
        )
        return QueueOut(
            items=[ItemOut.of(item, caller) for item in items],
            next=cursor(items[-1]) if len(items) == query.limit else None,
        )


class VerdictIn(_Model):
    """A verdict, with what it rests on."""

    verdict: Verdict
    note: Annotated[str, Field(max_length=4000)] = ""
    evidence: Annotated[
        list[Annotated[str, Field(max_length=2000, pattern="^https?://")]], Field(max_length=20)
    ] = []


class HandOverIn(_Model):
    """Who shall have the item."""

    to: Annotated[str, Field(max_length=80)]


class WhyIn(_Model):
    """The reason of a step."""

    why: Annotated[str, Field(min_length=3, max_length=1000)]


def _step(desk: Desk, caller: Caller, step: Any, *args: Any, **more: Any) -> ItemOut:
    caller.need(Right.MODERATE)
    with desk.database.write() as session:
        item = step(session, *args, **more)
        session.flush()
        shown = session.scalars(
            select(QueueItem)
            .where(QueueItem.id == item.id)
            .options(
                joinedload(QueueItem.post),
                joinedload(QueueItem.assignee),
                selectinload(QueueItem.reviews).joinedload(Review.account),
            )
            .execution_options(populate_existing=True)
        ).one()
        return ItemOut.of(shown, caller)


@router.post("/queue/{item_id}/claim", tags=["queue"], summary="Take an item")
def claim(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Take an item for some minutes; nobody else can decide it meanwhile."""
    return _step(desk, caller, queue.claim, _number(item_id), caller.account, desk.rules)


@router.post("/queue/{item_id}/release", tags=["queue"], summary="Give an item back")
def release(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Give a claimed item back to the queue."""
    return _step(desk, caller, queue.release, _number(item_id), caller.account)


@router.post("/queue/{item_id}/hand-over", tags=["queue"], summary="Give an item to a colleague")
def hand_over(item_id: int, body: HandOverIn, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Give a claimed item to a colleague, with a lease of its own."""

    def step(session: Session) -> QueueItem:
        to = session.scalar(select(Account).where(Account.name == body.to, Account.active))
        if to is None or Right.MODERATE not in access.ROLES[to.role]:
            raise NotFound(f"there is no moderator “{body.to}”")
        return queue.hand_over(session, _number(item_id), caller.account, to, desk.rules)

    return _step(desk, caller, step)


@router.post("/queue/{item_id}/verdict", tags=["queue"], summary="Decide an item")
def decide(item_id: int, body: VerdictIn, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Give a verdict on an item that one holds."""
    return _step(
        desk,
        caller,
        queue.decide,
        _number(item_id),
        caller.account,
        body.verdict,
        note=_storable(body.note),
        evidence=[_storable(link) for link in body.evidence],
    )


@router.post("/queue/{item_id}/undo", tags=["queue"], summary="Take one's verdict back")
def undo(item_id: int, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Take one's own last verdict on an item back."""
    return _step(desk, caller, queue.undo, caller.account, _number(item_id))


@router.post("/queue/{item_id}/reopen", tags=["queue"], summary="Reopen a decided item")
def reopen(item_id: int, body: WhyIn, caller: TheCaller, desk: TheDesk) -> ItemOut:
    """Put a decided item back into the queue, with a reason."""
    caller.need(Right.REOPEN)
    return _step(desk, caller, queue.reopen, _number(item_id), caller.account, _storable(body.why))


def _number(item_id: int) -> int:
    if not 0 < item_id < 2**63:
        raise NotFound(f"there is no item {item_id} in the queue")
    return item_id


# --- statistics ---------------------------------------------------------------------------------


class StatsOut(_Model):
    """Where the desk stands."""

    posts: int
    open: int
    overdue: int
    verdicts: dict[str, int]
    second_reviews: int
    agreement: float | None
    kappa: float | None


@router.get("/stats", tags=["stats"], summary="Where the desk stands")
def stats(caller: TheCaller, desk: TheDesk) -> StatsOut:
    """Return counts of posts, of open, overdue and decided items, and the agreement."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        return stats_of(session)


def stats_of(session: Session) -> StatsOut:
    """Return where the desk stands."""

    def count(*conditions: Any) -> int:
        return session.scalar(select(func.count()).select_from(QueueItem).where(*conditions)) or 0

    decided: Sequence[Any] = session.execute(
        select(QueueItem.verdict, func.count()).where(~QueueItem.open).group_by(QueueItem.verdict)
    ).all()
    found = queue.agreement(session)
    return StatsOut(
        posts=session.scalar(select(func.count()).select_from(StoredPost)) or 0,
        open=count(QueueItem.open),
        overdue=count(QueueItem.open, QueueItem.due_at < datetime.now(UTC)),
        verdicts={str(verdict): number for verdict, number in decided},
        second_reviews=found.pairs,
        agreement=found.alike if found.pairs else None,
        kappa=found.kappa,
    )
