"""Which links may leave the desk: those that lead to a post and name no account or number."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pipeline.pii import mask

MOST_CHARS: Final = 2000
_STATUS: Final = re.compile(r"/[^/]+/status(?:es)?/(\d{1,25})(?:/|$)")
_X: Final = frozenset({"x.com", "twitter.com", "mobile.twitter.com"})
_POSTS: Final = {
    "instagram.com": re.compile(r"/(?:p|reel|tv)/[\w-]{1,40}/?"),
    "youtube.com": re.compile(r"/(?:watch|shorts/[\w-]{1,40}|live/[\w-]{1,40})/?"),
    "youtu.be": re.compile(r"/[\w-]{1,40}"),
    "facebook.com": re.compile(r"/(?:watch|reel/\d{1,25}|share/(?:[vpr]/)?[\w-]{1,40})/?"),
}
"""Paths that name a post alone, by host."""
_VIDEO: Final = re.compile(r"(?:^|&)v=([\w-]{1,40})(?:&|$)")
_SOCIAL: Final = frozenset(
    {
        *("instagram.com", "facebook.com", "fb.com", "fb.watch", "threads.net", "threads.com"),
        *("tiktok.com", "t.me", "telegram.me", "wa.me", "whatsapp.com", "youtube.com", "youtu.be"),
    }
)
_PRIVATE: Final = ("<TELP>", "<EMAIL>", "<NIK>", "@USER")


def shareable(url: str | None) -> str | None:
    """Return the link as it may leave the desk, or None; the desk's own page has the whole one.

    A link to a post on X is turned into one without the handle; of other social networks only the
    kinds that hold none pass; elsewhere, what holds no e-mail, telephone number or handle.
    """
    if not url or len(url) > MOST_CHARS or any(c.isspace() or not c.isprintable() for c in url):
        return None
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return None
    if host in _X:
        found = _STATUS.match(parts.path)
        return f"https://x.com/i/status/{found[1]}" if found else None
    if any(host == name or host.endswith(f".{name}") for name in _SOCIAL):
        pattern = _POSTS.get(host)
        if pattern is None or not pattern.fullmatch(parts.path):
            return None
        video = _VIDEO.search(parts.query)  # the rest of a query tells who shared it
        return f"https://{host}{parts.path}" + (f"?v={video[1]}" if video else "")
    masked = mask(url)
    return None if any(sign in masked for sign in _PRIVATE) else url
