"""What a run found: counted as it goes, told at the end in plain Indonesian."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from models.labels import LABELS
from pipeline import messages
from pipeline.pii import printable
from pipeline.post import Post

if TYPE_CHECKING:
    from models.scorer import Score

_WORST: Final = 10


@dataclass(slots=True, kw_only=True)
class Summary:
    """Counts of a run and its worst posts, masked; survives a restart as plain JSON."""

    rows: int = 0
    rejected: int = 0
    skipped: int = 0
    flagged: int = 0
    labels: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LABELS, 0))
    worst: list[tuple[float, int, str, str]] = field(default_factory=list)
    """Risk, line, label and masked text of the riskiest posts, each text once, worst first."""

    def add(self, scored: Sequence[tuple[Post, Score]], threshold: float) -> None:
        """Count a finished chunk; ``threshold`` is the risk at the 5 % review budget."""
        for post, score in scored:
            self.rows += 1
            self.flagged += score.risk >= threshold
            self.labels[score.label] += 1
            if len(self.worst) < _WORST or score.risk > self.worst[-1][0]:
                self._enter(post, score)

    def to_state(self) -> dict[str, Any]:
        """Return the summary as JSON-ready values."""
        return {
            "rows": self.rows,
            "rejected": self.rejected,
            "flagged": self.flagged,
            "labels": self.labels,
            "worst": self.worst,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Summary:
        """Return the summary that ``to_state`` described."""
        if not state:
            return cls()
        worst = [(entry[0], entry[1], entry[2], entry[3]) for entry in state["worst"]]
        return cls(
            rows=state["rows"],
            rejected=state["rejected"],
            flagged=state["flagged"],
            labels={**dict.fromkeys(LABELS, 0), **state["labels"]},
            worst=worst,
        )

    def _enter(self, post: Post, score: Score) -> None:
        text = printable(post.text)
        if any(text == known for *_, known in self.worst):
            return
        self.worst.append((score.risk, post.line, score.label, text))
        self.worst = heapq.nsmallest(_WORST, self.worst, key=lambda entry: (-entry[0], entry[1]))


def tell(
    summary: Summary,
    *,
    fresh_rows: int,
    seconds: float,
    output: str | None,
    rejects: str | None,
) -> list[str]:
    """Return the lines of the summary; ``fresh_rows`` were scored in these ``seconds``.

    ``output`` and ``rejects`` are where things were written, None if nowhere.
    """
    rate = number(round(fresh_rows / seconds)) if seconds > 0 else number(fresh_rows)
    resumed = fresh_rows != summary.rows
    first = messages.FINISHED_RESUMED if resumed else messages.FINISHED
    labels = " · ".join(
        f"{messages.LABELS[label]} {number(count)}" for label, count in summary.labels.items()
    )
    share = 100 * summary.flagged / summary.rows if summary.rows else 0.0
    lines = [
        first.format(
            rows=number(summary.rows), fresh=number(fresh_rows), time=duration(seconds), rate=rate
        ),
        messages.FLAGGED.format(flagged=number(summary.flagged), share=decimal(share, 1)),
        messages.BY_LABEL.format(labels=labels),
        messages.WORST,
    ]
    for risk, line, label, text in summary.worst:
        lines.append(
            messages.WORST_LINE.format(
                risk=decimal(risk, 2), label=messages.LABELS[label], line=number(line), text=text
            )
        )
    if summary.skipped:
        lines.append(messages.SKIPPED.format(count=number(summary.skipped)))
    if summary.rejected:
        told = messages.REJECTED_TO if rejects else messages.REJECTED_UNSAVED
        lines.append(told.format(count=number(summary.rejected), path=rejects))
    if output is not None:
        lines.append(messages.OUTPUT.format(path=output))
    return lines


def number(count: int) -> str:
    """Return a whole number the Indonesian way: 13.802."""
    return f"{count:,}".replace(",", ".")


def decimal(value: float, places: int) -> str:
    """Return a number with decimals the Indonesian way: 0,97."""
    return f"{value:.{places}f}".replace(".", ",")


def duration(seconds: float) -> str:
    """Return a time span in words."""
    whole = round(seconds)
    if whole >= 3600:
        return messages.HOURS.format(hours=whole // 3600, minutes=whole % 3600 // 60)
    if whole >= 60:
        return messages.MINUTES.format(minutes=whole // 60, seconds=whole % 60)
    return messages.SECONDS.format(seconds=decimal(seconds, 1))
