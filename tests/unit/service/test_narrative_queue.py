"""The queue as narratives see it: one row for each, one verdict for all, on both databases."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update

from service.database import Database
from service.narratives import repository as narratives
from service.queue import grouped, repository
from service.queue.repository import Filters
from service.tables import Account, QueueItem, StoredPost
from tests.unit.service.stories import items_of, tell

Enter = Callable[..., TestClient]
People = dict[str, Account]


def everything(
    database: Database, filters: Filters, viewer_id: int, limit: int
) -> list[tuple[int, int]]:
    """Return the rows of all pages: item, and how many stand behind it."""
    out: list[tuple[int, int]] = []
    after = None
    with database.read() as session:
        for _ in range(10_000):
            page = grouped.page(session, filters, viewer_id=viewer_id, after=after, limit=limit)
            assert len(page.rows) <= limit
            out += [(row.item.id, row.others) for row in page.rows]
            after = page.next
            if after is None:
                return out
    raise AssertionError("the pages have no end")


def expected(database: Database, filters: Filters, viewer_id: int) -> list[tuple[int, int]]:
    """Return what the rows should be, reckoned from the plain list."""
    with database.read() as session:
        items = repository.page(session, filters, viewer_id=viewer_id, limit=10_000).items
    leads: dict[Any, list[int]] = {}
    for item in items:
        story = item.post.narrative_id
        leads.setdefault(("alone", item.id) if story is None else story, []).append(item.id)
    return [(numbers[0], len(numbers) - 1) for numbers in leads.values()]


@pytest.mark.parametrize("seed", range(4))
def test_every_narrative_has_one_row_however_the_pages_are_cut(
    database: Database, people: People, seed: int
) -> None:
    rng = random.Random(seed)
    posts: list[int] = []
    for number in range(1, 8):
        many = rng.choice([1, 2, 3, 9, 30])
        posts += tell(database, number, [f"kabar {number} {i}" for i in range(many)])
    posts += tell(database, 90, [f"belum dikelompokkan {i}" for i in range(6)])
    with database.write() as session:
        session.execute(
            update(StoredPost).where(StoredPost.narrative_id == 90).values(narrative_id=None)
        )
        for item in session.scalars(select(QueueItem)):  # many of one priority
            item.priority = float(rng.randint(0, 4))
            item.label = rng.choice(["hoax", "valid"])
    me = people["ani"].id
    for filters in (Filters(), Filters(label="hoax")):
        wanted = expected(database, filters, me)
        for limit in (1, 3, 50):
            assert everything(database, filters, me, limit) == wanted


def test_a_great_narrative_hides_nobody_and_a_page_stays_bounded(
    database: Database, people: People
) -> None:
    for number in (1, 2):
        tell(database, number, [f"sebarkan {number} {i}" for i in range(300)], shares=[10**6])
    (other,) = tell(database, 3, ["sebarkan lain"])
    rows = everything(database, Filters(), people["ani"].id, 25)
    assert sorted(others for _, others in rows) == [0, 299, 299]
    assert rows[-1][0] == items_of(database, [other])[0].id


def test_where_single_items_are_looked_for_each_has_its_row(
    database: Database, enter: Enter
) -> None:
    tell(database, 1, [f"sebarkan {i}" for i in range(4)])
    tell(database, 2, ["lain"])
    ani = enter("ani")

    def rows(query: str) -> int:
        return ani.get(f"/{query}").text.count('type="checkbox" form="banyak"')

    assert rows("") == 2
    assert rows("?narasi=1") == 4
    assert rows("?cari=sebarkan") == 4
    assert rows("?status=new") == 5
    assert rows("?narasi=x") == 2
    assert rows("?narasi=99") == 0
    assert ani.get("/v1/queue?narrative=1").json()["next"] is None
    assert len(ani.get("/v1/queue?narrative=1").json()["items"]) == 4


def test_a_row_tells_its_narrative_and_how_many_stand_behind(
    database: Database, enter: Enter
) -> None:
    tell(database, 7, [f"sebarkan {i}" for i in range(4)], title="Kabar bank", stage="obor")
    page = enter("ani").get("/").text
    row = page[page.index('<ol class="list queue">') : page.index("</ol>")]
    assert 'href="/narasi/7"' in row
    assert "Kabar bank" in row
    assert "Obor" in row
    assert "+3 lagi di antrean" in row
    assert 'href="/?narasi=7"' in row


def test_when_the_first_item_is_decided_the_next_of_its_narrative_leads(
    database: Database, enter: Enter
) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b", "sebarkan c"], shares=[3, 2, 1])
    items = [item.id for item in items_of(database, posts)]
    order = sorted(items, key=lambda n: -_priority(database, n))
    ani = enter("ani")
    for i, number in enumerate(order[:-1]):
        answer = ani.post(f"/antrean/{number}/putus", data={"putusan": "hoax"})
        assert f"pilih={order[i + 1]}" in answer.headers["location"]
        assert f'value="{order[i + 1]}" aria-label' in ani.get("/").text


def _priority(database: Database, number: int) -> float:
    with database.read() as session:
        return session.get_one(QueueItem, number).priority


def test_the_pane_decides_the_whole_narrative_and_leads_back(
    database: Database, enter: Enter
) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b", "sebarkan c"])
    (other,) = tell(database, 2, ["lain sekali"])
    ani = enter("ani")
    for path in ("/", f"/kiriman/{posts[0]}"):
        page = ani.get(path).text
        assert "Putuskan 3 kiriman narasi ini" in page, path
    answer = ani.post("/narasi/1/putus", data={"putusan": "hoax", "kembali": "/?platform=x"})
    assert answer.headers["location"].startswith("/?platform=x")
    page = ani.get(answer.headers["location"]).text
    assert "Narasi diputus: Hoaks. 3 kiriman diputuskan." in page
    assert 'action="/narasi/1/batal-putusan"' in page
    assert re.findall(r'name="butir" value="(\d+)" aria', page) == [
        str(items_of(database, [other])[0].id)
    ]


# SQLite's plan does not depend on what is stored; PostgreSQL's does, so enough is stored for it.
def test_the_items_of_a_narrative_are_found_by_its_posts(
    database: Database, people: People
) -> None:
    for number in range(1, 6):
        tell(database, number, [f"sebarkan {number} {i}" for i in range(200)])
    with database.write() as session:
        session.execute(text("ANALYZE"))
    now = datetime.now(UTC)
    me = people["ani"].id
    by_priority = (QueueItem.priority.desc(), QueueItem.id.desc())
    queries = [
        repository.matches(Filters(narrative_id=3), me, now)
        .with_only_columns(QueueItem.id)
        .order_by(*by_priority)
        .limit(26),
        narratives.open_items(3, me).order_by(QueueItem.id),
    ]
    for query in queries:
        compiled = query.compile(database.engine, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        with database.engine.connect() as connection:
            plan = connection.exec_driver_sql(f"{explain} {compiled}").all()
        said = " ".join(str(row[-1]) for row in plan)
        assert "ix_posts_narrative_id_event_at" in said, said
        assert "ix_queue_open" not in said, said


def test_the_list_of_narratives_is_answered_from_its_index(database: Database) -> None:
    query = (
        "SELECT id FROM narratives WHERE merged_into_id IS NULL AND "
        "(posts > 1 OR stage <> 'quiet') ORDER BY heat DESC, id DESC LIMIT 26"
    )
    with database.write() as session:
        if not database.is_sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            session.execute(text("SET LOCAL enable_sort = off"))
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        plan = session.execute(text(f"{explain} {query}")).all()
    said = " ".join(str(row[-1]) for row in plan)
    assert "ix_narratives_shown" in said, said
    assert "TEMP B-TREE" not in said
