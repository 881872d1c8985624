"""One post of a feed, and a row that could not become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id_str", "tweet_id", "post_id", "message_id", "id"),
    "created_at": (
        "created_at", "posted_at", "posted", "publish_date", "published_at", "timestamp", "date",
    ),
    "account": ("username", "screen_name", "account", "author", "user", "source"),
    "platform": ("platform", "channel"),
    "url": ("tweet_url", "post_url", "permalink", "url", "link"),
    "chat": ("chat", "chat_id"),
    "views": ("view_count", "views_count", "views", "play_count"),
    "likes": ("favorite_count", "like_count", "likes_count", "likes", "digg_count", "reactions"),
    "replies": ("reply_count", "replies_count", "replies", "comment_count", "comments_count"),
    "shares": ("retweet_count", "repost_count", "share_count", "retweets", "reposts", "shares"),
    "followers": ("followers_count", "follower_count", "followers"),
}  # fmt: skip
"""Column names by what they hold, the surest first: tweet-harvest, news-watch, our own feeds."""
_COUNTS: Final = ("views", "likes", "replies", "shares", "followers")
_MOST: Final = 10**12
"""No count of a post is larger; what is written so is no count."""


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

    @property
    def url(self) -> str | None:
        """Return where it stands on the web, as the feed writes it."""
        return self._find("url")

    @property
    def chat(self) -> str | None:
        """Return the chat or channel whose messages ``id`` counts."""
        return self._find("chat")

    @property
    def engagement(self) -> dict[str, int]:
        """Return the counts that the feed gives: views, likes, replies, shares, followers."""
        found = {role: _count(self._find(role)) for role in _COUNTS}
        return {role: count for role, count in found.items() if count is not None}

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


def _count(text: str | None) -> int | None:
    try:
        count = int(float(text or ""))
    except (ValueError, OverflowError):  # not a number, or none that is finite
        return None
    return count if 0 <= count <= _MOST else None


@lru_cache(maxsize=256)
def _role_index(columns: tuple[str, ...], role: str) -> int | None:
    names = [column.strip().lower() for column in columns]
    for wanted in _ROLES[role]:
        if wanted in names:
            return names.index(wanted)
    return None
