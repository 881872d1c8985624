"""The worker: takes up feeds, reads them with the pipeline, scores and stores chunk by chunk.

Posts, queue items, the feed's rows, its rejects and its position are one transaction a chunk. Who
takes up a feed again reads it from its beginning, passes over the rows that are done (tens of
thousands a second) and goes on where the last transaction ended.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError

from pipeline.chunks import read_chunks
from pipeline.errors import FeedError, PipelineError
from pipeline.feeds import Feed, open_feed
from pipeline.post import Post, Reject
from service.batcher import Batcher, Result
from service.database import Database
from service.errors import Busy, DatabaseUnavailable, Stopping
from service.feeds import bounds, jobs
from service.feeds.errors import FeedBomb, FeedRefused, refused
from service.feeds.jobs import Chunk, Lease, LeaseLost, Rejected
from service.feeds.rows import TEXT_TOO_LONG, new_post, source_of
from service.feeds.upload import sweep
from service.posts.intake import NewPost, ScoreAndEmbed, Scores, post_key, score_new, store
from service.queue.service import QueueRules
from service.tables import StoredFeed
from service.web import storable

CHUNK_ROWS: Final = 500
CHUNK_CHARACTERS: Final = 200_000
"""A chunk of long posts ends here: some ten seconds of the model, the longest a stop waits."""
LEASE: Final = timedelta(seconds=60)
"""Renewed every third of it; a killed worker's feed rests for so long."""
POLL_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
MAX_TEXT_CHARS: Final = 20_000
"""As in the API: one longer text would hold up everybody's for seconds."""
_SKIP_ROWS: Final = 5_000
_TRIES: Final = 5
_PART_CHARS: Final = 16_000
"""What of a chunk stands in the service's line at once, so that there is room for people."""
_log = structlog.get_logger("lilin")


class _Stopped(Exception):
    """The worker is to stop; the feed is given back (internal)."""


class Worker:
    """Works on one feed at a time; as many workers as one likes share a database."""

    def __init__(
        self,
        database: Database,
        scores: ScoreAndEmbed,
        rules: QueueRules,
        *,
        model: str,
        folder: Path,
        max_expanded_bytes: int,
        lease: timedelta = LEASE,
        poll_s: float = POLL_S,
        on_chunk: Callable[[], object] = lambda: None,
    ) -> None:
        """``scores`` is a scorer's ``score_and_embed``, ``folder`` where uploads lie.

        ``on_chunk`` is called after every chunk.
        """
        self.name = f"worker-{uuid.uuid4().hex[:16]}"
        self._database = database
        self._scores = scores
        self._rules = rules
        self._model = model
        self._folder = folder
        self._max_expanded_bytes = max_expanded_bytes
        self._lease = lease
        self._poll_s = poll_s
        self._on_chunk = on_chunk
        self.stopping = threading.Event()

    def stop(self) -> None:
        """Finish the chunk in hand, then stop; returns at once."""
        self.stopping.set()

    def run(self) -> None:
        """Work until ``stop``; whatever happens to database or feed, go on after a while."""
        sweep(self._folder)
        failures = 0
        while not self.stopping.is_set():
            try:
                worked = self.work_once()
                failures = 0
            except DatabaseUnavailable:
                worked, failures = False, failures + 1
                _log.warning("worker waited for the database", failures=failures)
            except Exception as error:  # noqa: BLE001 - the outermost loop: whatever it was, go on
                worked, failures = False, failures + 1
                _log.error("worker failed", failures=failures, exc_info=error)
            if not worked:
                self.stopping.wait(_pause(failures) if failures else self._poll_s)

    def work_once(self) -> bool:
        """Work on one feed to its end, or until told to stop; return whether there was one.

        Raises:
            DatabaseUnavailable: the database is gone or locked.
        """
        feed = jobs.claim(self._database, self.name, self._lease)
        if feed is None:
            return False
        _log.info("feed taken up", feed=feed.id, rows=feed.rows, attempt=feed.attempts)
        try:
            with Lease(self._database, feed.id, self.name, self._lease) as lease:
                self._work(feed, lease)
        except LeaseLost:
            _log.info("feed went elsewhere", feed=feed.id)
        except _Stopped:
            jobs.let_go(self._database, feed.id, self.name)
            _log.info("feed laid down", feed=feed.id)
        except DatabaseUnavailable:
            raise
        except BaseException:
            pause = timedelta(seconds=_pause(feed.attempts))
            jobs.let_go(self._database, feed.id, self.name, pause=pause)
            raise
        return True

    def _work(self, feed: StoredFeed, lease: Lease) -> None:
        path = self._folder / feed.file
        try:
            self._read(feed, path, lease)
        except PipelineError as error:
            self._fail(feed, refused(error, path=path, name=feed.name))
        except FeedBomb as error:
            self._fail(feed, error)
        else:
            self._finish(feed)

    def _read(self, feed: StoredFeed, path: Path, lease: Lease) -> None:
        if not path.is_file():
            raise FeedError(f"{path}: the uploaded file is gone; send it again")
        lines = feed.total if feed.unit == "lines" else 0
        if not feed.rows:
            lines = bounds.check(
                path,
                feed.format,
                limit=self._max_expanded_bytes,
                go_on=lambda: lease.held and not self.stopping.is_set(),
            )
            self._go_on(lease)
        with open_feed(path, text_column=feed.text_column, format=feed.format) as source:
            rows = self._bounded(iter(source))
            self._skip(rows, feed, lease)
            before = feed.rows
            started = time.perf_counter()
            for rows_of_chunk in read_chunks(
                rows, chunk_rows=CHUNK_ROWS, chunk_characters=CHUNK_CHARACTERS
            ):
                self._go_on(lease)
                far = _how_far(source, rows_of_chunk, lines)
                self._store(feed, far, before, rows_of_chunk, started, lease)
                before += len(rows_of_chunk)
                started = time.perf_counter()
            lease.check()

    def _go_on(self, lease: Lease) -> None:
        lease.check()
        if self.stopping.is_set():
            raise _Stopped

    def _bounded(self, rows: Iterator[Post | Reject]) -> Iterator[Post | Reject]:
        expanded = bounds.Expanded(self._max_expanded_bytes)
        for row in rows:
            expanded.add(row)
            yield row

    def _skip(self, rows: Iterator[Post | Reject], feed: StoredFeed, lease: Lease) -> None:
        left = feed.rows
        while left:
            self._go_on(lease)
            part = min(left, _SKIP_ROWS)
            if sum(1 for _ in islice(rows, part)) < part:
                raise FeedError(f"{feed.name}: it is shorter than when the work began")
            left -= part

    def _store(
        self,
        feed: StoredFeed,
        far: tuple[int, int, str],
        before: int,
        rows: Sequence[Post | Reject],
        started: float,
        lease: Lease,
    ) -> None:
        numbers, posts, rejects = _sorted_out(feed, before, rows)
        keys = [post_key(post) for post in posts]
        scores: Scores | None = None
        collisions = outages = 0
        while True:
            try:
                if scores is None:
                    scores = score_new(self._database, posts, keys, self._scores)
                with self._database.write() as session:
                    held = jobs.hold(session, feed.id, self.name)
                    if held.rows == before + len(rows):  # the last try was committed unheard
                        return
                    stored = store(session, posts, keys, scores, self._rules, model=self._model)
                    chunk = Chunk(
                        before=before,
                        rows=len(rows),
                        posts=list(zip(numbers, stored, strict=True)),
                        rejects=rejects,
                        done=far[0],
                        total=far[1],
                        unit=far[2],
                        seconds=time.perf_counter() - started,
                    )
                    jobs.advance(session, held, chunk, self._lease)
                self._on_chunk()
                return
            except (IntegrityError, KeyError):  # another stored or purged one of them meanwhile
                collisions += 1
                if collisions == _TRIES:
                    raise
                scores = None
            except Stopping:
                raise _Stopped from None
            except DatabaseUnavailable:
                outages += 1
                _log.warning("worker waited for the database", feed=feed.id, failures=outages)
                if self.stopping.wait(_pause(outages)):
                    raise
                lease.check()

    def _fail(self, feed: StoredFeed, error: FeedRefused | FeedBomb) -> None:
        said = storable(str(error))[:2000]
        jobs.fail(self._database, feed.id, self.name, code=error.code, said=said)
        _log.info("feed failed", feed=feed.id, code=error.code)

    def _finish(self, feed: StoredFeed) -> None:
        jobs.finish(self._database, feed.id, self.name)
        _log.info("feed done", feed=feed.id)


def _how_far(source: Feed, rows: Sequence[Post | Reject], lines: int) -> tuple[int, int, str]:
    """Return how much is read, how much there is, and the unit.

    The lines are exact; a JSON document has none to count, and its bytes run ahead a little.
    """
    if source.format in ("csv", "jsonl", "whatsapp") and lines:
        return min(rows[-1].line, lines), lines, "lines"
    done, total = source.progress()
    return done, done if total is None else total, "rows" if source.format == "parquet" else "bytes"


class InService:
    """A worker inside the service: a thread that scores through the service's line."""

    def __init__(
        self,
        database: Database,
        batcher: Batcher,
        rules: QueueRules,
        *,
        folder: Path,
        max_expanded_bytes: int,
        on_chunk: Callable[[], object],
    ) -> None:
        self._worker = Worker(
            database,
            self._score,
            rules,
            model=batcher.version,
            folder=folder,
            max_expanded_bytes=max_expanded_bytes,
            on_chunk=on_chunk,
        )
        self._batcher = batcher
        self._thread = threading.Thread(target=self._worker.run, name="worker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the chunk in hand, and return."""
        self._worker.stop()
        self._thread.join()

    def _score(self, texts: Sequence[str]) -> list[Result]:
        """Score as bulk work, a little at a time; where the line is full, ask again later.

        Texts of like length go together, which costs the model the least padding.
        """
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found: dict[int, Result] = {}
        for part in _parts(order, texts):
            found.update(zip(part, self._ask([texts[i] for i in part]), strict=True))
        return [found[i] for i in range(len(texts))]

    def _ask(self, texts: Sequence[str]) -> list[Result]:
        while True:
            try:
                return self._batcher.score_and_embed(texts, bulk=True)
            except Busy as busy:
                if self._worker.stopping.wait(busy.retry_after or 1):
                    raise Stopping("the service is stopping") from None


def _sorted_out(
    feed: StoredFeed, before: int, rows: Sequence[Post | Reject]
) -> tuple[list[int], list[NewPost], list[Rejected]]:
    source = source_of(feed.id, feed.name)
    numbers: list[int] = []
    posts: list[NewPost] = []
    rejects: list[Rejected] = []
    for number, row in enumerate(rows, start=before + 1):
        if isinstance(row, Reject):
            rejects.append(_rejected(number, row.line, row.field, row.reason))
        elif len(row.text) > MAX_TEXT_CHARS:
            said = TEXT_TOO_LONG.format(limit=f"{MAX_TEXT_CHARS:,}".replace(",", "."))
            rejects.append(_rejected(number, row.line, "", said))
        else:
            numbers.append(number)
            posts.append(new_post(row, source))
    return numbers, posts, rejects


def _rejected(row: int, line: int, field: str, reason: str) -> Rejected:
    return Rejected(row=row, line=line, field=storable(field)[:200], reason=storable(reason)[:300])


def _pause(failures: int) -> float:
    return min(LONGEST_WAIT_S, 0.25 * 2.0 ** min(failures, 10))


def _parts(order: Sequence[int], texts: Sequence[str]) -> Iterator[list[int]]:
    part: list[int] = []
    size = 0
    for i in order:
        part.append(i)
        size += len(texts[i])
        if size >= _PART_CHARS:
            yield part
            part, size = [], 0
    if part:
        yield part
