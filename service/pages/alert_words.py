"""The words of alerts, watch-lists and channels, in Indonesian."""

from __future__ import annotations

from typing import Final

LEVELS: Final = {"obor": "Obor", "api": "Api"}
"""The stage that an alert is about."""
STATES: Final = {"raised": "Disampaikan", "held": "Ditahan"}
HELD_BECAUSE: Final = {
    "cut_off": "belum cukup mendesak",
    "budget": "jatah 24 jam sudah terpakai",
    "follow_up": "sudah pernah disampaikan; sisa jatah untuk yang baru",
}
HANDLED: Final = {"belum": "Belum ditangani", "sudah": "Sudah ditangani"}
DONE: Final = {
    "tangani": "Peringatan ditandai sudah ditangani.",
    "batal-tangani": "Peringatan terbuka lagi.",
    "ulang": "Pesan masuk antrean kirim lagi.",
    "buat": "Pantauan dibuat; berlaku mulai sekarang.",
    "ubah": "Pantauan disimpan; berlaku mulai sekarang.",
    "tutup": "Pantauan ditutup; peringatannya tetap tersimpan.",
    "buka": "Pantauan dibuka lagi.",
    "saluran-ubah": "Saluran disimpan.",
    "saluran-henti": "Saluran dihentikan; yang menunggu tetap tersimpan.",
    "saluran-jalan": "Saluran berjalan lagi.",
    "uji": "Pesan uji dikirim; hasilnya tampak di bawah sebentar lagi.",
}
LANGUAGES: Final = {
    "id": "Indonesia",
    "jv": "Jawa",
    "su": "Sunda",
    "ms": "Melayu",
    "min": "Minangkabau",
    "bug": "Bugis",
    "en": "Inggris",
}
WATCH_LIST_FAULTS: Final = {
    "name": "Beri nama 1 sampai 80 huruf.",
    "budget": "Jatah sehari 1 sampai 1000 peringatan.",
    "risk": "Risiko minimal 0 sampai 100 persen.",
    "many": "Paling banyak 100 kata atau frasa, masing-masing 100 huruf.",
    "unread": "Ada kata yang tidak bisa dicari: tautan, nomor, dan nama akun tidak dibaca. Untuk tagar, "
    "awali dengan #.",
    "unknown": "Ada bahasa atau label yang tidak dikenal.",
    "channel": "Salah satu salurannya sudah tidak ada.",
}
CHANNEL_KINDS: Final = {
    "webhook": "Webhook",
    "email": "Surel",
    "telegram": "Telegram",
    "slack": "Slack atau Mattermost",
}
DIGESTS: Final = {
    "": "Langsung",
    "hourly": "Diringkas tiap jam",
    "daily": "Diringkas tiap pagi (07.00 WIB)",
}
DELIVERY_KINDS: Final = {"alert": "Peringatan", "digest": "Ringkasan", "test": "Pesan uji"}
DELIVERY_STATES: Final = {
    "waiting": "Menunggu",
    "sending": "Sedang dikirim",
    "bundled": "Ikut ringkasan",
    "sent": "Terkirim",
    "dead": "Gagal tuntas",
}
DELIVERY_ERRORS: Final = {
    "status": "penerima menolak",
    "too-many": "penerima minta jeda",
    "redirect": "penerima mengalihkan ke alamat lain; tulis alamat akhirnya",
    "gone": "penerima tidak mau menerima lagi; saluran dihentikan",
    "timeout": "penerima tidak menjawab pada waktunya",
    "refused": "tidak ada yang menerima di alamat itu",
    "unreachable": "alamatnya tidak terjangkau",
    "certificate": "sertifikat TLS penerima tidak sah",
    "tls": "sambungan TLS gagal",
    "garbage": "jawaban penerima tidak terbaca",
    "broken": "sambungan terputus",
    "target-url": "alamat tujuan keliru",
    "target-name": "nama host tidak ditemukan",
    "target-https": "tujuan harus https://",
    "target-private": "tujuan ada di jaringan dalam",
    "telegram-token": "token bot Telegram ditolak",
    "telegram-chat": "bot tidak bisa menulis di obrolan itu",
    "mail-login": "server surel menolak nama atau kata sandi",
    "mail-address": "server surel menolak alamat penerima",
    "mail-sender": "server surel menolak alamat pengirim",
    "mail-tls": "server surel tidak punya STARTTLS atau cara masuk yang dikenal",
    "not-set-up": "pengaturan untuk jenis saluran ini tidak ada",
    "unforeseen": "ada yang keliru di Lilin; lihat log",
}
"""Why a delivery has not arrived."""
DELIVERY_NOTE: Final = "Lilin, pesan {key}"
"""Where a channel knows no idempotency, people tell a repeated message by this."""
OPEN_IN_LILIN: Final = "Buka di Lilin"
SOURCE: Final = "sumber"
DIGEST_TITLE: Final = "Ringkasan: {count} peringatan"
TEST_TITLE: Final = "Pesan uji dari Lilin"
TEST_SUMMARY: Final = "Saluran “{channel}” berfungsi. Diminta pada {at} WIB."
TEST_HEADING: Final = "Tidak ada yang perlu dilakukan"
TEST_LINE: Final = (
    "Peringatan yang sebenarnya memuat alasan, unggahan, sumber, dan tautan ke Lilin."
)
