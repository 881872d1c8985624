"""Signs of coordination in who posted what, and when; each is a sign and no more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from pipeline.spread.values import Sign

SAME_MINUTES: Final = 5.0
SAME_ACCOUNTS: Final = 4
"""Accounts with the same text within ``SAME_MINUTES`` that make a sign."""
MANY_POSTS: Final = 6
POSTS_AN_ACCOUNT: Final = 3.0
EVEN_POSTS: Final = 8
EVEN_SPREAD: Final = 0.1
"""Gaps whose standard deviation is at most so much of their mean are a clock's, not people's:
gaps of a Poisson process have 1."""
_LEAST_GAP_H: Final = 1 / 3600

Row = tuple[float, int, int]
"""Hours since a post (descending), its account, its text."""


def signs_of(rows: Sequence[Row]) -> tuple[Sign, ...]:
    """Return the signs seen among posts in order of time; only known accounts tell anything."""
    if len(rows) < SAME_ACCOUNTS:
        return ()
    found = (_same_text(rows), _few_accounts(rows), _even_gaps(rows))
    return tuple(sign for sign in found if sign is not None)


def _same_text(rows: Sequence[Row]) -> Sign | None:
    """Many accounts, the same text, the same minutes: the densest such window."""
    by_text: dict[int, list[tuple[float, int]]] = {}
    for age, account, text in rows:
        if account:
            by_text.setdefault(text, []).append((age, account))
    most = max(
        (_densest(posts) for posts in by_text.values() if len(posts) >= SAME_ACCOUNTS),
        default=(0, 0),
    )
    if most[0] < SAME_ACCOUNTS:
        return None
    return Sign(
        code="same_text_same_minutes",
        numbers={"accounts": most[0], "posts": most[1], "minutes": SAME_MINUTES},
    )


def _densest(posts: Sequence[tuple[float, int]]) -> tuple[int, int]:
    """Return the most accounts within ``SAME_MINUTES``, and the posts they then had."""
    inside: dict[int, int] = {}
    most, first = (0, 0), 0
    for i, (age, account) in enumerate(posts):
        inside[account] = inside.get(account, 0) + 1
        while posts[first][0] - age > SAME_MINUTES / 60:
            gone = posts[first][1]
            first += 1
            if inside[gone] == 1:
                del inside[gone]
            else:
                inside[gone] -= 1
        if len(inside) >= most[0]:
            most = max(most, (len(inside), i - first + 1))
    return most


def _few_accounts(rows: Sequence[Row]) -> Sign | None:
    """Few accounts that post again and again."""
    by_account = Counter(account for _, account, _ in rows if account)
    posts = sum(by_account.values())
    if posts < MANY_POSTS or 2 * posts < len(rows):
        return None
    accounts = len(by_account) + len(rows) - posts
    if len(rows) < POSTS_AN_ACCOUNT * accounts:
        return None
    return Sign(
        code="few_accounts_many_posts",
        numbers={"accounts": accounts, "posts": len(rows), "most": max(by_account.values())},
    )


def _even_gaps(rows: Sequence[Row]) -> Sign | None:
    """Posts that come by the clock."""
    if len(rows) < EVEN_POSTS:
        return None
    gaps = [before[0] - after[0] for before, after in pairwise(rows)]
    mean = sum(gaps) / len(gaps)
    most = EVEN_SPREAD * mean
    if mean < _LEAST_GAP_H or max(gaps) - mean > most * math.sqrt(len(gaps)):
        return None
    if sum((gap - mean) ** 2 for gap in gaps) > most**2 * len(gaps):
        return None
    return Sign(code="even_gaps", numbers={"posts": len(rows), "minutes": mean * 60})
