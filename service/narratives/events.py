"""Live counts for the pages: server-sent events, read once for all who listen.

One task reads the counts every few seconds while anyone listens, and whether the listeners'
sessions still hold; between two readings no connection to the database is held.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service.accounts import sessions
from service.alerts import repository as alerts
from service.database import Database
from service.errors import DatabaseUnavailable, TooOften
from service.narratives import repository
from service.tables import Alert, QueueItem

EVERY_S: Final = 3.0
"""Seconds between two readings."""
HEARTBEAT_S: Final = 15.0
"""Seconds of silence after which a comment is sent: proxies close what says nothing for a minute."""
MOST: Final = 300
"""Listeners of one process: each is an open connection and a few kilobytes."""
MOST_EACH: Final = 12
"""Listeners of one session; a browser opens six connections to a desk, and pages linger a moment."""
RETRY_MS: Final = 5000
"""How long a browser waits before it connects again."""
_RECENT: Final = timedelta(days=30)

Counts = dict[str, Any]
"""What a page is told: JSON by name."""


def counts(session: Session) -> Counts:
    """Return the desk's counts: open items, narratives by stage, when the latest entered theirs.

    And the alerts of the last month that nobody has handled, and when the latest were raised.
    """
    open_items = select(func.count()).select_from(QueueItem).where(QueueItem.open)
    waiting = (
        select(func.count())
        .select_from(Alert)
        .where(
            Alert.at > datetime.now(UTC) - _RECENT,
            Alert.state == "raised",
            Alert.handled_at.is_(None),
        )
    )
    return {
        "open": session.scalar(open_items) or 0,
        "alerts": session.scalar(waiting) or 0,
        "stages": repository.stage_counts(session),
        "moved": [moment.timestamp() for moment in repository.moved(session)],
        "told": [moment.timestamp() for moment in alerts.told(session)],
    }


@dataclass(slots=True, eq=False)
class _Listener:
    token: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False


class Live:
    """What listeners are told; everything but the reading happens on the event loop."""

    def __init__(
        self,
        database: Database,
        *,
        read: Callable[[Session], Counts] = counts,
        every_s: float = EVERY_S,
        heartbeat_s: float = HEARTBEAT_S,
        most: int = MOST,
        most_each: int = MOST_EACH,
    ) -> None:
        """``read`` makes the counts in a session that reads."""
        self._database = database
        self._read = read
        self._every_s, self._heartbeat_s = every_s, heartbeat_s
        self._most, self._most_each = most, most_each
        self._listeners: set[_Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._latest: bytes | None = None
        self._stopped = asyncio.Event()

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def listen(self, token: str) -> AsyncIterator[bytes]:
        """Return the events for a session's page, until the session ends or the service stops.

        Raises:
            TooOften: too many listen, or too many of this session.
        """
        of_session = Counter(listener.token for listener in self._listeners)[token]
        if len(self._listeners) >= self._most or of_session >= self._most_each:
            raise TooOften("too many pages listen at once; this one can be reloaded by hand", 30)
        return self._events(token)

    def stop(self) -> None:
        """End every stream; to be called on the event loop."""
        self._stopped.set()
        for listener in self._listeners:
            listener.woken.set()

    async def close(self) -> None:
        """End every stream, and wait for the reading that is under way."""
        self.stop()
        if self._reader is not None:
            await self._reader

    async def _events(self, token: str) -> AsyncIterator[bytes]:
        listener = _Listener(token)
        self._listeners.add(listener)
        if self._reader is None or self._reader.done():
            self._latest = None
            self._reader = asyncio.create_task(self._read_on())
        told: bytes | None = None
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while not (listener.ended or self._stopped.is_set()):
                listener.woken.clear()  # first: what changes from here on wakes it
                if self._latest is not None and self._latest != told:
                    told = self._latest
                    yield b"event: counts\ndata: " + told + b"\n\n"
                try:
                    await asyncio.wait_for(listener.woken.wait(), self._heartbeat_s)
                except TimeoutError:
                    yield b": still here\n\n"
            if listener.ended:
                yield b"event: ended\ndata: {}\n\n"
        finally:
            self._listeners.discard(listener)

    async def _read_on(self) -> None:
        while self._listeners and not self._stopped.is_set():
            tokens = {listener.token for listener in self._listeners}
            with suppress(DatabaseUnavailable):  # it is asked again soon
                latest, holding = await run_in_threadpool(self._look, tokens)
                changed, self._latest = latest != self._latest, latest
                for listener in self._listeners:
                    listener.ended = listener.token in tokens and listener.token not in holding
                    if changed or listener.ended:
                        listener.woken.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._every_s)

    def _look(self, tokens: Collection[str]) -> tuple[bytes, set[str]]:
        with self._database.read() as session:
            holding = sessions.holding(session, tokens, now=datetime.now(UTC))
            return orjson.dumps(self._read(session)), holding
