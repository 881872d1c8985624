"""One scorer for everyone: requests wait in line and are scored together.

A few threads take from the line what fits one round and give it to the scorer, which spreads it
over the cores. Idle, a post is scored at once; under load, posts share rounds, and while the
answers of one round go out the next is scored, which is what makes a full service quick. Posts of
people go before bulk work, and a round is short, so that a person never waits long behind a feed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

from models.scorer import Floats, Score
from service.errors import Busy, Stopping

Result = tuple[Score, Floats]

ROUND_CHARS: Final = 12_000
"""Characters of one round: some 3,000 tokens, enough to put posts of like length together."""
BULK_ROUND_CHARS: Final = 4_000
ROUNDS_AT_ONCE: Final = 2
WAITING_CHARS: Final = 400_000
"""Characters that may wait; beyond, the desk says "busy" rather than let callers time out."""
LONGEST_WAIT_S: Final = 20.0
"""What waits longer than this at the pace of late is refused too: clients time out at 30 s."""
CHARS_PER_POST: Final = 40
"""What a post costs besides its characters."""


class Scores(Protocol):
    """What the batcher needs of a scorer."""

    version: str

    def score_and_embed(self, texts: Sequence[str]) -> Sequence[Result]:
        """Return a score and an embedding per text."""


@dataclass(slots=True, eq=False)
class _Request:
    texts: Sequence[str]
    cost: int
    """Characters that still wait or are being scored."""
    future: Future[list[Result]]
    results: list[Result | None]
    taken: int = 0
    """How many texts were taken off the line."""
    left: int = 0
    """How many have no result yet."""
    failed: bool = False
    """Its caller has gone or was told of an error: what is left of it is not scored."""


_Part = tuple[_Request, int, int]
"""A request, and which of its texts (from, up to)."""


class Batcher:
    """A bounded line before a scorer; safe to call from any thread."""

    def __init__(
        self, scorer: Scores, *, waiting_chars: int = WAITING_CHARS, workers: int = 1
    ) -> None:
        """``workers`` is the number of rounds in the scorer at once; two leave it no pause."""
        self.version = scorer.version
        self._scorer = scorer
        self._limit = waiting_chars
        self._lines: tuple[deque[_Request], deque[_Request]] = (deque(), deque())
        self._waiting = 0
        self._chars_per_second = 5_000.0
        self._open = True
        self._change = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"batcher-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many characters wait or are being scored."""
        return self._waiting

    def submit(self, texts: Sequence[str], *, bulk: bool = False) -> Future[list[Result]]:
        """Put texts in line and return the future of their results, in their order.

        Raises:
            Busy: the line is full.
            Stopping: the service is stopping.
        """
        cost = _cost(texts)
        request = _Request(texts, cost, Future(), [None] * len(texts), left=len(texts))
        if not texts:
            request.future.set_result([])
            return request.future
        with self._change:
            if not self._open:
                raise Stopping("the service is stopping")
            # One request larger than the whole line is taken when nothing else waits.
            wait_s = self._waiting / self._chars_per_second
            if self._waiting and (self._waiting + cost > self._limit or wait_s > LONGEST_WAIT_S):
                raise Busy(max(1, round(wait_s)))
            self._waiting += cost
            self._lines[bulk].append(request)
            self._change.notify()
        return request.future

    def score_and_embed(self, texts: Sequence[str], *, bulk: bool = False) -> list[Result]:
        """Score texts and wait for them; see ``submit``."""
        return self.submit(texts, bulk=bulk).result()

    def close(self) -> None:
        """Take nothing more, finish what was taken, and return."""
        with self._change:
            self._open = False
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    # --- the threads ----------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._change:
                while self._open and not any(self._lines):
                    self._change.wait()
                if not any(self._lines):
                    return
                parts = self._next_round()
                if any(self._lines):
                    self._change.notify()
            if parts:
                self._score(parts)

    def _next_round(self) -> list[_Part]:
        """Take texts off the lines up to a round's size; people first, bulk if nobody waits."""
        line, room = (
            (self._lines[False], ROUND_CHARS)
            if self._lines[False]
            else (self._lines[True], BULK_ROUND_CHARS)
        )
        parts: list[_Part] = []
        while line and room > 0:
            request = line[0]
            if request.failed or request.future.cancelled():  # its caller went away
                self._drop(request)
                line.popleft()
                continue
            start = end = request.taken
            while end < len(request.texts) and (room > 0 or end == start):
                room -= _cost(request.texts[end : end + 1])
                end += 1
            request.taken = end
            parts.append((request, start, end))
            if end == len(request.texts):
                line.popleft()
        return parts

    def _score(self, parts: Sequence[_Part]) -> None:
        texts = [text for request, start, end in parts for text in request.texts[start:end]]
        started = time.perf_counter()
        try:
            results = list(self._scorer.score_and_embed(texts))
        except Exception as error:  # noqa: BLE001 - whatever it was, its callers must hear of it
            self._fail([request for request, _, _ in parts], error)
            return
        chars = _cost(texts)
        pace = chars / max(time.perf_counter() - started, 1e-6)
        finished: list[_Request] = []
        at = 0
        with self._change:
            if chars >= BULK_ROUND_CHARS:  # a short round tells of its fixed cost, not of the pace
                self._chars_per_second = 0.8 * self._chars_per_second + 0.2 * pace
            for request, start, end in parts:
                request.results[start:end] = results[at : at + end - start]
                at += end - start
                request.left -= end - start
                if request.failed:
                    continue
                done = _cost(request.texts[start:end])
                request.cost -= done
                self._waiting -= done
                if not request.left:
                    finished.append(request)
        for request in finished:
            if request.future.set_running_or_notify_cancel():
                request.future.set_result([r for r in request.results if r is not None])

    def _drop(self, request: _Request) -> None:
        if not request.failed:
            request.failed = True
            self._waiting -= request.cost

    def _fail(self, requests: Sequence[_Request], error: Exception) -> None:
        with self._change:
            first = [request for request in requests if not request.failed]
            for request in first:
                self._drop(request)
        for request in first:
            if request.future.set_running_or_notify_cancel():
                request.future.set_exception(error)


def _cost(texts: Sequence[str]) -> int:
    return sum(len(text) + CHARS_PER_POST for text in texts)
