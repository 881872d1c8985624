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

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from service.accounts import passwords
from service.accounts.passwords import Password
from service.audit import trail as audit
from service.errors import (
    BadName,
    BadScopes,
    NameTaken,
    NotAllowed,
    NotFound,
    NotSignedIn,
)
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
_NAME: Final = re.compile(r"\w[\w.-]{1,79}")
_NOBODYS: Final = frozenset({"unknown", "system", "desk"})
"""Names that the audit trail uses for no account."""
_KEY: Final = re.compile(r"lilin_([0-9a-f]{8})_([\w-]{40,60})")
_NOTED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request: the account, how it showed itself, and its rights."""

    account: Account
    via: str
    rights: frozenset[Right]
    last_use: datetime | None = None
    """When the key or session was used before, as far as it was noted."""

    @property
    def use_is_stale(self) -> bool:
        """Whether this use is worth noting: it is kept to the minute."""
        return self.last_use is None or datetime.now(UTC) - self.last_use > _NOTED_EVERY

    def need(self, right: Right) -> None:
        """Let the caller pass.

        Raises:
            NotAllowed: the caller has not this right; the message says which.
        """
        if right not in self.rights:
            raise NotAllowed(f"this needs the right “{right.value}”, which {self.via} has not")


# --- accounts ----------------------------------------------------------------------------------


def create_account(
    session: Session, name: str, role: str, *, actor: str, password: Password | None = None
) -> tuple[Account, str]:
    """Make an account and return it with its password.

    Make ``password`` before the transaction (``passwords.one_time()``): hashing takes long. None:
    a one-time one is made here, which is fit for a command or a test.

    Raises:
        BadName, NameTaken, NotAllowed: the name or role will not do; the message says why.
    """
    if not _NAME.fullmatch(name) or name.lower() in _NOBODYS:
        raise BadName("a name has 2 to 80 letters, digits, dots or dashes, a letter first")
    if role not in ROLES:
        raise NotAllowed(f"there is no role “{role}”; there are {', '.join(ROLES)}")
    if session.scalar(select(Account).where(Account.name == name)) is not None:
        raise NameTaken(f"there is an account “{name}” already")
    given = password or passwords.one_time()
    account = Account(
        name=name,
        role=role,
        password_hash=given.hash,
        must_change=given.one_time,
        created_at=datetime.now(UTC),
    )
    session.add(account)
    session.flush()
    audit.record(
        session, actor=actor, action="account.create", subject=f"account:{name}", role=role
    )
    return account, given.text


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
        BadScopes: a scope does not exist, or is more than the account's role may.
    """
    unknown = set(scopes) - {r.value for r in Right}
    if unknown:
        raise BadScopes(
            f"there is no scope “{min(unknown)}”; there are {', '.join(r.value for r in Right)}"
        )
    beyond = {Right(s) for s in scopes} - ROLES[account.role]
    if beyond or not scopes:
        what = ", ".join(sorted(beyond)) or "nothing"
        raise BadScopes(f"a key of {account.name} ({account.role}) cannot allow {what}")
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
    """End a key at once; one that was revoked before stays so.

    Raises:
        NotFound: there is no such key.
    """
    key = session.scalar(select(ApiKey).where(ApiKey.prefix == prefix))
    if key is None:
        raise NotFound(f"there is no key {prefix}")
    if key.revoked_at is None:
        key.revoked_at = datetime.now(UTC)
        audit.record(session, actor=actor, action="key.revoke", subject=f"key:{prefix}")


def list_keys(session: Session, *, before: int | None = None, limit: int = 100) -> list[ApiKey]:
    """Return keys with their accounts, the newest first, from the row ``before`` on."""
    query = select(ApiKey).options(joinedload(ApiKey.account)).order_by(ApiKey.id.desc())
    if before is not None:
        query = query.where(ApiKey.id < before)
    return list(session.scalars(query.limit(limit)))


def key_state(key: ApiKey, now: datetime) -> str:
    """Return ``active``, ``revoked``, ``ended`` or ``closed`` (its account is)."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "ended"
    return "active" if key.account.active else "closed"


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
        last_use=row.last_used_at,
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
