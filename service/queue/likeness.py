"""Posts that say the same, or nearly: found by their stored embeddings.

Each worker keeps a sketch (64 numbers, a random projection) of the latest items of the queue. A
sketch tells roughly how like two posts are (Johnson & Lindenstrauss, 1984); what looks near is
then compared by the embeddings themselves, read from the database, so that a sketch too old can
hide a post for a while but never show a wrong one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.text import normalise
from service.errors import NotFound
from service.queue import repository
from service.tables import QueueItem, StoredPost

SIMILAR: Final = 0.8
"""Cosine from which posts are shown as similar."""
ALIKE: Final = 0.95
"""Cosine from which posts may say the same; equal texts have 1."""
SAME: Final = 0.7
"""Share of the runs of five characters in common from which two texts say the same, as in the
corpus (``models.corpus.NEAR``)."""
Floats = npt.NDArray[np.float32]
_WIDTH: Final = 64
_LATEST: Final = 60_000
"""Sketches kept: 15 MB when full."""
_FIRST: Final = 4000
"""Sketches made at most in one call, some 0.1 s."""
_OLDER: Final = 1500
"""Sketches of older items added by a call, until all of the latest are known."""
_AGAIN: Final = 1000
"""Latest numbers that are looked through again: transactions do not end in their order."""
_PART: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """An item whose post is like another, and how like (cosine)."""

    item: QueueItem
    likeness: float


class Likeness:
    """Sketches of the latest items of the queue; safe to call from any thread."""

    def __init__(self, *, latest: int = _LATEST) -> None:
        self._latest = latest
        self._lock = threading.Lock()
        self._ids: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._sketches: Floats = np.zeros((0, _WIDTH), np.float32)
        self._complete = False
        self._compared: tuple[bytes, Floats, Floats] = (b"", self._sketches, self._sketches)
        self._projections: dict[int, Floats] = {}

    def near(
        self, session: Session, post: StoredPost, *, at_least: float, most: int
    ) -> list[tuple[int, float]]:
        """Return items with their cosine to a post, the nearest first, its own item included."""
        if post.embedding is None:
            return []
        ids, sketches = self._fresh(session)
        of, among, rough = self._compared
        if of != post.embedding or among is not sketches:  # a page asks twice of one post
            rough = sketches @ self._sketch([post.embedding])[0]
            self._compared = (post.embedding, sketches, rough)
        # A sketch's error has the standard deviation (1 - cos²) / √64; four of them are let pass.
        slack = 4 * (1 - at_least**2) / _WIDTH**0.5
        near = np.flatnonzero(rough >= at_least - slack)
        near = near[np.argsort(-rough[near])][: max(40, 2 * most)]
        vector = _vector(post.embedding)
        found: list[tuple[int, float]] = []
        for start in range(0, len(near), _PART):
            part = ids[near[start : start + _PART]].tolist()
            for item_id, other in session.execute(
                select(QueueItem.id, StoredPost.embedding)
                .join(QueueItem.post)
                .where(QueueItem.id.in_(part), StoredPost.model == post.model)
            ):
                if other is not None and len(other) == len(post.embedding):
                    cosine = float(_vector(other) @ vector)
                    if cosine >= at_least:
                        found.append((item_id, cosine))
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:most]

    def _fresh(self, session: Session) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return numbers and sketches in order, with the items that have come since.

        A worker that has just started knows the newest first, and some more at every call.
        """
        with self._lock:
            last = int(self._ids[-1]) if len(self._ids) else 0
            low = max(last - _AGAIN, int(self._ids[0]) - 1) if last else 0
            known = set(self._ids[-2 * _AGAIN :].tolist())
            newest_first = select(QueueItem.id).order_by(QueueItem.id.desc())
            most = min(_FIRST, self._latest)
            latest = session.scalars(newest_first.where(QueueItem.id > low).limit(most + _AGAIN))
            new = [number for number in latest if number not in known][:most]
            if len(new) == most:  # so many that some between were passed over: begin again
                self._ids, self._sketches = self._ids[:0], self._sketches[:0]
                self._complete = False
            elif last and not self._complete:
                older = session.scalars(
                    newest_first.where(QueueItem.id < int(self._ids[0])).limit(_OLDER)
                ).all()
                self._complete = not older or len(self._ids) >= self._latest
                new += older
            if new:
                self._add(session, sorted(new))
            return self._ids, self._sketches

    def _add(self, session: Session, numbers: list[int]) -> None:
        ids, parts = [self._ids], [self._sketches]
        for start in range(0, len(numbers), _PART):
            rows = session.execute(
                select(QueueItem.id, StoredPost.embedding)
                .join(QueueItem.post)
                .where(QueueItem.id.in_(numbers[start : start + _PART]))
            ).all()
            ids.append(np.array([row[0] for row in rows], np.int64))
            parts.append(self._sketch([row[1] for row in rows]))
        together = np.concatenate(ids)
        order = np.argsort(together, kind="stable")[-self._latest :]
        self._ids, self._sketches = together[order], np.concatenate(parts)[order]

    def _sketch(self, embeddings: Sequence[bytes | None]) -> Floats:
        out = np.zeros((len(embeddings), _WIDTH), np.float32)
        for size in {len(e) for e in embeddings if e}:
            rows = [i for i, e in enumerate(embeddings) if e and len(e) == size]
            together = b"".join(e for e in embeddings if e and len(e) == size)
            vectors = _vector(together).reshape(len(rows), size // 2)
            if size not in self._projections:
                normal = np.random.default_rng(size).standard_normal((size // 2, _WIDTH))
                self._projections[size] = normal.astype(np.float32)
            projected = vectors @ self._projections[size]
            lengths = np.linalg.norm(projected, axis=1, keepdims=True)
            out[rows] = projected / np.maximum(lengths, 1e-9)
        return out


def similar(
    session: Session, likeness: Likeness, post: StoredPost, *, most: int = 5
) -> list[Similar]:
    """Return the items of the queue whose posts are most like a post, itself left out."""
    near = dict(likeness.near(session, post, at_least=SIMILAR, most=most + 1))
    items = {item.id: item for item in repository.items_of(session, list(near))}
    found = [
        Similar(item=items[item_id], likeness=cosine)
        for item_id, cosine in near.items()
        if item_id in items and items[item_id].post_id != post.id
    ]
    return found[:most]


def alike(
    session: Session, likeness: Likeness, item_id: int, *, viewer_id: int, most: int = 500
) -> list[int]:
    """Return the open items that say the same as an item, or nearly, itself first if it is open.

    Embeddings propose, the words decide (Jaccard of runs of five characters): two frauds of one
    kind have embeddings as near as two copies of one text, and one verdict on both would be wrong.
    What the viewer has given a verdict on is left out.

    Raises:
        NotFound: there is no such item.
    """
    post = session.scalar(select(StoredPost).join(StoredPost.item).where(QueueItem.id == item_id))
    if post is None:
        raise NotFound(f"there is no item {item_id} in the queue")
    near = [number for number, _ in likeness.near(session, post, at_least=ALIKE, most=most)]
    wanted = list(dict.fromkeys([item_id, *near]))
    open_texts = (
        select(QueueItem.id, StoredPost.text)
        .join(QueueItem.post)
        .where(QueueItem.id.in_(wanted), QueueItem.open, repository.not_reviewed_by(viewer_id))
    )
    texts = {row[0]: row[1] for row in session.execute(open_texts)}
    own = _runs(post.text)
    return [
        number
        for number in wanted
        if number in texts and (number == item_id or _jaccard(own, _runs(texts[number])) >= SAME)
    ][:most]


def _runs(text: str) -> set[str]:
    plain = " ".join(re.findall(r"\w+", normalise(text)))
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def _vector(embedding: bytes) -> Floats:
    return np.frombuffer(embedding, np.float16).astype(np.float32)
