"""The worker as a process of its own: killed at any moment, stopped, several at once."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from models.fake import FakeScorer
from pipeline.request import ScoreRequest
from pipeline.scoring import score_feed
from service.audit import trail as audit
from service.database import Database
from service.feeds import result, service, upload
from service.tables import FeedPost, FeedReject, FeedState, QueueItem, StoredFeed, StoredPost

ROOT = Path(__file__).parents[2]
ROWS = 4000
REJECTED = 40
REPEATED = 300

# A worker as `lilin worker` makes it, but with the fake scorer and a lease that ends at once.
WORKER = """
import sys
from datetime import timedelta
from pathlib import Path
from models.fake import FakeScorer
from service.database import Database
from service.feeds.commands import stop_on_signals
from service.feeds.worker import Worker
from service.queue.service import QueueRules

worker = Worker(
    Database(sys.argv[1]), FakeScorer().score_and_embed, QueueRules(threshold=0.5),
    model="fake-1", folder=Path(sys.argv[2]), max_expanded_bytes=10**9,
    lease=timedelta(seconds=0.5), poll_s=0.05,
    on_chunk=lambda: print("chunk", flush=True),
)
stop_on_signals(worker)
print("ready", flush=True)
worker.run()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "feeds"


def rows(start: int) -> list[str]:
    """Return a feed's lines: new posts, posts that came before, rows that are none."""
    lines = ["id_str,full_text"]
    for i in range(ROWS - REJECTED - REPEATED):
        risky = "SEBARKAN! " if i % 20 == 0 else ""
        lines.append(f"{start + i},{risky}kabar nomor {start + i} dari pasar")
        if i % 100 == 0 and i // 100 < REJECTED:
            lines.append("rusak")
    lines += [lines[1 + 2 * (i % 2)] for i in range(REPEATED)]
    lines += ["rusak"] * (ROWS + 1 - len(lines))
    return lines


def sent(database: Database, folder: Path, path: Path, start: int = 0) -> int:
    path.write_text("\n".join(rows(start)) + "\n", encoding="utf-8")
    taken = upload.copy(path, folder=folder, limit=10**9)
    return service.submit(database, folder, taken, account=None, actor="test").id


@contextmanager
def worker(database: Database, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a worker that is ready to take up feeds; it is killed at the end, if nothing else did."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, database.url.render_as_string(False), str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def lives_for(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def feed_of(database: Database, feed: int) -> StoredFeed:
    with database.read() as session:
        found = session.get(StoredFeed, feed)
        assert found is not None
        return found


def check_books(database: Database) -> None:
    """Check that what the feeds say of themselves is what is stored, at any moment."""
    with database.read() as session:

        def count(table: type) -> int:
            return session.scalar(select(func.count()).select_from(table)) or 0

        feeds = session.scalars(select(StoredFeed)).all()
        for feed in feeds:
            assert feed.rows == feed.scored + feed.known + feed.rejected
        assert count(FeedPost) == sum(f.scored + f.known for f in feeds)
        assert count(FeedReject) == sum(f.rejected for f in feeds)
        assert count(StoredPost) == sum(f.scored for f in feeds)
        assert count(QueueItem) == sum(f.queued for f in feeds)
        seen = session.scalar(select(func.sum(StoredPost.seen))) or 0
        assert seen == sum(f.scored + f.known for f in feeds)
        audit.verify(session)


def wait_until_done(database: Database, process: subprocess.Popen[str], *feeds: int) -> None:
    for _ in range(1200):
        if all(feed_of(database, feed).state not in service.OPEN for feed in feeds):
            return
        assert lives_for(process, 0.1), "the worker went away"
    raise AssertionError("the feeds were not done in two minutes")


def as_unkilled(path: Path) -> bytes:
    output = path.with_suffix(".scored.csv")
    request = ScoreRequest(input=path, output=output, quiet=True)
    score_feed(request, FakeScorer, stderr=io.StringIO())
    return output.read_bytes()


def result_of(database: Database, folder: Path, feed: int) -> bytes:
    found = feed_of(database, feed)
    return b"".join(result.scored_rows(database, found, folder / found.file, "csv", private=True))


def test_a_worker_killed_again_and_again_loses_no_post_and_stores_none_twice(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "umpan.csv"
    feed = sent(database, folder, path)
    dice = random.Random(11)
    killed_at: set[int] = set()
    for chunks in (1, 0, 2, 1, 0, 2):
        with worker(database, folder) as process:
            for _ in range(chunks):
                assert process.stdout is not None
                process.stdout.readline()
            lives_for(process, dice.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        check_books(database)
        now = feed_of(database, feed)
        killed_at.add(now.rows)
        if now.state not in service.OPEN:
            break
    assert len(killed_at - {0, ROWS}) >= 1, "no kill fell into the middle of the work"
    with worker(database, folder) as process:
        wait_until_done(database, process, feed)
    check_books(database)
    done = feed_of(database, feed)
    assert (done.state, done.rows, done.rejected) == (FeedState.DONE, ROWS, REJECTED)
    assert (done.scored, done.known) == (ROWS - REJECTED - REPEATED, REPEATED)
    assert result_of(database, folder, feed) == as_unkilled(path)


def test_several_workers_on_feeds_that_overlap_store_each_post_once(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.csv" for i in range(3)]
    feeds = [sent(database, folder, path, 1000 * i) for i, path in enumerate(paths)]
    with worker(database, folder) as one, worker(database, folder) as two:
        lives_for(two, 0.5)
        two.kill()
        wait_until_done(database, one, *feeds)
    check_books(database)
    with database.read() as session:
        total = session.scalar(select(func.count(StoredPost.id)))
    assert total == ROWS - REJECTED - REPEATED + 2000
    for feed, path in zip(feeds, paths, strict=True):
        assert feed_of(database, feed).rows == ROWS
        assert result_of(database, folder, feed) == as_unkilled(path)


def test_a_worker_told_to_stop_ends_in_good_order_and_leaves_the_feed_to_the_next(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    feed = sent(database, folder, tmp_path / "umpan.csv")
    with worker(database, folder) as process:
        while not feed_of(database, feed).rows:
            assert lives_for(process, 0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    left = feed_of(database, feed)
    assert left.lease_owner is None
    assert left.state in (FeedState.QUEUED, FeedState.DONE)
    check_books(database)
    with worker(database, folder) as process:
        wait_until_done(database, process, feed)
    check_books(database)
