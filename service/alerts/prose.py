"""The sentences of an alert, in Indonesian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.spread import CATCHES, Forecast, Spread, Stage
from service.pages import spread_words, words

NOTE: Final = (
    "Skor membaca gaya dan kemiripan dengan kabar keliru yang sudah dikenal; ia tidak tahu apakah "
    "isinya benar. Tanda penyebaran adalah petunjuk, bukan tuduhan. Periksa sebelum bertindak."
)


def summary(kind: str, spread: Spread) -> str:
    """Return in one sentence what the alert says: what is about to happen, or has happened."""
    count = words.number(spread.posts)
    if kind == Stage.API:
        return f"Narasi ini menyebar cepat (tahap api): {count} kiriman sejauh ini."
    if spread.posts_last_day < CATCHES:
        return (
            f"Narasi ini masih kecil ({count} kiriman), tetapi berpeluang "
            f"{words.percent(spread.forecast.catches)} untuk membesar: saatnya bertindak selagi "
            "mudah."
        )
    return f"Narasi ini mulai membesar (tahap obor): {count} kiriman sejauh ini."


def forecast(found: Forecast) -> str:
    """Return a forecast in words, with its interval and the chance of leaving *lilin*."""
    said = spread_words.forecast(found.hours, found.low, found.mid, found.high)
    chance = f"; peluang meninggalkan tahap lilin {words.percent(found.catches)}"
    left = found.catches >= 0.995  # there is nothing to forecast any more
    return f"{said[0].upper()}{said[1:]}{'' if left else chance}."


def draft(title: str, platforms: Sequence[str], known: str | None, url: str | None) -> str:
    """Return a clarification for a person to fill in: what is known stands there, the rest blank."""
    where = ", ".join(platforms) or "media sosial"
    lines = [
        "DRAF: isi yang di dalam kurung siku, periksa, dan mintakan persetujuan sebelum terbit.",
        "",
        "[PENJELASAN / KLARIFIKASI] [nama lembaga]",
        "",
        f"Beredar kiriman di {where} yang menyebutkan: “{title.rstrip('.')}”.",
        "",
        "Setelah diperiksa, informasi tersebut [keliru / tidak lengkap / benar dengan catatan].",
        "Faktanya: [tuliskan fakta beserta angka, tanggal, dan dasarnya].",
        "Sumber resmi: [tautan dokumen atau pernyataan].",
    ]
    if known:
        lines.append(f"Klarifikasi yang mirip: {known}" + (f" ({url})" if url else ""))
    lines += [
        "",
        "Masyarakat diimbau [hal yang perlu atau tidak perlu dilakukan].",
        "Narahubung: [nama unit dan saluran resmi].",
    ]
    return "\n".join(lines)
