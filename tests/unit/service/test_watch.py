"""Watching: a round measures, names and tells of several narratives, each by its own posts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from models.fake import FakeScorer
from pipeline.spread import Stage
from service.alerts.service import AlertRules
from service.database import Database
from service.narratives import watch
from service.narratives.grouping import MEASURE, RETITLE
from service.tables import Alert, Narrative, NarrativeBucket, NarrativeEvent, StoredPost
from tests.unit.service.alerting import HOAX, NOW, story

SPACE = FakeScorer().space
WATER = ["Air keran kota dicampur racun, jangan diminum!", "Awas air keran dicampur racun"] * 2
LOTTERY = ["Undian mobil listrik dari bank pusat", "Kirim kode untuk undian mobil listrik"] * 2


def work(database: Database, *, now: Any = NOW, most: int = watch.ROUND) -> int:
    with database.write() as session:
        return watch.work(session, SPACE, now=now, rules=AlertRules(), most=most)


def own_words(database: Database) -> None:
    """Let every post be its own wording, as the grouping says of what is no copy."""
    with database.write() as session:
        session.execute(update(StoredPost).values(variant_id=StoredPost.id))


def narrative(database: Database, number: int) -> Narrative:
    with database.read() as session:
        return session.get_one(Narrative, number)


def test_narratives_of_one_round_are_measured_each_by_its_own_posts(database: Database) -> None:
    posts = {1: 1, 2: 5, 3: 230, 4: 3}
    for number, count in posts.items():
        story(database, number, [f"{HOAX} {i}" for i in range(count)], due=MEASURE)
    with database.write() as session:  # the posts before the latest 200, as they are counted
        at = int((NOW - timedelta(minutes=230)).timestamp()) // 600 * 600
        session.add(NarrativeBucket(narrative_id=3, at=at, posts=30, risky=30, reach=300))

    assert work(database) == 4

    for number, count in posts.items():
        spread = narrative(database, number).spread
        assert spread is not None
        assert spread["posts"] == count
        assert spread["reach"] == 10 * count
        assert spread["accounts"] == min(count, watch.MOMENTS)
    assert work(database) == 0


def test_what_a_round_of_one_finds_is_what_a_round_of_all_finds(database: Database) -> None:
    for number, count in ((1, 2), (2, 7), (3, 4), (4, 12), (5, 1), (6, 3)):
        story(database, number, [f"{HOAX} {i}" for i in range(count)], due=MEASURE, stage="quiet")
    own_words(database)

    def found(most: int) -> list[Any]:
        while work(database, most=most):
            pass
        with database.write() as session:
            columns = ("stage", "reasons", "spread", "heat", "look_at", "title", "keywords", "due")
            told = session.execute(
                select(*(getattr(Narrative, name) for name in columns)).order_by(Narrative.id)
            ).all()
            again = {"stage": "quiet", "stage_since": None, "due": MEASURE, "titled_posts": 1}
            session.execute(update(Narrative).values(**again))
        return list(told)

    assert found(watch.ROUND) == found(1)


def test_each_is_named_by_its_own_posts_and_not_by_their_copies(database: Database) -> None:
    story(database, 1, WATER, due=RETITLE, stage="quiet", stage_since=None)
    story(database, 2, LOTTERY * 6, due=RETITLE, stage="quiet", stage_since=None)
    story(database, 3, [*WATER, *LOTTERY], due=RETITLE, stage="quiet", stage_since=None)
    own_words(database)
    with database.write() as session:
        water = session.scalars(
            select(StoredPost.id).where(StoredPost.narrative_id == 3).order_by(StoredPost.id)
        ).all()
        session.execute(
            update(StoredPost).where(StoredPost.id.in_(water[4:])).values(variant_id=water[0])
        )

    assert work(database) == 3

    for number, word, posts in ((1, "racun", 4), (2, "undian", 24), (3, "racun", 8)):
        named = narrative(database, number)
        assert word in named.title.lower()
        assert word in named.keywords
        assert named.titled_posts == posts
        assert named.spread is None
        with database.read() as session:
            assert named.title_post_id is not None
            assert session.get_one(StoredPost, named.title_post_id).narrative_id == number
    assert "undian" not in narrative(database, 3).keywords


def test_copies_of_what_was_deleted_still_name_a_narrative(database: Database) -> None:
    story(database, 1, WATER, due=RETITLE, variant_id=99)

    work(database)

    assert "racun" in narrative(database, 1).keywords


def test_an_alert_says_the_title_that_came_with_it(database: Database) -> None:
    texts = [f"Assalamualaikum semuanya. {text}" for text in WATER * 2]
    story(database, 1, texts, due=MEASURE, stage="quiet", stage_since=None)
    own_words(database)

    work(database)

    told = narrative(database, 1)
    assert told.stage == Stage.OBOR
    assert "racun" in told.title
    with database.read() as session:
        [alert] = session.scalars(select(Alert))
        [entered] = session.scalars(select(NarrativeEvent))
    assert alert.payload["title"] == told.title
    assert "racun" in alert.payload["keywords"]
    assert entered.details["from"] == "quiet"
    assert entered.details["reasons"] == told.reasons


def test_what_is_empty_or_merged_does_not_stand_in_the_way(database: Database) -> None:
    story(database, 1)
    story(database, 2, due=MEASURE, merged_into_id=1)
    story(database, 3, due=MEASURE, look_at=NOW)
    with database.write() as session:
        session.execute(update(Narrative).where(Narrative.id == 3).values(posts=0))
    with database.read() as session:
        assert watch.is_due(session, NOW)

    assert work(database) == 0

    with database.read() as session:
        assert not watch.is_due(session, NOW)
    assert narrative(database, 3).look_at is None


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_what_another_holds_is_left_to_it(database: Database) -> None:
    story(database, 1, due=MEASURE)
    story(database, 2, due=MEASURE)
    with database.write() as other:
        other.execute(select(Narrative.id).where(Narrative.id == 1).with_for_update())

        assert work(database) == 1

    assert [narrative(database, number).due for number in (1, 2)] == [MEASURE, 0]


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_no_round_reads_every_narrative_or_every_post(database: Database) -> None:
    for number in range(1, 5):
        story(database, number, WATER * (1 if number < 4 else 60), due=1 + number % 2)
    own_words(database)
    said: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        if statement.lstrip().startswith(("SELECT", "UPDATE")):
            said.append((statement, values[0] if many else values))

    event.listen(database.engine, "before_cursor_execute", listen)
    with database.read() as session:
        watch.is_due(session, NOW)
    while work(database):
        pass
    event.remove(database.engine, "before_cursor_execute", listen)

    assert sum("FROM narratives" in statement for statement, _ in said) >= 5
    with database.engine.connect() as connection:
        for statement, values in said:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            steps = " ".join(str(row[-1]) for row in plan)
            assert "SCAN narratives" not in steps, statement
            assert "SCAN posts" not in steps, statement


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("out_hours", "wakes"), [(20, False), (30, True)])
def test_what_comes_back_after_it_was_out_for_a_day_wakes(
    database: Database, out_hours: int, wakes: bool
) -> None:
    out_since = NOW - timedelta(hours=out_hours)
    story(database, 1, [f"{HOAX} {i}" for i in range(3)], due=MEASURE, stage="padam")
    with database.write() as session:
        session.get_one(Narrative, 1).stage_since = out_since

    assert work(database) == 1

    found = narrative(database, 1)
    assert found.stage in (Stage.LILIN, Stage.OBOR)
    assert found.woke_at == (NOW if wakes else None)

    with database.write() as session:  # and is awake from then on
        session.get_one(Narrative, 1).due = MEASURE
    work(database, now=NOW + timedelta(minutes=5))
    assert narrative(database, 1).woke_at == (NOW if wakes else None)
