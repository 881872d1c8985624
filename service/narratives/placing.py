"""Placing: what is worked out of posts before anything is written, here or in another process.

A second process works out the next batch while the last one is written; both know which version
of the narratives they go by, and ``service.narratives.grouping`` checks it before it writes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from sqlalchemy import URL, select
from sqlalchemy.orm import Session

from models.likeness import WIDTH, Floats, Space
from pipeline.digest import Columns, Runs
from pipeline.grouping import Grouper
from pipeline.narratives import Arrival, Placement, State
from service.bulk import among
from service.database import Database
from service.operations.memory import settle
from service.operations.processes import follow_parent
from service.tables import Digest, Narrative, StoredPost

_PART: Final = 10_000
_BLAS: Final = "OPENBLAS_NUM_THREADS"
_narrative: Final[Any] = Narrative.__table__
_post: Final[Any] = StoredPost.__table__
_digest: Final[Any] = Digest.__table__


class Batch(NamedTuple):
    """Posts to place, in their order: numbers, event times, embeddings as stored.

    And their texts, normalised: in the process that scores them that was done a moment ago.
    """

    post_ids: list[int]
    normal: list[str]
    at: list[datetime]
    embeddings: list[bytes | None]


class Remembered(NamedTuple):
    """What a narrative's row keeps of its ``pipeline.narratives.State``."""

    centre: bytes
    profile: bytes
    last_at: datetime
    last_post_id: int


class Outcome(NamedTuple):
    """Where the posts of a batch go, what their narratives are remembered by, the next number."""

    placements: list[Placement]
    states: dict[int, Remembered]
    next_id: int


class Placer(Protocol):
    """Places batches one after the other; what was placed before is taken for written."""

    def submit(self, batch: Batch, *, next_id: int | None) -> Future[Outcome]:
        """Begin to place a batch.

        ``next_id``: forget all, read anew what is written, and number new narratives from there;
        None: go on from the last batch.
        """

    def close(self) -> None:
        """Finish what is in hand, and end."""


class Here:
    """Places in this process, at once."""

    def __init__(self, database: Database, space: Space) -> None:
        self._database = database
        self._space = space
        self._grouper = Grouper(space)
        self._next_id = 0

    def submit(self, batch: Batch, *, next_id: int | None) -> Future[Outcome]:
        """Place a batch; it is done when this returns.

        Raises:
            DatabaseUnavailable: the database is gone or locked.
        """
        done: Future[Outcome] = Future()
        done.set_result(self.place(batch, next_id))
        return done

    def place(self, batch: Batch, next_id: int | None) -> Outcome:
        """Place a batch; ``next_id`` as in ``Placer.submit``."""
        arrivals = [
            Arrival(id=n, normal=normal, at=at, embedding=unpack_embedding(packed, self._space))
            for n, normal, at, packed in zip(*batch, strict=True)
        ]
        with self._database.read() as session:
            memory = _Stored(session)
            if next_id is not None:
                self._grouper.load(memory)
                self._next_id = next_id
            placements, states = self._grouper.place(arrivals, memory, self._next_id)
        self._next_id += sum(p.by == "first" for p in placements)
        packed = {
            number: Remembered(
                state.centre.tobytes(),
                pack_profile(state.profile),
                state.last_at,
                state.last_post_id,
            )
            for number, state in states.items()
        }
        return Outcome(placements, packed, self._next_id)

    def close(self) -> None:
        """Do nothing: nothing is in hand."""


class Apart:
    """Places in a process of its own, which ends with this one, however that ends."""

    def __init__(self, database: Database, space: Space) -> None:
        self._pool = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(database.url, space),
        )
        before = os.environ.get(_BLAS)
        os.environ[_BLAS] = "1"  # or its idle threads keep the other core busy
        self._pool.submit(_started)
        if before is None:
            del os.environ[_BLAS]
        else:
            os.environ[_BLAS] = before

    def submit(self, batch: Batch, *, next_id: int | None) -> Future[Outcome]:
        """Begin to place a batch.

        Raises:
            BrokenExecutor: the process was killed.
        """
        return self._pool.submit(_place, batch, next_id)

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown(cancel_futures=True)


_here: Here | None = None
"""In the second process, what places there."""


def _begin(url: URL, space: Space) -> None:
    global _here  # noqa: PLW0603 - the one thing that a process of a pool can keep
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to both; the first one ends this
    follow_parent()
    _here = Here(Database(url.render_as_string(hide_password=False)), space)
    settle()


def _started() -> None:
    """Do nothing: asked for first, so that the process begins."""


def _place(batch: Batch, next_id: int | None) -> Outcome:
    assert _here is not None
    return _here.place(batch, next_id)


def unpack_embedding(packed: bytes | None, space: Space) -> Floats | None:
    """Return a stored post's embedding; None where it has none, or its width is another model's."""
    if packed is None or len(packed) != 2 * len(space.mean):
        return None
    embedding: Floats = np.frombuffer(packed, np.float16).astype(np.float32)
    return embedding if np.isfinite(embedding).all() else None


# --- what is remembered --------------------------------------------------------------------------


class _Stored:
    """The database as ``pipeline.narratives.Memory``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def digests(self) -> Iterable[Columns]:
        """Return the bands of all posts that can be found, by part."""
        rows = self._session.connection().execute(
            select(_digest.c.post_id, _post.c.narrative_id, _digest.c.bands)
            .join_from(_digest, _post)
            .order_by(_digest.c.post_id),
            execution_options={"yield_per": _PART},
        )
        for part in rows.partitions():
            counts = [len(bands) // 8 for *_, bands in part]
            pairs = np.array([pair for *pair, _ in part], np.int64)
            posts, narratives = np.repeat(pairs, counts, axis=0).T
            yield np.frombuffer(b"".join(row[2] for row in part), "<i8"), posts, narratives

    def runs(self, post_ids: Iterable[int]) -> Mapping[int, Runs]:
        """Return the runs of posts that can be found, by number."""
        wanted = sorted(post_ids)
        if not wanted:
            return {}
        rows = self._session.connection().execute(
            select(_digest.c.post_id, _digest.c.runs).where(
                among(self._session, _digest.c.post_id, wanted)
            )
        )
        return {post_id: np.frombuffer(runs, "<u4") for post_id, runs in rows}

    def states(self, narrative_ids: Iterable[int]) -> Sequence[State]:
        """Return what is remembered of narratives."""
        wanted = among(self._session, _narrative.c.id, sorted(narrative_ids))
        rows = self._session.execute(select(*_STATE).where(wanted)).all()
        return [state_from(row) for row in rows]

    def latest(self, most: int) -> Sequence[State]:
        """Return the narratives that had a post last, latest first."""
        rows = self._session.execute(
            select(*_STATE)
            .where(Narrative.merged_into_id.is_(None))
            .order_by(Narrative.last_post_id.desc())
            .limit(most)
        ).all()
        return [state_from(row) for row in rows if row.posts]


_STATE: Final = [
    _narrative.c[name] for name in "id centre profile last_seen_at last_post_id posts".split()
]


def state_from(row: Any) -> State:
    """Return what is remembered of a narrative from its row (or from those columns of it)."""
    centre = np.frombuffer(row.centre or b"", np.float32)
    return State(
        row.id,
        centre.copy() if len(centre) == WIDTH else np.zeros(WIDTH, np.float32),
        unpack_profile(row.profile or b""),
        row.posts,
        row.last_seen_at,
        row.last_post_id,
    )


def pack_profile(profile: Mapping[int, int]) -> bytes:
    """Return a narrative's words and their counts as bytes, in their order."""
    pairs = chain.from_iterable(profile.items())
    return np.fromiter(pairs, "<u4", 2 * len(profile)).tobytes()


def unpack_profile(packed: bytes) -> dict[int, int]:
    """Return what ``pack_profile`` packed."""
    return dict(np.frombuffer(packed, "<u4").reshape(-1, 2).tolist())
