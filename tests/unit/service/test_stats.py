"""The desk in figures, reckoned on both databases and shown on the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from models.fake import FakeScorer
from service.accounts import access, sessions
from service.app import create_app
from service.database import Database
from service.settings import Settings
from service.stats import charts
from service.stats.service import (
    KEPT_S,
    SLOW_S,
    Day,
    Kept,
    Statistics,
    statistics,
    times,
    wilson,
)
from service.tables import Account, QueueItem, Review, State, StoredPost, Verdict
from service.web import COOKIE

NOW = datetime(2026, 11, 25, 20, tzinfo=UTC)
"""Three in the morning of the 26th in WIB."""
_numbers = iter(range(1, 1_000_000))


def post(at: datetime, **more: Any) -> StoredPost:
    number = next(_numbers)
    known: dict[str, Any] = {
        "key": f"key{number}",
        "platform": "x",
        "source": "api",
        "text": f"kabar {number}",
        "received_at": at,
        "reach": 10,
        "engagement": {},
        "risk": 0.1,
        "label": "valid",
        "hoax": 0.0,
        "disinformation": 0.0,
        "malinformation": 0.0,
        "tone": "neutral",
        "model": "fake-1",
    }
    return StoredPost(**known | more)


def flagged(
    at: datetime,
    verdict: Verdict | None = None,
    *,
    minutes: float = 60,
    label: str = "hoax",
    technique: str | None = "fabricated",
    platform: str = "x",
    **more: Any,
) -> QueueItem:
    end = at + timedelta(minutes=minutes) if verdict else None
    known: dict[str, Any] = {
        "post": post(at, label=label, technique=technique, platform=platform, risk=0.9),
        "state": State.DECIDED if verdict else State.NEW,
        "open": verdict is None,
        "priority": 1.0,
        "risk": 0.9,
        "label": label,
        "technique": technique,
        "platform": platform,
        "source": "api",
        "first_seen_at": at,
        "due_at": at + timedelta(hours=4),
        "decided_at": end,
        "verdict": verdict,
        "reviews_wanted": 1,
    }
    return QueueItem(**known | more)


def review(item: QueueItem, account: Account, verdict: Verdict, **more: Any) -> Review:
    at = item.decided_at or NOW
    known = {"claimed_at": at - timedelta(seconds=90), "decided_at": at, "note": "", "evidence": []}
    return Review(item=item, account_id=account.id, verdict=verdict, **known | more)


def reckon(database: Database, *rows: Any, days: int = 30, **more: int) -> Statistics:
    with database.write() as session:
        session.add_all(rows)
    with database.read() as session:
        return statistics(session, days=days, now=NOW, **more)


def test_posts_are_counted_by_the_day_in_wib_and_flagged_ones_among_them(
    database: Database,
) -> None:
    found = reckon(
        database,
        post(NOW),
        post(datetime(2026, 11, 25, 16, 59, 59, tzinfo=UTC)),  # a second before midnight in WIB
        flagged(datetime(2026, 11, 25, 17, tzinfo=UTC)),  # midnight
        flagged(datetime(2026, 11, 25, 16, tzinfo=UTC)),
        post(NOW - timedelta(days=7)),  # before the range
        days=7,
    )
    assert len(found.by_day) == 7
    assert [(d.day.isoformat(), d.posts, d.flagged) for d in found.by_day[-2:]] == [
        ("2026-11-25", 2, 1),
        ("2026-11-26", 2, 1),
    ]
    assert (found.posts, found.flagged, found.posts_total) == (4, 2, 5)


def test_open_and_overdue_are_of_the_whole_queue(database: Database) -> None:
    hour = timedelta(hours=1)
    found = reckon(
        database,
        flagged(NOW - hour),
        flagged(NOW - 5 * hour),
        flagged(NOW - timedelta(days=300)),
        flagged(NOW - 9 * hour, Verdict.HOAX),
    )
    assert (found.open, found.overdue) == (3, 2)


def test_verdicts_precision_platforms_and_techniques_add_up(database: Database) -> None:
    at = NOW - timedelta(days=1)
    found = reckon(
        database,
        flagged(at, Verdict.HOAX),
        flagged(at, Verdict.DISINFORMATION, label="hoax", platform="tiktok"),
        flagged(at, Verdict.VALID, label="malinformation", technique=None),
        flagged(at),
        flagged(NOW - timedelta(days=40), Verdict.VALID),
        flagged(at, Verdict.VALID, golden=Verdict.VALID),  # checks the desk, tells nothing of it
    )
    assert found.verdicts == {"hoax": 1, "disinformation": 1, "valid": 1}
    assert found.by_label == {
        "hoax": {"hoax": 1, "disinformation": 1},
        "malinformation": {"valid": 1},
    }
    assert found.precision is not None
    assert (found.precision.kept, found.precision.decided) == (2, 3)
    assert [(p.name, p.items, p.decided, p.kept) for p in found.platforms] == [
        ("x", 3, 2, 1),
        ("tiktok", 1, 1, 1),
    ]
    assert [(t.name, t.items) for t in found.techniques] == [("fabricated", 3), (None, 1)]


def test_times_run_from_first_seen_and_from_the_claim(
    database: Database, people: dict[str, Account]
) -> None:
    at = NOW - timedelta(days=2)
    items = [flagged(at, Verdict.HOAX, minutes=m) for m in range(1, 11)]
    ani = people["ani"]
    reviews = [review(item, ani, Verdict.HOAX) for item in items]
    # At once with many others, and one that was taken back: neither took anybody 90 seconds.
    reviews[0].claimed_at = reviews[0].decided_at
    reviews[1].undone_at = NOW
    found = reckon(database, *items, *reviews)
    assert found.to_decision is not None
    assert found.to_verdict is not None
    assert found.to_decision.count == 10
    assert found.to_decision.median_s == pytest.approx(300, abs=0.01)
    assert found.to_decision.p90_s == pytest.approx(540, abs=0.01)
    assert found.to_verdict.count == 8
    assert found.to_verdict.median_s == pytest.approx(90, abs=0.01)


def test_agreement_is_of_the_first_two_firm_verdicts(
    database: Database, people: dict[str, Account]
) -> None:
    at = NOW - timedelta(days=1)
    pairs = [
        (Verdict.HOAX, Verdict.HOAX),
        (Verdict.VALID, Verdict.VALID),
        (Verdict.HOAX, Verdict.VALID, Verdict.VALID),
        (Verdict.NEEDS_MORE, Verdict.VALID, Verdict.VALID),
    ]
    rows: list[Any] = []
    for given in pairs:
        item = flagged(at, given[-1], reviews_wanted=2)
        rows.append(item)
        rows += [
            review(item, person, verdict)
            for person, verdict in zip(people.values(), given, strict=False)
        ]
    alone = flagged(at, Verdict.HOAX)
    found = reckon(database, *rows, alone, review(alone, people["ani"], Verdict.HOAX))
    assert found.agreement.pairs == 4
    assert found.agreement.alike == 0.75
    assert found.agreement.kappa == pytest.approx(0.5)


def test_an_empty_desk_has_no_shares_but_no_errors_either(database: Database) -> None:
    found = reckon(database)
    assert (found.posts, found.flagged, found.open, found.posts_total) == (0, 0, 0, 0)
    assert [found.precision, found.to_decision, found.to_verdict] == [None, None, None]
    assert (found.platforms, found.agreement.pairs, found.capped) == ([], 0, False)


def test_beyond_the_bound_the_newest_items_are_looked_at_and_it_is_said(
    database: Database,
) -> None:
    rows = [flagged(NOW - timedelta(hours=n)) for n in range(9, 0, -1)]
    found = reckon(database, *rows, most_items=3, exact_posts=3)
    assert found.capped
    assert (found.items, found.flagged) == (4, 9)
    assert found.posts_total == 9


# On SQLite alone: SQLite's plan says it in one line.
@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_no_query_reads_the_posts_themselves(database: Database) -> None:
    reckon(database, *(post(NOW - timedelta(days=n)) for n in range(50)))
    plans: list[str] = []

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(str(row[3]) for row in plan.fetchall())

    event.listen(database.engine, "before_cursor_execute", explain)
    with database.read() as session:
        statistics(session, days=90, now=NOW)
    about_posts = [plan for plan in plans if re.search(r"\bposts\b", plan)]
    assert about_posts
    assert all("INDEX" in plan or "rowid" in plan.lower() for plan in about_posts), about_posts


# --- pure ----------------------------------------------------------------------------------------


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe (1998), table I: 81 of 263 and 0 of 20 and 1 of 29, by Wilson's method.
    for kept, decided, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson(kept, decided)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 0) is None


def test_percentiles_are_nearest_ranks() -> None:
    found = times([5.0, 1.0, 3.0])
    assert found is not None
    assert (found.median_s, found.p90_s, found.count) == (3.0, 5.0, 3)
    assert times([]) is None


def test_what_is_slow_is_kept_for_a_minute_and_what_is_quick_is_made_anew() -> None:
    moment = 0.0
    made = 0

    def make(lasts: float) -> Any:
        nonlocal moment, made
        moment += lasts
        made += 1
        return made

    kept = Kept(clock=lambda: moment)

    def get(days: int, lasts: float) -> Any:
        return kept.get(days, lambda: make(lasts))

    assert [get(7, 0.01), get(7, 0.01)] == [1, 2]
    assert [get(7, 2 * SLOW_S), get(7, 2 * SLOW_S)] == [3, 3]
    assert get(30, 0.01) == 4
    moment += KEPT_S + 1
    assert get(7, 0.01) == 5


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (3, 5), (10, 10), (11, 20), (201, 500), (999, 1000)]
)
def test_the_axis_ends_at_a_round_number_that_no_day_exceeds(most: int, top: int) -> None:
    day = Day(day=NOW.date(), posts=most, flagged=0)
    assert charts.ceiling([day]) == top


def test_a_chart_is_sound_svg_with_a_title_and_nothing_a_post_could_write() -> None:
    days = [Day(day=NOW.date(), posts=10, flagged=3), Day(day=NOW.date(), posts=0, flagged=0)]
    svg = charts.columns(days, name="a", title="<b>", desc='"&')
    root = ET.fromstring(str(svg))
    assert [rect.get("height") for rect in root.iter("rect")] == ["100.00", "30.00"]
    assert root.findtext("title") == "<b>"
    assert "style=" not in svg


# --- page and JSON -------------------------------------------------------------------------------


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    url = database.url.render_as_string(hide_password=False)
    app = create_app(Settings(database_url=url), scorer=FakeScorer())
    with TestClient(app, headers={"accept": "text/html"}) as client:
        yield client


def enter(client: TestClient, database: Database, role: str) -> None:
    with database.write() as session:
        account, _ = access.create_account(session, f"si-{role}", role, actor="test")
        account.must_change = False
        client.cookies.set(COOKIE, sessions.start(session, account))


def test_the_page_shows_charts_with_a_table_beside_each(
    client: TestClient, database: Database
) -> None:
    now = datetime.now(UTC)
    with database.write() as session:
        session.add_all(flagged(now - timedelta(hours=n), Verdict.HOAX) for n in range(5))
    enter(client, database, "reader")
    page = client.get("/statistik?hari=7").text
    assert page.count("<svg") >= 4
    assert page.count("<table") >= 5
    assert "100 %" in page
    assert "style=" not in page
    assert 'aria-current="page">7 hari' in page


def test_an_empty_desk_and_a_strange_range_are_shown_too(
    client: TestClient, database: Database
) -> None:
    enter(client, database, "reader")
    for query in ("", "?hari=90", "?hari=abc", "?hari=-1", "?hari=99999"):
        assert client.get(f"/statistik{query}").status_code == 200


@pytest.mark.parametrize(("role", "sees"), [("moderator", False), ("analyst", True)])
def test_how_single_people_do_is_for_analysts_alone(
    client: TestClient, database: Database, role: str, sees: bool
) -> None:
    enter(client, database, role)
    assert ("Butir uji per moderator" in client.get("/statistik").text) is sees


def test_the_json_keeps_its_old_fields_and_takes_a_range(
    client: TestClient, database: Database
) -> None:
    now = datetime.now(UTC)
    with database.write() as session:
        session.add_all([flagged(now, Verdict.HOAX), flagged(now - timedelta(days=20)), post(now)])
    enter(client, database, "reader")
    month, week = (client.get("/v1/stats", params=q).json() for q in ({}, {"days": 7}))
    old = {"posts": 3, "open": 1, "overdue": 1, "verdicts": {"hoax": 1}, "second_reviews": 0}
    assert old.items() <= month.items()
    assert (month["agreement"], month["kappa"]) == (None, None)
    assert (month["days"], len(month["by_day"]), month["flagged"]) == (30, 30, 2)
    assert (week["days"], len(week["by_day"]), week["flagged"]) == (7, 7, 1)
    for days in ("0", "91", "x"):
        assert client.get("/v1/stats", params={"days": days}).status_code == 422
