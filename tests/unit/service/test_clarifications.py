"""Clarifications: files, storing, the nearest to a post, API and pages, on both databases."""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given as generated
from hypothesis import strategies as st
from sqlalchemy import func, select

from models.fake import FakeScorer
from pipeline.errors import FeedError
from pipeline.post import Reject
from pipeline.sample import FEED
from service.accounts import sessions
from service.accounts.access import ROLES, create_key
from service.app import create_app
from service.audit import trail
from service.clarifications import service
from service.clarifications.nearest import Clarifications
from service.clarifications.reading import BadField, Given, given, read, web_address
from service.clarifications.service import Kept, Outcome
from service.cli import main
from service.database import Database
from service.errors import NotFound
from service.posts.intake import NewPost, accept
from service.queue.service import QueueRules
from service.settings import Settings
from service.tables import Account, AuditRow, StoredClarification, StoredPost
from service.web import COOKIE

NOW = datetime(2026, 11, 25, 5, tzinfo=UTC)
ONE = {
    "title": "Air PDAM tidak dicampur racun tikus",
    "url": "https://s.example/air",
    "claim": "Air PDAM Kota Tirta dicampur racun tikus oleh pegawai pompa",
    "publisher": "Humas Contoh",
    "published_at": "2026-11-20",
    "rating": "salah",
}
OTHER = {
    "title": "Uang logam seribu kelapa sawit tidak dihargai seratus juta kolektor",
    "url": "https://s.example/koin",
}
POST = "SEBARKAN! air pdam kota tirta dicampur racun tikus sama pegawai pompa, jangan diminum"
Enter = Callable[..., TestClient]
SQLITE = pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)


def one(**more: str) -> Given:
    return given({**ONE, **more}, now=NOW)


def keep(database: Database, *wanted: Given, scorer: FakeScorer | None = None) -> list[Kept]:
    used = scorer or FakeScorer()
    return service.keep(
        database,
        wanted,
        used.score_and_embed,
        model=used.version,
        account=None,
        actor="test",
        now=NOW,
    )


def known(scorer: FakeScorer | None = None) -> Clarifications:
    used = scorer or FakeScorer()
    return Clarifications(used.space, model=used.version)


def store(database: Database, text: str) -> int:
    rules = QueueRules(threshold=0.5, second_review_share=0.0, second_review_labels=())
    post = NewPost(text=text, platform="x")
    (done,) = accept(database, [post], FakeScorer().score_and_embed, rules, model="fake-1")
    return done.post.id


def nearest(database: Database, clarifications: Clarifications, number: int) -> str | None:
    with database.read() as session:
        post = session.get(StoredPost, number)
        assert post is not None
        found = clarifications.nearest_to(session, post)
    return None if found is None else found.url


# --- files ---------------------------------------------------------------------------------------


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def split(path: Path) -> tuple[list[Given], list[Reject]]:
    found = list(read(path, now=NOW))
    return (
        [one for one in found if isinstance(one, Given)],
        [bad for bad in found if isinstance(bad, Reject)],
    )


def test_a_csv_gives_its_good_rows_and_says_what_is_wrong_with_the_others(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a.csv",
        "judul,tautan,klaim,penerbit,tanggal\n"
        "Baik,https://s.example/1,klaimnya,Humas,2026-11-01\n"
        ",https://s.example/2,tanpa judul,Humas,01/11/2026\n"
        "Tanpa tautan,,x,y,2026-11-01\n"
        "Skema,ftp://s.example/4,x,y,\n"
        "Tanggal,https://s.example/5,x,y,kemarin sore\n"
        "Masa depan,https://s.example/6,x,y,2027-06-01\n"
        "Kurang kolom,https://s.example/7\n"
        ",https://s.example/8,,,\n",
    )
    good, bad = split(path)
    assert [(g.title, g.url, g.claim, g.publisher, g.line) for g in good] == [
        ("Baik", "https://s.example/1", "klaimnya", "Humas", 2),
        ("tanpa judul", "https://s.example/2", "tanpa judul", "Humas", 3),
    ]
    # Dates without a zone are those of WIB.
    assert {g.published_at for g in good} == {datetime(2026, 10, 31, 17, tzinfo=UTC)}
    assert [(b.line, b.field) for b in bad] == [
        (4, "tautan"),
        (5, "url"),
        (6, "published_at"),
        (7, "published_at"),
        (8, ""),
        (9, "title"),
    ]
    assert all(b.reason for b in bad)


CLAIM_REVIEW: dict[str, Any] = {
    "@context": "https://schema.org",
    "@type": "ClaimReview",
    "url": "https://s.example/cek/1",
    "claimReviewed": "Uang kertas lama hangus minggu depan",
    "datePublished": "2026-11-02T09:00:00+07:00",
    "author": {"@type": "Organization", "name": "Cek Kabar Fiktif"},
    "reviewRating": {"@type": "Rating", "ratingValue": 1, "alternateName": "Salah"},
}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda review: review,
        lambda review: [review],
        lambda review: {"@graph": [{"@type": "WebPage", "url": "https://s.example"}, review]},
        lambda review: {"@type": "DataFeed", "dataFeedElement": [{"item": [review]}]},
    ],
    ids=["alone", "list", "graph", "data feed"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_claim_review_is_found_wherever_it_stands(
    tmp_path: Path, wrapped: Callable[[object], object], indent: int | None
) -> None:
    path = write(tmp_path, "a.json", json.dumps(wrapped(CLAIM_REVIEW), indent=indent))
    (found,), bad = split(path)
    assert bad == []
    assert (found.title, found.claim) == (CLAIM_REVIEW["claimReviewed"],) * 2
    assert (found.publisher, found.rating) == ("Cek Kabar Fiktif", "Salah")
    assert found.published_at == datetime(2026, 11, 2, 2, tzinfo=UTC)


def test_json_lines_may_be_plain_or_claim_reviews_and_bad_ones_are_named(tmp_path: Path) -> None:
    lines = [
        json.dumps(ONE),
        json.dumps(CLAIM_REVIEW),
        "{broken",
        '"a text"',
        '{"judul": 5, "url": "https://s.example/x"}',
        '{"apa": 1}',
        "",
        json.dumps({**ONE, "url": ["https://s.example/first", "https://s.example/second"]}),
    ]
    good, bad = split(write(tmp_path, "a.jsonl", "\n".join(lines)))
    assert [g.url for g in good] == [
        ONE["url"],
        "https://s.example/cek/1",
        "https://s.example/first",
    ]
    assert [(b.line, b.field) for b in bad] == [(3, ""), (4, ""), (5, "title"), (6, "")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "judul,isi\na,b\n", "url"),
        ("a.json", "{", "JSON"),
        ("a.json", "[1,", "JSON"),
        ("a.csv", "", "empty"),
    ],
)
def test_a_file_that_holds_no_clarifications_is_refused(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    with pytest.raises(FeedError, match=said):
        list(read(write(tmp_path, name, content), now=NOW))


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://S.Example/Jalan#bagian", "https://s.example/Jalan"),
        ("HTTP://s.example/?a=1&b=2", "http://s.example/?a=1&b=2"),
        ("https://s.example/berita/é", "https://s.example/berita/%C3%A9"),
    ],
)
def test_an_address_is_kept_in_one_form(url: str, kept: str) -> None:
    assert web_address(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//s.example",
        "s.example",
        "https://",
        "https://name:pass@s.example/",
        "https://s.example/a b",
        'https://s.example/"><script>',
        "https://[::1/",
        "data:text/html,x",
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(BadField):
        web_address(url)


@generated(
    st.fixed_dictionaries(
        {"url": st.one_of(st.text(max_size=20).map("https://s.example/{}".format), st.text())},
        optional={name: st.text(max_size=60) for name in ("title", "claim", "text", "rating")},
    )
)
def test_whatever_stands_in_the_fields_is_kept_in_bounds_or_refused(
    fields: dict[str, str],
) -> None:
    try:
        found = given(fields, now=NOW)
    except BadField:
        return
    assert found.title
    assert re.match(r"https?://[^\s\"<>\\]+$", found.url)
    assert "\0" not in found.claim + found.text + found.title
    found.title.encode()


# --- storing -------------------------------------------------------------------------------------


def test_a_clarification_is_kept_once_by_its_address_and_changed_when_it_says_something_else(
    database: Database,
) -> None:
    (first,) = keep(database, one())
    (again,) = keep(database, one())
    (changed,) = keep(database, one(rating="sebagian benar"))
    assert first.outcome is Outcome.ADDED
    assert again.outcome is Outcome.UNCHANGED
    assert changed.outcome is Outcome.CHANGED
    assert first.id == again.id == changed.id
    with database.read() as session:
        (row,) = session.scalars(select(StoredClarification))
        assert (row.rating, row.publisher, row.added_at) == ("sebagian benar", "Humas Contoh", NOW)
        assert row.embedding is not None
        lines = session.scalars(select(AuditRow).where(AuditRow.action == "clarification.keep"))
        told = [(line.details["added"], line.details["changed"]) for line in lines]
        assert told == [(1, 0), (0, 1)]
        trail.verify(session)


def test_of_an_address_given_twice_the_later_counts(database: Database) -> None:
    kept = keep(database, one(), given(OTHER, now=NOW), one(rating="benar"))
    assert [k.outcome for k in kept] == [Outcome.ADDED] * 3
    assert kept[0].id == kept[2].id != kept[1].id
    with database.read() as session:
        row = session.get(StoredClarification, kept[0].id)
        assert row is not None
        assert row.rating == "benar"


def test_only_what_is_new_or_told_otherwise_is_embedded(database: Database) -> None:
    class Counting(FakeScorer):
        asked: list[str]

        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            self.asked = list(texts)
            return super().score_and_embed(texts)

    scorer = Counting()
    keep(database, one(), given(OTHER, now=NOW), scorer=scorer)
    assert scorer.asked == [ONE["claim"], OTHER["title"]]
    keep(database, one(rating="lain"), given(OTHER, now=NOW), scorer=scorer)
    assert scorer.asked == []
    keep(database, one(claim="Air keran berwarna merah"), scorer=scorer)
    assert scorer.asked == ["Air keran berwarna merah"]
    scorer.version = "fake-2"
    keep(database, given(OTHER, now=NOW), scorer=scorer)
    assert scorer.asked == [OTHER["title"]]


def test_many_who_add_the_same_at_once_leave_one_of_each(database: Database) -> None:
    wanted = [one(url=f"https://s.example/{i}") for i in range(12)]
    failures: list[BaseException] = []

    def add(mine: Sequence[Given]) -> None:
        try:
            keep(database, *mine)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=add, args=(wanted[i:] + wanted[:i],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(StoredClarification)) == 12
        trail.verify(session)


# --- the nearest ---------------------------------------------------------------------------------


def test_the_nearest_says_what_matched_and_whence(database: Database) -> None:
    keep(database, one(), given(OTHER, now=NOW))
    number = store(database, POST)
    with database.read() as session:
        post = session.get(StoredPost, number)
        assert post is not None
        found = known().nearest_to(session, post)
    assert found is not None
    assert (found.url, found.publisher, found.rating) == (ONE["url"], "Humas Contoh", "salah")
    assert found.published_at == datetime(2026, 11, 19, 17, tzinfo=UTC)
    assert len(found.words) == 8
    assert set(found.words) <= set(f"{ONE['claim']} {ONE['title']}".lower().split())
    assert found.said.startswith("Kata yang sama: “")
    assert 0.5 <= found.likeness < 1


def test_every_worker_sees_what_another_added_changed_and_removed(database: Database) -> None:
    number = store(database, POST)
    mine, yours = known(), known()
    assert nearest(database, mine, number) is nearest(database, yours, number) is None
    (kept,) = keep(database, one())
    assert nearest(database, mine, number) == nearest(database, yours, number) == ONE["url"]
    keep(database, one(claim="Harimau turun ke kebun karet", title="Harimau di kebun"))
    assert nearest(database, mine, number) is nearest(database, yours, number) is None
    keep(database, one())
    assert nearest(database, mine, number) == ONE["url"]
    with database.write() as session:
        service.remove(session, kept.id, actor="test", now=NOW)
    assert nearest(database, mine, number) is nearest(database, yours, number) is None
    (back,) = keep(database, one())
    assert back == Kept(id=kept.id, url=kept.url, outcome=Outcome.CHANGED)
    assert nearest(database, mine, number) == nearest(database, yours, number) == ONE["url"]


def test_an_index_that_is_read_bit_by_bit_knows_the_latest_first_and_then_all(
    database: Database,
) -> None:
    for i in range(5):
        keep(
            database,
            *(
                given(
                    {
                        "title": f"Kabar{i}x{j} jembatan{i}x{j} pelabuhan{i}x{j} ditutup",
                        "url": f"https://s.example/{i}/{j}",
                    },
                    now=NOW,
                )
                for j in range(4)
            ),
        )
    bit_by_bit = Clarifications(FakeScorer().space, model="fake-1", at_once=3)

    def finds(i: int, j: int) -> bool:
        with database.read() as session:
            text = f"kabar{i}x{j} jembatan{i}x{j} pelabuhan{i}x{j} ditutup"
            return bit_by_bit.nearest(session, text, None, at_least=0.1) is not None

    assert finds(4, 3)
    assert not finds(0, 0)
    keep(database, one())  # a change in between is not missed
    number = store(database, POST)
    assert nearest(database, bit_by_bit, number) == ONE["url"]
    for _ in range(7):
        finds(0, 0)
    assert all(finds(i, j) for i in range(5) for j in range(4))
    with database.write() as session:
        rows = session.scalars(select(StoredClarification.id)).all()
        for number_ in rows:
            service.remove(session, number_, actor="test", now=NOW)
    for _ in range(7):
        finds(0, 0)
    assert not any(finds(i, j) for i in range(5) for j in range(4))


def test_after_a_change_of_the_model_words_alone_still_find_it(database: Database) -> None:
    keep(database, one())
    newer = FakeScorer()
    newer.version = "fake-2"
    assert nearest(database, known(newer), store(database, POST)) == ONE["url"]


def test_what_is_to_be_removed_must_exist(database: Database) -> None:
    with pytest.raises(NotFound), database.write() as session:
        service.remove(session, 5, actor="test", now=NOW)


@SQLITE
def test_pages_of_the_list_hold_each_clarification_once(database: Database) -> None:
    keep(database, *(one(url=f"https://s.example/{i}") for i in range(7)))
    seen: list[int] = []
    before: int | None = None
    for _ in range(3):
        with database.read() as session:
            rows, before = service.page(session, before=before, limit=3)
        seen += [row.id for row in rows]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 7
    assert before is None


# --- the command ---------------------------------------------------------------------------------


def lilin(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


@SQLITE
def test_the_command_adds_the_sample_once_and_finds_its_narrative(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LILIN_DATABASE_URL", database.url.render_as_string(hide_password=False))
    sample = str(FEED.with_name("clarifications.csv"))
    for said in ("15 added, 0 changed, 0 unchanged\n", "0 added, 0 changed, 15 unchanged\n"):
        assert lilin("clarification", "add", sample) == 0
        assert capsys.readouterr().out == said
    told = "mulai 1 April 2026 rekening siswa dipotong otomatis 150.000 buat makan bergizi gratis"
    url = "https://s.example/klarifikasi/potongan-rekening-mbg"
    assert nearest(database, known(), store(database, told)) == url


@SQLITE
def test_the_command_writes_what_will_not_do_and_fails_where_nothing_does(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LILIN_DATABASE_URL", database.url.render_as_string(hide_password=False))
    path = write(
        tmp_path, "a.csv", 'title,url\nBaik,https://s.example/1\n"=cmd()",ftp://s.example/2\n'
    )
    assert lilin("clarification", "add", str(path)) == 0
    assert capsys.readouterr().out == (
        f"1 added, 0 changed, 0 unchanged, 1 rejected: {path}.rejects.csv\n"
    )
    with (tmp_path / "a.csv.rejects.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["line"], row["field"]) == ("3", "url")
    assert "bukan alamat web" in row["reason"]
    bad = write(tmp_path, "b.csv", "title,url\nx,y\n")
    assert lilin("clarification", "add", str(bad), "--rejects", str(tmp_path / "r.csv")) == 2
    assert (tmp_path / "r.csv").exists()


# --- API and pages -------------------------------------------------------------------------------


@pytest.fixture
def app(database: Database, people: dict[str, Account]) -> Iterator[TestClient]:
    settings = Settings(database_url=database.url.render_as_string(hide_password=False))
    with TestClient(create_app(settings, scorer=FakeScorer())) as client:
        yield client


@pytest.fixture
def enter(database: Database, app: TestClient) -> Enter:
    """Return a function that signs someone in and returns their browser."""

    def browser(role: str = "moderator") -> TestClient:
        with database.write() as session:
            account = session.scalar(select(Account).where(Account.name == "ani"))
            assert account is not None
            account.role = role
            token = sessions.start(session, account)
        return TestClient(
            app.app,
            cookies={COOKIE: token},
            headers={"accept": "text/html", "sec-fetch-site": "same-origin"},
        )

    return browser


def key(database: Database, role: str) -> dict[str, str]:
    with database.write() as session:
        account = session.scalar(select(Account).where(Account.name == "budi"))
        assert account is not None
        account.role = role
        scopes = [right.value for right in ROLES[role]]
        made = create_key(session, account, "k", scopes, actor="test")
    return {"Authorization": f"Bearer {made}"}


def test_programs_add_and_list_clarifications(database: Database, app: TestClient) -> None:
    who = key(database, "moderator")
    body = {"clarifications": [{**ONE, "published_at": "2026-11-20T00:00:00+07:00"}, OTHER]}
    added = app.post("/v1/clarifications", headers=who, json=body)
    assert [c["outcome"] for c in added.json()["clarifications"]] == ["added", "added"]
    listed = app.get("/v1/clarifications", headers=who, params={"limit": 1}).json()
    assert [c["url"] for c in listed["clarifications"]] == [OTHER["url"]]
    more = app.get("/v1/clarifications", headers=who, params={"before": listed["next"]}).json()
    (first,) = more["clarifications"]
    assert more["next"] is None
    assert first | {"id": 0, "added_at": "", "text": ""} == {
        **ONE,
        "published_at": "2026-11-19T17:00:00Z",
        "id": 0,
        "added_at": "",
        "text": "",
    }
    found = app.get("/v1/clarifications", headers=who, params={"q": "koin kelapa"}).json()
    assert found["clarifications"] == []
    found = app.get("/v1/clarifications", headers=who, params={"q": "kelapa SAWIT"}).json()
    assert [c["url"] for c in found["clarifications"]] == [OTHER["url"]]


@SQLITE
@pytest.mark.parametrize(
    "changed",
    [
        {"url": "ftp://s.example"},
        {"url": "https://name@s.example/"},
        {"title": ""},
        {"title": "x" * 501},
        {"published_at": "2026-11-20"},
        {"published_at": (NOW + timedelta(days=900)).isoformat()},
        {"penulis": "x"},
    ],
)
def test_a_clarification_that_will_not_do_is_refused_whole(
    database: Database, app: TestClient, changed: dict[str, str]
) -> None:
    good = {**ONE, "published_at": "2026-11-20T00:00:00+07:00"}
    body = {"clarifications": [good, {**good, "url": "https://s.example/2", **changed}]}
    answer = app.post("/v1/clarifications", headers=key(database, "moderator"), json=body)
    assert answer.status_code == 422
    with database.read() as session:
        assert service.page(session) == ([], None)


@SQLITE
def test_who_may_not_moderate_reads_and_changes_nothing(
    database: Database, app: TestClient, enter: Enter
) -> None:
    (kept,) = keep(database, one())
    who = key(database, "submitter")
    assert app.get("/v1/clarifications", headers=who).status_code == 200
    body = {"clarifications": [OTHER]}
    assert app.post("/v1/clarifications", headers=who, json=body).status_code == 403
    reader = enter("reader")
    page = reader.get("/klarifikasi")
    assert ONE["title"] in page.text
    assert "Tambah klarifikasi" not in page.text
    assert "Hapus" not in page.text
    form = {"judul": "x", "tautan": "https://s.example/x"}
    assert reader.post("/klarifikasi", data=form).status_code == 403
    assert reader.post(f"/klarifikasi/{kept.id}/hapus").status_code == 403


def test_a_person_adds_finds_and_removes_one_on_the_page(database: Database, enter: Enter) -> None:
    ani = enter()
    assert "Belum ada klarifikasi" in ani.get("/klarifikasi").text
    form = {
        "judul": ONE["title"],
        "tautan": ONE["url"],
        "klaim": ONE["claim"],
        "penerbit": ONE["publisher"],
        "tanggal": ONE["published_at"],
        "penilaian": ONE["rating"],
    }
    page = ani.post("/klarifikasi", data=form)
    assert page.url.path == "/klarifikasi"
    for said in ("Klarifikasi ditambahkan", ONE["title"], "Humas Contoh, 20-11-2026", "salah"):
        assert said in page.text
    assert "diperbarui" in ani.post("/klarifikasi", data={**form, "penilaian": "benar"}).text
    assert "isinya sama" in ani.post("/klarifikasi", data={**form, "penilaian": "benar"}).text
    assert ONE["title"] in ani.get("/klarifikasi", params={"cari": "racun tikus"}).text
    assert "Tidak ada klarifikasi" in ani.get("/klarifikasi", params={"cari": "harimau"}).text
    with database.read() as session:
        (row,) = session.scalars(select(StoredClarification))
        assert row.added_by_id is not None
    gone = ani.post(f"/klarifikasi/{row.id}/hapus")
    assert "Klarifikasi dihapus" in gone.text
    assert ONE["title"] not in gone.text


@SQLITE
def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(
    database: Database, enter: Enter
) -> None:
    form = {"judul": 'A "judul" <b>', "tautan": "javascript:alert(1)", "klaim": "baris\r\ndua"}
    answer = enter().post("/klarifikasi", data=form)
    assert answer.status_code == 422
    assert "Tautan: bukan alamat web" in answer.text
    assert 'value="A &#34;judul&#34; &lt;b&gt;"' in answer.text
    assert "javascript:alert" not in re.sub(r'value="[^"]*"', "", answer.text)
    with database.read() as session:
        assert service.page(session) == ([], None)


def test_the_page_of_a_post_offers_the_nearest_as_a_suggestion_and_no_more(
    database: Database, enter: Enter
) -> None:
    keep(database, one(title='Air PDAM <script>alert("x")</script> aman'))
    ani = enter()
    page = ani.get(f"/kiriman/{store(database, POST)}").text
    assert "Klarifikasi yang mungkin terkait" in page
    assert "bukan bukti" in page
    assert f'href="{ONE["url"]}"' in page
    assert "Humas Contoh, 20-11-2026" in page
    assert "“racun”" in page
    assert "<script>alert" not in page
    other = ani.get(f"/kiriman/{store(database, 'harga cabai turun lagi di pasar minggu')}").text
    assert "Klarifikasi yang mungkin terkait" not in other
