"""Clarifications: each is kept once, by its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.likeness import Floats
from service.audit import trail as audit
from service.clarifications.reading import Given
from service.database import Database
from service.errors import DatabaseUnavailable, NotFound
from service.posts.intake import ScoreAndEmbed
from service.tables import Account, StoredClarification

_TRIES: Final = 5
_PART: Final = 500
"""Addresses of one query."""
_KEPT: Final = ("title", "claim", "text", "publisher", "published_at", "rating")


class Outcome(StrEnum):
    """What became of a clarification that was given."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The number of a clarification that was given, and what became of it."""

    id: int
    url: str
    outcome: Outcome


def page(
    session: Session, *, before: int | None = None, limit: int = 50
) -> tuple[list[StoredClarification], int | None]:
    """Return clarifications, the latest first, and from where the next page goes on, if one does."""
    query = select(StoredClarification).where(StoredClarification.removed_at.is_(None))
    if before is not None:
        query = query.where(StoredClarification.id < before)
    rows = list(session.scalars(query.order_by(StoredClarification.id.desc()).limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def keep(
    database: Database,
    clarifications: Sequence[Given],
    score: ScoreAndEmbed,
    *,
    model: str,
    account: Account | None,
    actor: str,
    now: datetime,
) -> list[Kept]:
    """Add the clarifications that are new by address, change those that say something else now.

    In their order; of one address given twice the later counts. One line of the audit trail tells
    of all. ``model`` is the release that ``score`` uses; it is asked before the transaction.

    Raises:
        DatabaseUnavailable: nothing was kept.
    """
    wanted = {one.url: one for one in clarifications}
    for _ in range(_TRIES):
        with database.read() as session:
            known = _by_url(session, wanted)
        topics = {
            url: topic_of(one)
            for url, one in wanted.items()
            if url not in known or _needs_embedding(known[url], one, model)
        }
        scored = zip(topics, score(list(topics.values())), strict=True)
        vectors = {url: vector for url, (_, vector) in scored}
        # Somebody else may add one of them at the same moment.
        with suppress(IntegrityError, KeyError), database.write() as session:
            return _keep(session, clarifications, wanted, vectors, model, account, actor, now)
    raise DatabaseUnavailable("the same clarifications are being added elsewhere; try again")


def remove(session: Session, number: int, *, actor: str, now: datetime) -> None:
    """Show a clarification nowhere from now on; one that is removed already stays so.

    Raises:
        NotFound: there is no such clarification.
    """
    row = session.get(StoredClarification, number, with_for_update=True)
    if row is None:
        raise NotFound(f"there is no clarification {number}")
    if row.removed_at is None:
        subject = f"clarification:{row.id}"
        line = audit.record(
            session, actor=actor, action="clarification.remove", subject=subject, url=row.url
        )
        row.removed_at, row.version = now, line.id


def topic_of(one: Given | StoredClarification) -> str:
    """Return what a clarification is compared by: the claim, or the title where none is given."""
    return one.claim or one.title


# --- within --------------------------------------------------------------------------------------


def _keep(
    session: Session,
    clarifications: Sequence[Given],
    wanted: Mapping[str, Given],
    vectors: Mapping[str, Floats],
    model: str,
    account: Account | None,
    actor: str,
    now: datetime,
) -> list[Kept]:
    """Do the writing of ``keep``.

    Raises:
        IntegrityError, KeyError: somebody else changed one of them since; do it all again.
    """
    known = _by_url(session, wanted, lock=True)
    outcomes: dict[str, Outcome] = {}
    rows: list[StoredClarification] = []
    for url, one in wanted.items():
        row = known.get(url)
        if row is None:
            outcomes[url] = Outcome.ADDED
            row = StoredClarification(url=url, added_at=now, added_by_id=account and account.id)
        elif row.removed_at is not None or _differs(row, one):
            outcomes[url] = Outcome.CHANGED
        else:
            outcomes[url] = Outcome.UNCHANGED
        if row.id is None or _needs_embedding(row, one, model):
            vector = vectors[url].astype(np.float16)
            row.embedding = vector.tobytes() if vector.size else None
            row.model = model
            rows.append(row)
        elif outcomes[url] is Outcome.CHANGED:
            rows.append(row)
        for name, value in _values(one).items():
            setattr(row, name, value)
        row.removed_at = None
        known[url] = row
    if rows:
        _write(session, rows, outcomes, actor)
    return [
        Kept(id=known[one.url].id, url=one.url, outcome=outcomes[one.url]) for one in clarifications
    ]


def _write(
    session: Session,
    rows: Sequence[StoredClarification],
    outcomes: Mapping[str, Outcome],
    actor: str,
) -> None:
    counts = dict.fromkeys((Outcome.ADDED, Outcome.CHANGED), 0)
    for row in rows:
        if outcomes[row.url] in counts:
            counts[outcomes[row.url]] += 1
    only = {"url": rows[0].url} if len(rows) == 1 else {}
    line = audit.record(
        session,
        actor=actor,
        action="clarification.keep",
        subject="clarifications",
        added=counts[Outcome.ADDED],
        changed=counts[Outcome.CHANGED],
        **only,
    )
    for row in rows:
        row.version = line.id
    session.add_all(rows)
    session.flush()


def _by_url(
    session: Session, urls: Mapping[str, Given], *, lock: bool = False
) -> dict[str, StoredClarification]:
    out: dict[str, StoredClarification] = {}
    wanted = sorted(urls)
    for start in range(0, len(wanted), _PART):
        query = (
            select(StoredClarification)
            .where(StoredClarification.url.in_(wanted[start : start + _PART]))
            .order_by(StoredClarification.id)
        )
        for row in session.scalars(query.with_for_update() if lock else query):
            out[row.url] = row
    return out


def _values(one: Given) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _KEPT}


def _differs(row: StoredClarification, one: Given) -> bool:
    return any(getattr(row, name) != value for name, value in _values(one).items())


def _needs_embedding(row: StoredClarification, one: Given, model: str) -> bool:
    return row.model != model or topic_of(row) != topic_of(one)
