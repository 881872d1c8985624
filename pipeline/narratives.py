"""What a narrative is made of: posts as the grouping sees them, where they went, and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from models.likeness import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A post as the grouping needs it; ``at`` is event time, ``embedding`` the model's or None."""

    id: int
    text: str
    at: datetime
    embedding: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a post went and why.

    ``by``: first (it begins the narrative), copy, near (``likeness`` is the Jaccard to the post
    ``variant_id``), meaning (``likeness`` is the score of ``MEANING``). ``variant_id`` is the post
    whose wording it repeats: itself unless it is a copy.
    """

    post_id: int
    narrative_id: int
    by: str
    likeness: float
    variant_id: int
    bands: tuple[int, ...]
    """Bands under which later posts may find this one; none for a copy."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A post that an arrival may be near to."""

    id: int
    text: str
    narrative_id: int


class Memory(Protocol):
    """What was placed before: a database, or a dictionary."""

    def in_bands(self, bands: Iterable[int]) -> Mapping[int, Sequence[tuple[int, int]]]:
        """Return by band the posts that were kept in it, each with its narrative, by number."""

    def known(self, post_ids: Iterable[int]) -> Mapping[int, Known]:
        """Return posts by number."""

    def states(self, narrative_ids: Iterable[int]) -> Sequence[State]:
        """Return what is remembered of narratives."""

    def latest(self, most: int) -> Sequence[State]:
        """Return the narratives that had a post last, latest first."""


class InMemory:
    """A ``Memory`` in dictionaries, for feeds that are grouped without a database."""

    def __init__(self) -> None:
        self._bands: dict[int, list[int]] = {}
        self._known: dict[int, Known] = {}
        self._states: dict[int, State] = {}

    def keep(
        self,
        arrivals: Sequence[Arrival],
        placements: Sequence[Placement],
        states: Mapping[int, State],
    ) -> None:
        """Keep what ``Grouper.place`` returned."""
        for arrival, placed in zip(arrivals, placements, strict=True):
            self._known[arrival.id] = Known(
                id=arrival.id, text=arrival.text, narrative_id=placed.narrative_id
            )
            for band in placed.bands:
                self._bands.setdefault(band, []).append(arrival.id)
        self._states.update(states)

    def in_bands(self, bands: Iterable[int]) -> Mapping[int, Sequence[tuple[int, int]]]:
        """Return by band the posts that were kept in it, each with its narrative."""
        return {
            band: [(post, self._known[post].narrative_id) for post in self._bands[band]]
            for band in bands
            if band in self._bands
        }

    def known(self, post_ids: Iterable[int]) -> Mapping[int, Known]:
        """Return posts by number."""
        return {post: self._known[post] for post in post_ids if post in self._known}

    def states(self, narrative_ids: Iterable[int]) -> Sequence[State]:
        """Return what is remembered of narratives."""
        return [self._states[n] for n in narrative_ids if n in self._states]

    def latest(self, most: int) -> Sequence[State]:
        """Return the narratives that had a post last, latest first."""
        return sorted(self._states.values(), key=lambda s: -s.last_post_id)[:most]
