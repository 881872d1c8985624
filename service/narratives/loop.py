"""The early warning at work: groups what came in, measures what changed, raises alerts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from models.likeness import Space
from service.alerts.service import AlertRules
from service.database import Database
from service.errors import DatabaseUnavailable
from service.narratives import service, watch
from service.narratives.grouping import Grouping
from service.tables import NarrativeHead

POLL_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
MOST_ROUNDS: Final = 10
"""Of measuring after each round of grouping: so many that it does not fall behind."""
_SHORT_WAIT_S: Final = 0.05
NIGHT_HOUR_UTC: Final = 19
"""Two in the morning in Jakarta: the nightly look runs in the first quiet moment from then on."""
NIGHTLY: Final = timedelta(hours=20)
LONGEST_REST: Final = timedelta(hours=30)
"""A desk that is switched off at night does it by day."""
_log = structlog.get_logger("lilin")


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class EarlyWarning:
    """Groups, measures and alerts; several may share a database, one at a time groups."""

    def __init__(
        self,
        database: Database,
        space: Space,
        rules: AlertRules,
        *,
        clock: Callable[[], datetime] = utc_now,
        poll_s: float = POLL_S,
        second_process: bool = False,
    ) -> None:
        """``clock`` says what time it is for the measuring; a replay has its own.

        ``second_process``: group with the help of another process while many posts wait.
        """
        self._database = database
        self._space = space
        self._rules = rules
        self._clock = clock
        self._poll_s = poll_s
        self._grouping = Grouping(database, space, second_process=second_process)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> EarlyWarning:
        """Work in a thread of its own until ``close``."""
        self._thread = threading.Thread(target=self._run, name="early-warning", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Finish the round in hand, and return."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(DatabaseUnavailable, SQLAlchemyError):  # then others wait a little
            self._grouping.release()

    def work_once(self, *, take_over: bool = False) -> bool:
        """Group some posts, measure some narratives; return whether there was anything to do.

        ``take_over``: group though another does.

        Raises:
            DatabaseUnavailable: the database is gone or locked.
        """
        grouped = self._grouping.group(take_over=take_over)
        now = self._clock()
        measured = 0
        for _ in range(MOST_ROUNDS):
            with self._database.read() as session:
                if not watch.is_due(session, now):
                    break
            with self._database.write() as session:
                measured += watch.work(session, self._space, now=now, rules=self._rules)
        return bool(grouped.posts or grouped.more or measured)

    def drain(self) -> None:
        """Work until nothing is left to do, whatever another that groups has left behind.

        Raises:
            DatabaseUnavailable: the database is gone or locked.
        """
        while self.work_once(take_over=True) or self._is_due():
            pass
        self._grouping.release()

    def _is_due(self) -> bool:
        """Return whether something is to be measured yet: another may hold it at this moment."""
        with self._database.read() as session:
            due = watch.is_due(session, self._clock())
        if due:
            self._stopping.wait(_SHORT_WAIT_S)
        return due

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                worked = self.work_once()
                if not worked:
                    self._nightly()
                failures = 0
            except DatabaseUnavailable:
                worked, failures = False, failures + 1
                _log.warning("early warning waited for the database", failures=failures)
            except Exception as error:  # noqa: BLE001 - the outermost loop: whatever it was, go on
                worked, failures = False, failures + 1
                _log.error("early warning failed", failures=failures, exc_info=error)
            if not worked:
                pause = min(LONGEST_WAIT_S, 0.25 * 2.0 ** min(failures, 10))
                self._stopping.wait(pause if failures else self._poll_s)

    def _nightly(self) -> None:
        now = self._clock()
        with self._database.read() as session:
            last = session.scalar(select(NarrativeHead.reclustered_at))
        # Either way, so that a clock put back stops no nights.
        rested = LONGEST_REST if last is None else abs(now - last)
        if rested < LONGEST_REST and (rested < NIGHTLY or now.hour < NIGHT_HOUR_UTC):
            return
        with self._database.write() as session:
            merged = service.recluster(session, self._space, now=now)
        _log.info("narratives compared", merged=len(merged))
