"""Verdicts given in one act: on an item nobody holds, and on many items at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.database import Database
from service.errors import DeskError, NotFound, NotYours, Taken
from service.queue import service as queue
from service.queue.service import QueueRules
from service.tables import Account, QueueItem, State, Verdict


def take_and_decide(
    session: Session,
    item_id: int,
    account: Account,
    verdict: Verdict,
    rules: QueueRules,
    *,
    note: str = "",
    evidence: Sequence[str] = (),
) -> QueueItem:
    """Give a verdict on an item that is free or one's own: one act for the person.

    Raises:
        NotFound: there is no such item.
        Taken: see ``claim``.
    """
    queue.take(session, item_id, account, rules)
    return queue.decide(session, item_id, account, verdict, note=note, evidence=evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one item of many: its state now, or why it was not decided."""

    item_id: int
    state: State | None
    error: DeskError | None


def decide_many(
    database: Database,
    item_ids: Sequence[int],
    account: Account,
    verdict: Verdict,
    rules: QueueRules,
    *,
    note: str = "",
    evidence: Sequence[str] = (),
) -> list[Outcome]:
    """Give one verdict on many items, each in a transaction of its own, in their order.

    What someone else holds or has decided is left alone and reported.

    Raises:
        DatabaseUnavailable: the items before stand decided, the others untouched.
    """
    out: list[Outcome] = []
    for item_id in dict.fromkeys(item_ids):
        with database.write() as session:
            out.append(
                decide_or_leave(
                    session, item_id, account, verdict, rules, note=note, evidence=evidence
                )
            )
    return out


def decide_or_leave(
    session: Session,
    item_id: int,
    account: Account,
    verdict: Verdict,
    rules: QueueRules,
    *,
    note: str = "",
    evidence: Sequence[str] = (),
) -> Outcome:
    """Give a verdict on an item, or say why not: one that is refused is left as it was."""
    try:
        item = take_and_decide(
            session, item_id, account, verdict, rules, note=note, evidence=evidence
        )
    except (NotFound, Taken, NotYours) as error:
        return Outcome(item_id=item_id, state=None, error=error)
    return Outcome(item_id=item_id, state=State(item.state), error=None)
