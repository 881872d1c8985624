"""The queue: the worst first, one person per item, undo for everything.

An item goes new → claimed → decided, and back by ``undo`` or ``reopen``. A claim is a lease: when
it ends, the item is anyone's again, whatever became of the one who took it. Some items want a
second, blind verdict; where two people disagree the item is reopened for a third.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from pipeline.pii import mask
from service.accounts import access
from service.accounts.access import Right
from service.audit import trail as audit
from service.errors import NotFound, NothingToUndo, NotYours, Taken
from service.queue import repository
from service.queue.repository import Filters
from service.tables import Account, QueueItem, Review, State, StoredPost, Verdict

_LN2: Final = math.log(2)
_EPOCH: Final = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRules:
    """The desk's settings for its queue."""

    threshold: float
    """Posts with this risk or more are queued."""
    half_life_hours: float = 12.0
    """After so long an item counts half: what spreads now goes before what has spread."""
    reach_exponent: float = 0.5
    """How much expected reach counts; 1 would let a harmless viral post hide every candle."""
    claim_minutes: float = 10.0
    hours_to_decide: float = 4.0
    second_review_share: float = 0.05
    """Share of the items that get a second, blind verdict."""
    second_review_labels: tuple[str, ...] = ("malinformation",)
    """Labels whose items always do."""

    def reviews_for(self, post: StoredPost) -> int:
        """Return how many verdicts a post wants; the share is drawn by the post's key."""
        if post.label in self.second_review_labels:
            return 2
        drawn = int.from_bytes(hashlib.sha256(f"review{post.key}".encode()).digest()[:4], "big")
        return 2 if drawn / 2**32 < self.second_review_share else 1


def priority(risk: float, reach: int, first_seen: datetime, rules: QueueRules) -> float:
    """Return what the queue is sorted by.

    ``ln(risk · reach^e · 2^(-age / half-life))`` without the part that is the same for all items
    at any moment: every item ages alike, so their order, and the stored number, stay as they are.
    """
    hours = (first_seen - _EPOCH).total_seconds() / 3600
    return (
        math.log(max(risk, 1e-6))
        + rules.reach_exponent * math.log(max(reach, 1))
        + hours * _LN2 / rules.half_life_hours
    )


# --- claims ------------------------------------------------------------------------------------


def effective_state(item: QueueItem, now: datetime) -> State:
    """Return the state a person sees: a claim that ran out is none."""
    if item.state == State.CLAIMED and item.claim_until is not None and item.claim_until <= now:
        return _open_state(item)
    return State(item.state)


def claim(session: Session, item_id: int, account: Account, rules: QueueRules) -> QueueItem:
    """Take an item for ``rules.claim_minutes``; taking one's own again renews the lease.

    Raises:
        NotFound: there is no such item.
        Taken: it is decided, someone else holds it, or the account has reviewed it already.
    """
    return _claimed(session, _locked(session, item_id), account, rules)


def _claimed(session: Session, item: QueueItem, account: Account, rules: QueueRules) -> QueueItem:
    now = datetime.now(UTC)
    if not item.open:
        raise Taken("the item is decided; undo or reopen it first")
    mine = item.assignee_id == account.id
    if effective_state(item, now) is State.CLAIMED and not mine:
        holder = item.assignee.name if item.assignee else "someone"
        raise Taken(f"{holder} is working on it until {item.claim_until:%H:%M} UTC")
    if any(r.account_id == account.id and r.undone_at is None for r in item.reviews):
        raise Taken("you have given your verdict; a second person has to give theirs")
    _hold(item, account.id, now, rules)
    audit.record(session, actor=account.name, action="queue.claim", subject=f"item:{item.id}")
    return item


def claim_next(session: Session, account: Account, rules: QueueRules) -> QueueItem | None:
    """Take the item of the highest priority that nobody holds; None: there is none."""
    now = datetime.now(UTC)
    query = (
        repository.matches(Filters(), account.id, now)
        .where(or_(QueueItem.state != State.CLAIMED, QueueItem.claim_until <= now))
        .order_by(QueueItem.priority.desc(), QueueItem.id.desc())
        .limit(1)
        .with_for_update(skip_locked=True, of=QueueItem)
    )
    item = session.scalars(query).first()
    if item is None:
        return None
    _hold(item, account.id, now, rules)
    audit.record(session, actor=account.name, action="queue.claim", subject=f"item:{item.id}")
    return item


def release(session: Session, item_id: int, account: Account) -> QueueItem:
    """Give a claimed item back to the queue.

    Raises:
        NotFound: there is no such item.
        NotYours: the account does not hold it.
    """
    item = _held(session, item_id, account)
    _let_go(item)
    audit.record(session, actor=account.name, action="queue.release", subject=f"item:{item.id}")
    return item


def hand_over(
    session: Session, item_id: int, account: Account, to: Account, rules: QueueRules
) -> QueueItem:
    """Give a claimed item to another person, with a lease of its own.

    Raises:
        NotFound: there is no such item, or the other is no moderator.
        NotYours: the account does not hold it, or the other has given a verdict on it.
    """
    item = _held(session, item_id, account)
    if not to.active or Right.MODERATE not in access.ROLES[to.role]:
        raise NotFound(f"there is no moderator “{to.name}”")
    if any(r.account_id == to.id and r.undone_at is None for r in item.reviews):
        raise NotYours(f"{to.name} has given a verdict on it already")
    _hold(item, to.id, datetime.now(UTC), rules)
    audit.record(
        session, actor=account.name, action="queue.hand_over", subject=f"item:{item.id}", to=to.name
    )
    return item


# --- verdicts ----------------------------------------------------------------------------------


def decide(
    session: Session,
    item_id: int,
    account: Account,
    verdict: Verdict,
    *,
    note: str = "",
    evidence: Sequence[str] = (),
) -> QueueItem:
    """Give a verdict on an item that the account holds.

    ``needs_more`` and the first of two verdicts leave the item open, for someone else. Two
    verdicts that agree decide it; two that do not reopen it for a third, whose word counts.

    Raises:
        NotFound: there is no such item.
        NotYours: the account does not hold it, or its lease has ended.
    """
    now = datetime.now(UTC)
    item = _held(session, item_id, account)
    review = Review(
        item_id=item.id,
        account_id=account.id,
        verdict=verdict,
        note=note,
        evidence=list(evidence),
        claimed_at=item.claimed_at,
        decided_at=now,
    )
    item.reviews.append(review)
    _let_go(item)
    item.verdict = _settled(item)
    if item.verdict is not None:
        item.state, item.open, item.decided_at = State.DECIDED, False, now
    audit.record(
        session,
        actor=account.name,
        action="queue.verdict",
        subject=f"item:{item.id}",
        verdict=verdict.value,
        state=State(item.state).value,
    )
    return item


def take(session: Session, item_id: int, account: Account, rules: QueueRules) -> QueueItem:
    """Return an item that the account holds, claimed now if it was free.

    Raises:
        NotFound: there is no such item.
        Taken: see ``claim``.
    """
    item = _locked(session, item_id)
    mine = item.assignee_id == account.id
    if mine and effective_state(item, datetime.now(UTC)) is State.CLAIMED:
        return item
    return _claimed(session, item, account, rules)


def _standing(item: QueueItem) -> list[Verdict]:
    return [Verdict(r.verdict) for r in item.reviews if r.undone_at is None]


def _settled(item: QueueItem) -> Verdict | None:
    """Return what the standing verdicts come to, None while they come to nothing."""
    if item.golden is not None:
        return None  # it stays open for everyone's verdict
    firm = [v for v in _standing(item) if v is not Verdict.NEEDS_MORE]
    if len(firm) < item.reviews_wanted:
        return None
    if item.reviews_wanted == 1 or len(firm) > item.reviews_wanted:
        return firm[-1]
    return firm[0] if len(set(firm)) == 1 else None


def _open_state(item: QueueItem) -> State:
    """Return the state of an open item that nobody holds."""
    given = _standing(item)
    if item.golden is not None:
        return State.NEW  # nothing tells that the answer is known
    asked = Verdict.NEEDS_MORE in given or len(given) >= item.reviews_wanted
    return State.REOPENED if asked else State.NEW


def reopen(session: Session, item_id: int, account: Account, why: str) -> QueueItem:
    """Put a decided item back into the queue; its next verdict counts.

    Raises:
        NotFound: there is no such item.
        Taken: it is open.
    """
    item = _locked(session, item_id)
    if item.open:
        raise Taken("the item is open already")
    _open_again(item)
    # The trail is kept for ever: what a person typed goes in without numbers and handles.
    audit.record(
        session, actor=account.name, action="queue.reopen", subject=f"item:{item.id}", why=mask(why)
    )
    return item


def undo(session: Session, account: Account, item_id: int | None = None) -> QueueItem:
    """Take the account's last verdict back (or the one on ``item_id``); the item is open again.

    Raises:
        NothingToUndo: there is no verdict of this account to take back.
    """
    query = (
        select(Review)
        .where(Review.account_id == account.id, Review.undone_at.is_(None))
        .order_by(Review.id.desc())
        .limit(1)
    )
    if item_id is not None:
        query = query.where(Review.item_id == item_id)
    review = session.scalars(query).first()
    if review is None:
        raise NothingToUndo("there is no verdict of yours to take back")
    item = _locked(session, review.item_id)
    review.undone_at = now = datetime.now(UTC)
    # An item that was reopened stays open, and a golden item's end is not its verdicts' to undo.
    if not item.open and item.golden is None:
        item.verdict = _settled(item)
        if item.verdict is None:
            item.open, item.decided_at = True, None
    if item.open and effective_state(item, now) is not State.CLAIMED:
        _let_go(item)
    audit.record(
        session,
        actor=account.name,
        action="queue.undo",
        subject=f"item:{item.id}",
        verdict=Verdict(review.verdict).value,
    )
    return item


# --- golden items ------------------------------------------------------------------------------


def make_golden(session: Session, item_id: int, account: Account, rules: QueueRules) -> QueueItem:
    """Make a decided item one that checks the desk itself: its verdict is the known answer.

    It comes into the queue anew, as if it had just been seen, and stays there until
    ``end_golden``, for one verdict of each person who has not given one on it.

    Raises:
        NotFound: there is no such item.
        Taken: it is not decided, or its verdict answers nothing.
    """
    item = _locked(session, item_id)
    if item.open or item.verdict is None or item.verdict == Verdict.NEEDS_MORE:
        raise Taken("decide the item first; its verdict becomes the known answer")
    now = datetime.now(UTC)
    item.golden = item.verdict
    _open_again(item)
    item.first_seen_at, item.due_at = now, now + timedelta(hours=rules.hours_to_decide)
    item.priority = priority(item.post.risk, item.post.reach, now, rules)
    audit.record(
        session,
        actor=account.name,
        action="queue.golden",
        subject=f"item:{item.id}",
        answer=Verdict(item.golden).value,
    )
    return item


def end_golden(session: Session, item_id: int, account: Account) -> QueueItem:
    """Take a golden item out of the queue; it is decided with its known answer.

    Raises:
        NotFound: there is no such item.
        Taken: it is not golden, or not open.
    """
    item = _locked(session, item_id)
    if item.golden is None or not item.open:
        raise Taken("the item is no golden one in the queue")
    _let_go(item)
    item.open, item.state = False, State.DECIDED
    item.verdict, item.decided_at = item.golden, datetime.now(UTC)
    audit.record(session, actor=account.name, action="queue.golden_end", subject=f"item:{item.id}")
    return item


class Golden(NamedTuple):
    """How often a moderator found the known answer: verdicts on golden items, and right ones."""

    name: str
    items: int
    right: int


def golden_agreement(session: Session) -> list[Golden]:
    """Return each moderator's agreement with the known answers, by name.

    For analysts and admins, to see where the guide is unclear. Counted is what was decided since
    the item became golden; "needs more" is no answer and does not count.
    """
    rows = session.execute(
        select(
            Account.name,
            func.count(),
            func.sum(case((Review.verdict == QueueItem.golden, 1), else_=0)),
        )
        .select_from(Review)
        .join(Review.item)
        .join(Review.account)
        .where(
            QueueItem.golden.is_not(None),
            Review.undone_at.is_(None),
            Review.verdict != Verdict.NEEDS_MORE,
            Review.decided_at > QueueItem.first_seen_at,
        )
        .group_by(Account.name)
        .order_by(Account.name)
    )
    return [Golden(name, int(items), int(right)) for name, items, right in rows]


# --- agreement ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two blind verdicts agree: pairs, share alike, Cohen's kappa (None: undefined)."""

    pairs: int
    alike: float
    kappa: float | None


def agreement(session: Session) -> Agreement:
    """Return the agreement of first and second verdicts over all items that have two.

    Cohen (1960): how much more two people agree than chance would have them.
    """
    standing = (
        select(Review)
        .join(Review.item)
        .where(Review.undone_at.is_(None), QueueItem.reviews_wanted >= 2)
        .order_by(Review.item_id, Review.id)
    )
    by_item: dict[int, list[str]] = {}
    for review in session.scalars(standing):
        if review.verdict != Verdict.NEEDS_MORE:
            by_item.setdefault(review.item_id, []).append(str(review.verdict))
    return cohen_kappa([(v[0], v[1]) for v in by_item.values() if len(v) >= 2])


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Return Cohen's kappa of pairs of verdicts."""
    n = len(pairs)
    if not n:
        return Agreement(pairs=0, alike=0.0, kappa=None)
    alike = sum(a == b for a, b in pairs) / n
    names = {v for pair in pairs for v in pair}
    chance = sum(
        (sum(a == v for a, _ in pairs) / n) * (sum(b == v for _, b in pairs) / n) for v in names
    )
    kappa = None if chance >= 1.0 else (alike - chance) / (1.0 - chance)
    return Agreement(pairs=n, alike=alike, kappa=kappa)


# --- within ------------------------------------------------------------------------------------


def _locked(session: Session, item_id: int) -> QueueItem:
    item = session.scalars(
        select(QueueItem).where(QueueItem.id == item_id).with_for_update(of=QueueItem)
    ).first()
    if item is None:
        raise NotFound(f"there is no item {item_id} in the queue")
    return item


def _held(session: Session, item_id: int, account: Account) -> QueueItem:
    item = _locked(session, item_id)
    if item.assignee_id != account.id:
        raise NotYours("claim the item first")
    if effective_state(item, datetime.now(UTC)) is not State.CLAIMED:
        raise NotYours("your claim has ended; claim the item again")
    return item


def _hold(item: QueueItem, account_id: int, now: datetime, rules: QueueRules) -> None:
    item.state = State.CLAIMED
    item.assignee_id = account_id
    item.claimed_at = now
    item.claim_until = now + timedelta(minutes=rules.claim_minutes)


def _open_again(item: QueueItem) -> None:
    item.open, item.state, item.verdict, item.decided_at = True, State.REOPENED, None, None
    if item.golden is not None:
        item.state = State.NEW


def _let_go(item: QueueItem) -> None:
    item.state = _open_state(item)
    item.assignee_id = item.claimed_at = item.claim_until = None
