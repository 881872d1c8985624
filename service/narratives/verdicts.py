"""One verdict on everything that is open in a narrative, taken back as one; and what it suggests.

The rules are the queue's (``service.queue.service``): what someone else holds is left alone and
reported, an item that wants two verdicts stays open for the second. The narrative keeps the
verdict for the posts that join later: a person applies it to each, nothing is decided by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from service.audit import trail as audit
from service.errors import NotFound, NothingToUndo
from service.narratives import repository
from service.queue import many
from service.queue import service as queue
from service.queue.many import Outcome
from service.queue.service import QueueRules
from service.tables import Account, Narrative, NarrativeEvent, QueueItem, Review, Verdict

MOST: Final = 500
"""Items of one act: so many write for a second or two, and others wait no longer than that."""
KIND: Final = "verdict"
"""Of the events that are verdicts on all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a verdict on a narrative did: an outcome per item, and how many items are left over."""

    narrative: Narrative
    outcomes: Sequence[Outcome]
    left: int
    """Open items beyond ``most``: the same act again goes on with them."""


def give(
    session: Session,
    narrative_id: int,
    account: Account,
    verdict: Verdict,
    rules: QueueRules,
    *,
    now: datetime,
    note: str = "",
    evidence: Sequence[str] = (),
    most: int = MOST,
) -> Given:
    """Give a verdict on every open item of a narrative that the account has given none on.

    Raises:
        NotFound: there is no such narrative, or it has become part of another.
    """
    narrative = locked(session, narrative_id)
    # All are locked before the trail is: who holds one of them may be waiting for the trail.
    query = repository.open_items(narrative_id, account.id, (QueueItem,)).order_by(QueueItem.id)
    locking = query.limit(most + 1).with_for_update(of=QueueItem)
    # With all that the rules look at, so that they need not ask for each.
    items = session.scalars(
        locking.options(selectinload(QueueItem.reviews), selectinload(QueueItem.assignee))
    ).all()
    outcomes = [
        many.decide_or_leave(
            session, item.id, account, verdict, rules, note=note, evidence=evidence
        )
        for item in items[:most]
    ]
    decided = [outcome.item_id for outcome in outcomes if outcome.error is None]
    session.flush()
    reviews = select(Review.id).where(
        Review.item_id.in_(decided), Review.account_id == account.id, Review.undone_at.is_(None)
    )
    narrative.verdict, narrative.verdict_at = verdict, now
    narrative.verdict_by_id = account.id
    session.add(
        NarrativeEvent(
            narrative_id=narrative_id,
            at=now,
            kind=KIND,
            actor=account.name,
            details={
                "verdict": verdict.value,
                "account": account.id,
                "reviews": sorted(session.scalars(reviews)),
            },
        )
    )
    audit.record(
        session,
        actor=account.name,
        action="narrative.verdict",
        subject=f"narrative:{narrative_id}",
        verdict=verdict.value,
        items=len(decided),
    )
    left = 0
    if len(items) > most:
        left = len(session.scalars(repository.open_items(narrative_id, account.id)).all())
    return Given(narrative=narrative, outcomes=outcomes, left=left)


def take_back(session: Session, narrative_id: int, account: Account, *, now: datetime) -> list[int]:
    """Take back the account's last verdict on a narrative, and return the items it lay on.

    A verdict on one of the items that was taken back since, or given anew, is left alone.

    Raises:
        NotFound: there is no such narrative, or it has become part of another.
        NothingToUndo: there is no verdict of this account to take back.
    """
    narrative = locked(session, narrative_id)
    standing = [
        event
        for event in repository.standing_verdicts(session, narrative_id)
        if event.actor == account.name
    ]
    if not standing:
        raise NothingToUndo("there is no verdict of yours on this narrative to take back")
    event = standing[0]
    reviews = select(Review).where(
        Review.id.in_(event.details["reviews"]), Review.undone_at.is_(None)
    )
    items = sorted(review.item_id for review in session.scalars(reviews))
    session.scalars(
        select(QueueItem.id)
        .where(QueueItem.id.in_(items))
        .order_by(QueueItem.id)
        .with_for_update(of=QueueItem)
    ).all()
    for item_id in items:
        queue.undo(session, account, item_id)
    event.undone_at = now
    session.flush()
    before = next(iter(repository.standing_verdicts(session, narrative_id)), None)
    narrative.verdict = Verdict(before.details["verdict"]) if before else None
    narrative.verdict_at = before.at if before else None
    narrative.verdict_by_id = before.details["account"] if before else None
    audit.record(
        session,
        actor=account.name,
        action="narrative.verdict_undo",
        subject=f"narrative:{narrative_id}",
        verdict=event.details["verdict"],
        items=len(items),
    )
    return items


def suggested(
    narrative: Narrative | None, item: QueueItem | None, *, decides: bool, blind: bool
) -> Verdict | None:
    """Return the verdict that an item's narrative suggests to someone who can decide the item.

    None where it would tell what the person must not know: that someone gave a verdict on the
    item, or what an item that checks the desk is known to be.
    """
    if narrative is None or item is None or not decides or blind or item.golden is not None:
        return None
    if any(review.undone_at is None for review in item.reviews):
        return None
    given = None if narrative.verdict is None else Verdict(narrative.verdict)
    return None if given is Verdict.NEEDS_MORE else given


def locked(session: Session, narrative_id: int) -> Narrative:
    """Return a narrative that nobody else changes until the transaction ends.

    Raises:
        NotFound: there is no such narrative, or it has become part of another.
    """
    # Without its key: posts that join at this moment need not wait.
    narrative = session.get(
        Narrative, narrative_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if narrative is None or narrative.merged_into_id is not None:
        raise NotFound(f"there is no narrative {narrative_id}")
    return narrative
