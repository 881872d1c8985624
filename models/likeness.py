"""What two posts have in common: their meaning, and the words that carry it.

The model's embeddings are crowded: two posts of one kind (two frauds, two complaints) are near
whatever they tell. Taking away what all posts share, and the directions in which they differ
most for reasons of style, leaves what they are about (Mu & Viswanath, 2018; Su et al., 2021). And
the words are weighed by how rare they are (Spärck Jones, 1972). Both are fitted on the training
texts and ship with the model; no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint32]

WIDTH: Final = 96
"""Directions kept of the embedding."""
COMMON: Final = 4
"""First directions taken away: they tell kinds of posts apart, not narratives."""
BUCKETS: Final = 1 << 17
"""Places of the table of word weights; words that share one get the weight of the commoner."""
UNLEARNT: Final = 6.0
"""Weight of every word where nothing was learnt."""
FILE: Final = "likeness.npz"
_WORD: Final = re.compile(r"\w+")
_SUFFIXES: Final = re.compile(r"(?:nya|kan|lah|kah|pun|ku|mu|an|i)$")
_PREFIXES: Final = re.compile(r"^(?:meng|meny|mem|men|me|peng|peny|pem|pen|ber|ter|per|di|ke|se)")
_SHORTEST_STEM: Final = 4
_MOST_KNOWN: Final = 200_000


@dataclass(frozen=True, slots=True)
class Space:
    """The fitted space: ``mean`` (width of the model), ``axes`` (that × WIDTH), word weights."""

    mean: Floats
    axes: Floats
    rarity: Floats

    @classmethod
    def plain(cls, width: int) -> Space:
        """Return a space for embeddings of ``width`` numbers in which nothing was learnt."""
        axes = np.resize(np.eye(WIDTH, dtype=np.float32), (width, WIDTH))
        rarity = np.full(BUCKETS, UNLEARNT, np.float32)
        return cls(np.zeros(width, np.float32), axes, rarity)

    @classmethod
    def load(cls, folder: Path) -> Space:
        """Return the space of a release folder."""
        with np.load(folder / FILE) as file:
            return cls(*(file[name].astype(np.float32) for name in ("mean", "axes", "rarity")))

    def save(self, folder: Path) -> None:
        """Write the space into a release folder."""
        half = {n: getattr(self, n).astype(np.float16) for n in ("mean", "axes", "rarity")}
        np.savez_compressed(folder / FILE, **half)

    def vectors(self, embeddings: Floats) -> Floats:
        """Return unit vectors (n × WIDTH) of embeddings (n × width of the model).

        In double precision, so that a vector does not depend on those beside it, in whose company
        a product of matrices rounds otherwise.
        """
        turned = (embeddings - self.mean).astype(np.float64) @ self.axes.astype(np.float64)
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        out: Floats = (turned / np.maximum(lengths, 1e-9)).astype(np.float32)
        return out

    def weights(self, words: Hashes) -> Floats:
        """Return how much each word counts (0 to about 10)."""
        out: Floats = self.rarity[words]
        return out


def words_of(normal: str) -> list[int]:
    """Return the hashed stems of a normalised text's words, in order, repeats kept.

    Numbers below ``BUCKETS``: places of the table of word weights.
    """
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    return list(map(_KNOWN.__getitem__, _WORD.findall(normal)))


class _Known(dict[str, int]):
    """What words are hashed to; a word that is asked for the first time is hashed."""

    def __missing__(self, word: str) -> int:
        found = self[word] = crc32(stem(word).encode()) & (BUCKETS - 1)
        return found


_KNOWN: Final = _Known()


def stem(word: str) -> str:
    """Return the word without the commonest affixes; rough, for comparing alone."""
    if len(word) <= _SHORTEST_STEM or not word.isalpha():
        return word
    cut = _SUFFIXES.sub("", word)
    word = cut if len(cut) >= _SHORTEST_STEM else word
    cut = _PREFIXES.sub("", word)
    return cut if len(cut) >= _SHORTEST_STEM else word


def fit(embeddings: Floats, normal_texts: Iterable[str]) -> Space:
    """Return the space fitted on training texts: a row of ``embeddings`` per text."""
    mean = embeddings.mean(axis=0)
    centred = (embeddings - mean).astype(np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    values, axes = values[::-1], axes[:, ::-1]
    kept = slice(COMMON, COMMON + WIDTH)
    scaled = np.zeros((len(mean), WIDTH))  # a narrow model has fewer directions
    scaled[:, : len(values[kept])] = axes[:, kept] / np.maximum(values[kept], 1e-9) ** 0.25
    counts = np.zeros(BUCKETS)
    texts = 0
    for text in normal_texts:
        texts += 1
        counts[list(set(words_of(text)))] += 1
    rarity = np.log((1 + texts) / (1 + counts))
    return Space(_f32(mean), _f32(scaled), _f32(rarity))


def _f32(values: npt.NDArray[Any]) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float32)
