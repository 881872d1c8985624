"""Narratives as a person meets them: posts come in, a narrative grows, it is decided as one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served, fill_sign_in
from tests.e2e.test_desk import assert_accessible, shoot

HOAX = (
    "SEBARKAN! Mulai besok rekening bank dengan saldo di atas lima juta dipotong pajak sepuluh "
    "persen, segera tarik uang kalian sebelum terlambat"
)
ENDS = (
    *("", " Mohon perhatian.", " Kata tetangga.", " Hati-hati ya.", " Serius ini.", " Barusan."),
    *(" Dari grup sebelah.", " Tolong dibaca.", " Sampaikan ke keluarga.", " Jangan diam saja."),
)
TITLE = re.compile("rekening bank dengan saldo", re.IGNORECASE)


def send(page: Page, desk: Served, *texts: str, start: int = 0) -> list[int]:
    """Send posts of as many accounts, the last of them now; return their numbers."""
    now = datetime.now(UTC)
    posts = [
        {
            "text": text,
            "platform": ("x", "facebook", "whatsapp")[i % 3],
            "external_id": f"rekening-{start + i}",
            "account": f"akun-{start + i}",
            "posted_at": (now - timedelta(minutes=7 * (len(texts) - 1 - i))).isoformat(),
            "engagement": {"shares": 40 + i},
        }
        for i, text in enumerate(texts)
    ]
    answer = page.request.post(
        f"{desk.url}/v1/posts", data={"posts": posts}, headers={"Origin": desk.url}
    )
    assert answer.status == 201, answer.text()
    return [post["id"] for post in answer.json()["posts"]]


def narrative_of(page: Page, desk: Served, post: int) -> int:
    """Return a post's narrative, once it has been grouped."""
    for _ in range(600):
        page.goto(f"/kiriman/{post}")
        link = page.locator(".story a[href^='/narasi/']").first
        if link.count():
            found = re.search(r"\d+", link.get_attribute("href") or "")
            assert found
            return int(found[0])
    raise AssertionError(desk.log.read_text()[-2000:])


def test_a_narrative_grows_is_decided_as_one_and_suggests_its_verdict(
    signed_in: Page, desk: Served
) -> None:
    page = signed_in
    page.goto("/narasi")
    news = page.locator("#kabar-narasi")
    expect(news).to_be_hidden()
    posts = send(page, desk, *(HOAX + end for end in ENDS))
    expect(news).to_be_visible(timeout=60_000)
    expect(page.locator(".top [data-live='obor api']")).to_be_visible()
    news.get_by_role("link", name="muat ulang").click()
    link = page.locator(".stories h3 a").filter(has_text=TITLE).first
    expect(link).to_be_visible()
    assert_accessible(page)
    shoot(page, "narasi")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(TITLE)
    expect(page.locator("svg.timeline")).to_be_visible()
    assert_accessible(page)
    shoot(page, "narasi-satu")
    number = int(re.findall(r"/narasi/(\d+)", page.url)[0])

    # From the queue, where it is one row.
    page.goto("/")
    row = page.locator("ol.queue > li").filter(has_text=TITLE)
    expect(row).to_have_count(1)
    row.locator("a.clip").click()
    expect(page.locator("ol.queue > li.here")).to_contain_text(TITLE)
    expect(page.locator("#kiriman .story")).to_contain_text(TITLE)
    expect(page.locator("main[aria-busy]")).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator("#putusan-narasi")).to_be_focused()
    page.locator("#putusan-narasi").select_option("hoax")
    page.get_by_role("button", name=re.compile("kiriman narasi ini")).click()
    expect(
        page.get_by_role("status").filter(has_text="Narasi diputus: Hoaks").first
    ).to_be_visible()
    expect(page.locator("ol.queue > li").filter(has_text=TITLE)).to_have_count(0)

    # One that comes later is not decided by itself; one key applies what was said.
    (late,) = send(page, desk, HOAX + " Kabar terbaru.", start=len(posts))
    assert narrative_of(page, desk, late) == number
    page.goto(f"/?narasi={number}")
    expect(page.get_by_text("Narasi ini sudah diputus:")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("t")
    expect(page.get_by_text("Tidak ada kiriman yang cocok")).to_be_visible()
    page.goto(f"/kiriman/{late}")
    expect(page.get_by_text("Putusan: Hoaks").first).to_be_visible()


@pytest.mark.parametrize("path", ["/narasi", "/narasi/1", "/?narasi=1"])
def test_a_page_of_narratives_fits_a_phone(signed_in: Page, desk: Served, path: str) -> None:
    page = signed_in
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, f"{path} is {width} wide"
    if path == "/narasi":
        shoot(page, "narasi-ponsel")


def test_narratives_work_without_javascript(
    desk: Served, admin: tuple[str, str], page: Page
) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(base_url=desk.url, java_script_enabled=False)
    plain = context.new_page()
    fill_sign_in(plain, *admin)
    plain.goto("/narasi?minimal=1")
    expect(plain.locator("#kabar-narasi")).to_be_hidden()
    plain.locator(".stories h3 a").first.click()
    plain.get_by_role("button", name="Valid", exact=True).click()
    expect(plain.get_by_text("Narasi diputus: Valid")).to_be_visible()
    plain.get_by_role("button", name=re.compile("Batalkan putusan ini")).click()
    expect(plain.get_by_text("Putusan atas narasi dibatalkan")).to_be_visible()
    context.close()
