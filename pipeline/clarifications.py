"""What is known already about a claim: clarifications kept by their words, and the nearest.

The words that clarification and post have in common propose: the embeddings, crowded as they are,
would miss a third of what they find. Words and embedding then decide together.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from models.likeness import Floats, Space, words_of
from models.text import normalise

LIKELY: Final = 0.5
"""Likeness from which a clarification is shown. Of 989 posts that were fact-checked in 2025, among
the titles of 4,989 fact-checks, 48 % got their own and 6 % another, mostly of the same claim; of
6,000 ordinary posts 0.25 % got one. The five numbers of ``likeness`` were fitted on these posts,
so that others may fare a little worse."""
MOST_WORDS: Final = 400
"""Different words that are looked up of a long post: its first."""
_USUAL: Final = 200
"""How many clarifications the usual rarity of a word counts for, beside those that are known."""
_COMMONEST: Final = 1000
"""A word that stands in more claims than this, and in more than one of fifty, proposes none."""
_PROPOSED: Final = 20
_HEAVY: Final = 3.0
"""Weight from which a word is told as one in common."""
_SUREST: Final = 0.99
"""More is not told: that a post makes a claim is never certain."""
_NO_COSINE: Final = 0.3
"""Stands for the likeness of meaning where there is no embedding of the model that is in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A clarification by its number, how likely it is of the post's claim (0 to 1), and by what.

    ``words`` are hashes (``models.likeness.words_of``) of the words in common, the heaviest first.
    """

    id: int
    likeness: float
    words: tuple[int, ...]


@dataclass(slots=True)
class _Places:
    """Where a clarification stands in the index."""

    vector: Floats | None
    """Its direction in the fitted space."""
    claims: list[int] = field(default_factory=list)


class ClarificationIndex:
    """Claims and titles by their words; not safe to change from several threads at once."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._known: dict[int, _Places] = {}
        self._by_word: dict[int, array[int]] = {}
        """Places of the claims in which a word stands; those taken out stay till ``_tidy``."""
        self._words: list[array[int] | None] = []
        """Words of the claim at a place; None: taken out."""
        self._ids = array("q")
        self._lengths = array("f")
        self._gone = 0

    def __len__(self) -> int:
        return len(self._known)

    def put(self, number: int, claims: Sequence[str], embedding: Floats | None) -> None:
        """Remember a clarification by what it is about, said in one or more ways; or anew.

        ``embedding`` is the model's, whose space this is; None: not known.
        """
        self.remove(number)
        vector = None if embedding is None else self.space.vectors(embedding[None])[0]
        places = self._known[number] = _Places(
            None if vector is None else vector.astype(np.float16)
        )
        for words in dict.fromkeys(tuple(_words(claim)) for claim in claims):
            if not words:
                continue
            place = len(self._words)
            places.claims.append(place)
            self._words.append(array("I", words))
            self._ids.append(number)
            self._lengths.append(float(np.linalg.norm(self.space.weights(_hashes(words)))))
            for word in words:
                self._by_word.setdefault(word, array("i")).append(place)

    def remove(self, number: int) -> None:
        """Forget a clarification; one that is not known is forgotten already."""
        places = self._known.pop(number, None)
        if places is None:
            return
        for place in places.claims:
            self._words[place] = None
        self._gone += len(places.claims)
        if self._gone > 1000 and 2 * self._gone > len(self._words):
            self._tidy()

    def nearest(
        self, text: str, embedding: Floats | None, *, at_least: float = LIKELY
    ) -> Match | None:
        """Return the clarification that is most likely of the claim that a text makes, or None.

        ``embedding`` is that of the text by the model whose space this is; None: not known.
        """
        words = _words(text)
        vector = None if embedding is None else self.space.vectors(embedding[None])[0]
        weights = dict(zip(words, self._weights(words).tolist(), strict=True))
        best: tuple[float, int, int] | None = None
        for place in self._propose(words):
            likeness = self._likeness(place, weights, vector)
            # The lower number where two are equally like: whatever order they were put in.
            found = (likeness, -self._ids[place], place)
            if likeness >= at_least and (best is None or found > best):
                best = found
        if best is None:
            return None
        likeness, _, place = best
        common = [word for word in self._claim(place) if word in weights]
        heavy = [word for word in common if weights[word] >= _HEAVY] or common
        return Match(
            id=self._ids[place],
            likeness=min(likeness, _SUREST),
            words=tuple(sorted(heavy, key=lambda word: -weights[word])),
        )

    def search(self, words: str, *, most: int) -> list[int]:
        """Return the numbers of clarifications in which all these words stand, the latest first."""
        wanted = _words(words)
        if not wanted:
            return []
        places = set.intersection(*(set(self._by_word.get(word, ())) for word in wanted))
        found = {self._ids[place] for place in places if self._words[place] is not None}
        return sorted(found, reverse=True)[:most]

    # --- within --------------------------------------------------------------------------------

    def _propose(self, words: Sequence[int]) -> list[int]:
        """Return the places of the claims that share the most, by weight, for their length."""
        most = max(_COMMONEST, len(self._words) // 50)
        met: Counter[int] = Counter()
        usual = self.space.weights(_hashes(words)) ** 2
        for word, weight in zip(words, usual.tolist(), strict=True):
            places = self._by_word.get(word, ())
            if len(places) <= most:
                for place in places:
                    met[place] += weight
        ranked = sorted(
            (-shared / max(self._lengths[place], 1e-6), place)
            for place, shared in met.items()
            if self._words[place] is not None
        )
        return [place for _, place in ranked[:_PROPOSED]]

    def _likeness(self, place: int, weights: dict[int, float], vector: Floats | None) -> float:
        claim = self._claim(place)
        own = dict(zip(claim, self._weights(claim).tolist(), strict=True))
        common = [word for word in claim if word in weights]
        shared = sum(own[word] ** 2 for word in common)
        of_claim = shared / max(sum(w * w for w in own.values()), 1e-9)
        of_text = shared / max(sum(w * w for w in weights.values()), 1e-9)
        weight = sum(own[word] for word in common)
        known = self._known[self._ids[place]].vector
        cosine = _NO_COSINE if vector is None or known is None else float(vector @ known)
        return likeness(cosine, of_claim, of_text, weight)

    def _weights(self, words: Sequence[int]) -> Floats:
        """Return how rare the words are: in the language, and among what is known here."""
        usual = np.exp(-self.space.weights(_hashes(words)))
        known = np.array([len(self._by_word.get(word, ())) for word in words], np.float32)
        share = (known + _USUAL * usual) / (len(self._words) + _USUAL)
        out: Floats = -np.log(np.clip(share, 1e-6, 1.0)).astype(np.float32)
        return out

    def _claim(self, place: int) -> array[int]:
        words = self._words[place]
        assert words is not None  # what was taken out is not proposed
        return words

    def _tidy(self) -> None:
        """Close the gaps that what was taken out has left."""
        kept = [place for place, words in enumerate(self._words) if words is not None]
        new = {place: i for i, place in enumerate(kept)}
        self._words = [self._words[place] for place in kept]
        self._ids = array("q", (self._ids[place] for place in kept))
        self._lengths = array("f", (self._lengths[place] for place in kept))
        for word, places in list(self._by_word.items()):
            left = array("i", (new[place] for place in places if place in new))
            if left:
                self._by_word[word] = left
            else:
                del self._by_word[word]
        for known in self._known.values():
            known.claims = [new[place] for place in known.claims]
        self._gone = 0


def likeness(cosine: float, of_claim: float, of_text: float, weight: float) -> float:
    """Return how likely it is that a text makes a claim, from 0 to 1.

    ``of_claim`` and ``of_text`` are the shares of what they have in common in the words of each,
    by squared weight; ``weight`` is the sum of its weights. A logistic regression on fact-checked
    posts with their titles, other titles, ordinary posts and the paraphrase groups (dev).
    """
    logit = -10.9 + 4.9 * cosine + 4.5 * of_claim + 3.8 * of_text + 0.177 * min(weight, 60.0)
    return 1.0 / (1.0 + math.exp(-logit))


def common_words(text: str, hashes: Sequence[int], *, most: int = 8) -> list[str]:
    """Return the words of a text that have these hashes, as they are compared, in that order."""
    by_hash: dict[int, str] = {}
    for word in normalise(text).split():
        for found in words_of(word):
            by_hash.setdefault(found, word.strip(_SIGNS))
    return list(dict.fromkeys(by_hash[h] for h in hashes if by_hash.get(h)))[:most]


_SIGNS: Final = "\"'.,;:!?()[]{}<>-–—…/"


def _words(text: str) -> list[int]:
    return list(dict.fromkeys(words_of(normalise(text))))[:MOST_WORDS]


def _hashes(words: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array(words, np.uint32)
