"""Grouping with a second process: the same narratives, whatever is changed or killed meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import delete, select

from models.fake import FakeScorer
from service.database import Database
from service.narratives import grouping as rules
from service.narratives import service
from service.narratives.grouping import Grouping
from service.posts.intake import NewPost, accept
from service.queue.service import QueueRules
from service.tables import Narrative, QueueItem, StoredPost
from tests.unit.service.books import all_grouped, books_agree
from tests.unit.service.test_narratives import CHAT, HOAX, NOW, OTHER, RETOLD, account, belonging

SPACE = FakeScorer().space
LIMIT = 40
PATIENCE_S = 30.0
ROOT = Path(__file__).parents[3]
WORDS = "banjir pasar guru beras jalan lampu hujan bupati vaksin kartu pajak kuota sopir".split()


def send_stories(database: Database, count: int, *, first: int = 0) -> None:
    """Store stories, copied and retold, among posts of their own."""
    dice = random.Random(first)
    posts = [
        NewPost(
            text=dice.choice(
                [HOAX, RETOLD, OTHER, CHAT, f"Fwd: {HOAX}", " ".join(dice.choices(WORDS, k=9))]
            ),
            external_id=str(number),
            account=f"akun{dice.randrange(50)}",
            posted_at=NOW - timedelta(seconds=10_000 - number),
        )
        for number in range(first, first + count)
    ]
    accept(
        database,
        posts,
        FakeScorer().score_and_embed,
        QueueRules(threshold=1.0),
        model="fake-1",
    )


@contextmanager
def two_processes(database: Database) -> Iterator[Grouping]:
    grouping = Grouping(database, SPACE, second_process=True)
    try:
        yield grouping
    finally:
        grouping.release()


def group_all(grouping: Grouping) -> None:
    while True:
        grouped = grouping.group(limit=LIMIT)
        if not grouped.posts and not grouped.more:
            return


def copying() -> bool:
    """Return whether a thread copies SQLite's log back."""
    return "copy-back" in {thread.name for thread in threading.enumerate()}


def remembered(database: Database) -> list[tuple[Any, ...]]:
    with database.read() as session:
        rows = session.execute(
            select(Narrative.id, Narrative.posts, Narrative.centre, Narrative.profile).order_by(
                Narrative.id
            )
        )
        return [tuple(row) for row in rows]


def test_a_second_process_places_as_the_first_one_does(database: Database) -> None:
    send_stories(database, 5 * LIMIT + 7)
    with two_processes(database) as grouping:
        grouping.group(limit=LIMIT)
        assert len(multiprocessing.active_children()) == 1
        assert copying() == database.is_sqlite
        group_all(grouping)
    assert not multiprocessing.active_children()
    assert not copying()
    found, states = belonging(database), remembered(database)
    books_agree(database)

    with database.write() as session:  # and once more, by one process
        session.execute(StoredPost.__table__.update().values(narrative_id=None))  # type: ignore[attr-defined]
    with database.write() as session:
        for table in ("digests", "narrative_accounts", "narrative_buckets", "narratives"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
        session.connection().exec_driver_sql(
            "UPDATE narrative_head SET next_id = 1, version = version + 1"
        )
    alone = Grouping(database, SPACE)
    group_all(alone)

    assert belonging(database) == found
    assert remembered(database) == states


def test_where_few_posts_wait_there_is_one_process(database: Database) -> None:
    send_stories(database, LIMIT - 1)
    with two_processes(database) as grouping:
        group_all(grouping)
        assert not multiprocessing.active_children()


def test_what_is_merged_while_the_next_posts_are_placed_is_seen(database: Database) -> None:
    send_stories(database, 4 * LIMIT)
    person = account(database)
    with two_processes(database) as grouping:
        assert grouping.group(limit=LIMIT).posts == LIMIT
        gone, *others = dict.fromkeys(belonging(database)[:LIMIT])
        assert gone
        assert others[0]
        with database.write() as session:
            service.merge(session, gone, others[0], actor=person, now=NOW, space=SPACE)
        refused = grouping.group(limit=LIMIT)
        assert (refused.posts, refused.more) == (0, True)
        group_all(grouping)
    all_grouped(database)
    books_agree(database)
    assert gone not in belonging(database)


def test_posts_deleted_while_they_are_placed_take_no_others_along(database: Database) -> None:
    send_stories(database, 3 * LIMIT)
    with two_processes(database) as grouping:
        assert grouping.group(limit=LIMIT).posts == LIMIT
        with database.write() as session:
            ids = session.scalars(select(StoredPost.id).order_by(StoredPost.id)).all()
            session.execute(delete(QueueItem))
            session.execute(delete(StoredPost).where(StoredPost.id == ids[LIMIT + 3]))
        group_all(grouping)
    assert len(belonging(database)) == 3 * LIMIT - 1
    all_grouped(database)
    books_agree(database)


def test_a_second_process_that_is_killed_is_done_without(database: Database) -> None:
    send_stories(database, 4 * LIMIT)
    with two_processes(database) as grouping:
        assert grouping.group(limit=LIMIT).posts == LIMIT
        (child,) = multiprocessing.active_children()
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(PATIENCE_S)
        group_all(grouping)
    all_grouped(database)
    books_agree(database)


def test_when_nothing_waits_for_long_the_second_process_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_stories(database, 2 * LIMIT)
    with two_processes(database) as grouping:
        group_all(grouping)
        assert len(multiprocessing.active_children()) == 1
        monkeypatch.setattr(rules, "REST_S", -1.0)
        grouping.group(limit=LIMIT)
        assert not multiprocessing.active_children()
        send_stories(database, 3, first=2 * LIMIT)
        group_all(grouping)
    all_grouped(database)
    books_agree(database)


PROGRAM = """
import multiprocessing, sys, time
from models.fake import FakeScorer
from service.database import Database
from service.narratives.grouping import Grouping
if __name__ == "__main__":
    grouping = Grouping(Database(sys.argv[1]), FakeScorer().space, second_process=True)
    grouping.group(limit=40)
    print(multiprocessing.active_children()[0].pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_the_second_process_ends_with_the_first_however_that_ends(
    database: Database, tmp_path: Path
) -> None:
    send_stories(database, 3 * LIMIT)
    file = tmp_path / "first.py"
    file.write_text(PROGRAM, encoding="utf-8")
    url = database.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, str(file), url],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as first:
        assert first.stdout is not None
        second = int(first.stdout.readline())
        first.kill()
    until = monotonic() + PATIENCE_S
    while _runs(second) and monotonic() < until:
        sleep(0.05)
    assert not _runs(second)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
