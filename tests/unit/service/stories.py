"""Narratives with posts for the tests of pages, written into the tables as the grouping leaves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import select

from models.fake import FakeScorer
from service.database import Database
from service.narratives.counts import bucket_of
from service.posts.intake import NewPost, accept
from service.queue.service import QueueRules
from service.tables import Narrative, NarrativeBucket, QueueItem, StoredPost

RULES = QueueRules(threshold=0.0, second_review_share=0.0, second_review_labels=())
NOW = datetime.now(UTC).replace(microsecond=0)


def tell(
    database: Database,
    number: int,
    texts: Sequence[str],
    *,
    ages_h: Sequence[float] = (),
    rules: QueueRules = RULES,
    accounts: Sequence[str] = (),
    platforms: Sequence[str] = ("x",),
    shares: Sequence[int] = (0,),
    **more: Any,
) -> list[int]:
    """Store a narrative of these posts, and return their numbers; ``ages_h`` before ``NOW``.

    ``more`` are columns of the narrative. Called again with a number, it adds posts to it.
    """
    at = [NOW - timedelta(hours=ages_h[i] if ages_h else len(texts) - i) for i in range(len(texts))]
    known = 0
    with database.read() as session:
        before = session.get(Narrative, number)
        known = before.posts if before else 0
    posts = [
        NewPost(
            text=text,
            platform=platforms[i % len(platforms)],
            external_id=f"{number}-{known + i}",
            account=accounts[i % len(accounts)] if accounts else None,
            posted_at=at[i],
            engagement={"shares": shares[i % len(shares)]},
        )
        for i, text in enumerate(texts)
    ]
    score = FakeScorer().score_and_embed
    done = [a.post.id for a in accept(database, posts, score, rules, model="fake-1")]
    with database.write() as session:
        by_id = {
            p.id: p for p in session.scalars(select(StoredPost).where(StoredPost.id.in_(done)))
        }
        rows = [by_id[post_id] for post_id in done]
        narrative = session.get(Narrative, number)
        if narrative is None:
            narrative = Narrative(
                id=number,
                title=texts[0][:300],
                keywords=["kata"],
                first_seen_at=min(at),
                last_seen_at=max(at),
                posts=0,
                accounts=len(set(accounts)),
                platforms=dict(Counter(p.platform for p in posts)),
                labels=dict(Counter(row.label for row in rows)),
                reach=sum(row.reach for row in rows),
                risk_sum=sum(row.risk for row in rows),
                risk=sum(row.risk for row in rows) / len(rows),
                last_post_id=done[-1],
                centre=_centre(rows),
                reasons=[],
            )
            session.add(narrative)
        for name, value in more.items():
            setattr(narrative, name, value)
        narrative.posts += len(rows)
        session.flush()
        buckets: Counter[int] = Counter()
        for i, row in enumerate(rows):
            row.narrative_id, row.event_at = number, at[i]
            row.joined_by = "near" if known or i else "first"
            row.joined_likeness = 0.75 if known or i else 1.0
            buckets[bucket_of(at[i])] += 1
        for start, count in buckets.items():
            bucket = session.get(NarrativeBucket, (number, start))
            if bucket is None:
                bucket = NarrativeBucket(narrative_id=number, at=start, posts=0, risky=0, reach=0)
                session.add(bucket)
            bucket.posts += count
    return done


def _centre(rows: Sequence[StoredPost]) -> bytes:
    vectors = [np.frombuffer(row.embedding or b"", np.float16) for row in rows]
    whole = [vector.astype(np.float32) for vector in vectors if len(vector)]
    return np.sum(whole, axis=0).tobytes() if whole else b""


def items_of(database: Database, posts: Sequence[int]) -> list[QueueItem]:
    """Return the items of posts, in their order, with their verdicts."""
    with database.read() as session:
        by_post = {
            item.post_id: item
            for item in session.scalars(select(QueueItem).where(QueueItem.post_id.in_(posts)))
        }
        for item in by_post.values():
            _ = item.reviews
    return [by_post[post] for post in posts if post in by_post]


def narrative_of(database: Database, number: int) -> Narrative:
    """Return a narrative as it is stored."""
    with database.read() as session:
        return session.get_one(Narrative, number)
