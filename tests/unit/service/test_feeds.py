"""Feeds from upload to result, on both databases."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, event, func, select, update
from sqlalchemy.exc import OperationalError
from starlette.requests import Request

from models.fake import FakeScorer
from models.text import normalise
from pipeline.request import ScoreRequest
from pipeline.scoring import score_feed
from service.accounts import access, passwords
from service.accounts.passwords import Password
from service.app import create_app
from service.database import Database
from service.feeds import jobs
from service.feeds import worker as workers
from service.feeds.errors import UploadCutOff
from service.feeds.rows import moment
from service.feeds.upload import receive, shown_name, sweep
from service.feeds.worker import Worker
from service.posts.intake import platform_of
from service.queue.service import QueueRules
from service.settings import Settings
from service.tables import FeedPost, QueueItem, StoredFeed, StoredPost

ROOT = Path(__file__).parents[3]
RISKY = "SEBARKAN! rahasia vaksin terbongkar"
LIMIT = 300_000
GOOD = "kuda putih lari pagi"


class Normalising(FakeScorer):
    """Gives texts that read alike the same score, as the model does."""

    def score(self, texts: Sequence[str]) -> list[Any]:
        return super().score([normalise(text) for text in texts])

    def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
        return super().score_and_embed([normalise(text) for text in texts])


def settings_for(database: Database, folder: Path, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "database_url": database.url.render_as_string(hide_password=False),
        "feeds_folder": folder,
        "max_feed_bytes": LIMIT,
        "max_body_bytes": 10_000,
        "worker_in_service": False,
    }
    return Settings(**(given | more))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "feeds"


@pytest.fixture
def client(database: Database, folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(settings_for(database, folder), scorer=FakeScorer())) as client:
        yield client


def key_of(database: Database, name: str, role: str) -> dict[str, str]:
    with database.write() as session:
        account, _ = access.create_account(session, name, role, actor="test")
        scopes = [right.value for right in access.ROLES[role]]
        key = access.create_key(session, account, "test", scopes, actor="test")
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def who(database: Database) -> dict[str, str]:
    return key_of(database, "ani", "moderator")


def make_worker(database: Database, folder: Path, **more: Any) -> Worker:
    scorer = more.pop("scorer", Normalising())
    given: dict[str, Any] = {"max_expanded_bytes": 50_000_000}
    return Worker(
        database,
        scorer.score_and_embed,
        QueueRules(threshold=0.5),
        model="fake-1",
        folder=folder,
        **(given | more),
    )


def send(client: TestClient, who: dict[str, str], data: bytes, name: str, **query: str) -> Any:
    return client.post("/v1/feeds", headers=who, content=data, params={"name": name, **query})


def sent(client: TestClient, who: dict[str, str], data: bytes, name: str, **query: str) -> int:
    answer = send(client, who, data, name, **query)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/feeds/{answer.json()['id']}"
    return int(answer.json()["id"])


def looked_at(client: TestClient, who: dict[str, str], feed: int) -> dict[str, Any]:
    answer = client.get(f"/v1/feeds/{feed}", headers=who)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def result(client: TestClient, who: dict[str, str], feed: int, format: str = "csv") -> bytes:  # noqa: A002
    answer = client.get(f"/v1/feeds/{feed}/result", headers=who, params={"format": format})
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def table(rows: Sequence[Sequence[object]], header: str = "id_str,full_text") -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return f"{header}\n{out.getvalue()}".encode()


def scored_by_command(tmp_path: Path, data: bytes, name: str, output: str) -> bytes:
    feed, made = tmp_path / name, tmp_path / output
    feed.write_bytes(data)
    request = ScoreRequest(input=feed, output=made, quiet=True, overwrite=True)
    score_feed(request, Normalising, stderr=io.StringIO())
    return made.read_bytes()


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


# --- the whole way ------------------------------------------------------------------------------


def test_a_feed_goes_from_upload_to_the_very_result_of_the_score_command(
    client: TestClient, database: Database, folder: Path, tmp_path: Path, who: dict[str, str]
) -> None:
    data = (ROOT / "pipeline/sample/feed.csv").read_bytes()
    feed = sent(client, who, data, "sampel.csv")
    assert looked_at(client, who, feed)["state"] == "queued"
    assert make_worker(database, folder).work_once()
    seen = looked_at(client, who, feed)
    counts = seen["counts"]
    assert seen["state"] == "done"
    assert seen["progress"]["share"] == 1
    assert counts["rows"] == counts["scored"] + counts["known"] + counts["rejected"]
    assert counts["rejected"] == 6
    with database.read() as session:
        assert session.scalar(select(func.count(StoredPost.id))) == counts["scored"]
        assert session.scalar(select(func.count(QueueItem.id))) == counts["queued"] > 0
        post = session.scalars(select(StoredPost).order_by(StoredPost.id).limit(1)).one()
        assert post.source == f"feed:{feed} sampel.csv"
    assert result(client, who, feed) == scored_by_command(
        tmp_path, data, "sampel.csv", "sampel.scored.csv"
    )
    rejects = client.get(f"/v1/feeds/{feed}/rejects", headers=who).text.splitlines()
    assert rejects[0] == "line,field,reason"
    assert len(rejects) == 1 + counts["rejected"]


TELEGRAM = json.dumps(
    {
        "name": "Kabar RT",
        "messages": [
            {"id": n, "type": "message", "date_unixtime": "1700000000", "text": f"kabar nomor {n}"}
            for n in range(3)
        ],
    }
).encode()
WHATSAPP = b"31/12/23 21.15 - Ani: kabar satu\n31/12/23 21.16 - Budi: kabar dua\nlanjut\n"
JSONL = b'{"text": "kabar a", "likes": 3}\n{"text": "kabar b"}\n{"no": 1}\n'


def parquet(rows: int = 4, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [f"kabar {i}" for i in range(rows)]}), sink, **options)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "scored"),
    [
        ("a.tsv", b"full_text\tx\nkabar a\t1\nkabar b\t2\n", 2),
        ("a.jsonl", JSONL, 2),
        ("a.jsonl.gz", gzip.compress(JSONL), 2),
        ("a.jsonl.zst", pa.compress(JSONL, codec="zstd", asbytes=True), 2),
        ("a.parquet", parquet(), 4),
        ("result.json", TELEGRAM, 3),
        ("_chat.txt", WHATSAPP, 2),
    ],
)
def test_every_format_is_taken(
    client: TestClient,
    database: Database,
    folder: Path,
    tmp_path: Path,
    who: dict[str, str],
    name: str,
    data: bytes,
    scored: int,
) -> None:
    feed = sent(client, who, data, name)
    make_worker(database, folder).work_once()
    seen = looked_at(client, who, feed)
    assert (seen["state"], seen["counts"]["scored"]) == ("done", scored), seen
    for kind in ("csv", "jsonl"):
        assert result(client, who, feed, kind) == scored_by_command(
            tmp_path, data, name, f"out.{kind}"
        )


def test_a_form_with_a_file_is_taken_as_a_bare_body_is(
    client: TestClient, who: dict[str, str]
) -> None:
    answer = client.post(
        "/v1/feeds",
        headers=who,
        data={"text_column": "kolomku"},
        files={"file": ("C:\\data\\umpan.csv", b"kolomku,x\nkabar,1\n", "text/csv")},
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["name"] == "umpan.csv"
    assert answer.json()["text_column"] == "kolomku"


def test_feeds_are_listed_newest_first_in_pages(client: TestClient, who: dict[str, str]) -> None:
    made = [sent(client, who, table([(i, f"kabar {i}")]), f"{i}.csv") for i in range(5)]
    found: list[int] = []
    after: int | None = None
    while True:
        query = {"limit": 2} | ({"after": after} if after else {})
        page = client.get("/v1/feeds", headers=who, params=query).json()
        found += [feed["id"] for feed in page["feeds"]]
        after = page["next"]
        if after is None:
            break
    assert found == made[::-1]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("Twitter", "x"), ("X", "x"), (" WhatsApp ", "whatsapp"), ("bluesky", "bluesky")],
)
def test_a_platform_is_kept_under_one_name(given: str, kept: str) -> None:
    assert platform_of(given) == kept


def test_what_is_known_is_told_of_a_post_from_its_columns(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    header = "id_str,created_at,username,full_text,favorite_count,retweet_count,tweet_url"
    row = ("99", "2026-03-09T06:02:11", "warga", RISKY, "12", "3,5x", "https://x.example/1")
    sent(client, who, table([row], header), "a.csv")
    make_worker(database, folder).work_once()
    with database.read() as session:
        post = session.scalars(select(StoredPost)).one()
    assert (post.platform, post.external_id, post.account) == ("x", "99", "warga")
    assert post.url == "https://x.example/1"
    assert post.engagement == {"likes": 12}
    assert post.posted_at == datetime(2026, 3, 8, 23, 2, 11, tzinfo=UTC)


def test_row_numbers_of_two_feeds_without_a_platform_are_not_the_same_posts(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    worker = make_worker(database, folder)
    for name in ("a", "b"):
        sent(client, who, table([(1, f"kabar {name}")], "id,text"), f"{name}.csv")
        worker.work_once()
    with database.read() as session:
        assert session.scalar(select(func.count(StoredPost.id))) == 2


def test_the_same_feed_again_finds_its_posts_known(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    data = table([(i, f"{RISKY} {i}") for i in range(1200)] + [(0, f"{RISKY} 0")])
    worker = make_worker(database, folder)
    first = sent(client, who, data, "a.csv")
    worker.work_once()
    second = sent(client, who, data, "a.csv")
    worker.work_once()
    one, two = (looked_at(client, who, feed)["counts"] for feed in (first, second))
    assert one == {"rows": 1201, "scored": 1200, "known": 1, "queued": 1200, "rejected": 0}
    assert two == {"rows": 1201, "scored": 0, "known": 1201, "queued": 0, "rejected": 0}
    with database.read() as session:
        seen = dict(session.execute(select(StoredPost.external_id, StoredPost.seen)).all())
    assert (seen["0"], seen["1"]) == (4, 2)
    assert result(client, who, first) == result(client, who, second)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-03-09", "2026-03-08T17:00:00+00:00"),
        ("Sat Sep 30 23:59:58 +0000 2023", "2023-09-30T23:59:58+00:00"),
        ("31/12/2023 07.00", None),
        ("31/12/2023 07:00", "2023-12-31T00:00:00+00:00"),
        ("1700000000", "2023-11-14T22:13:20+00:00"),
        ("1700000000000", "2023-11-14T22:13:20+00:00"),
        ("0001-01-01", None),
        ("9999-12-31T23:59:59", None),
        ("kemarin", None),
    ],
)
def test_dates_are_read_in_the_forms_that_feeds_write(said: str, meant: str | None) -> None:
    found = moment(said)
    assert (found.isoformat() if found else None) == meant


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "query", "status", "said"),
    [
        (b"", "a.csv", {}, 422, "empty"),
        (b"PK\x03\x04rest", "a.xlsx", {}, 422, "spreadsheet"),
        (b"a,b\n1,2\n", "a.csv", {}, 422, "'a', 'b'"),
        (b"a,b\n1,2\n", "a.csv", {}, 422, "text_column"),
        (b"text\nx\n", "a.csv", {"text_column": "isi"}, 422, "'text'"),
        (b"text\nx\n", "a.csv", {"format": "xls"}, 422, "format"),
        (gzip.compress(b"text\nkabar\n")[:8], "a.csv.gz", {}, 422, "cut short"),
        (b"PAR1 not at all", "a.parquet", {}, 422, "Parquet"),
        (b"x" * (LIMIT + 1), "a.csv", {}, 413, "larger"),
    ],
)
def test_a_file_that_will_not_do_is_refused_in_plain_words_and_not_kept(
    client: TestClient,
    folder: Path,
    who: dict[str, str],
    data: bytes,
    name: str,
    query: dict[str, str],
    status: int,
    said: str,
) -> None:
    answer = send(client, who, data, name, **query)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert str(folder) not in answer.text
    assert left_in(folder) == []
    assert client.get("/v1/feeds", headers=who).json()["feeds"] == []


def test_a_body_that_declares_no_size_is_stopped_at_the_limit(
    client: TestClient, folder: Path, who: dict[str, str]
) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    answer = client.post("/v1/feeds?name=a.csv", headers=who, content=endless())
    assert answer.status_code == 413
    assert left_in(folder) == []


@pytest.mark.parametrize(
    "body",
    [
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\ntext\nx',
        b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        b"no form at all",
        b"",
    ],
)
def test_a_form_that_is_cut_off_or_has_no_file_leaves_nothing(
    client: TestClient, folder: Path, who: dict[str, str], body: bytes
) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/feeds", headers=who | kind, content=body)
    assert answer.status_code == 422, answer.text
    assert left_in(folder) == []


def test_an_upload_whose_sender_goes_away_leaves_nothing(folder: Path) -> None:
    parts: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"text\n" + b"x" * 3_000_000, "more_body": True},
        {"type": "http.disconnect"},
    ]
    during: list[str] = []

    async def come() -> dict[str, Any]:
        during.extend(left_in(folder))
        return parts.pop(0)

    async def upload() -> None:
        request = Request({"type": "http", "method": "POST", "headers": []}, come)
        await receive(request, folder=folder, limit=10**9, name="a.csv")

    with pytest.raises(UploadCutOff):
        asyncio.run(upload())
    assert len(during) == 1 + 1
    assert left_in(folder) == []


def test_what_a_killed_server_left_of_an_upload_is_swept_away(folder: Path) -> None:
    folder.mkdir()
    for name, age_s in (
        ("incoming-old.csv", 90_000),
        ("incoming-new.csv", 60),
        ("kept.csv", 90_000),
    ):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_s,) * 2)
    sweep(folder)
    assert left_in(folder) == ["incoming-new.csv", "kept.csv"]


def test_a_bare_body_needs_a_name(client: TestClient, who: dict[str, str]) -> None:
    answer = client.post("/v1/feeds", headers=who, content=b"text\nx\n")
    assert answer.status_code == 422
    assert "?name=" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("folder/", "folder"),
        ("..", "feed"),
        ("a\0b\n<script>.csv", "ab<script>.csv"),
        ("\ud800.csv", "?.csv"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
    ],
)
def test_a_name_is_shown_without_folders_and_is_no_path(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_a_file_is_kept_under_a_name_of_our_own(
    client: TestClient, folder: Path, who: dict[str, str]
) -> None:
    sent(client, who, b"text\nkabar\n", "../../../tmp/evil.csv")
    (kept,) = left_in(folder)
    assert len(kept) == len("0" * 32 + ".csv")
    assert not (folder.parent / "evil.csv").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bomb.csv.gz", gzip.compress(b"text\n" + b"a" * 40_000_000)),
        ("bomb.csv.zst", pa.compress(b"text\n" + b"a\n" * 20_000_000, codec="zstd", asbytes=True)),
        ("large.csv.gz", gzip.compress(b"text\n" + os.urandom(3_000).hex().encode() * 500)),
    ],
)
def test_what_unpacks_to_too_much_is_refused_before_a_row_is_stored(
    client: TestClient,
    database: Database,
    folder: Path,
    who: dict[str, str],
    name: str,
    data: bytes,
) -> None:
    feed = sent(client, who, data, name)
    limit = 2_000_000 if name.startswith("large") else 100_000_000
    make_worker(database, folder, max_expanded_bytes=limit).work_once()
    seen = looked_at(client, who, feed)
    assert (seen["state"], seen["error"]["code"]) == ("failed", "feed-bomb")
    assert "unpacks" in seen["error"]["message"]
    assert seen["counts"]["rows"] == 0


def test_a_parquet_file_is_refused_by_the_sizes_it_declares(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    sink = io.BytesIO()
    values = ["a" * 1000 + str(i) for i in range(30_000)]
    pq.write_table(pa.table({"text": values}), sink, compression="zstd", use_dictionary=False)
    feed = sent(client, who, sink.getvalue(), "bomb.parquet")
    make_worker(database, folder).work_once()
    assert looked_at(client, who, feed)["error"]["code"] == "feed-bomb"


def test_a_parquet_file_that_repeats_one_value_is_stopped_at_the_bound(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a" * 10_000] * 20_000}), sink)
    feed = sent(client, who, sink.getvalue(), "same.parquet")
    make_worker(database, folder).work_once()
    seen = looked_at(client, who, feed)
    assert seen["error"]["code"] == "feed-bomb"
    assert seen["counts"]["rows"] < 20_000


def test_a_feed_that_breaks_off_keeps_what_came_before_and_says_where(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    text = "".join(f"{os.urandom(40).hex()} {i}\n" for i in range(3000))
    data = gzip.compress(f"text\n{text}".encode())
    feed = sent(client, who, data[: len(data) // 2], "cut.csv.gz")
    make_worker(database, folder).work_once()
    seen = looked_at(client, who, feed)
    assert (seen["state"], seen["error"]["code"]) == ("failed", "feed-cut-short")
    assert "cut.csv.gz: after line" in seen["error"]["message"]
    assert 1000 < seen["counts"]["scored"] < 2000
    assert len(result(client, who, feed).splitlines()) == 1 + seen["counts"]["scored"]


def test_strange_characters_in_any_field_are_stored_without_harm(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    strange = "\0 \ud800 \x1b[31m <script>alert(1)</script> =cmd|' /C calc'!A0"
    rows: list[dict[str, Any]] = [
        {"text": f"kabar {strange}", "id_str": "1"},
        *(
            {"text": f"kabar {i}", name: strange}
            for i, name in enumerate(("id_str", "username", "url", "platform", "created_at"))
        ),
        {"text": "kabar", "likes": 10**400, "views": "1e999", "retweet_count": -4},
        {f"text": "kabar lagi", strange: strange},  # noqa: F541
    ]
    # One a line, with lone surrogates as escapes: scrapers in Python write them so.
    data = "\n".join(json.dumps(row) for row in rows).encode()
    feed = sent(client, who, data, "aneh \ud800.jsonl".encode("utf-8", "replace").decode())
    make_worker(database, folder).work_once()
    seen = looked_at(client, who, feed)
    assert seen["state"] == "done", seen
    assert seen["counts"]["rows"] == len(rows)
    for kind in ("csv", "jsonl"):
        assert result(client, who, feed, kind)
    cells = [
        c
        for row in csv.reader(io.StringIO(result(client, who, feed).decode("utf-8", "replace")))
        for c in row
    ]
    assert not any(c.startswith(("=", "@")) for c in cells)


def test_a_text_longer_than_the_api_takes_is_rejected(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    feed = sent(client, who, table([(1, "a " * 15_000), (2, "kabar")]), "a.csv")
    make_worker(database, folder).work_once()
    assert looked_at(client, who, feed)["counts"]["rejected"] == 1
    assert "20.000" in client.get(f"/v1/feeds/{feed}/rejects", headers=who).text


def test_a_feed_in_which_nothing_can_be_scored_says_so(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    feed = sent(client, who, b"text,x\n,1\n,2\n", "a.csv")
    make_worker(database, folder).work_once()
    seen = looked_at(client, who, feed)
    assert (seen["state"], seen["error"]["code"]) == ("failed", "nothing-scored")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    # The limit on a file's size fails in write(2) as a full disk does.
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from service.feeds.errors import DiskFull
from service.feeds.upload import Receiver
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path({str(tmp_path)!r})
receiver = Receiver(folder, 10**9)
receiver.begin("a.csv")
try:
    for _ in range(50):
        receiver.write(b"x" * 10_000)
except DiskFull as full:
    print(full.status.value, full)
finally:
    receiver.close()
print(len(list(folder.iterdir())))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.startswith("507 the disk"), done.stderr
    assert done.stdout.endswith("\n0\n")


# --- rights and privacy ---------------------------------------------------------------------------


def test_a_reader_may_look_and_not_send_or_stop(
    client: TestClient, database: Database, who: dict[str, str]
) -> None:
    feed = sent(client, who, b"text\nkabar\n", "a.csv")
    reader = key_of(database, "baca", "reader")
    assert send(client, reader, b"text\nkabar\n", "a.csv").status_code == 403
    assert client.post(f"/v1/feeds/{feed}/cancel", headers=reader).status_code == 403
    for path in ("", f"/{feed}", f"/{feed}/result", f"/{feed}/rejects"):
        assert client.get(f"/v1/feeds{path}", headers=reader).status_code == 200
        assert client.get(f"/v1/feeds{path}").status_code == 401


def test_who_may_not_see_personal_data_gets_the_result_without_it(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    header = "created_at,username,text,note"
    row = ("2026-01-02", "warga_biasa", "hubungi 0812-3456-7890 @warga_biasa", "Bu Sari")
    feed = sent(client, who, table([row], header), "Chat dengan +62 812-3456-7890.csv")
    make_worker(database, folder).work_once()
    reader = key_of(database, "baca", "reader")
    for kind in ("csv", "jsonl"):
        assert b"3456" in result(client, who, feed, kind)
        masked = result(client, reader, feed, kind).decode()
        assert "2026-01-02" in masked
        assert not [w for w in ("3456", "warga_biasa", "Sari", "note") if w in masked]
    assert "3456" not in looked_at(client, reader, feed)["name"]
    with database.read() as session:
        assert "3456" not in session.scalars(select(StoredPost.source)).one()


def test_a_feed_that_is_not_there_is_not_found(client: TestClient, who: dict[str, str]) -> None:
    for path in ("/1", "/1/result", "/1/rejects"):
        assert client.get(f"/v1/feeds{path}", headers=who).status_code == 404
    assert client.post("/v1/feeds/1/cancel", headers=who).status_code == 404
    assert client.get("/v1/feeds/99999999999999999999", headers=who).status_code == 422


def test_a_result_whose_file_is_gone_says_so(
    client: TestClient, folder: Path, who: dict[str, str]
) -> None:
    feed = sent(client, who, b"text\nkabar\n", "a.csv")
    for path in folder.iterdir():
        path.unlink()
    assert client.get(f"/v1/feeds/{feed}/result", headers=who).status_code == 410


# --- leases -----------------------------------------------------------------------------------------


def stored_feed(database: Database, feed: int) -> StoredFeed:
    with database.read() as session:
        found = session.get(StoredFeed, feed)
        assert found is not None
        return found


def test_a_feed_is_one_workers_until_its_lease_ends(
    client: TestClient, database: Database, who: dict[str, str]
) -> None:
    feed = sent(client, who, b"text\nkabar\n", "a.csv")
    lease = timedelta(minutes=1)
    first = jobs.claim(database, "one", lease)
    assert first is not None
    assert jobs.claim(database, "two", lease) is None
    assert jobs.renew(database, feed, "one", lease)
    assert not jobs.renew(database, feed, "two", lease)
    with database.write() as session:
        session.execute(update(StoredFeed).values(lease_until=datetime.now(UTC)))
    second = jobs.claim(database, "two", lease)
    assert second is not None
    assert not jobs.renew(database, feed, "one", lease)
    with pytest.raises(jobs.LeaseLost), database.write() as session:
        jobs.hold(session, feed, "one")


def test_many_workers_claim_many_feeds_one_each(
    client: TestClient, database: Database, who: dict[str, str]
) -> None:
    feeds = {sent(client, who, table([(i, "kabar")]), f"{i}.csv") for i in range(8)}
    claimed: list[int] = []
    start = threading.Barrier(8)

    def take(name: str) -> None:
        start.wait()
        while (feed := jobs.claim(database, name, timedelta(minutes=1))) is not None:
            claimed.append(feed.id)
            # A worker may take up what is its own again; this one passes it on to nobody.
            with database.write() as session:
                held = jobs.hold(session, feed.id, name)
                held.lease_owner = "test"

    threads = [threading.Thread(target=take, args=(f"w{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(feeds)


def test_a_worker_whose_lease_went_to_another_stores_nothing_more(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    feed = sent(client, who, table([(i, f"kabar {i}") for i in range(1200)]), "a.csv")
    other = make_worker(database, folder)

    class Stealing(FakeScorer):
        calls = 0

        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            Stealing.calls += 1
            if Stealing.calls == 2:  # the first chunk is stored; another worker takes over now
                with database.write() as session:
                    session.execute(update(StoredFeed).values(lease_until=datetime.now(UTC)))
                assert other.work_once()
            return super().score_and_embed(texts)

    assert make_worker(database, folder, scorer=Stealing()).work_once()
    counts = looked_at(client, who, feed)["counts"]
    assert counts == {"rows": 1200, "scored": 1200, "known": 0, "queued": 0, "rejected": 0}
    with database.read() as session:
        assert session.scalar(select(func.sum(StoredPost.seen))) == 1200
        assert session.scalar(select(func.count()).select_from(FeedPost)) == 1200


def test_a_worker_that_stops_finishes_its_chunk_and_another_goes_on(
    client: TestClient, database: Database, folder: Path, tmp_path: Path, who: dict[str, str]
) -> None:
    data = table([(i, f"{RISKY} {i}") for i in range(1300)])
    feed = sent(client, who, data, "a.csv")
    first: Worker

    class Stopping(Normalising):
        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            first.stop()
            return super().score_and_embed(texts)

    first = make_worker(database, folder, scorer=Stopping())
    first.run()
    seen = looked_at(client, who, feed)
    assert (seen["state"], seen["counts"]["rows"]) == ("queued", workers.CHUNK_ROWS)
    assert len(result(client, who, feed).splitlines()) == 1 + workers.CHUNK_ROWS
    make_worker(database, folder).work_once()
    assert looked_at(client, who, feed)["counts"]["scored"] == 1300
    assert result(client, who, feed) == scored_by_command(tmp_path, data, "a.csv", "o.csv")


def test_a_cancelled_feed_keeps_what_is_stored_and_gets_nothing_more(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    feed = sent(client, who, table([(i, f"kabar {i}") for i in range(1200)]), "a.csv")

    class Cancelling(FakeScorer):
        calls = 0

        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            Cancelling.calls += 1
            if Cancelling.calls == 2:
                answer = client.post(f"/v1/feeds/{feed}/cancel", headers=who)
                assert answer.json()["state"] == "cancelled"
            return super().score_and_embed(texts)

    worker = make_worker(database, folder, scorer=Cancelling())
    assert worker.work_once()
    assert not worker.work_once()
    seen = looked_at(client, who, feed)
    assert (seen["state"], seen["counts"]["rows"]) == ("cancelled", workers.CHUNK_ROWS)
    with database.read() as session:
        assert session.scalar(select(func.count(StoredPost.id))) == workers.CHUNK_ROWS
    again = client.post(f"/v1/feeds/{feed}/cancel", headers=who)
    assert again.json()["finished_at"] == seen["finished_at"]


def test_a_feed_that_gets_nowhere_time_after_time_is_given_up(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    feed = sent(client, who, b"text\nkabar\n", "a.csv")
    for _ in range(jobs.MOST_ATTEMPTS):
        assert jobs.claim(database, "mortal", timedelta(0)) is not None
    assert jobs.claim(database, "mortal", timedelta(0)) is None
    assert looked_at(client, who, feed)["error"]["code"] == "given-up"


def test_a_model_that_fails_once_costs_a_feed_nothing_but_time(
    client: TestClient, database: Database, folder: Path, who: dict[str, str]
) -> None:
    feed = sent(client, who, b"text\nkabar\n", "a.csv")

    class Failing(FakeScorer):
        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            raise MemoryError("no room")

    with pytest.raises(MemoryError):
        make_worker(database, folder, scorer=Failing()).work_once()
    assert not make_worker(database, folder).work_once()  # it rests for a while
    with database.write() as session:
        session.execute(update(StoredFeed).values(lease_until=datetime.now(UTC)))
    make_worker(database, folder).work_once()
    assert stored_feed(database, feed).state == "done"


@pytest.mark.parametrize("heard", [False, True])
def test_a_chunk_whose_commit_fails_or_is_not_heard_of_is_stored_once(
    client: TestClient, database: Database, folder: Path, who: dict[str, str], heard: bool
) -> None:
    feed = sent(client, who, table([(i, f"kabar {i}") for i in range(700)]), "a.csv")
    faults = iter(["first chunk"])

    def break_off(connection: Connection) -> None:
        rows = connection.exec_driver_sql("SELECT rows FROM feeds").scalar()
        if rows and next(faults, None):
            if not heard:
                connection.connection.commit()
            raise OperationalError("COMMIT", None, Exception("the connection broke"))

    event.listen(database.engine, "commit", break_off)
    assert make_worker(database, folder).work_once()
    event.remove(database.engine, "commit", break_off)
    assert next(faults, None) is None
    seen = looked_at(client, who, feed)
    assert (seen["state"], seen["counts"]["scored"]) == ("done", 700)
    with database.read() as session:
        assert session.scalar(select(func.sum(StoredPost.seen))) == 700
        assert session.scalar(select(func.count()).select_from(FeedPost)) == 700


def test_the_worker_in_the_service_scores_behind_the_people(
    database: Database, folder: Path, who: dict[str, str]
) -> None:
    settings = settings_for(database, folder, worker_in_service=True)
    with TestClient(create_app(settings, scorer=FakeScorer())) as client:
        feed = sent(client, who, table([(i, f"{RISKY} {i}") for i in range(1000)]), "a.csv")
        while looked_at(client, who, feed)["state"] in ("queued", "running"):
            answer = client.post("/v1/score", headers=who, json={"texts": ["kabar"]})
            assert answer.status_code == 200
        assert looked_at(client, who, feed)["counts"]["scored"] == 1000


# --- pages --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def password() -> Password:
    return passwords.chosen(GOOD)


@pytest.fixture
def browser(client: TestClient, database: Database, password: Password) -> TestClient:
    with database.write() as session:
        access.create_account(session, "citra", "moderator", actor="test", password=password)
    client.headers.update({"accept": "text/html", "sec-fetch-site": "same-origin"})
    client.post("/masuk", data={"nama": "citra", "sandi": GOOD})
    return client


def test_a_person_uploads_a_feed_watches_it_and_takes_its_result(
    browser: TestClient, database: Database, folder: Path
) -> None:
    assert "Belum ada umpan" in browser.get("/unggah").text
    files = {"file": ("<b>umpan</b>.csv", table([(1, RISKY)]), "text/csv")}
    sent_form = browser.post("/unggah", files=files, follow_redirects=False)
    assert sent_form.status_code == 303
    page = browser.get(sent_form.headers["location"]).text
    assert "Menunggu giliran" in page
    assert 'http-equiv="refresh"' in page
    assert "<b>umpan" not in page
    make_worker(database, folder).work_once()
    page = browser.get(sent_form.headers["location"]).text
    assert "Selesai" in page
    assert 'http-equiv="refresh"' not in page
    assert "result?format=csv" in page
    assert "umpan" in browser.get("/unggah").text


def test_the_form_says_what_is_wrong_with_a_file(browser: TestClient, folder: Path) -> None:
    files = {"file": ("a.csv", b"a,<i>b</i>\n1,2\n", "text/csv")}
    answer = browser.post("/unggah", files=files)
    assert answer.status_code == 422
    assert "Kolom yang ada: a, &lt;i&gt;b&lt;/i&gt;." in answer.text
    assert left_in(folder) == []


def test_a_person_stops_a_feed(browser: TestClient) -> None:
    page = browser.post("/unggah", files={"file": ("a.csv", b"text\nkabar\n", "text/csv")})
    stopped = browser.post(f"{page.url.path}/batalkan")
    assert "Dibatalkan" in stopped.text


def test_another_site_cannot_send_a_feed(browser: TestClient) -> None:
    files = {"file": ("a.csv", b"text\nkabar\n", "text/csv")}
    answer = browser.post("/unggah", files=files, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
