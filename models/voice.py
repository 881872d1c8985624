"""Taking the fact-checker's and the editor's voice out of a labelled text.

A model that learns ``[SALAH]``, "Faktanya" or a dateline learns who wrote the row, not whether
the post is false. What remains after stripping is the post; what is nothing but the
fact-checker's narration is dropped.
"""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(
    r"\[?\b(?:salah|hoaks|hoax|disinformasi|misinformasi|penipuan|klarifikasi|belum terbukti"
    r"|parodi|fakta|cek fakta|isu)\]?\s*[:\]]\s*|\[(?:salah|hoaks|hoax|penipuan|arsip)\]",
    re.IGNORECASE,
)
_OPENING: Final = re.compile(
    r"^(?:(?:benarkah|viral|heboh|beredar|muncul|akun [\w. ]{0,40}? mengunggah|sebuah)\s+)?"
    r"(?:(?:video|foto(?:-foto)?|gambar|potret|tangkapan layar|unggahan|narasi|tautan|link|artikel"
    r"|poster|infografis|surat(?= berlogo)|pesan berantai|rekaman suara|suara|dokumentasi|thumbnail)\b"
    r"[\s:,-]*(?:(?:yang\s+)?(?:memperlihatkan|menampilkan|menunjukkan|berisi|berisikan|berjudul"
    r"|bernarasi|dengan narasi|disertai narasi|klaim|tentang|soal|terkait|berita|artikel)\b\s*)*)+",
    re.IGNORECASE,
)
_NARRATION: Final = re.compile(
    r"^(?:\W*(?:telah |kembali |viral |sebuah |ditemukan |terdapat |muncul |ada )*"
    r"(?:beredar(?:nya)?|akun (?:facebook|twitter|x|instagram|tiktok|youtube|whatsapp|media sosial|fb"
    r"|pengguna|dengan|bernama|@|“|\")|sebuah (?:akun|unggahan|video|foto|gambar|postingan|pesan"
    r"|artikel|narasi|informasi|kanal)|kanal youtube|(?:unggahan|postingan|cuitan|video|foto) "
    r"(?:yang |di |pada |dari |tersebut |berupa |ini )|pengguna (?:facebook|twitter|tiktok|media)"
    r"|pada (?:tanggal|\w+ \()|media sosial |warganet |masyarakat dihebohkan|debunk ini|melalui akun"
    r"|akhir-akhir ini|baru-baru ini|belakangan ini))",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile('[“"]([^”"]{25,})[”"]', re.DOTALL)
_CLAIMED: Final = re.compile(
    r"(?:narasi|takarir|keterangan|caption|klaim|tulisan|berbunyi|berikut|bertuliskan|berjudul)"
    r"(?: sebagai)?(?: berikut)?\s*[:;,]\s*[“\"]?(.{25,})",
    re.IGNORECASE | re.DOTALL,
)
_CAPTION_NOTE: Final = re.compile(
    r"(?:unggahan|postingan|video|foto|konten|gambar)?\s*(?:tersebut|ini|itu)?\s*(?:juga\s+)?"
    r"(?:disertai|diberi|dengan|menambahkan|pengunggah (?:menambahkan|menyematkan|menulis(?:kan)?))"
    r"\s+(?:takarir|narasi|keterangan|caption|lokasi)\b\s*(?:berikut|sebagai berikut)?\s*:?",
    re.IGNORECASE,
)
_TAIL: Final = re.compile(
    r"(?:\bfaktanya\b|\bpenjelasan\b\s*:?|\bhasil (?:cek fakta|penelusuran)\b|\bcek fakta\b"
    r"|\b(?:setelah|berdasarkan|dari) (?:hasil |dilakukan |pengamatan )*(?:tim |dilakukan )?"
    r"(?:penelusuran|pemeriksa|pengecekan|pencarian)|\bkesimpulan\b\s*:?|\brujukan\b\s*:?"
    r"|\breferensi\b\s*:?|\bsumber\s*:|\(?\barsip(?:\s*(?:di sini|cadangan|\d))?\)?\s*[:)]"
    r"|\bturn ?back ?hoax\b|\bmafindo\b|\bhingga (?:\w+ ){1,5}(?:unggahan|konten|video|postingan)"
    r"|\bper \w+ \(\d|\bhoa(?:x|ks) (?:lama|berulang)\b|={3,}|selengkapnya (?:di|lihat)).*",
    re.IGNORECASE | re.DOTALL,
)
_CLOSING: Final = re.compile(
    r"[\s,.–-]*(?:adalah (?:hoa(?:ks|x)|tidak benar|keliru)|hoa(?:ks|x)|itu hoa(?:ks|x)|tidak benar)"
    r"\W*$",
    re.IGNORECASE,
)
_DATELINE: Final = re.compile(
    r"^\W*(?:[A-Z][\w .,/-]{2,40}?[,(]\s*)?(?:KOMPAS\.com|TEMPO\.CO|CNN ?Indonesia|detik(?:com|News)?"
    r"|Liputan6\.com|Republika|Antara|JawaPos)[\w .]*\)?\s*(?:,\s*[A-Z]\w+)?\s*[-–—:]*\s*",
)
_OUTLET: Final = re.compile(
    r"\s*[|–—-]?\s*\b(?:tempo\.co|kompas\.com|kompas(?:tv|iana)?|detik\w*|cnn ?indonesia(?:\.com)?|cnbc"
    r"|liputan6(?:\.com)?|republika|antara(?:news)|tribun\w*|wartakota)\b",
    re.IGNORECASE,
)
LEAKS: Final = re.compile(
    r"\[salah\]|\bfaktanya\b|\bcek fakta\b|\bmafindo\b|\bturn ?back ?hoax\b|\bpenjelasan\s*:"
    r"|\bhasil penelusuran\b|\btim pemeriksa fakta\b|\bkompas\.com\b|\btempo\.co\b|\bcnn ?indonesia\b"
    r"|\bliputan6\b|\barchive\.(?:org|is|ph|md)\b|\(arsip\)",
    re.IGNORECASE,
)
"""What must not survive in any training text of a false post (tested, and in the corpus report)."""

MAX_POST_CHARS: Final = 1000
"""Longer rows of the fact-checkers' sets still hold the debunk itself."""


def strip_false(text: str) -> str | None:
    """Return the post inside a fact-checker's row, or None if only narration is there."""
    text = _TAIL.sub("", _MARKS.sub("", text))
    text = _CAPTION_NOTE.sub(" ", text)
    if _NARRATION.match(text):
        quoted = _QUOTED.findall(text)
        if quoted:
            text = " ".join(dict.fromkeys(quoted))
        else:
            claimed = _CLAIMED.search(text)
            if claimed is None:
                return None
            text = claimed[1]
    text = _CLOSING.sub("", _OPENING.sub("", text.strip(" \t\n“”\"'")))
    text = _OUTLET.sub("", text).strip(" \t\n“”\"'")
    if len(text) > MAX_POST_CHARS or LEAKS.search(text):
        return None
    return text


def strip_news(text: str) -> str:
    """Return a headline or lead without its dateline and the outlet's name."""
    return _OUTLET.sub("", _DATELINE.sub("", text)).strip()


def lead(text: str, *, max_chars: int = 280) -> str:
    """Return the first sentences of an article, up to ``max_chars`` characters."""
    text = strip_news(text)
    if len(text) <= max_chars:
        return text
    cut = text[:max_chars]
    end = max(cut.rfind(". "), cut.rfind("? "), cut.rfind("! "))
    return cut[: end + 1] if end > 60 else cut.rsplit(" ", 1)[0]
