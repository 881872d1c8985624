"""Near-duplicates: runs of five characters, their MinHash in bands, exact Jaccard to confirm.

Broder (1997) for MinHash, Leskovec et al., *Mining of Massive Datasets*, for the bands. All texts
of a batch are hashed together by numpy, which costs some ten microseconds a text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Runs = npt.NDArray[np.uint32]
"""The hashed runs of a text: sorted, each once."""
Numbers = npt.NDArray[np.int64]
Columns = tuple[Numbers, Numbers, Numbers]
"""Bands, the posts that stand in them, the posts' narratives."""

RUN: Final = 5
BANDS: Final = 8
ROWS: Final = 3
"""A text of Jaccard 0.7 to another shares one of 8 bands of 3 rows with chance 0.97, of 0.8 with
0.997, of 0.3 with 0.2: 1 - (1 - J³)⁸."""
MOST_RUNS: Final = 2_000
"""Runs of one text that are looked at: a longer one is told apart by its beginning."""
_WORD: Final = re.compile(r"\w+")
_PRIME: Final = np.uint32(0x01000193)
_MULTIPLIERS: Final = (
    np.random.default_rng(1).integers(1, 2**32, BANDS * ROWS, np.uint64) | 1
).astype(np.uint32)
_ADDENDS: Final = (
    np.random.default_rng(2).integers(0, 2**32, BANDS * ROWS, np.uint64).astype(np.uint32)
)
_MIXERS: Final = np.random.default_rng(3).integers(1, 2**62, (BANDS, ROWS), np.uint64) | 1


def plain(normal: str) -> str:
    """Return the words of a normalised text with single spaces: what the runs are cut from."""
    return " ".join(_WORD.findall(normal))


def runs_of(plains: Sequence[str]) -> list[Runs]:
    """Return the runs of each text; a text shorter than a run is one run, an empty one has none."""
    cut = [text[: MOST_RUNS + RUN - 1].ljust(RUN) if text else "" for text in plains]
    lengths = np.array([len(text) for text in cut], np.int64)
    letters = np.frombuffer("".join(cut).encode("utf-32-le", "replace"), np.uint32)
    if len(letters) == 0:
        return [letters for _ in cut]
    hashes = np.zeros(len(letters), np.uint32)
    padded = np.concatenate([letters, np.zeros(RUN, np.uint32)])
    for offset in range(RUN):
        hashes = (hashes ^ padded[offset : offset + len(letters)]) * _PRIME
        hashes ^= hashes >> np.uint32(15)
    # Each run with the number of its text before it: one sort does for all texts.
    owners = np.repeat(np.arange(len(cut), dtype=np.uint64), lengths)
    ends = np.cumsum(lengths)
    left = np.repeat(ends, lengths) - np.arange(len(letters))
    keyed = (owners[left >= RUN] << np.uint64(32)) | hashes[left >= RUN]
    keyed.sort()
    keyed = keyed[np.concatenate([[True], keyed[1:] != keyed[:-1]])]
    starts = np.searchsorted(keyed, np.arange(len(cut) + 1, dtype=np.uint64) << np.uint64(32))
    values = keyed.astype(np.uint32)
    bounds = starts.tolist()
    return [values[a:b] for a, b in itertools.pairwise(bounds)]


def bands_of(runs: Sequence[Runs]) -> Numbers:
    """Return ``BANDS`` numbers per text (n × BANDS, 0 for an empty text): equal ones may be near.

    A number says its band too, so that all bands can stand in one column.
    """
    out = np.zeros((len(runs), BANDS), np.int64)
    full = [i for i, r in enumerate(runs) if len(r)]
    if not full:
        return out
    flat = np.concatenate([runs[i] for i in full])
    starts = np.cumsum([0, *(len(runs[i]) for i in full[:-1])])
    lowest = np.empty((len(full), BANDS * ROWS), np.uint64)
    mixed, shifted = np.empty_like(flat), np.empty_like(flat)
    for k in range(BANDS * ROWS):  # modulo 2³², as the type has it
        np.multiply(flat, _MULTIPLIERS[k], out=mixed)
        np.add(mixed, _ADDENDS[k], out=mixed)
        np.right_shift(mixed, np.uint32(16), out=shifted)
        np.bitwise_xor(mixed, shifted, out=mixed)
        np.multiply(mixed, np.uint32(0x45D9F3B), out=mixed)
        lowest[:, k] = np.minimum.reduceat(mixed, starts)
    joined = np.zeros((len(full), BANDS), np.uint64)
    for row in range(ROWS):
        joined = (joined ^ lowest.reshape(-1, BANDS, ROWS)[:, :, row]) * _MIXERS[:, row]
        joined ^= joined >> np.uint64(29)
    # 60 bits of the hash and, in the last three, the band; never 0.
    numbers = (joined >> np.uint64(4) << np.uint64(3)) | np.arange(BANDS, dtype=np.uint64)
    out[full] = (numbers & np.uint64(0x7FFFFFFFFFFFFFFF)).astype(np.int64) | (1 << 62)
    return out


def exact_of(runs: Sequence[Runs]) -> Numbers:
    """Return a number per text (0 for an empty one) that texts of the very same runs share.

    Never one of ``bands_of``, so that it can stand beside them.
    """
    out = np.zeros(len(runs), np.int64)
    full = [i for i, r in enumerate(runs) if len(r)]
    if not full:
        return out
    lengths = np.array([len(runs[i]) for i in full])
    flat = np.concatenate([runs[i] for i in full]).astype(np.uint64)
    flat = (flat ^ (flat >> np.uint64(15))) * _MIXERS[0, 0]
    flat = (flat ^ (flat >> np.uint64(29))) * _MIXERS[0, 1]
    sums = np.add.reduceat(flat, np.cumsum(lengths) - lengths) + lengths.astype(np.uint64)
    sums = (sums ^ (sums >> np.uint64(31))) * _MIXERS[0, 2]
    out[full] = (sums >> np.uint64(2)).astype(np.int64) | 1
    return out


def jaccard(a: Runs, b: Runs) -> float:
    """Return the share of their runs that two texts have in common; 0 where one has none."""
    if not len(a) or not len(b):
        return 0.0
    both = np.concatenate([a, b])
    both.sort()
    met = int(np.count_nonzero(both[1:] == both[:-1]))
    return met / (len(both) - met)


_PLACES: Final = 1 << 24
"""Places of ``BandIndex``'s note of what was ever added: 16 MB, once it is full."""


class BandIndex:
    """Which posts stand in a band, in memory: 24 bytes for each band of each post.

    A table on disk would be touched in some five random places by every post that comes, each a
    page to read and to write, and the more the larger it grew. So it is kept as sorted columns,
    the larger ones twice as large as the next or more, which are merged as they grow (O'Neil et
    al., 1996, the log-structured merge tree).
    """

    def __init__(self) -> None:
        self._levels: list[Columns] = []
        self._taken = np.zeros(_PLACES, np.bool_)
        """Where some band was added: most that are asked for never were."""

    def __len__(self) -> int:
        """Return how many bands are kept, counted with each of their posts."""
        return sum(len(bands) for bands, _, _ in self._levels)

    def add(self, columns: Columns) -> None:
        """Keep posts in bands: columns of bands, posts and the posts' narratives."""
        if not len(columns[0]):
            return
        self._taken[columns[0] & (_PLACES - 1)] = True
        self._levels.append(_sorted(columns))
        while len(self._levels) > 1 and len(self._levels[-2][0]) < 2 * len(self._levels[-1][0]):
            new, old = self._levels.pop(), self._levels.pop()
            bands, posts, narratives = (
                np.concatenate([a, b]) for a, b in zip(old, new, strict=True)
            )
            self._levels.append(_sorted((bands, posts, narratives)))

    def find(self, bands: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
        """Return by band the posts that are kept in it and their narratives, the first first."""
        asked = np.array(list(bands), np.int64)
        wanted = np.sort(asked[self._taken[asked & (_PLACES - 1)]])
        found: dict[int, list[tuple[int, int]]] = {}
        for kept, posts, narratives in self._levels:
            start = np.searchsorted(kept, wanted, "left")
            met = np.flatnonzero(kept[np.minimum(start, len(kept) - 1)] == wanted)
            stop = np.searchsorted(kept, wanted[met], "right").tolist()
            for band, a, b in zip(wanted[met].tolist(), start[met].tolist(), stop, strict=True):
                pairs = zip(posts[a:b].tolist(), narratives[a:b].tolist(), strict=True)
                found.setdefault(band, []).extend(pairs)
        return found


def _sorted(columns: Columns) -> Columns:
    order = np.argsort(columns[0], kind="stable")
    bands, posts, narratives = (column[order] for column in columns)
    return bands, posts, narratives
