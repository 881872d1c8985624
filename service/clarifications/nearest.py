"""The clarification that is nearest to a post, found in memory.

What is found is a suggestion, chosen by words and meaning in common: it may be about something
else, and proves nothing of the post.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Row, func, select, tuple_
from sqlalchemy.orm import Session

from models.likeness import Floats, Space
from pipeline.clarifications import LIKELY, ClarificationIndex, common_words
from service.pages.words import in_common
from service.tables import StoredClarification, StoredPost

FOUND: Final = 100
"""Clarifications that a search returns at most."""
AT_ONCE: Final = 5000
"""Clarifications read by one call, some 0.4 s."""
_LAST: Final = 2**62
"""A number beyond all that are given out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A clarification that may be about what a post claims.

    ``likeness`` is 0 to 1, see ``pipeline.clarifications.likeness``; ``words`` are those that it
    has in common with the post, as the clarification writes them, the rarest first.
    """

    id: int
    title: str
    url: str
    publisher: str
    published_at: datetime | None
    rating: str
    likeness: float
    words: tuple[str, ...]

    @property
    def said(self) -> str:
        """Return what matched, for people; "" where no word did."""
        return in_common(self.words)


class Clarifications:
    """The clarifications of a database in memory; safe to call from any thread.

    Every call reads from the database what has changed since the one before. The first call reads
    the latest, and the next ones the older, until all are known: nobody waits for all of them.
    """

    def __init__(self, space: Space, *, model: str, at_once: int = AT_ONCE) -> None:
        """``space`` is that of the release ``model``; what another embedded is not compared."""
        self._index = ClarificationIndex(space)
        self._model = model
        self._at_once = at_once
        self._newest: tuple[int, int] | None = None
        """Version and number of the last change that is known; None: nothing is."""
        self._oldest: tuple[int, int] | None = None
        """Whatever changed last before this is still to be read; None: all is read."""
        self._lock = threading.Lock()

    def nearest(
        self,
        session: Session,
        text: str,
        embedding: bytes | None,
        *,
        at_least: float = LIKELY,
    ) -> Nearest | None:
        """Return the clarification that is nearest to what a text claims, or None.

        ``embedding`` is that of the text, as posts keep it (float16); None: not known by the
        model in use, so that words alone decide.
        """
        with self._lock:
            self._refresh(session)
            found = self._index.nearest(text, vector_of(embedding), at_least=at_least)
        if found is None:
            return None
        row = session.get(StoredClarification, found.id)
        if row is None or row.removed_at is not None:  # since the session looked
            return None
        return Nearest(
            id=row.id,
            title=row.title,
            url=row.url,
            publisher=row.publisher,
            published_at=row.published_at,
            rating=row.rating,
            likeness=found.likeness,
            words=tuple(common_words(f"{row.claim} {row.title}", found.words)),
        )

    def nearest_to(
        self, session: Session, post: StoredPost, *, at_least: float = LIKELY
    ) -> Nearest | None:
        """Return the clarification that is nearest to what a stored post claims, or None."""
        embedding = post.embedding if post.model == self._model else None
        return self.nearest(session, post.text, embedding, at_least=at_least)

    def search(self, session: Session, words: str) -> list[StoredClarification]:
        """Return clarifications in whose claim or title all the words stand, the latest first."""
        with self._lock:
            self._refresh(session)
            numbers = self._index.search(words, most=FOUND)
        rows = session.scalars(
            select(StoredClarification)
            .where(StoredClarification.id.in_(numbers), StoredClarification.removed_at.is_(None))
            .order_by(StoredClarification.id.desc())
        )
        return list(rows)

    def _refresh(self, session: Session) -> None:
        """Read what has changed since the last call, and some of what was there at the first."""
        if self._newest is None:
            newest = session.scalar(select(func.max(StoredClarification.version)))
            if newest is None:
                return
            self._newest, self._oldest = (newest, _LAST), (newest, _LAST)
        place = tuple_(StoredClarification.version, StoredClarification.id)
        changed = (
            select(*_READ)
            .where(place > tuple_(*self._newest))
            .order_by(StoredClarification.version, StoredClarification.id)
        )
        rows = session.execute(changed.limit(self._at_once)).all()
        if rows:
            self._newest = (rows[-1].version, rows[-1].id)
            self._take(rows)
        left = self._at_once - len(rows)
        if self._oldest is None or left == 0:
            return
        before = (
            select(*_READ)
            .where(place < tuple_(*self._oldest))
            .order_by(StoredClarification.version.desc(), StoredClarification.id.desc())
        )
        rows = session.execute(before.limit(left)).all()
        self._oldest = (rows[-1].version, rows[-1].id) if len(rows) == left else None
        self._take(rows)

    def _take(self, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
        for row in rows:
            if row.removed_at is not None:
                self._index.remove(row.id)
            else:
                vector = vector_of(row.embedding) if row.model == self._model else None
                self._index.put(row.id, [row.claim, row.title], vector)


_READ: Final = (
    StoredClarification.id,
    StoredClarification.version,
    StoredClarification.claim,
    StoredClarification.title,
    StoredClarification.embedding,
    StoredClarification.model,
    StoredClarification.removed_at,
)


def vector_of(embedding: bytes | None) -> Floats | None:
    """Return a stored embedding as a vector, None for none."""
    if embedding is None:
        return None
    out: Floats = np.frombuffer(embedding, np.float16).astype(np.float32)
    return out
