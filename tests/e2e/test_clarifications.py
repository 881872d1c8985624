"""Clarifications as a person meets them: a real server, the shipped model, a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served
from tests.e2e.test_desk import assert_accessible, shoot

CLAIM = "Jembatan Kali Khayal dijual ke pengembang dan warga harus bayar tol lima puluh ribu"
POST = "SEBARKAN!! jembatan kali khayal udah dijual ke pengembang, warga bayar tol lima puluh ribu"


def test_what_is_added_on_the_page_is_offered_at_a_post_that_makes_the_claim(
    signed_in: Page, desk: Served
) -> None:
    page = signed_in
    page.goto("/klarifikasi")
    page.get_by_text("Tambah klarifikasi", exact=True).click()
    page.get_by_label("Judul", exact=True).fill("Jembatan Kali Khayal tetap milik kota")
    page.get_by_label("Tautan", exact=True).fill("https://s.example/jembatan-khayal")
    page.get_by_label("Klaim yang diklarifikasi").fill(CLAIM)
    page.get_by_label("Penerbit", exact=True).fill("Humas Contoh")
    page.get_by_label("Tanggal terbit").fill("2026-03-02")
    assert_accessible(page)
    page.get_by_role("button", name="Simpan").click()
    expect(page.get_by_role("status").filter(has_text="ditambahkan")).to_be_visible()
    page.goto("/kirim")
    page.locator("textarea[name=teks]").fill(POST)
    page.locator("button[value=simpan]").click()
    page.get_by_role("link", name="Buka halaman kiriman").click()
    known = page.get_by_role("region", name="Klarifikasi yang mungkin terkait")
    expect(known).to_contain_text("Humas Contoh, 02-03-2026")
    expect(known).to_contain_text("“jembatan”")
    expect(known.get_by_role("link")).to_have_attribute("href", "https://s.example/jembatan-khayal")
    assert_accessible(page)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_list_fits_and_is_accessible(signed_in: Page, desk: Served, width: int) -> None:
    page = signed_in
    desk.lilin("clarification", "add", "pipeline/sample/clarifications.csv")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/klarifikasi?cari=gempa")
    expect(page.get_by_role("heading", name="gempa", exact=False)).to_be_visible()
    expect(page.locator("ul.list > li")).to_have_count(1)
    assert_accessible(page)
    page.goto("/klarifikasi")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_accessible(page)
    shoot(page, "klarifikasi" if width == 1280 else "klarifikasi-ponsel")
