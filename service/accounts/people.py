"""Accounts as an administrator sees them: look, change the role, close, open, a new password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from service.accounts.access import ROLES, Right
from service.accounts.passwords import Password
from service.audit import trail as audit
from service.errors import LastAdmin, NotAllowed, NotFound
from service.tables import Account, ApiKey, AuditRow, SignIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account, and when it last did something: a page, a key's request or a sign-in."""

    account: Account
    last_seen: datetime | None


def list_people(
    session: Session, *, after: str | None = None, limit: int = 100
) -> Sequence[Person]:
    """Return accounts by name, from the name ``after`` on."""
    query = select(Account).order_by(Account.name).limit(limit)
    if after is not None:
        query = query.where(Account.name > after)
    return [
        Person(account=account, last_seen=_last_seen(session, account))
        for account in session.scalars(query)
    ]


def _last_seen(session: Session, account: Account) -> datetime | None:
    last_sign_in = (
        select(func.max(AuditRow.id))
        .where(AuditRow.subject == f"account:{account.name}", AuditRow.action == "sign-in")
        .scalar_subquery()
    )
    moments = (
        session.scalar(
            select(func.max(SignIn.last_seen_at)).where(SignIn.account_id == account.id)
        ),
        session.scalar(
            select(func.max(ApiKey.last_used_at)).where(ApiKey.account_id == account.id)
        ),
        session.scalar(select(AuditRow.at).where(AuditRow.id == last_sign_in)),
    )
    return max((moment for moment in moments if moment is not None), default=None)


def get_account(session: Session, number: int | None = None, name: str | None = None) -> Account:
    """Return an account by its number or its name, locked until the transaction ends.

    Raises:
        NotFound: there is none.
    """
    same = Account.name == name if number is None else Account.id == number
    account = session.scalar(select(Account).where(same).with_for_update())
    if account is None:
        raise NotFound(f"there is no account {name if number is None else number}")
    return account


def set_role(session: Session, account: Account, role: str, *, actor: str) -> None:
    """Give an account another role; it holds from its next request on, keys included.

    Raises:
        NotAllowed: there is no such role.
        LastAdmin: the account is the last one that can manage the desk.
    """
    if role not in ROLES:
        raise NotAllowed(f"there is no role “{role}”; there are {', '.join(ROLES)}")
    if role == account.role:
        return
    if Right.ADMINISTER not in ROLES[role]:
        _keep_an_admin(session, account)
    before, account.role = account.role, role
    audit.record(
        session,
        actor=actor,
        action="account.role",
        subject=f"account:{account.name}",
        role=role,
        before=before,
    )


def close(session: Session, account: Account, *, actor: str) -> None:
    """Close an account: its sessions end now and its keys stop working.

    Raises:
        LastAdmin: the account is the last one that can manage the desk.
    """
    if not account.active:
        return
    _keep_an_admin(session, account)
    account.active = False
    session.execute(delete(SignIn).where(SignIn.account_id == account.id))
    audit.record(session, actor=actor, action="account.close", subject=f"account:{account.name}")


def reopen(session: Session, account: Account, *, actor: str) -> None:
    """Open a closed account again; its keys work again too."""
    if account.active:
        return
    account.active = True
    audit.record(session, actor=actor, action="account.open", subject=f"account:{account.name}")


def reset_password(session: Session, account: Account, password: Password, *, actor: str) -> None:
    """Give an account a new password and end its sessions.

    Make ``password`` before the transaction: hashing takes long.
    """
    account.password_hash, account.must_change = password.hash, password.one_time
    session.execute(delete(SignIn).where(SignIn.account_id == account.id))
    audit.record(session, actor=actor, action="account.reset", subject=f"account:{account.name}")


def _keep_an_admin(session: Session, leaving: Account) -> None:
    """Let an account stop being an active admin if another one stays.

    The rows are locked, so that two admins cannot take each other's place away at one moment.
    """
    if not leaving.active or Right.ADMINISTER not in ROLES[leaving.role]:
        return
    admins = [role for role, rights in ROLES.items() if Right.ADMINISTER in rights]
    others = session.scalars(
        select(Account)
        .where(Account.role.in_(admins), Account.active)
        .order_by(Account.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if not any(other.id != leaving.id for other in others):
        raise LastAdmin(f"{leaving.name} is the last active admin; make another one first")
