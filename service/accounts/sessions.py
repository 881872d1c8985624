"""Signing in and out: server-side sessions behind a random cookie.

The cookie holds 256 random bits and nothing else; the database holds their hash. A new token is
made at every sign-in and change of password, so that a token planted before is worth nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from service.accounts import access, limits
from service.accounts.access import ROLES, Caller
from service.audit import trail as audit
from service.errors import NotAllowed, NotSignedIn, TooOften
from service.tables import Account, SignIn

IDLE: Final = timedelta(hours=8)
"""A working day: who does nothing for so long is signed out."""
LONGEST: Final = timedelta(hours=24)
FAILURES: Final = 5
"""Wrong passwords per account in ``SPAN_S``; then even the right one has to wait. OWASP's
authentication cheat sheet names three to five."""
FAILURES_PER_ADDRESS: Final = 30
SPAN_S: Final = 300
_SEEN_EVERY: Final = timedelta(minutes=1)


def check_allowed(session: Session, name: str, address: str) -> None:
    """Let someone try to sign in.

    Raises:
        TooOften: there were too many wrong passwords for this account, or from this address.
    """
    by_name = limits.tally(session, f"sign-in:{name}", span_s=SPAN_S)
    by_address = limits.tally(session, f"sign-in-from:{address}", span_s=SPAN_S)
    if by_name >= FAILURES or by_address >= FAILURES_PER_ADDRESS:
        wait = limits.seconds_left(SPAN_S)
        raise TooOften(f"too many wrong passwords; try again in {wait} s", wait)


def note_failure(session: Session, name: str, address: str) -> None:
    """Count a wrong password and write it to the audit trail."""
    limits.add(session, f"sign-in:{name}", span_s=SPAN_S)
    limits.add(session, f"sign-in-from:{address}", span_s=SPAN_S)
    audit.record(session, actor="unknown", action="sign-in.failed", subject=f"account:{name[:80]}")


def sign_in(session: Session, account: Account) -> str:
    """Start a session of an account whose password was right, and return its token."""
    limits.clear(session, f"sign-in:{account.name}")
    session.execute(delete(SignIn).where(SignIn.expires_at <= datetime.now(UTC)))
    audit.record(session, actor=account.name, action="sign-in", subject=f"account:{account.name}")
    return _new_token(session, account)


def _new_token(session: Session, account: Account) -> str:
    token = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
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
    )


def is_stale(session: Session, token: str) -> bool:
    """Return whether ``note_seen`` has something to write."""
    row = _row(session, token)
    return row is not None and datetime.now(UTC) - row.last_seen_at > _SEEN_EVERY


def note_seen(session: Session, token: str) -> None:
    """Remember, to the minute, that a session is in use."""
    row = _row(session, token)
    now = datetime.now(UTC)
    if row is not None and now - row.last_seen_at > _SEEN_EVERY:
        row.last_seen_at = now


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


def change_password(session: Session, account: Account, old: str, new: str) -> str:
    """Set a new password, end every session of the account, and return a new token.

    Raises:
        NotSignedIn: the old password is wrong.
        NotAllowed: the new one is too short, or is the old one.
    """
    stored = access.check_password(session, account.name, old)
    if old == new:
        raise NotAllowed("the new password is the old one")
    access.set_password(stored, new)
    stored.must_change = False
    session.execute(delete(SignIn).where(SignIn.account_id == stored.id))
    audit.record(
        session,
        actor=stored.name,
        action="account.password",
        subject=f"account:{stored.name}",
    )
    return _new_token(session, stored)


def _row(session: Session, token: str) -> SignIn | None:
    return session.scalar(
        select(SignIn).where(SignIn.hash == _hash(token)).options(joinedload(SignIn.account))
    )


def _hash(token: str) -> str:
    # 256 random bits: no guessing gets through, so a quick hash does.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
