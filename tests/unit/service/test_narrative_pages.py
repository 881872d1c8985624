"""The pages of narratives and their JSON, on both databases."""

from __future__ import annotations

import ast
import csv
import html
import io
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select

from pipeline.spread import stages
from service.accounts.access import ROLES, Caller
from service.database import Database
from service.narratives import charts, repository, timelines, verdicts
from service.narratives.repository import Filters, Order
from service.narratives.routes import exported
from service.pages import spread_words
from service.queue import many
from service.queue import service as queue
from service.queue.service import QueueRules
from service.tables import (
    Account,
    AuditRow,
    Narrative,
    NarrativeEvent,
    NarrativeHead,
    QueueItem,
    StoredPost,
    Verdict,
)
from tests.unit.service.stories import NOW, RULES, items_of, narrative_of, tell

Enter = Callable[..., TestClient]
People = dict[str, Account]
HOSTILE = '<script>window.x=1</script> "><img src=x onerror=alert(1)> {{7*7}} sebarkan'
FORECAST = {"hours": 6.0, "low": 2.0, "mid": 8.0, "high": 21.0, "catches": 0.7}
SPREAD = {"growth": 0.2, "doubling_hours": 3.5, "forecast": FORECAST, "signs": []}


def asked(answer: Any) -> dict[str, str]:
    """Return the query of the page that a form's answer leads to."""
    assert answer.status_code == 303, answer.text
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def listed(page: Any) -> list[int]:
    """Return the narratives of a list, in its order."""
    assert page.status_code == 200, page.text
    return [int(n) for n in re.findall(r'<h3><a href="/narasi/(\d+)"', page.text)]


# --- the list -----------------------------------------------------------------------------------


def test_the_hottest_stands_first_and_single_harmless_posts_are_left_out(
    database: Database, enter: Enter
) -> None:
    tell(database, 1, ["harga cabai turun", "cabai turun lagi"], heat=1.0)
    tell(database, 2, ["sebarkan air racun"], stage="lilin", heat=5.0)
    tell(database, 3, ["cuaca cerah"], heat=9.0)
    tell(database, 4, ["sebarkan bank tutup", "bank tutup"], stage="api", heat=7.0)
    ani = enter("ani")
    assert listed(ani.get("/narasi")) == [4, 2, 1]
    assert listed(ani.get("/narasi?minimal=1")) == [3, 4, 2, 1]
    assert listed(ani.get("/narasi?minimal=5")) == []
    assert listed(ani.get("/narasi?tahap=lilin")) == [2]
    assert listed(ani.get("/narasi?cari=BANK+tutup")) == [4]
    assert listed(ani.get("/narasi?tahap=x&minimal=-1&setelah=x&cari=")) == [4, 2, 1]


def test_a_narrative_that_became_part_of_another_is_not_listed(
    database: Database, enter: Enter
) -> None:
    tell(database, 1, ["satu", "satu lagi"], heat=1.0)
    tell(database, 2, ["dua", "dua lagi"], heat=2.0, merged_into_id=1)
    for query in ("", "?minimal=1", "?tahap=quiet", "?cari=a"):
        assert 2 not in listed(enter("ani").get(f"/narasi{query}"))


def test_pages_of_the_list_follow_one_another_without_gap(database: Database, enter: Enter) -> None:
    for number in range(1, 61):  # many of equal heat: the number parts them
        tell(database, number, ["kabar satu", "kabar dua"], heat=float(number % 7))
    ani, path, seen = enter("ani"), "/narasi", []
    while True:
        page = ani.get(path)
        seen += listed(page)
        following = re.search(r'href="([^"]+)" data-key="next"', page.text)
        if following is None:
            break
        path = html.unescape(following[1])
    assert len(seen) == 60
    assert seen == sorted(range(1, 61), key=lambda n: (-(n % 7), -n))


def test_a_search_looks_through_a_bounded_part_and_goes_on_from_there(database: Database) -> None:
    for number in range(1, 10):
        tell(database, number, [f"kabar {number}", "dua"], heat=float(number))
    found, after, pages = [], None, 0
    with database.read() as session:
        while True:
            page = repository.page(
                session, Filters(words="kabar"), after=after, limit=3, searched=4
            )
            found += [n.id for n in page.narratives]
            after, pages = page.next, pages + 1
            if after is None:
                break
    assert found == list(range(9, 0, -1))
    assert pages >= 3


def test_the_list_and_the_page_make_the_same_few_queries_however_much_they_show(
    database: Database, enter: Enter
) -> None:
    ani = enter("ani")

    def queries(path: str) -> int:
        seen: list[str] = []

        def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        engine = ani.app.state.desk.database.engine  # type: ignore[attr-defined]
        assert ani.get(path).status_code == 200
        event.listen(engine, "before_cursor_execute", note)
        ani.get(path)
        event.remove(engine, "before_cursor_execute", note)
        return sum(s.lstrip().upper().startswith(("SELECT", "WITH")) for s in seen)

    tell(database, 1, ["sebarkan satu", "sebarkan dua"], stage="lilin", spread=SPREAD)
    few, one = queries("/narasi"), queries("/narasi/1")
    for number in range(2, 25):
        tell(database, number, ["sebarkan satu", "sebarkan dua"], stage="lilin", spread=SPREAD)
    tell(database, 1, [f"sebarkan {i}" for i in range(20)])
    assert queries("/narasi") == few
    assert queries("/narasi/1") <= one + 1  # the look-alikes by number
    assert max(few, one) < 16


def test_the_head_counts_the_stages_and_names_what_is_on_its_way_to_obor(
    database: Database, enter: Enter
) -> None:
    tell(database, 1, ["sebarkan satu"], stage="lilin", spread=SPREAD, title="Narasi menuju")
    calm = SPREAD | {"forecast": FORECAST | {"catches": 0.05}}
    tell(database, 2, ["sebarkan dua"], stage="lilin", spread=calm)
    tell(database, 3, ["sebarkan tiga"], stage="api", spread=SPREAD)
    page = enter("ani").get("/narasi").text
    assert dict(re.findall(r'<strong data-live="(\w+)">(\d+)</strong>', page)) == {
        "lilin": "2",
        "obor": "0",
        "api": "1",
    }
    heading = page[page.index("judul-menuju") : page.index('class="filters')]
    assert "Menuju obor: 1" in heading
    assert re.findall(r'href="/narasi/(\d+)"', heading) == ["1"]


def test_hostile_text_is_shown_and_does_nothing(database: Database, enter: Enter) -> None:
    posts = tell(
        database,
        1,
        [HOSTILE, "sebarkan"],
        stage="lilin",
        title=HOSTILE,
        keywords=["<i>kata</i>"],
        platforms=["<b>x</b>"],
        spread=SPREAD,
    )
    ani = enter("ani")
    for path in ("/narasi", "/narasi/1", "/", "/?narasi=1", f"/kiriman/{posts[1]}"):
        page = ani.get(path)
        assert page.status_code == 200, path
        assert "&lt;script&gt;window.x" in page.text, path
        for raw in ("<script>window", "<img src=x", "<i>kata", "<b>x", "49 sebarkan"):
            assert raw not in page.text, (path, raw)


def test_who_may_not_see_personal_data_sees_it_masked_and_can_do_nothing(
    database: Database, enter: Enter
) -> None:
    tell(
        database,
        1,
        ["sebarkan! hubungi 0812-3456-7890", "sebarkan"],
        title="hubungi 0812-3456-7890",
        accounts=["@warga_satu"],
    )
    assert "@warga_satu" in enter("ani").get("/narasi/1").text
    reader = enter("ani", "reader")
    for path in ("/narasi", "/narasi/1", "/v1/narratives", "/v1/narratives/1/posts"):
        page = reader.get(path).text
        assert "3456" not in page, path
        assert "warga_satu" not in page, path
    page = reader.get("/narasi/1").text
    assert "/putus" not in page
    assert "/gabung" not in page
    for step in ("putus", "batal-putusan", "gabung", "pisah", "batal-susunan"):
        refused = reader.post(f"/narasi/1/{step}", data={"putusan": "hoax", "ke": "2"})
        assert refused.status_code == 403, step
    for step in ("verdict", "merge", "split", "undo"):
        body = {"verdict": "hoax", "into": 2, "posts": [1], "what": "verdict"}
        wanted = {"verdict": "verdict", "merge": "into", "split": "posts", "undo": "what"}[step]
        refused = reader.post(f"/v1/narratives/1/{step}", json={wanted: body[wanted]})
        assert refused.status_code == 403, step


def test_nobody_looks_without_signing_in(enter: Enter) -> None:
    stranger = TestClient(enter("ani").app, follow_redirects=False)
    stranger.headers["accept"] = "text/html"
    for path in ("/narasi", "/narasi/1"):
        assert stranger.get(path).headers["location"].startswith("/masuk")
    for path in ("/v1/narratives", "/v1/narratives/1", "/v1/narratives.csv"):
        assert stranger.get(path).status_code == 401


# --- one ----------------------------------------------------------------------------------------


def test_a_page_shows_posts_with_how_they_joined_and_leads_to_them(
    database: Database, enter: Enter
) -> None:
    posts = tell(database, 1, ["sebarkan satu", "sebarkan dua", "sebarkan tiga"], spread=SPREAD)
    page = enter("ani").get("/narasi/1").text
    shown = re.findall(r'class="clip" dir="auto" href="/kiriman/(\d+)"', page)
    assert shown == [str(n) for n in reversed(posts)]
    assert page.count("Hampir sama (75 %)") == 2
    assert page.count("Pembuka narasi") == 1
    assert "berlipat dua tiap 3 jam 30 menit" in page
    assert "diperkirakan 8 kiriman lagi (antara 2 dan 21" in page


@pytest.mark.parametrize("order", list(Order))
def test_pages_of_posts_follow_one_another_without_gap(database: Database, order: Order) -> None:
    posts = tell(  # some at one moment, some of equal reach
        database,
        1,
        [f"kabar {i}" for i in range(23)],
        ages_h=[float(i // 3) for i in range(23)],
        shares=[5, 1, 9, 1],
    )
    seen: list[int] = []
    after = None
    with database.read() as session:
        while True:
            page = repository.posts(session, 1, order, after=after, limit=4)
            seen += [post.id for post in page.posts]
            after = page.next
            if after is None:
                break
    assert sorted(seen) == sorted(posts)
    assert len(seen) == 23


def test_a_place_that_no_page_has_shows_nothing_and_breaks_nothing(
    database: Database, enter: Enter
) -> None:
    tell(database, 1, ["kabar satu", "kabar dua"])
    with database.read() as session:
        for order in Order:
            for value in (1e300, -1e300, float("inf"), -1.0):
                repository.posts(session, 1, order, after=(value, 2**62))
    ani = enter("ani")
    for query in ("setelah=x", "setelah=%00", "urut=x", "urut=jangkauan&setelah=f8AAAA"):
        assert ani.get(f"/narasi/1?{query}").status_code == 200
    assert ani.get("/narasi/99").status_code == 404
    assert ani.get("/narasi/0").status_code == 422


def test_a_narrative_that_became_part_of_another_leads_there(
    database: Database, enter: Enter
) -> None:
    tell(database, 1, ["satu", "dua"])
    tell(database, 2, ["tiga"], merged_into_id=1)
    ani = enter("ani")
    answer = ani.get("/narasi/2")
    assert urlsplit(answer.headers["location"]).path == "/narasi/1"
    assert "Narasi 2 sudah menjadi bagian narasi ini" in ani.get(answer.headers["location"]).text
    assert ani.get("/v1/narratives/2").json()["merged_into"] == 1


def test_stages_are_told_in_the_history_and_drawn(database: Database, enter: Enter) -> None:
    tell(database, 1, ["satu", "dua", "tiga"], ages_h=[5, 3, 1], stage="obor", spread=SPREAD)
    with database.write() as session:
        for hours, stage in ((4, "lilin"), (2, "obor")):
            session.add(
                NarrativeEvent(
                    narrative_id=1,
                    at=NOW - timedelta(hours=hours),
                    kind="stage",
                    actor="desk",
                    details={"from": "quiet", "to": stage, "posts": 2, "reasons": []},
                )
            )
    page = enter("ani").get("/narasi/1").text
    chart = page[page.index('<svg class="timeline"') : page.index("</svg>", page.index("timeline"))]
    assert re.findall(r'<line class="stage (\w+)"', chart) == ["lilin", "obor"]
    assert 'class="band"' in chart
    assert "sekarang" in chart
    history = page[page.index("h-riwayat") :]
    assert history.index("Obor") < history.index("Lilin")


# --- in time ------------------------------------------------------------------------------------


def test_the_lines_of_a_list_hold_the_posts_of_two_days_or_of_a_life(database: Database) -> None:
    tell(database, 1, ["a", "b", "c"], ages_h=[100, 10, 1])
    tell(database, 2, ["a", "b", "c"], ages_h=[400, 300, 200])
    with database.read() as session:
        narratives = repository.page(session, Filters()).narratives
        lines = timelines.sparks(session, narratives, NOW)
    assert {n: sum(line.counts) for n, line in lines.items()} == {1: 2, 2: 3}
    assert lines[1].counts[-2:] != (0, 0)
    assert lines[2].counts[0] == 1
    assert lines[1].end > NOW
    assert all(len(line.counts) == timelines.SPARK_BINS for line in lines.values())


@pytest.mark.parametrize(
    ("ages_h", "size_s", "alive"),
    [
        ([20, 3, 0.1], 600, True),
        ([100, 50, 1], 3600, True),
        ([30 * 24, 24], 21_600, True),
        ([90 * 24, 24], 86_400, True),
        ([500, 490], 600, False),
    ],
)
def test_a_chart_has_columns_that_fit_its_span(
    database: Database, ages_h: list[float], size_s: int, alive: bool
) -> None:
    tell(database, 1, ["kabar"] * len(ages_h), ages_h=ages_h)
    with database.read() as session:
        line, lives = timelines.timeline(session, session.get_one(Narrative, 1), NOW)
    assert (line.size_s, lives) == (size_s, alive)
    assert sum(line.counts) == len(ages_h)
    assert len(line.counts) <= 200
    assert (line.start.timestamp() + 7 * 3600) % size_s == 0  # midnight in Jakarta


def test_a_long_life_is_shown_in_part(database: Database) -> None:
    tell(database, 1, ["kabar"] * 3, ages_h=[500 * 24, 100 * 24, 1])
    with database.read() as session:
        line, _ = timelines.timeline(session, session.get_one(Narrative, 1), NOW)
    assert sum(line.counts) == 2
    assert len(line.counts) <= 182


@given(st.floats(min_value=0, max_value=1e9))
def test_the_top_of_a_chart_is_round_even_and_high_enough(most: float) -> None:
    top = charts.ceiling(most)
    assert top >= max(2, most)
    assert top % 2 == 0
    assert most <= 2 or top <= 2.5 * most
    assert len(str(top).rstrip("0")) <= 2


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=200),
    st.floats(0.1, 48),
    st.floats(0, 1000),
)
def test_nothing_of_a_chart_leaves_its_frame(counts: list[int], hours: float, high: float) -> None:
    line = timelines.Line(
        start=NOW - timedelta(hours=len(counts)), size_s=3600, counts=tuple(counts)
    )
    band = charts.Band(hours=hours, low=high / 4, mid=high / 2, high=high)
    svg = str(charts.timeline(line, now=NOW, band=band, title="<&>", desc='"'))
    assert "<&>" not in svg
    for name, most in (("y", charts.PLOT + 20), ("height", charts.PLOT + 20)):
        values = [float(v) for v in re.findall(rf' {name}="([-0-9.]+)"', svg)]
        assert all(-0.1 <= v <= most for v in values)
    shares = [float(v) for v in re.findall(r'"([-0-9.]+)%"', svg)]
    assert all(-0.01 <= v <= 100.01 for v in shares)


# --- verdicts on all ----------------------------------------------------------------------------


def held_by(database: Database, item_id: int, account: Account) -> None:
    with database.write() as session:
        queue.claim(session, item_id, account, RULES)


def wants_two(database: Database, *item_ids: int) -> None:
    with database.write() as session:
        for item_id in item_ids:
            session.get_one(QueueItem, item_id).reviews_wanted = 2


def open_ones(database: Database, posts: list[int]) -> list[bool]:
    return [item.open for item in items_of(database, posts)]


def test_one_verdict_decides_all_that_is_open_and_is_taken_back_as_one(
    database: Database, enter: Enter, people: People
) -> None:
    posts = tell(database, 1, [f"sebarkan {i}" for i in range(5)])
    (other,) = tell(database, 2, ["sebarkan lain"])
    items = items_of(database, posts)
    held_by(database, items[1].id, people["budi"])
    ani = enter("ani")
    query = asked(
        ani.post(
            "/narasi/1/putus",
            data={"putusan": "hoax", "catatan": "cek", "bukti": "https://a.example/1"},
        )
    )
    assert (query["jadi"], query["sisa"], query["kedua"]) == ("4", "1", "0")
    assert open_ones(database, posts) == [False, True, False, False, False]
    assert open_ones(database, [other]) == [True]
    (review,) = items_of(database, posts)[0].reviews
    assert (review.note, review.evidence) == ("cek", ["https://a.example/1"])
    narrative = narrative_of(database, 1)
    assert (narrative.verdict, narrative.verdict_by_id) == ("hoax", people["ani"].id)
    page = ani.get("/narasi/1?sudah=narasi&putusan=hoax&jadi=4&sisa=1&narasi_batal=1").text
    assert "4 kiriman diputuskan. 1 dilewati" in page
    assert "Putusan: Hoaks" in page
    assert asked(ani.post("/narasi/1/batal-putusan"))["sudah"] == "narasi-batal"
    assert open_ones(database, posts) == [True] * 5
    assert narrative_of(database, 1).verdict is None
    assert asked(ani.post("/narasi/1/batal-putusan"))["gagal"] == "nothing-to-undo"
    with database.read() as session:
        actions = Counter(row.action for row in session.scalars(select(AuditRow)))
    assert actions["narrative.verdict"] == actions["narrative.verdict_undo"] == 1
    assert actions["queue.verdict"] == actions["queue.undo"] == 4


def test_taking_back_leaves_what_was_decided_anew_alone_and_the_verdict_before_counts_again(
    database: Database, enter: Enter
) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b"])
    ani = enter("ani")
    ani.post("/narasi/1/putus", data={"putusan": "hoax"})
    first = items_of(database, posts)[0].id
    ani.post("/antrean/batal", data={"butir": first})
    later = tell(database, 1, ["sebarkan c"])
    ani.post("/narasi/1/putus", data={"putusan": "valid"})
    ani.post("/antrean/batal", data={"butir": first})
    ani.post(f"/antrean/{first}/putus", data={"putusan": "disinformation"})
    ani.post("/narasi/1/batal-putusan")
    items = items_of(database, posts + later)
    assert [(i.open, i.verdict) for i in items] == [
        (False, "disinformation"),
        (False, "hoax"),
        (True, None),
    ]
    assert narrative_of(database, 1).verdict == "hoax"


def test_a_verdict_on_all_and_verdicts_on_single_items_at_once_decide_each_once(
    database: Database, people: People
) -> None:
    posts = tell(database, 1, [f"sebarkan {i}" for i in range(24)])
    items = [item.id for item in items_of(database, posts)]

    def all_of_it(name: str) -> None:
        with database.write() as session:
            verdicts.give(session, 1, people[name], Verdict.HOAX, RULES, now=NOW)

    def one_by_one(name: str) -> None:
        many.decide_many(database, items[::-1], people[name], Verdict.HOAX, RULES)

    with ThreadPoolExecutor(3) as pool:
        work = [
            pool.submit(all_of_it, "ani"),
            pool.submit(one_by_one, "budi"),
            pool.submit(all_of_it, "citra"),
        ]
        for one in work:
            one.result()
    assert [(i.open, len(i.reviews)) for i in items_of(database, posts)] == [(False, 1)] * 24


def test_nobody_takes_back_what_someone_else_decided(database: Database, enter: Enter) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b"])
    enter("ani").post("/narasi/1/putus", data={"putusan": "hoax"})
    refused = enter("budi").post("/narasi/1/batal-putusan")
    assert asked(refused)["gagal"] == "nothing-to-undo"
    assert open_ones(database, posts) == [False, False]


def test_a_verdict_on_a_narrative_without_open_items_waits_for_those_to_come(
    database: Database, enter: Enter
) -> None:
    calm = QueueRules(threshold=2.0)
    tell(database, 1, ["satu", "dua"], rules=calm)
    ani = enter("ani")
    assert "menjadi saran bagi kiriman yang bergabung" in ani.get("/narasi/1").text
    assert asked(ani.post("/narasi/1/putus", data={"putusan": "valid"}))["jadi"] == "0"
    assert narrative_of(database, 1).verdict == "valid"


def test_items_beyond_one_act_are_left_for_the_next(database: Database, people: People) -> None:
    posts = tell(database, 1, [f"sebarkan {i}" for i in range(5)])
    done = []
    for _ in range(2):
        with database.write() as session:
            given = verdicts.give(session, 1, people["ani"], Verdict.HOAX, RULES, now=NOW, most=3)
        done.append((len(given.outcomes), given.left))
    assert done == [(3, 2), (2, 0)]
    assert open_ones(database, posts) == [False] * 5


def test_the_second_verdict_on_a_narrative_is_blind(database: Database, enter: Enter) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b"], title="Narasi rahasia")
    wants_two(database, *(item.id for item in items_of(database, posts)))
    ani, budi = enter("ani"), enter("budi")
    query = asked(ani.post("/narasi/1/putus", data={"putusan": "malinformation"}))
    assert (query["jadi"], query["kedua"]) == ("0", "2")
    later = tell(database, 1, ["sebarkan c"])
    item = items_of(database, later)[0].id
    for path in ("/narasi", "/narasi/1", f"/?pilih={item}", f"/kiriman/{later[0]}"):
        page = budi.get(path).text
        assert "Putusan: Malinformasi" not in page, path
        assert "sudah diputus" not in page, path
        assert "Diputus Malinformasi" not in page, path
    assert budi.get("/v1/narratives/1").json()["verdict"] is None
    assert "malinformation,2" not in budi.get("/v1/narratives.csv").text
    assert "diberikan tanpa melihat yang pertama" in budi.get("/narasi/1").text
    assert "Putusan: Malinformasi" in ani.get("/narasi/1").text
    budi.post("/narasi/1/putus", data={"putusan": "malinformation"})
    assert open_ones(database, posts + later) == [False, False, False]
    assert "Putusan: Malinformasi" in budi.get("/narasi/1").text


def test_a_post_that_joins_later_gets_the_verdict_as_a_suggestion_that_one_button_applies(
    database: Database, enter: Enter
) -> None:
    tell(database, 1, ["sebarkan a", "sebarkan b"])
    ani, budi = enter("ani"), enter("budi")
    ani.post("/narasi/1/putus", data={"putusan": "hoax"})
    (late,) = tell(database, 1, ["sebarkan c"])
    (item,) = items_of(database, [late])
    assert item.open
    for path in ("/", f"/kiriman/{late}"):
        page = budi.get(path).text
        said = re.search(r"Narasi ini sudah diputus:(.*?)Terapkan\?", page, re.DOTALL)
        assert said is not None, path
        assert "Hoaks" in said[1]
        assert "oleh ani" in said[1]
        form = re.search(
            rf'action="/antrean/{item.id}/putus" class="row">(.*?)</form>', page, re.DOTALL
        )
        assert form is not None
        assert 'name="putusan" value="hoax"' in form[1]
        assert 'data-key="t"' in form[1]
    budi.post(f"/antrean/{item.id}/putus", data={"putusan": "hoax"})
    assert open_ones(database, [late]) == [False]


def test_nothing_is_suggested_where_more_is_needed_or_an_item_checks_the_desk(
    database: Database, enter: Enter
) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b"])
    ani = enter("ani", "analyst")
    ani.post("/narasi/1/putus", data={"putusan": "needs_more"})
    (late,) = tell(database, 1, ["sebarkan c"])
    assert "sudah diputus" not in ani.get(f"/kiriman/{late}").text
    ani.post("/narasi/1/batal-putusan")
    ani.post("/narasi/1/putus", data={"putusan": "hoax"})
    golden = items_of(database, posts)[0].id
    ani.post(f"/antrean/{golden}/uji")
    assert "sudah diputus" not in enter("budi").get(f"/kiriman/{posts[0]}").text


# --- merging and splitting ----------------------------------------------------------------------


def placed(database: Database, posts: list[int]) -> list[int | None]:
    with database.read() as session:
        rows = {p.id: p.narrative_id for p in session.scalars(select(StoredPost))}
    return [rows[post] for post in posts]


def heads(database: Database) -> None:
    """Let the next narrative have a number of its own, as the grouping does."""
    with database.write() as session:
        session.scalars(select(NarrativeHead)).one().next_id = 100


def test_narratives_are_merged_by_number_or_choice_and_parted_again(
    database: Database, enter: Enter
) -> None:
    first = tell(database, 1, ["air keran beracun kata warga", "air keran beracun sekali"])
    second = tell(database, 2, ["air keran beracun kata warga desa", "keran beracun"])
    heads(database)
    ani = enter("ani")
    page = ani.get("/narasi/1").text
    assert re.search(r'type="radio" id="ke-2" name="ke" value="2"', page)
    for data in ({"ke": "2"}, {"nomor": " #2 "}):
        answer = ani.post("/narasi/1/gabung", data=data)
        assert urlsplit(answer.headers["location"]).path == "/narasi/2"
        assert placed(database, first + second) == [2, 2, 2, 2]
        assert narrative_of(database, 2).posts == 4
        page = ani.get(answer.headers["location"]).text
        assert "Narasi 1 digabungkan ke sini (2 kiriman), ani" in page
        assert urlsplit(ani.get("/narasi/1").headers["location"]).path == "/narasi/2"
        assert asked(ani.post("/narasi/2/batal-susunan"))["sudah"] == "narasi-susunan"
        assert placed(database, first + second) == [1, 1, 2, 2]
    assert asked(ani.post("/narasi/2/batal-susunan"))["gagal"] == "nothing-to-undo"


@pytest.mark.parametrize(
    "data", [{}, {"nomor": "x"}, {"nomor": "-1"}, {"nomor": "9" * 25}, {"ke": "1"}, {"ke": "77"}]
)
def test_a_merge_with_nothing_or_itself_is_refused(
    database: Database, enter: Enter, data: dict[str, str]
) -> None:
    posts = tell(database, 1, ["satu", "dua"])
    answer = enter("ani").post("/narasi/1/gabung", data=data)
    assert asked(answer)["gagal"] in ("no-narrative", "narratives", "not-found")
    assert "failed" in enter("ani").get(answer.headers["location"]).text
    assert placed(database, posts) == [1, 1]


def test_chosen_posts_become_a_narrative_and_come_back(database: Database, enter: Enter) -> None:
    posts = tell(database, 1, ["air keran beracun", "harga beras naik", "harga beras naik lagi"])
    heads(database)
    ani = enter("ani")
    assert asked(ani.post("/narasi/1/pisah"))["gagal"] == "nothing-chosen"
    assert asked(ani.post("/narasi/1/pisah", data={"kiriman": posts}))["gagal"] == "narratives"
    answer = ani.post("/narasi/1/pisah", data={"kiriman": posts[1:]})
    made = int(asked(answer)["baru"])
    assert placed(database, posts) == [1, made, made]
    page = ani.get(answer.headers["location"]).text
    assert f'href="/narasi/{made}"' in page
    assert f"2 kiriman dipisahkan menjadi narasi {made}, ani" in page
    ani.post("/narasi/1/batal-susunan")
    assert placed(database, posts) == [1, 1, 1]


def test_programs_merge_split_and_take_back(database: Database, enter: Enter) -> None:
    posts = tell(database, 1, ["air keran beracun", "harga beras naik"])
    tell(database, 2, ["air keran beracun sekali"])
    heads(database)
    api = enter("ani")
    made = api.post("/v1/narratives/1/split", json={"posts": [posts[1]]}).json()
    assert made["posts"] == 1
    assert api.post("/v1/narratives/1/undo", json={"what": "grouping"}).json()["posts"] == 2
    assert api.post("/v1/narratives/1/merge", json={"into": 2}).json()["posts"] == 3
    assert api.get("/v1/narratives/1").json()["merged_into"] == 2
    assert api.post("/v1/narratives/2/undo", json={"what": "grouping"}).json()["posts"] == 1
    for path, body in (
        ("merge", {"into": 1}),
        ("split", {"posts": [2**62]}),
        ("undo", {"what": "grouping"}),
    ):
        assert api.post(f"/v1/narratives/1/{path}", json=body).status_code == 409, path
    assert api.post("/v1/narratives/99/merge", json={"into": 1}).status_code == 404


def test_a_verdict_outlives_a_split_of_what_it_lay_on(database: Database, enter: Enter) -> None:
    posts = tell(database, 1, ["air keran beracun", "harga beras naik"])
    heads(database)
    ani = enter("ani")
    ani.post("/narasi/1/putus", data={"putusan": "hoax"})
    ani.post("/narasi/1/pisah", data={"kiriman": posts[1]})
    ani.post("/narasi/1/batal-putusan")
    assert open_ones(database, posts) == [True, True]


def test_forms_of_another_site_are_refused(database: Database, enter: Enter) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b"])
    ani = enter("ani")
    for step in ("putus", "batal-putusan", "gabung", "pisah", "batal-susunan"):
        answer = ani.post(
            f"/narasi/1/{step}",
            data={"putusan": "hoax", "ke": "2", "kiriman": posts},
            headers={"sec-fetch-site": "cross-site"},
        )
        assert answer.status_code == 403, step
    assert open_ones(database, posts) == [True, True]


# --- words --------------------------------------------------------------------------------------


def test_every_reason_and_sign_has_words_for_its_numbers() -> None:
    """Read from the code that makes them: a new one without words would be left out of the pages."""
    found = {"Reason": 0, "Sign": 0}
    for path in Path(stages.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            kind = getattr(getattr(node, "func", None), "id", "")
            if not isinstance(node, ast.Call) or kind not in found:
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            code = ast.literal_eval(given["code"])
            numbers = given["numbers"]
            assert isinstance(numbers, ast.Dict)
            names = [ast.literal_eval(key) for key in numbers.keys if key is not None]
            names += ["low", "high", "hours"] if None in numbers.keys else []
            say = spread_words.reason if kind == "Reason" else spread_words.sign
            said = say(code, dict.fromkeys(names, 2.0))
            assert said, code
            assert "–" not in said, (code, said)
            found[kind] += 1
    assert found["Reason"] >= 10
    assert found["Sign"] >= 3


def test_an_old_or_unknown_reason_breaks_nothing() -> None:
    assert spread_words.reason("not-known", {"posts": 1.0}) == ""
    assert spread_words.reason("caught", {"hours": 24.0}) == "– kiriman dalam 1 hari terakhir"
    assert spread_words.why([("not-known", {})]) == ""
    said = spread_words.why([("few_risky_posts", {"posts": 1200, "risk": 0.31}), ("x", {})])
    assert said == "Baru 1.200 kiriman, berisiko 31 %."


# --- JSON and files -----------------------------------------------------------------------------


def test_programs_read_decide_and_take_back(database: Database, enter: Enter) -> None:
    posts = tell(database, 1, ["sebarkan a", "sebarkan b"], stage="lilin", spread=SPREAD, heat=2.0)
    tell(database, 2, ["sebarkan c", "d"], heat=1.0)
    api = enter("ani")
    first = api.get("/v1/narratives?limit=1").json()
    assert [n["id"] for n in first["narratives"]] == [1]
    assert first["narratives"][0]["spread"]["forecast"]["mid"] == 8
    rest = api.get(f"/v1/narratives?limit=1&after={first['next']}").json()
    assert [n["id"] for n in rest["narratives"]] == [2]
    assert rest["next"] is None
    page = api.get("/v1/narratives/1/posts?limit=1&order=reach").json()
    assert len(page["posts"]) == 1
    more = api.get(f"/v1/narratives/1/posts?limit=1&order=reach&after={page['next']}").json()
    assert {page["posts"][0]["post"]["id"], more["posts"][0]["post"]["id"]} == set(posts)
    given = api.post("/v1/narratives/1/verdict", json={"verdict": "hoax"}).json()
    assert [r["state"] for r in given["results"]] == ["decided", "decided"]
    assert (given["left"], given["narrative"]["verdict"]) == (0, "hoax")
    assert given["narrative"]["open_items"] == 0
    undone = api.post("/v1/narratives/1/undo", json={"what": "verdict"}).json()
    assert (undone["verdict"], undone["open_items"]) == (None, 2)
    assert api.post("/v1/narratives/1/undo", json={"what": "verdict"}).status_code == 409
    for path in ("/v1/narratives/99", f"/v1/narratives/{2**63}", "/v1/narratives?after=x"):
        assert api.get(path).status_code == 404


def test_the_file_holds_what_began_since_and_runs_nothing(database: Database, enter: Enter) -> None:
    tell(database, 1, ["a", "b"], ages_h=[30, 20], title='=HYPERLINK("http://x")', stage="obor")
    tell(database, 2, ["a", "b"], ages_h=[24 * 30, 1], title="lama")
    tell(database, 3, ["a"], ages_h=[5], title="tunggal")
    tell(database, 4, ["a", "b"], ages_h=[9, 8], title="baru", verdict=Verdict.HOAX)
    ani = enter("ani")

    def rows(query: str) -> list[dict[str, str]]:
        text = ani.get(f"/v1/narratives.csv{query}").content.decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text)))

    recent = rows("")
    assert [row["narrative"] for row in recent] == ["1", "4"]
    assert not recent[0]["title"].startswith("=")
    assert recent[0]["stage"] == "obor"
    assert recent[1]["verdict"] == "hoax"
    assert re.fullmatch(r"\d{4}-W\d\d", recent[0]["week"])
    assert {row["title"] for row in rows("?since=2020-01-01")} >= {"lama", "baru"}
    assert ani.get("/v1/narratives.csv?since=x").status_code == 422


def test_every_narrative_is_in_the_file_once_however_it_is_cut(
    database: Database, people: People
) -> None:
    for number in range(1, 9):  # all with one last moment
        tell(database, number, ["a", "b"], ages_h=[5, 5])
    ani = people["ani"]
    caller = Caller(account=ani, via="account ani", rights=ROLES["reader"])
    pieces = exported(database, caller, NOW - timedelta(days=1), "csv", at_once=3)
    text = b"".join(pieces).decode("utf-8-sig")
    numbers = [row["narrative"] for row in csv.DictReader(io.StringIO(text))]
    assert numbers == [str(n) for n in range(1, 9)]
