from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fake import FakeScorer
from models.scorer import Score
from pipeline import messages
from pipeline.errors import (
    CannotResume,
    FeedCutShort,
    Interrupted,
    NothingScored,
    OutputError,
    PipelineError,
)
from pipeline.request import ScoreRequest
from pipeline.scoring import score_feed
from pipeline.summary import Summary


class Stop(BaseException):
    """Ends a run where a kill would, past every handler."""


class CountingScorer(FakeScorer):
    """Counts what it is asked, and may end the run at some call."""

    def __init__(self, *, stop_at: int = 0, error: type[BaseException] = Stop) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.calls = 0
        self._stop_at = stop_at
        self._error = error

    def score(self, texts: Sequence[str]) -> list[Score]:
        self.calls += 1
        if self.calls == self._stop_at:
            raise self._error
        self.asked += texts
        return super().score(texts)


def feed_of(path: Path, rows: int = 40, *, broken: bool = True) -> Path:
    lines = ["id,text"]
    for number in range(rows):
        lines.append(f"{number},kiriman {number % 17} sebarkan")
        if broken and number % 9 == 0:
            lines.append(f"{number},terlalu,banyak")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(feed: Path, output: Path, scorer: FakeScorer | None = None, **options: Any) -> Summary:
    request = ScoreRequest(input=feed, output=output, **{"chunk_rows": 5, **options})
    return score_feed(request, lambda: scorer or FakeScorer(), stderr=io.StringIO())


def told(feed: Path, output: Path, **options: Any) -> str:
    stderr = io.StringIO()
    score_feed(ScoreRequest(input=feed, output=output, **options), FakeScorer, stderr=stderr)
    return stderr.getvalue()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("memory_texts", [3, 100])
@pytest.mark.parametrize("stop_at", [1, 2, 4])
def test_a_stopped_run_goes_on_to_the_identical_files(
    tmp_path: Path, suffix: str, memory_texts: int, stop_at: int
) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    whole, again = tmp_path / f"whole.{suffix}", tmp_path / f"again.{suffix}"
    first = run(feed, whole, memory_texts=memory_texts)
    for _ in range(2):
        with pytest.raises(Stop):
            run(feed, again, CountingScorer(stop_at=1), resume=True, memory_texts=memory_texts)
    scorer = CountingScorer(stop_at=stop_at)
    if memory_texts == 3:  # with the larger memory there are too few calls for the later stops
        with pytest.raises(Stop):
            run(feed, again, scorer, resume=True, memory_texts=memory_texts)
    resumed = run(feed, again, resume=True, memory_texts=memory_texts)
    assert again.read_bytes() == whole.read_bytes()
    rejects = [path.with_name(path.name + ".rejects.csv").read_bytes() for path in (whole, again)]
    assert rejects[0] == rejects[1]
    assert resumed == first
    assert not list(tmp_path.glob("*.part"))


@settings(max_examples=25)
@given(
    texts=st.lists(st.sampled_from(["a", "b usir", "c", "", '"', "d chip"]), max_size=30),
    memory_texts=st.integers(1, 8),
    chunk_rows=st.integers(1, 7),
    stop_at=st.integers(1, 6),
)
def test_wherever_it_is_stopped_a_resumed_run_asks_the_model_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    memory_texts: int,
    chunk_rows: int,
    stop_at: int,
) -> None:
    folder = tmp_path_factory.mktemp("run")
    feed = folder / "feed.csv"
    feed.write_text("text,n\nawal,0\n" + "".join(f"{text},1\n" for text in texts))
    options: dict[str, Any] = {"memory_texts": memory_texts, "chunk_rows": chunk_rows}
    whole = CountingScorer()
    run(feed, folder / "whole.csv", whole, **options)
    stopped, resumed = CountingScorer(stop_at=stop_at), CountingScorer()
    try:
        run(feed, folder / "again.csv", stopped, **options)
    except Stop:
        run(feed, folder / "again.csv", resumed, resume=True, **options)
    assert stopped.asked + resumed.asked == whole.asked
    assert (folder / "again.csv").read_bytes() == (folder / "whole.csv").read_bytes()


def test_the_memory_changes_no_byte_and_saves_the_model_work(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    without, with_memory = CountingScorer(), CountingScorer()
    run(feed, tmp_path / "a.csv", without, memory_texts=0)
    run(feed, tmp_path / "b.csv", with_memory)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (len(with_memory.asked), len(without.asked)) == (17, 40)


@pytest.mark.parametrize(
    ("change", "name"),
    [({"text_column": "id"}, "--text-column"), ({"safe_cells": False}, "--raw")],
)
def test_a_run_with_other_options_is_not_gone_on_with(
    tmp_path: Path, change: dict[str, Any], name: str
) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    with pytest.raises(Stop):
        run(feed, tmp_path / "o.csv", CountingScorer(stop_at=2))
    with pytest.raises(CannotResume, match=name):
        run(feed, tmp_path / "o.csv", resume=True, **change)


def test_a_run_over_a_changed_feed_is_not_gone_on_with(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    with pytest.raises(Stop):
        run(feed, tmp_path / "o.csv", CountingScorer(stop_at=2))
    feed_of(feed, rows=41)
    with pytest.raises(CannotResume, match="feed"):
        run(feed, tmp_path / "o.csv", resume=True)


def test_a_run_of_another_model_is_not_gone_on_with(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    with pytest.raises(Stop):
        run(feed, tmp_path / "o.csv", CountingScorer(stop_at=2))
    other = FakeScorer()
    other.version = "fake-2"
    with pytest.raises(CannotResume, match="model"):
        run(feed, tmp_path / "o.csv", other, resume=True)


def test_an_unfinished_run_is_not_thrown_away_unasked(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    with pytest.raises(Stop):
        run(feed, tmp_path / "o.csv", CountingScorer(stop_at=3))
    with pytest.raises(OutputError, match=r"unfinished run .*--resume.*--overwrite"):
        run(feed, tmp_path / "o.csv")
    assert run(feed, tmp_path / "o.csv", overwrite=True).rows == 40


def test_a_finished_output_is_replaced_only_when_asked(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    run(feed, tmp_path / "o.csv")
    with pytest.raises(OutputError, match="--overwrite"):
        run(feed, tmp_path / "o.csv")
    feed_of(feed, broken=False)
    run(feed, tmp_path / "o.csv", overwrite=True)
    assert not (tmp_path / "o.csv.rejects.csv").exists()


def test_resuming_what_is_finished_does_nothing(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    run(feed, tmp_path / "o.csv")
    assert "Sudah selesai" in told(feed, tmp_path / "o.csv", resume=True)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    scorer = CountingScorer(stop_at=2, error=KeyboardInterrupt)
    with pytest.raises(Interrupted, match="--resume"):
        run(feed, tmp_path / "o.csv", scorer)


def test_the_rows_before_a_cut_are_scored_and_kept(tmp_path: Path) -> None:
    import gzip

    feed = tmp_path / "feed.csv.gz"
    body = "".join(f"{n},kiriman {n * 7919}\n" for n in range(3000))
    feed.write_bytes(gzip.compress(f"id,text\n{body}".encode())[:-12])
    with pytest.raises(FeedCutShort, match=r"after line \d+.*posts before it are scored, in"):
        run(feed, tmp_path / "o.csv", chunk_rows=2000)
    assert (tmp_path / "o.csv.part" / "data").read_bytes().count(b"\n") > 2000


def test_a_feed_of_nothing_but_rejects_is_an_error_that_leaves_the_reasons(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("id,text\n1,\n2,\n")
    with pytest.raises(NothingScored, match=r"none of the 2 rows.*o\.csv\.rejects\.csv"):
        run(feed, tmp_path / "o.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["feed.csv", "o.csv.rejects.csv"]


def test_a_feed_with_only_a_header_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text("id,text\n")
    with pytest.raises(NothingScored, match="no posts"):
        run(tmp_path / "feed.csv", tmp_path / "o.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["feed.csv"]


def test_outputs_that_cannot_be_written_are_named_before_the_model_is_loaded(
    tmp_path: Path,
) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    for output, expected in (
        (tmp_path, "folder"),
        (tmp_path / "no" / "o.csv", "does not exist"),
        (feed, "feed itself"),
    ):
        with pytest.raises(OutputError, match=expected):
            score_feed(ScoreRequest(input=feed, output=output), pytest.fail, stderr=io.StringIO())


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")

    class Nosy(FakeScorer):
        def score(self, texts: Sequence[str]) -> list[Score]:
            with pytest.raises(OutputError, match="another run"):
                run(feed, tmp_path / "o.csv", overwrite=True)
            return super().score(texts)

    run(feed, tmp_path / "o.csv", Nosy())
    assert (tmp_path / "o.csv").exists()


def test_stdin_goes_to_stdout(tmp_path: Path) -> None:
    stdout, stderr = io.BytesIO(), io.StringIO()
    request = ScoreRequest(input=None, rejects=tmp_path / "bad.csv")
    stdin = io.BytesIO(b"id,text\n1,halo\n2\n")
    score_feed(request, FakeScorer, stderr=stderr, stdin=stdin, stdout=stdout)
    assert stdout.getvalue().startswith(b"id,text,lilin_risk")
    assert (tmp_path / "bad.csv").read_text().startswith("line,field,reason,row\n3,")


def test_stdin_and_stdout_cannot_be_resumed(tmp_path: Path) -> None:
    feed = feed_of(tmp_path / "feed.csv")
    for request in (
        ScoreRequest(input=None, resume=True),
        ScoreRequest(input=feed, to_stdout=True, resume=True),
    ):
        with pytest.raises(PipelineError, match="cannot be resumed"):
            score_feed(request, FakeScorer, stderr=io.StringIO(), stdout=io.BytesIO())


def test_the_summary_masks_personal_data_and_defuses_the_screen(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("id,text\n1,viralkan 081234567890 [red] \x1b[2J @budi\n2\n")
    summary = told(feed, tmp_path / "o.csv")
    assert "viralkan <TELP> [red] [2J @USER" in summary
    assert "\x1b" not in summary
    assert "Ditolak: 1 baris" in summary


def test_a_viral_text_stands_in_the_summary_once(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("text\n" + "viralkan ini\n" * 30 + "halo\n")
    assert told(feed, tmp_path / "o.csv").count("viralkan ini") == 1


def test_rejected_rows_are_safe_in_a_spreadsheet(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("id,text\n=1+1,a,b\n1,halo\n")
    run(feed, tmp_path / "o.csv")
    rejects = (tmp_path / "o.csv.rejects.csv").read_text(encoding="utf-8").splitlines()
    reason = messages.FIELDS.format(found=3, expected=2)
    assert rejects[1] == f'2,,"{reason}","\'=1+1,a,b"'
