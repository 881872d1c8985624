"""The shape of bursts: when the posts of one text came and whose they were, as measured."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from models.text import normalise
from pipeline.digest import bands_of, jaccard, plain, runs_of

ALIKE: Final = 0.6
"""Jaccard of runs of five characters from which two posts of the measured feed are one burst."""
_COMPARED: Final = 20
"""Earlier posts of a band that a post is compared with; a viral text would be quadratic."""
SILENCE_S: Final = 6 * 3600.0
"""A longer gap separates two waves of a burst: it is kept once, however much the burst grows."""
_NEIGHBOURS: Final = 0.1
"""Gaps are resampled from this share of the burst on either side of their place."""
BURST_POSTS: Final = 10
"""From this size on a measured burst lends its shape to those that grow."""
BURST_ACCOUNTS: Final = 3
"""One or two accounts that repeat themselves are no burst that others carry on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """``gaps_s``: seconds from each post to the next; ``accounts``: who wrote each, from 0 on."""

    gaps_s: tuple[float, ...]
    accounts: tuple[int, ...]

    @property
    def posts(self) -> int:
        """Return how many posts it has."""
        return len(self.accounts)

    @property
    def hours(self) -> float:
        """Return the hours from its first post to its last."""
        return sum(self.gaps_s) / 3600


def measured_shapes(
    texts: Sequence[str], moments: Sequence[datetime], accounts: Sequence[str | None]
) -> list[Shape]:
    """Return the shape of every group of near-copies among dated posts, in order of their start.

    MinHash bands propose, exact Jaccard (``ALIKE``) confirms, a union-find joins. A post without
    an account counts as one of its own.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for number, group in enumerate(_groups(texts)):
        groups[group].append(number)
    ordered = [sorted(members, key=lambda i: (moments[i], i)) for members in groups.values()]
    ordered.sort(key=lambda members: (moments[members[0]], members[0]))
    return [_shape(members, moments, accounts) for members in ordered]


def _shape(
    members: Sequence[int], moments: Sequence[datetime], accounts: Sequence[str | None]
) -> Shape:
    at = [moments[i] for i in members]
    number: dict[str, int] = {}
    return Shape(
        gaps_s=tuple((b - a).total_seconds() for a, b in pairwise(at)),
        accounts=tuple(number.setdefault(accounts[i] or f"\x1f{i}", len(number)) for i in members),
    )


def _groups(texts: Sequence[str]) -> list[int]:
    runs = runs_of([plain(normalise(text)) for text in texts])
    bands = bands_of(runs).tolist()
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[int, list[int]] = defaultdict(list)
    for i, row in enumerate(bands):
        near = {j for band in row if band for j in seen[band][:_COMPARED]}
        for j in sorted(near):
            if root(i) != root(j) and jaccard(runs[i], runs[j]) >= ALIKE:
                parent[max(root(i), root(j))] = min(root(i), root(j))
        for band in row:
            if band:
                seen[band].append(i)
    return [root(i) for i in range(len(texts))]


def bursts_of(shapes: Sequence[Shape]) -> list[Shape]:
    """Return those that lend their shape to what grows: ten posts or more by several accounts."""
    return [s for s in shapes if s.posts >= BURST_POSTS and len(set(s.accounts)) >= BURST_ACCOUNTS]


def grown(shape: Shape, posts: int, dice: random.Random) -> Shape:
    """Return a burst of ``posts`` posts that runs as the measured one does.

    Gap k of the new burst is drawn from the measured gaps near the same share of its way, so that
    it is fast where the measured one was fast, and its posts come no thicker than measured ones.
    Silences (``SILENCE_S``) are kept where they were, once each. A new post is by an account that
    has not written yet as often as in the measured burst.
    """
    active = [g for g in shape.gaps_s if g <= SILENCE_S] or [SILENCE_S]
    reach = max(1, round(_NEIGHBOURS * len(active)))
    wanted = posts - 1
    silences = {
        round(k / len(shape.gaps_s) * wanted): gap
        for k, gap in enumerate(shape.gaps_s)
        if gap > SILENCE_S
    }
    gaps = []
    for k in range(wanted):
        if k in silences:
            gaps.append(silences[k])
            continue
        middle = int(k / wanted * len(active))
        low, high = max(0, middle - reach), min(len(active) - 1, middle + reach)
        gaps.append(active[dice.randint(low, high)])
    fresh = (len(set(shape.accounts)) - 1) / max(1, shape.posts - 1)
    accounts = [0]
    for _ in range(wanted):
        new = dice.random() < fresh
        accounts.append(max(accounts) + 1 if new else dice.choice(accounts))
    return Shape(gaps_s=tuple(gaps), accounts=tuple(accounts))
