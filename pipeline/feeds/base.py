"""What every feed reader offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, ClassVar, Self

from pipeline.post import Post, Reject


class Feed(ABC):
    """A feed being read once, from its beginning to its end, in constant memory.

    Iterating yields a post or a reject for every row, in the order of the feed, always the
    same ones for the same bytes and options: a resumed run relies on it.
    """

    format: ClassVar[str]
    columns: tuple[str, ...] | None = None
    """The columns of every row, or None where each row brings its own (JSON)."""
    delimiter: str = ","
    had_bom: bool = False
    schema: Any = None
    """The Arrow schema of a Parquet feed."""
    skipped: int = 0
    """Entries passed over because they are no posts: service messages, media without text."""

    def __init__(self, name: str) -> None:
        """``name`` is how messages call the feed."""
        self.name = name

    @abstractmethod
    def __iter__(self) -> Iterator[Post | Reject]:
        """Yield every row; raises FeedCutShort where the feed breaks off."""

    @abstractmethod
    def progress(self) -> tuple[int, int | None]:
        """Return how much has been read and how much there is, in one unit; None: unknown."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
