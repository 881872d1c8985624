"""The desk's tables, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Utc(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is taken off and put on again."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as the database keeps it.

        Raises:
            ValueError: the moment has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Return the moment with its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only what it calls INTEGER."""


class Table(DeclarativeBase):
    """Base of the tables; constraints have names, so that a migration can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class State(StrEnum):
    """Where an item of the queue stands."""

    NEW = "new"
    CLAIMED = "claimed"
    DECIDED = "decided"
    REOPENED = "reopened"


class Verdict(StrEnum):
    """What a moderator can decide; the first three confirm a label."""

    HOAX = "hoax"
    DISINFORMATION = "disinformation"
    MALINFORMATION = "malinformation"
    VALID = "valid"
    NEEDS_MORE = "needs_more"


class StoredPost(Table):
    """A post as it came in, with the score it got. Posts are scored, never people."""

    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    """What makes a post the same post: see ``service.posts.intake.post_key``."""
    platform: Mapped[str] = mapped_column(String(40))
    external_id: Mapped[str | None] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(String(200))
    """Where it came from: "api", "page" or the name of a feed."""
    account: Mapped[str | None] = mapped_column(String(200))
    url: Mapped[str | None] = mapped_column(String(2000))
    text: Mapped[str] = mapped_column(Text)
    posted_at: Mapped[datetime | None] = mapped_column(Utc)
    received_at: Mapped[datetime] = mapped_column(Utc, index=True)
    reach: Mapped[int] = mapped_column(BigInteger)
    """Expected reach: see ``service.posts.intake.expected_reach``."""
    engagement: Mapped[dict[str, int]] = mapped_column(JSON)
    seen: Mapped[int] = mapped_column(Integer, default=1)
    """How often it was sent."""
    risk: Mapped[float]
    label: Mapped[str] = mapped_column(String(20))
    hoax: Mapped[float]
    disinformation: Mapped[float]
    malinformation: Mapped[float]
    technique: Mapped[str | None] = mapped_column(String(20))
    tone: Mapped[str] = mapped_column(String(10))
    model: Mapped[str] = mapped_column(String(12))
    """The release that scored it."""
    embedding: Mapped[bytes | None] = mapped_column(LargeBinary)
    """float16, length 1; None: no words."""

    item: Mapped[QueueItem | None] = relationship(back_populates="post")


class Account(Table):
    """A person who works at the desk."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(String(200))
    must_change: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(Utc)


class ApiKey(Table):
    """A key for programs; the key itself is kept nowhere, only its hash."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    """The part that may be shown, to tell keys apart."""
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[datetime] = mapped_column(Utc)
    expires_at: Mapped[datetime | None] = mapped_column(Utc)
    revoked_at: Mapped[datetime | None] = mapped_column(Utc)
    last_used_at: Mapped[datetime | None] = mapped_column(Utc)

    account: Mapped[Account] = relationship()


class SignIn(Table):
    """A signed-in browser: the session lives here, the cookie holds only a random token."""

    __tablename__ = "sign_ins"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the token."""
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(Utc)
    last_seen_at: Mapped[datetime] = mapped_column(Utc)
    expires_at: Mapped[datetime] = mapped_column(Utc, index=True)

    account: Mapped[Account] = relationship()


class Tally(Table):
    """How often something was done in one span of time: rate limits that hold across workers."""

    __tablename__ = "tallies"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    span: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Start of the span, in seconds since 1970."""
    count: Mapped[int] = mapped_column(Integer)


class QueueItem(Table):
    """A flagged post on its way to a decision."""

    __tablename__ = "queue"
    __table_args__ = (
        Index(  # order first, then what the queue is filtered by: no row is read in vain
            "ix_queue_open",
            *("open", "priority", "id", "risk", "label", "technique", "platform", "source"),
            *("state", "first_seen_at"),
        ),
        Index("ix_queue_assignee_id_claim_until", "assignee_id", "claim_until"),
        CheckConstraint("state IN ('new', 'claimed', 'decided', 'reopened')", name="state"),
        CheckConstraint("(state = 'decided') != open", name="open"),
        CheckConstraint("(state = 'claimed') = (assignee_id IS NOT NULL)", name="assignee"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id"), unique=True)
    state: Mapped[State] = mapped_column(String(10), default=State.NEW)
    open: Mapped[bool] = mapped_column(default=True)
    """Not decided: kept beside ``state`` so that one index serves the open queue."""
    priority: Mapped[float]
    """What the queue is sorted by, highest first: see ``service.queue.service.priority``."""
    risk: Mapped[float] = mapped_column(server_default="0")
    """This and the next four are the post's: copies, for the queue is filtered by them."""
    label: Mapped[str] = mapped_column(String(20), server_default="valid")
    technique: Mapped[str | None] = mapped_column(String(20))
    platform: Mapped[str] = mapped_column(String(40), server_default="")
    source: Mapped[str] = mapped_column(String(200), server_default="")
    first_seen_at: Mapped[datetime] = mapped_column(Utc)
    due_at: Mapped[datetime] = mapped_column(Utc)
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    claimed_at: Mapped[datetime | None] = mapped_column(Utc)
    claim_until: Mapped[datetime | None] = mapped_column(Utc)
    decided_at: Mapped[datetime | None] = mapped_column(Utc)
    verdict: Mapped[Verdict | None] = mapped_column(String(20))
    reviews_wanted: Mapped[int] = mapped_column(Integer, default=1)
    golden: Mapped[Verdict | None] = mapped_column(String(20))
    """The known answer of an item that checks the desk itself."""

    post: Mapped[StoredPost] = relationship(back_populates="item")
    assignee: Mapped[Account | None] = relationship()
    reviews: Mapped[list[Review]] = relationship(
        back_populates="item", order_by="Review.id", passive_deletes=True
    )


class Review(Table):
    """One person's verdict on one item; what was undone stays, marked as undone."""

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_account_id_id", "account_id", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("queue.id", ondelete="CASCADE"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    verdict: Mapped[Verdict] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(Text, default="")
    evidence: Mapped[list[str]] = mapped_column(JSON, default=list)
    claimed_at: Mapped[datetime | None] = mapped_column(Utc)
    decided_at: Mapped[datetime] = mapped_column(Utc)
    undone_at: Mapped[datetime | None] = mapped_column(Utc)

    item: Mapped[QueueItem] = relationship(back_populates="reviews")
    account: Mapped[Account] = relationship()


class FeedState(StrEnum):
    """Where the work on a feed stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StoredFeed(Table):
    """An uploaded feed, and the job of scoring it."""

    __tablename__ = "feeds"
    __table_args__ = (
        Index("ix_feeds_state_id", "state", "id"),
        CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    """As the sender called it: shown, never used as a path."""
    file: Mapped[str] = mapped_column(String(80))
    """Its name in the feeds' folder: random, with an ending that says the format."""
    bytes: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    """SHA-256 of the file."""
    format: Mapped[str] = mapped_column(String(10))
    text_column: Mapped[str | None] = mapped_column(String(200))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    """Who sent it; None: the command line."""
    created_at: Mapped[datetime] = mapped_column(Utc)
    started_at: Mapped[datetime | None] = mapped_column(Utc)
    finished_at: Mapped[datetime | None] = mapped_column(Utc)
    state: Mapped[FeedState] = mapped_column(String(10), default=FeedState.QUEUED)
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    """Rows done: where the work goes on. Each was scored, known before or rejected."""
    scored: Mapped[int] = mapped_column(BigInteger, default=0)
    known: Mapped[int] = mapped_column(BigInteger, default=0)
    queued: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of those scored, how many went into the queue."""
    rejected: Mapped[int] = mapped_column(BigInteger, default=0)
    done: Mapped[int] = mapped_column(BigInteger, default=0)
    """How much of the file is read, in ``unit``."""
    total: Mapped[int] = mapped_column(BigInteger, default=0)
    unit: Mapped[str] = mapped_column(String(5), default="bytes")
    rate: Mapped[float | None]
    """Rows a second, of late."""
    lease_owner: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[datetime | None] = mapped_column(Utc)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    """How often the work was taken up since it last got on."""
    error_code: Mapped[str | None] = mapped_column(String(40))
    error: Mapped[str | None] = mapped_column(Text)

    account: Mapped[Account | None] = relationship()


class FeedPost(Table):
    """Which post a row of a feed became; several rows can be one post."""

    __tablename__ = "feed_posts"

    feed_id: Mapped[int] = mapped_column(
        ForeignKey("feeds.id", ondelete="CASCADE"), primary_key=True
    )
    row: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """From 1, in the order of the file, rejected rows counted too."""
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"), index=True)


class FeedReject(Table):
    """A row of a feed that could not be scored, and why."""

    __tablename__ = "feed_rejects"

    feed_id: Mapped[int] = mapped_column(
        ForeignKey("feeds.id", ondelete="CASCADE"), primary_key=True
    )
    row: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    line: Mapped[int] = mapped_column(BigInteger)
    """Where the row begins: the line, or in Parquet and JSON documents the row's number."""
    field: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(300))


class AuditRow(Table):
    """One line of the audit trail; a trigger refuses changes, a hash chain shows them."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Utc)
    actor: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column(String(60), index=True)
    subject: Mapped[str] = mapped_column(String(120), index=True)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Table):
    """The last line's number and hash: one row, locked by whoever writes the next line."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))


class IdempotentAnswer(Table):
    """What was answered to a request that carried an ``Idempotency-Key``."""

    __tablename__ = "idempotent_answers"
    __table_args__ = (UniqueConstraint("caller", "key"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    caller: Mapped[str] = mapped_column(String(120))
    key: Mapped[str] = mapped_column(String(200))
    request: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request: the same key with another request is an error."""
    answer: Mapped[Any] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(Utc, index=True)
