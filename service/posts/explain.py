"""Which words raised a post's score: each is left out in turn, and the score taken again.

Occlusion (Zeiler & Fergus, 2014) needs nothing but the scorer itself. It shows what the model
reacted to; it proves nothing of the post.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.batcher import CHARS_PER_POST, Batcher

MOST_VARIANTS: Final = 64
MOST_CHARS: Final = 9000
"""Characters scored for one explanation: some 0.4 s on two idle cores, at 13,000 a second each."""
READ_CHARS: Final = 3000
"""A longer post is explained by its beginning."""
_WHOLE: Final = 600
"""A text up to this length is explained as a whole, a longer one by its riskiest passage."""
_PER_CALL: Final = 16
"""Variants a call: between two calls, other people's posts are scored."""
_NOTEWORTHY: Final = 0.1
_STRONG: Final = 0.5
Place = tuple[int, int]
_UNIT: Final = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Characters ``start`` to ``end`` of the text; ``weight``: how far they raise the log-odds
    of the risk. ``strong`` marks those that carry half as much as the strongest, or more.
    """

    start: int
    end: int
    weight: float
    strong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The spans that raised the risk, in the text's order; ``partial``: not all was looked at."""

    risk: float
    spans: tuple[Span, ...]
    partial: bool


def explain(text: str, batcher: Batcher) -> Explanation:
    """Return the words or short phrases of a text that raised its risk.

    Spans count characters (Unicode code points) of the text as given, and are cut at white space
    alone, so that no emoji or invisible sign is torn apart.

    Raises:
        Busy: too much is waiting to be scored.
    """
    read = text[:READ_CHARS]
    start, end = (0, len(read)) if len(read) <= _WHOLE else _riskiest(read, batcher)
    passage = read[start:end]
    left = MOST_CHARS if end - start == len(read) else MOST_CHARS - len(read)
    units = _phrases(passage, min(MOST_VARIANTS - 1, left // (len(passage) + CHARS_PER_POST)))
    variants = [passage, *(_without(passage, places) for places in units)]
    with_all, *without = _risks(variants, batcher)
    weights = [_log_odds(with_all) - _log_odds(risk) for risk in without]
    top = max(weights, default=0.0)
    spans = [
        Span(
            start=start + a, end=start + b, weight=round(weight, 3), strong=weight >= _STRONG * top
        )
        for places, weight in zip(units, weights, strict=True)
        if weight >= max(_NOTEWORTHY, 0.15 * top)
        for a, b in places
    ]
    spans.sort(key=lambda span: span.start)
    return Explanation(risk=with_all, spans=tuple(spans), partial=end - start < len(text))


def _riskiest(text: str, batcher: Batcher) -> tuple[int, int]:
    """Return where the passage stands that has the highest risk by itself."""
    passages: list[tuple[int, int]] = []
    for word in _UNIT.finditer(text):
        if passages and word.end() - passages[-1][0] <= _WHOLE // 2:
            passages[-1] = (passages[-1][0], word.end())
        else:
            passages.append((word.start(), word.end()))
    if not passages:
        return 0, len(text)
    risks = _risks([text[a:b] for a, b in passages], batcher)
    return passages[max(range(len(risks)), key=risks.__getitem__)]


def _phrases(text: str, most: int) -> list[list[Place]]:
    """Return the places of each word of a text, or of runs of words where there are too many.

    A word that comes again is left out everywhere at once, for any of its places alone would hide
    what the others do.
    """
    words = [(m.start(), m.end()) for m in _UNIT.finditer(text)]
    by_word: dict[str, list[Place]] = {}
    for a, b in words:
        by_word.setdefault(text[a:b].casefold(), []).append((a, b))
    if len(by_word) <= most:
        return list(by_word.values())
    size = math.ceil(len(words) / max(1, most))
    runs = [words[i : i + size] for i in range(0, len(words), size)]
    return [[(run[0][0], run[-1][1])] for run in runs]


def _without(text: str, places: Sequence[Place]) -> str:
    kept, at = [], 0
    for a, b in places:
        kept.append(text[at:a])
        at = b
    return "".join(kept) + text[at:]


def _risks(texts: Sequence[str], batcher: Batcher) -> list[float]:
    out: list[float] = []
    for i in range(0, len(texts), _PER_CALL):
        out += [score.risk for score, _ in batcher.score_and_embed(texts[i : i + _PER_CALL])]
    return out


def _log_odds(risk: float) -> float:
    kept = min(max(risk, 1e-4), 1 - 1e-4)
    return math.log(kept / (1 - kept))
