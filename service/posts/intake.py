"""Intake: posts come in, are recognised if known, scored, stored and queued in one transaction."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import numpy as np
from sqlalchemy import Row, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from models.scorer import Floats, Score
from models.text import normalise
from service.bulk import run_many
from service.database import Database
from service.errors import DatabaseUnavailable
from service.queue.service import QueueRules, priority
from service.tables import QueueItem, State, StoredPost

ScoreAndEmbed = Callable[[Sequence[str]], Sequence[tuple[Score, Floats]]]
"""``Scorer.score_and_embed``, or what stands before it."""
Scores = Mapping[str, tuple[Score, Floats]]
"""Score and embedding by a post's key."""
_COPIED: Final = ("risk", "label", "technique", "platform", "source")
"""What an item of the queue keeps of its post: see ``service.tables.QueueItem``."""
_PLATFORM_NAMES: Final = {"twitter": "x"}
"""Names that feeds give a platform, and the desk's own; see ``service.pages.words.PLATFORMS``."""
_TRIES: Final = 5
_DIGEST: Final = 24
"""Letters of a key's digest: 96 bits, of which a million posts meet by chance once in 10¹⁶ desks."""
_PLACE: Final = 8
"""Letters before it that keep posts of one time together."""
_LONG_NUMBER: Final = 15
"""Digits from which a platform's number grows with time: it begins with the moment."""
MINIMUM_REACH: Final = 10
"""Expected reach of a post about which nothing is known: a handful of readers."""
MAXIMUM_REACH: Final = 10**10
"""More than there are people; so that what a narrative's posts reach can be added up."""


_post: Final[Any] = StoredPost.__table__
_INSERT_POST: Final = insert(_post)
_INSERT_ITEM: Final = insert(cast("Any", QueueItem.__table__))
_SEEN: Final = (
    update(_post)
    .where(_post.c.id == bindparam("_id"))
    .values(seen=_post.c.seen + bindparam("_times"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPost:
    """A post as it was sent."""

    text: str
    platform: str = "unknown"
    external_id: str | None = None
    source: str = "api"
    account: str | None = None
    url: str | None = None
    posted_at: datetime | None = None
    engagement: dict[str, int] = field(default_factory=dict)
    """Of ``views``, ``likes``, ``replies``, ``shares``, ``followers``: what is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a post: its row, whether it was known, whether it stands in the queue."""

    post: StoredPost
    seen_before: bool
    queued: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The number of a post, whether it was known, whether it stands in the queue."""

    id: int
    seen_before: bool
    queued: bool


def platform_of(text: str) -> str:
    """Return a platform as the desk keeps it: in small letters, each under one name."""
    name = text.strip().lower()
    return _PLATFORM_NAMES.get(name, name)


def post_key(post: NewPost) -> str:
    """Return what makes a post the same post.

    Platform and its own number there; where it has none, the platform, the normalised text, the
    account and the time, so that a feed sent twice counts once, a chain message that is pasted
    again and again counts once, and the same words by two accounts are two posts: spread is made
    of them.

    It begins with the time, as far as that is part of what makes the post the same: what comes in
    now stands together in the index of keys, however many there are.
    """
    place = None
    if post.external_id:
        identity: tuple[str, ...] = ("id", post.external_id)
        number = post.external_id
        if len(number) >= _LONG_NUMBER and number.isascii() and number.isdigit():
            place = number[:_PLACE]
    else:
        identity = ("text", normalise(post.text))
        if post.account or post.posted_at:
            at = post.posted_at.astimezone(UTC) if post.posted_at else None
            identity = (*identity, post.account or "", at.isoformat() if at else "")
            place = f"{math.floor(at.timestamp()) % 16**_PLACE:08x}" if at else None
    digest = hashlib.sha256("\x1f".join((post.platform, *identity)).encode()).hexdigest()
    return (place or digest[-_PLACE:]) + digest[:_DIGEST]


def expected_reach(engagement: dict[str, int]) -> int:
    """Return a rough number of people who will see the post.

    Views where they are known; else shares, replies and likes weighed by how far each carries,
    and a tenth of the followers. An order of magnitude, used for sorting alone.
    """
    known = {name: max(0, value) for name, value in engagement.items()}
    carried = (
        50 * known.get("shares", 0) + 20 * known.get("replies", 0) + 10 * known.get("likes", 0)
    )
    reached = max(known.get("views", 0), carried, known.get("followers", 0) // 10)
    return min(MAXIMUM_REACH, MINIMUM_REACH + reached)


def accept(
    database: Database,
    posts: Sequence[NewPost],
    score: ScoreAndEmbed,
    rules: QueueRules,
    *,
    model: str,
) -> list[Accepted]:
    """Store the posts that are new, count the others, queue what is risky; in their order.

    Only new texts are scored, before the transaction that stores them: no writer waits for the
    model. All of it stands, or nothing. ``model`` is the release that ``score`` uses.

    Raises:
        DatabaseUnavailable: nothing was stored.
    """
    keys = [post_key(post) for post in posts]
    for _ in range(_TRIES):
        scores = score_new(database, posts, keys, score)
        # Another worker may store one of them at the same moment, or a purge delete one.
        with suppress(IntegrityError, KeyError), database.write() as session:
            return _accepted(session, store(session, posts, keys, scores, rules, model=model))
    raise DatabaseUnavailable("the same posts are being stored elsewhere; try again in a moment")


def score_new(
    database: Database, posts: Sequence[NewPost], keys: Sequence[str], score: ScoreAndEmbed
) -> Scores:
    """Return by key the scores of the posts that are not stored yet."""
    by_key = dict(zip(keys, posts, strict=True))
    with database.read() as session:
        stored = set(session.scalars(select(StoredPost.key).where(StoredPost.key.in_(by_key))))
    wanted = [key for key in by_key if key not in stored]
    return dict(zip(wanted, score([by_key[key].text for key in wanted]), strict=True))


def store(
    session: Session,
    posts: Sequence[NewPost],
    keys: Sequence[str],
    scores: Scores,
    rules: QueueRules,
    *,
    model: str,
) -> list[Stored]:
    """Do the storing of ``accept`` in the caller's transaction; ``keys`` are the posts' keys.

    Known posts are locked by number and new ones inserted by key, so that two that store the same
    posts at once wait for one another, in whatever order each has them.

    Raises:
        IntegrityError: another stored one of them at the same moment; do it all again.
        KeyError: a post has no score, for it was stored when ``score_new`` asked and is no more.
    """
    now = datetime.now(UTC)
    known = _known(session, keys)
    times = Counter(keys)
    engagement: dict[str, dict[str, int]] = {}
    first: dict[str, NewPost] = {}
    for key, post in zip(keys, posts, strict=True):
        first.setdefault(key, post)
        before = engagement.get(key, known[key].engagement if key in known else {})
        engagement[key] = _larger(before, post.engagement)
    fresh = {
        key: _row(key, post, *scores[key], engagement[key], times[key], model, now)
        for key, post in first.items()
        if key not in known
    }
    _update_known(session, known, engagement, times, rules)
    if fresh:
        run_many(session, _INSERT_POST, _numbered(session, fresh))
        # What is inserted in bulk passes the session's own count (service.operations.metrics).
        session.info.setdefault("new", Counter())["post"] += len(fresh)
    ids = {key: int(row.id) for key, row in known.items()}
    ids |= {key: int(row["id"]) for key, row in fresh.items()}
    risky = {key for key, row in fresh.items() if row["risk"] >= rules.threshold}
    if risky:
        items = [_item(StoredPost(**fresh[key]), rules, now) for key in sorted(risky)]
        run_many(session, _INSERT_ITEM, items)
    queued = risky | {key for key, row in known.items() if row.item_id is not None}
    out: list[Stored] = []
    seen = set(known)
    for key in keys:
        out.append(Stored(id=ids[key], seen_before=key in seen, queued=key in queued))
        seen.add(key)
    return out


def _numbered(session: Session, fresh: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Number new rows as they came, and return them in the order in which they are inserted.

    Narratives are told in the order of the numbers. PostgreSQL inserts row by row beside others,
    who must meet the same keys in the same order; SQLite has one writer.
    """
    rows = list(fresh.values())
    alone = session.get_bind().dialect.name == "sqlite"
    if alone:
        last = session.scalar(select(func.max(StoredPost.id))) or 0
        numbers: Iterable[int] = range(last + 1, last + 1 + len(rows))
    else:
        numbers = session.scalars(
            select(func.nextval(func.pg_get_serial_sequence("posts", "id"))).select_from(
                func.generate_series(1, len(rows))
            )
        )
    for row, number in zip(rows, numbers, strict=True):
        row["id"] = number
    return rows if alone else sorted(rows, key=lambda row: str(row["key"]))


def _known(session: Session, keys: Collection[str]) -> dict[str, Row[*tuple[Any, ...]]]:
    rows = session.execute(
        select(
            StoredPost.key,
            StoredPost.id,
            StoredPost.risk,
            StoredPost.engagement,
            QueueItem.id.label("item_id"),
            QueueItem.first_seen_at,
        )
        .outerjoin(StoredPost.item)
        .where(StoredPost.key.in_(set(keys)))
        .order_by(StoredPost.id)
        # Its key is left to others: whoever decides on an item looks whether its post is there.
        .with_for_update(of=StoredPost, key_share=True)
    )
    return {str(row.key): row for row in rows}


def _update_known(
    session: Session,
    known: Mapping[str, Row[*tuple[Any, ...]]],
    engagement: Mapping[str, dict[str, int]],
    times: Mapping[str, int],
    rules: QueueRules,
) -> None:
    if not known:
        return
    counted = [{"_id": row.id, "_times": times[key]} for key, row in known.items()]
    run_many(session, _SEEN, counted)
    more = {k: row for k, row in known.items() if engagement[k] != row.engagement}
    for key, row in more.items():
        reach = expected_reach(engagement[key])
        session.execute(
            update(StoredPost)
            .where(StoredPost.id == row.id)
            .values(engagement=engagement[key], reach=reach)
            .execution_options(synchronize_session=False)
        )
    queued = [(row.item_id, key, row) for key, row in more.items() if row.item_id is not None]
    for item_id, key, row in sorted(queued):  # in order: so does who decides on many at once
        reach = expected_reach(engagement[key])
        session.execute(
            update(QueueItem)
            .where(QueueItem.id == item_id)
            .values(priority=priority(row.risk, reach, row.first_seen_at, rules))
            .execution_options(synchronize_session=False)
        )


def _accepted(session: Session, stored: Sequence[Stored]) -> list[Accepted]:
    rows = session.scalars(
        select(StoredPost)
        .where(StoredPost.id.in_({s.id for s in stored}))
        .options(joinedload(StoredPost.item))
    )
    posts = {post.id: post for post in rows}
    return [Accepted(post=posts[s.id], seen_before=s.seen_before, queued=s.queued) for s in stored]


def _row(
    key: str,
    post: NewPost,
    score: Score,
    vector: Floats,
    engagement: dict[str, int],
    seen: int,
    model: str,
    now: datetime,
) -> dict[str, Any]:
    embedding = vector.astype(np.float16)
    return {
        "key": key,
        "platform": post.platform,
        "external_id": post.external_id,
        "source": post.source,
        "account": post.account,
        "url": post.url,
        "text": post.text,
        "posted_at": post.posted_at,
        "received_at": now,
        "reach": expected_reach(engagement),
        "engagement": engagement,
        "seen": seen,
        "risk": score.risk,
        "label": score.label,
        "hoax": score.hoax,
        "disinformation": score.disinformation,
        "malinformation": score.malinformation,
        "technique": score.technique,
        "tone": score.tone,
        "model": model,
        "embedding": embedding.tobytes() if embedding.size else None,
    }


def _item(post: StoredPost, rules: QueueRules, now: datetime) -> dict[str, Any]:
    return {
        "post_id": post.id,
        "state": State.NEW,
        "open": True,
        "priority": priority(post.risk, post.reach, now, rules),
        **{name: getattr(post, name) for name in _COPIED},
        "first_seen_at": now,
        "due_at": now + timedelta(hours=rules.hours_to_decide),
        "reviews_wanted": rules.reviews_for(post),
    }


def _larger(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in a | b}
