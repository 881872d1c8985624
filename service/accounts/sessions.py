"""Signing in and out: server-side sessions behind a random cookie.

The cookie holds 256 random bits and nothing else; the database holds their hash. A new token is
made at every sign-in and change of password, so that a token planted before is worth nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from service.accounts import limits, passwords
from service.accounts.access import ROLES, Caller
from service.audit import trail as audit
from service.database import Database
from service.errors import BadPassword, NotSignedIn, TooOften, WrongPassword
from service.tables import Account, SignIn

IDLE: Final = timedelta(hours=8)
"""A working day: who does nothing for so long is signed out."""
LONGEST: Final = timedelta(hours=24)
TRIES: Final = 5
"""Wrong passwords for one account from one address; then even the right one has to wait. OWASP's
authentication cheat sheet names three to five."""
TRIES_FROM_ANYWHERE: Final = 20
"""The same from all addresses together: with four addresses nobody can be kept out for long, and
with a thousand nobody gets more guesses."""
TRIES_OF_ADDRESS: Final = 30
"""Wrong passwords from one address, for whatever account: an office behind one address has room
for slips."""
SPAN_S: Final = 150
"""A try counts in its span and in the next one: for 2.5 to 5 minutes."""


def sign_in(
    database: Database, name: str, password: str, *, address: str, old_token: str | None = None
) -> tuple[str, Account]:
    """Start a session, and return its token and the account.

    Three short transactions with the hashing between them: the try is counted (so that a hundred
    at one moment are a hundred tries), the password is checked, the outcome is written. A wrong
    password stays counted and on record. ``old_token``, whatever the browser held, is ended.

    Raises:
        TooOften: too many tries for this account, or from this address.
        NotSignedIn: name and password belong to no open account; nothing tells which was wrong.
    """
    counts = _counts(name, address)
    _count_try(database, counts)
    with database.read() as session:
        found = session.scalar(select(Account).where(Account.name == name))
    right = passwords.matches(found.password_hash if found else None, password)
    with database.write() as session:
        account = found and session.get(Account, found.id, with_for_update=True)
        # What was checked must still hold: the password may have been reset meanwhile.
        if (
            not right
            or account is None
            or found is None
            or not account.active
            or account.password_hash != found.password_hash
        ):
            # What was typed as a name may be a password: only the names of accounts are kept.
            known = f"account:{found.name}" if found else "account"
            audit.record(
                session, actor="unknown", action="sign-in.failed", subject=known, address=address
            )
            token = None
        else:
            _forgive(session, counts)
            if old_token is not None:
                session.execute(delete(SignIn).where(SignIn.hash == _hash(old_token)))
            limits.drop_old(session)
            subject = f"account:{account.name}"
            audit.record(session, actor=account.name, action="sign-in", subject=subject)
            token = start(session, account)
    if token is None or account is None:
        raise NotSignedIn("the name or the password is not right")
    return token, account


def _counts(name: str, address: str) -> tuple[tuple[str, int], ...]:
    """Return the tallies of a try and how far each may go; the name is hashed to a fixed width."""
    short = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]
    return (
        (f"sign-in:{short}:{address}", TRIES),
        (f"sign-in:{short}", TRIES_FROM_ANYWHERE),
        (f"sign-in-from:{address}", TRIES_OF_ADDRESS),
    )


def _count_try(database: Database, counts: Sequence[tuple[str, int]]) -> None:
    now = time.time()
    # Who is over the limit is turned away by reading alone: a flood must not become writes.
    with database.read() as session:
        before = {
            key: limits.tally(session, key, span_s=SPAN_S, now=now - SPAN_S) for key, _ in counts
        }
        running = {key: limits.tally(session, key, span_s=SPAN_S, now=now) for key, _ in counts}
    if all(before[key] + running[key] < most for key, most in counts):
        with database.write() as session:
            running = {key: limits.add(session, key, span_s=SPAN_S, now=now) for key, _ in counts}
        if all(before[key] + running[key] <= most for key, most in counts):
            return
    wait = limits.seconds_left(SPAN_S, now)
    if any(running[key] >= most for key, most in counts):
        wait += SPAN_S
    raise TooOften(f"too many wrong passwords; try again in {wait} s", wait)


def _forgive(session: Session, counts: Sequence[tuple[str, int]]) -> None:
    """Take a right password's try back, and the wrong ones of its account from here."""
    (here, _), *others = counts
    limits.clear(session, here)
    for key, _ in others:
        limits.add(session, key, span_s=SPAN_S, amount=-1)


def start(session: Session, account: Account) -> str:
    """Start a session of an account, and return its token, which is kept nowhere."""
    token = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    session.execute(delete(SignIn).where(SignIn.expires_at <= now))
    session.add(
        SignIn(
            hash=_hash(token),
            account_id=account.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + LONGEST,
        )
    )
    session.flush()
    return token


def caller_of_token(session: Session, token: str) -> Caller:
    """Return who is signed in with a token.

    Raises:
        NotSignedIn: the token is unknown or has ended, or the account is closed.
    """
    row = _row(session, token)
    now = datetime.now(UTC)
    if row is None or row.expires_at <= now or row.last_seen_at + IDLE <= now:
        raise NotSignedIn("sign in first")
    if not row.account.active:
        raise NotSignedIn("this account is closed")
    return Caller(
        account=row.account,
        via=f"account {row.account.name}",
        rights=ROLES[row.account.role],
        last_use=row.last_seen_at,
    )


def holding(session: Session, tokens: Collection[str], *, now: datetime) -> set[str]:
    """Return those of the tokens whose sessions have not ended."""
    by_hash = {_hash(token): token for token in tokens}
    found = session.scalars(
        select(SignIn.hash)
        .join(SignIn.account)
        .where(
            SignIn.hash.in_(by_hash),
            SignIn.expires_at > now,
            SignIn.last_seen_at > now - IDLE,
            Account.active,
        )
    )
    return {by_hash[hashed] for hashed in found}


def note_seen(session: Session, token: str) -> None:
    """Remember that a session is in use."""
    row = _row(session, token)
    if row is not None:
        row.last_seen_at = datetime.now(UTC)


def sign_out(session: Session, token: str) -> None:
    """End a session."""
    row = _row(session, token)
    if row is not None:
        audit.record(
            session,
            actor=row.account.name,
            action="sign-out",
            subject=f"account:{row.account.name}",
        )
        session.delete(row)


def change_password(database: Database, account: Account, old: str, new: str) -> str:
    """Set a new password, end every session of the account, and return a new token.

    Raises:
        TooOften: too many wrong old passwords.
        WrongPassword: the old password is wrong.
        BadPassword: the new one is too short or too plain, or is the old one.
        NotSignedIn: the account was closed, or its password changed, at this moment.
    """
    passwords.judge(new, name=account.name)
    if old == new:
        raise BadPassword("the new password is the old one")
    counts = ((f"password:{account.id}", TRIES),)
    _count_try(database, counts)
    subject = f"account:{account.name}"
    with database.read() as session:
        stored = session.get_one(Account, account.id).password_hash
    if not passwords.matches(stored, old):
        with database.write() as session:
            audit.record(
                session, actor=account.name, action="account.password_failed", subject=subject
            )
        raise WrongPassword("the old password is not right")
    made = passwords.chosen(new, name=account.name)
    with database.write() as session:
        row = session.get_one(Account, account.id, with_for_update=True)
        if not row.active or row.password_hash != stored:
            raise NotSignedIn("sign in first")
        row.password_hash, row.must_change = made.hash, False
        limits.clear(session, counts[0][0])
        session.execute(delete(SignIn).where(SignIn.account_id == row.id))
        audit.record(session, actor=row.name, action="account.password", subject=subject)
        return start(session, row)


def _row(session: Session, token: str) -> SignIn | None:
    return session.scalar(
        select(SignIn).where(SignIn.hash == _hash(token)).options(joinedload(SignIn.account))
    )


def _hash(token: str) -> str:
    # 256 random bits: no guessing gets through, so a quick hash does.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
