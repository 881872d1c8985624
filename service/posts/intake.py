"""Intake: posts come in, are recognised if known, scored, stored and queued in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from models.scorer import Floats, Score
from models.text import normalise
from service.database import Database
from service.queue.service import QueueRules, priority
from service.tables import QueueItem, State, StoredPost

ScoreAndEmbed = Callable[[Sequence[str]], Sequence[tuple[Score, Floats]]]
"""``Scorer.score_and_embed``, or what stands before it."""
MINIMUM_REACH: Final = 10
"""Expected reach of a post about which nothing is known: a handful of readers."""


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


def post_key(post: NewPost) -> str:
    """Return what makes a post the same post.

    Platform and its own number there; where it has none, the platform and the normalised text,
    so that a chain message counts once however often it is sent.
    """
    identity = ("id", post.external_id) if post.external_id else ("text", normalise(post.text))
    return hashlib.sha256("\x1f".join((post.platform, *identity)).encode()).hexdigest()


def expected_reach(engagement: dict[str, int]) -> int:
    """Return a rough number of people who will see the post.

    Views where they are known; else shares, replies and likes weighed by how far each carries,
    and a tenth of the followers. An order of magnitude, used for sorting alone.
    """
    known = {name: max(0, value) for name, value in engagement.items()}
    carried = (
        50 * known.get("shares", 0) + 20 * known.get("replies", 0) + 10 * known.get("likes", 0)
    )
    return MINIMUM_REACH + max(known.get("views", 0), carried, known.get("followers", 0) // 10)


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
    by_key = {post_key(post): post for post in posts}
    with database.read() as session:
        fresh = by_key.keys() - _known(session, by_key.keys())
    wanted = [key for key in by_key if key in fresh]
    scores = dict(zip(wanted, score([by_key[key].text for key in wanted]), strict=True))
    try:
        with database.write() as session:
            return _store(session, posts, scores, rules, model)
    except IntegrityError:  # another worker stored one of them at the same moment: now it is known
        with database.write() as session:
            return _store(session, posts, scores, rules, model)


def _known(session: Session, keys: Collection[str]) -> dict[str, StoredPost]:
    rows = session.scalars(
        select(StoredPost).where(StoredPost.key.in_(keys)).options(joinedload(StoredPost.item))
    )
    return {stored.key: stored for stored in rows}


def _store(
    session: Session,
    posts: Sequence[NewPost],
    scores: Mapping[str, tuple[Score, Floats]],
    rules: QueueRules,
    model: str,
) -> list[Accepted]:
    keys = [post_key(post) for post in posts]
    known = _known(session, set(keys))
    now = datetime.now(UTC)
    out: list[Accepted] = []
    for key, post in zip(keys, posts, strict=True):
        stored = known.get(key)
        seen_before = stored is not None
        if stored is None:
            stored = known[key] = _row(key, post, *scores[key], model, now)
            if stored.risk >= rules.threshold:
                stored.item = _item(stored, rules, now)
            session.add(stored)
        else:
            stored.seen += 1
            stored.engagement = _larger(stored.engagement, post.engagement)
            stored.reach = expected_reach(stored.engagement)
            if stored.item is not None:
                stored.item.priority = priority(
                    stored.risk, stored.reach, stored.item.first_seen_at, rules
                )
        out.append(Accepted(post=stored, seen_before=seen_before, queued=stored.item is not None))
    session.flush()
    return out


def _row(
    key: str, post: NewPost, score: Score, vector: Floats, model: str, now: datetime
) -> StoredPost:
    embedding = vector.astype(np.float16)
    return StoredPost(
        key=key,
        platform=post.platform,
        external_id=post.external_id,
        source=post.source,
        account=post.account,
        url=post.url,
        text=post.text,
        posted_at=post.posted_at,
        received_at=now,
        reach=expected_reach(post.engagement),
        engagement=dict(post.engagement),
        risk=score.risk,
        label=score.label,
        hoax=score.hoax,
        disinformation=score.disinformation,
        malinformation=score.malinformation,
        technique=score.technique,
        tone=score.tone,
        model=model,
        embedding=embedding.tobytes() if embedding.size else None,
        item=None,
    )


def _item(post: StoredPost, rules: QueueRules, now: datetime) -> QueueItem:
    return QueueItem(
        state=State.NEW,
        open=True,
        priority=priority(post.risk, post.reach, now, rules),
        first_seen_at=now,
        due_at=now + timedelta(hours=rules.hours_to_decide),
        reviews_wanted=rules.reviews_for(post),
    )


def _larger(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in a | b}
