"""The desk as a person uses it: a real server, the shipped model, a real Chromium."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served, fill_sign_in

SHOTS = os.environ.get("LILIN_SCREENSHOTS")
HOSTILE = (
    "VIRALKAN!! <script>window.broken=1</script><img src=x onerror=window.broken=1> "
    '"><b>tebal</b> {{7*7}} ${7*7} \u202eterbalik\u202c \u200b=HYPERLINK("http://jahat.example") '
    "hubungi 081234567890 sebelum dihapus pemerintah 😱😱"
)


AS_SEEN = ("antrean", "antrean-ponsel", "pintasan", "narasi", "narasi-ponsel")
"""Shown as a person sees them; the others are long pages, shown in full."""


def shoot(page: Page, name: str) -> None:
    """Keep a screenshot for docs/, when a folder is named; the text of a page is settled first."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=name not in AS_SEEN)


def assert_accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def upload(page: Page, path: Path) -> None:
    page.goto("/unggah")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name=re.compile("Unggah")).click()
    page.wait_for_url(re.compile("/umpan/"))


def open_items(page: Page) -> int:
    return page.locator("ol.queue > li").count()


def test_ten_items_are_decided_by_keys_alone_and_one_is_taken_back(
    signed_in: Page, desk: Served
) -> None:
    page = signed_in
    assert open_items(page) >= 12
    shoot(page, "antrean")
    first = page.locator("#judul-kiriman").inner_text()
    for i in range(10):
        before = page.locator("#judul-kiriman").inner_text()
        page.keyboard.press(str(i % 4 + 1))
        expect(page.locator("#judul-kiriman")).not_to_have_text(before)
    expect(page.get_by_role("status").filter(has_text="Diputuskan").first).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_role("status").filter(has_text="dibatalkan").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("k")
    actions = [json.loads(line)["action"] for line in desk.lilin("audit", "export").splitlines()]
    assert actions.count("queue.verdict") == 10
    assert actions.count("queue.undo") == 1
    number = re.search(r"\d+", first)
    assert number
    page.goto(f"/kiriman/{number[0]}")
    expect(page.get_by_text("Riwayat putusan")).to_be_visible()


def test_help_lists_the_keys_and_typing_in_search_is_no_command(signed_in: Page) -> None:
    page = signed_in
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    shoot(page, "pintasan")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("u1c2")
    expect(page.get_by_role("searchbox")).to_have_value("u1c2")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("cari=u1c2"))
    expect(page.get_by_text(re.compile("Tidak ada"))).not_to_have_count(0)


def test_a_post_is_sent_explained_and_found_again(signed_in: Page) -> None:
    page = signed_in
    page.goto("/kirim")
    text = "SEBARKAN! Pemerintah bagikan bantuan Rp5 juta, klik tautan ini sebelum ditutup besok"
    page.get_by_label("Teks kiriman").fill(text)
    page.get_by_role("button", name="Simpan dan nilai").click()
    expect(page.get_by_text("Tersimpan dan dinilai")).to_be_visible()
    shoot(page, "kirim")
    page.get_by_role("link", name="Buka halaman kiriman").click()
    expect(page.locator(".text").first).to_contain_text("SEBARKAN")
    page.get_by_role("link", name="Kata yang menaikkan skor").click()
    expect(page.get_by_role("heading", name=re.compile("petunjuk, bukan bukti"))).to_be_visible()
    assert_accessible(page)
    shoot(page, "kiriman")
    page.goto("/kirim")
    page.get_by_label("Teks kiriman").fill(text)
    page.get_by_role("button", name="Simpan dan nilai").click()
    expect(page.get_by_text(re.compile("Kiriman ini sudah dikenal"))).to_be_visible()


def test_a_feed_is_uploaded_watched_and_its_result_downloaded(
    signed_in: Page, tmp_path: Path
) -> None:
    page = signed_in
    feed = tmp_path / "umpan.csv"
    with feed.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "created_at", "text"])
        for i in range(300):
            writer.writerow(
                [i, "2026-11-01 10:00:00", f"kabar ke-{i} dari pasar pagi, harga cabai"]
            )
        writer.writerow([300, "2026-11-01 10:00:00", "   "])
    upload(page, feed)
    shoot(page, "umpan")
    expect(page.get_by_text(re.compile("Selesai")).first).to_be_visible(timeout=60_000)
    assert_accessible(page)
    with page.expect_download() as got:
        page.get_by_role("link", name=re.compile("CSV")).first.click()
    rows = list(csv.DictReader(Path(got.value.path()).read_text("utf-8-sig").splitlines()))
    assert len(rows) == 300
    assert all(0 <= float(row["lilin_risk"]) <= 1 for row in rows)


@pytest.mark.parametrize("name", ["../../etc/jahat.csv", "umpan.exe"])
def test_a_file_with_a_wicked_name_or_no_feed_in_it_does_no_harm(
    signed_in: Page, desk: Served, tmp_path: Path, name: str
) -> None:
    page = signed_in
    feed = tmp_path / "x"
    feed.write_bytes(b"text\nkabar dari pasar\n" if name.endswith("csv") else b"\x7fELF\0\0\1")
    page.goto("/unggah")
    page.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": feed.read_bytes()}
    )
    page.get_by_role("button", name=re.compile("Unggah")).click()
    page.wait_for_load_state()
    assert not list(desk.folder.rglob("*jahat*"))
    assert page.locator("h1").count() == 1


def test_hostile_text_is_shown_and_never_runs(signed_in: Page) -> None:
    page = signed_in
    page.goto("/kirim")
    page.get_by_label("Teks kiriman").fill(HOSTILE)
    page.get_by_label("Akun pengirim").fill("<b onmouseover=window.broken=1>akun</b>")
    page.get_by_role("button", name="Simpan dan nilai").click()
    page.get_by_role("link", name="Buka halaman kiriman").click()
    expect(page.locator(".text").first).to_contain_text("<script>window.broken=1</script>")
    page.goto(f"{page.url}?jelaskan=1")
    for path in ("/?cari=%3Cscript%3E", "/?label=%3Cscript%3Ealert(1)%3C/script%3E", "/jejak"):
        page.goto(path)
        assert page.evaluate("window.broken") is None
        assert page.locator("main script, main img[src=x]").count() == 0


def test_a_form_of_another_site_is_refused(signed_in: Page, desk: Served) -> None:
    answer = signed_in.request.post(
        f"{desk.url}/antrean/batal",
        headers={"Origin": "https://jahat.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status == 403


def test_the_verdicts_are_exported(signed_in: Page, desk: Served) -> None:
    answer = signed_in.request.get(f"{desk.url}/v1/verdicts?format=csv")
    assert answer.status == 200
    rows = list(csv.DictReader(answer.text().lstrip("\ufeff").splitlines()))
    assert rows
    assert {row["verdict"] for row in rows} <= {
        "hoax",
        "disinformation",
        "malinformation",
        "valid",
    }


PAGES = {
    "antrean": "/",
    "kirim": "/kirim",
    "unggah": "/unggah",
    "statistik": "/statistik",
    "pengguna": "/pengguna",
    "kunci": "/kunci",
    "jejak": "/jejak",
    "ganti-sandi": "/ganti-sandi",
    "tidak-ada": "/kiriman/99999999",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_breaks_no_rule_of_accessibility(signed_in: Page, name: str) -> None:
    page = signed_in
    page.goto(PAGES[name])
    assert_accessible(page)
    if name not in ("antrean", "kirim", "tidak-ada"):
        shoot(page, name)


def test_the_sign_in_page_breaks_no_rule_of_accessibility(page: Page, admin: object) -> None:
    page.goto("/masuk")
    assert_accessible(page)
    shoot(page, "masuk")


@pytest.mark.parametrize("name", ["antrean", "kirim", "unggah", "statistik", "jejak"])
def test_a_page_fits_a_phone(signed_in: Page, name: str) -> None:
    page = signed_in
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(PAGES[name])
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, f"{name} is {width} wide"
    if name == "antrean":
        shoot(page, "antrean-ponsel")


def test_the_desk_works_without_javascript(
    desk: Served, admin: tuple[str, str], page: Page
) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(base_url=desk.url, java_script_enabled=False)
    plain = context.new_page()
    fill_sign_in(plain, *admin)
    before = plain.locator("#judul-kiriman").inner_text()
    plain.get_by_role("button", name=re.compile("^Valid")).click()
    expect(plain.locator("#judul-kiriman")).not_to_have_text(before)
    plain.get_by_role("button", name="Batalkan putusan ini").click()
    expect(plain.locator("#judul-kiriman")).to_have_text(before)
    context.close()


def test_nobody_gets_in_without_signing_in(page: Page, admin: object) -> None:
    for path in PAGES.values():
        page.goto(path)
        expect(page.get_by_role("heading", name="Masuk ke Lilin")).to_be_visible()
    fill_sign_in(page, "admin", "salah sama sekali")
    expect(page.get_by_role("alert")).to_be_visible()


REAL = Path(os.environ.get("LILIN_DATA_DIR", "data")) / "timelines" / "election_2023_09.csv"


@pytest.mark.skipif(not REAL.is_file(), reason="needs the folder of real data (LILIN_DATA_DIR)")
def test_ten_days_of_real_posts_go_through_the_desk(signed_in: Page) -> None:
    upload(signed_in, REAL)
    expect(signed_in.get_by_text(re.compile("Selesai")).first).to_be_visible(timeout=300_000)
