"""A scorer without weights, for tests and for trying out what stands behind the model.

Scores follow from keywords and a hash of the text: the same text has the same score on every
machine, in every batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from models.labels import HOAX_TECHNIQUES, TECHNIQUES, TONES
from models.likeness import Space
from models.scorer import Score, Thresholds

_FALSE_WORDS: Final = ("viralkan", "sebarkan", "terbongkar", "undian", "chip", "konspirasi")
_HATE_WORDS: Final = ("usir", "bakar", "musnahkan", "kafir", "antek")
_WIDTH: Final = 384
_FLAGGED_RISK: Final = 0.5


class FakeScorer:
    """Scores posts as ``models.scorer.Scorer`` does, in microseconds and without meaning."""

    version = "fake-1"

    def __init__(self) -> None:
        """Set thresholds that flag what holds one of the keywords."""
        self.thresholds = Thresholds(budget_1=0.9, budget_5=_FLAGGED_RISK)
        self.space = Space.plain(_WIDTH)

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Return the scores of the texts, in their order."""
        return [_score(text.strip()) for text in texts]

    def score_and_embed(self, texts: Sequence[str]) -> list[tuple[Score, npt.NDArray[np.float32]]]:
        """Return ``(score, embedding)`` per text; texts that share words have near embeddings."""
        return [(_score(text.strip()), _embedding(text)) for text in texts]


def _embedding(text: str) -> npt.NDArray[np.float32]:
    vector = np.zeros(_WIDTH, np.float32)
    for word in re.findall(r"\w+", text.lower()):
        vector[int.from_bytes(blake2b(word.encode(), digest_size=4).digest()) % _WIDTH] += 1
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector[:0]


def _score(text: str) -> Score:
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    noise = [byte / 255 for byte in digest]
    words = set(re.findall(r"\w+", text.lower()))
    false = 0.55 + 0.4 * noise[0] if words.intersection(_FALSE_WORDS) else 0.3 * noise[0]
    malinformation = 0.55 + 0.4 * noise[1] if words.intersection(_HATE_WORDS) else 0.3 * noise[1]
    hoax, disinformation = false * noise[2], false * (1 - noise[2])
    risk = max(false, malinformation)
    label = "valid"
    if risk >= _FLAGGED_RISK:
        chances = {
            "hoax": hoax,
            "disinformation": disinformation,
            "malinformation": malinformation,
        }
        label = max(chances, key=lambda name: chances[name])
    technique = None
    if label in ("hoax", "disinformation"):
        group = [name for name in TECHNIQUES if (name in HOAX_TECHNIQUES) == (label == "hoax")]
        technique = group[digest[3] % len(group)]
    return Score(
        risk=risk,
        label=label,
        false=false,
        hoax=hoax,
        disinformation=disinformation,
        malinformation=malinformation,
        technique=technique,
        tone=TONES[digest[4] % len(TONES)],
    )
