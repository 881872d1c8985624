"""The queue's page and its forms, verdicts on many items, and golden items, on both databases."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, select

from models.fake import FakeScorer
from service.accounts.access import ROLES, create_key
from service.database import Database
from service.errors import Taken
from service.posts.intake import NewPost, accept
from service.queue import repository
from service.queue import service as queue
from service.queue.likeness import ALIKE, Likeness, alike, similar
from service.queue.repository import Filters
from service.queue.service import QueueRules
from service.tables import Account, QueueItem, Review, State, StoredPost, Verdict

ALL = QueueRules(threshold=0.0, second_review_share=0.0, second_review_labels=())
People = dict[str, Account]
Enter = Callable[..., TestClient]


def take_in(database: Database, *texts: str, **more: Any) -> list[int]:
    """Store posts with plain rules and return their items, in the order given."""
    posts = [NewPost(text=t, platform=more.get("platform", "x"), **_but(more)) for t in texts]
    done = accept(database, posts, FakeScorer().score_and_embed, ALL, model="fake-1")
    with database.read() as session:
        by_post = dict(session.execute(select(QueueItem.post_id, QueueItem.id)).all())
    return [by_post[a.post.id] for a in done]


def _but(more: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in more.items() if name != "platform"}


def item_of(database: Database, number: int) -> QueueItem:
    with database.read() as session:
        item = repository.find_item(session, number)
    assert item is not None
    return item


def chosen(page: Any) -> int:
    """Return the item that the page's form would decide."""
    found = re.search(r'action="/antrean/(\d+)/putus"', page.text)
    assert found is not None
    return int(found[1])


def asked(answer: Any) -> dict[str, str]:
    """Return the query of the page that a form's answer leads to."""
    assert answer.status_code == 303, answer.text
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def test_who_is_not_signed_in_is_led_to_the_sign_in_page(enter: Enter) -> None:
    page = TestClient(enter("ani").app, headers={"accept": "text/html"}).get(
        "/?label=hoax", follow_redirects=False
    )
    assert page.headers["location"] == "/masuk?kembali=/%3Flabel%3Dhoax"


def test_the_page_shows_the_worst_first_and_the_chosen_one_in_full(
    database: Database, enter: Enter
) -> None:
    numbers = take_in(database, "sebarkan berita satu", "sebarkan berita dua")
    worst = max(numbers, key=lambda n: item_of(database, n).priority)
    other = min(numbers, key=lambda n: item_of(database, n).priority)
    ani = enter("ani")
    page = ani.get("/")
    assert page.text.index(f'value="{worst}"') < page.text.index(f'value="{other}"')
    assert chosen(page) == worst
    assert chosen(ani.get(f"/?pilih={other}")) == other
    assert chosen(ani.get("/?pilih=99999")) == worst


def test_a_verdict_on_a_free_item_claims_it_and_leads_to_the_next(
    database: Database, enter: Enter
) -> None:
    take_in(database, *(f"sebarkan berita {i}" for i in range(3)))
    ani = enter("ani")
    with database.read() as session:
        order = [i.id for i in repository.page(session, Filters(), viewer_id=1).items]
    answer = ani.post(
        f"/antrean/{order[0]}/putus",
        data={
            "putusan": "hoax",
            "catatan": "cek ulang",
            "bukti": "https://a.example/1\nkata dinas\n",
            "kembali": "/?label=&platform=x",
        },
    )
    query = asked(answer)
    assert (query["pilih"], query["batal"], query["platform"]) == (
        str(order[1]),
        str(order[0]),
        "x",
    )
    (review,) = item_of(database, order[0]).reviews
    assert (review.verdict, review.evidence) == ("hoax", ["https://a.example/1"])
    assert review.note == "cek ulang\nkata dinas"
    assert review.claimed_at is not None
    page = ani.get(answer.headers["location"])
    assert chosen(page) == order[1]
    assert "Diputuskan: Hoaks." in page.text
    assert asked(ani.post("/antrean/batal", data={"butir": order[0]}))["pilih"] == str(order[0])
    assert item_of(database, order[0]).state == State.NEW


def test_undo_without_an_item_takes_the_last_verdict_back(database: Database, enter: Enter) -> None:
    first, second = take_in(database, "sebarkan satu", "sebarkan dua")
    ani = enter("ani")
    for number in (first, second):
        ani.post(f"/antrean/{number}/putus", data={"putusan": "valid"})
    ani.post("/antrean/batal")
    assert [item_of(database, n).open for n in (first, second)] == [False, True]
    ani.post("/antrean/batal")
    assert asked(ani.post("/antrean/batal"))["gagal"] == "nothing-to-undo"


def test_what_a_colleague_holds_is_said_and_left_alone(database: Database, enter: Enter) -> None:
    (number,) = take_in(database, "sebarkan satu")
    ani, budi = enter("ani"), enter("budi")
    assert asked(ani.post(f"/antrean/{number}/ambil"))["sudah"] == "ambil"
    refused = budi.post(f"/antrean/{number}/putus", data={"putusan": "hoax"})
    assert asked(refused)["gagal"] == "taken"
    page = budi.get(refused.headers["location"])
    assert "Sedang dikerjakan ani" in page.text
    assert f"/antrean/{number}/putus" not in page.text
    assert asked(budi.post(f"/antrean/{number}/lepas"))["gagal"] == "not-yours"
    assert asked(ani.post(f"/antrean/{number}/lepas"))["sudah"] == "lepas"


def test_a_free_item_is_handed_over_in_one_act(database: Database, enter: Enter) -> None:
    (number,) = take_in(database, "sebarkan satu")
    ani = enter("ani")
    assert "<option>budi</option>" in ani.get("/").text
    for nobody in ("zainal", ""):
        refused = ani.post(f"/antrean/{number}/alihkan", data={"kepada": nobody})
        assert asked(refused)["gagal"] == "not-found"
    ani.post(f"/antrean/{number}/alihkan", data={"kepada": "budi"})
    assert item_of(database, number).assignee.name == "budi"  # type: ignore[union-attr]


def test_an_item_is_not_handed_to_someone_who_may_not_decide(
    database: Database, enter: Enter
) -> None:
    (number,) = take_in(database, "sebarkan satu")
    ani = enter("ani")
    enter("citra", "reader")
    assert "<option>citra</option>" not in ani.get("/").text
    refused = ani.post(f"/antrean/{number}/alihkan", data={"kepada": "citra"})
    assert asked(refused)["gagal"] == "not-found"
    assert item_of(database, number).assignee is None


def test_the_second_verdict_is_blind(database: Database, enter: Enter) -> None:
    (number,) = take_in(database, "sebarkan satu")
    with database.write() as session:
        session.get(QueueItem, number).reviews_wanted = 2  # type: ignore[union-attr]
    ani, budi = enter("ani"), enter("budi")
    ani.post(f"/antrean/{number}/putus", data={"putusan": "hoax", "catatan": "RAHASIA-ANI"})
    page = budi.get(f"/?pilih={number}")
    assert "RAHASIA-ANI" not in page.text
    assert "Riwayat putusan" not in page.text
    assert "menunggu putusan orang kedua" in ani.get(f"/?pilih={number}").text
    budi.post(f"/antrean/{number}/putus", data={"putusan": "hoax"})
    assert "RAHASIA-ANI" in budi.get(f"/?pilih={number}").text


def test_filters_of_the_form_choose_and_nonsense_is_left_out(
    database: Database, enter: Enter
) -> None:
    take_in(database, "sebarkan air keran", platform="facebook", source="feed.csv")
    take_in(database, "sebarkan harga beras")
    ani = enter("ani")

    def shown(query: str) -> int:
        return ani.get(f"/?{query}").text.count('type="checkbox" form="banyak"')

    assert shown("") == 2
    assert shown("platform=facebook&label=&teknik=&risiko=&umur=") == 1
    assert shown("sumber=feed.csv") == 1
    assert shown("cari=BERAS") == 1
    assert shown("cari=beras&platform=facebook") == 0
    assert shown("risiko=100") == 0
    assert shown("umur=6") == 2
    assert shown("status=decided") == 0
    assert shown("milik=1") == 0
    assert shown("status=x&label=x&teknik=x&risiko=-1&umur=x&setelah=x&pilih=x&batal=x,,9") == 2


def test_pages_follow_one_another_without_gap(database: Database, enter: Enter) -> None:
    numbers = take_in(database, *(f"sebarkan berita nomor {i}" for i in range(60)))
    ani, path, seen = enter("ani"), "/?platform=x", []
    while True:
        page = ani.get(path).text
        seen += [int(n) for n in re.findall(r'name="butir" value="(\d+)" aria', page)]
        following = re.search(r'href="([^"]+)" data-key="next"', page)
        if following is None:
            break
        path = html.unescape(following[1])
    assert sorted(seen) == sorted(numbers)
    assert len(seen) == 60


def test_hostile_text_is_shown_and_does_nothing(database: Database, enter: Enter) -> None:
    take_in(
        database,
        '<script>alert(1)</script> "><img src=x onerror=alert(1)> sebarkan',
        account="<b>@x</b>",
        url='https://x.example/"><script>alert(2)</script>',
        source="<i>feed</i>",
    )
    page = enter("ani").get('/?cari=sebarkan"><script>').text + enter("ani").get("/").text
    assert "&lt;script&gt;alert(1)" in page
    for raw in ("<script>alert", "<img src=x", "<b>@x", "<i>feed"):
        assert raw not in page


def test_a_link_that_is_no_web_address_is_not_made_a_link(database: Database, enter: Enter) -> None:
    take_in(database, "sebarkan satu", url="javascript:alert(1)")
    assert "javascript:" not in enter("ani").get("/").text


def test_who_may_not_see_personal_data_sees_it_masked_and_can_do_nothing(
    database: Database, enter: Enter
) -> None:
    (number,) = take_in(database, "sebarkan! hubungi 0812-3456-7890", account="@warga")
    reader = enter("ani", "reader")
    page = reader.get("/").text
    assert "3456" not in page
    assert "@warga" not in page
    assert "/putus" not in page
    for step in ("ambil", "lepas", "putus", "buka", "uji", "uji-akhir", "alihkan"):
        refused = reader.post(
            f"/antrean/{number}/{step}", data={"putusan": "hoax", "alasan": "abc"}
        )
        assert refused.status_code == 403, step
    for path in ("/antrean/batal", "/antrean/putus-banyak"):
        assert reader.post(path, data={"putusan": "hoax"}).status_code == 403


@pytest.mark.parametrize(
    "header", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
def test_forms_of_another_site_are_refused(
    database: Database, enter: Enter, header: dict[str, str]
) -> None:
    (number,) = take_in(database, "sebarkan satu")
    ani = enter("ani")
    for path in (f"/antrean/{number}/putus", "/antrean/putus-banyak", "/antrean/batal", "/kirim"):
        answer = ani.post(
            path, data={"putusan": "hoax", "butir": number, "teks": "a"}, headers=header
        )
        assert answer.status_code == 403, path
    assert item_of(database, number).reviews == []


def test_a_form_leads_back_to_the_desk_alone(database: Database, enter: Enter) -> None:
    (number,) = take_in(database, "sebarkan satu")
    ani = enter("ani")
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "x", ""):
        answer = ani.post(f"/antrean/{number}/ambil", data={"kembali": elsewhere})
        assert answer.headers["location"].startswith("/?")


def test_a_decided_item_is_reopened_with_a_reason_by_those_who_may(
    database: Database, enter: Enter
) -> None:
    (number,) = take_in(database, "sebarkan satu")
    ani, budi = enter("ani"), enter("budi", "analyst")
    ani.post(f"/antrean/{number}/putus", data={"putusan": "hoax"})
    assert "/buka" not in ani.get(f"/?pilih={number}").text
    assert asked(budi.post(f"/antrean/{number}/buka", data={"alasan": " "}))["gagal"] == "invalid"
    budi.post(f"/antrean/{number}/buka", data={"alasan": "bukti baru"})
    assert item_of(database, number).state == State.REOPENED


# --- many at once ------------------------------------------------------------------------------


def key(database: Database, name: str) -> dict[str, str]:
    with database.write() as session:
        account = session.scalar(select(Account).where(Account.name == name))
        assert account is not None
        scopes = [r.value for r in ROLES[account.role]]
        return {
            "Authorization": f"Bearer {create_key(session, account, 'k', scopes, actor='test')}"
        }


def test_many_items_are_decided_and_those_of_others_reported(
    database: Database, enter: Enter, people: People
) -> None:
    numbers = take_in(database, *(f"sebarkan berita {i}" for i in range(4)))
    api = enter("ani")
    with database.write() as session:
        queue.claim(session, numbers[1], people["budi"], ALL)
    answer = api.post(
        "/v1/queue/verdicts",
        headers=key(database, "ani"),
        json={"items": [*numbers, numbers[0], 99999], "verdict": "valid"},
    )
    results = answer.json()["results"]
    assert [r["id"] for r in results] == [*numbers, 99999]
    assert [r["code"] for r in results] == [None, "taken", None, None, "not-found"]
    assert "budi" in results[1]["detail"]
    assert [item_of(database, n).open for n in numbers] == [False, True, False, False]


@pytest.mark.parametrize(
    "body",
    [
        {"verdict": "hoax"},
        {"verdict": "hoax", "items": [1], "like": 1},
        {"verdict": "x", "items": [1]},
        {"verdict": "hoax", "items": [0]},
        {"verdict": "hoax", "items": list(range(1, 502))},
        {"verdict": "hoax", "items": [1], "evidence": ["javascript:alert(1)"]},
    ],
)
def test_a_wrong_request_for_many_is_refused(database: Database, enter: Enter, body: Any) -> None:
    answer = enter("ani").post("/v1/queue/verdicts", headers=key(database, "ani"), json=body)
    assert answer.status_code == 422


def test_all_that_say_the_same_are_decided_on_whatever_platform(
    database: Database, enter: Enter
) -> None:
    text = "sebarkan kabar vaksin berisi chip kepada semua keluarga dan teman di grup kalian"
    (first,) = take_in(database, text, platform="x")
    (same,) = take_in(database, text.upper() + "!!", platform="facebook")
    (near,) = take_in(database, f"{text} ya", platform="x")
    (other,) = take_in(database, "harga beras naik di pasar induk", platform="x")
    answer = enter("ani").post(
        "/v1/queue/verdicts", headers=key(database, "ani"), json={"like": first, "verdict": "hoax"}
    )
    assert {r["id"] for r in answer.json()["results"]} == {first, same, near}
    assert item_of(database, other).open
    unknown = enter("ani").post(
        "/v1/queue/verdicts", headers=key(database, "ani"), json={"like": 9999, "verdict": "hoax"}
    )
    assert unknown.status_code == 404


def test_the_page_decides_what_is_chosen_or_similar_and_takes_it_back(
    database: Database, enter: Enter
) -> None:
    text = "sebarkan kabar vaksin berisi chip kepada semua keluarga dan teman di grup kalian"
    same = take_in(database, text, platform="x") + take_in(database, text, platform="facebook")
    (other,) = take_in(database, "harga beras naik di pasar induk")
    ani = enter("ani")
    page = ani.get(f"/?pilih={same[0]}").text
    assert "Putuskan semua yang serupa (2)" in page
    query = asked(ani.post("/antrean/putus-banyak", data={"putusan": "hoax", "serupa": same[0]}))
    assert (query["jadi"], query["sisa"]) == ("2", "0")
    ani.post("/antrean/batal", data={"butir": query["batal"].split(",")})
    assert all(item_of(database, n).open for n in same)
    ani.post("/antrean/putus-banyak", data={"putusan": "valid", "butir": [same[0], other]})
    assert [item_of(database, n).open for n in (*same, other)] == [False, True, False]
    assert asked(ani.post("/antrean/putus-banyak", data={"putusan": "valid"}))["gagal"]


# --- likeness ----------------------------------------------------------------------------------


def post_of(database: Database, number: int) -> StoredPost:
    return item_of(database, number).post


def test_similar_posts_come_nearest_first_without_the_post_itself(database: Database) -> None:
    base = "vaksin berisi chip kata mereka di grup keluarga besar kami"
    first, near, less, far = take_in(
        database, base, f"{base} kemarin", f"{base} kemarin malam sekali", "harga beras naik lagi"
    )
    likeness = Likeness()
    with database.read() as session:
        found = similar(session, likeness, post_of(database, first))
    assert [s.item.id for s in found] == [near, less]
    assert found[0].likeness > found[1].likeness >= 0.8
    assert far not in [s.item.id for s in found]


def test_new_items_are_seen_and_deleted_ones_are_not_shown(database: Database) -> None:
    base = "vaksin berisi chip kata mereka di grup keluarga besar kami"
    first, second = take_in(database, base, f"{base} kemarin")
    likeness = Likeness()
    with database.read() as session:
        assert len(similar(session, likeness, post_of(database, first))) == 1
    third, fourth = take_in(database, f"{base} lusa", f"{base} tadi")
    with database.write() as session:
        for number in (second, fourth):
            session.delete(session.get(QueueItem, number))
    with database.read() as session:
        found = [s.item.id for s in similar(session, likeness, post_of(database, first))]
    assert found == [third]


def test_sketches_are_bounded_to_the_latest_items(database: Database) -> None:
    base = "vaksin berisi chip kata mereka di grup keluarga besar kami"
    numbers = take_in(database, *(f"{base} {i}" for i in range(6)))
    likeness = Likeness(latest=3)
    with database.read() as session:
        post = post_of(database, numbers[0])
        likeness.near(session, post, at_least=0.8, most=10)
        near = likeness.near(session, post, at_least=0.8, most=10)
    assert {n for n, _ in near} == set(sorted(numbers)[-3:])


def test_alike_leaves_out_what_is_decided_or_given(database: Database, people: People) -> None:
    text = "sebarkan kabar vaksin berisi chip kepada semua keluarga dan teman di grup kalian"
    a, b, c = (take_in(database, text, platform=p)[0] for p in ("x", "facebook", "tiktok"))
    ani = people["ani"]
    with database.write() as session:
        session.get(QueueItem, c).reviews_wanted = 2  # type: ignore[union-attr]
    for number in (b, c):
        with database.write() as session:
            queue.claim(session, number, ani, ALL)
            queue.decide(session, number, ani, Verdict.HOAX)
    likeness = Likeness()
    with database.read() as session:
        assert alike(session, likeness, a, viewer_id=ani.id) == [a]
        assert set(alike(session, likeness, a, viewer_id=people["budi"].id)) == {a, c}
        exact = likeness.near(session, post_of(database, a), at_least=ALIKE, most=10)
        assert [round(cosine, 2) for _, cosine in exact] == [1.0, 1.0, 1.0]


def test_posts_with_near_embeddings_and_other_words_are_not_alike(database: Database) -> None:
    a, b = take_in(
        database, "bantuan tunai cair, klik tautan", "lowongan palsu di pabrik, bayar dulu"
    )
    with database.write() as session:
        first, second = (session.get(QueueItem, number) for number in (a, b))
        assert first is not None
        assert second is not None
        second.post.embedding = first.post.embedding
    with database.read() as session:
        assert [s.item.id for s in similar(session, Likeness(), post_of(database, a))] == [b]
        assert alike(session, Likeness(), a, viewer_id=1) == [a]


def test_a_post_without_words_is_like_none(database: Database) -> None:
    first, second = take_in(database, "!!!", "???")
    with database.read() as session:
        assert similar(session, Likeness(), post_of(database, first)) == []
        assert alike(session, Likeness(), second, viewer_id=1) == [second]


# --- golden items ------------------------------------------------------------------------------


def decide(database: Database, number: int, who: Account, verdict: Verdict) -> None:
    with database.write() as session:
        queue.claim(session, number, who, ALL)
        queue.decide(session, number, who, verdict)


def test_a_golden_item_asks_everyone_once_and_tells_nobody_the_answer(
    database: Database, enter: Enter, people: People
) -> None:
    ani, budi, citra = people.values()
    (number,) = take_in(database, "sebarkan satu")
    decide(database, number, ani, Verdict.HOAX)
    analyst = enter("ani", "analyst")
    assert asked(analyst.post(f"/antrean/{number}/uji"))["sudah"] == "uji"
    page = enter("budi").get(f"/?pilih={number}").text
    for telling in ("Butir uji", ">Dibuka lagi</span>", "Riwayat putusan", "Putusan: Hoaks"):
        assert telling not in page
    seen = enter("budi").get("/v1/queue", headers=key(database, "budi")).json()["items"]
    assert [(i["state"], i["verdict"], i["reviews"]) for i in seen] == [("new", None, [])]
    decide(database, number, budi, Verdict.HOAX)
    decide(database, number, citra, Verdict.VALID)
    with pytest.raises(Taken, match="your verdict"):
        decide(database, number, budi, Verdict.VALID)
    assert item_of(database, number).open
    with database.read() as session:
        assert queue.golden_agreement(session) == [("budi", 1, 1), ("citra", 1, 0)]
    assert "Butir uji" in analyst.get(f"/?pilih={number}").text
    analyst.post(f"/antrean/{number}/uji-akhir")
    ended = item_of(database, number)
    assert (ended.state, ended.verdict) == ("decided", "hoax")


def test_only_a_decided_item_becomes_golden_and_only_for_analysts(
    database: Database, enter: Enter, people: People
) -> None:
    (number,) = take_in(database, "sebarkan satu")
    analyst = enter("ani", "analyst")
    assert asked(analyst.post(f"/antrean/{number}/uji"))["gagal"] == "taken"
    decide(database, number, people["budi"], Verdict.VALID)
    path = f"/v1/queue/{number}/golden"
    assert analyst.post(path, headers=key(database, "citra")).status_code == 403
    assert analyst.delete(path, headers=key(database, "ani")).status_code == 409
    assert analyst.post(path, headers=key(database, "ani")).json()["state"] == "new"
    assert analyst.delete(path, headers=key(database, "ani")).json()["verdict"] == "valid"


def test_an_undone_verdict_on_a_golden_item_does_not_count(
    database: Database, people: People
) -> None:
    ani, budi, _ = people.values()
    (number,) = take_in(database, "sebarkan satu")
    decide(database, number, ani, Verdict.HOAX)
    with database.write() as session:
        queue.make_golden(session, number, ani, ALL)
    decide(database, number, budi, Verdict.VALID)
    with database.write() as session:
        queue.undo(session, budi, number)
    with database.read() as session:
        assert queue.golden_agreement(session) == []


# --- queries -----------------------------------------------------------------------------------


def test_a_search_looks_through_a_bounded_part_and_goes_on_from_there(
    database: Database,
) -> None:
    numbers = take_in(database, *(f"kabar nomor {i}" for i in range(9)))
    words = Filters(words="kabar")
    found: list[int] = []
    after, pages = None, 0
    with database.read() as session:
        while True:
            page = repository.page(session, words, viewer_id=0, after=after, limit=3, searched=4)
            found += [i.id for i in page.items]
            after, pages = page.next, pages + 1
            if after is None:
                break
    assert sorted(found) == sorted(numbers)
    assert len(found) == 9
    assert pages >= 3


def test_the_page_makes_the_same_few_queries_however_many_items_it_shows(
    database: Database, enter: Enter, people: People
) -> None:
    def queries(path: str) -> int:
        seen: list[str] = []

        def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        ani = enter("ani")
        engine = ani.app.state.desk.database.engine  # type: ignore[attr-defined]
        ani.get(path)
        event.listen(engine, "before_cursor_execute", note)
        assert ani.get(path).status_code == 200
        event.remove(engine, "before_cursor_execute", note)
        return sum(s.lstrip().upper().startswith("SELECT") for s in seen)

    numbers = take_in(database, "sebarkan berita nol")
    few = queries("/")
    numbers += take_in(database, *(f"sebarkan berita {i}" for i in range(30)))
    many = queries("/")
    assert many <= few + 2
    for number in numbers[:20]:
        decide(database, number, people["budi"], Verdict.HOAX)
    assert queries("/?status=decided") <= many + 1
    with database.read() as session:
        assert len(session.scalars(select(Review)).all()) == 20


# On SQLite alone: the plan of PostgreSQL depends on how much is stored.
@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_the_filters_are_answered_from_the_index(database: Database) -> None:
    found = repository.matches(
        Filters(label="hoax", platform="x", minimum_risk=0.5, source="api"), 1, *_now()
    ).with_only_columns(QueueItem.id)
    ordered = found.order_by(QueueItem.priority.desc(), QueueItem.id.desc()).limit(50)
    compiled = ordered.compile(database.engine, compile_kwargs={"literal_binds": True})
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
    said = " ".join(row[3] for row in plan)
    assert "COVERING INDEX ix_queue_open" in said
    assert "TEMP B-TREE" not in said


def _now() -> tuple[Any]:
    from datetime import UTC, datetime

    return (datetime.now(UTC),)
