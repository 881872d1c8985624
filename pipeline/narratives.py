"""What a narrative is made of: posts as the grouping sees them, where they went, and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np

from models.likeness import Floats
from pipeline.digest import Columns, Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A post as the grouping needs it; ``at`` is event time, ``embedding`` the model's or None.

    ``normal`` is the text by ``models.text.normalise``.
    """

    id: int
    normal: str
    at: datetime
    embedding: Floats | None


class Placement(NamedTuple):
    """Where a post went and why. A tuple, for thousands a second pass between processes.

    ``by``: first (it begins the narrative), copy, near (``likeness`` is the Jaccard to the nearest
    post), meaning (``likeness`` is the score of ``MEANING``). ``variant_id`` is the post whose
    wording it repeats: itself unless it is a copy.
    """

    post_id: int
    narrative_id: int
    by: str
    likeness: float
    variant_id: int
    bands: tuple[int, ...]
    """Bands under which later posts may find this one; none for a copy."""
    runs: bytes
    """Its runs (``pipeline.digest.Runs``), where there are bands."""


@dataclass(slots=True, eq=False)
class State:
    """What is remembered of a narrative for comparing."""

    id: int
    centre: Floats
    """Sum of its posts' vectors, each half as heavy after ``HALF_LIFE``; WIDTH long."""
    profile: dict[int, int]
    """Its words, and in how many of its posts each stands: the ``PROFILE`` commonest or more."""
    posts: int
    last_at: datetime
    last_post_id: int


class Memory(Protocol):
    """What was placed before: a database, or a dictionary."""

    def digests(self) -> Iterable[Columns]:
        """Return the bands of all posts that can be found, by part."""

    def runs(self, post_ids: Iterable[int]) -> Mapping[int, Runs]:
        """Return the runs of posts that can be found, by number."""

    def states(self, narrative_ids: Iterable[int]) -> Sequence[State]:
        """Return what is remembered of narratives."""

    def latest(self, most: int) -> Sequence[State]:
        """Return the narratives that had a post last, latest first."""


class InMemory:
    """A ``Memory`` in dictionaries, for feeds that are grouped without a database."""

    def __init__(self) -> None:
        self._found: dict[int, Placement] = {}
        """Posts that can be found."""
        self._states: dict[int, State] = {}

    def keep(
        self,
        placements: Sequence[Placement],
        states: Mapping[int, State],
    ) -> None:
        """Keep what ``Grouper.place`` returned."""
        self._found.update((p.post_id, p) for p in placements if p.bands)
        self._states.update(states)

    def digests(self) -> Iterable[Columns]:
        """Return the bands of all posts that can be found."""
        for placed in self._found.values():
            count = len(placed.bands)
            yield (
                np.array(placed.bands, np.int64),
                np.full(count, placed.post_id, np.int64),
                np.full(count, placed.narrative_id, np.int64),
            )

    def runs(self, post_ids: Iterable[int]) -> Mapping[int, Runs]:
        """Return the runs of posts that can be found, by number."""
        return {
            post: np.frombuffer(self._found[post].runs, np.uint32)
            for post in post_ids
            if post in self._found
        }

    def states(self, narrative_ids: Iterable[int]) -> Sequence[State]:
        """Return what is remembered of narratives."""
        return [self._states[n] for n in narrative_ids if n in self._states]

    def latest(self, most: int) -> Sequence[State]:
        """Return the narratives that had a post last, latest first."""
        return sorted(self._states.values(), key=lambda s: -s.last_post_id)[:most]
