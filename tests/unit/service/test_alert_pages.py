"""The pages and routes of alerts, watch-lists and channels."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import select

from pipeline.spread import Stage
from service.accounts.access import create_key
from service.alerts import outbox
from service.audit import trail
from service.database import Database
from service.pages import spread_words, words
from service.tables import Account, Alert, Channel, Delivery, WatchList
from tests.unit.service.alerting import HOAX, NOW, measured, raised, story

Enter = Callable[..., TestClient]
ONE_DATABASE = pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)


def api(database: Database, enter: Enter, scopes: list[str], name: str = "budi") -> TestClient:
    """Return a program with a key that allows ``scopes``."""
    browser = enter(name, "admin")
    with database.write() as session:
        account = session.scalars(select(Account).where(Account.name == name)).one()
        key = create_key(session, account, "uji", scopes, actor="test")
    return TestClient(browser.app, headers={"authorization": f"Bearer {key}"})


def channel(database: Database, name: str = "piket", **more: Any) -> int:
    values: dict[str, Any] = {
        "kind": "webhook",
        "target": SecretStr("http://127.0.0.1:9/rahasia-panjang-sekali-1234"),
        "secret": SecretStr("lilin_rahasia"),
        "created_at": NOW,
    }
    with database.write() as session:
        made = Channel(name=name, **values | more)
        session.add(made)
        session.flush()
        return made.id


def the_alert(database: Database, **wanted: Any) -> Alert:
    with database.read() as session:
        return session.scalars(select(Alert).filter_by(**wanted)).one()


# --- alerts ------------------------------------------------------------------------------------


def test_the_list_shows_raised_and_held_alerts_and_filters_them(
    database: Database, enter: Enter
) -> None:
    with database.write() as session:
        session.get_one(WatchList, 1).budget = 1
    story(database, 1, ["Kabar pertama tentang keran"])
    story(database, 2, ["Kabar kedua tentang pasar"])
    raised(database, 1)
    raised(database, 2, stage=Stage.API, now=NOW + timedelta(minutes=1))
    browser = enter("ani", "admin")
    page = browser.get("/peringatan").text
    assert page.index("Kabar kedua") < page.index("Kabar pertama")
    assert "jatah 24 jam sudah terpakai" in page
    # The first was told of on its way to obor, the second when it had become api.
    assert page.count("menuju</span>") == 1
    assert page.index("Kabar kedua") < page.index("menuju</span>") < page.index("Kabar pertama")
    held = browser.get("/peringatan", params={"keadaan": "held"}).text
    assert "Kabar kedua" in held
    assert "Kabar pertama" not in held
    assert "Kabar kedua" not in browser.get("/peringatan", params={"tahap": "obor"}).text
    assert "Tidak ada peringatan" in browser.get("/peringatan", params={"pantauan": "99"}).text


@ONE_DATABASE
def test_pages_lead_through_all_alerts_once(database: Database, enter: Enter) -> None:
    with database.write() as session:
        session.get_one(WatchList, 1).budget = 100
    for number in range(1, 61):
        story(database, number)
        raised(database, number)
    browser, seen, path = enter("ani", "admin"), [], "/peringatan"
    while path:
        page = browser.get(path).text
        seen += re.findall(r'<h2><a dir="auto" href="/peringatan/(\d+)"', page)
        following = re.search(r'href="(/peringatan\?setelah=[^"]+)">Lebih lama', page)
        path = following[1].replace("&amp;", "&") if following else ""
    assert [int(number) for number in seen] == list(range(60, 0, -1))


def test_an_alert_shows_all_that_is_needed_to_act(database: Database, enter: Enter) -> None:
    story(database, 1, [f"{HOAX} {n}" for n in range(3)], url="https://berita.example.id/a")
    raised(database, 1)
    page = enter("ani", "admin").get(f"/peringatan/{the_alert(database).id}").text
    for said in (
        "Mengapa sekarang",
        "antara 4 dan 60",
        "Kiriman terbaru",
        "Paling banyak dilihat",
        "Belum ada klarifikasi yang mirip",
        "Draf klarifikasi",
        'href="https://berita.example.id/a"',
        'href="/narasi/1"',
        "belum punya saluran",
    ):
        assert said in page


@ONE_DATABASE
def test_the_words_behind_the_score_are_found_when_they_are_asked_for(
    database: Database, enter: Enter
) -> None:
    story(database, 1)
    raised(database, 1)
    path = f"/peringatan/{the_alert(database).id}"
    browser = enter("ani", "admin")
    assert "Dihitung saat diminta" in browser.get(path).text
    assert "paling berisiko</a>" in browser.get(path, params={"jelaskan": "1"}).text


@ONE_DATABASE
def test_a_hostile_title_is_shown_as_text(database: Database, enter: Enter) -> None:
    hostile = '=HYPERLINK("x") <script>alert(1)</script> "><img src=x onerror=alert(1)> {{7*7}}'
    story(database, 1, [hostile], platform="<b>x</b>", source="<i>y</i>", url="javascript:alert(1)")
    raised(database, 1)
    browser = enter("ani", "admin")
    for path in ("/peringatan", f"/peringatan/{the_alert(database).id}", "/pantauan/1"):
        page = browser.get(path).text
        assert "<script>alert" not in page
        assert "<img" not in page.split("</header>")[1]
        assert "<b>x</b>" not in page
        assert "<i>y</i>" not in page
        assert "javascript:" not in page
        assert "&lt;script&gt;" in page


@ONE_DATABASE
def test_who_may_moderate_marks_an_alert_as_handled_and_takes_it_back(
    database: Database, enter: Enter
) -> None:
    story(database, 1)
    raised(database, 1)
    path = f"/peringatan/{the_alert(database).id}"
    reader = enter("citra", "reader")
    assert "Tandai sudah ditangani" not in reader.get(path).text
    assert reader.post(f"{path}/tangani").status_code == 403
    browser = enter("budi", "moderator")
    back = {"kembali": "/peringatan?keadaan=raised&sudah=batal-tangani"}
    answer = browser.post(f"{path}/tangani", data=back)
    assert answer.headers["location"] == "/peringatan?keadaan=raised&sudah=tangani"
    assert "Ditangani: budi" in browser.get("/peringatan").text
    assert "Tidak ada peringatan" in browser.get("/peringatan?ditangani=belum").text
    browser.post(f"{path}/batal-tangani")
    assert the_alert(database).handled_at is None
    assert browser.post("/peringatan/99/tangani").status_code == 404
    away = browser.post(f"{path}/tangani", data={"kembali": "https://jahat.example/"})
    assert away.headers["location"].startswith("/peringatan?")


def test_a_dead_letter_is_shown_and_sent_again(database: Database, enter: Enter) -> None:
    number = channel(database)
    with database.write() as session:
        session.get_one(WatchList, 1).channels = [number]
    story(database, 1)
    raised(database, 1)
    with database.write() as session:
        sent = session.scalars(select(Delivery)).one()
        sent.state, sent.last_error, key = "dead", "timeout", sent.key
    alert = the_alert(database)
    browser = enter("ani", "admin")
    assert "1 pesan gagal terkirim" in browser.get("/peringatan").text
    for path in (f"/peringatan/{alert.id}", "/saluran", f"/saluran/{number}"):
        page = browser.get(path).text
        assert "Kirim ulang" in page
        assert "tidak menjawab pada waktunya" in page
    assert "Kirim ulang" not in enter("citra", "moderator").get(f"/peringatan/{alert.id}").text
    back = f"/peringatan/{alert.id}"
    answer = browser.post(f"/pesan/{sent.id}/ulang", data={"kembali": back})
    assert answer.headers["location"] == f"{back}?sudah=ulang"
    again = browser.post(f"/pesan/{sent.id}/ulang", data={"kembali": back})
    assert again.headers["location"] == f"{back}?gagal=not-dead"
    with database.read() as session:
        (waiting,) = outbox.list_deliveries(session)
    assert (waiting.state, waiting.key) == ("waiting", key)


# --- watch-lists -------------------------------------------------------------------------------


def form(**changed: Any) -> dict[str, Any]:
    return {"nama": "Vaksin", "kata": "vaksin\n#stopvaksin\n", "jatah": "10", **changed}


def test_a_watch_list_is_made_changed_closed_and_opened_again(
    database: Database, enter: Enter
) -> None:
    number = channel(database)
    browser = enter("ani", "admin")
    answer = browser.post(
        "/pantauan",
        data=form(wilayah="jatim", bahasa=["id", "jv"], label="hoax", saluran=number, risiko="60"),
    )
    assert answer.headers["location"] == "/pantauan?sudah=buat"
    with database.read() as session:
        made = session.scalars(select(WatchList).where(WatchList.name == "Vaksin")).one()
    assert (made.terms, made.regions, made.languages) == (
        ["vaksin", "#stopvaksin"],
        ["jatim"],
        ["id", "jv"],
    )
    assert (made.labels, made.minimum_risk, made.budget) == (["hoax"], 0.6, 10)
    assert made.channels == [number]
    page = browser.get("/pantauan").text
    assert "#stopvaksin" in page
    assert "belum cukup putusan" in page
    assert browser.post(f"/pantauan/{made.id}", data=form(kata="")).status_code == 303
    browser.post(f"/pantauan/{made.id}/tutup")
    assert "Ditutup" in browser.get("/pantauan").text
    browser.post(f"/pantauan/{made.id}/buka")
    with database.read() as session:
        assert session.get_one(WatchList, made.id).terms == []
        actions = [row.action for row in trail.rows(session) if "watch" in row.action]
    assert actions == [f"watch_list.{what}" for what in ("create", "change", "close", "open")]


def test_trying_shows_last_week_and_saves_nothing(database: Database, enter: Enter) -> None:
    story(database, 1, ["vaksin berbahaya kata tetangga"])
    story(database, 2, ["banjir besar di pasar"])
    raised(database, 1, 2)
    browser = enter("budi", "reader")
    page = browser.post("/pantauan/1", data=form(tindakan="coba")).text
    assert "Minggu lalu dengan isian ini" in page
    assert "vaksin berbahaya" in page
    assert "banjir besar" not in page
    assert "belum cukup putusan" in page
    assert 'value="Vaksin"' in page
    assert "Simpan" not in page
    with database.read() as session:
        assert session.get_one(WatchList, 1).name == "Semua"


@ONE_DATABASE
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"nama": " "}, "Beri nama"),
        ({"nama": "Semua"}, "sudah dipakai"),
        ({"kata": "@akun_orang"}, "tautan, nomor, dan nama akun"),
        ({"jatah": "0"}, "Jatah sehari"),
        ({"jatah": "banyak"}, "Jatah sehari"),
        ({"risiko": "-1"}, "Risiko minimal"),
        ({"risiko": "101"}, "Risiko minimal"),
        ({"bahasa": "xx"}, "tidak dikenal"),
        ({"saluran": "77"}, "sudah tidak ada"),
    ],
)
def test_a_form_that_will_not_do_comes_back_as_it_was_typed(
    database: Database, enter: Enter, changed: dict[str, str], said: str
) -> None:
    answer = enter("ani", "admin").post("/pantauan", data=form(**changed))
    assert answer.status_code in (409, 422)
    assert said in answer.text
    assert "#stopvaksin" in answer.text or "kata" in changed
    with database.read() as session:
        assert len(session.scalars(select(WatchList)).all()) == 1


@ONE_DATABASE
def test_only_who_administers_changes_watch_lists_and_channels(
    database: Database, enter: Enter
) -> None:
    number = channel(database)
    browser = enter("budi", "analyst")
    for path in ("/peringatan", "/pantauan", "/pantauan/1", "/saluran", f"/saluran/{number}"):
        assert browser.get(path).status_code == 200
    for path in (
        "/pantauan",
        "/pantauan/1",
        "/pantauan/1/tutup",
        "/pantauan/1/buka",
        "/saluran",
        f"/saluran/{number}",
        f"/saluran/{number}/uji",
        f"/saluran/{number}/rahasia",
        f"/saluran/{number}/henti",
        f"/saluran/{number}/jalan",
        "/pesan/1/ulang",
    ):
        assert browser.post(path, data=form()).status_code == 403, path


# --- channels ----------------------------------------------------------------------------------


def test_a_webhooks_secret_is_shown_once_and_masked_afterwards(
    database: Database, enter: Enter
) -> None:
    browser = enter("ani", "admin")
    target = "http://127.0.0.1:9/kunci-yang-panjang-dan-rahasia"
    page = browser.post("/saluran", data={"nama": "Piket", "jenis": "webhook", "tujuan": target})
    found = re.search(r"<code>(lilin_[\w-]+)</code>", page.text)
    assert found is not None
    with database.read() as session:
        made = session.scalars(select(Channel)).one()
    for path in ("/saluran", f"/saluran/{made.id}", "/v1/channels"):
        shown = browser.get(path).text
        assert found[1] not in shown
        assert "kunci-yang-panjang" not in shown
        assert "http://127.0.0.1:9/…" in shown
    renewed = browser.post(f"/saluran/{made.id}/rahasia").text
    again = re.search(r"<code>(lilin_[\w-]+)</code>", renewed)
    assert again is not None
    assert again[1] != found[1]


def test_a_channel_is_tested_stopped_and_changed(database: Database, enter: Enter) -> None:
    number = channel(database)
    browser = enter("ani", "admin")
    path = f"/saluran/{number}"
    assert browser.post(f"{path}/uji").headers["location"] == f"{path}?sudah=uji"
    assert "Pesan uji" in browser.get(path).text
    browser.post(f"{path}/henti")
    assert "Dihentikan" in browser.get(path).text
    assert browser.post(f"{path}/uji").status_code == 422
    browser.post(f"{path}/jalan")
    changed = {
        "nama": "Piket malam",
        "jenis": "webhook",
        "ringkasan": "hourly",
        "tenang_dari": "22",
        "tenang_sampai": "5",
    }
    assert browser.post(path, data=changed).headers["location"] == f"{path}?sudah=saluran-ubah"
    with database.read() as session:
        held = session.get_one(Channel, number)
    assert (held.name, held.digest, held.quiet_from, held.quiet_to) == (
        "Piket malam",
        "hourly",
        22,
        5,
    )
    assert held.target.get_secret_value().startswith("http://127.0.0.1:9/")
    bad = browser.post(path, data=changed | {"tenang_sampai": "25"})
    assert bad.status_code == 422
    assert "Piket malam" in bad.text


@ONE_DATABASE
@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/", "file:///etc/passwd", "https://", "bukan alamat"]
)
def test_a_target_that_may_not_be_sent_to_is_refused(
    database: Database, enter: Enter, target: str
) -> None:
    answer = enter("ani", "admin").post(
        "/saluran", data={"nama": "P", "jenis": "webhook", "tujuan": target}
    )
    assert answer.status_code == 422
    assert "Tujuan ini tidak boleh dikirimi" in answer.text


@ONE_DATABASE
def test_numbers_and_hours_that_make_no_sense_break_no_page(
    database: Database, enter: Enter
) -> None:
    browser = enter("ani", "admin")
    for path in (
        "/peringatan?setelah=xx&tahap=%00&pantauan=9999999999999999999999&keadaan=<b>",
        "/peringatan?pantauan=%C2%B2",
        "/peringatan?setelah=____________________AAAA",
    ):
        assert browser.get(path).status_code == 200, path
    assert browser.get("/peringatan/99").status_code == 404
    assert browser.get("/pantauan/99").status_code == 404
    assert browser.get("/saluran/99").status_code == 404
    assert browser.get(f"/peringatan/{2**63}").status_code == 422


# --- for programs ------------------------------------------------------------------------------


def test_the_api_pages_filters_and_marks_alerts(database: Database, enter: Enter) -> None:
    for number in (1, 2, 3):
        story(database, number)
        raised(database, number, now=NOW + timedelta(seconds=number))
    program = api(database, enter, ["read", "moderate"])
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = program.get("/v1/alerts", params=query).json()
        seen += [alert["narrative"] for alert in page["alerts"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert seen == [3, 2, 1]
    number = page["alerts"][0]["id"]
    one = program.get(f"/v1/alerts/{number}").json()
    assert (one["kind"], one["state"], one["content"]["version"]) == ("obor", "raised", 1)
    marked = program.post(f"/v1/alerts/{number}/handled", json={}).json()
    assert marked["handled_by"] == "budi"
    left = program.get("/v1/alerts", params={"handled": "false"}).json()["alerts"]
    assert [alert["narrative"] for alert in left] == [3, 2]
    assert program.get("/v1/alerts", params={"after": "x"}).status_code == 404
    assert program.get("/v1/alerts/999").status_code == 404


def test_the_api_makes_tries_and_closes_watch_lists(database: Database, enter: Enter) -> None:
    story(database, 1, ["vaksin berbahaya"])
    raised(database, 1)
    program = api(database, enter, ["read", "administer"])
    body = {"name": "Vaksin", "terms": ["vaksin"], "budget": 5}
    made = program.post("/v1/watch-lists", json=body)
    assert made.status_code == 201
    number = made.json()["id"]
    assert program.post("/v1/watch-lists", json=body).status_code == 409
    changed = program.put(f"/v1/watch-lists/{number}", json=body | {"budget": 6}).json()
    assert (changed["budget"], changed["precision"], changed["raised"]) == (6, None, 0)
    assert program.post(f"/v1/watch-lists/{number}/close").json()["active"] is False
    assert program.post(f"/v1/watch-lists/{number}/open").json()["active"] is True
    names = [w["name"] for w in program.get("/v1/watch-lists").json()["watch_lists"]]
    assert names == ["Semua", "Vaksin"]
    bad = program.post("/v1/watch-lists/try", json={"terms": ["@akun"]})
    assert (bad.status_code, bad.json()["code"]) == (422, "bad-watch-list")


@ONE_DATABASE
def test_a_key_that_may_only_read_changes_nothing(database: Database, enter: Enter) -> None:
    number = channel(database)
    program = api(database, enter, ["read"])
    for path in ("/v1/alerts", "/v1/watch-lists", "/v1/watch-lists/1", "/v1/channels"):
        assert program.get(path).status_code == 200, path
    assert program.get("/v1/deliveries").json() == {"deliveries": [], "next": None}
    watch_list = {"name": "x"}
    made = {"name": "x", "kind": "webhook", "target": "http://127.0.0.1:9/"}
    for path, body in (
        ("/v1/watch-lists", watch_list),
        ("/v1/watch-lists/1/close", None),
        ("/v1/alerts/1/handled", {}),
        ("/v1/channels", made),
        (f"/v1/channels/{number}/test", None),
        (f"/v1/channels/{number}/secret", None),
        (f"/v1/channels/{number}/stop", None),
        ("/v1/deliveries/1/resend", None),
    ):
        assert program.post(path, json=body).status_code == 403, path
    assert program.put("/v1/watch-lists/1", json=watch_list).status_code == 403
    assert program.put(f"/v1/channels/{number}", json=made).status_code == 403


def test_the_api_makes_and_tests_a_channel(database: Database, enter: Enter) -> None:
    program = api(database, enter, ["read", "administer"])
    body = {"name": "Piket", "kind": "webhook", "target": "http://127.0.0.1:9/x"}
    made = program.post("/v1/channels", json=body)
    assert made.status_code == 201
    assert made.json()["secret"].startswith("lilin_")
    number = made.json()["channel"]["id"]
    sent = program.post(f"/v1/channels/{number}/test").json()
    assert (sent["kind"], sent["state"], sent["channel_name"]) == ("test", "waiting", "Piket")
    found = program.get("/v1/deliveries", params={"channel": number}).json()["deliveries"]
    assert [delivery["id"] for delivery in found] == [sent["id"]]
    assert program.post(f"/v1/deliveries/{sent['id']}/resend").status_code == 409
    assert program.post(f"/v1/channels/{number}/stop").json()["active"] is False
    assert (
        program.post("/v1/channels", json=body | {"target": "http://10.1.1.1/"}).status_code == 422
    )


@ONE_DATABASE
def test_the_measured_narratives_of_one_round_are_read_in_few_queries(database: Database) -> None:
    """What changes in a round is looked up together, whatever its number."""
    from sqlalchemy import event

    from service.alerts.service import raise_due
    from tests.unit.service.alerting import RULES

    for number in range(1, 41):
        story(database, number)
    raised(database, *range(1, 41))
    asked: list[str] = []
    with database.write() as session:
        changed = [measured(session, number) for number in range(1, 41)]
        event.listen(database.engine, "before_cursor_execute", lambda *a: asked.append(str(a[2])))
        raise_due(session, changed, now=NOW, rules=RULES)
    assert len([statement for statement in asked if statement.startswith("SELECT")]) <= 4


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("feed:7 pasar pagi.csv", "unggahan 7 (pasar pagi.csv)"),
        ("feed:7", "unggahan 7"),
        ("page", "halaman Kirim"),
        ("lain", "lain"),
    ],
)
def test_where_a_post_came_from_is_said_in_words(source: str, said: str) -> None:
    assert words.source_said(source) == said


def test_a_forecast_of_nothing_is_said_as_such() -> None:
    said = spread_words.forecast_short(24, 0, 0.1, 0.4)
    assert said == "1 hari ke depan: tidak diperkirakan ada kiriman baru"
    assert "3 kiriman (0–13)" in spread_words.forecast_short(24, 0, 3, 13)
