"""A million posts in seconds: some thousand are made, the database makes the others of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from models.fake import FakeScorer
from service.database import Database
from service.queue.service import QueueRules, priority
from service.tables import Account, QueueItem, StoredPost, Verdict

SEEDS: Final = 10_000
_PLATFORMS: Final = ("x", "facebook", "tiktok", "instagram", "whatsapp", "telegram")
_DAYS: Final = 90


def fill(database: Database, *, posts: int, open_items: int, decided: int) -> None:
    """Fill a migrated, empty database: posts of 90 days, the newest risky ones open in the queue.

    Embeddings are there, at their size. ``decided`` items have a review each.
    """
    seeds = min(SEEDS, posts)
    with database.write() as session:
        session.add(Account(name="filler", role="moderator", password_hash="", created_at=_now()))
        session.flush()
        filler = session.query(Account).filter_by(name="filler").one().id
        session.execute(insert(StoredPost), list(_rows(seeds)))
        _multiply(session, seeds, posts // seeds)
        _queue(session, posts, open_items, decided)
        _review(session, filler)
    with database.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT", lilin_writes=True
    ) as connection:
        connection.exec_driver_sql("ANALYZE")


def _now() -> datetime:
    return datetime.now(UTC)


def _rows(count: int) -> list[dict[str, Any]]:
    from models.bench import unique_posts

    dice = random.Random(5)
    texts = list(unique_posts(count))
    vectors = [
        np.random.default_rng(n).standard_normal(384).astype(np.float16).tobytes()
        for n in range(64)
    ]
    now = _now()
    rows = []
    for number, (body, score) in enumerate(zip(texts, FakeScorer().score(texts), strict=True)):
        reach = int(10 ** dice.uniform(1, 6))
        rows.append(
            {
                "key": f"seed{number:060d}",
                "platform": dice.choice(_PLATFORMS),
                "external_id": None,
                "source": dice.choice(("api", "api", "page", *(f"feed-{n}" for n in range(40)))),
                "account": f"akun{dice.randrange(5000)}",
                "url": f"https://contoh.id/{number}",
                "text": body,
                "posted_at": None,
                "received_at": now - timedelta(days=_DAYS * dice.random() ** 2),
                "reach": reach,
                "engagement": {"views": reach},
                "seen": 1,
                # Spread evenly, so that a bound on the risk lets a share of the items pass.
                "risk": dice.random(),
                "label": dice.choice(("hoax", "disinformation", "malinformation")),
                "hoax": score.hoax,
                "disinformation": score.disinformation,
                "malinformation": score.malinformation,
                "technique": dice.choice(("fabricated", "impostor", "misleading", None)),
                "tone": score.tone,
                "model": "fake-1",
                "embedding": dice.choice(vectors),
            }
        )
    return rows


def _multiply(session: Session, seeds: int, times: int) -> None:
    names = [column.name for column in StoredPost.__table__.columns if column.name != "id"]
    made = {"key": "substr(key, 13) || :round", "text": "text || ' ' || :round"}
    statement = text(
        f"INSERT INTO posts ({', '.join(names)}) "
        f"SELECT {', '.join(made.get(name, name) for name in names)} FROM posts WHERE id <= :seeds"
    )
    for number in range(1, times):
        session.execute(statement, {"round": f"r{number:07d}", "seeds": seeds})


def _queue(session: Session, posts: int, open_items: int, decided: int) -> None:
    """Queue every n-th post; half of them, or as many as asked, are decided."""
    rules = QueueRules(threshold=0.5)
    base = priority(1.0, 1, _now(), rules)
    step = max(1, posts // (open_items + decided))
    copied = {
        column.name
        for column in QueueItem.__table__.columns
        if column.name in StoredPost.__table__.columns and column.name != "id"
    }
    # The logarithms of risk and reach, near enough for sorting: not every SQLite has ln().
    made = {
        "post_id": "posts.id",
        "state": "CASE WHEN n.open THEN 'new' ELSE 'decided' END",
        "open": "n.open",
        "priority": f"{base!r} - 10 * ((posts.id * 7919) % 100003) / 100003.0 + 2 * posts.risk",
        "first_seen_at": "posts.received_at",
        "due_at": "posts.received_at",
        "decided_at": "CASE WHEN n.open THEN NULL ELSE posts.received_at END",
        "verdict": f"CASE WHEN n.open THEN NULL ELSE '{Verdict.HOAX}' END",
        "reviews_wanted": "1",
        **{name: f"posts.{name}" for name in copied},
    }
    is_open = f"((posts.id / {step}) % {open_items + decided}) < {open_items}"
    session.execute(
        text(
            f"INSERT INTO queue ({', '.join(made)}) SELECT {', '.join(made.values())} "
            f"FROM (SELECT posts.*, ({is_open}) AS open FROM posts WHERE posts.id % {step} = 0) "
            "AS n JOIN posts ON posts.id = n.id"
        )
    )


def _review(session: Session, account: int) -> None:
    session.execute(
        text(
            "INSERT INTO reviews (item_id, account_id, verdict, note, evidence, decided_at) "
            "SELECT id, :account, verdict, '', '[]', decided_at FROM queue WHERE NOT open"
        ),
        {"account": account},
    )
