"""Rate limits that hold across workers: tallies in the database, one row per key and span."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from service.database import Database
from service.errors import TooOften
from service.tables import Tally

BLOCKS: Final = 20
"""A block is this part of what is left of an allowance: 600 a minute take some 90 writes."""
KEPT_S: Final = 86_400
"""Age after which no limit looks at a tally any more; their spans are minutes."""
_KEY_CHARS: Final = 160


def add(
    session: Session, key: str, *, span_s: int, amount: int = 1, now: float | None = None
) -> int:
    """Count ``amount`` more of ``key`` in the running span and return how many there are now."""
    start = _start(span_s, now)
    dialect = session.get_bind().dialect.name
    insert: Any = sqlite_insert if dialect == "sqlite" else postgresql_insert
    statement = (
        insert(Tally)
        .values(key=key[:_KEY_CHARS], span=start, count=amount)
        .on_conflict_do_update(index_elements=["key", "span"], set_={"count": Tally.count + amount})
        .returning(Tally.count)
    )
    return int(session.execute(statement).scalar_one())


def tally(session: Session, key: str, *, span_s: int, now: float | None = None) -> int:
    """Return how many of ``key`` were counted in the running span."""
    query = select(func.sum(Tally.count)).where(
        Tally.key == key[:_KEY_CHARS], Tally.span == _start(span_s, now)
    )
    return int(session.scalar(query) or 0)


def clear(session: Session, key: str) -> None:
    """Forget what was counted of ``key``."""
    session.execute(delete(Tally).where(Tally.key == key[:_KEY_CHARS]))


def drop_old(session: Session, now: float | None = None) -> int:
    """Drop the tallies that no limit looks at any more and return how many there were."""
    moment = time.time() if now is None else now
    gone: Any = session.execute(delete(Tally).where(Tally.span < moment - KEPT_S))
    return int(gone.rowcount)


def seconds_left(span_s: int, now: float | None = None) -> int:
    """Return the seconds until the running span ends."""
    moment = time.time() if now is None else now
    return max(1, round(_start(span_s, now) + span_s - moment))


def _start(span_s: int, now: float | None) -> int:
    moment = time.time() if now is None else now
    return int(moment // span_s * span_s)


@dataclass(slots=True)
class _Block:
    left: int = 0
    total: int = 0
    """What all workers had taken when this one last looked."""
    spent: bool = False


class Meter:
    """Holds every caller to ``limit`` requests in ``span_s`` seconds, over all workers.

    A write for every request would cost a disk's flush each (5 to 20 ms). So a worker takes a
    *block* of a caller's allowance, a twentieth of what is left, with one write, and serves it
    from memory: 600 requests take some 90 writes on one worker, 50 requests two. The block
    shrinks to one request towards the end of the allowance, and a refused caller costs nothing
    until the next span. The trade: never do more than ``limit`` pass, on however many workers;
    but a caller that is spread over workers may be refused early, by at most a twentieth of the
    limit for every further worker, for what the others hold and do not use. Spans are fixed, so
    that twice the limit can pass in the seconds around a span's end.
    """

    def __init__(
        self,
        database: Database,
        limit: int,
        *,
        span_s: int = 60,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``limit`` 0: no limit. ``clock`` returns seconds since 1970, the same on all workers."""
        self._database = database
        self._limit = limit
        self._span_s = span_s
        self._clock = clock
        self._lock = threading.Lock()
        self._span = 0
        self._blocks: dict[str, _Block] = {}

    def take(self, caller: str) -> None:
        """Count a request of a caller.

        Raises:
            TooOften: the caller has used up its allowance.
            DatabaseUnavailable: a block was due and the database is gone or locked.
        """
        if not self._limit:
            return
        now = self._clock()
        with self._lock:
            span = _start(self._span_s, now)
            if span != self._span:
                self._span = span
                self._blocks.clear()
            block = self._blocks.setdefault(caller, _Block())
            if block.left:
                block.left -= 1
                return
            if block.spent:
                raise self._refusal(now)
            wanted = max(1, (self._limit - block.total) // BLOCKS)
            first = not block.total
        key = f"requests:{caller}"
        with self._database.write() as session:
            if first:
                session.execute(delete(Tally).where(Tally.key == key, Tally.span < span))
            total = add(session, key, span_s=self._span_s, amount=wanted, now=now)
        granted = max(0, min(wanted, self._limit - total + wanted))
        with self._lock:
            block.total = max(block.total, total)
            block.spent = block.total >= self._limit
            block.left += max(0, granted - 1)
        if not granted:
            raise self._refusal(now)

    def _refusal(self, now: float) -> TooOften:
        wait = seconds_left(self._span_s, now)
        return TooOften(
            f"more than {self._limit} requests in {self._span_s} s; try again in {wait} s", wait
        )
