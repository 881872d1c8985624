"""What a caller may read: whole for those who may see private data, masked for all others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pipeline.pii import mask
from service.accounts.access import Caller, Right
from service.errors import PrivateSearch

_DIGITS: Final = re.compile(r"\d+")
_YEAR: Final = re.compile(r"(19|20)\d\d")
_SHORT: Final = 2
_MOST_DIGITS: Final = 4


def sees_private(caller: Caller) -> bool:
    """Return whether the caller sees account names, numbers and links as they came."""
    return Right.SEE_PRIVATE in caller.rights


def readable(text: str, caller: Caller) -> str:
    """Return a text as the caller may read it."""
    return text if sees_private(caller) else mask(text)


def readable_links(links: Sequence[str], caller: Caller) -> list[str]:
    """Return links as the caller may read them: profiles and numbers in them are masked."""
    return [readable(link, caller) for link in links]


def check_search(words: str | None, caller: Caller) -> None:
    """Let a search for words pass.

    A hit tells that the words stand in a post, also where the caller sees a mask in their place:
    with four digits at a time a telephone number could be had bit by bit. So who sees numbers and
    handles masked may search for years and numbers of two digits, and for no handle.

    Raises:
        PrivateSearch: the words could tell what the mask hides.
    """
    if not words or sees_private(caller):
        return
    runs = _DIGITS.findall(words)
    short = all(len(run) <= _SHORT or _YEAR.fullmatch(run) for run in runs)
    if "@" in words or not short or sum(map(len, runs)) > _MOST_DIGITS or mask(words) != words:
        raise PrivateSearch("searching for numbers or accounts needs the right “see_private”")
