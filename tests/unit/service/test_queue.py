"""Intake and queue: nothing twice, the worst first, one person per item, undo for everything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select

from models.fake import FakeScorer
from service.audit import trail as audit
from service.database import Database
from service.errors import NotFound, NothingToUndo, NotYours, Taken
from service.posts.intake import Accepted, NewPost, accept, expected_reach, post_key
from service.queue import repository
from service.queue import service as queue
from service.queue.repository import Filters
from service.queue.service import QueueRules, cohen_kappa, priority
from service.tables import Account, QueueItem, State, StoredPost, Verdict

ALL = QueueRules(threshold=0.0, second_review_share=0.0, second_review_labels=())
People = dict[str, Account]


def take_in(database: Database, *posts: NewPost, rules: QueueRules = ALL) -> list[Accepted]:
    return accept(database, posts, FakeScorer().score_and_embed, rules, model="fake-1")


def texts(count: int) -> list[NewPost]:
    return [NewPost(text=f"kabar nomor {i} dari pasar induk", platform="x") for i in range(count)]


def listed(database: Database, viewer: Account, **wanted: object) -> list[int]:
    with database.read() as session:
        found = repository.page(session, Filters(**wanted), viewer_id=viewer.id)  # type: ignore[arg-type]
        return [i.id for i in found.items]


def do(database: Database, step: Callable[..., QueueItem], *args: object, **more: object) -> State:
    with database.write() as session:
        return State(step(session, *args, **more).state)


def lapse(database: Database, item_id: int) -> None:
    with database.write() as session:
        item = session.get(QueueItem, item_id)
        assert item is not None
        item.claim_until = datetime.now(UTC) - timedelta(seconds=1)


def test_a_post_is_the_same_post_by_its_number_or_else_by_its_words() -> None:
    numbered = NewPost(text="a b c", platform="x", external_id="7")
    assert post_key(numbered) == post_key(replace(numbered, text="edited since"))
    assert post_key(numbered) != post_key(replace(numbered, platform="facebook"))
    plain = NewPost(text="Bantuan CAIR hari ini! https://a.example")
    assert post_key(plain) == post_key(NewPost(text="bantuan cair hari ini"))
    assert post_key(plain) != post_key(NewPost(text="bantuan cair besok"))
    timed = replace(plain, posted_at=datetime(2026, 3, 1, 1, 30, tzinfo=UTC))
    wib = timed.posted_at and timed.posted_at.astimezone(timezone(timedelta(hours=7)))
    assert post_key(timed) == post_key(replace(timed, posted_at=wib))
    assert post_key(timed) != post_key(plain)


def test_keys_of_posts_stand_in_the_order_of_their_time() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    minutes = [start + timedelta(minutes=n) for n in range(50)]
    by_words = [NewPost(text=f"kabar {n % 3}", posted_at=at) for n, at in enumerate(minutes)]
    by_number = [  # as X numbers its posts: milliseconds since its own year nought, then a counter
        NewPost(text="a", external_id=str(int((at.timestamp() * 1000) - 1288834974657) << 22))
        for at in minutes
    ]
    for posts in (by_words, by_number):
        keys = [post_key(post) for post in posts]
        assert keys == sorted(keys)
        assert len(set(keys)) == len(posts)


def test_a_post_sent_again_is_counted_and_not_stored_twice(database: Database) -> None:
    first = take_in(database, NewPost(text="sebarkan sekarang juga", engagement={"likes": 1}))
    again = take_in(
        database,
        NewPost(text="Sebarkan SEKARANG juga!!", engagement={"shares": 900}),
        NewPost(text="sebarkan sekarang juga"),
    )
    assert [a.seen_before for a in (*first, *again)] == [False, True, True]
    assert len({a.post.id for a in (*first, *again)}) == 1
    with database.read() as session:
        (post,) = session.scalars(select(StoredPost))
        assert post.seen == 3
        assert post.reach == expected_reach({"likes": 1, "shares": 900})
        assert (
            session.scalars(select(QueueItem)).one().priority
            > priority(post.risk, expected_reach({"likes": 1}), post.received_at, ALL) - 0.01
        )


def test_only_what_reaches_the_threshold_is_queued(database: Database) -> None:
    risky = [NewPost(text=f"sebarkan, rahasia nomor {i} terbongkar") for i in range(5)]
    done = take_in(database, *texts(20), *risky, rules=replace(ALL, threshold=0.5))
    assert {a.queued for a in done} == {True, False}
    assert all(a.queued == (a.post.risk >= 0.5) for a in done)


def test_priority_weighs_risk_reach_and_age() -> None:
    now = datetime.now(UTC)
    base = priority(0.5, 1000, now, ALL)
    assert priority(0.9, 1000, now, ALL) > base
    assert priority(0.5, 9000, now, ALL) > base
    older = now - timedelta(hours=ALL.half_life_hours)
    assert priority(0.5, 1000, older, ALL) < base
    assert priority(1.0, 1000, older, ALL) == pytest.approx(base)
    # A harmless post that everyone sees does not hide a risky one that few do.
    assert priority(0.9, 100, now, ALL) > priority(0.02, 100_000, now, ALL)


def test_pages_give_every_item_once_in_order(database: Database, people: People) -> None:
    take_in(database, *texts(23))
    seen: list[tuple[float, int]] = []
    after = None
    with database.read() as session:
        while True:
            part = repository.page(session, Filters(), viewer_id=1, after=after, limit=5)
            seen += [(i.priority, i.id) for i in part.items]
            after = part.next
            if after is None:
                break
    assert len(set(seen)) == 23
    assert seen == sorted(seen, reverse=True)


def test_filters_choose(database: Database, people: People) -> None:
    take_in(database, *texts(3), NewPost(text="Air KERAN 100% aman_sekali", platform="facebook"))
    ani = people["ani"]
    assert len(listed(database, ani)) == 4
    assert len(listed(database, ani, platform="facebook")) == 1
    assert len(listed(database, ani, words="keran aman_")) == 1
    assert listed(database, ani, words="nomor%") == []
    assert listed(database, ani, minimum_risk=1.1) == []
    assert listed(database, ani, seen_after=datetime.now(UTC) + timedelta(hours=1)) == []
    assert len(listed(database, ani, state=State.NEW)) == 4
    assert listed(database, ani, state=State.DECIDED) == []


def test_two_people_never_hold_one_item(database: Database, people: People) -> None:
    take_in(database, *texts(1))
    (item,) = listed(database, people["ani"])
    do(database, queue.claim, item, people["ani"], ALL)
    do(database, queue.claim, item, people["ani"], ALL)  # one's own lease is renewed
    with pytest.raises(Taken, match="ani is working on it"):
        do(database, queue.claim, item, people["budi"], ALL)
    with pytest.raises(NotYours):
        do(database, queue.decide, item, people["budi"], Verdict.HOAX)
    lapse(database, item)
    with pytest.raises(NotYours, match="ended"):
        do(database, queue.decide, item, people["ani"], Verdict.HOAX)
    assert listed(database, people["ani"], state=State.NEW) == [item]
    do(database, queue.claim, item, people["budi"], ALL)
    assert do(database, queue.decide, item, people["budi"], Verdict.HOAX) is State.DECIDED


def test_many_who_ask_for_the_next_item_each_get_another(
    database: Database, people: People
) -> None:
    take_in(database, *texts(24))
    got: list[int] = []
    lock = threading.Lock()

    def work(person: Account) -> None:
        while True:
            with database.write() as session:
                item = queue.claim_next(session, person, ALL)
                if item is None:
                    return
                number = item.id
            with lock:
                got.append(number)

    workers = [threading.Thread(target=work, args=(p,)) for p in people.values()]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(got) == sorted(set(got))
    assert len(got) == 24


def test_a_claim_is_released_or_handed_over(database: Database, people: People) -> None:
    take_in(database, *texts(1))
    ani, budi = people["ani"], people["budi"]
    (item,) = listed(database, ani)
    do(database, queue.claim, item, ani, ALL)
    assert do(database, queue.hand_over, item, ani, budi, ALL) is State.CLAIMED
    with pytest.raises(NotYours):
        do(database, queue.release, item, ani)
    assert do(database, queue.release, item, budi) is State.NEW
    with pytest.raises(NotFound):
        do(database, queue.claim, 999, ani, ALL)


def test_every_verdict_can_be_undone_and_stays_on_record(
    database: Database, people: People
) -> None:
    take_in(database, *texts(2))
    ani = people["ani"]
    first, second = listed(database, ani)
    for item, verdict in ((first, Verdict.HOAX), (second, Verdict.VALID)):
        do(database, queue.claim, item, ani, ALL)
        do(database, queue.decide, item, ani, verdict, note="cek", evidence=["https://a.example"])
    assert listed(database, ani) == []
    assert do(database, queue.undo, ani) is State.NEW
    assert listed(database, ani) == [second]
    do(database, queue.undo, ani, first)
    assert listed(database, ani) == [first, second]
    with pytest.raises(NothingToUndo):
        do(database, queue.undo, ani)
    with database.read() as session:
        reviews = session.get(QueueItem, first).reviews  # type: ignore[union-attr]
        assert [(r.verdict, r.note, r.undone_at is None) for r in reviews] == [
            ("hoax", "cek", False)
        ]
        actions = [row.action for row in audit.rows(session)]
        assert actions.count("queue.verdict") == actions.count("queue.undo") == 2


def test_needs_more_leaves_the_item_to_someone_else(database: Database, people: People) -> None:
    take_in(database, *texts(1))
    ani, budi = people["ani"], people["budi"]
    (item,) = listed(database, ani)
    do(database, queue.claim, item, ani, ALL)
    assert do(database, queue.decide, item, ani, Verdict.NEEDS_MORE) is State.REOPENED
    assert listed(database, ani) == []
    assert listed(database, budi, state=State.REOPENED) == [item]
    do(database, queue.claim, item, budi, ALL)
    assert do(database, queue.decide, item, budi, Verdict.VALID) is State.DECIDED


def test_a_second_verdict_is_blind_and_a_third_settles(database: Database, people: People) -> None:
    twice = replace(ALL, second_review_share=1.0)
    take_in(database, *texts(2), rules=twice)
    ani, budi, citra = people.values()
    first, second = listed(database, ani)
    for item in (first, second):
        do(database, queue.claim, item, ani, twice)
        assert do(database, queue.decide, item, ani, Verdict.HOAX) is State.NEW
        with pytest.raises(Taken, match="second person"):
            do(database, queue.claim, item, ani, twice)
    assert listed(database, ani) == []
    for item, verdict, state in (
        (first, Verdict.HOAX, State.DECIDED),
        (second, Verdict.VALID, State.REOPENED),
    ):
        do(database, queue.claim, item, budi, twice)
        assert do(database, queue.decide, item, budi, verdict) is state
    do(database, queue.claim, second, citra, twice)
    assert do(database, queue.decide, second, citra, Verdict.VALID) is State.DECIDED
    with database.read() as session:
        item_row = session.get(QueueItem, second)
        assert item_row is not None
        assert item_row.verdict == "valid"
        found = queue.agreement(session)
        assert (found.pairs, found.alike) == (2, 0.5)


def test_a_decided_item_is_reopened_with_a_reason(database: Database, people: People) -> None:
    take_in(database, *texts(1))
    ani, budi = people["ani"], people["budi"]
    (item,) = listed(database, ani)
    do(database, queue.claim, item, ani, ALL)
    do(database, queue.decide, item, ani, Verdict.VALID)
    assert do(database, queue.reopen, item, budi, "bukti baru") is State.REOPENED
    do(database, queue.claim, item, budi, ALL)
    do(database, queue.decide, item, budi, Verdict.HOAX)
    with database.read() as session:
        assert session.get(QueueItem, item).verdict == "hoax"  # type: ignore[union-attr]


def test_undo_on_an_item_that_was_reopened_leaves_it_open(
    database: Database, people: People
) -> None:
    ani, budi, citra = people.values()
    take_in(database, *texts(1))
    (number,) = listed(database, ani)
    for who, verdict in ((ani, Verdict.NEEDS_MORE), (budi, Verdict.HOAX)):
        do(database, queue.claim, number, who, ALL)
        do(database, queue.decide, number, who, verdict)
    do(database, queue.reopen, number, citra, "bukti baru")
    with database.write() as session:
        item = queue.undo(session, ani, number)
        assert (item.open, item.verdict, item.decided_at) == (True, None, None)


def test_a_search_of_who_sees_no_names_finds_none(database: Database, people: People) -> None:
    take_in(database, NewPost(text="sebarkan kata @budisantoso vaksin itu racun"))
    ani = people["ani"]
    assert len(listed(database, ani, words="budisan")) == 1
    assert listed(database, ani, words="budisan", masked=True) == []
    assert len(listed(database, ani, words="vaksin", masked=True)) == 1


def test_kappa_is_cohens() -> None:
    # Cohen's own kind of table: 20 both yes, 5 and 10 apart, 15 both no gives 0.4.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs).kappa == pytest.approx(0.4)
    assert cohen_kappa([]).kappa is None
    assert cohen_kappa([("y", "y")]).kappa is None
