"""The desk's tables, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import SecretStr
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
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy import text as sql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_NAIVE: Final = len("2026-01-31 23:59:59.000000")


class Utc(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is taken off and put on again."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Return what turns a moment into what the driver takes; many are bound at once.

        It raises ValueError for a moment without a time zone.
        """
        as_text = dialect.name == "sqlite"

        def bound(value: datetime | None) -> Any:
            if value is None:
                return None
            if value.tzinfo is not UTC:
                if value.tzinfo is None:
                    raise ValueError("a moment without a time zone")
                value = value.astimezone(UTC)
            return value.isoformat(" ", "microseconds")[:_NAIVE] if as_text else value

        return bound

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Return the moment with its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Hidden(TypeDecorator[SecretStr]):
    """A text that shows as asterisks wherever it is printed; code asks for its value by name."""

    impl = String
    cache_ok = True

    def process_bind_param(
        self,
        value: SecretStr | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> str | None:
        """Return the text as the database keeps it."""
        return None if value is None else value.get_secret_value()

    def process_result_value(
        self,
        value: str | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> SecretStr | None:
        """Return the text, hidden."""
        return None if value is None else SecretStr(value)


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
    __table_args__ = (
        Index("ix_posts_narrative_id_event_at", "narrative_id", "event_at"),
        Index(
            "ix_posts_ungrouped",
            "id",
            sqlite_where=sql("narrative_id IS NULL"),
            postgresql_where=sql("narrative_id IS NULL"),
        ),
        Index(
            "ix_posts_reach_grown",
            "id",
            sqlite_where=sql("counted_reach <> reach"),
            postgresql_where=sql("counted_reach <> reach"),
        ),
    )

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
    event_at: Mapped[datetime | None] = mapped_column(Utc)
    """When it happened, as far as the desk believes it: see ``service.narratives.grouping``."""
    narrative_id: Mapped[int | None] = mapped_column(ForeignKey("narratives.id"))
    """The narrative it tells; None: not grouped yet."""
    joined_by: Mapped[str | None] = mapped_column(String(10))
    """first, copy, near, meaning or hand: see ``pipeline.narratives.Placement``."""
    joined_likeness: Mapped[float | None]
    variant_id: Mapped[int | None] = mapped_column(BigInteger)
    """The post whose wording it repeats: itself unless it is a copy."""
    counted_reach: Mapped[int | None] = mapped_column(BigInteger)
    """What its narrative has counted of ``reach``, which grows when the post is sent again."""

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


NARRATIVE_SHOWN: Final = "merged_into_id IS NULL AND (posts > 1 OR stage <> 'quiet')"
"""What the list of narratives shows: most are one harmless post and nothing more."""


class Narrative(Table):
    """What several posts tell; its numbers are kept as posts join, so that no list counts."""

    __tablename__ = "narratives"
    __table_args__ = (
        Index("ix_narratives_heat_id", "heat", "id"),
        Index("ix_narratives_stage_heat_id", "stage", "heat", "id"),
        Index(
            "ix_narratives_due",
            "due",
            "id",
            sqlite_where=sql("due > 0"),
            postgresql_where=sql("due > 0"),
        ),
        Index(
            "ix_narratives_merged_into_id",
            "merged_into_id",
            sqlite_where=sql("merged_into_id IS NOT NULL"),
            postgresql_where=sql("merged_into_id IS NOT NULL"),
        ),
        Index(
            "ix_narratives_shown",
            "heat",
            "id",
            sqlite_where=sql(NARRATIVE_SHOWN),
            postgresql_where=sql(NARRATIVE_SHOWN),
        ),
        CheckConstraint("stage IN ('quiet', 'lilin', 'obor', 'api', 'padam')", name="stage"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    """Given out by ``NarrativeHead``, in the order in which narratives begin."""
    title: Mapped[str] = mapped_column(String(300))
    """Its most central sentence, without people's numbers and handles."""
    keywords: Mapped[list[str]] = mapped_column(JSON)
    title_post_id: Mapped[int | None] = mapped_column(BigInteger)
    first_seen_at: Mapped[datetime] = mapped_column(Utc)
    """Of its posts' ``event_at`` the first; the last is ``last_seen_at``."""
    last_seen_at: Mapped[datetime] = mapped_column(Utc, index=True)
    posts: Mapped[int] = mapped_column(Integer)
    accounts: Mapped[int] = mapped_column(Integer)
    """Distinct accounts that are known."""
    platforms: Mapped[dict[str, int]] = mapped_column(JSON)
    """Posts by platform."""
    labels: Mapped[dict[str, int]] = mapped_column(JSON)
    """Posts by the model's label."""
    reach: Mapped[int] = mapped_column(BigInteger)
    risk_sum: Mapped[float]
    risk: Mapped[float]
    """Aggregated: see ``pipeline.spread.aggregate_risk``."""
    stage: Mapped[str] = mapped_column(String(10), server_default="quiet")
    stage_since: Mapped[datetime | None] = mapped_column(Utc)
    woke_at: Mapped[datetime | None] = mapped_column(Utc)
    """When it last came back after it had been out for long; None: never. It is told of anew."""
    reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """Why it stands in its stage: codes with numbers, words are made for the page."""
    spread: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """The last measurement: ``pipeline.spread.Spread`` as JSON; None: never measured."""
    heat: Mapped[float] = mapped_column(server_default="0")
    """What the list is sorted by, hottest first: see ``pipeline.spread.heat``."""
    measured_at: Mapped[datetime | None] = mapped_column(Utc)
    look_at: Mapped[datetime | None] = mapped_column(Utc, index=True)
    """When its stage may change though nothing comes in; None: never."""
    due: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """What is to be done with it: 2 measure it, 1 give it a new title, 0 nothing."""
    titled_posts: Mapped[int] = mapped_column(Integer, server_default="1")
    """How many posts it had when it got its title."""
    centre: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Sum of its posts' vectors, aged: float32, see ``pipeline.narratives.State``."""
    profile: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Its words and their weights, as ``service.narratives.grouping`` packs them."""
    last_post_id: Mapped[int] = mapped_column(BigInteger, index=True)
    """The post that joined last: narratives are remembered in this order."""
    verdict: Mapped[Verdict | None] = mapped_column(String(20))
    """Given to all its posts at once; posts that join later get it as a suggestion."""
    verdict_at: Mapped[datetime | None] = mapped_column(Utc)
    verdict_by_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    merged_into_id: Mapped[int | None] = mapped_column(ForeignKey("narratives.id"))
    """Where its posts went; it has none itself then."""


class NarrativeBucket(Table):
    """Posts of a narrative in ten minutes of event time."""

    __tablename__ = "narrative_buckets"

    narrative_id: Mapped[int] = mapped_column(
        ForeignKey("narratives.id", ondelete="CASCADE"), primary_key=True
    )
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Start of the ten minutes, in seconds since 1970."""
    posts: Mapped[int] = mapped_column(Integer)
    risky: Mapped[int] = mapped_column(Integer)
    """Of these, how many the model flagged."""
    reach: Mapped[int] = mapped_column(BigInteger)


class NarrativeAccount(Table):
    """That an account wrote in a narrative, by a hash: for counting, not for looking up."""

    __tablename__ = "narrative_accounts"

    narrative_id: Mapped[int] = mapped_column(
        ForeignKey("narratives.id", ondelete="CASCADE"), primary_key=True
    )
    account: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    posts: Mapped[int] = mapped_column(Integer)


class NarrativeEvent(Table):
    """What happened to a narrative: stages entered, merges, splits, verdicts, undone ones too."""

    __tablename__ = "narrative_events"
    __table_args__ = (Index("ix_narrative_events_narrative_id_id", "narrative_id", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    narrative_id: Mapped[int] = mapped_column(ForeignKey("narratives.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(Utc)
    kind: Mapped[str] = mapped_column(String(20))
    """stage, merge, split, verdict, recluster."""
    actor: Mapped[str] = mapped_column(String(120))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    undone_at: Mapped[datetime | None] = mapped_column(Utc)


class NarrativeHead(Table):
    """One row, locked by whoever groups: the next number, and what the grouping has learned."""

    __tablename__ = "narrative_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    next_id: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
    """Counts up with every change: what a worker remembers is good for one version alone."""
    season: Mapped[list[float]] = mapped_column(JSON)
    """See ``pipeline.spread.Season``."""
    owner: Mapped[str | None] = mapped_column(String(40))
    owner_until: Mapped[datetime | None] = mapped_column(Utc)
    """Who groups, and for how long others leave it to them."""
    reclustered_at: Mapped[datetime | None] = mapped_column(Utc)


class Digest(Table):
    """What later posts are compared with: of a text that is no copy, where it may be near."""

    __tablename__ = "digests"

    post_id: Mapped[int] = mapped_column(
        ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    bands: Mapped[bytes] = mapped_column(LargeBinary)
    """Bands of its MinHash under which it can be found: int64, see ``pipeline.digest``."""
    runs: Mapped[bytes] = mapped_column(LargeBinary)
    """Its runs of characters, hashed: uint32, sorted."""


class Channel(Table):
    """A way on which alerts leave the desk, and how it has been of late."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint("kind IN ('webhook', 'email', 'telegram', 'slack')", name="kind"),
        CheckConstraint("digest IN ('', 'hourly', 'daily')", name="digest"),
        CheckConstraint("(quiet_from IS NULL) = (quiet_to IS NULL)", name="quiet"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    target: Mapped[SecretStr] = mapped_column(Hidden(2000))
    """URL, address or chat; hidden, for a URL may carry a key: see ``channels.service.shown``."""
    secret: Mapped[SecretStr | None] = mapped_column(Hidden(80))
    """What a webhook's messages are signed with: made by the desk, shown once."""
    active: Mapped[bool] = mapped_column(default=True)
    digest: Mapped[str] = mapped_column(String(10), default="")
    """Empty: at once; hourly or daily: together, at the full hour or in the morning."""
    quiet_from: Mapped[int | None] = mapped_column(Integer)
    """Hour (WIB) from which nothing is sent until the hour ``quiet_to``; None: never quiet."""
    quiet_to: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Utc)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    """None: the command line."""
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Tries that failed since the last that did not."""
    failing_since: Mapped[datetime | None] = mapped_column(Utc)
    retry_at: Mapped[datetime | None] = mapped_column(Utc)
    """Before this nothing is tried: one message, not each that waits, finds out what is down."""
    tried_at: Mapped[datetime | None] = mapped_column(Utc)
    """When it last had its turn: whoever waits longest is next."""
    lease_owner: Mapped[str | None] = mapped_column(String(40))
    """The sender at work on it: one message at a time goes out on a channel."""
    lease_until: Mapped[datetime | None] = mapped_column(Utc)
    last_ok_at: Mapped[datetime | None] = mapped_column(Utc)
    last_error: Mapped[str | None] = mapped_column(String(40))
    """A code, see ``service.pages.alert_words.DELIVERY_ERRORS``; None: the last try did well."""


class Delivery(Table):
    """A message of the outbox: written with what it tells, sent later, at least once."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_channel_id_state_next_at", "channel_id", "state", "next_at"),
        Index("ix_deliveries_state_id", "state", "id"),
        CheckConstraint("kind IN ('alert', 'digest', 'test')", name="kind"),
        CheckConstraint("state IN ('waiting', 'sending', 'bundled', 'sent', 'dead')", name="state"),
        CheckConstraint("state != 'bundled' OR bundle_id IS NOT NULL", name="bundle"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id"))
    alert_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    kind: Mapped[str] = mapped_column(String(10))
    key: Mapped[str] = mapped_column(String(40), unique=True)
    """Random, the same on every try: by it a receiver knows a repetition."""
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What is sent; ``message`` in it is what people read: see ``service.alerts.message``."""
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    bundle_id: Mapped[int | None] = mapped_column(ForeignKey("deliveries.id"), index=True)
    """The digest it goes out with."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(Utc)
    due_at: Mapped[datetime] = mapped_column(Utc)
    """When it was first to be sent: from here on counts how long it is tried."""
    next_at: Mapped[datetime] = mapped_column(Utc)
    sent_at: Mapped[datetime | None] = mapped_column(Utc)
    last_error: Mapped[str | None] = mapped_column(String(40))
    answer_status: Mapped[int | None] = mapped_column(Integer)
    """What the receiver last answered: an HTTP or SMTP status."""

    channel: Mapped[Channel] = relationship()


class WatchList(Table):
    """What an agency watches for, how many alerts it can read a day, and where they go."""

    __tablename__ = "watch_lists"
    __table_args__ = (CheckConstraint("budget >= 0", name="budget"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    terms: Mapped[list[str]] = mapped_column(JSON, default=list)
    """This and the next four: see ``service.alerts.watchlists.Criteria``; empty asks nothing."""
    regions: Mapped[list[str]] = mapped_column(JSON, default=list)
    languages: Mapped[list[str]] = mapped_column(JSON, default=list)
    labels: Mapped[list[str]] = mapped_column(JSON, default=list)
    platforms: Mapped[list[str]] = mapped_column(JSON, default=list)
    minimum_risk: Mapped[float] = mapped_column(default=0.0)
    budget: Mapped[int] = mapped_column(Integer)
    """Alerts in any 24 hours, at most."""
    channels: Mapped[list[int]] = mapped_column(JSON, default=list)
    """Numbers of the channels on which its alerts go out; none: they stand on the page alone."""
    active: Mapped[bool] = mapped_column(default=True)
    cut_off: Mapped[float | None]
    """Least urgency, from the shadow run when it was last changed; None: there was no week yet."""
    changed_at: Mapped[datetime | None] = mapped_column(Utc)
    """Since then its alerts tell of these settings; None: always."""


class Alert(Table):
    """That a narrative was due for one watch-list, raised or held back.

    Once per kind; and once more each time that it comes back after it was out for long.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("watch_list_id", "narrative_id", "kind", "wave"),
        Index("ix_alerts_watch_list_id_state_at", "watch_list_id", "state", "at"),
        Index("ix_alerts_watch_list_id_due_at", "watch_list_id", "due_at"),
        Index("ix_alerts_at_id", "at", "id"),
        CheckConstraint("kind IN ('obor', 'api')", name="kind"),
        CheckConstraint("state IN ('raised', 'held')", name="state"),
        CheckConstraint("(state = 'held') = (held_because IS NOT NULL)", name="held"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    watch_list_id: Mapped[int] = mapped_column(ForeignKey("watch_lists.id"))
    narrative_id: Mapped[int] = mapped_column(
        ForeignKey("narratives.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[str] = mapped_column(String(10))
    """The stage that the narrative is about to enter or has entered."""
    wave: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often it had been told of before and came back."""
    state: Mapped[str] = mapped_column(String(10))
    held_because: Mapped[str | None] = mapped_column(String(10))
    """cut_off (not urgent enough), budget (the day's is spent) or follow_up (half of it is, and
    the narrative was told of)."""
    urgency: Mapped[float]
    """The highest it came to."""
    due_at: Mapped[datetime] = mapped_column(Utc)
    at: Mapped[datetime] = mapped_column(Utc)
    """When it was raised; of one held back: when it was first due."""
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What it says, masked: see ``service.alerts.content``."""
    handled_at: Mapped[datetime | None] = mapped_column(Utc)
    handled_by_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))

    watch_list: Mapped[WatchList] = relationship()
    narrative: Mapped[Narrative] = relationship()
    handled_by: Mapped[Account | None] = relationship()


class AlertCandidate(Table):
    """That a narrative was due at all, whoever watches: what shadow runs look back on."""

    __tablename__ = "alert_candidates"
    __table_args__ = (UniqueConstraint("narrative_id", "kind"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    narrative_id: Mapped[int] = mapped_column(ForeignKey("narratives.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(10))
    at: Mapped[datetime] = mapped_column(Utc, index=True)
    urgency: Mapped[float]
    """The highest it came to."""


class StoredClarification(Table):
    """What somebody has found out about a claim: suggested beside posts that seem to make it."""

    __tablename__ = "clarifications"
    __table_args__ = (Index("ix_clarifications_version_id", "version", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    title: Mapped[str] = mapped_column(String(500))
    url: Mapped[str] = mapped_column(String(1000), unique=True)
    text: Mapped[str] = mapped_column(Text)
    claim: Mapped[str] = mapped_column(Text)
    """What is clarified, as it went round; empty: the title says it."""
    rating: Mapped[str] = mapped_column(String(80))
    """The publisher's own words for it, such as "salah" or "benar"; empty: none are known."""
    publisher: Mapped[str] = mapped_column(String(200))
    published_at: Mapped[datetime | None] = mapped_column(Utc)
    embedding: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of the claim, or of the title without one, by ``model``; see ``StoredPost.embedding``."""
    model: Mapped[str] = mapped_column(String(12))
    added_at: Mapped[datetime] = mapped_column(Utc)
    added_by_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    """None: the command line."""
    removed_at: Mapped[datetime | None] = mapped_column(Utc)
    """Removed ones are shown nowhere; added again they are back."""
    version: Mapped[int] = mapped_column(BigInteger)
    """The line of the audit trail that tells of the last change. Those are written one after the
    other, so that whoever has read all up to a version has missed none."""

    added_by: Mapped[Account | None] = relationship()


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
