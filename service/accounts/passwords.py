"""Passwords: made, judged and hashed (argon2id), a few at a time.

A hash takes some 50 ms of a core and 64 MiB. So it is never made inside a transaction that writes
nor on the event loop, and only ``AT_ONCE`` of them run together: a flood of sign-ins must not eat
the memory or the threads that serve everyone else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import BoundedSemaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service.errors import BadPassword, TooOften

MINIMUM: Final = 12
MAXIMUM: Final = 200
"""Characters; a longer one is more likely a mistake, or meant to keep the desk busy."""
DIFFERENT: Final = 5
"""Different characters that a password has at least: no aaaaaaaaaaaa."""
AT_ONCE: Final = 2
WAITING: Final = 8
"""Hashes that run or wait; whoever comes beyond is asked to come again."""
_hasher: Final = PasswordHasher()
_running: Final = BoundedSemaphore(AT_ONCE)
_line: Final = BoundedSemaphore(WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A new password and its hash, made before the transaction that stores it."""

    text: str = field(repr=False)
    hash: str = field(repr=False)
    one_time: bool


def one_time() -> Password:
    """Return a random password that its owner has to change at the first sign-in.

    Raises:
        TooOften: too many are being hashed at this moment.
    """
    text = secrets.token_urlsafe(12)
    return Password(text=text, hash=_hash(text), one_time=True)


def chosen(text: str, *, name: str = "") -> Password:
    """Return a password that a person chose for the account ``name``.

    Raises:
        BadPassword: it is too short, too long or too plain; the message says which.
        TooOften: too many are being hashed at this moment.
    """
    judge(text, name=name)
    return Password(text=text, hash=_hash(text), one_time=False)


def judge(text: str, *, name: str = "") -> None:
    """Let a password of the account ``name`` pass.

    Raises:
        BadPassword: it is too short, too long or too plain; the message says which.
    """
    if not MINIMUM <= len(text) <= MAXIMUM:
        raise BadPassword(f"a password has {MINIMUM} to {MAXIMUM} characters")
    if len(set(text)) < DIFFERENT or (name and name.lower() in text.lower()):
        raise BadPassword("this password is too easy to guess")


def matches(stored: str | None, text: str) -> bool:
    """Return whether a password belongs to a stored hash; None (no such account) takes as long.

    Raises:
        TooOften: too many are being checked at this moment.
    """
    # Asked for either way: the first unknown name must not take longer than the first known one.
    nobody = _nobody()
    with _turn():
        try:
            return _hasher.verify(stored or nobody, text) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False


def _hash(text: str) -> str:
    with _turn():
        return _hasher.hash(text)


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_hex(16))


@contextmanager
def _turn() -> Iterator[None]:
    if not _line.acquire(blocking=False):
        raise TooOften("too many people are signing in at this moment; try again in 2 s", 2)
    try:
        with _running:
            yield
    finally:
        _line.release()
