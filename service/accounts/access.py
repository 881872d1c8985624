"""Who may do what: accounts, roles, API keys. The one module that decides."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from service.audit import trail as audit
from service.errors import NotAllowed, NotFound, NotSignedIn
from service.tables import Account, ApiKey


class Right(StrEnum):
    """What can be allowed; an API key's scopes are rights too."""

    READ = "read"
    """See posts, queue and statistics."""
    SUBMIT = "submit"
    """Score and send posts and feeds."""
    MODERATE = "moderate"
    """Claim items and decide them."""
    SEE_PRIVATE = "see_private"
    """See account names and numbers that others see masked."""
    REOPEN = "reopen"
    """Put a decided item back into the queue."""
    ADMINISTER = "administer"
    """Manage accounts, keys and settings; read the audit trail."""


ROLES: Final[dict[str, frozenset[Right]]] = {
    "reader": frozenset({Right.READ}),
    "submitter": frozenset({Right.READ, Right.SUBMIT}),
    "moderator": frozenset({Right.READ, Right.SUBMIT, Right.MODERATE, Right.SEE_PRIVATE}),
    "analyst": frozenset(
        {Right.READ, Right.SUBMIT, Right.MODERATE, Right.SEE_PRIVATE, Right.REOPEN}
    ),
    "admin": frozenset(Right),
}
KEY_DAYS: Final = 365
MINIMUM_PASSWORD: Final = 12
_NAME: Final = re.compile(r"[\w.-]{2,80}")
_KEY: Final = re.compile(r"lilin_([0-9a-f]{8})_([\w-]{40,60})")
_LAST_USED_EVERY: Final = timedelta(minutes=1)
_hasher: Final = PasswordHasher()
_NOBODY: Final = _hasher.hash(secrets.token_hex(16))
"""Checked when there is no such account, so that the answer takes as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request: the account, how it showed itself, and its rights."""

    account: Account
    via: str
    rights: frozenset[Right]

    def need(self, right: Right) -> None:
        """Let the caller pass.

        Raises:
            NotAllowed: the caller has not this right; the message says which.
        """
        if right not in self.rights:
            raise NotAllowed(f"this needs the right “{right.value}”, which {self.via} has not")


# --- accounts ----------------------------------------------------------------------------------


def create_account(
    session: Session, name: str, role: str, *, actor: str, password: str | None = None
) -> tuple[Account, str]:
    """Make an account and return it with its password (a random one-time one by default).

    Raises:
        NotAllowed: the name, role or password will not do; the message says why.
    """
    if not _NAME.fullmatch(name):
        raise NotAllowed("a name has 2 to 80 letters, digits, dots or dashes")
    if role not in ROLES:
        raise NotAllowed(f"there is no role “{role}”; there are {', '.join(ROLES)}")
    if session.scalar(select(Account).where(Account.name == name)) is not None:
        raise NotAllowed(f"there is an account “{name}” already")
    given = password if password is not None else secrets.token_urlsafe(12)
    account = Account(
        name=name,
        role=role,
        password_hash=_hashed(given),
        must_change=password is None,
        created_at=datetime.now(UTC),
    )
    session.add(account)
    session.flush()
    audit.record(
        session, actor=actor, action="account.create", subject=f"account:{name}", role=role
    )
    return account, given


def set_password(account: Account, password: str) -> None:
    """Give an account another password.

    Raises:
        NotAllowed: it is too short.
    """
    account.password_hash = _hashed(password)


def _hashed(password: str) -> str:
    if len(password) < MINIMUM_PASSWORD:
        raise NotAllowed(f"a password has {MINIMUM_PASSWORD} characters or more")
    return _hasher.hash(password)


def check_password(session: Session, name: str, password: str) -> Account:
    """Return the account that name and password belong to.

    Raises:
        NotSignedIn: they belong to none; nothing tells which of the two was wrong.
    """
    account = session.scalar(select(Account).where(Account.name == name, Account.active))
    try:
        _hasher.verify(account.password_hash if account else _NOBODY, password)
    except (VerificationError, InvalidHashError):
        account = None
    if account is None:
        raise NotSignedIn("the name or the password is not right")
    if _hasher.check_needs_rehash(account.password_hash):
        account.password_hash = _hasher.hash(password)
    return account


# --- keys --------------------------------------------------------------------------------------


def create_key(
    session: Session,
    account: Account,
    name: str,
    scopes: Collection[str],
    *,
    actor: str,
    days: int = KEY_DAYS,
) -> str:
    """Make an API key of an account and return it; it cannot be shown again.

    Raises:
        NotAllowed: a scope does not exist, or is more than the account's role may.
    """
    unknown = set(scopes) - {r.value for r in Right}
    if unknown:
        raise NotAllowed(
            f"there is no scope “{min(unknown)}”; there are {', '.join(r.value for r in Right)}"
        )
    beyond = {Right(s) for s in scopes} - ROLES[account.role]
    if beyond or not scopes:
        what = ", ".join(sorted(beyond)) or "nothing"
        raise NotAllowed(f"a key of {account.name} ({account.role}) cannot allow {what}")
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    key = f"lilin_{prefix}_{secret}"
    now = datetime.now(UTC)
    session.add(
        ApiKey(
            name=name,
            prefix=prefix,
            hash=_key_hash(key),
            scopes=sorted(scopes),
            account_id=account.id,
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    session.flush()
    audit.record(
        session,
        actor=actor,
        action="key.create",
        subject=f"key:{prefix}",
        account=account.name,
        scopes=sorted(scopes),
        days=days,
    )
    return key


def _key_hash(key: str) -> str:
    # A key has 256 random bits: no guessing gets through it, so a quick hash does.
    return hashlib.sha256(key.encode()).hexdigest()


def revoke_key(session: Session, prefix: str, *, actor: str) -> None:
    """End a key at once.

    Raises:
        NotFound: there is no such key.
    """
    key = session.scalar(select(ApiKey).where(ApiKey.prefix == prefix))
    if key is None:
        raise NotFound(f"there is no key {prefix}")
    key.revoked_at = key.revoked_at or datetime.now(UTC)
    audit.record(session, actor=actor, action="key.revoke", subject=f"key:{prefix}")


def caller_of_key(session: Session, key: str) -> Caller:
    """Return the caller behind an API key, with the rights that key and role both give.

    Raises:
        NotSignedIn: the key is unknown, ended or revoked, or its account is not active.
    """
    row = _key_row(session, key)
    if row is None or not hmac.compare_digest(row.hash, _key_hash(key)):
        raise NotSignedIn("there is no such API key")
    now = datetime.now(UTC)
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        raise NotSignedIn("this API key has ended; ask the desk's administrator for another")
    if not row.account.active:
        raise NotSignedIn("the account of this API key is closed")
    return Caller(
        account=row.account,
        via=f"key {row.prefix}",
        rights=ROLES[row.account.role] & {Right(s) for s in row.scopes},
    )


def use_is_stale(session: Session, key: str) -> bool:
    """Return whether ``note_use`` has something to write: the time of use is kept to the minute."""
    row = _key_row(session, key)
    now = datetime.now(UTC)
    return row is not None and (
        row.last_used_at is None or now - row.last_used_at > _LAST_USED_EVERY
    )


def note_use(session: Session, key: str) -> None:
    """Remember that a key was used."""
    row = _key_row(session, key)
    if row is not None:
        row.last_used_at = datetime.now(UTC)


def _key_row(session: Session, key: str) -> ApiKey | None:
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    return session.scalar(
        select(ApiKey).where(ApiKey.prefix == found[1]).options(joinedload(ApiKey.account))
    )
