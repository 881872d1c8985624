"""The labels Lilin gives and the heads that carry them.

Terms follow Wardle & Derakhshan, *Information Disorder* (Council of Europe, 2017),
and First Draft's types of content; the line between hoax and disinformation follows
the Indonesian government's own use (fabricated and impostor content is a hoax).
"""

from __future__ import annotations

from typing import Final

LABELS: Final = ("hoax", "disinformation", "malinformation", "valid")
TECHNIQUES: Final = (
    "fabricated",
    "impostor",
    "misleading",
    "manipulated",
    "false_context",
    "false_connection",
)
HOAX_TECHNIQUES: Final = ("fabricated", "impostor")
TONES: Final = ("negative", "neutral", "positive")

HEADS: Final[dict[str, int]] = {
    "false": 1,
    "technique": len(TECHNIQUES),
    "malinformation": 1,
    "tone": len(TONES),
}
"""Head name to number of logits, in the order in which the network emits them."""

LOGITS: Final = sum(HEADS.values())


def head_slices() -> dict[str, slice]:
    """Return where each head's logits stand in a row of ``LOGITS`` logits."""
    slices: dict[str, slice] = {}
    start = 0
    for name, width in HEADS.items():
        slices[name] = slice(start, start + width)
        start += width
    return slices
