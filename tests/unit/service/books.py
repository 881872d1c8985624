"""Whether narratives say of themselves what their posts say."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from sqlalchemy import select

from pipeline.spread import aggregate_risk
from service.database import Database
from service.narratives.counts import FLAGGED, account_number, bucket_of
from service.tables import (
    Digest,
    Narrative,
    NarrativeAccount,
    NarrativeBucket,
    StoredPost,
)


def books_agree(database: Database) -> None:
    """Check every number of every narrative against its posts, at any moment between two steps."""
    with database.read() as session:
        by_narrative: dict[int, list[StoredPost]] = {}
        for post in session.scalars(select(StoredPost).order_by(StoredPost.id)):
            if post.narrative_id is not None:
                by_narrative.setdefault(post.narrative_id, []).append(post)
        narratives = {n.id: n for n in session.scalars(select(Narrative))}
        buckets: dict[int, dict[int, tuple[int, int, int]]] = {}
        for row in session.scalars(select(NarrativeBucket)):
            numbers = (row.posts, row.risky, row.reach)
            buckets.setdefault(row.narrative_id, {})[row.at] = numbers
        accounts: dict[int, dict[int, int]] = {}
        for known in session.scalars(select(NarrativeAccount)):
            accounts.setdefault(known.narrative_id, {})[known.account] = known.posts
        digests = set(session.scalars(select(Digest.post_id)))
    assert set(by_narrative) <= set(narratives)
    assert digests <= {post.id for posts in by_narrative.values() for post in posts}
    for number, narrative in narratives.items():
        posts = by_narrative.get(number, [])
        _leads_somewhere(narrative, narratives)
        _agrees(narrative, posts)
        assert buckets.get(number, {}) == _buckets(posts)
        counted = Counter(account_number(p.platform, p.account) for p in posts if p.account)
        assert accounts.get(number, {}) == counted
        assert narrative.accounts == len(counted)


def all_grouped(database: Database) -> None:
    """Check that no post waits for a narrative, and none for having its reach counted."""
    with database.read() as session:
        for post in session.scalars(select(StoredPost)):
            assert post.narrative_id is not None
            assert post.counted_reach == post.reach


def _agrees(narrative: Narrative, posts: list[StoredPost]) -> None:
    assert narrative.posts == len(posts)
    assert narrative.reach == sum(post.counted_reach or 0 for post in posts)
    assert narrative.platforms == Counter(post.platform for post in posts)
    assert narrative.labels == Counter(post.label for post in posts)
    risk_sum = sum(post.risk for post in posts)
    assert narrative.risk_sum == pytest.approx(risk_sum, abs=1e-6)
    assert narrative.risk == pytest.approx(aggregate_risk(risk_sum, len(posts)), abs=1e-6)
    assert math.isfinite(narrative.heat)
    if not posts:
        assert (narrative.stage, narrative.due, narrative.look_at) == ("quiet", 0, None)
        return
    assert narrative.merged_into_id is None
    times = [post.event_at for post in posts if post.event_at is not None]
    assert len(times) == len(posts)
    assert (narrative.first_seen_at, narrative.last_seen_at) == (min(times), max(times))
    assert narrative.title_post_id in {None, *(post.id for post in posts)}
    assert len(narrative.title) <= 300


def _leads_somewhere(narrative: Narrative, narratives: dict[int, Narrative]) -> None:
    """Check that what was merged leads to one that was not, and not round in a circle."""
    seen = set()
    while narrative.merged_into_id is not None:
        assert narrative.id not in seen
        seen.add(narrative.id)
        narrative = narratives[narrative.merged_into_id]


def _buckets(posts: list[StoredPost]) -> dict[int, tuple[int, int, int]]:
    found: dict[int, tuple[int, int, int]] = {}
    for post in posts:
        assert post.event_at is not None
        at = bucket_of(post.event_at)
        count, risky, reach = found.get(at, (0, 0, 0))
        found[at] = (
            count + 1,
            risky + (post.risk >= FLAGGED),
            reach + (post.counted_reach or 0),
        )
    return found
