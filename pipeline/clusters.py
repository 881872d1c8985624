"""How well a grouping agrees with the groups that were meant: B-cubed, and groups to try it on."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

PARAPHRASES: Final = Path(__file__).with_name("paraphrases") / "groups.csv"
Part = Literal["dev", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BCubed:
    """Precision, recall and their harmonic mean, each 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A post of the paraphrase groups; ``kind`` says how it was told, see their README."""

    group: str
    kind: str
    text: str


def b_cubed(predicted: Sequence[Hashable], truth: Sequence[Hashable]) -> BCubed:
    """Return the B-cubed figures of a grouping: the group that each item was put in and is of.

    An item's precision is the share of its predicted group that is of its true group, its recall
    the share of its true group that is in its predicted group, itself counted; both are averaged
    over items (Bagga & Baldwin, 1998; Amigó et al., 2009). Nothing to group is grouped perfectly.

    Raises:
        ValueError: the two are not equally long.
    """
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} items were grouped, {len(truth)} are known")
    if not truth:
        return BCubed(precision=1.0, recall=1.0, f1=1.0)
    both = Counter(zip(predicted, truth, strict=True))
    put, meant = Counter(predicted), Counter(truth)
    precision = sum(n * n / put[group] for (group, _), n in both.items()) / len(truth)
    recall = sum(n * n / meant[group] for (_, group), n in both.items()) / len(truth)
    return BCubed(
        precision=precision, recall=recall, f1=2 * precision * recall / (precision + recall)
    )


def read_groups(part: Part, path: Path = PARAPHRASES) -> list[Telling]:
    """Return the posts of a part of the paraphrase groups, group by group; shuffle them."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Telling(group=row["group"], kind=row["kind"], text=row["text"])
            for row in csv.DictReader(file)
            if row["part"] == part
        ]
