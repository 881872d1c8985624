"""A feed in chunks, and the scores of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.errors import FeedCutShort
from pipeline.memory import ScoreMemory, text_key
from pipeline.post import Post, Reject

if TYPE_CHECKING:
    from models.scorer import Score, Thresholds

CHUNK_ROWS: Final = 2_000
"""Rows after which work is put on the disk: some 20 s of a model that scores 100 posts/s."""
CHUNK_CHARACTERS: Final = 8 * 1024 * 1024
"""A chunk ends earlier when its rows hold this much, so that long posts stay bounded too."""
_SLICE_TEXTS: Final = 512
"""Texts given to the model at once: some seconds of work between two moves of the bar."""


class PostScorer(Protocol):
    """What the batch job needs of ``models.scorer.Scorer`` and ``models.fake.FakeScorer``."""

    @property
    def version(self) -> str:
        """Return what tells this model from every other."""

    @property
    def thresholds(self) -> Thresholds:
        """Return the risks at the review budgets."""

    def score(self, texts: Sequence[str]) -> Sequence[Score]:
        """Return the scores of the texts, in their order."""


def read_chunks(
    rows: Iterable[Post | Reject],
    *,
    chunk_rows: int = CHUNK_ROWS,
    chunk_characters: int = CHUNK_CHARACTERS,
) -> Iterator[list[Post | Reject]]:
    """Yield the rows in chunks bounded in rows and characters.

    Where a feed is cut short, the rows before come as a last chunk, and then the error.
    """
    chunk: list[Post | Reject] = []
    size = 0
    try:
        for row in rows:
            chunk.append(row)
            size += row.size
            if len(chunk) >= chunk_rows or size >= chunk_characters:
                yield chunk
                chunk, size = [], 0
    except FeedCutShort:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def score_chunk(
    posts: Sequence[Post],
    scorer: PostScorer,
    memory: ScoreMemory,
    tell: Callable[[int], None],
) -> tuple[list[tuple[Post, Score]], list[tuple[bytes, Score]]]:
    """Return posts with scores, and every different text's key with its score.

    ``tell`` is called with the number of posts done, while the model works.
    """
    keys = [text_key(post.text) for post in posts]
    scores: dict[bytes, Score] = {}
    unknown: dict[bytes, str] = {}
    for post, key in zip(posts, keys, strict=True):
        if key in scores or key in unknown:
            continue
        known = memory.find(key)
        if known is None:
            unknown[key] = post.text
        else:
            scores[key] = known
    # Texts of one length together cost the model the least padding; the sort is stable.
    order = sorted(unknown, key=lambda key: len(unknown[key]))
    for start in range(0, len(order), _SLICE_TEXTS):
        part = order[start : start + _SLICE_TEXTS]
        found = scorer.score([unknown[key] for key in part])
        scores.update(zip(part, found, strict=True))
        tell(len(posts) * min(start + _SLICE_TEXTS, len(order)) // len(order))
    scored = [(post, scores[key]) for post, key in zip(posts, keys, strict=True)]
    return scored, [(key, scores[key]) for key in dict.fromkeys(keys)]
