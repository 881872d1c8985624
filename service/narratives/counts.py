"""What narratives count of their posts: in all, by account, and in ten minutes of time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import ARRAY, BigInteger, Row, func, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.bulk import run_many
from service.tables import NarrativeAccount, NarrativeBucket, StoredPost

BUCKET_S: Final = 600
FLAGGED: Final = 0.25
"""Risk from which a post counts as risky in a narrative's buckets, whatever the queue's cut."""
COUNTED: Final = func.coalesce(StoredPost.counted_reach, StoredPost.reach)
"""A post's reach as its narrative has it: the rest is added with the next round of grouping."""
_PART: Final = 8_000
"""Values of one query: SQLite takes some 32,000, PostgreSQL 65,535."""
_Value = TypeVar("_Value")


def account_number(platform: str, account: str | None) -> int:
    """Return a number that stands for an account on its platform; 0: unknown."""
    if not account:
        return 0
    named = f"{platform}\x1f{account}".encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big", signed=True) or 1


def bucket_of(at: datetime) -> int:
    """Return the start of the ten minutes of a moment, in seconds since 1970."""
    return int(at.timestamp()) // BUCKET_S * BUCKET_S


@dataclass(slots=True)
class Sum:
    """What a narrative's new posts add to it."""

    posts: int = 0
    reach: int = 0
    risk: float = 0.0
    first: datetime | None = None
    last: datetime | None = None
    platforms: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    accounts: dict[int, int] = field(default_factory=dict)
    buckets: dict[int, list[int]] = field(default_factory=dict)

    def add(self, row: Row[Any], at: datetime) -> None:
        """Add a post."""
        platform, label, reach, risk = row.platform, row.label, row.reach, row.risk
        self.posts += 1
        self.reach += reach
        self.risk += risk
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)
        self.platforms[platform] = self.platforms.get(platform, 0) + 1
        self.labels[label] = self.labels.get(label, 0) + 1
        account = account_number(platform, row.account)
        if account:
            self.accounts[account] = self.accounts.get(account, 0) + 1
        bucket = self.buckets.setdefault(bucket_of(at), [0, 0, 0])
        bucket[0] += 1
        bucket[1] += risk >= FLAGGED
        bucket[2] += reach


def fresh_accounts(session: Session, accounts: Mapping[int, Mapping[int, int]]) -> dict[int, int]:
    """Return by narrative how many of these accounts it has not had yet."""
    fresh = {n: len(counts) for n, counts in accounts.items()}
    pairs = [(n, account) for n, counts in accounts.items() for account in counts]
    if not pairs:
        return fresh
    if session.get_bind().dialect.name == "sqlite":
        listed = func.json_each(orjson.dumps(pairs).decode()).table_valued("value").alias("wanted")
        wanted = select(
            func.json_extract(listed.c.value, "$[0]"), func.json_extract(listed.c.value, "$[1]")
        )
    else:
        columns = [literal(list(column), ARRAY(BigInteger)) for column in zip(*pairs, strict=True)]
        wanted = select(func.unnest(columns[0]), func.unnest(columns[1]))
    known: Any = NarrativeAccount.__table__
    key = tuple_(known.c.narrative_id, known.c.account)
    for (narrative_id,) in session.execute(select(known.c.narrative_id).where(key.in_(wanted))):
        fresh[narrative_id] -= 1
    return fresh


def write_accounts(session: Session, accounts: Mapping[int, Mapping[int, int]]) -> None:
    """Add posts to the accounts of narratives."""
    values = [
        {"narrative_id": n, "account": a, "posts": count}
        for n, counts in sorted(accounts.items())
        for a, count in sorted(counts.items())
    ]
    _upsert(session, NarrativeAccount, ("narrative_id", "account"), ("posts",), values)


def add_buckets(session: Session, buckets: Mapping[int, Mapping[int, Sequence[int]]]) -> None:
    """Add posts, risky posts and reach to narratives' buckets."""
    values = [
        {"narrative_id": n, "at": at, "posts": b[0], "risky": b[1], "reach": b[2]}
        for n, by_time in sorted(buckets.items())
        for at, b in sorted(by_time.items())
    ]
    names = ("posts", "risky", "reach")
    _upsert(session, NarrativeBucket, ("narrative_id", "at"), names, values)


def _upsert(
    session: Session,
    table: Any,
    keys: tuple[str, ...],
    added: tuple[str, ...],
    values: Sequence[dict[str, Any]],
) -> None:
    dialect = session.get_bind().dialect.name
    run_many(session, _upserting(table, keys, added, dialect), values)


@lru_cache
def _upserting(table: Any, keys: tuple[str, ...], added: tuple[str, ...], dialect: str) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(table.__table__)
    columns = table.__table__.c
    return statement.on_conflict_do_update(
        index_elements=list(keys),
        set_={name: columns[name] + statement.excluded[name] for name in added},
    )


def parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """Yield the values in parts that fit into one query."""
    for start in range(0, len(values), _PART):
        yield values[start : start + _PART]
