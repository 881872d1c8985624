"""A row of a feed as a post for the intake: what the columns say of it, in bounds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from pipeline.pii import mask
from pipeline.post import Post
from service.posts.intake import NewPost, platform_of
from service.web import storable

WIB: Final = timezone(timedelta(hours=7), "WIB")
"""Dates without a time zone are taken as Western Indonesian time."""
TEXT_TOO_LONG: Final = "teks lebih panjang dari {limit} karakter"
_FORMS: Final = (
    "%a %b %d %H:%M:%S %z %Y",  # Twitter
    "%a, %d %b %Y %H:%M:%S %z",  # RSS
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
)
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d")
_SECONDS: Final = re.compile(r"\d{9,10}(?:\.\d+)?|\d{12,13}")
_FIRST_YEAR: Final = 1990
_TWITTER_IDS: Final = frozenset({"id_str", "tweet_id"})


def source_of(feed_id: int, name: str) -> str:
    """Return what posts of a feed have as their source; numbers in the name are masked."""
    return f"feed:{feed_id} {mask(name)}"[:200]


def new_post(post: Post, source: str) -> NewPost:
    """Return the row for the intake; what does not fit its column is left out."""
    platform = platform_of(_short(post.platform, 40) or "")
    if not platform and not _TWITTER_IDS.isdisjoint(post.columns):
        platform = "x"
    url = _short(post.url, 2000)
    return NewPost(
        text=storable(post.text),
        platform=platform or "unknown",
        # A number counts only where it is known whose number it is: many feeds just count rows.
        external_id=_external_id(post) if platform else None,
        source=source,
        account=_short(post.account, 200),
        url=url if url and url.startswith(("http://", "https://")) else None,
        posted_at=moment(post.created_at),
        engagement=post.engagement,
    )


def _external_id(post: Post) -> str | None:
    number, chat = post.id, post.chat
    if number is not None and chat is not None:  # each chat counts its own messages from 1
        number = f"{chat}/{number}/{post.created_at or ''}"
    return _short(number, 200)


def _short(text: str | None, most: int) -> str | None:
    text = storable(text).strip() if text else None
    return text if text and len(text) <= most else None


def moment(text: str | None) -> datetime | None:
    """Return a date of a feed, None where it is none; without a time zone it is taken as WIB."""
    if text is None or len(text) > 40:
        return None
    found = _parse(text.strip())
    if found is None:
        return None
    if not _FIRST_YEAR <= found.year <= datetime.now(UTC).year + 1:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=WIB)).astimezone(UTC)


def _parse(text: str) -> datetime | None:
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    try:
        if _ISO.match(text):
            return datetime.fromisoformat(text)
    except ValueError:
        return None
    for form in _FORMS:
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is looked at later
        except ValueError:
            continue
        return found
    return None
