"""The API as its callers see it, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from models.fake import FakeScorer
from service.accounts import access
from service.app import create_app
from service.database import Database
from service.settings import Settings

RISKY = "SEBARKAN! rahasia vaksin terbongkar"


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    url = database.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, second_review_share=0.0, max_body_bytes=200_000)
    with TestClient(create_app(settings, scorer=FakeScorer())) as client:
        yield client


def key_of(database: Database, name: str, role: str, *scopes: str) -> dict[str, str]:
    with database.write() as session:
        account, _ = access.create_account(session, name, role, actor="test")
        key = access.create_key(
            session, account, "test", scopes or [r.value for r in access.ROLES[role]], actor="test"
        )
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def moderator(database: Database) -> dict[str, str]:
    return key_of(database, "ani", "moderator")


def send(client: TestClient, who: dict[str, str], *texts: str, **more: Any) -> list[Any]:
    answer = client.post(
        "/v1/posts", headers=who, json={"posts": [{"text": t, **more} for t in texts]}
    )
    assert answer.status_code == 201, answer.text
    posts: list[Any] = answer.json()["posts"]
    return posts


def test_every_text_of_a_list_gets_its_result_in_order(
    client: TestClient, moderator: dict[str, str]
) -> None:
    texts = [f"kabar {i}" for i in range(255)] + [RISKY]
    answer = client.post("/v1/score", headers=moderator, json={"texts": texts}).json()
    expected = FakeScorer().score(texts)
    assert [r["risk"] for r in answer["results"]] == [s.risk for s in expected]
    assert answer["results"][-1]["label"] != "valid"
    assert client.get("/v1/stats", headers=moderator).json()["posts"] == 0


def test_a_post_is_worked_from_sending_to_verdict_and_back(
    client: TestClient, moderator: dict[str, str]
) -> None:
    quiet, loud = send(client, moderator, "cuaca cerah hari ini", RISKY)
    assert (quiet["queued"], loud["queued"]) == (False, True)
    (item,) = client.get("/v1/queue", headers=moderator).json()["items"]
    assert item["post"]["id"] == loud["id"]
    base = f"/v1/queue/{item['id']}"
    unclaimed = client.post(f"{base}/verdict", headers=moderator, json={"verdict": "hoax"})
    assert unclaimed.status_code == 409
    claimed = client.post(f"{base}/claim", headers=moderator).json()
    assert (claimed["state"], claimed["assignee"]) == ("claimed", "ani")
    decided = client.post(
        f"{base}/verdict", headers=moderator, json={"verdict": "hoax", "note": "lihat kanal resmi"}
    ).json()
    assert decided["state"] == "decided"
    assert decided["reviews"][0]["note"] == "lihat kanal resmi"
    assert client.get("/v1/queue", headers=moderator).json()["items"] == []
    assert client.post(f"{base}/undo", headers=moderator).json()["state"] == "new"
    again = client.post(f"{base}/undo", headers=moderator)
    assert again.status_code == 409
    assert "nothing" not in again.json()["title"]


def test_an_idempotency_key_gives_the_same_answer_and_refuses_another_request(
    client: TestClient, moderator: dict[str, str]
) -> None:
    who = moderator | {"Idempotency-Key": "abc"}
    first, second = send(client, who, RISKY), send(client, who, RISKY)
    assert first == second
    other = client.post("/v1/posts", headers=who, json={"posts": [{"text": "lain"}]})
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]
    assert send(client, moderator, RISKY)[0]["seen_before"]


def test_the_same_posts_from_many_callers_at_once_are_stored_once(
    client: TestClient, moderator: dict[str, str]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(client, moderator, RISKY, "satu", "dua"), range(8)))
    assert len({tuple(p["id"] for p in posts) for posts in answers}) == 1
    assert client.get("/v1/stats", headers=moderator).json()["posts"] == 3


def test_pages_of_the_queue_follow_their_cursor(
    client: TestClient, moderator: dict[str, str]
) -> None:
    send(client, moderator, *(f"{RISKY} {i}" for i in range(7)))
    seen: list[int] = []
    after: str | None = None
    while True:
        query = {"limit": 3} | ({"after": after} if after else {})
        answer = client.get("/v1/queue", headers=moderator, params=query).json()
        seen += [i["id"] for i in answer["items"]]
        after = answer["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 7
    assert client.get("/v1/queue", headers=moderator, params={"after": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("reader", "/v1/queue/1/claim", 403),
        ("submitter", "/v1/queue/1/claim", 403),
        ("moderator", "/v1/queue/1/claim", 404),
        ("moderator", "/v1/queue/1/reopen", 403),
        ("analyst", "/v1/queue/1/reopen", 404),
    ],
)
def test_a_role_may_do_what_its_policy_says(
    client: TestClient, database: Database, role: str, path: str, status: int
) -> None:
    who = key_of(database, "orang", role)
    assert client.post(path, headers=who, json={"why": "perlu dicek"}).status_code == status


def test_a_key_can_do_no_more_than_its_scopes(client: TestClient, database: Database) -> None:
    who = key_of(database, "ani", "admin", "read")
    assert client.get("/v1/queue", headers=who).status_code == 200
    refused = client.post("/v1/score", headers=who, json={"texts": ["a"]})
    assert refused.status_code == 403
    assert "submit" in refused.json()["detail"]


def test_without_a_valid_key_nothing_is_shown(client: TestClient, database: Database) -> None:
    who = key_of(database, "ani", "moderator")
    good = who["Authorization"]
    prefix = good.split("_")[1]
    for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": good[:-1] + "~"}):
        answer = client.get("/v1/queue", headers=header)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    with database.write() as session:
        access.revoke_key(session, prefix, actor="test")
    assert client.get("/v1/queue", headers=who).status_code == 401


def test_who_may_not_see_personal_data_sees_it_masked(
    client: TestClient, database: Database, moderator: dict[str, str]
) -> None:
    text = f"{RISKY}, hubungi 0812-3456-7890 atau @warga_biasa"
    (sent,) = send(client, moderator, text, account="@warga_biasa", url="https://x.example/1")
    seen = client.get(f"/v1/posts/{sent['id']}", headers=moderator).json()
    assert seen["text"] == text
    reader = key_of(database, "baca", "reader")
    masked = client.get(f"/v1/posts/{sent['id']}", headers=reader).json()
    assert "3456" not in masked["text"]
    assert (masked["account"], masked["url"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "texts"),
        ({"texts": []}, "texts"),
        ({"texts": ["a"] * 257}, "256"),
        ({"texts": [1]}, "string"),
        ({"texts": ["a" * 20_001]}, "20000"),
        ({"texts": ["a"], "more": 1}, "more"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    client: TestClient, moderator: dict[str, str], body: Any, said: str
) -> None:
    answer = client.post("/v1/score", headers=moderator, json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+07:00", "9999-12-31T23:59:59-07:00"])
def test_a_time_that_no_calendar_has_in_utc_is_refused(
    client: TestClient, moderator: dict[str, str], at: str
) -> None:
    posts = {"posts": [{"text": "kabar", "posted_at": at}]}
    answer = client.post("/v1/posts", headers=moderator, json=posts)
    assert answer.status_code == 422
    assert "posted_at" in answer.json()["detail"]
    assert "year" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["\0", "\ud800", "\x1b[31m", "😱" * 9000, "<script>alert(1)"])
def test_strange_signs_are_stored_without_harm(
    client: TestClient, moderator: dict[str, str], text: str
) -> None:
    import json

    body = json.dumps({"posts": [{"text": f"kabar {text}"}]})  # lone surrogates pass as escapes
    answer = client.post("/v1/posts", headers=moderator, content=body)
    assert answer.status_code in (201, 422), answer.text
    if answer.status_code == 201:
        number = answer.json()["posts"][0]["id"]
        assert client.get(f"/v1/posts/{number}", headers=moderator).status_code == 200


def test_a_body_beyond_the_limit_is_refused(client: TestClient, moderator: dict[str, str]) -> None:
    answer = client.post("/v1/score", headers=moderator, content=b"x" * 200_001)
    assert answer.status_code == 413

    def stream() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 10_000

    answer = client.post("/v1/score", headers=moderator, content=stream())
    assert answer.status_code == 413


def test_when_too_much_waits_the_caller_is_told_when_to_come_back(database: Database) -> None:
    held = threading.Event()

    class Slow(FakeScorer):
        def score_and_embed(self, texts: Any) -> Any:
            held.wait(10)
            return super().score_and_embed(texts)

    who = key_of(database, "ani", "moderator")
    url = database.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, waiting_chars=1000)
    with TestClient(create_app(settings, scorer=Slow())) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/v1/score", headers=who, json={"texts": ["a" * 900]})
        while not client.app.state.desk.batcher.waiting:  # type: ignore[attr-defined]
            pass
        busy = client.post("/v1/score", headers=who, json={"texts": ["a" * 900]})
        held.set()
        assert first.result().status_code == 200
    assert busy.status_code == 429
    assert int(busy.headers["Retry-After"]) >= 1


def test_readiness_tells_of_a_database_without_tables(empty_database: Database) -> None:
    url = empty_database.url.render_as_string(hide_password=False)
    with TestClient(create_app(Settings(database_url=url), scorer=FakeScorer())) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
