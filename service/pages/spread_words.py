"""The words for how narratives spread: why a stage, what signs, what is to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.pages import words

JOINED: Final = {
    "first": "Pembuka narasi",
    "copy": "Salinan",
    "near": "Hampir sama",
    "meaning": "Semakna",
    "hand": "Oleh tangan",
}
"""How a post was found to belong to its narrative."""


_REASONS: Final = {
    "not_risky": "risikonya rendah ({risk})",
    "silent": "sudah {hours} tanpa kiriman baru; dianggap padam setelah {silence_hours}",
    "revived": "hidup lagi setelah padam, dengan {posts_last_day} kiriman dalam sehari",
    "few_risky_posts": "baru {posts} kiriman, berisiko {risk}",
    "few_accounts": "{posts} kiriman dari {accounts} akun saja",
    "caught": "{posts} kiriman dalam {hours} terakhir",
    "forecast_catches": "peluangnya {chance} untuk mencapai {posts} kiriman: antara {low} dan {high} "
    "lagi dalam {hours}",
    "forecast_large": "peluangnya {chance} untuk mencapai {posts} kiriman: antara {low} dan {high} "
    "lagi dalam {hours}",
    "fast_growth": "berlipat dua tiap {doubling_hours}",
    "fast_pace": "{posts} kiriman dalam sejam terakhir",
    "surprising_volume": "jauh di atas kebiasaan: dalam {hours} biasanya {expected} kiriman",
    "many_accounts": "datang dari {accounts} akun",
    "cooling": "mulai mereda, {hours} tanpa kiriman baru",
}
"""Why a narrative stands in its stage: see ``pipeline.spread.stages``."""
_SIGNS: Final = {
    "same_text_same_minutes": "{accounts} akun mengirim teks yang sama dalam {minutes} "
    "({posts} kiriman)",
    "few_accounts_many_posts": "{posts} kiriman datang dari {accounts} akun; satu akun mengirim "
    "{most} kali",
    "even_gaps": "{posts} kiriman datang dengan jarak yang rata, tiap {minutes}, seperti dijadwalkan",
}
"""See ``pipeline.spread.signs``."""


def reason(code: str, numbers: Mapping[str, float]) -> str:
    """Return in words why a narrative stands in its stage; "" for what has no words."""
    return _REASONS.get(code, "").format_map(_Said(numbers))


def sign(code: str, numbers: Mapping[str, float]) -> str:
    """Return a sign of coordination in words: what was seen, and nothing about people."""
    return _SIGNS.get(code, "").format_map(_Said(numbers))


class _Said(dict[str, str]):
    """Numbers by name, each in the unit that its name says; one that is missing is a dash."""

    def __init__(self, numbers: Mapping[str, float]) -> None:
        super().__init__({name: _in_unit(name, value) for name, value in numbers.items()})

    def __missing__(self, key: str) -> str:
        return "–"


def _in_unit(name: str, value: float) -> str:
    if name in ("risk", "chance"):
        return words.percent(value)
    if name.endswith("hours"):
        return words.lasting(value * 3600)
    if name == "minutes":
        return words.lasting(value * 60)
    if name == "expected" and value < 10:
        return f"{value:.1f}".replace(".", ",")
    return words.number(round(value))


def why(reasons: Sequence[tuple[str, Mapping[str, float]]], *, most: int = 9) -> str:
    """Return the weightiest reasons of a stage as one sentence; "" where nothing has words."""
    said = [part for part in (reason(code, numbers) for code, numbers in reasons) if part]
    if not said:
        return ""
    whole = "; ".join(said[:most])
    return f"{whole[0].upper()}{whole[1:]}."


def doubling(hours: float | None) -> str | None:
    """Return how long a narrative takes to double; None: it does not grow."""
    return None if hours is None else f"berlipat dua tiap {words.lasting(hours * 3600)}"


def forecast(hours: float, low: float, mid: float, high: float) -> str:
    """Return how many posts are still to come, with the interval."""
    said = [words.number(round(value)) for value in (low, mid, high)]
    return (
        f"dalam {words.lasting(hours * 3600)} ke depan diperkirakan {said[1]} kiriman lagi "
        f"(antara {said[0]} dan {said[2]}, delapan dari sepuluh kali)"
    )


def forecast_short(hours: float, low: float, mid: float, high: float) -> str:
    """Return ``forecast`` for a list."""
    said = [words.number(round(value)) for value in (low, mid, high)]
    within = words.lasting(hours * 3600)
    if said[2] == "0":
        return f"{within} ke depan: tidak diperkirakan ada kiriman baru"
    return f"{within} ke depan: kira-kira {said[1]} kiriman ({said[0]}–{said[2]})"


def joined(by: str | None, likeness: float | None) -> str | None:
    """Return how a post was found to belong to its narrative."""
    if by is None:
        return None
    said = JOINED.get(by, by)
    alike = by in ("near", "meaning", "copy") and likeness is not None
    return f"{said} ({words.percent(likeness or 0)})" if alike else said


def bin_size(seconds: int) -> str:
    """Return the width of a chart's column: an hour, or so many of a unit."""
    for unit, name in ((86_400, "hari"), (3600, "jam")):
        if seconds % unit == 0:
            return name if seconds == unit else f"{seconds // unit} {name}"
    return f"{seconds // 60} menit"


def narrative_decided(verdict: str, decided: int, second: int, left: int, more: int) -> str:
    """Return what a verdict on a whole narrative did."""
    parts = [
        f"Narasi diputus: {words.VERDICTS[verdict]}.",
        f"{words.number(decided)} kiriman diputuskan.",
    ]
    if second:
        parts.append(f"{words.number(second)} menunggu putusan orang kedua.")
    if left:
        parts.append(f"{words.number(left)} dilewati: sedang dikerjakan orang lain.")
    if more:
        parts.append(f"{words.number(more)} lagi belum tersentuh; putuskan sekali lagi untuk itu.")
    return " ".join(parts)


def narrative_event(kind: str, details: Mapping[str, Any]) -> str:
    """Return a line of a narrative's history; of a stage, what follows its name."""
    if kind == "stage":
        return f"pada {words.number(int(details.get('posts', 0)))} kiriman"
    if kind == "verdict":
        said = words.VERDICTS.get(str(details.get("verdict")), "–")
        return f"Diputus {said} untuk {words.number(len(details.get('reviews', ())))} kiriman"
    many = words.number(len(details.get("posts", ())))
    if kind == "split":
        return f"{many} kiriman dipisahkan menjadi narasi {details.get('new')}"
    if kind == "merge":
        return f"Narasi {details.get('source')} digabungkan ke sini ({many} kiriman)"
    if kind == "recluster":
        shared = ", ".join(map(str, details.get("words", ())))
        also = f"; kata yang sama: {shared}" if shared else ""
        alike = words.percent(float(details.get("likeness", 0)))
        return f"Narasi {details.get('source')} digabungkan ke sini (kemiripan {alike}{also})"
    return kind
