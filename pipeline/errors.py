"""Errors of reading a feed and writing its scores; the message is what the user reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from models.errors import LilinError


class PipelineError(LilinError):
    """A feed cannot be scored as asked; the message says where and what to do."""

    status = 422
    code = "pipeline"
    exit_code: ClassVar[int] = 2


class FeedError(PipelineError):
    """The feed cannot be read: not there, not readable, empty or of no known format."""

    code = "feed"


class TextColumnMissing(FeedError):
    """No column of the feed is known to hold the text of the posts."""

    code = "text-column"

    def __init__(self, message: str, columns: Sequence[str] = ()) -> None:
        """``columns`` are those that the feed has, safe to print."""
        super().__init__(message)
        self.columns = tuple(columns)


class FeedCutShort(FeedError):
    """The feed ends in the middle of a compressed stream or of a record, or is damaged there."""

    code = "feed-cut-short"


class OutputError(PipelineError):
    """The output cannot be written: it exists, is a folder, is not writable, or is busy."""

    code = "output"


class DiskFull(OutputError):
    """The disk (or the quota, or the size limit of a file) that holds the output is full."""

    status = 507
    code = "disk-full"


class CannotResume(PipelineError):
    """The unfinished run belongs to another feed, model or set of options."""

    code = "resume"


class NothingScored(PipelineError):
    """Not one row of the feed could be scored."""

    code = "nothing-scored"


class Interrupted(PipelineError):
    """The user stopped the run; what was finished is kept."""

    code = "interrupted"
    exit_code = 130


def printable_path(path: Path | str) -> str:
    """Return a path that is safe on a terminal: control characters are written as escapes."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(path))
