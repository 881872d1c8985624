"""The words that people read on the pages: one catalogue, in Indonesian."""

from __future__ import annotations

from collections.abc import Sequence
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
STAGES: Final = {
    "quiet": "Tenang",
    "lilin": "Lilin",
    "obor": "Obor",
    "api": "Api",
    "padam": "Padam",
}
STAGE_MEANINGS: Final = {
    "quiet": "tidak berisiko, atau belum ada yang perlu diawasi",
    "lilin": "berisiko, masih kecil dan lambat",
    "obor": "mulai membesar",
    "api": "menyebar cepat",
    "padam": "sudah reda",
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
PLATFORMS: Final = {
    "x": "X (Twitter)",
    "facebook": "Facebook",
    "instagram": "Instagram",
    "tiktok": "TikTok",
    "youtube": "YouTube",
    "threads": "Threads",
    "whatsapp": "WhatsApp",
    "telegram": "Telegram",
    "news": "Situs berita",
    "unknown": "Tidak tahu",
}
_SOURCES: Final = {"api": "API", "page": "halaman Kirim"}
AGES: Final = {
    "6": "6 jam terakhir",
    "24": "24 jam terakhir",
    "72": "3 hari terakhir",
    "168": "7 hari terakhir",
}
"""Hours since a post was first seen."""
QUEUE_DONE: Final = {
    "ambil": "Kiriman ini Anda kerjakan; orang lain tidak bisa memutuskannya.",
    "lepas": "Kiriman dikembalikan ke antrean.",
    "alihkan": "Kiriman dialihkan.",
    "batal": "Putusan dibatalkan; kiriman terbuka lagi.",
    "buka": "Kiriman dibuka lagi untuk diputuskan ulang.",
    "uji": "Kiriman menjadi butir uji: masuk antrean lagi tanpa memperlihatkan jawabannya.",
    "uji-akhir": "Butir uji dilepas; putusannya tetap jawaban yang diketahui.",
    "narasi-batal": "Putusan atas narasi dibatalkan; kirimannya terbuka lagi.",
    "narasi-gabung": "Narasi digabungkan ke narasi ini.",
    "narasi-pisah": "Kiriman yang dipilih menjadi narasi sendiri.",
    "narasi-susunan": "Penggabungan atau pemisahan yang terakhir dibatalkan.",
}
"""What was done, said at the next page."""
KEYS: Final = (
    ("j atau ↓", "kiriman berikutnya"),
    ("k atau ↑", "kiriman sebelumnya"),
    ("Enter", "buka halaman kiriman"),
    ("1", "putuskan: Hoaks"),
    ("2", "putuskan: Disinformasi"),
    ("3", "putuskan: Malinformasi"),
    ("4", "putuskan: Valid"),
    ("5", "putuskan: Perlu bahan lagi"),
    ("t", "terapkan putusan narasi pada kiriman ini"),
    ("n", "pilih putusan untuk seluruh narasi"),
    ("u", "batalkan putusan Anda yang terakhir"),
    ("c", "ambil kiriman"),
    ("r", "lepas kiriman"),
    ("h", "pilih rekan untuk dialihi"),
    ("x", "tandai kiriman untuk diputuskan sekaligus"),
    ("/", "cari"),
    ("?", "daftar ini"),
)
KEY_STATES: Final = {
    "active": "Berlaku",
    "revoked": "Dicabut",
    "ended": "Kedaluwarsa",
    "closed": "Akun ditutup",
}
ACTIONS: Final = {
    "sign-in": "Masuk",
    "sign-in.failed": "Gagal masuk",
    "sign-out": "Keluar",
    "account.create": "Akun dibuat",
    "account.role": "Peran diubah",
    "account.close": "Akun ditutup",
    "account.open": "Akun dibuka lagi",
    "account.password": "Kata sandi diganti",
    "account.password_failed": "Gagal mengganti kata sandi",
    "account.reset": "Kata sandi disetel ulang",
    "key.create": "Kunci dibuat",
    "key.revoke": "Kunci dicabut",
    "queue.claim": "Kiriman diambil",
    "queue.release": "Kiriman dilepas",
    "queue.hand_over": "Kiriman diserahkan",
    "queue.verdict": "Putusan",
    "queue.undo": "Putusan dibatalkan",
    "queue.reopen": "Kiriman dibuka lagi",
    "queue.golden": "Butir uji dipasang",
    "queue.golden_end": "Butir uji dilepas",
    "narrative.verdict": "Narasi diputus",
    "narrative.verdict_undo": "Putusan narasi dibatalkan",
    "narrative.merge": "Narasi digabungkan",
    "narrative.split": "Narasi dipisahkan",
    "narrative.recluster": "Narasi digabungkan oleh penyusunan malam",
    "narrative.undo": "Susunan narasi dikembalikan",
    "clarification.keep": "Klarifikasi disimpan",
    "clarification.remove": "Klarifikasi dihapus",
    "feed.upload": "Unggahan diterima",
    "feed.cancel": "Unggahan dihentikan",
    "feed.done": "Unggahan selesai dinilai",
    "feed.failed": "Unggahan gagal",
    "alert.handle": "Peringatan ditangani",
    "alert.unhandle": "Peringatan dibuka lagi",
    "watch_list.create": "Pantauan dibuat",
    "watch_list.change": "Pantauan diubah",
    "watch_list.close": "Pantauan ditutup",
    "watch_list.open": "Pantauan dibuka lagi",
    "channel.create": "Saluran dibuat",
    "channel.change": "Saluran diubah",
    "channel.start": "Saluran dijalankan",
    "channel.stop": "Saluran dihentikan",
    "channel.secret": "Rahasia saluran diganti",
    "channel.test": "Pesan uji diminta",
    "delivery.resend": "Pesan dikirim ulang",
    "settings.change": "Pengaturan berubah",
    "privacy.purge": "Data lama dihapus",
}
"""What the audit trail tells of."""
ACTORS: Final = {
    "desk": "Lilin",
    "nightly": "penyusunan malam",
    "unknown": "tidak dikenal",
    "command line": "baris perintah",
    "system": "sistem",
    "worker": "pekerja",
    "sender": "pengirim pesan",
}
DETAILS: Final = {
    "account": "akun",
    "budget": "jatah sehari",
    "channels": "saluran",
    "labels": "label",
    "languages": "bahasa",
    "minimum_risk": "risiko minimal",
    "name": "nama",
    "platforms": "platform",
    "regions": "wilayah",
    "terms": "kata",
    "address": "alamat",
    "answer": "jawaban",
    "answers": "jawaban tersimpan",
    "added": "ditambahkan",
    "before": "sebelumnya",
    "changed": "diubah",
    "days": "hari",
    "bytes": "bita",
    "error": "galat",
    "rows": "baris",
    "sha256": "sidik berkas",
    "feeds": "unggahan",
    "items": "butir antrean",
    "new": "narasi baru",
    "other": "narasi lain",
    "source": "dari narasi",
    "what": "yang dibatalkan",
    "posts": "kiriman",
    "received_before": "diterima sebelum",
    "reviews": "putusan",
    "role": "peran",
    "scopes": "hak",
    "state": "keadaan",
    "to": "kepada",
    "url": "alamat web",
    "verdict": "putusan",
    "why": "alasan",
}
"""Names of the details of a line of the audit trail."""
ERRORS: Final = {
    "audit": "Rantai jejak audit terputus: ada baris yang berubah atau hilang. Simpan salinannya "
    "dan laporkan kepada pengelola sistem.",
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
    "wrong-password": "Kata sandi sekarang tidak cocok.",
    "bad-password": "Kata sandi baru belum memenuhi syarat: 12 sampai 200 karakter, tidak berulang-ulang, "
    "tidak memuat nama akun, dan bukan yang lama.",
    "bad-name": "Nama akun terdiri atas 2 sampai 80 huruf, angka, titik, atau tanda hubung, dan diawali "
    "huruf atau angka.",
    "name-taken": "Nama akun ini sudah dipakai.",
    "bad-scopes": "Pilih paling sedikit satu hak, dan tidak melebihi peran akunnya.",
    "last-admin": "Ini admin aktif yang terakhir. Jadikan orang lain admin lebih dulu.",
    "narratives": "Narasi atau kiriman ini tidak bisa digabungkan atau dipisahkan: pilih narasi lain, atau "
    "sisakan paling sedikit satu kiriman.",
    "nothing-chosen": "Belum ada kiriman yang ditandai.",
    "no-narrative": "Pilih satu narasi, atau tulis nomornya.",
    "feed": "Berkas ini tidak bisa dibaca: kosong, rusak, atau formatnya tidak dikenal.",
    "text-column": "Kolom teks tidak ditemukan. Tulis namanya pada isian “Kolom teks”.",
    "feed-cut-short": "Berkas terpotong atau rusak di tengah. Kiriman sebelum bagian itu sudah "
    "dinilai; ambil lagi berkas aslinya, lalu unggah ulang.",
    "feed-too-large": "Berkas terlalu besar. Mampatkan (.gz, .zst) atau bagi menjadi beberapa berkas.",
    "feed-bomb": "Isi berkas setelah dibuka melampaui batas. Bagi menjadi beberapa berkas.",
    "feed-gone": "Berkas unggahan ini sudah tidak disimpan lagi.",
    "upload": "Unggahan terputus atau tidak ada berkas yang dipilih. Coba unggah lagi.",
    "disk-full": "Ruang penyimpanan penuh; tidak ada yang disimpan. Hubungi admin.",
    "nothing-scored": "Tidak ada satu baris pun yang bisa dinilai.",
    "given-up": "Pekerjaan dihentikan setelah berulang kali gagal tanpa kemajuan. Hubungi admin.",
    "private-search": "Mencari nomor atau nama akun hanya untuk yang berhak melihat data pribadi.",
    "bad-clarification": "Isian klarifikasi belum bisa dipakai. Periksa lagi.",
    "watch-list-taken": "Nama pantauan ini sudah dipakai.",
    "bad-watch-list": "Isian pantauan belum bisa dipakai. Periksa lagi.",
    "bad-channel": "Saluran belum lengkap: periksa nama (harus lain dari yang lain), tujuan, dan jam "
    "tenangnya. Surel dan Telegram perlu pengaturan server lebih dulu.",
    "bad-target": "Tujuan ini tidak boleh dikirimi. Tulis alamat https:// di internet; untuk alamat di "
    "jaringan sendiri, admin menulisnya dulu di pengaturan LILIN_WEBHOOK_HOSTS.",
    "not-dead": "Hanya pesan yang gagal tuntas yang bisa dikirim ulang.",
    "invalid": "Isian belum lengkap atau tidak terbaca. Periksa lagi.",
}


FEED_STATES: Final = {
    "queued": "Menunggu giliran",
    "running": "Sedang dinilai",
    "done": "Selesai",
    "failed": "Gagal",
    "cancelled": "Dibatalkan",
}


CLARIFICATION_FIELDS: Final = {
    "title": "Judul",
    "url": "Tautan",
    "claim": "Klaim",
    "text": "Penjelasan",
    "publisher": "Penerbit",
    "published_at": "Tanggal terbit",
    "rating": "Penilaian",
}
CLARIFICATION_DONE: Final = {
    "added": "Klarifikasi ditambahkan; mulai sekarang ditawarkan di kiriman yang mirip.",
    "changed": "Klarifikasi dengan tautan ini diperbarui.",
    "unchanged": "Klarifikasi ini sudah ada, dan isinya sama.",
    "removed": "Klarifikasi dihapus; tidak ditawarkan lagi.",
}


def said(error: DeskError) -> str:
    """Return what a page says of an error."""
    return ERRORS.get(error.code, "Ada yang keliru. Coba lagi.")


def chance(risk: float) -> str:
    """Return what a calibrated risk means."""
    count = round(100 * risk)
    many = (
        "kurang dari 1" if count < 1 else "hampir semuanya" if count > 99 else f"kira-kira {count}"
    )
    return f"Dari 100 kiriman dengan skor seperti ini, {many} layak ditandai."


def clock(moment: datetime | None) -> str:
    """Return a moment as people write it, in WIB."""
    return "–" if moment is None else moment.astimezone(WIB).strftime("%d-%m-%Y %H.%M")


def in_common(found: Sequence[str]) -> str:
    """Return the words that a post and a clarification share, as a page tells them; "" for none."""
    return "Kata yang sama: " + ", ".join(f"“{word}”" for word in found) if found else ""


def issued(publisher: str, at: datetime | None) -> str:
    """Return who published something and on which day (WIB)."""
    day = f"{at.astimezone(WIB):%d-%m-%Y}" if at else "tanpa tanggal"
    return f"{publisher or 'penerbit tidak disebut'}, {day}"


def source_said(source: str) -> str:
    """Return in words how a post came to the desk: ``feed:1 posts.csv``, ``api`` or ``page``."""
    number, _, name = source.removeprefix("feed:").partition(" ")
    if source.startswith("feed:"):
        return f"unggahan {number} ({name})" if name else f"unggahan {number}"
    return _SOURCES.get(source, source)


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


def lasting(seconds: float) -> str:
    """Return a length of time in one unit, or two where one would be too coarse."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} detik"
    if minutes < 60:
        return f"{minutes} menit"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} jam {rest} menit" if rest else f"{hours} jam"
    days, rest = divmod(round(minutes / 60), 24)
    return f"{days} hari {rest} jam" if rest else f"{days} hari"


def agreeing(kappa: float) -> str:
    """Return Cohen's kappa in words (Landis & Koch, 1977)."""
    for least, name in ((0.8, "sangat kuat"), (0.6, "kuat"), (0.4, "sedang"), (0.2, "lemah")):
        if kappa > least:
            return name
    return "sangat lemah"


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{100 * share:.0f} %"


def number(value: int) -> str:
    """Return a count with dots between thousands, as Indonesian writes it."""
    return f"{value:,}".replace(",", ".")


def size(count: int) -> str:
    """Return a number of bytes in a unit that people read."""
    value, unit = float(count), "B"
    for larger in ("KB", "MB", "GB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return (
        f"{value:.0f} {unit}"
        if value >= 10 or unit == "B"
        else f"{value:.1f} {unit}".replace(".", ",")
    )


def span(seconds: int) -> str:
    """Return a stretch of time in its two largest units."""
    if seconds >= 3600:
        return f"{seconds // 3600} jam {seconds % 3600 // 60} menit"
    if seconds >= 60:
        return f"{seconds // 60} menit {seconds % 60} detik"
    return f"{seconds} detik"
