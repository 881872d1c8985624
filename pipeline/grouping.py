"""Narratives: posts that tell the same, found one by one as they come in.

Each post is placed once, in the order of arrival, by three questions. Is it a copy of a text that
is known, or nearly (MinHash bands, then exact Jaccard)? Else, does it mean the same as one of the
narratives that are alive (embedding in a fitted space, and the words that carry meaning, both
aged)? Else it begins a narrative of its own. What was decided depends on the posts before it and
on nothing else: not on how they were cut into batches.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from models.likeness import BUCKETS, WIDTH, Floats, Space, words_of
from models.text import normalise
from pipeline.digest import Runs, bands_of, jaccard, plain, runs_of
from pipeline.narratives import Arrival, Memory, Placement, State

COPY: Final = 0.9
"""Jaccard from which a post is a copy: it adds nothing that another could be near to."""
NEAR: Final = 0.55
"""Jaccard from which two texts say the same."""
SHORT_LETTERS: Final = 24
"""A text with fewer letters and digits joins only what is the very same."""
MEANING_WORDS: Final = 4
"""A post with fewer different words of weight never joins by meaning."""
HEAVY: Final = 3.0
"""Weight (``models.likeness.Space.weights``) from which a word carries meaning."""
USUAL: Final = 200
"""How many narratives the usual rarity of a word counts for, beside those that are alive."""
MOST_ALIVE: Final = 10_000
"""Narratives that a post is compared with by meaning: those that had a post last."""
ALIVE: Final = timedelta(days=14)
"""Without a post for so long, a narrative is joined by copies and near ones alone."""
HALF_LIFE: Final = timedelta(days=3)
"""After so long a post weighs half in the centre of its narrative."""
MOST_TEXTS: Final = 5
"""Texts of which the Jaccard is taken: those that share most bands."""
MOST_MEANINGS: Final = 6
"""Narratives looked at closely: those whose centres are nearest."""
PROFILE: Final = 64
"""Words kept of a narrative."""
PER_BAND: Final = 4
"""Texts of one narrative that are kept in one band; more would find nothing new."""
MOST_IN_BAND: Final = 12
"""Texts that are kept in one band: one that more share is a phrase that everybody uses, and to
look through all of its texts would cost more with every post that is stored."""
_CACHED: Final = 20_000
_MARGIN: Final = 1e-3
"""What the rounding of a large product may move a cosine by, and more."""
FLOOR: Final = 0.3
"""Cosine below which two posts do not mean the same, whatever words they share."""
AGEING: Final = 0.15
"""What a day without a post takes from the logit of ``likeness``."""
MEANING: Final = 0.6
"""Score from which a post joins a narrative by meaning: see ``likeness``."""


@dataclass(slots=True)
class _Prepared:
    """An arrival with what is computed of it before its turn."""

    arrival: Arrival
    plain: str
    runs: Runs
    bands: tuple[int, ...]
    words: list[int]
    vector: Floats | None
    short: bool


@dataclass(slots=True)
class _Batch:
    """What the arrivals of a batch may meet, and what they leave for one another."""

    by_band: dict[int, list[tuple[int, int]]]
    """Posts and their narratives."""
    known: dict[int, tuple[int, str, Runs]]
    """Narrative, plain text and runs by post."""
    places: npt.NDArray[np.int64]
    """Rows of the matrix of centres that changed since the batch began; ``count`` are filled."""
    count: int = 0
    changed: dict[int, State] = field(default_factory=dict)

    def note(self, state: State, place: int) -> None:
        """Note that a narrative got a post."""
        if state.id not in self.changed:
            self.changed[state.id] = state
            self.places[self.count] = place
            self.count += 1


class _Alive:
    """The narratives that had a post last, with their centres laid out in one matrix."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.states: dict[int, State] = {}
        """By number, the one with the latest post last."""
        self.places: dict[int, int] = {}
        self.ids = np.zeros(most + 1, np.int64)
        """Whose centre stands in a row of ``centres``; 0: nobody's."""
        self.centres = np.zeros((most + 1, WIDTH), np.float32)
        self.texts_with = np.zeros(BUCKETS, np.int32)
        """In how many of these narratives a word stands: what all speak of tells nothing."""
        self._free = list(range(most, -1, -1))
        self.top = 0
        """Rows of the matrix that are or were in use."""

    def forget_words(self, words: Iterable[int]) -> None:
        """Take a narrative's words out of the counts."""
        self.texts_with[[word & (BUCKETS - 1) for word in words]] -= 1

    def put(self, state: State) -> None:
        """Remember a narrative as the latest; the one without a post for longest goes.

        The words of a state that was remembered before must have been forgotten.
        """
        self.texts_with[[word & (BUCKETS - 1) for word in state.profile]] += 1
        self.states.pop(state.id, None)
        self.states[state.id] = state
        place = self.places.get(state.id)
        if place is None:
            place = self.places[state.id] = self._free.pop()
            self.ids[place] = state.id
            self.top = max(self.top, place + 1)
        length = max(float(np.sqrt(state.centre @ state.centre)), 1e-9)
        self.centres[place] = state.centre / np.float32(length)
        if len(self.states) > self.most:
            oldest = next(iter(self.states))
            self.forget_words(self.states.pop(oldest).profile)
            place = self.places.pop(oldest)
            self.ids[place] = 0
            self.centres[place] = 0.0
            self._free.append(place)


class Grouper:
    """Places posts in narratives; remembers the centres of those that are alive."""

    def __init__(self, space: Space, *, most_alive: int = MOST_ALIVE) -> None:
        self._space = space
        self._alive = _Alive(most_alive)
        self._runs: OrderedDict[int, tuple[str, Runs]] = OrderedDict()

    def load(self, memory: Memory) -> None:
        """Forget what is remembered and read it anew."""
        self._alive = _Alive(self._alive.most)
        for state in reversed(memory.latest(self._alive.most)):
            self._alive.put(state)

    def remember(self, state: State) -> None:
        """Remember a narrative as the latest."""
        self._alive.put(state)

    def like(self, state: State) -> list[tuple[float, int]]:
        """Return how likely a narrative's common words, as a post, tell each of the others."""
        core = [word for word, count in state.profile.items() if 2 * count > state.posts]
        place = self._alive.places[state.id]
        one = _Prepared(
            arrival=Arrival(id=0, text="", at=state.last_at, embedding=None),
            plain="",
            runs=np.zeros(0, np.uint32),
            bands=(),
            words=core,
            vector=self._alive.centres[place],
            short=False,
        )
        if not _can_mean(one):
            return []
        near = self._alive.centres[: self._alive.top] @ self._alive.centres[place]
        near[place] = -1.0
        weights = self._weights(core)
        heavy = int((weights >= HEAVY).sum())
        if heavy < MEANING_WORDS:
            return []
        nothing = _Batch(by_band={}, known={}, places=np.zeros(0, np.int64))
        found = self._nearest_centres(one, nothing, near)
        return self._meanings(one, weights, heavy, found)

    def place(
        self, arrivals: Sequence[Arrival], memory: Memory, next_id: int
    ) -> tuple[list[Placement], dict[int, State]]:
        """Place posts in their order; new narratives are numbered from ``next_id``.

        Returns the placements, and what is now remembered of each narrative that got a post.
        """
        prepared = self.prepare(arrivals)
        batch = self._meet(prepared, memory)
        near = self._compare(prepared)
        placements = []
        for number, one in enumerate(prepared):
            placement = self._place(one, batch, near.get(number), next_id)
            if placement.by == "first":
                next_id += 1
            placements.append(placement)
            self._remember(one, placement, batch, memory)
        return placements, batch.changed

    # --- before their turn ---------------------------------------------------------------------

    def prepare(self, arrivals: Sequence[Arrival]) -> list[_Prepared]:
        """Compute what depends on a text alone."""
        normal = [normalise(a.text) for a in arrivals]
        plains = [plain(text) for text in normal]
        runs = runs_of(plains)
        bands = bands_of(runs)
        vectors: list[Floats | None] = [None] * len(arrivals)
        with_vector = [i for i, a in enumerate(arrivals) if a.embedding is not None]
        if with_vector:
            # Row by row: a product of many rows rounds differently from one of few.
            for i in with_vector:
                embedding = arrivals[i].embedding
                assert embedding is not None
                vectors[i] = self._space.vectors(embedding[None])[0]
        out = []
        for i, arrival in enumerate(arrivals):
            out.append(
                _Prepared(
                    arrival=arrival,
                    plain=plains[i],
                    runs=runs[i],
                    bands=tuple(bands[i].tolist()) if len(runs[i]) else (),
                    words=list(dict.fromkeys(words_of(plains[i]))),
                    vector=vectors[i],
                    short=len(plains[i]) - plains[i].count(" ") < SHORT_LETTERS,
                )
            )
        return out

    def _meet(self, prepared: Sequence[_Prepared], memory: Memory) -> _Batch:
        wanted = {band for one in prepared for band in one.bands}
        found = memory.in_bands(wanted)
        by_band = {band: list(posts) for band, posts in found.items()}
        post_ids = {post for one in prepared for post in _nearest_posts(one, by_band)}
        known: dict[int, tuple[int, str, Runs]] = {}
        rows = memory.known(post_ids)
        new = [row for row in rows.values() if row.id not in self._runs]
        plains = [plain(normalise(row.text)) for row in new]
        for row, text, runs in zip(new, plains, runs_of(plains), strict=True):
            self._runs[row.id] = (text, runs)
        for row in rows.values():
            self._runs.move_to_end(row.id)
            known[row.id] = (row.narrative_id, *self._runs[row.id])
        while len(self._runs) > _CACHED:
            self._runs.popitem(last=False)
        places = np.zeros(len(prepared), np.int64)
        return _Batch(by_band=by_band, known=known, places=places)

    def _compare(self, prepared: Sequence[_Prepared]) -> dict[int, Floats]:
        """Return, by place in the batch, an arrival's cosines with the centres before it."""
        rows = [i for i, one in enumerate(prepared) if _can_mean(one)]
        top = self._alive.top
        if not rows or not top:
            return {}
        vectors = np.stack([v for i in rows if (v := prepared[i].vector) is not None])
        return dict(zip(rows, vectors @ self._alive.centres[:top].T, strict=True))

    # --- its turn ------------------------------------------------------------------------------

    def _place(self, one: _Prepared, batch: _Batch, near: Floats | None, next_id: int) -> Placement:
        post_id = one.arrival.id
        best, best_post = self._nearest_text(one, batch)
        if best_post:
            narrative_id = batch.known[best_post][0]
            copy = best >= COPY
            bands = () if copy else self._new_bands(one, batch, narrative_id)
            return Placement(
                post_id=post_id,
                narrative_id=narrative_id,
                by="copy" if copy else "near",
                likeness=best,
                variant_id=best_post if copy else post_id,
                bands=bands,
            )
        meant, score = self._nearest_meaning(one, batch, near)
        if meant:
            bands = self._new_bands(one, batch, meant)
            return Placement(
                post_id=post_id, narrative_id=meant, by="meaning", likeness=score,
                variant_id=post_id, bands=bands,
            )  # fmt: skip
        return Placement(
            post_id=post_id, narrative_id=next_id, by="first", likeness=1.0,
            variant_id=post_id, bands=self._new_bands(one, batch, next_id),
        )  # fmt: skip

    def _nearest_text(self, one: _Prepared, batch: _Batch) -> tuple[float, int]:
        ranked = _nearest_posts(one, batch.by_band)
        best, best_post = 0.0, 0
        for post in ranked:
            if post not in batch.known:
                continue  # purged meanwhile
            _, text, runs = batch.known[post]
            if text == one.plain:
                return 1.0, post
            if one.short:
                continue
            found = jaccard(one.runs, runs)
            if found >= NEAR and (found, -post) > (best, -best_post):
                best, best_post = found, post
        return best, best_post

    def _nearest_meaning(
        self, one: _Prepared, batch: _Batch, near: Floats | None
    ) -> tuple[int, float]:
        if not _can_mean(one):
            return 0, 0.0
        weights = self._weights(one.words)
        heavy = int((weights >= HEAVY).sum())
        if heavy < MEANING_WORDS:
            return 0, 0.0
        best, best_id = 0.0, 0
        found = self._nearest_centres(one, batch, near)
        for score, narrative_id in self._meanings(one, weights, heavy, found):
            if score >= MEANING and (score, -narrative_id) > (best, -best_id):
                best, best_id = score, narrative_id
        return best_id, best

    def _nearest_centres(
        self, one: _Prepared, batch: _Batch, near: Floats | None
    ) -> list[tuple[float, State]]:
        """Return the ``MOST_MEANINGS`` nearest narratives with their cosines.

        The cosines taken for the whole batch propose, for the centres that have not changed
        since; those that may be among the nearest are taken again one by one, for a large product
        rounds otherwise than a small one.
        """
        assert one.vector is not None
        alive = self._alive
        places = batch.places[: batch.count]
        if near is not None:
            near[places[places < len(near)]] = -1.0
            places = np.concatenate([places, _highest(near, _MARGIN)])
        cosines: Floats = np.einsum("ij,j->i", alive.centres[places], one.vector)
        ids = alive.ids[places]
        found = {int(ids[i]): float(cosines[i]) for i in _highest(cosines, 0.0)}
        ranked = sorted((-cosine, number) for number, cosine in found.items())[:MOST_MEANINGS]
        return [(-c, alive.states[n]) for c, n in ranked if n in alive.states]

    def _meanings(
        self, one: _Prepared, weights: Floats, heavy: int, found: Sequence[tuple[float, State]]
    ) -> list[tuple[float, int]]:
        """Return how likely it is that a post tells each of these narratives, with its number."""
        squares = np.square(weights).tolist()
        total = max(sum(squares), 1e-9)
        close: list[tuple[float, float, timedelta, State, list[int]]] = []
        for cosine, state in found:
            idle = abs(one.arrival.at - state.last_at)
            if idle > ALIVE:
                continue
            profile = state.profile
            covered = sum(s * profile.get(w, 0) for s, w in zip(squares, one.words, strict=True))
            covered /= total * state.posts
            if likeness(cosine, covered, 1.0, heavy, idle) >= MEANING:  # as sure as it can be
                core = [word for word, count in profile.items() if 2 * count > state.posts]
                close.append((cosine, covered, idle, state, core))
        if not close:
            return []
        core_squares = np.square(self._weights([w for *_, core in close for w in core])).tolist()
        own = set(one.words)
        out = []
        start = 0
        for cosine, covered, idle, state, core in close:
            of_core = core_squares[start : start + len(core)]
            start += len(core)
            met = sum(s for s, word in zip(of_core, core, strict=True) if word in own)
            kept = met / max(sum(of_core), 1e-9)
            out.append((likeness(cosine, covered, kept, heavy, idle), state.id))
        return out

    def _weights(self, words: Sequence[int]) -> Floats:
        """Return the words' weights: rare in the language, and rare in what the desk sees now."""
        buckets = np.array(words, np.uint32) & np.uint32(BUCKETS - 1)
        usual = np.exp(-self._space.rarity[buckets])
        count = len(self._alive.states)
        share = (self._alive.texts_with[buckets] + USUAL * usual) / (count + USUAL)
        out: Floats = -np.log(np.clip(share, 1e-6, 1.0)).astype(np.float32)
        return out

    def _new_bands(self, one: _Prepared, batch: _Batch, narrative_id: int) -> tuple[int, ...]:
        """Return the bands in which this narrative does not have its share of texts yet."""
        out = []
        for band in sorted(set(one.bands)):
            posts = batch.by_band.get(band, ())
            if len(posts) >= MOST_IN_BAND:
                continue
            own = sum(1 for _, number in posts if number == narrative_id)
            if own < PER_BAND:
                out.append(band)
        return tuple(out)

    def _remember(
        self, one: _Prepared, placement: Placement, batch: _Batch, memory: Memory
    ) -> None:
        post_id, narrative_id = placement.post_id, placement.narrative_id
        if placement.bands:
            batch.known[post_id] = (narrative_id, one.plain, one.runs)
            self._runs[post_id] = (one.plain, one.runs)
            for band in placement.bands:
                batch.by_band.setdefault(band, []).append((post_id, narrative_id))
        state = self._alive.states.get(narrative_id) or batch.changed.get(narrative_id)
        if state is None and placement.by != "first":
            state = next(iter(memory.states([narrative_id])), None)
        if state is None:
            state = State(narrative_id, np.zeros(WIDTH, np.float32), {}, 0, one.arrival.at, post_id)
        if narrative_id in self._alive.states:
            self._alive.forget_words(state.profile)
        absorb(state, one)
        self._alive.put(state)
        batch.note(state, self._alive.places[narrative_id])


def absorb(state: State, one: _Prepared) -> None:
    """Add a post to what is remembered of its narrative."""
    arrival = one.arrival
    later = (arrival.at - state.last_at) / HALF_LIFE
    if one.vector is not None:
        # An older post weighs less: whichever of the two came first in time is aged.
        state.centre = state.centre * np.float32(0.5 ** max(later, 0.0)) + (
            one.vector * np.float32(0.5 ** max(-later, 0.0))
        )
    for word in one.words:
        state.profile[word] = state.profile.get(word, 0) + 1
    if len(state.profile) > 2 * PROFILE:
        kept = sorted(state.profile.items(), key=lambda pair: (-pair[1], pair[0]))[:PROFILE]
        state.profile = dict(kept)
    state.posts += 1
    state.last_at = max(state.last_at, arrival.at)
    state.last_post_id = arrival.id


def likeness(cosine: float, covered: float, kept: float, heavy: int, idle: timedelta) -> float:
    """Return how likely it is that a post tells a narrative, from 0 to 1.

    ``covered`` is the share of the post's weight in words that the narrative's posts have too,
    ``kept`` the share of the narrative's common words that the post has, ``heavy`` how many words
    of weight the post has. A logistic regression on the part "dev" of pipeline/paraphrases.
    """
    logit = (
        -24.6
        + 6.1 * cosine
        + 11.1 * covered
        + 11.7 * math.sqrt(covered)
        + 2.8 * kept
        + 3.3 * math.sqrt(kept)
        + 4.4 * math.log1p(heavy)
        - AGEING * idle.total_seconds() / 86_400
    )
    return 1.0 / (1.0 + math.exp(-logit))


def _nearest_posts(one: _Prepared, by_band: Mapping[int, Sequence[tuple[int, int]]]) -> list[int]:
    """Return the ``MOST_TEXTS`` posts that share most bands with a text, the first ones first."""
    hits: dict[int, int] = {}
    for band in one.bands:
        for post, _ in by_band.get(band, ()):
            hits[post] = hits.get(post, 0) + 1
    return sorted(hits, key=lambda post: (-hits[post], post))[:MOST_TEXTS]


def _highest(cosines: Floats, margin: float) -> npt.NDArray[np.int64]:
    """Return where those stand that may be among the ``MOST_MEANINGS`` highest, ties included."""
    close = np.flatnonzero(cosines >= FLOOR - margin)
    if len(close) > MOST_MEANINGS:
        values = cosines[close]
        last = np.partition(values, -MOST_MEANINGS)[-MOST_MEANINGS]
        close = close[values >= last - 2 * margin]
    return close


def _can_mean(one: _Prepared) -> bool:
    return one.vector is not None and len(one.words) >= MEANING_WORDS and not one.short


# --- whole narratives ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Likely:
    """Two narratives that seem to tell the same, and how likely that is (the less sure way)."""

    a: int
    b: int
    likeness: float


def state_of(narrative_id: int, arrivals: Sequence[Arrival], space: Space) -> State:
    """Return what is remembered of a narrative whose posts are ``arrivals``, oldest first."""
    grouper = Grouper(space)
    state = State(narrative_id, np.zeros(WIDTH, np.float32), {}, 0, arrivals[0].at, arrivals[0].id)
    for one in grouper.prepare(arrivals):
        absorb(state, one)
    return state


def alike(states: Sequence[State], space: Space, *, at_least: float) -> list[Likely]:
    """Return pairs of narratives of which each might be a post of the other, the surest first.

    The common words of one are looked at as if they were a post, and the other way round.
    """
    grouper = Grouper(space, most_alive=max(len(states), 1))
    for state in sorted(states, key=lambda s: s.last_post_id):
        grouper.remember(state)
    found: dict[tuple[int, int], float] = {}
    for state in states:
        for score, other in grouper.like(state):
            found[state.id, other] = score
    pairs = [
        Likely(a=a, b=b, likeness=min(score, found[b, a]))
        for (a, b), score in found.items()
        if a < b and (b, a) in found
    ]
    sure = [pair for pair in pairs if pair.likeness >= at_least]
    return sorted(sure, key=lambda pair: (-pair.likeness, pair.a, pair.b))
