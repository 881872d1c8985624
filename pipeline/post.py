"""One post of a feed, and a row that could not become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id_str", "tweet_id", "post_id", "message_id", "id"),
    "created_at": ("created_at", "posted", "publish_date", "published_at", "timestamp", "date"),
    "account": ("username", "screen_name", "account", "author", "user", "source"),
    "platform": ("platform", "channel"),
}
"""Column names by what they hold, the surest first: tweet-harvest, news-watch, our own feeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A row of a feed that has a text.

    ``line`` counts from 1: the line on which the row begins (CSV, JSONL, chat), or the number of
    the row or message (Parquet, JSON documents). ``columns`` and ``values`` are the row as it
    stood; ``raw`` is its source line where the format writes one object per line.
    """

    line: int
    text: str
    columns: tuple[str, ...]
    values: Sequence[object]
    raw: str | None = None

    @property
    def size(self) -> int:
        """Return roughly how many characters the row holds in memory."""
        return len(self.text) + len(self.raw or "")

    @property
    def id(self) -> str | None:
        """Return the identifier that the feed gives the post."""
        return self._find("id")

    @property
    def created_at(self) -> str | None:
        """Return when it was posted, as the feed writes it (zone and form differ by feed)."""
        return self._find("created_at")

    @property
    def account(self) -> str | None:
        """Return the account that posted it, as the feed writes it."""
        return self._find("account")

    @property
    def platform(self) -> str | None:
        """Return the platform it was posted on."""
        return self._find("platform")

    def _find(self, role: str) -> str | None:
        index = _role_index(self.columns, role)
        value = None if index is None else self.values[index]
        return None if value is None or value == "" else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that was not scored: where it stands, which field is at fault, why, and the row."""

    line: int
    field: str
    reason: str
    row: str

    @property
    def size(self) -> int:
        """Return roughly how many characters the row holds in memory."""
        return len(self.row)


@lru_cache(maxsize=256)
def _role_index(columns: tuple[str, ...], role: str) -> int | None:
    names = [column.strip().lower() for column in columns]
    for wanted in _ROLES[role]:
        if wanted in names:
            return names.index(wanted)
    return None
