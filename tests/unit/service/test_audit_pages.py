"""The audit trail to look at, to filter, to check and to take away, on both databases."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text, update

from models.fake import FakeScorer
from service.accounts import access, sessions
from service.app import create_app
from service.audit import trail
from service.audit.configured import note_settings
from service.audit.listing import AuditFilters, exported, page
from service.database import Database
from service.errors import AuditBroken
from service.settings import Settings
from service.tables import AuditHead, AuditRow
from service.web import COOKIE

DAY = datetime(2026, 10, 1, 5, tzinfo=UTC)
"""Noon in WIB."""


def fill(database: Database, count: int = 30) -> None:
    """Write a chained trail over ``count`` days, a row a day: ani and budi by turns."""
    rows = []
    before = trail.START
    for number in range(1, count + 1):
        row = AuditRow(
            id=number,
            at=DAY + timedelta(days=number - 1),
            actor=("ani", "budi")[number % 2],
            action=("queue.claim", "queue.verdict", "sign-in")[number % 3],
            subject=f"item:{number % 4}",
            details={},
        )
        row.hash = before = trail.chained(before, row)
        rows.append(row)
    with database.write() as session:
        session.add_all(rows)
        session.execute(update(AuditHead).values(last=count, hash=before))


def numbers(database: Database, limit: int = 7, **filters: Any) -> list[int]:
    """Return the rows of all pages."""
    found: list[int] = []
    before: int | None = None
    while True:
        with database.read() as session:
            some = page(session, AuditFilters(**filters), before=before, limit=limit)
        found += [row.id for row in some.rows]
        before = some.before
        if before is None:
            return found


@pytest.mark.parametrize("limit", [1, 7, 30, 31])
def test_pages_hold_every_row_once_the_newest_first(database: Database, limit: int) -> None:
    fill(database)
    assert numbers(database, limit) == list(range(30, 0, -1))


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"actor": "ani"}, [n for n in range(30, 0, -1) if n % 2 == 0]),
        ({"action": "sign-in"}, [n for n in range(30, 0, -1) if n % 3 == 2]),
        ({"subject": "item:3"}, [n for n in range(30, 0, -1) if n % 4 == 3]),
        ({"actor": "ani", "subject": "item:2", "action": "queue.claim"}, [30, 18, 6]),
        ({"since": DAY + timedelta(days=27)}, [30, 29, 28]),
        ({"until": DAY + timedelta(days=2)}, [2, 1]),
        ({"since": DAY + timedelta(days=4), "until": DAY + timedelta(days=6)}, [6, 5]),
        ({"since": DAY + timedelta(days=99)}, []),
        ({"until": DAY - timedelta(days=9)}, []),
        ({"actor": "nobody"}, []),
    ],
)
def test_filters_leave_what_they_say(
    database: Database, filters: dict[str, Any], wanted: list[int]
) -> None:
    fill(database)
    assert numbers(database, **filters) == wanted


def test_a_page_by_actor_looks_through_a_bounded_part(database: Database) -> None:
    fill(database)
    found: list[int] = []
    before: int | None = None
    for bound in (21, 11, 1):
        with database.read() as session:
            some = page(session, AuditFilters(actor="ani"), before=before, window=10)
        found += [row.id for row in some.rows]
        before = some.before
        assert before == (bound if bound > 1 else None)
    assert found == [n for n in range(30, 0, -1) if n % 2 == 0]


def test_an_empty_trail_is_a_page_too(database: Database) -> None:
    assert numbers(database) == []


# --- the check ---------------------------------------------------------------------------------


def test_rows_written_during_a_check_are_no_breach(database: Database) -> None:
    fill(database, 5)
    once = iter([True])

    def write(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "audit_head" in statement and next(once, False):
            other = Database(database.url.render_as_string(hide_password=False))
            with other.write() as session:
                trail.record(session, actor="ani", action="sign-in", subject="account:ani")
            other.close()

    with database.read() as session:
        event.listen(database.engine, "after_cursor_execute", write)
        assert trail.verify(session).rows == 5
    with database.read() as session:
        assert trail.verify(session).rows == 6


def test_a_row_slipped_in_beyond_the_end_is_found(database: Database) -> None:
    fill(database, 5)
    with database.write() as session:
        session.execute(update(AuditHead).values(last=4))
    with database.read() as session, pytest.raises(AuditBroken):
        trail.verify(session)


# --- settings ----------------------------------------------------------------------------------


def test_settings_are_written_down_when_they_change_and_never_their_secrets(
    database: Database,
) -> None:
    url = "postgresql://lilin:sangat-rahasia@db/lilin"

    def note(**values: Any) -> bool:
        with database.write() as session:
            return note_settings(session, Settings(**values), actor="test")

    assert note() is False
    assert note(database_url=url, retention_days=90) is True
    assert note(database_url=url, retention_days=90) is False
    assert note(retention_days=30) is True
    assert note() is True
    with database.read() as session:
        rows = [row.details for row in trail.rows(session)]
    assert "sangat-rahasia" not in str(rows)
    assert rows[0]["retention_days"] == "90"
    assert rows[1:] == [{"retention_days": "30"}, {}]


# --- exports -----------------------------------------------------------------------------------


def test_the_csv_cannot_run_as_a_formula_and_the_jsonl_is_the_trail(database: Database) -> None:
    with database.write() as session:
        trail.record(session, actor="=cmd()", action="@x", subject="+1", why="-2\n=3")
    with database.read() as session:
        (row,) = trail.rows(session)
        head = row.hash
    table = b"".join(exported(database, AuditFilters(), "csv")).decode("utf-8-sig")
    names, cells = csv.reader(io.StringIO(table))
    said = dict(zip(names, cells, strict=True))
    assert (said["actor"], said["action"], said["hash"]) == ("'=cmd()", "'@x", head)
    assert json.loads(said["details"]) == {"why": "-2\n=3"}
    (line,) = b"".join(exported(database, AuditFilters(), "jsonl")).splitlines()
    copy = json.loads(line)
    assert (copy["actor"], copy["details"], copy["hash"]) == ("=cmd()", {"why": "-2\n=3"}, head)


def test_an_export_holds_no_transaction_open_while_its_reader_is_slow(database: Database) -> None:
    fill(database, 5)
    pieces = exported(database, AuditFilters(), "jsonl")
    next(pieces)
    next(pieces)
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


# --- pages -------------------------------------------------------------------------------------


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    """Return an administrator's browser."""
    url = database.url.render_as_string(hide_password=False)
    browser = {"accept": "text/html", "origin": "http://testserver"}
    fill(database)
    with database.write() as session:
        account, _ = access.create_account(session, "boss", "admin", actor="test")
        account.must_change = False
        token = sessions.start(session, account)
    app = create_app(Settings(database_url=url), scorer=FakeScorer())
    with TestClient(app, headers=browser, cookies={COOKIE: token}) as client:
        yield client


def test_the_page_shows_the_trail_and_leads_to_older_rows(client: TestClient) -> None:
    first = client.get("/jejak", params={"dari": "2026-10-01", "sampai": "2026-10-30"}).text
    assert first.count("<time") == 30
    assert "Putusan" in first
    assert "Lebih lama" not in first
    last = client.get("/jejak", params={"sebelum": "3"}).text
    assert last.count("<time") == 2


def test_the_page_filters_by_days_of_wib(client: TestClient) -> None:
    shown = client.get(
        "/jejak", params={"dari": "2026-10-03", "sampai": "2026-10-04", "pelaku": "ani"}
    ).text
    assert shown.count("<time") == 1
    assert "04-10-2026" in shown


@pytest.mark.parametrize(
    "query",
    [
        {"dari": "kemarin"},
        {"dari": "0001-01-01", "sampai": "9999-12-31"},
        {"pelaku": "<script>alert(1)</script>"},
        {"perihal": "\x00\ud800"},
        {"pelaku": "x" * 500},
        {"tindakan": "'; DROP TABLE audit"},
    ],
    ids=str,
)
def test_a_filter_that_makes_no_sense_breaks_nothing(
    client: TestClient, query: dict[str, str]
) -> None:
    encoded = {name: value.encode("utf-8", "surrogatepass") for name, value in query.items()}
    answer = client.get("/jejak", params=encoded)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text


def test_the_check_says_that_the_chain_holds_and_how_long_it_is(client: TestClient) -> None:
    assert "Rantai utuh: 31 baris" in client.post("/jejak/periksa").text


def test_the_check_says_which_row_is_not_what_was_written(
    client: TestClient, database: Database
) -> None:
    with database.write() as session:
        if database.is_sqlite:
            session.execute(text("DROP TRIGGER audit_no_update"))
        else:
            session.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_no_change"))
        session.execute(update(AuditRow).where(AuditRow.id == 7).values(actor="lain"))
    page = client.post("/jejak/periksa")
    assert "Rantai putus" in page.text
    assert "row 7" in page.text


def test_the_export_is_a_file_of_what_the_filters_leave(client: TestClient) -> None:
    answer = client.get("/jejak/ekspor", params={"format": "csv", "tindakan": "sign-in"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="jejak-audit.csv"' in answer.headers["content-disposition"]
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 11
    lines = client.get("/jejak/ekspor", params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(1, 32))
    assert client.get("/jejak/ekspor", params={"format": "exe"}).status_code == 422


def test_the_api_pages_through_the_trail(client: TestClient) -> None:
    found: list[int] = []
    before: dict[str, Any] = {}
    while True:
        query = {"limit": 10, "action": "sign-in", **before}
        answer = client.get("/v1/audit", params=query).json()
        found += [row["id"] for row in answer["rows"]]
        if answer["next"] is None:
            break
        before = {"before": answer["next"]}
    assert found == [n for n in range(30, 0, -1) if n % 3 == 2]
