"""How a text is passed on: copied, copied with a mark of one's own, or retold."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

SHARES: Final = {"copy": 0.45, "near": 0.40, "retold": 0.15}
"""Of the posts that pass a text on; in the measured bursts most are copies to the letter."""
_OPENINGS: Final = (
    "Info dari grup sebelah:", "Baca sampai habis.", "Astaghfirullah.", "Waduh.", "Nah kan,",
    "Copas dari tetangga:", "Sudah tahu belum?", "Serius nih?", "Dapat dari grup RT:", "Innalillahi.",
)  # fmt: skip
_CLOSINGS: Final = (
    "Bagaimana menurut kalian?", "Semoga bermanfaat.", "Hati-hati ya.", "Ngeri.", "Tolong dibaca.",
    "Bikin geleng kepala.", "Kok bisa ya.", "Jaga keluarga masing-masing.",
)  # fmt: skip
_EMOJI: Final = ("🙏", "😱", "😡", "‼️", "🔥", "👇", "🤲", "⚠️", "😭", "🇮🇩")
_WORD: Final = re.compile(r"[^\W\d_]+")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
_TWINS: Final = (
    ("tidak", "gak", "nggak", "enggak"), ("sudah", "udah", "telah"), ("akan", "bakal", "mau"),
    ("yang", "yg"), ("dengan", "dgn", "sama"), ("untuk", "buat", "utk"), ("karena", "krn", "sebab"),
    ("saja", "aja"), ("sekarang", "skrg", "kini"), ("bagaimana", "gimana"), ("kenapa", "mengapa"),
    ("orang", "org"), ("banyak", "byk"), ("semua", "seluruh"), ("dapat", "bisa"),
    ("mereka", "mrk"), ("kalian", "kamu semua"), ("saya", "aku"), ("pemerintah", "pemrintah"),
    ("uang", "duit"), ("rakyat", "warga", "masyarakat"), ("besar", "gede"), ("hanya", "cuma"),
    ("memberikan", "memberi", "kasih"), ("mengatakan", "bilang", "menyebut"), ("ini", "nih"),
    ("itu", "tuh"), ("juga", "jg"), ("dari", "dr"), ("lagi", "lg"), ("jangan", "jgn"),
    ("video", "rekaman"), ("foto", "gambar"), ("viral", "heboh"), ("presiden", "pres"),
    ("gratis", "cuma-cuma"), ("segera", "secepatnya"), ("resmi", "sah"), ("daftar", "mendaftar"),
    ("meninggal", "wafat"), ("korban", "penderita"), ("bantuan", "bansos"), ("anak", "bocah"),
    ("polisi", "aparat"), ("menolak", "tidak mau"), ("beredar", "tersebar"), ("warga", "penduduk"),
    ("mengungkap", "membongkar"), ("tewas", "meninggal"), ("rumah", "rmh"), ("negara", "negeri"),
)  # fmt: skip


def _by_word() -> dict[str, tuple[str, ...]]:
    out: dict[str, tuple[str, ...]] = {}
    for group in _TWINS:
        for word in group:
            others = tuple(other for other in group if other != word)
            out[word] = out.get(word, ()) + others
    return out


_TWIN: Final = _by_word()


def retell(text: str, dice: random.Random) -> tuple[str, str]:
    """Return how somebody passes a text on, and which of ``SHARES`` it is."""
    kind = dice.choices(tuple(SHARES), tuple(SHARES.values()))[0]
    if kind == "copy":
        return text, kind
    if kind == "near":
        for change in dice.sample(_NEAR, dice.choice((1, 1, 2))):
            text = change(text, dice)
        return text, kind
    return _retold(text, dice), kind


def _opened(text: str, dice: random.Random) -> str:
    return f"{dice.choice(_OPENINGS)} {text}"


def _closed(text: str, dice: random.Random) -> str:
    return f"{text} {dice.choice(_CLOSINGS)}"


def _marked(text: str, dice: random.Random) -> str:
    return text + " " + "".join(dice.choice(_EMOJI) for _ in range(dice.randint(1, 4)))


def _tagged(text: str, dice: random.Random) -> str:
    words = sorted({word for word in _WORD.findall(text) if len(word) >= 5})
    chosen = dice.sample(words, min(len(words), dice.randint(1, 3)))
    return " ".join([text, *(f"#{word}" for word in chosen)])


def _mistyped(text: str, dice: random.Random) -> str:
    letters = list(text)
    for _ in range(max(1, len(text) // 60)):
        at = dice.randrange(max(1, len(letters) - 1))
        if len(letters) > at + 1 and dice.random() < 0.5:
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        elif len(letters) > 1:
            del letters[at]
    return "".join(letters)


def _cut(text: str, dice: random.Random) -> str:
    words = text.split()
    if len(words) < 8:
        return text
    return " ".join(words[: max(6, round(len(words) * dice.uniform(0.75, 0.95)))])


def _mentioned(text: str, dice: random.Random) -> str:
    return "@USER " * dice.randint(1, 3) + text


def _shouted(text: str, dice: random.Random) -> str:
    return text.upper() if dice.random() < 0.5 else text[:1].upper() + text[1:] + "!!!"


_NEAR: Final[tuple[Callable[[str, random.Random], str], ...]] = (
    _opened, _closed, _marked, _tagged, _mistyped, _cut, _mentioned, _shouted,
)  # fmt: skip


def _retold(text: str, dice: random.Random) -> str:
    """Return the text with other words where the table has some, and its sentences turned."""

    def other(match: re.Match[str]) -> str:
        twins = _TWIN.get(match[0].lower())
        return dice.choice(twins) if twins and dice.random() < 0.8 else match[0]

    sentences = _SENTENCE.split(_WORD.sub(other, text))
    if len(sentences) > 2 and dice.random() < 0.5:
        first = sentences.pop(0)
        sentences.insert(1, first)
    words = " ".join(sentences).split()
    if len(words) >= 12:  # somebody who retells leaves something out
        at = dice.randrange(2, len(words) - 2)
        del words[at : at + max(1, len(words) // 12)]
    told = " ".join(words)
    return _opened(told, dice) if dice.random() < 0.4 else told
