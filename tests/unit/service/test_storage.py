"""Migrations, transactions and the audit trail, on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import sleep
from typing import Any, cast

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, select, text, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from models.fake import FakeScorer
from service.audit import trail as audit
from service.bulk import among, run_many
from service.database import CopyBack, Database
from service.errors import AuditBroken, DatabaseUnavailable, NotFound
from service.migrations import migrate
from service.narratives.grouping import Grouping
from service.posts.intake import NewPost, accept, post_key
from service.queue.service import QueueRules
from service.tables import AuditHead, AuditRow, NarrativeBucket, StoredPost, Table
from tests.unit.service.test_narratives import belonging, group, send


def write_rows(database: Database, count: int, actor: str = "ani") -> None:
    for i in range(count):
        with database.write() as session:
            audit.record(session, actor=actor, action="test", subject=f"item:{i}", number=i)


def write_and_fail(session: Session) -> None:
    audit.record(session, actor="ani", action="test", subject="x")
    raise NotFound("half way")


def test_migrations_make_the_tables_of_the_code_and_take_them_away(
    empty_database: Database,
) -> None:
    migrate(empty_database)
    with empty_database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Table.metadata)
    assert differences == []
    migrate(empty_database, "base")
    assert set(inspect(empty_database.engine).get_table_names()) <= {"alembic_version"}
    migrate(empty_database)
    write_rows(empty_database, 1)


def test_what_posts_were_found_by_survives_a_migration_back_and_forth(database: Database) -> None:
    told = "Mulai bulan depan rekening orang tua dipotong Rp150.000 untuk makan siang sekolah"
    space = FakeScorer().space
    send(database, [told, "Tadi pagi kereta penuh sekali sampai tidak bisa duduk"])
    group(database)

    migrate(database, "0009")
    migrate(database)
    send(database, [told, f"Fwd: {told}"], first=3)
    again = Grouping(database, space)
    group(database, again)

    assert belonging(database) == [1, 2, 1, 1]


def test_posts_are_known_again_after_keys_changed_back_and_forth(database: Database) -> None:
    wib = timezone(timedelta(hours=7))
    told = "Tadi pagi kereta penuh sekali sampai tidak bisa duduk"
    posts = [
        NewPost(text=told, platform="x", external_id="1735689600000000001"),
        NewPost(text=told, platform="x", external_id="7"),
        NewPost(text=told, platform="youtube", external_id="dQw4w9WgXcQ"),
        NewPost(text=told),
        NewPost(text=told, account="warga"),
        NewPost(text=told, account="warga", posted_at=datetime(2026, 3, 1, 1, 2, 3, 4, UTC)),
        NewPost(text=told, account="warga", posted_at=datetime(2026, 3, 1, 9, 2, 3, tzinfo=wib)),
        NewPost(text=told, posted_at=datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)),
    ]
    keys = [post_key(post) for post in posts]
    assert len(set(keys)) == len(posts)
    score = FakeScorer().score_and_embed
    accept(database, posts, score, QueueRules(threshold=0.9), model="fake-1")

    migrate(database, "0011")
    with database.write() as session:
        session.connection().exec_driver_sql(f"UPDATE posts SET key = key || '{'a' * 32}'")
    migrate(database)

    with database.read() as session:
        assert session.scalars(select(StoredPost.key).order_by(StoredPost.id)).all() == keys
    again = accept(database, posts, score, QueueRules(threshold=0.9), model="fake-1")
    assert all(found.seen_before for found in again)


def test_two_posts_that_become_the_same_one_are_both_kept(database: Database) -> None:
    at = datetime(2026, 3, 1, 9, tzinfo=UTC)
    posts = [
        NewPost(text="Kereta pagi ini penuh", account="warga", posted_at=at + timedelta(hours=n))
        for n in range(2)
    ]
    accept(database, posts, FakeScorer().score_and_embed, QueueRules(threshold=0.9), model="fake-1")
    migrate(database, "0012")
    with database.write() as session:  # as if the second had been sent with another time zone
        session.execute(update(StoredPost).values(posted_at=at))
    migrate(database)

    with database.read() as session:
        kept = session.scalars(select(StoredPost.key).order_by(StoredPost.id)).all()
    assert kept[0] == post_key(posts[0]) != kept[1]


def test_many_rows_are_written_and_found_again(database: Database) -> None:
    insert_row = insert(cast("Any", NarrativeBucket.__table__))
    rows = [
        {"narrative_id": 1, "at": n, "posts": n % 7, "risky": 0, "reach": 2**40 + n}
        for n in range(40_000)
    ]
    send(database, ["Tadi pagi kereta penuh sekali sampai tidak bisa duduk"])
    group(database)
    with database.write() as session:
        run_many(session, insert_row, rows)
        run_many(session, insert_row, [])
    wanted = [*range(0, 40_000, 2), 99_999]
    with database.read() as session:
        found = session.execute(
            select(NarrativeBucket.at, NarrativeBucket.reach).where(
                among(session, NarrativeBucket.at, wanted)
            )
        ).all()
        none = select(NarrativeBucket.at).where(among(session, NarrativeBucket.at, []))
        assert session.execute(none).all() == []
    assert sorted(found) == [(n, 2**40 + n) for n in range(0, 40_000, 2)]


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_the_log_is_copied_back_beside_who_writes(database: Database) -> None:
    file = Path(str(database.url.database))
    before = file.stat().st_size
    copying = CopyBack(database)
    try:
        for number in range(200):  # 8 MB, of which a writer copies nothing by itself
            with database.write() as session:
                audit.record(
                    session, actor="ani", action="test", subject="x" * 40_000, number=number
                )
            if file.stat().st_size > before + 2**20:
                break
            sleep(0.02)
        assert file.stat().st_size > before + 2**20
    finally:
        copying.close()
    with database.read() as session:
        assert audit.verify(session).rows == number + 1


def test_a_failed_transaction_leaves_no_trace(database: Database) -> None:
    with pytest.raises(NotFound), database.write() as session:
        write_and_fail(session)
    with database.read() as session:
        assert audit.verify(session).rows == 0


def test_many_writers_make_one_unbroken_trail(database: Database) -> None:
    writers = [threading.Thread(target=write_rows, args=(database, 15, f"w{i}")) for i in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with database.read() as session:
        assert audit.verify(session).rows == 90


def test_the_trail_refuses_changes(database: Database) -> None:
    write_rows(database, 3)
    for statement in ("UPDATE audit SET actor = 'x' WHERE id = 2", "DELETE FROM audit"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        ("UPDATE audit SET actor = 'x' WHERE id = 2", "row 2"),
        ("DELETE FROM audit WHERE id = 2", "row 2 .* missing"),
        ("DELETE FROM audit WHERE id = 3", "cut off"),
    ],
)
def test_whoever_gets_round_the_refusal_is_found_out(
    database: Database, tamper: str, said: str
) -> None:
    write_rows(database, 3)
    triggers = (
        ["DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"]
        if database.is_sqlite
        else ["DROP TRIGGER audit_no_change ON audit"]
    )
    with database.write() as session:
        for statement in (*triggers, tamper):
            session.execute(text(statement))
    with database.read() as session, pytest.raises(AuditBroken, match=said):
        audit.verify(session)


def test_the_head_of_the_trail_is_the_hash_of_its_last_row(database: Database) -> None:
    write_rows(database, 2)
    with database.read() as session:
        head, last = session.get(AuditHead, 1), session.get(AuditRow, 2)
        assert head is not None
        assert last is not None
        assert audit.verify(session).head == head.hash == last.hash


@pytest.mark.parametrize("url", ["mysql://x/y", "not a url", ""])
def test_a_database_that_lilin_does_not_run_on_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        Database(url)


def test_a_database_that_is_gone_is_said_plainly() -> None:
    gone = Database("postgresql://lilin@/desk?host=/nonexistent")
    with pytest.raises(DatabaseUnavailable, match="try again"), gone.read() as session:
        session.execute(text("SELECT 1"))
