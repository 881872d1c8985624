"""The page of a post, its explanation, and the form to send one, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from models.fake import FakeScorer
from service.accounts import sessions
from service.accounts.access import ROLES, create_key
from service.app import create_app
from service.database import Database
from service.posts.intake import NewPost, accept
from service.queue.service import QueueRules
from service.settings import Settings
from service.tables import Account, StoredPost
from service.web import COOKIE

RISKY = "SEBARKAN! rahasia vaksin terbongkar"
Enter = Callable[..., TestClient]


@pytest.fixture
def enter(database: Database, people: dict[str, Account]) -> Iterator[Enter]:
    """Return a function that signs someone in and returns their browser."""
    url = database.url.render_as_string(hide_password=False)
    with TestClient(create_app(Settings(database_url=url), scorer=FakeScorer())) as first:

        def browser(name: str = "ani", role: str = "moderator") -> TestClient:
            with database.write() as session:
                account = session.scalar(select(Account).where(Account.name == name))
                assert account is not None
                account.role = role
                token = sessions.start(session, account)
            return TestClient(
                first.app,
                cookies={COOKIE: token},
                headers={"accept": "text/html", "sec-fetch-site": "same-origin"},
            )

        yield browser


def store(database: Database, text: str, **more: str) -> int:
    rules = QueueRules(threshold=0.5, second_review_share=0.0, second_review_labels=())
    post = NewPost(text=text, platform="x", account=more.get("account"), url=more.get("url"))
    (done,) = accept(database, [post], FakeScorer().score_and_embed, rules, model="fake-1")
    return done.post.id


def key(database: Database, name: str) -> dict[str, str]:
    with database.write() as session:
        account = session.scalar(select(Account).where(Account.name == name))
        assert account is not None
        scopes = [r.value for r in ROLES[account.role]]
        made = create_key(session, account, "k", scopes, actor="test")
    return {"Authorization": f"Bearer {made}"}


def count(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(StoredPost)) or 0


def test_a_post_is_shown_with_its_meaning_and_decided_on_its_own_page(
    database: Database, enter: Enter
) -> None:
    number = store(database, RISKY)
    ani = enter()
    page = ani.get(f"/kiriman/{number}").text
    for said in ("Dari 100 kiriman", "mirip kabar yang direkayasa", "Nada", RISKY):
        assert said in page
    action = re.search(r'action="(/antrean/\d+/putus)"', page)
    assert action is not None
    decided = ani.post(action[1], data={"putusan": "hoax", "kembali": f"/kiriman/{number}"})
    assert decided.url.path == f"/kiriman/{number}"
    for said in ("Diputuskan: Hoaks.", "Batalkan putusan ini", "Riwayat putusan"):
        assert said in decided.text


@pytest.mark.parametrize("path", ["/kiriman/999", "/kiriman/0", "/kiriman/x", f"/kiriman/{2**63}"])
def test_a_post_that_is_not_there_is_said_plainly(enter: Enter, path: str) -> None:
    answer = enter().get(path)
    assert answer.status_code in (404, 422)
    assert "Tidak bisa" in answer.text


def test_the_words_that_raised_the_score_are_marked_and_called_an_indication(
    database: Database, enter: Enter
) -> None:
    number = store(database, f"{RISKY} <b>tebal</b>")
    page = enter().get(f"/kiriman/{number}?jelaskan=1").text
    assert "petunjuk, bukan bukti" in page
    assert re.search(r"<mark[^>]*>\S", page.split('class="text"')[1])
    assert "<b>tebal" not in page
    assert "<mark" not in enter().get(f"/kiriman/{number}").text


def test_the_explanation_counts_characters_of_the_text_it_gives(
    database: Database, enter: Enter
) -> None:
    number = store(database, f"😱 {RISKY} 👩‍👩‍👧, hubungi 0812-3456-7890")
    ani = enter()
    found = ani.get(f"/v1/posts/{number}/explanation", headers=key(database, "ani")).json()
    assert found["spans"]
    for span in found["spans"]:
        assert found["text"][span["start"] : span["end"]] == span["text"]
    reader = enter("budi", "reader")
    masked = reader.get(f"/v1/posts/{number}/explanation", headers=key(database, "budi")).json()
    assert "3456" not in str(masked)
    for span in masked["spans"]:
        assert masked["text"][span["start"] : span["end"]] == span["text"]
    assert "3456" not in reader.get(f"/kiriman/{number}?jelaskan=1").text
    missing = ani.get("/v1/posts/999/explanation", headers=key(database, "ani"))
    assert missing.status_code == 404


def test_similar_posts_are_shown_with_what_was_decided(database: Database, enter: Enter) -> None:
    first = store(database, f"{RISKY} di grup keluarga kami tadi malam")
    second = store(database, f"{RISKY} di grup keluarga kami tadi malam juga")
    ani = enter()
    page = ani.get(f"/kiriman/{first}").text
    assert f'href="/kiriman/{second}"' in page
    assert "belum diputuskan" in page
    action = re.search(r'action="(/antrean/\d+/putus)"', ani.get(f"/kiriman/{second}").text)
    assert action is not None
    ani.post(action[1], data={"putusan": "disinformation"})
    assert "Putusan: Disinformasi" in ani.get(f"/kiriman/{first}").text


def test_a_text_that_grows_when_masked_is_still_shown(database: Database, enter: Enter) -> None:
    number = store(database, "sebarkan " + "ﷺ " * 5000)
    reader = enter("budi", "reader")
    assert reader.get(f"/kiriman/{number}").status_code == 200
    answer = reader.get(f"/v1/posts/{number}", headers=key(database, "budi"))
    assert answer.status_code == 200


# --- sending -----------------------------------------------------------------------------------


def test_a_post_is_sent_stored_and_told_of(database: Database, enter: Enter) -> None:
    ani = enter()
    form = {"teks": RISKY, "platform": "whatsapp", "tautan": "https://a.example/1", "akun": "@x"}
    first = ani.post("/kirim", data=form)
    assert first.url.path == "/kirim"
    for said in ("baru pertama kali", "ada di antrean", "Dari 100 kiriman"):
        assert said in first.text
    again = ani.post("/kirim", data=form)
    assert "sudah 2 kali dikirim" in again.text
    assert count(database) == 1
    with database.read() as session:
        post = session.scalars(select(StoredPost)).one()
    assert (post.source, post.platform, post.account) == ("page", "whatsapp", "@x")
    assert "tidak masuk antrean" in ani.post("/kirim", data={"teks": "cuaca cerah"}).text


def test_a_post_can_be_scored_without_being_stored(database: Database, enter: Enter) -> None:
    page = enter().post("/kirim", data={"teks": RISKY, "aksi": "nilai"}).text
    assert "Tidak ada yang disimpan" in page
    assert f">{RISKY}</textarea>" in page
    assert count(database) == 0


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"teks": "  "}, "Isi dulu"),
        ({"teks": "a" * 20_001}, "20.000"),
        ({"teks": "a", "tautan": "javascript:alert(1)"}, "https://"),
    ],
)
def test_a_form_that_will_not_do_says_why_and_keeps_what_was_typed(
    database: Database, enter: Enter, form: dict[str, str], said: str
) -> None:
    answer = enter().post("/kirim", data=form)
    assert answer.status_code == 422
    assert said in answer.text
    assert count(database) == 0


def test_who_may_not_send_is_refused(enter: Enter) -> None:
    reader = enter("budi", "reader")
    assert reader.get("/kirim").status_code == 403
    assert reader.post("/kirim", data={"teks": RISKY}).status_code == 403


def test_signs_that_no_database_keeps_are_taken_out(database: Database, enter: Enter) -> None:
    assert enter().post("/kirim", data={"teks": f"{RISKY}\0\x1b[31m"}).status_code == 200
    assert count(database) == 1
