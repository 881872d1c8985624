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
from pipeline.digest import BandIndex, Runs, bands_of, exact_of, jaccard, plain, runs_of
from pipeline.narratives import Arrival, InMemory, Memory, Placement, State

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
HEAVIEST: Final = np.float32(-math.log(1e-6))
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
MOST_IN_BAND: Final = 8
"""Texts that are kept in one band: more of them would find nothing new."""
PHRASE: Final = 4
"""A band in which so many narratives meet is a phrase that everybody uses: it tells nothing, and
to look through its texts would cost more with every post that is stored."""
_CACHED: Final = 50_000
_NO_RUNS: Final = np.zeros(0, np.uint32)
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
    runs: Runs
    exact: int
    """What the very same text has; 0: it has no words."""
    bands: tuple[int, ...]
    """Each once; none of a short text."""
    words: list[int]
    """Buckets of the word table, each once."""
    vector: Floats | None
    short: bool
    near: list[tuple[int, int]] | None = None
    """Posts that it may be near to and their narratives, before its batch."""
    joins: int = 0
    """Narrative of the nearest text, before its batch; 0: none is near."""
    jaccards: dict[int, float] = field(default_factory=dict)
    """With posts that it was compared with."""


class _Batch:
    """What the arrivals of a batch may meet, and what they leave for one another."""

    def __init__(
        self, size: int, by_band: dict[int, list[tuple[int, int]]], memory: Memory
    ) -> None:
        self.by_band = by_band
        """Posts and their narratives by band (or by what the very same text has)."""
        self.memory = memory
        self.recalled: dict[int, State] = {}
        """Narratives that are not alive and that a post may join."""
        self.new_bands: set[int] = set()
        """Bands in which posts of the batch stand."""
        self.runs: dict[int, Runs] = {}
        """By post, of those that may be near."""
        self.changed: dict[int, State] = {}
        self.count = 0
        """How many narratives changed since the batch began: their …"""
        self.rows = np.zeros(size, np.int64)
        """… rows of the matrix of centres,"""
        self.ids = np.zeros(size, np.int64)
        """numbers,"""
        self.centres = np.zeros((size, WIDTH), np.float32)
        """and centres."""
        self._places: dict[int, int] = {}

    def note(self, state: State, row: int, centre: Floats) -> None:
        """Note that a narrative got a post."""
        place = self._places.get(state.id)
        if place is None:
            place = self._places[state.id] = self.count
            self.changed[state.id] = state
            self.ids[place] = state.id
            self.count += 1
        self.rows[place] = row
        self.centres[place] = centre


class _Alive:
    """The narratives that had a post last, with their centres laid out in one matrix."""

    def __init__(self, most: int, space: Space) -> None:
        self.most = most
        self.states: dict[int, State] = {}
        """By number, the one with the latest post last."""
        self.places: dict[int, int] = {}
        self.ids = np.zeros(most + 1, np.int64)
        """Whose centre stands in a row of ``centres``; 0: nobody's."""
        self.centres = np.zeros((most + 1, WIDTH), np.float32)
        self._free = list(range(most, -1, -1))
        self.top = 0
        """Rows of the matrix that are or were in use."""
        self._usual: Floats = (USUAL * np.exp(-space.rarity)).astype(np.float32)
        self._texts_with = np.zeros(BUCKETS, np.float32)
        """In how many of these narratives a word stands: what all speak of tells nothing."""
        self._logs: Floats = np.log(np.maximum(self._usual, 1e-9))

    def weights(self, words: Sequence[int]) -> Floats:
        """Return the words' weights: rare in the language, and rare in what the desk sees now."""
        most = np.float32(math.log(len(self.states) + USUAL))
        out: Floats = np.minimum(most - self._logs[words], HEAVIEST)
        return out

    def count_words(self, words: Iterable[int], by: int) -> None:
        """Count narratives' words, each narrative's once; ``by`` is 1, or -1 to take them out."""
        changed = list(words)
        if changed:
            self._texts_with[changed] += np.float32(by)
            self._logs[changed] = np.log(
                np.maximum(self._texts_with[changed] + self._usual[changed], 1e-9)
            )

    def put(self, state: State) -> None:
        """Remember a narrative as the latest; the one without a post for longest goes.

        Its words are counted by the caller.
        """
        self.states.pop(state.id, None)
        self.states[state.id] = state
        place = self.places.get(state.id)
        if place is None:
            place = self.places[state.id] = self._free.pop()
            self.ids[place] = state.id
            self.top = max(self.top, place + 1)
        length = max(math.sqrt(state.centre @ state.centre), 1e-9)
        np.multiply(state.centre, np.float32(1.0 / length), out=self.centres[place])
        if len(self.states) > self.most:
            oldest = next(iter(self.states))
            self.count_words(self.states.pop(oldest).profile, -1)
            place = self.places.pop(oldest)
            self.ids[place] = 0
            self.centres[place] = 0.0
            self._free.append(place)


class Grouper:
    """Places posts in narratives; remembers the centres of those that are alive."""

    def __init__(self, space: Space, *, most_alive: int = MOST_ALIVE) -> None:
        self._space = space
        self._alive = _Alive(most_alive, space)
        self._index = BandIndex()
        self._runs: OrderedDict[int, Runs] = OrderedDict()
        """Of posts that were looked at last."""

    def load(self, memory: Memory) -> None:
        """Forget what is remembered and read it anew."""
        self._alive = _Alive(self._alive.most, self._space)
        for state in reversed(memory.latest(self._alive.most)):
            self.remember(state)
        self._index = BandIndex()
        for columns in memory.digests():
            self._index.add(columns)
        self._runs.clear()

    def remember(self, state: State) -> None:
        """Remember a narrative that is not remembered yet as the latest."""
        self._alive.count_words(state.profile, 1)
        self._alive.put(state)

    def like(self, state: State) -> list[tuple[float, int]]:
        """Return how likely a narrative's common words, as a post, tell each of the others."""
        core = [word for word, count in state.profile.items() if 2 * count > state.posts]
        place = self._alive.places[state.id]
        one = _Prepared(
            arrival=Arrival(id=0, normal="", at=state.last_at, embedding=None),
            runs=_NO_RUNS,
            exact=0,
            bands=(),
            words=core,
            vector=self._alive.centres[place],
            short=False,
        )
        if not _can_mean(one):
            return []
        near = self._alive.centres[: self._alive.top] @ self._alive.centres[place]
        near[place] = -1.0
        weights = self._alive.weights(core)
        heavy = int(np.count_nonzero(weights >= HEAVY))
        if heavy < MEANING_WORDS:
            return []
        nothing = _Batch(0, {}, InMemory())
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
        self._recall(prepared, batch)
        near = self._compare(prepared)
        placements = []
        for number, one in enumerate(prepared):
            placement = self._place(one, batch, near.get(number), next_id)
            if placement.by == "first":
                next_id += 1
            placements.append(placement)
            self._remember(one, placement, batch)
        counts = np.array([len(p.bands) for p in placements], np.int64)
        bands = [band for p in placements for band in p.bands]
        pairs = np.array([(p.post_id, p.narrative_id) for p in placements], np.int64)
        posts, narratives = np.repeat(pairs.reshape(-1, 2), counts, axis=0).T
        self._index.add((np.array(bands, np.int64), posts, narratives))
        return placements, batch.changed

    # --- before their turn ---------------------------------------------------------------------

    def prepare(self, arrivals: Sequence[Arrival]) -> list[_Prepared]:
        """Compute what depends on a text alone."""
        plains = [plain(a.normal) for a in arrivals]
        runs = runs_of(plains)
        bands = bands_of(runs).tolist()
        exact = exact_of(runs).tolist()
        vectors: list[Floats | None] = [None] * len(arrivals)
        embedded = [a.embedding for a in arrivals if a.embedding is not None]
        if embedded:
            turned = iter(self._space.vectors(np.stack(embedded)))
            vectors = [None if a.embedding is None else next(turned) for a in arrivals]
        out = []
        for i, text in enumerate(plains):
            short = len(text) - text.count(" ") < SHORT_LETTERS
            out.append(
                _Prepared(
                    arrival=arrivals[i],
                    runs=runs[i],
                    exact=exact[i],
                    bands=() if short else tuple(sorted(set(bands[i]))),
                    words=list(dict.fromkeys(words_of(text))),
                    vector=vectors[i],
                    short=short,
                )
            )
        return out

    def _meet(self, prepared: Sequence[_Prepared], memory: Memory) -> _Batch:
        wanted = {band for one in prepared for band in (one.exact, *one.bands)}
        batch = _Batch(len(prepared), self._index.find(wanted - {0}), memory)
        near: set[int] = set()
        for one in prepared:
            if one.exact not in batch.by_band:
                one.near = _nearest_posts(one, batch.by_band)
                near.update([post for post, _ in one.near])
        kept = self._runs
        kept.update(memory.runs([post for post in near if post not in kept]))
        for post in sorted(near):
            if post in kept:
                kept.move_to_end(post)
                batch.runs[post] = kept[post]
        while len(self._runs) > _CACHED:
            self._runs.popitem(last=False)
        return batch

    def _recall(self, prepared: Sequence[_Prepared], batch: _Batch) -> None:
        """Find the near texts from before the batch; read their narratives that are not alive."""
        for one in prepared:
            _, _, one.joins = self._nearest_text(one, batch)
        old = {one.joins for one in prepared} - {0}
        old = {number for number in old if number not in self._alive.states}
        if old:
            batch.recalled = {state.id: state for state in batch.memory.states(old)}

    def _compare(self, prepared: Sequence[_Prepared]) -> dict[int, Floats]:
        """Return, by place in the batch, an arrival's cosines with the centres before it.

        Those that have a near text are left out: they hardly ever come to ask for meaning.
        """
        rows = [i for i, one in enumerate(prepared) if not one.joins and _can_mean(one)]
        top = self._alive.top
        if not rows or not top:
            return {}
        vectors = np.stack([v for i in rows if (v := prepared[i].vector) is not None])
        return dict(zip(rows, vectors @ self._alive.centres[:top].T, strict=True))

    # --- its turn ------------------------------------------------------------------------------

    def _place(self, one: _Prepared, batch: _Batch, near: Floats | None, next_id: int) -> Placement:
        post_id = one.arrival.id
        best, post, narrative_id = self._nearest_text(one, batch)
        if best >= COPY:
            return Placement(
                post_id=post_id, narrative_id=narrative_id, by="copy", likeness=best,
                variant_id=post, bands=(), runs=b"",
            )  # fmt: skip
        by = "near"
        if not post:
            by = "meaning"
            narrative_id, best = self._nearest_meaning(one, batch, near)
            if not narrative_id:
                by, narrative_id, best = "first", next_id, 1.0
        bands = [one.exact] if one.exact else []
        bands += [band for band in one.bands if _has_room(batch.by_band.get(band))]
        return Placement(
            post_id=post_id, narrative_id=narrative_id, by=by, likeness=best,
            variant_id=post_id, bands=tuple(bands), runs=one.runs.tobytes() if bands else b"",
        )  # fmt: skip

    def _nearest_text(self, one: _Prepared, batch: _Batch) -> tuple[float, int, int]:
        """Return the Jaccard with the nearest text, its post and narrative; zeros: none is near."""
        same = batch.by_band.get(one.exact)
        if same:
            return (1.0, *same[0])
        nearest = one.near
        if nearest is None or not batch.new_bands.isdisjoint(one.bands):
            nearest = _nearest_posts(one, batch.by_band)
        best = (0.0, 0, 0)
        for post, narrative_id in nearest:
            found = one.jaccards.get(post)
            if found is None:
                runs = batch.runs.get(post)
                if runs is None:  # it comes into question since a band became a phrase
                    runs = batch.memory.runs([post]).get(post)
                if runs is None:
                    continue  # deleted meanwhile
                found = one.jaccards[post] = _jaccard_if_near(one.runs, runs)
            if found and (found, -post) > (best[0], -best[1]):
                best = (found, post, narrative_id)
        return best

    def _nearest_meaning(
        self, one: _Prepared, batch: _Batch, near: Floats | None
    ) -> tuple[int, float]:
        if one.vector is None or not _can_mean(one):
            return 0, 0.0
        weights = self._alive.weights(one.words)
        heavy = int(np.count_nonzero(weights >= HEAVY))
        if heavy < MEANING_WORDS:
            return 0, 0.0
        best, best_id = 0.0, 0
        if near is None:
            near = self._alive.centres[: self._alive.top] @ one.vector
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
        alive, count = self._alive, batch.count
        cosines: Floats = np.einsum("ij,j->i", batch.centres[:count], one.vector)
        ids = batch.ids[:count]
        if near is not None:
            rows = batch.rows[:count]
            near[rows[rows < len(near)]] = -1.0
            proposed = _highest(near, _MARGIN)
            if len(proposed):
                again = np.einsum("ij,j->i", alive.centres[proposed], one.vector)
                cosines = np.concatenate([cosines, again])
                ids = np.concatenate([ids, alive.ids[proposed]])
        best = _highest(cosines, 0.0)
        found = zip((-cosines[best]).tolist(), ids[best].tolist(), strict=True)
        ranked = sorted(found)[:MOST_MEANINGS]
        return [(-c, alive.states[n]) for c, n in ranked if n in alive.states]

    def _meanings(
        self, one: _Prepared, weights: Floats, heavy: int, found: Sequence[tuple[float, State]]
    ) -> list[tuple[float, int]]:
        """Return how likely it is that a post tells each of these narratives, with its number."""
        squares = dict(zip(one.words, np.square(weights).tolist(), strict=True))
        total = max(sum(squares.values()), 1e-9)
        close: list[tuple[float, float, timedelta, State, list[int]]] = []
        for cosine, state in found:
            idle = abs(one.arrival.at - state.last_at)
            if idle > ALIVE:
                continue
            profile = state.profile
            covered = sum([s * profile[w] for w, s in squares.items() if w in profile])
            covered /= total * state.posts
            if likeness(cosine, covered, 1.0, heavy, idle) >= MEANING:  # as sure as it can be
                core = [word for word, count in profile.items() if 2 * count > state.posts]
                close.append((cosine, covered, idle, state, core))
        if not close:
            return []
        core_words = [word for *_, core in close for word in core]
        core_squares = np.square(self._alive.weights(core_words)).tolist()
        out = []
        start = 0
        for cosine, covered, idle, state, core in close:
            of_core = core_squares[start : start + len(core)]
            start += len(core)
            met = sum(s for s, word in zip(of_core, core, strict=True) if word in squares)
            kept = met / max(sum(of_core), 1e-9)
            out.append((likeness(cosine, covered, kept, heavy, idle), state.id))
        return out

    def _remember(self, one: _Prepared, placement: Placement, batch: _Batch) -> None:
        post_id, narrative_id = placement.post_id, placement.narrative_id
        if placement.bands:
            batch.runs[post_id] = self._runs[post_id] = one.runs
            batch.new_bands.update(placement.bands)
            for band in placement.bands:
                batch.by_band.setdefault(band, []).append((post_id, narrative_id))
        alive = self._alive
        state = alive.states.get(narrative_id)
        if state is None:
            state = batch.changed.get(narrative_id) or batch.recalled.get(narrative_id)
            if state is None and placement.by != "first":
                state = next(iter(batch.memory.states([narrative_id])), None)
            if state is None:
                zero = np.zeros(WIDTH, np.float32)
                state = State(narrative_id, zero, {}, 0, one.arrival.at, post_id)
            alive.count_words(state.profile, 1)
        new, lost = absorb(state, one)
        alive.count_words(new, 1)
        alive.count_words(lost, -1)
        alive.put(state)
        place = alive.places[narrative_id]
        batch.note(state, place, alive.centres[place])


def absorb(state: State, one: _Prepared) -> tuple[list[int], list[int]]:
    """Add a post to what is remembered of its narrative; return words new to it, and words lost."""
    arrival = one.arrival
    if one.vector is not None:
        # An older post weighs less: whichever of the two came first in time is aged.
        later = (arrival.at - state.last_at) / HALF_LIFE
        state.centre = state.centre * np.float32(0.5 ** max(later, 0.0)) + (
            one.vector * np.float32(0.5 ** max(-later, 0.0))
        )
    profile = state.profile
    new = [word for word in one.words if word not in profile]
    for word in one.words:
        profile[word] = profile.get(word, 0) + 1
    lost: list[int] = []
    if len(profile) > 2 * PROFILE:
        ranked = sorted(profile.items(), key=lambda pair: (-pair[1], pair[0]))
        state.profile = dict(ranked[:PROFILE])
        lost = [word for word, _ in ranked[PROFILE:]]
    state.posts += 1
    state.last_at = max(state.last_at, arrival.at)
    state.last_post_id = arrival.id
    return new, lost


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


def _jaccard_if_near(a: Runs, b: Runs) -> float:
    """Return the Jaccard, or 0 where it is below ``NEAR``."""
    small, large = sorted([len(a), len(b)])
    if small < NEAR * large:  # it is no more than their ratio
        return 0.0
    found = jaccard(a, b)
    return found if found >= NEAR else 0.0


def _nearest_posts(
    one: _Prepared, by_band: Mapping[int, Sequence[tuple[int, int]]]
) -> list[tuple[int, int]]:
    """Return the ``MOST_TEXTS`` posts that share most bands with a text, the first ones first.

    Each with its narrative.
    """
    hits: dict[tuple[int, int], int] = {}
    for band in one.bands:
        posts = by_band.get(band)
        if posts and not _is_phrase(posts):
            for pair in posts:
                hits[pair] = hits.get(pair, 0) + 1
    if not hits:
        return []
    return [pair for _, pair in sorted([(-n, pair) for pair, n in hits.items()])[:MOST_TEXTS]]


def _is_phrase(posts: Sequence[tuple[int, int]]) -> bool:
    return len(posts) >= PHRASE and len({narrative for _, narrative in posts}) >= PHRASE


def _has_room(posts: Sequence[tuple[int, int]] | None) -> bool:
    return not posts or (len(posts) < MOST_IN_BAND and not _is_phrase(posts))


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
