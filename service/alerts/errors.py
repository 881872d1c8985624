"""What can go wrong with watch-lists and alerts."""

from __future__ import annotations

from service.errors import DeskError


class BadWatchList(DeskError):
    """A watch-list cannot be like this.

    ``reason`` is why: name, budget, risk, many, unread, unknown or channel.
    """

    status = 422
    code = "bad-watch-list"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class WatchListTaken(DeskError):
    """There is a watch-list of this name already."""

    status = 409
    code = "watch-list-taken"
