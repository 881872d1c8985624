"""The whole benchmark: scoring, a plain service beside it, the queue, the process, narratives."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from service.bench.clients import CLIENTS, Client, Load, bodies, crowd, in_process, steady
from service.bench.narratives import Narrated, measure_narratives
from service.bench.queue import Queue, measure_queue
from service.bench.servers import RIVAL, desk, postgresql, started
from service.database import Database
from service.migrations import migrate


@dataclass(slots=True)
class Measured:
    """What was measured; None: left out."""

    texts: int
    latency: Load | None = None
    alone: float = 0.0
    single: Load | None = None
    listed: Load | None = None
    beyond: Load | None = None
    rival: Load | None = None
    rival_said: str = ""
    ready: list[float] = field(default_factory=list)
    memory_ready: int = 0
    memory_highest: int = 0
    queues: list[Queue] = field(default_factory=list)
    narrated: Narrated | None = None


def run(
    *,
    posts: int,
    open_items: int,
    seconds: float,
    repeats: int,
    parts: str,
    say: Callable[[str], None],
) -> Measured:
    """Measure the parts named by letters: a, b, c (scoring), d (queue), e (process), f (narratives)."""
    from models.bench import unique_posts

    texts = list(unique_posts(1500))
    found = Measured(texts=len(texts))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lilin-bench-")))
        if set(parts) & set("abce"):
            _measure_scoring(found, folder, texts, seconds=seconds, parts=parts, say=say)
        if "d" in parts:
            for kind, url in (
                ("SQLite", f"sqlite:///{folder}/queue.db"),
                ("PostgreSQL", stack.enter_context(postgresql())),
            ):
                found.queues.append(
                    measure_queue(
                        kind, url, posts=posts, open_items=open_items, repeats=repeats, say=say
                    )
                )
        if "f" in parts:
            url = f"sqlite:///{folder}/narratives.db"
            found.narrated = measure_narratives(url, most=posts, say=say)
    return found


def _measure_scoring(
    found: Measured,
    folder: Path,
    texts: Sequence[str],
    *,
    seconds: float,
    parts: str,
    say: Callable[[str], None],
) -> None:
    url = f"sqlite:///{folder}/desk.db"
    database = Database(url)
    migrate(database)
    database.close()
    path = "/v1/score"
    if "e" in parts:
        for _ in range(3):
            with desk(url) as (server, _key, _browser):
                found.ready.append(server.ready_s)
                found.memory_ready = max(found.memory_ready, server.memory()[0])
        say(f"ready in {', '.join(f'{s:.2f}' for s in found.ready)} s, {found.memory_ready} MB")
    with desk(url) as (server, key, _browser):
        steady(server.port, path, key, bodies(texts[:40], 1), rate=20, seconds=2)  # warm
        if "a" in parts:
            found.latency = steady(
                server.port, path, key, bodies(texts, 1), rate=10, seconds=seconds
            )
            say(f"10 a second: p50 {found.latency.quantile(0.5):.0f} ms")
    if "b" in parts:
        found.alone = in_process(texts, seconds)
        say(f"the scorer alone: {found.alone:.0f} posts a second")
    with desk(url) as (server, key, _browser):
        if set(parts) & set("bc"):
            found.single = crowd(server.port, path, key, texts, size=1, seconds=seconds)
            say(f"{CLIENTS} clients, a post each: {found.single.rate:.0f} posts a second")
        if "b" in parts:
            found.listed = crowd(server.port, path, key, texts, size=16, seconds=seconds)
            say(f"{CLIENTS} clients, 16 posts each: {found.listed.rate:.0f} posts a second")
            found.beyond = crowd(server.port, path, key, texts, size=250, seconds=seconds)
            say(f"beyond the limit: {dict(found.beyond.kinds)}")
        found.memory_highest = server.memory()[1]
    if "c" in parts:
        with started(["-c", RIVAL, "PORT"], {"TOKENIZERS_PARALLELISM": "false"}, "/what") as rival:
            found.rival_said = json.loads(Client(rival.port).ask("GET", "/what", {})[1])
            headers = {"Content-Type": "application/json"}
            found.rival = crowd(rival.port, path, headers, texts, size=1, seconds=seconds)
        say(f"the plain service: {found.rival.rate:.0f} posts a second")
