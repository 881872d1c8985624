"""The words that people read on the pages: one catalogue, in Indonesian."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from service.errors import DeskError

WIB: Final = timezone(timedelta(hours=7), "WIB")
"""Western Indonesian time: what the pages show; the database keeps UTC."""

LABELS: Final = {
    "hoax": "Hoaks",
    "disinformation": "Disinformasi",
    "malinformation": "Malinformasi",
    "valid": "Tidak ditandai",
}
LABEL_MEANINGS: Final = {
    "hoax": "mirip kabar yang direkayasa seluruhnya: peristiwa, kutipan, lowongan, atau akun yang "
    "tidak pernah ada",
    "disinformation": "mirip fakta yang dipelintir untuk menyesatkan: konteks, gambar, atau angka "
    "yang keliru",
    "malinformation": "mirip ujaran yang menyerang kelompok atau mengajak mencelakai",
    "valid": "tidak mirip ketiganya; bukan berarti isinya sudah pasti benar",
}
VERDICTS: Final = {
    "hoax": "Hoaks",
    "disinformation": "Disinformasi",
    "malinformation": "Malinformasi",
    "valid": "Valid",
    "needs_more": "Perlu bahan lagi",
}
TECHNIQUES: Final = {
    "fabricated": "Konten palsu",
    "impostor": "Konten tiruan",
    "misleading": "Konten menyesatkan",
    "manipulated": "Konten dimanipulasi",
    "false_context": "Konteks salah",
    "false_connection": "Koneksi salah",
}
TONES: Final = {"positive": "positif", "neutral": "netral", "negative": "negatif"}
STATES: Final = {
    "new": "Baru",
    "claimed": "Dikerjakan",
    "decided": "Diputuskan",
    "reopened": "Dibuka lagi",
}
ROLES: Final = {
    "reader": "Pembaca",
    "submitter": "Pengirim",
    "moderator": "Moderator",
    "analyst": "Analis",
    "admin": "Admin",
}
RIGHTS: Final = {
    "read": "melihat",
    "submit": "mengirim",
    "moderate": "memutuskan",
    "see_private": "melihat data pribadi",
    "reopen": "membuka lagi",
    "administer": "mengelola",
}
ERRORS: Final = {
    "database": "Basis data sedang terkunci atau tidak terjangkau. Coba lagi sebentar lagi.",
    "busy": "Antrean penilaian penuh. Coba lagi beberapa detik lagi.",
    "too-often": "Terlalu sering. Tunggu sebentar, lalu coba lagi.",
    "cross-site": "Permintaan ini datang dari situs lain. Buka halaman Lilin sendiri, lalu coba lagi.",
    "stopping": "Layanan sedang dimatikan. Coba lagi sebentar lagi.",
    "not-signed-in": "Nama atau kata sandi tidak cocok.",
    "not-allowed": "Akun Anda tidak berhak melakukan ini.",
    "not-found": "Yang Anda cari tidak ada.",
    "taken": "Kiriman ini sedang dikerjakan orang lain atau sudah diputuskan.",
    "not-yours": "Ambil dulu kiriman ini; jatah waktu Anda mungkin sudah habis.",
    "nothing-to-undo": "Tidak ada putusan Anda yang bisa dibatalkan.",
    "invalid": "Isian belum lengkap atau tidak terbaca. Periksa lagi.",
}


def said(error: DeskError) -> str:
    """Return what a page says of an error."""
    return ERRORS.get(error.code, "Ada yang keliru. Coba lagi.")


def clock(moment: datetime | None) -> str:
    """Return a moment as people write it, in WIB."""
    return "–" if moment is None else moment.astimezone(WIB).strftime("%d-%m-%Y %H.%M")


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago (or in how long) a moment is, in one unit."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    size = abs(seconds)
    if size < 60:
        return "baru saja" if seconds >= 0 else "sebentar lagi"
    for unit, name in ((86_400, "hari"), (3600, "jam"), (60, "menit")):
        if size >= unit:
            count = int(size // unit)
            return f"{count} {name} lalu" if seconds >= 0 else f"{count} {name} lagi"
    raise AssertionError


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"


def number(value: int) -> str:
    """Return a count with dots between thousands, as Indonesian writes it."""
    return f"{value:,}".replace(",", ".")
