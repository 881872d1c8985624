"""What is to be scored and where it goes, checked before any work is done."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.chunks import CHUNK_ROWS
from pipeline.errors import FeedCutShort, OutputError, printable_path
from pipeline.feeds import Feed, open_feed
from pipeline.memory import GENERATION_TEXTS
from pipeline.post import Post
from pipeline.workplace import read_state
from pipeline.writers import default_output, output_format

_HEAD_BYTES: Final = 1024 * 1024
_MOST_COLUMNS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """What to score and how; ``input`` None is stdin, ``to_stdout`` overrides ``output``."""

    input: Path | None
    output: Path | None = None
    to_stdout: bool = False
    text_column: str | None = None
    format: str | None = None
    rejects: Path | None = None
    resume: bool = False
    overwrite: bool = False
    safe_cells: bool = True
    quiet: bool = False
    chunk_rows: int = CHUNK_ROWS
    memory_texts: int = GENERATION_TEXTS


def choose_output(request: ScoreRequest, feed: Feed) -> Path | None:
    """Return the output's path, None for stdout; raises OutputError if it cannot be one."""
    if request.to_stdout or (request.input is None and request.output is None):
        return None
    if request.rejects is not None:
        raise OutputError(
            "--rejects is for output on stdout; beside a file, they go to OUTPUT.rejects.csv"
        )
    output = request.output
    if output is None:
        assert request.input is not None  # else it would be stdout
        output = default_output(request.input, feed.format)
    name = printable_path(output)
    if output.is_dir():
        raise OutputError(f"{name}: this is a folder; name a file in it with -o")
    if not output.parent.is_dir():
        raise OutputError(f"{name}: its folder does not exist; create it or choose another with -o")
    output_format(output, feed.format)
    if request.input is not None and output.exists() and output.samefile(request.input):
        raise OutputError(f"{name}: this is the feed itself; choose another file with -o")
    return output


def is_finished(request: ScoreRequest, output: Path) -> bool:
    """Return whether there is nothing to do; raises OutputError if work would be lost."""
    unfinished = read_state(output)
    name = printable_path(output)
    if request.overwrite:
        return False
    if request.resume:
        return unfinished is None and output.exists()
    if unfinished is not None and unfinished[1].records:
        raise OutputError(
            f"{name}: an unfinished run is there ({unfinished[1].records} rows done); go on with "
            "--resume, or start anew with --overwrite"
        )
    if output.exists():
        raise OutputError(f"{name}: it exists already; replace it with --overwrite, or use -o")
    return False


def find_columns(request: ScoreRequest, feed: Feed, output: Path | None) -> tuple[str, ...] | None:
    """Return the feed's columns; JSON that goes into a table is read once more to find them."""
    if feed.columns is not None or output_format(output, feed.format) == "jsonl":
        return feed.columns
    if request.input is None:
        raise OutputError(
            "JSON from stdin can only be written as .jsonl: its columns are not known beforehand"
        )
    names: dict[str, None] = {}
    with open_feed(request.input, text_column=request.text_column, format=request.format) as again:
        try:
            for row in again:
                if isinstance(row, Post):
                    names.update(dict.fromkeys(row.columns))
                if len(names) > _MOST_COLUMNS:
                    raise OutputError(
                        f"{feed.name}: line {row.line}: over {_MOST_COLUMNS} different fields; "
                        "write the output as .jsonl"
                    )
        except FeedCutShort:
            pass  # scoring meets the same end and reports it
    return tuple(names)


def fingerprint(path: Path | None) -> object:
    """Return what tells a feed's content from another's: size, date, digest of the first MB."""
    if path is None:
        return None
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, head]
