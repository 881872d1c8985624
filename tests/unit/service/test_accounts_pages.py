"""The pages of signing in, accounts and keys, and the limits that the API's callers meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient

from models.fake import FakeScorer
from service.accounts import access, passwords, sessions
from service.accounts.limits import Meter
from service.accounts.passwords import Password
from service.app import create_app
from service.audit import trail as audit
from service.database import Database
from service.settings import Settings
from service.tables import Account
from service.web import COOKIE

GOOD = "kuda putih lari pagi"
BETTER = "perahu layar biru muda"
BROWSER = {"accept": "text/html", "origin": "http://testserver"}


@pytest.fixture(scope="module")
def good() -> Password:
    return passwords.chosen(GOOD)


@pytest.fixture
def desks(database: Database) -> Iterator[list[TestClient]]:
    """Return two workers on one database, each with a browser before it."""
    url = database.url.render_as_string(hide_password=False)
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                TestClient(
                    create_app(Settings(database_url=url), scorer=FakeScorer()),
                    headers=BROWSER,
                    follow_redirects=False,
                )
            )
            for _ in range(2)
        ]


@pytest.fixture
def client(desks: list[TestClient]) -> TestClient:
    return desks[0]


@pytest.fixture
def boss(database: Database, good: Password) -> str:
    return add(database, "boss", "admin", good)


def add(database: Database, name: str, role: str, password: Password) -> str:
    with database.write() as session:
        access.create_account(session, name, role, actor="test", password=password)
    return name


def enter(client: TestClient, name: str, password: str = GOOD, **more: str) -> Any:
    return client.post("/masuk", data={"nama": name, "sandi": password, **more})


def secret_of(page: Any) -> str:
    found = re.search(r"<p><code>([^<]+)</code></p>", page.text)
    assert found, page.text
    return str(found[1])


def number_of(page: Any, name: str) -> str:
    found = re.search(rf"/pengguna/(\d+)/peran.*?Peran {name}<", page.text, re.DOTALL)
    assert found
    before = page.text[: found.end()]
    return str(re.findall(r"/pengguna/(\d+)/peran", before)[-1])


# --- signing in --------------------------------------------------------------------------------


def test_a_page_asks_to_sign_in_and_comes_back_to_where_one_was(
    client: TestClient, boss: str
) -> None:
    asked = client.get("/kunci?sudah=cabut")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/masuk?kembali=/kunci%3Fsudah%3Dcabut"
    form = client.get(asked.headers["location"])
    assert 'value="/kunci?sudah=cabut"' in form.text
    done = enter(client, boss, kembali="/kunci?sudah=cabut")
    assert (done.status_code, done.headers["location"]) == (303, "/kunci?sudah=cabut")
    assert client.get("/kunci").status_code == 200


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:1",
    ],
)
def test_signing_in_leads_to_no_other_site(client: TestClient, boss: str, back: str) -> None:
    assert enter(client, boss, kembali=back).headers["location"] == "/"
    assert "evil" not in client.get("/masuk", params={"kembali": back}).text


def test_the_cookie_cannot_be_read_by_scripts_nor_sent_from_other_sites(
    client: TestClient, boss: str
) -> None:
    cookie = enter(client, boss).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_a_planted_cookie_is_worth_nothing(client: TestClient, boss: str) -> None:
    client.cookies.set(COOKIE, "planted-by-someone")
    enter(client, boss)
    fresh = client.cookies.get(COOKIE, domain="testserver.local") or ""
    assert fresh != "planted-by-someone"
    client.cookies.clear()
    client.cookies.set(COOKIE, "planted-by-someone")
    assert client.get("/pengguna").headers["location"].startswith("/masuk")


def test_a_wrong_password_says_nothing_of_what_was_wrong(client: TestClient, boss: str) -> None:
    answers = [enter(client, boss, "salah"), enter(client, "hantu", GOOD)]
    assert [a.status_code for a in answers] == [401, 401]
    assert all("Nama atau kata sandi tidak cocok" in a.text for a in answers)
    assert COOKIE not in client.cookies
    assert GOOD not in answers[1].text


def test_guessing_is_slowed_on_every_worker(desks: list[TestClient], boss: str) -> None:
    codes = [enter(desks[n % 2], boss, "salah").status_code for n in range(sessions.TRIES + 1)]
    assert codes == [401] * sessions.TRIES + [429]
    slowed = enter(desks[1], boss)
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) > 0
    assert "Tunggu" in slowed.text


def test_html_in_a_name_is_shown_as_text(client: TestClient, boss: str) -> None:
    assert "<script>x" not in enter(client, "<script>x</script>", "salah").text


def test_signing_out_ends_the_session_on_the_server(client: TestClient, boss: str) -> None:
    enter(client, boss)
    token = client.cookies[COOKIE]
    assert client.post("/keluar").headers["location"] == "/masuk?keluar=1"
    assert "sudah keluar" in client.get("/masuk?keluar=1").text
    client.cookies.clear()
    client.cookies.set(COOKIE, token)
    assert client.get("/pengguna").status_code == 303


def test_a_form_from_another_site_is_refused(client: TestClient, boss: str) -> None:
    enter(client, boss)
    foreign = {"origin": "http://evil.example"}
    answer = client.post("/pengguna", data={"nama": "x1", "peran": "admin"}, headers=foreign)
    assert answer.status_code == 403
    assert "x1" not in client.get("/pengguna").text


def test_the_one_time_password_has_to_be_changed_before_anything_else(
    client: TestClient, database: Database
) -> None:
    made = passwords.one_time()
    add(database, "baru", "moderator", made)
    first = enter(client, "baru", made.text, kembali="/statistik")
    assert first.headers["location"] == "/ganti-sandi?kembali=/statistik"
    assert client.get("/statistik").headers["location"] == "/ganti-sandi"
    blocked = client.get("/v1/stats")
    assert (blocked.status_code, blocked.json()["code"]) == (403, "must-change-password")
    form = client.get(first.headers["location"])
    assert "sekali pakai" in form.text
    token = client.cookies[COOKIE]
    fields = {"lama": made.text, "baru": BETTER, "ulang": BETTER, "kembali": "/statistik"}
    unequal = client.post("/ganti-sandi", data=fields | {"ulang": "lain"})
    assert unequal.status_code == 422
    wrong = client.post("/ganti-sandi", data=fields | {"lama": "bukan itu"})
    assert wrong.status_code == 403
    assert BETTER not in wrong.text
    done = client.post("/ganti-sandi", data=fields)
    assert done.headers["location"] == "/statistik"
    assert client.cookies[COOKIE] != token
    assert client.get("/statistik").status_code == 200


# --- accounts ----------------------------------------------------------------------------------


def test_an_account_is_made_and_its_password_shown_once_and_nowhere_else(
    client: TestClient, boss: str, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    enter(client, boss)
    made = client.post("/pengguna", data={"nama": "budi", "peran": "reader"})
    assert made.status_code == 200
    assert made.headers["cache-control"] == "no-store"
    secret = secret_of(made)
    assert secret not in client.get("/pengguna").text
    said = capfd.readouterr()
    assert secret not in said.out + said.err
    with database.read() as session:
        assert secret not in str([(r.subject, r.details) for r in audit.rows(session)])
    client.cookies.clear()
    assert enter(client, "budi", secret).status_code == 303


def test_an_account_is_changed_closed_opened_and_reset_from_the_page(
    client: TestClient, boss: str, database: Database, good: Password
) -> None:
    add(database, "budi", "reader", good)
    enter(client, boss)
    number = number_of(client.get("/pengguna"), "budi")
    for step, data in (("peran", {"peran": "analyst"}), ("tutup", {}), ("buka", {})):
        answer = client.post(f"/pengguna/{number}/{step}", data=data)
        assert answer.headers["location"] == f"/pengguna?sudah={step}"
        assert 'role="status"' in client.get(answer.headers["location"]).text
    secret = secret_of(client.post(f"/pengguna/{number}/sandi"))
    client.cookies.clear()
    assert enter(client, "budi").status_code == 401
    assert enter(client, "budi", secret).status_code == 303


@pytest.mark.parametrize(
    ("step", "data"), [("tutup", {}), ("peran", {"peran": "reader"})], ids=["close", "demote"]
)
def test_the_last_admin_cannot_leave(
    client: TestClient, boss: str, step: str, data: dict[str, str]
) -> None:
    enter(client, boss)
    number = number_of(client.get("/pengguna"), boss)
    answer = client.post(f"/pengguna/{number}/{step}", data=data)
    assert answer.status_code == 409
    assert "admin aktif yang terakhir" in answer.text
    assert client.get("/pengguna").status_code == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"nama": "boss", "peran": "reader"}, 409),
        ({"nama": "..", "peran": "reader"}, 422),
        ({"nama": "budi", "peran": "king"}, 403),
        ({}, 422),
    ],
)
def test_an_account_that_will_not_do_is_refused_with_a_reason(
    client: TestClient, boss: str, data: dict[str, str], status: int
) -> None:
    enter(client, boss)
    answer = client.post("/pengguna", data=data)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("role", ["reader", "submitter", "moderator", "analyst"])
def test_only_admins_see_and_change_accounts_keys_and_trail(
    client: TestClient, database: Database, good: Password, role: str
) -> None:
    enter(client, add(database, "ani", role, good))
    paths = ("/pengguna", "/kunci", "/jejak", "/jejak/ekspor", "/v1/audit")
    assert {client.get(path).status_code for path in paths} == {403}
    steps = (
        "/pengguna",
        "/pengguna/1/peran",
        "/pengguna/1/tutup",
        "/pengguna/1/buka",
        "/pengguna/1/sandi",
        "/kunci",
        "/kunci/abcdef01/cabut",
        "/jejak/periksa",
    )
    assert {client.post(path).status_code for path in steps} == {403}


# --- keys --------------------------------------------------------------------------------------


def test_a_key_is_made_shown_once_used_and_revoked(
    client: TestClient, boss: str, database: Database
) -> None:
    enter(client, boss)
    fields = {"akun": boss, "nama": "integrasi", "hak": ["read", "submit"], "hari": "30"}
    key = secret_of(client.post("/kunci", data=fields))
    page = client.get("/kunci").text
    prefix = key.split("_")[1]
    assert key not in page
    assert prefix in page
    with TestClient(client.app) as program:
        bearer = {"Authorization": f"Bearer {key}"}
        assert program.get("/v1/stats", headers=bearer).status_code == 200
        assert "baru saja" in client.get("/kunci").text
        client.post(f"/kunci/{prefix}/cabut")
        assert program.get("/v1/stats", headers=bearer).status_code == 401
    assert "Dicabut" in client.get("/kunci").text


def test_a_key_beyond_its_accounts_role_is_refused_and_the_form_keeps_what_was_typed(
    client: TestClient, boss: str, database: Database, good: Password
) -> None:
    add(database, "ani", "reader", good)
    enter(client, boss)
    fields = {"akun": "ani", "nama": "coba-coba", "hak": ["administer"], "hari": "7"}
    for data in (fields, fields | {"hak": []}):
        answer = client.post("/kunci", data=data)
        assert answer.status_code == 422
        assert "coba-coba" in answer.text
    assert client.post("/kunci", data=fields | {"hari": "0"}).status_code == 422


# --- limits ------------------------------------------------------------------------------------


def test_a_key_over_its_allowance_gets_429_on_every_worker_and_others_go_on(
    desks: list[TestClient], database: Database, boss: str
) -> None:
    with database.write() as session:
        account = session.get_one(Account, 1)
        keys = [access.create_key(session, account, "k", ["read"], actor="test") for _ in "ab"]
    heavy, light = ({"Authorization": f"Bearer {key}"} for key in keys)
    for desk in desks:  # a minute that does not end while this runs
        state = desk.app.state.desk  # type: ignore[attr-defined]
        state.meter = Meter(state.database, 40, clock=lambda: 1_000_000_000.0)
    codes = [desks[n % 2].get("/v1/stats", headers=heavy).status_code for n in range(44)]
    assert 38 <= codes.count(200) <= 40
    assert set(codes) == {200, 429}
    refused = desks[0].get("/v1/stats", headers=heavy)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "too-often"
    assert refused.headers["retry-after"] == "20"
    assert desks[0].get("/v1/stats", headers=light).status_code == 200
