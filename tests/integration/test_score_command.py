"""The command as a process of its own: killed, out of disk, cut off, told the wrong thing."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FEED_ROWS = 60

# A process that scores a feed with the fake scorer. ``at`` says at which step it kills itself: a
# call of the model, or an operation on the file system as Python's audit events tell it.
SCORE = """
import os, resource, signal, sys
from pathlib import Path
from models.errors import LilinError
from models.fake import FakeScorer
from pipeline.request import ScoreRequest
from pipeline.scoring import score_feed

feed, output, kind, at, limit = sys.argv[1:6]
steps = 0
STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")

def step():
    global steps
    steps += 1
    if steps == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

class Scorer(FakeScorer):
    def score(self, texts):
        if kind == "model":
            step()
        return super().score(texts)

request = ScoreRequest(
    input=Path(feed), output=Path(output), resume=True, quiet=True, chunk_rows=8, memory_texts=5
)
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
if kind == "files":
    def hook(event, arguments):
        if event in STEPS and ".part" in str(arguments[0]) + str(arguments[1:2]):
            step()
    sys.addaudithook(hook)
try:
    score_feed(request, Scorer, stderr=sys.stderr)
except LilinError as error:
    sys.exit(f"lilin: {error}")
"""

COMMAND = "from service.cli import main; main()"


def python(script: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=600,
        **options,
    )


def lilin(*arguments: object, **options: Any) -> subprocess.CompletedProcess[Any]:
    return python(COMMAND, *arguments, text=True, **options)


def score(feed: Path, output: Path, kind: str = "none", at: int = 0, limit: int = 0) -> Any:
    return python(SCORE, feed, output, kind, at, limit, text=True)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("feed") / "feed.csv"
    lines = ["id,text"]
    for number in range(FEED_ROWS):
        lines.append(f'{number},"kabar {number % 23}, sebarkan\nsegera"')
        if number % 7 == 0:
            lines.append(f"{number}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def files(output: Path) -> list[bytes]:
    return [output.read_bytes(), output.with_name(output.name + ".rejects.csv").read_bytes()]


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet"])
def test_a_run_killed_again_and_again_ends_in_the_identical_files(
    tmp_path: Path, feed: Path, suffix: str
) -> None:
    whole, killed = tmp_path / f"whole.{suffix}", tmp_path / f"killed.{suffix}"
    assert score(feed, whole).returncode == 0
    kills = 0
    # Each run gets a little further than the last one before it is killed.
    for at in [1, 2, 3, 5, 8]:
        code = score(feed, killed, "model", at).returncode
        kills += code == -signal.SIGKILL
        if code == 0:
            break
    assert kills >= 3
    assert score(feed, killed).returncode == 0
    assert files(killed) == files(whole)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_run_killed_at_any_step_of_finishing_ends_in_the_identical_files(
    tmp_path: Path, feed: Path, suffix: str
) -> None:
    whole, killed = tmp_path / f"whole.{suffix}", tmp_path / f"killed.{suffix}"
    assert score(feed, whole).returncode == 0
    # A few chunks are left, and then the moving of files: kill at every step of both.
    assert score(feed, killed, "model", 6).returncode == -signal.SIGKILL
    for at in range(1, 40):
        if score(feed, killed, "files", at).returncode == 0:
            break
    assert files(killed) == files(whole)
    assert not list(tmp_path.glob("*.part"))


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, feed: Path
) -> None:
    whole, output = tmp_path / "whole.csv", tmp_path / "o.csv"
    score(feed, whole)
    # The limit on a file's size fails in write(2) as a full disk does, half way through a chunk.
    full = score(feed, output, limit=2_500)
    assert full.returncode == 1
    assert full.stderr.startswith(f"lilin: {output}: the disk is full; what is finished is kept")
    assert full.stderr.count("\n") == 1
    assert score(feed, output).returncode == 0
    assert files(output) == files(whole)


def test_user_mistakes_are_one_line_and_exit_code_two(tmp_path: Path, feed: Path) -> None:
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(feed.read_bytes())[:6])
    (tmp_path / "empty.csv").touch()
    mistakes: list[tuple[list[object], str]] = [
        (["no.csv"], "no.csv: there is no such file"),
        (["."], "this is a folder"),
        (["empty.csv"], "empty.csv: the file is empty"),
        (["cut.csv.gz"], "cut.csv.gz: the compressed file is cut short"),
        ([feed, "--text-column", "isi"], "line 1: there is no column 'isi'"),
        ([feed, "--format", "xlsx"], "is no format"),
        ([feed, "-o", "no/o.csv"], "its folder does not exist"),
        ([feed, "-o", "o.xlsx"], "stands for no format"),
        (["-", "--resume"], "stdin cannot be resumed"),
    ]
    for arguments, told in mistakes:
        result = python(
            f"import os; os.chdir({str(tmp_path)!r}); {COMMAND}",
            "score",
            *arguments,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert result.stderr.startswith("lilin: ")
        assert told in result.stderr


def test_a_reader_that_goes_away_is_no_error_to_shout_about(feed: Path) -> None:
    script = """
import sys
from pathlib import Path
from models.fake import FakeScorer
from pipeline.request import ScoreRequest
from pipeline.scoring import score_feed
from service import cli

@cli.app.command()
def pour() -> None:
    request = ScoreRequest(input=Path(sys.argv[2]), to_stdout=True, quiet=True, chunk_rows=1)
    score_feed(request, FakeScorer, stderr=sys.stderr, stdout=sys.stdout.buffer)

cli.main(["pour"])
"""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [sys.executable, "-c", script, "pour", str(feed)],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=600,
        )
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


def test_the_help_imports_nothing_heavy() -> None:
    script = f"""
import sys
try:
    {COMMAND}
except SystemExit:
    heavy = {{"numpy", "pyarrow", "onnxruntime", "rich", "ftfy", "torch", "pipeline.scoring"}}
    print(sorted(heavy.intersection(sys.modules)))
"""
    result = python(script.replace("main()", 'main(["--help"])'), text=True)
    assert result.stdout.splitlines()[-1] == "[]"
