"""Near-duplicates: runs of five characters, their MinHash in bands, exact Jaccard to confirm.

Broder (1997) for MinHash, Leskovec et al., *Mining of Massive Datasets*, for the bands. All texts
of a batch are hashed together by numpy, which costs some ten microseconds a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Runs = npt.NDArray[np.uint32]
"""The hashed runs of a text: sorted, each once."""

RUN: Final = 5
BANDS: Final = 8
ROWS: Final = 3
"""A text of Jaccard 0.7 to another shares one of 8 bands of 3 rows with chance 0.97, of 0.8 with
0.997, of 0.3 with 0.2: 1 - (1 - J³)⁸."""
MOST_RUNS: Final = 2_000
"""Runs of one text that are looked at: a longer one is told apart by its beginning."""
_WORD: Final = re.compile(r"\w+")
_PRIME: Final = np.uint32(0x01000193)
_MULTIPLIERS: Final = np.random.default_rng(1).integers(1, 2**32, BANDS * ROWS, np.uint64) | 1
_ADDENDS: Final = np.random.default_rng(2).integers(0, 2**32, BANDS * ROWS, np.uint64)
_MIXERS: Final = np.random.default_rng(3).integers(1, 2**62, (BANDS, ROWS), np.uint64) | 1


def plain(normal: str) -> str:
    """Return the words of a normalised text with single spaces: what the runs are cut from."""
    return " ".join(_WORD.findall(normal))


def runs_of(plains: Sequence[str]) -> list[Runs]:
    """Return the runs of each text; a text shorter than a run is one run, an empty one has none."""
    cut = [text[: MOST_RUNS + RUN - 1].ljust(RUN) if text else "" for text in plains]
    letters = np.frombuffer("".join(cut).encode("utf-32-le", "replace"), np.uint32)
    if len(letters) == 0:
        return [np.zeros(0, np.uint32) for _ in cut]
    hashes = np.zeros(len(letters), np.uint32)
    padded = np.concatenate([letters, np.zeros(RUN, np.uint32)])
    for offset in range(RUN):
        hashes = (hashes ^ padded[offset : offset + len(letters)]) * _PRIME
        hashes ^= hashes >> np.uint32(15)
    out: list[Runs] = []
    start = 0
    for text in cut:
        end = start + len(text)
        out.append(np.unique(hashes[start : end - RUN + 1]) if text else hashes[:0])
        start = end
    return out


def bands_of(runs: Sequence[Runs]) -> npt.NDArray[np.int64]:
    """Return ``BANDS`` numbers per text (n × BANDS, 0 for an empty text): equal ones may be near.

    A number says its band too, so that all bands can stand in one column.
    """
    out = np.zeros((len(runs), BANDS), np.int64)
    full = [i for i, r in enumerate(runs) if len(r)]
    if not full:
        return out
    flat = np.concatenate([runs[i] for i in full]).astype(np.uint64)
    starts = np.cumsum([0, *(len(runs[i]) for i in full[:-1])])
    lowest = np.empty((len(full), BANDS * ROWS), np.uint64)
    for k in range(BANDS * ROWS):
        mixed = (flat * _MULTIPLIERS[k] + _ADDENDS[k]) & np.uint64(0xFFFFFFFF)
        mixed ^= mixed >> np.uint64(16)
        mixed = (mixed * np.uint64(0x45D9F3B)) & np.uint64(0xFFFFFFFF)
        lowest[:, k] = np.minimum.reduceat(mixed, starts)
    joined = np.zeros((len(full), BANDS), np.uint64)
    for row in range(ROWS):
        joined = (joined ^ lowest.reshape(-1, BANDS, ROWS)[:, :, row]) * _MIXERS[:, row]
        joined ^= joined >> np.uint64(29)
    # 60 bits of the hash and, in the last three, the band; never 0.
    numbers = (joined >> np.uint64(4) << np.uint64(3)) | np.arange(BANDS, dtype=np.uint64)
    out[full] = (numbers & np.uint64(0x7FFFFFFFFFFFFFFF)).astype(np.int64) | (1 << 62)
    return out


def jaccard(a: Runs, b: Runs) -> float:
    """Return the share of their runs that two texts have in common; 0 where one has none."""
    if not len(a) or not len(b):
        return 0.0
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)
