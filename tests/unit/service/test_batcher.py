"""The line before the scorer: in order, bounded, people before bulk, nothing lost at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from models.fake import FakeScorer
from service.batcher import Batcher
from service.errors import Busy, Stopping


class Watched(FakeScorer):
    """Keeps what it was given, round by round; waits for ``gate`` where one is set."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        super().__init__()
        self.rounds: list[list[str]] = []
        self.gate = gate
        self.started = threading.Event()

    def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
        self.started.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        self.rounds.append(list(texts))
        return super().score_and_embed(texts)


def test_many_callers_each_get_their_own_results() -> None:
    batcher = Batcher(FakeScorer(), workers=3)
    requests = {i: [f"post {i} {j}" for j in range(i % 9)] for i in range(120)}
    futures = {i: batcher.submit(texts, bulk=i % 3 == 0) for i, texts in requests.items()}
    for i, texts in requests.items():
        assert [s for s, _ in futures[i].result(10)] == FakeScorer().score(texts)
    batcher.close()
    assert batcher.waiting == 0


def test_a_long_request_is_scored_by_all_threads_and_answered_in_order() -> None:
    class Together(FakeScorer):
        """Lets no round end before another has begun."""

        meeting = threading.Barrier(2)

        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            self.meeting.wait(10)
            return super().score_and_embed(texts)

    batcher = Batcher(Together(), workers=2)
    texts = [f"kabar {i} " * 200 for i in range(24)]  # an even number of rounds
    assert [s for s, _ in batcher.score_and_embed(texts)] == FakeScorer().score(texts)
    batcher.close()


def test_a_request_that_fails_in_two_rounds_fails_once() -> None:
    class Failing(FakeScorer):
        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            raise MemoryError("no room")

    batcher = Batcher(Failing(), workers=2)
    with pytest.raises(MemoryError):
        batcher.score_and_embed(["x" * 2000] * 40)
    assert batcher.waiting == 0
    batcher.close()


def test_a_person_goes_before_the_rest_of_a_feed() -> None:
    gate = threading.Event()
    scorer = Watched(gate)
    batcher = Batcher(scorer)
    feed = batcher.submit(["x" * 900 + str(i) for i in range(40)], bulk=True)
    assert scorer.started.wait(10)
    person = batcher.submit(["sebarkan"])
    gate.set()
    person.result(10)
    feed.result(10)
    assert scorer.rounds[1] == ["sebarkan"]
    assert len(scorer.rounds) > 3
    batcher.close()


def test_a_full_line_says_busy_and_recovers() -> None:
    gate = threading.Event()
    batcher = Batcher(Watched(gate), waiting_chars=500)
    first = batcher.submit(["a" * 5000])  # larger than the line, but nothing waits
    with pytest.raises(Busy) as busy:
        batcher.submit(["b"])
    assert (busy.value.retry_after or 0) >= 1
    gate.set()
    first.result(10)
    while batcher.waiting:
        pass
    assert batcher.score_and_embed(["c"])
    batcher.close()


def test_a_scorer_that_fails_fails_its_callers_and_no_one_else() -> None:
    class Failing(FakeScorer):
        def score_and_embed(self, texts: Sequence[str]) -> list[Any]:
            if "bad" in texts:
                raise MemoryError("no room")
            return super().score_and_embed(texts)

    batcher = Batcher(Failing())
    with pytest.raises(MemoryError):
        batcher.score_and_embed(["bad"])
    assert batcher.score_and_embed(["good"])
    assert batcher.waiting == 0
    batcher.close()


def test_closing_finishes_what_was_taken_and_takes_nothing_more() -> None:
    gate = threading.Event()
    batcher = Batcher(Watched(gate))
    taken = [batcher.submit([f"post {i}"]) for i in range(50)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    gate.set()
    closing.join(10)
    assert all(f.done() and f.result() for f in taken)
    with pytest.raises(Stopping):
        batcher.submit(["late"])
