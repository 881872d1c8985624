"""Every Indonesian sentence that the batch command shows: the one catalogue."""

from __future__ import annotations

from typing import Final

LABELS: Final = {
    "hoax": "hoaks",
    "disinformation": "disinformasi",
    "malinformation": "malinformasi",
    "valid": "valid",
}

# Progress.
PROGRESS: Final = "Menilai"
RATE: Final = "{rows} kiriman · {rate} kiriman/detik"
REMAINING: Final = "sisa"

# Summary.
FINISHED: Final = "Selesai: {rows} kiriman dinilai dalam {time} ({rate} kiriman/detik)."
FINISHED_RESUMED: Final = (
    "Selesai: {rows} kiriman dinilai; {fresh} di antaranya pada lanjutan ini, dalam {time} "
    "({rate} kiriman/detik)."
)
FLAGGED: Final = (
    "Perlu ditinjau: {flagged} kiriman ({share} %) mencapai ambang anggaran tinjauan 5 %."
)
BY_LABEL: Final = "Label: {labels}."
WORST: Final = (
    "Yang paling berisiko (data pribadi disamarkan; skor bukan putusan benar atau salah):"
)
WORST_LINE: Final = "  {risk}  {label:<14} baris {line}  {text}"
SKIPPED: Final = "Dilewati: {count} pesan tanpa teks atau pesan sistem."
REJECTED_TO: Final = "Ditolak: {count} baris; alasannya ada di {path}."
REJECTED_UNSAVED: Final = "Ditolak: {count} baris; pakai --rejects FILE untuk menyimpan alasannya."
OUTPUT: Final = "Hasil: {path}"
ALREADY_FINISHED: Final = "Sudah selesai sebelumnya, tidak ada yang perlu dilanjutkan: {path}"
HOURS: Final = "{hours} jam {minutes} menit"
MINUTES: Final = "{minutes} menit {seconds} detik"
SECONDS: Final = "{seconds} detik"

# Reasons in the file of rejected rows.
BAD_BYTES: Final = "bukan UTF-8: ada bita yang tidak sah pada baris ini"
BAD_CHARACTERS: Final = "ada karakter yang tidak sah (surrogate) di dalam teks"
ROW_TOO_LONG: Final = "baris lebih panjang dari {limit} MB"
POST_TOO_LONG: Final = "teks lebih panjang dari {limit} MB"
EMPTY_TEXT: Final = "teks kosong"
NO_TEXT: Final = "kolom teks tidak ada pada baris ini"
NOT_TEXT: Final = "isi kolom ini bukan teks"
FIELDS: Final = "ada {found} kolom, seharusnya {expected}"
QUOTES: Final = "tanda kutip tidak sah: kutip di dalam kolom berkutip harus ditulis dua kali"
OPEN_QUOTE: Final = "tanda kutip dibuka pada baris ini dan tidak ditutup dengan benar"
BAD_JSON: Final = "JSON tidak sah: {detail}"
NOT_OBJECT: Final = "bukan objek JSON"
BEFORE_FIRST_MESSAGE: Final = "baris sebelum pesan pertama"
