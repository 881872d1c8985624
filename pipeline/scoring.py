"""The batch job: a feed goes in, the same feed with scores comes out."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TextIO

from pipeline import messages
from pipeline.chunks import PostScorer, read_chunks, score_chunk
from pipeline.errors import (
    FeedCutShort,
    FeedError,
    Interrupted,
    NothingScored,
    OutputError,
    PipelineError,
    printable_path,
)
from pipeline.feeds import Feed, open_feed
from pipeline.memory import ScoreMemory
from pipeline.post import Post, Reject
from pipeline.progress import ProgressBar
from pipeline.request import ScoreRequest, choose_output, find_columns, fingerprint, is_finished
from pipeline.stream import StreamPlace
from pipeline.summary import Summary, tell
from pipeline.workplace import State, Workplace, part_folder, rejects_path
from pipeline.writers import Encoder, RejectsEncoder, make_encoder

_JOB_VERSION: Final = 1
"""Raised whenever the same feed would give other bytes: a run is resumed by its own version."""


class Place(Protocol):
    """Where finished chunks go: a workplace on the disk, or a stream."""

    state: State

    def append(
        self,
        *,
        data: bytes,
        rejects: bytes,
        memory: bytes,
        records: int,
        next_generation: bool,
        summary: dict[str, object],
    ) -> None:
        """Put away a finished chunk."""

    def finish(self, assemble: Callable[[Path, Path], None] | None, *, keep_data: bool) -> None:
        """Make what was put away the result."""

    def close(self) -> None:
        """Let go of files and locks."""


def score_feed(
    request: ScoreRequest,
    load_scorer: Callable[[], PostScorer],
    *,
    stderr: TextIO,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Summary:
    """Score a feed as asked and tell the summary on ``stderr``.

    The model is loaded only once feed and output are known to be usable. Raises PipelineError
    with a sentence for the user; whatever was finished is kept on the disk.
    """
    if request.input is None and request.resume:
        raise PipelineError("stdin cannot be resumed; save the feed to a file and score that")
    with open_feed(
        request.input, text_column=request.text_column, format=request.format, stdin=stdin
    ) as feed:
        output = choose_output(request, feed)
        if output is None and request.resume:
            raise PipelineError("stdout cannot be resumed; name an output file with -o")
        encoder = make_encoder(
            output, feed, find_columns(request, feed, output), safe=request.safe_cells
        )
        if output is not None and is_finished(request, output):
            _say(stderr, request, messages.ALREADY_FINISHED.format(path=printable_path(output)))
            return Summary()
        place: Place | None = None
        try:
            job = _Job(request, feed, encoder, load_scorer(), output, stderr, clock)
            place = job.open_place(stdout)
            return job.run(place)
        except KeyboardInterrupt as error:
            raise Interrupted(_interrupted(request, output)) from error
        finally:
            if place is not None:
                place.close()


class _Job:
    """One run over one feed."""

    def __init__(
        self,
        request: ScoreRequest,
        feed: Feed,
        encoder: Encoder,
        scorer: PostScorer,
        output: Path | None,
        stderr: TextIO,
        clock: Callable[[], float],
    ) -> None:
        self._request = request
        self._feed = feed
        self._encoder = encoder
        self._scorer = scorer
        self._output = output
        self._stderr = stderr
        self._clock = clock
        self._memory = ScoreMemory(capacity=request.memory_texts)
        self._rejects = RejectsEncoder()
        self._summary = Summary()

    def open_place(self, stdout: BinaryIO | None) -> Place:
        """Return where chunks go, with state and memory of the run that is resumed, if any."""
        if self._output is None:
            if stdout is None:
                raise OutputError("there is no stdout to write to; name an output file with -o")
            return StreamPlace(stdout, self._request.rejects)
        place = Workplace(self._output, self._identity())
        try:
            if self._request.resume:
                place.resume()
            else:
                place.start()
            self._memory.restore(place.state.generation, *place.saved_memory())
        except BaseException:
            place.close()
            raise
        self._summary = Summary.from_state(place.state.summary)
        return place

    def run(self, place: Place) -> Summary:
        """Score what is left of the feed, finish the output and tell the summary."""
        began, before = self._clock(), self._summary.rows
        if not place.state.complete:
            self._score_rest(place)
        self._summary.skipped = self._feed.skipped
        self._finish(place)
        told = tell(
            self._summary,
            fresh_rows=self._summary.rows - before,
            seconds=self._clock() - began,
            output=None if self._output is None else printable_path(self._output),
            rejects=self._rejects_name(),
        )
        _say(self._stderr, self._request, *told)
        return self._summary

    def _score_rest(self, place: Place) -> None:
        rows = iter(self._feed)
        skipped = sum(1 for _ in islice(rows, place.state.records))
        if skipped < place.state.records:
            raise FeedError(f"{self._feed.name}: it is shorter than when the run began")
        with ProgressBar(self._stderr, clock=self._clock, quiet=self._request.quiet) as bar:
            self._show(bar, 0)
            began = self._summary.rows
            try:
                for chunk in read_chunks(rows, chunk_rows=self._request.chunk_rows):
                    self._score(chunk, place, bar, began)
            except FeedCutShort as error:
                raise FeedCutShort(f"{error}{self._kept()}") from error

    def _score(
        self, chunk: list[Post | Reject], place: Place, bar: ProgressBar, began: int
    ) -> None:
        posts = [row for row in chunk if isinstance(row, Post)]
        rejects = [row for row in chunk if isinstance(row, Reject)]
        fresh = self._summary.rows - began
        scored, learnt = score_chunk(
            posts, self._scorer, self._memory, lambda done: self._show(bar, fresh + done)
        )
        self._summary.add(scored, self._scorer.thresholds.budget_5)
        self._summary.rejected += len(rejects)
        data = b"" if place.state.data_bytes else self._encoder.header()
        refused = b""
        if rejects:
            refused = b"" if place.state.reject_bytes else self._rejects.header()
            refused += self._rejects.encode(rejects)
        memory = self._memory.learn(learnt)
        place.append(
            data=data + self._encoder.encode(scored),
            rejects=refused,
            memory=memory,
            records=len(chunk),
            next_generation=self._memory.turn(),
            summary=self._summary.to_state(),
        )

    def _finish(self, place: Place) -> None:
        place.finish(self._encoder.assemble, keep_data=self._summary.rows > 0)
        if self._summary.rows:
            return
        if not self._summary.rejected:
            raise NothingScored(f"{self._feed.name}: there are no posts in it")
        where = self._rejects_name()
        told = f"the reasons are in {where}" if where else "see why with --rejects FILE"
        raise NothingScored(
            f"{self._feed.name}: none of the {self._summary.rejected} rows could be scored; {told}"
        )

    def _show(self, bar: ProgressBar, rows: int) -> None:
        done, total = self._feed.progress()
        bar.update(done=done, total=total, rows=rows)

    def _kept(self) -> str:
        if self._output is None or not self._summary.rows:
            return ""
        where = printable_path(part_folder(self._output))
        return f" (the {self._summary.rows} posts before it are scored, in {where})"

    def _rejects_name(self) -> str | None:
        if self._output is not None:
            return printable_path(rejects_path(self._output))
        return None if self._request.rejects is None else printable_path(self._request.rejects)

    def _identity(self) -> dict[str, object]:
        """Return what must be the same for a run to be resumed, by the name the user knows it."""
        request = self._request
        return {
            "version of Lilin": _JOB_VERSION,
            "feed (its content or date changed)": fingerprint(request.input),
            "model": self._scorer.version,
            "--text-column": request.text_column,
            "--format": self._feed.format,
            "setting of --raw": not request.safe_cells,
            "size of chunks": request.chunk_rows,
            "size of memory": request.memory_texts,
        }


def _interrupted(request: ScoreRequest, output: Path | None) -> str:
    if output is None or request.input is None:
        return "stopped"
    return "stopped; what is finished is kept, go on with the same command and --resume"


def _say(stderr: TextIO, request: ScoreRequest, *lines: str) -> None:
    if not request.quiet:
        stderr.write("\n".join(lines) + "\n")
