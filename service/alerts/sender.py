"""The senders: threads that take what is due from the outbox, send it and write down the outcome.

Any number of processes may have senders on one database. One of a process's threads leaves failing
channels alone, so that however many time out, healthy ones are served at once.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import structlog

from service.alerts import outbox
from service.alerts.channels.outcome import Outcome
from service.alerts.outbox import Job
from service.database import Database
from service.errors import DatabaseUnavailable
from service.tables import Channel, Delivery

LEASE: Final = timedelta(seconds=120)
"""Longer than any try, name resolution included; a killed sender's channel rests for so long."""
THREADS: Final = 4
POLL_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
PATIENCE_S: Final = 20.0
"""How long a stop waits: one try and its marking. What is cut off later is sent again."""
_SETTLE_TRIES: Final = 5
_log = structlog.get_logger("lilin")


class Carrier(Protocol):
    """What knows how to send on one kind of channel."""

    def send(self, channel: Channel, delivery: Delivery, *, now: datetime) -> Outcome:
        """Try once to send a delivery; whatever goes wrong on the way is an outcome."""
        ...


Carriers = Mapping[str, Carrier]
"""By kind of channel; a kind that the settings do not provide for is missing."""


def utc_now() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


class Sender:
    """Sends one message at a time."""

    def __init__(
        self,
        database: Database,
        carriers: Carriers,
        *,
        lease: timedelta = LEASE,
        poll_s: float = POLL_S,
        clock: Callable[[], datetime] = utc_now,
        dice: Callable[[], float] = random.random,
        healthy: bool = False,
        on_tried: Callable[[str, str], object] = lambda _kind, _outcome: None,
    ) -> None:
        """``healthy`` leaves channels alone whose last try failed.

        ``on_tried`` is told the kind of channel and "sent", "failed", "dead" or "lost" of each try.
        """
        self.name = f"sender-{uuid.uuid4().hex[:16]}"
        self._database = database
        self._carriers = carriers
        self._lease = lease
        self._poll_s = poll_s
        self._clock = clock
        self._dice = dice
        self._healthy = healthy
        self._on_tried = on_tried
        self.stopping = threading.Event()

    def run(self) -> None:
        """Send what is due until ``stopping`` is set; whatever happens, go on after a while."""
        failures = 0
        while not self.stopping.is_set():
            try:
                worked = self.work_once()
                failures = 0
            except DatabaseUnavailable:
                worked, failures = False, failures + 1
                _log.warning("sender waited for the database", failures=failures)
            except Exception as error:  # noqa: BLE001 - the outermost loop: whatever it was, go on
                worked, failures = False, failures + 1
                _log.error("sender failed", failures=failures, exc_info=error)
            if not worked:
                pause = min(LONGEST_WAIT_S, 0.25 * 2.0 ** min(failures, 10))
                self.stopping.wait(pause if failures else self._poll_s)

    def work_once(self, now: datetime | None = None) -> bool:
        """Try to send one message that is due; return whether there was one.

        Raises:
            DatabaseUnavailable: the database is gone or locked; what was sent but could not be
                marked goes out again, with the same key.
        """
        at = now or self._clock()
        job = outbox.take(
            self._database, self.name, now=at, lease=self._lease, healthy=self._healthy
        )
        if job is None:
            return False
        outcome = self._send(job, at)
        state = self._settle(job, outcome, now)
        told = {"waiting": "failed", None: "lost"}.get(state, state or "")
        self._on_tried(job.channel.kind, told)
        _log.info(
            "delivery tried",
            delivery=job.delivery.id,
            channel=job.channel.id,
            kind=job.channel.kind,
            attempt=job.delivery.attempts,
            outcome=told,
            error=outcome.error,
            status=outcome.status,
        )
        return True

    def _send(self, job: Job, now: datetime) -> Outcome:
        carrier = self._carriers.get(job.channel.kind)
        if carrier is None:
            return Outcome(error="not-set-up")
        try:
            return carrier.send(job.channel, job.delivery, now=now)
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            _log.error("delivery failed", delivery=job.delivery.id, exc_info=error)
            return Outcome(error="unforeseen", only_this=True)

    def _settle(self, job: Job, outcome: Outcome, now: datetime | None) -> str | None:
        for failures in range(1, _SETTLE_TRIES + 1):
            try:
                return outbox.settle(
                    self._database,
                    self.name,
                    job,
                    outcome,
                    now=now or self._clock(),
                    dice=self._dice(),
                )
            except DatabaseUnavailable:
                if failures == _SETTLE_TRIES:
                    raise
                _log.warning("sender waited for the database", failures=failures)
                self.stopping.wait(min(LONGEST_WAIT_S, 0.25 * 2.0**failures))
        raise AssertionError


class Senders:
    """The senders of one process."""

    def __init__(
        self,
        database: Database,
        carriers: Carriers,
        *,
        threads: int = THREADS,
        lease: timedelta = LEASE,
        poll_s: float = POLL_S,
        clock: Callable[[], datetime] = utc_now,
        on_tried: Callable[[str, str], object] = lambda _kind, _outcome: None,
    ) -> None:
        self._senders = [
            Sender(
                database,
                carriers,
                lease=lease,
                poll_s=poll_s,
                clock=clock,
                healthy=number == 0 and threads > 1,
                on_tried=on_tried,
            )
            for number in range(threads)
        ]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Send what is due from now on, in threads."""
        self._threads = [
            threading.Thread(target=sender.run, name="sender", daemon=True)
            for sender in self._senders
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take nothing more; returns at once."""
        for sender in self._senders:
            sender.stopping.set()

    def close(self) -> None:
        """Let what is being sent come to its end, for a while, and return."""
        self.stop()
        end = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))

    def drain(self, now: datetime | None = None) -> int:
        """Try everything that is due, each message once; return how many were tried.

        What fails is put off and left for later. ``now`` stands still meanwhile; None: the clock.

        Raises:
            DatabaseUnavailable: the database is gone or locked.
        """
        at = now or utc_now()

        def work(sender: Sender) -> int:
            count = 0
            while not sender.stopping.is_set() and sender.work_once(at):
                count += 1
            return count

        with ThreadPoolExecutor(len(self._senders)) as pool:
            return sum(pool.map(work, self._senders))
