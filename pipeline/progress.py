"""The progress bar on a terminal: share, rate and time left."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from pipeline import messages
from pipeline.summary import decimal, number

_SLOW_RATE = 10  # posts a second under which a decimal is worth showing


class ProgressBar:
    """Shows how far a run is, if ``stream`` is a terminal; else, and when quiet, shows nothing."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float], quiet: bool = False) -> None:
        """``clock`` gives seconds that only go forward."""
        self._bar: Any = None
        self._task: Any = None
        self._clock = clock
        self._began: float | None = None
        if not quiet and stream.isatty():
            self._bar = _rich_bar(stream)

    def update(self, *, done: int, total: int | None, rows: int) -> None:
        """Show that ``done`` of ``total`` (bytes or rows) is read and ``rows`` scored just now."""
        if self._bar is None:
            return
        if self._task is None:
            # What an earlier run did must not count as speed: the bar starts where this one does.
            self._began = self._clock()
            self._task = self._bar.add_task(messages.PROGRESS, total=total, told="")
            self._bar.start()
            self._bar.update(self._task, completed=done)
            return
        seconds = self._clock() - (self._began or 0.0)
        rate = rows / seconds if seconds > 0 else 0.0
        shown = decimal(rate, 1) if rate < _SLOW_RATE else number(round(rate))
        told = messages.RATE.format(rows=number(rows), rate=shown)
        self._bar.update(self._task, completed=done, total=total, told=told)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._bar.stop()


def _rich_bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TextColumn(messages.REMAINING),
        TimeRemainingColumn(),
        console=Console(file=stream),
        # The rate is that of minutes: a chunk takes seconds, and feeds have slow stretches.
        speed_estimate_period=300,
        transient=True,
    )
