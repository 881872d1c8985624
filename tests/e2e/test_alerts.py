"""The early warning as a person meets it: posts come in, an alert comes by itself and goes out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from service.alerts import signature
from service.alerts.listen import Listener
from tests.e2e.conftest import Served, fill_sign_in, free_port, sample, serving
from tests.e2e.test_desk import assert_accessible, shoot
from tests.unit.service.receivers import Receiver, Reply

CLAIM = (
    "Mulai bulan depan semua SIM lama hangus dan pengendara wajib bayar 750 ribu untuk chip baru"
)
TELLINGS = (
    "SEBARKAN!! " + CLAIM + ", yang tidak bayar ditilang di tempat",
    "INFO PENTING dari grup: " + CLAIM + ", yang tidak bayar langsung ditilang di tempat!!",
    "Astaghfirullah, " + CLAIM + ". Viralkan sebelum dihapus",
    CLAIM + ", daftar lewat s.example/sim-chip sebelum kuota habis",
    "Kata polisi di perempatan, SIM lama semua hangus bulan depan, wajib ganti chip bayar 750 ribu",
    "Rakyat diperas lagi: SIM lama hangus bulan depan, pengendara wajib bayar chip baru 750 ribu",
    "Fwd: " + CLAIM + ", yang tidak bayar ditilang di tempat. Teruskan ke keluarga",
    "Tolong sebarkan, SIM lama hangus bulan depan dan wajib bayar 750 ribu untuk chip, mahal sekali",
    "BARUSAN dari kantor: " + CLAIM + ", yang tidak bayar ditilang di tempat",
    "GEGER! Semua SIM lama hangus bulan depan!! Chip baru 750 ribu, yang menolak ditilang di tempat",
)
KNOWN = {
    "title": "Tidak ada SIM yang hangus karena chip",
    "url": "https://s.example/klarifikasi/sim-chip",
    "claim": CLAIM,
    "publisher": "Humas Contoh",
    "published_at": "2026-03-02",
}
TITLE = re.compile("SIM lama", re.IGNORECASE)
PATHS = (
    *("/peringatan", "/peringatan/1", "/peringatan/1?jelaskan=1"),
    *("/pantauan", "/pantauan/baru", "/pantauan/1", "/saluran"),
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a desk with the sample feed and a clarification, whose alerts may come to this machine."""
    folder = tmp_path_factory.mktemp("desk")
    known = folder / "known.jsonl"
    known.write_text(json.dumps(KNOWN), encoding="utf-8")
    with serving(
        folder,
        ["clarification", "add", str(known)],
        ["feed", "add", str(sample(folder))],
        LILIN_WEBHOOK_HOSTS="127.0.0.1",
    ) as served:
        yield served


def send(page: Page, desk: Served) -> None:
    """Send the claim as ten accounts tell it, the last of them now."""
    now = datetime.now(UTC)
    posts = [
        {
            "text": text,
            "platform": ("whatsapp", "x", "facebook", "tiktok")[i % 4],
            "external_id": f"sim-{i}",
            "account": f"akun-{i}",
            "url": f"https://s.example/{i}",
            "posted_at": (now - timedelta(minutes=4 * (len(TELLINGS) - 1 - i))).isoformat(),
            "engagement": {"shares": 20 + 7 * (i * 3 % 10)},
        }
        for i, text in enumerate(TELLINGS)
    ]
    answer = page.request.post(
        f"{desk.url}/v1/posts", data={"posts": posts}, headers={"Origin": desk.url}
    )
    assert answer.status == 201, answer.text()


def make_webhook(page: Page, name: str, target: str) -> Locator:
    """Fill in and send the form of a new channel; return the part that holds its secret."""
    page.goto("/saluran")
    summary = page.locator("summary", has_text="Buat saluran")
    if summary.locator("..").get_attribute("open") is None:
        summary.click()
    page.get_by_label("Nama", exact=True).fill(name)
    page.get_by_label("Jenis").select_option("webhook")
    page.get_by_label("Tujuan").fill(target)
    page.get_by_role("button", name="Buat saluran").click()
    return page.locator(".secret code")


def reload_until(page: Page, place: Locator) -> None:
    """Load the page anew until ``place`` is there, as a person does who waits for a delivery."""
    for _ in range(200):
        if place.count():
            return
        page.reload()
    raise AssertionError(page.locator("main").inner_text())


def test_an_alert_comes_by_itself_and_says_what_is_needed_to_act(
    signed_in: Page, desk: Served
) -> None:
    page = signed_in
    page.goto("/peringatan")
    count = page.locator(".top [data-live=alerts]")
    expect(count).to_have_text("1")  # the narrative of the sample feed that has just begun
    news = page.locator("#kabar-peringatan")
    expect(news).to_be_hidden()
    send(page, desk)
    expect(count).to_have_text("2", timeout=60_000)  # nobody has loaded anything anew
    expect(page.locator("ol.alerts > li")).to_have_count(1)
    expect(news).to_contain_text("1 peringatan baru")
    news.get_by_role("link", name="muat ulang").click()
    expect(news).to_be_hidden()
    expect(page.locator("ol.alerts > li")).to_have_count(2)
    expect(page.locator("ol.alerts > li").first).to_contain_text("hanya di halaman ini")
    shoot(page, "peringatan")
    page.locator("ol.alerts h2 a").first.click()

    expect(page.get_by_role("heading", level=1)).to_contain_text(TITLE)
    why = page.get_by_role("region", name="Mengapa sekarang")
    expect(why.get_by_role("listitem").filter(has_text="akun")).not_to_have_count(0)
    expect(why).to_contain_text("kiriman lagi (antara")
    expect(page.get_by_role("region", name="Dari mana")).to_contain_text("10, dari 10 akun")
    known = page.get_by_role("link", name=KNOWN["title"])
    expect(known).to_have_attribute("href", KNOWN["url"])
    for name in ("Kiriman terbaru", "Paling banyak dilihat"):
        posts = page.get_by_role("region", name=name).get_by_role("listitem")
        expect(posts).to_have_count(5)
        expect(posts.first.get_by_role("link", name="Buka aslinya")).to_be_visible()
    expect(page.locator("#isi-draf")).to_have_value(re.compile(re.escape(KNOWN["url"])))
    shoot(page, "peringatan-satu")
    page.get_by_role("link", name="Tampilkan").click()
    expect(page.locator("#penjelasan")).to_contain_text("petunjuk, bukan bukti")
    assert_accessible(page)

    page.get_by_role("button", name="Tandai sudah ditangani").click()
    expect(page.get_by_text(re.compile("^Ditangani admin"))).to_be_visible()
    expect(count).to_have_text("1")
    page.goto("/peringatan?ditangani=belum")
    expect(page.locator("ol.alerts > li")).to_have_count(1)
    page.goto("/peringatan?ditangani=sudah")
    page.get_by_role("button", name="Buka lagi").click()
    expect(page.get_by_role("status").filter(has_text="terbuka lagi")).to_be_visible()
    expect(count).to_have_text("2")


def test_a_watch_list_is_tried_on_last_week_before_it_is_saved(
    signed_in: Page, desk: Served
) -> None:
    page = signed_in
    page.goto("/pantauan")
    page.get_by_role("link", name="Pantauan baru").click()
    page.get_by_label("Nama", exact=True).fill("Bantuan sosial")
    page.get_by_label("Topik, nama, atau tagar").fill("bpjs\nbansos")
    page.get_by_label("Jatah per 24 jam").fill("12")
    page.get_by_role("button", name="Coba pada minggu lalu").click()
    tried = page.get_by_role("region", name="Minggu lalu dengan isian ini")
    expect(tried.get_by_role("link", name=re.compile("BPJS"))).to_be_visible()
    expect(tried).to_be_in_viewport()
    expect(tried).not_to_contain_text(TITLE)
    assert_accessible(page)
    shoot(page, "pantauan")
    assert "watch_list.create" not in desk.lilin("audit", "export")

    page.get_by_label("Jatah per 24 jam").fill("0")
    page.get_by_role("button", name="Coba pada minggu lalu").click()
    expect(page.get_by_role("alert")).to_contain_text("Jatah sehari 1 sampai 1000")
    page.get_by_label("Jatah per 24 jam").fill("12")
    page.get_by_role("button", name="Simpan").click()
    expect(page.get_by_role("status").filter(has_text="Pantauan dibuat")).to_be_visible()
    made = page.get_by_role("region", name="Bantuan sosial")
    expect(made).to_contain_text("12 peringatan per 24 jam")
    made.get_by_role("button", name="Tutup pantauan").click()
    expect(made.get_by_text("Ditutup")).to_be_visible()


def test_a_webhook_is_made_and_its_test_message_arrives_signed(signed_in: Page) -> None:
    page = signed_in
    port = free_port()
    secret = make_webhook(page, "Penerima", f"http://127.0.0.1:{port}/").inner_text()
    assert_accessible(page)
    page.get_by_role("link", name="Sudah saya simpan").click()
    assert secret not in page.content()
    page.get_by_role("link", name="Penerima", exact=True).click()
    heard: list[str] = []
    with Listener(port, secret=secret, say=heard.append) as listener:
        page.get_by_role("button", name="Kirim uji").click()
        assert listener.wait(1, 60), heard
        assert "tanda tangan cocok" in heard[0]
        assert "Saluran “Penerima” berfungsi" in heard[0]
        reload_until(page, page.locator("td .badge", has_text="Terkirim"))
    assert_accessible(page)
    page.locator("summary", has_text="Ganti rahasia").click()
    page.get_by_role("button", name="Ya, buat yang baru").click()
    assert page.locator(".secret code").inner_text() != secret


def test_a_dead_letter_is_shown_and_sent_again(signed_in: Page) -> None:
    page = signed_in
    with Receiver(lambda _got: Reply(status=410)) as receiver:
        secret = make_webhook(page, "Ruang siaga", receiver.url).inner_text()
        page.goto("/saluran")
        page.get_by_role("link", name="Ruang siaga").click()
        page.get_by_role("button", name="Kirim uji").click()
        reload_until(page, page.locator("td .badge", has_text="Gagal tuntas"))
        expect(page.get_by_role("heading", name="Dihentikan")).to_be_visible()
        page.goto("/peringatan")
        page.get_by_role("link", name="Lihat dan kirim ulang").click()
        dead = page.locator("#gagal tbody tr").filter(has_text="Ruang siaga")
        expect(dead).to_contain_text("penerima tidak mau menerima lagi")
        assert_accessible(page)
        shoot(page, "saluran")

        receiver.reply = lambda _got: Reply()
        dead.get_by_role("link", name="Ruang siaga").click()
        page.get_by_role("button", name="Jalankan lagi").click()
        page.get_by_role("button", name="Kirim ulang").click()
        expect(page.get_by_role("status").filter(has_text="antrean kirim lagi")).to_be_visible()
        reload_until(page, page.locator("td .badge", has_text="Terkirim"))
        first, second = receiver.got
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    signed, body = second.headers[signature.HEADER.lower()], second.body
    now = datetime.now(UTC).timestamp()
    assert signature.holds(signed, body, secret, now_s=now)
    page.goto("/saluran")
    expect(page.locator("#gagal")).to_contain_text("Tidak ada.")


def test_a_target_in_the_inner_network_is_refused_in_plain_words(signed_in: Page) -> None:
    page = signed_in
    for target in ("http://169.254.169.254/latest", "https://10.0.0.8/hook", "https://[::1]/hook"):
        secret = make_webhook(page, "Dalam", target)
        expect(page.get_by_role("alert")).to_contain_text("Tujuan ini tidak boleh dikirimi")
        expect(page.get_by_label("Tujuan")).to_have_value(target)
        expect(secret).to_have_count(0)
    assert_accessible(page)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_fit_and_break_no_rule_of_accessibility(signed_in: Page, width: int) -> None:
    page = signed_in
    page.set_viewport_size({"width": width, "height": 844})
    for path in PATHS:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert_accessible(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} wide"


def test_the_pages_work_without_javascript(
    desk: Served, admin: tuple[str, str], page: Page
) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(base_url=desk.url, java_script_enabled=False)
    plain = context.new_page()
    fill_sign_in(plain, *admin)
    plain.goto("/peringatan/1")
    plain.get_by_role("button", name="Tandai sudah ditangani").click()
    plain.get_by_role("button", name="Buka lagi").click()
    expect(plain.get_by_role("status").filter(has_text="terbuka lagi")).to_be_visible()
    plain.goto("/pantauan/1")
    plain.get_by_label("Topik, nama, atau tagar").fill("kata yang tidak ada")
    plain.get_by_role("button", name="Coba pada minggu lalu").click()
    expect(plain.get_by_text("Tidak ada narasi pada minggu lalu")).to_be_visible()
    secret = make_webhook(plain, "Tanpa skrip", f"http://127.0.0.1:{free_port()}/")
    expect(secret).to_be_visible()
    context.close()
