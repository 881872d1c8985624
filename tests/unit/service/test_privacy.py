"""What others may read is masked, and what is older than its time is deleted, on both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from models.fake import FakeScorer
from service.accounts import access, limits
from service.accounts.access import ROLES, Caller
from service.app import create_app
from service.audit import trail as audit
from service.database import Database
from service.errors import PrivateSearch
from service.posts.intake import NewPost, accept
from service.privacy.masking import check_search
from service.privacy.purge import BATCH, Purged, purge, would_purge
from service.queue import service as queue
from service.queue.service import QueueRules
from service.settings import Settings
from service.tables import (
    Account,
    AuditRow,
    FeedPost,
    FeedReject,
    FeedState,
    IdempotentAnswer,
    QueueItem,
    Review,
    SignIn,
    StoredFeed,
    StoredPost,
    Table,
    Tally,
    Verdict,
)

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=400)
YEAR = timedelta(days=365)
RULES = QueueRules(threshold=0.5, second_review_share=0.0, second_review_labels=())
SECRETS = ("3174091203850004", "0812-3456-7890", "budi@contoh.id", "@budi_asli", "budi_asli")
TEXT = f"SEBARKAN! NIK {SECRETS[0]}, telepon {SECRETS[1]}, surel {SECRETS[2]}, akun {SECRETS[3]}"


# --- masking -----------------------------------------------------------------------------------


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    url = database.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, second_review_share=0.0)
    with TestClient(create_app(settings, scorer=FakeScorer())) as client:
        yield client


def key_of(database: Database, name: str, role: str) -> dict[str, str]:
    with database.write() as session:
        account, _ = access.create_account(session, name, role, actor="test")
        scopes = [right.value for right in ROLES[role]]
        key = access.create_key(session, account, "test", scopes, actor="test")
    return {"Authorization": f"Bearer {key}"}


def decided_by_api(client: TestClient, who: dict[str, str]) -> int:
    post = {
        "text": TEXT,
        "platform": "x",
        "account": "@budi_asli",
        "external_id": "budi_asli/1",
        "url": "https://x.com/budi_asli/status/1",
    }
    sent = client.post("/v1/posts", headers=who, json={"posts": [post]}).json()["posts"][0]
    (item,) = client.get("/v1/queue", headers=who).json()["items"]
    base = f"/v1/queue/{item['id']}"
    client.post(f"{base}/claim", headers=who)
    verdict = {
        "verdict": "hoax",
        "note": f"sudah ditelepon ke {SECRETS[1]}, lihat {SECRETS[3]}",
        "evidence": ["https://t.me/budi_asli"],
    }
    assert client.post(f"{base}/verdict", headers=who, json=verdict).status_code == 200
    number: int = sent["id"]
    return number


def test_who_may_not_see_private_data_finds_none_of_it_in_any_answer(
    client: TestClient, database: Database
) -> None:
    moderator, reader = key_of(database, "ani", "moderator"), key_of(database, "dewi", "reader")
    post = decided_by_api(client, moderator)
    answers = (f"/v1/posts/{post}", "/v1/queue?state=decided", "/v1/verdicts", "/v1/stats")
    for path in answers:
        whole, masked = (client.get(path, headers=who) for who in (moderator, reader))
        assert (whole.status_code, masked.status_code) == (200, 200), path
        assert not [secret for secret in SECRETS if secret in masked.text], path
    assert "<NIK>" in client.get(answers[0], headers=reader).text
    assert SECRETS[0] in client.get(answers[0], headers=moderator).text
    assert SECRETS[1] in client.get(answers[1], headers=moderator).text


def test_the_reason_of_a_step_goes_into_the_trail_without_numbers(
    client: TestClient, database: Database
) -> None:
    analyst = key_of(database, "citra", "analyst")
    decided_by_api(client, analyst)
    why = {"why": f"kata {SECRETS[3]} di {SECRETS[1]} keliru"}
    (item,) = client.get("/v1/queue?state=decided", headers=analyst).json()["items"]
    done = client.post(f"/v1/queue/{item['id']}/reopen", headers=analyst, json=why)
    assert done.status_code == 200
    with database.read() as session:
        said = str([row.details for row in audit.rows(session)])
    assert "kata @USER di <TELP> keliru" in said
    assert not [secret for secret in SECRETS if secret in said]


def caller(role: str) -> Caller:
    return Caller(account=Account(name="x", role=role), via="test", rights=ROLES[role])


@pytest.mark.parametrize(
    "words",
    ["0812", "081 345", "8123", "081x812y345", "@budi", "budi@contoh.id", "317409", "12 34 5"],
)
def test_masked_numbers_cannot_be_found_bit_by_bit_by_searching(words: str) -> None:
    with pytest.raises(PrivateSearch):
        check_search(words, caller("reader"))
    check_search(words, caller("moderator"))


@pytest.mark.parametrize("words", ["pemilu 2024", "covid 19", "vaksin", "pasal 27", "", None])
def test_ordinary_words_and_years_can_be_searched_by_everyone(words: str | None) -> None:
    check_search(words, caller("reader"))


def test_the_queue_refuses_such_a_search(client: TestClient, database: Database) -> None:
    reader = key_of(database, "dewi", "reader")
    refused = client.get("/v1/queue?words=0812", headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "private-search")


# --- retention ---------------------------------------------------------------------------------


def store(database: Database, *texts: str, at: datetime) -> list[int]:
    scorer = FakeScorer()
    posts = [NewPost(text=text) for text in texts]
    accepted = accept(database, posts, scorer.score_and_embed, RULES, model="fake-1")
    ids = [a.post.id for a in accepted]
    with database.write() as session:
        for post in session.scalars(select(StoredPost).where(StoredPost.id.in_(ids))):
            post.received_at = at
    return ids


def decide(database: Database, account: Account, post: int) -> None:
    with database.write() as session:
        item = session.scalars(select(QueueItem).where(QueueItem.post_id == post)).one()
        queue.claim(session, item.id, account, RULES)
        queue.decide(session, item.id, account, Verdict.HOAX, note="lihat bukti")


def snapshot(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.read() as session:
        return {
            name: sorted((tuple(row) for row in session.execute(select(table))), key=str)
            for name, table in Table.metadata.tables.items()
        }


@pytest.fixture
def kept_and_gone(database: Database, people: dict[str, Account]) -> dict[str, list[int]]:
    """Fill the tables with what has to stay and what has to go; return the posts."""
    quiet, decided, waiting = store(
        database, "cuaca cerah", "SEBARKAN racun", "VIRALKAN undian", at=OLD
    )
    recent = store(database, "harga beras", "SEBARKAN chip", at=NOW - timedelta(days=364))
    for post in (decided, recent[1]):
        decide(database, people["ani"], post)
    account = people["ani"].id
    with database.write() as session:
        for number, (at, ends) in enumerate(
            ((NOW, NOW + timedelta(hours=1)), (NOW, NOW), (NOW - timedelta(hours=9), NOW + YEAR))
        ):
            session.add(
                SignIn(
                    hash=f"{number:064}",
                    account_id=account,
                    created_at=OLD,
                    last_seen_at=at,
                    expires_at=ends,
                )
            )
        for key, days in (("new", 1), ("old", 8)):
            at = NOW - timedelta(days=days)
            session.add(IdempotentAnswer(caller="c", key=key, request="r", answer={}, at=at))
        limits.add(session, "new", span_s=60, now=NOW.timestamp())
        limits.add(session, "old", span_s=60, now=OLD.timestamp())
    return {"gone": [quiet, decided], "kept": [waiting, *recent]}


def clean(database: Database, **more: Any) -> Purged:
    given = {
        "older_than": YEAR,
        "feeds_folder": Path("/nowhere"),
        "now": NOW,
        "actor": "test",
        "rest": lambda _: None,
    }
    return purge(database, **{**given, **more})


def test_purge_deletes_what_is_old_and_touches_nothing_else(
    database: Database, kept_and_gone: dict[str, list[int]]
) -> None:
    before = snapshot(database)
    found = clean(database)
    assert found == Purged(posts=2, items=1, reviews=1, answers=1, sessions=2, tallies=1)
    after = snapshot(database)
    gone = {name: set(map(str, before[name])) - set(map(str, after[name])) for name in before}
    added = {name: set(map(str, after[name])) - set(map(str, before[name])) for name in before}
    assert {name: len(rows) for name, rows in gone.items() if rows} == {
        "posts": 2,
        "queue": 1,
        "reviews": 1,
        "idempotent_answers": 1,
        "sign_ins": 2,
        "tallies": 1,
        "audit_head": 1,  # it moves on
    }
    assert {name for name, rows in added.items() if rows} == {"audit", "audit_head"}
    with database.read() as session:
        assert sorted(session.scalars(select(StoredPost.id))) == sorted(kept_and_gone["kept"])
        audit.verify(session)


def test_a_dry_run_counts_the_same_and_deletes_nothing(
    database: Database, kept_and_gone: dict[str, list[int]]
) -> None:
    before = snapshot(database)
    counted = would_purge(database, older_than=YEAR, now=NOW)
    assert snapshot(database) == before
    assert counted == clean(database)
    assert would_purge(database, older_than=YEAR, now=NOW) == Purged()


def test_without_a_retention_posts_stay_for_ever_and_the_rest_is_tidied(
    database: Database, kept_and_gone: dict[str, list[int]]
) -> None:
    assert would_purge(database, older_than=None, now=NOW) == Purged(
        answers=1, sessions=2, tallies=1
    )
    assert clean(database, older_than=None) == Purged(answers=1, sessions=2, tallies=1)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(StoredPost)) == 5


def test_the_trail_says_how_much_went_and_nothing_of_what(
    database: Database, kept_and_gone: dict[str, list[int]]
) -> None:
    clean(database)
    with database.read() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.action == "privacy.purge")).all()
    posts, rest = (row.details for row in rows)
    assert (posts["posts"], posts["items"], posts["reviews"]) == (2, 1, 1)
    assert rest == {"answers": 1, "sessions": 2, "tallies": 1}
    assert {row.actor for row in rows} == {"test"}


def test_a_run_that_is_killed_has_deleted_what_the_trail_says_and_the_next_goes_on(
    database: Database,
) -> None:
    store(database, *(f"kabar {n}" for n in range(25)), at=OLD)

    class Killed(BaseException):
        pass

    rests = 0

    def die(_: float) -> None:
        nonlocal rests
        rests += 1
        if rests == 2:
            raise Killed

    with pytest.raises(Killed):
        clean(database, batch=10, rest=die)

    def told() -> int:
        with database.read() as session:
            rows = session.scalars(select(AuditRow).where(AuditRow.action == "privacy.purge"))
            return sum(row.details.get("posts", 0) for row in rows)

    with database.read() as session:
        left = session.scalar(select(func.count()).select_from(StoredPost))
    assert (left, told()) == (5, 20)
    assert clean(database, batch=10).posts == 5
    assert told() == 25


def test_open_items_among_the_old_do_not_stop_the_rest(
    database: Database, people: dict[str, Account]
) -> None:
    store(database, *(f"SEBARKAN kabar {n}" for n in range(12)), at=OLD)
    plain = store(database, *(f"kabar {n}" for n in range(12)), at=OLD + timedelta(days=1))
    assert clean(database, batch=5).posts == len(plain)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(QueueItem)) == 12


def test_others_get_at_the_database_between_batches(database: Database) -> None:
    store(database, *(f"kabar {n}" for n in range(10)), at=OLD)
    counted: list[int] = []

    def look_in(seconds: float) -> None:
        assert 0 < seconds < 1
        with database.write() as session:  # would wait for ever if a batch were still open
            counted.append(limits.add(session, "other", span_s=60, now=NOW.timestamp()))

    clean(database, batch=3, rest=look_in)
    assert counted == [1, 2, 3]
    assert BATCH <= 1000


def feed(name: str, state: FeedState, at: datetime, folder: Path) -> StoredFeed:
    (folder / name).write_text("text\nkabar")
    return StoredFeed(
        name=name,
        file=name,
        bytes=10,
        digest=name,
        format="csv",
        created_at=at,
        state=state,
        total=10,
        rows=2,
    )


def test_old_feeds_go_with_their_files_and_those_in_work_stay(
    database: Database, tmp_path: Path
) -> None:
    (recent,) = store(database, "harga beras", at=NOW)
    with database.write() as session:
        feeds = [
            feed("old", FeedState.DONE, OLD, tmp_path),
            feed("working", FeedState.RUNNING, OLD, tmp_path),
            feed("new", FeedState.DONE, NOW, tmp_path),
        ]
        session.add_all(feeds)
        session.flush()
        for row in feeds:
            session.add(FeedPost(feed_id=row.id, row=1, post_id=recent))
            session.add(FeedReject(feed_id=row.id, row=2, line=3, field="text", reason="empty"))
    assert would_purge(database, older_than=YEAR, now=NOW).feeds == 1
    assert clean(database, feeds_folder=tmp_path) == Purged(feeds=1)
    assert sorted(path.name for path in tmp_path.iterdir() if "desk" not in path.name) == [
        "new",
        "working",
    ]
    with database.read() as session:
        assert session.scalars(select(StoredFeed.name).order_by(StoredFeed.id)).all() == [
            "working",
            "new",
        ]
        assert len(session.scalars(select(FeedPost)).all()) == 2
        assert len(session.scalars(select(FeedReject)).all()) == 2
        assert session.get(StoredPost, recent) is not None


# On SQLite alone: PostgreSQL's vacuum sees to it.
@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_what_was_deleted_is_not_left_in_the_file(database: Database) -> None:
    store(database, "cuaca cerah di kota rahasia-sekali", at=OLD)
    clean(database)
    database.close()
    file = Path(str(database.url.database))
    for kept in file.parent.glob(f"{file.name}*"):
        assert b"rahasia-sekali" not in kept.read_bytes()


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_who_reads_while_posts_are_deleted_is_waited_for(database: Database) -> None:
    store(database, "cuaca cerah di kota rahasia-sekali", at=OLD)
    file = Path(str(database.url.database))
    rests: list[float] = []
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM posts").fetchone()

        def rest(seconds: float) -> None:
            rests.append(seconds)
            reader.execute("ROLLBACK")

        clean(database, rest=rest)
        assert len(rests) == 1
        for kept in file.parent.glob(f"{file.name}*"):
            assert b"rahasia-sekali" not in kept.read_bytes()


def test_a_claimed_or_reopened_item_stays_with_its_verdicts(
    database: Database, people: dict[str, Account]
) -> None:
    first, second = store(database, "SEBARKAN satu", "SEBARKAN dua", at=OLD)
    decide(database, people["ani"], first)
    with database.write() as session:
        items = {i.post_id: i.id for i in session.scalars(select(QueueItem))}
        queue.reopen(session, items[first], people["budi"], "kurang bukti")
        queue.claim(session, items[second], people["budi"], RULES)
    assert clean(database).posts == 0
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Review)) == 1
        assert session.scalar(select(func.count()).select_from(Tally)) == 0
