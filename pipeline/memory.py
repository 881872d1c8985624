"""Scores of recent texts, so that a viral copy is scored once, over the whole feed.

The memory has two generations: texts are learnt into the younger one, and when that is full the
older one is forgotten. So its content depends on nothing but the order of the feed, and it can
be saved by appending: a resumed run finds the very memory that the killed one had, asks the
model about the very same texts, and writes the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from models.labels import LABELS, TECHNIQUES, TONES
from models.scorer import Score

GENERATION_TEXTS: Final = 25_000
"""Texts in a generation; both together hold at most twice as many and take some 25 MB."""
_RECORD: Final = struct.Struct("<16s5d3b")


class ScoreMemory:
    """Remembers up to two generations of scores by text."""

    def __init__(self, *, capacity: int = GENERATION_TEXTS) -> None:
        """``capacity`` is the number of texts in a generation; 0 remembers nothing."""
        self._capacity = capacity
        self._young: dict[bytes, Score] = {}
        self._old: dict[bytes, Score] = {}
        self.generation = 0

    def find(self, key: bytes) -> Score | None:
        """Return the score of a text, if remembered."""
        return self._young.get(key) or self._old.get(key)

    def learn(self, scores: Sequence[tuple[bytes, Score]]) -> bytes:
        """Remember the texts of a finished chunk; return what to append to the saved generation."""
        if not self._capacity:
            return b""
        records = []
        for key, score in scores:
            if key not in self._young:
                self._young[key] = score
                records.append(_pack(key, score))
        return b"".join(records)

    def turn(self) -> bool:
        """Begin a new generation if the younger one is full; return whether one was begun."""
        if len(self._young) < max(self._capacity, 1):
            return False
        self._old, self._young = self._young, {}
        self.generation += 1
        return True

    def restore(self, generation: int, old: bytes, young: bytes) -> None:
        """Become the memory that was saved as these two generations."""
        self.generation = generation
        self._old = dict(map(_unpack, _RECORD.iter_unpack(old)))
        self._young = dict(map(_unpack, _RECORD.iter_unpack(young)))


def text_key(text: str) -> bytes:
    """Return the key of a text; only the very same text has the same key.

    Folding case or links here would find more copies, but costs a third of a millisecond a post
    and could join texts that the model reads apart; the scorer joins those it reads as one.
    """
    return blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _pack(key: bytes, score: Score) -> bytes:
    return _RECORD.pack(
        key,
        score.risk,
        score.false,
        score.hoax,
        score.disinformation,
        score.malinformation,
        LABELS.index(score.label),
        -1 if score.technique is None else TECHNIQUES.index(score.technique),
        TONES.index(score.tone),
    )


def _unpack(
    record: tuple[bytes, float, float, float, float, float, int, int, int],
) -> tuple[bytes, Score]:
    key, risk, false, hoax, disinformation, malinformation, label, technique, tone = record
    return key, Score(
        risk=risk,
        label=LABELS[label],
        false=false,
        hoax=hoax,
        disinformation=disinformation,
        malinformation=malinformation,
        technique=None if technique < 0 else TECHNIQUES[technique],
        tone=TONES[tone],
    )
