"""Every metric of the desk, in one place; labels come from small, closed sets.

A process counts in a registry of its own. Where several processes serve one port
(``lilin serve --workers``), prometheus-client keeps their counts in files of the folder named by
``PROMETHEUS_MULTIPROC_DIR``, and whichever process is asked adds them up.
"""

from __future__ import annotations

import os
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from service.batcher import Result, Scores
from service.database import Database
from service.errors import DatabaseUnavailable
from service.tables import QueueItem, Review, StoredPost

SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's variable for the folder in which processes share their counts."""
QUEUE_EVERY_S: Final = 15.0
"""The queue is counted at most so often, however many scrape."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What one process counts."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series that nobody reads
        self.registry = CollectorRegistry()
        more: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "lilin_requests_total",
            "Requests answered, by route, method and class of status.",
            ["route", "method", "status"],
            **more,
        )
        self.request_seconds = Histogram(
            "lilin_request_seconds",
            "Seconds from a request's arrival to the end of its answer.",
            ["route", "method"],
            buckets=_SECONDS,
            **more,
        )
        self.errors = Counter(
            "lilin_errors_total",
            "Refusals and faults by kind: busy (the line was full), database, too-often and so on.",
            ["code"],
            **more,
        )
        self.batches = Counter("lilin_scoring_batches_total", "Rounds of the scorer.", **more)
        self.scored = Counter(
            "lilin_scored_posts_total", "Posts scored; its rate is posts a second.", **more
        )
        self.scoring_seconds = Counter(
            "lilin_scoring_seconds_total", "Seconds in which the scorer was at work.", **more
        )
        self.waiting = Gauge(
            "lilin_waiting_characters",
            "Characters that wait to be scored or are being scored.",
            multiprocess_mode="livesum",
            **more,
        )
        self.stored = Counter(
            "lilin_posts_stored_total", "Posts stored, known ones left out.", **more
        )
        self.verdicts = Counter(
            "lilin_verdicts_total",
            "Verdicts given, by verdict; undone ones too.",
            ["verdict"],
            **more,
        )
        self.chunks = Counter(
            "lilin_worker_chunks_total", "Chunks of feeds finished by the worker.", **more
        )
        self.deliveries = Counter(
            "lilin_deliveries_total",
            "Tries to send a message, by kind of channel and outcome: sent, failed, dead, lost.",
            ["kind", "outcome"],
            **more,
        )
        self.model = Gauge(
            "lilin_model_info",
            "1 for the release that scores.",
            ["version"],
            multiprocess_mode="livemax",
            **more,
        )
        self._waits: Callable[[], int] = lambda: 0
        self._queue: _QueueCounts | None = None

    # --- what is told -----------------------------------------------------------------------------

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is the template of its path, never the path."""
        method = method if method in _METHODS else "other"
        self.requests.labels(route, method, f"{status // 100}xx").inc()
        self.request_seconds.labels(route, method).observe(seconds)

    def watch_database(self, database: Database) -> None:
        """Count what is committed to a database by this process, and its queue when asked."""
        event.listen(database.writing, "after_flush", _note_new)
        event.listen(database.writing, "after_commit", self._committed)
        event.listen(database.writing, "after_soft_rollback", _forget_new)
        self._queue = _QueueCounts(database)

    def watch_line(self, waiting: Callable[[], int]) -> None:
        """Say where to ask how many characters wait to be scored."""
        self._waits = waiting

    def delivered(self, kind: str, outcome: str) -> None:
        """Count a try to send a message on a channel of this kind."""
        self.deliveries.labels(kind, outcome).inc()

    def note_round(self, posts: int, seconds: float) -> None:
        """Count a round of the scorer."""
        self.batches.inc()
        self.scored.inc(posts)
        self.scoring_seconds.inc(seconds)
        self.waiting.set(self._waits())

    def _committed(self, session: Session) -> None:
        new: Tally[str] = session.info.pop("new", Tally())
        for name, count in new.items():
            if name == "post":
                self.stored.inc(count)
            else:
                self.verdicts.labels(name).inc(count)

    # --- what is shown ------------------------------------------------------------------------------

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self.waiting.set(self._waits())
        shared = os.environ.get(SHARED)
        if shared is None:
            counts = generate_latest(self.registry)
        else:
            _forget_the_dead(Path(shared))
            everyone = CollectorRegistry()
            MultiProcessCollector(everyone, path=shared)  # type: ignore[no-untyped-call]
            counts = generate_latest(everyone)
        if self._queue is None:
            return counts
        queue = CollectorRegistry()
        queue.register(self._queue)
        return counts + generate_latest(queue)


class Measured:
    """A scorer whose rounds are counted."""

    def __init__(self, scorer: Scores, metrics: Metrics) -> None:
        self.version = scorer.version
        self._scorer = scorer
        self._metrics = metrics
        metrics.model.labels(scorer.version).set(1)

    def score_and_embed(self, texts: Sequence[str]) -> Sequence[Result]:
        """Return a score and an embedding per text."""
        start = time.perf_counter()
        results = self._scorer.score_and_embed(texts)
        self._metrics.note_round(len(texts), time.perf_counter() - start)
        return results


class _QueueCounts(Collector):
    """The open and the overdue items, counted when someone asks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted_at = float("-inf")
        self._counts = (0, 0)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; nothing while the database is away."""
        if time.monotonic() - self._counted_at > QUEUE_EVERY_S:
            try:
                with self._database.read() as session:
                    self._counts = queue_counts(session)
            except DatabaseUnavailable:
                return
            self._counted_at = time.monotonic()
        for name, said, value in zip(
            ("lilin_queue_open", "lilin_queue_overdue"),
            ("Items of the queue that are not decided.", "Open items past the time to decide."),
            self._counts,
            strict=True,
        ):
            yield GaugeMetricFamily(name, said, value=value)


def queue_counts(session: Session) -> tuple[int, int]:
    """Return how many items are open, and how many of them overdue."""
    count = select(func.count()).select_from(QueueItem).where(QueueItem.open)
    overdue = count.where(QueueItem.due_at < datetime.now(UTC))
    return session.scalar(count) or 0, session.scalar(overdue) or 0


def _note_new(session: Session, _context: object) -> None:
    new: Tally[str] = session.info.setdefault("new", Tally())
    for row in session.new:
        if isinstance(row, StoredPost):
            new["post"] += 1
        elif isinstance(row, Review):
            new[str(row.verdict)] += 1


def _forget_new(session: Session, _previous: object) -> None:
    session.info.pop("new", None)


def _forget_the_dead(folder: Path) -> None:
    """Drop the gauges of processes that were killed; who stops in good order does so itself."""
    for path in folder.glob("gauge_live*_*.db"):
        number = path.stem.rpartition("_")[2]
        if number.isdigit() and not _alive(int(number)):
            path.unlink(missing_ok=True)


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
