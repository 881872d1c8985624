"""What can go wrong with a feed, each with a message for the person who sent it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from pipeline.errors import PipelineError, TextColumnMissing, printable_path
from service.errors import DeskError

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk, a quota or a file that can hold no more."""


class FeedRefused(DeskError):
    """The feed cannot be read; the message says why and what to do."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "feed"

    def __init__(self, message: str, *, code: str = "feed", columns: Sequence[str] = ()) -> None:
        """``columns`` are those of a feed in which no text column was found."""
        super().__init__(message)
        self.code = code
        self.columns = tuple(columns)


class FeedTooLarge(DeskError):
    """The file is larger than the desk takes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "feed-too-large"


class FeedBomb(DeskError):
    """The file unpacks to more than the desk reads."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "feed-bomb"


class UploadCutOff(DeskError):
    """The upload ended before its end, or is no upload at all."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "upload"


class DiskFull(DeskError):
    """The disk of the feeds' folder is full."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
    code = "disk-full"

    def __init__(self) -> None:
        super().__init__(
            "the disk on which feeds are kept is full; nothing was kept of this one: ask the "
            "desk's administrator to make room, then send it again"
        )


class FeedGone(DeskError):
    """The uploaded file is not kept any more."""

    status = HTTPStatus.GONE
    code = "feed-gone"


def refused(error: PipelineError, *, path: object, name: str) -> FeedRefused:
    """Return the pipeline's error in the words of the desk: the sender's name, the API's fields."""
    said = str(error).replace(printable_path(str(path)), printable_path(name))
    said = said.replace("--text-column", "the field text_column")
    said = said.replace("name the format with --format", "name it with the field format")
    columns = error.columns if isinstance(error, TextColumnMissing) else ()
    return FeedRefused(said, code=error.code, columns=columns)
