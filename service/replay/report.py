"""What ``lilin replay`` says of its feeds."""

from __future__ import annotations

from collections import Counter

from pipeline.replay.planting import GROWS
from service.pages.words import STAGES, WIB, clock, number
from service.replay.experiment import Trial
from service.replay.run import Played
from service.replay.tables import at_budgets, beside_rivals, plantings, title


def plain(played: Played, *, budget: int, without_date: int) -> str:
    """Return what the desk said of feeds that nothing was planted in (Indonesian, masked)."""
    seen = played.seen
    days = max(1, (seen[-1].at.date() - seen[0].at.date()).days + 1)
    lines = [
        "# Putar ulang",
        "",
        f"{number(len(seen))} kiriman, {clock(seen[0].at)} sampai {clock(seen[-1].at)} WIB, "
        f"diputar dalam {played.seconds:.0f} detik. Tanpa tanggal atau teks, tidak diputar: "
        f"{number(without_date)}.",
        "",
        f"Peringatan: {len(played.told)} dalam {days} hari; anggaran {budget} sehari.",
        "",
    ]
    if played.told:
        lines += ["| waktu (WIB) | tahap | kiriman saat itu | narasi |", "|---|---|---|---|"]
        lines += [
            f"| {clock(t.at)} | {STAGES[t.kind]} | {t.posts} | {title(t.title)} |"
            for t in played.told
        ]
        lines += ["", "| hari | peringatan |", "|---|---|"]
        by_day = Counter(t.at.astimezone(WIB).date() for t in played.told)
        lines += [f"| {day.isoformat()} | {count} |" for day, count in sorted(by_day.items())]
        lines += [""]
    lines += ["## Narasi yang pernah diamati", ""]
    stages: dict[int, list[str]] = {}
    for change in played.entered:
        said = f"{STAGES[change.stage]} {clock(change.at)}"
        stages.setdefault(change.narrative, []).append(said)
    watched = [e for e in played.ended.values() if e.narrative in stages]
    lines += ["| narasi | kiriman | akun | risiko | tahap |", "|---|---|---|---|---|"]
    lines += [
        f"| {title(e.title)} | {e.posts} | {e.accounts} | {e.risk:.2f} | "
        f"{' → '.join(stages[e.narrative][:8])} |"
        for e in sorted(watched, key=lambda e: (-e.posts, e.narrative))[:30]
    ]
    return "\n".join([*lines, ""])


def planted(trial: Trial, *, budget: int) -> str:
    """Return how early the warnings of one planted replay came, beside the rivals."""
    cases = trial.ours[budget].cases
    lines = [
        "# Planted replay",
        "",
        f"{trial.posts:,} posts, {trial.planted:,} of them planted ({trial.plantings} false texts); "
        f"played in {trial.seconds:.0f} s. Measured: {len(cases)} plantings that grow to {GROWS} "
        "posts.",
        "",
        *at_budgets([trial], sorted(trial.ours)),
        "",
        *beside_rivals([trial], sorted(trial.ours), vain_at=budget),
        "",
        f"B-cubed of the planted posts: {trial.together.f1:.3f}.",
        "",
        *plantings(trial.growers),
    ]
    return "\n".join([*lines, ""])
