"""Clients of the benchmark: steady ones and greedy ones, and what they saw."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Final

from service.bench.servers import ROOT

CLIENTS: Final = 32
PATIENCE_S: Final = 60.0
"""After so long without an answer, a request counts as timed out."""


@dataclass(slots=True)
class Load:
    """What clients saw: seconds per good answer, how many of each kind of answer, posts done."""

    seconds: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    posts: int = 0
    took_s: float = 0.0

    @property
    def rate(self) -> float:
        """Posts a second."""
        return self.posts / self.took_s if self.took_s else 0.0

    def quantile(self, share: float) -> float:
        """Return the milliseconds within which this share of the good answers came."""
        if not self.seconds:
            return float("nan")
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection: HTTPConnection | None = None

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[str, bytes]:
        """Return the kind of the answer (its status, ``timeout`` or ``broken``) and its body."""
        try:
            if self._connection is None:
                self._connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return str(answer.status), answer.read()
        except TimeoutError:
            kind = "timeout"
        except (OSError, HTTPException):
            kind = "broken"
        self._connection = None
        return kind, b""


def bodies(texts: Sequence[str], size: int) -> list[bytes]:
    """Return requests of ``size`` texts each."""
    return [json.dumps({"texts": texts[i : i + size]}).encode() for i in range(0, len(texts), size)]


def steady(
    port: int,
    path: str,
    headers: dict[str, str],
    sent: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
) -> Load:
    """Send ``rate`` requests a second, whether or not the last was answered."""
    load = Load()
    lock = threading.Lock()
    clients = threading.local()
    begin = time.perf_counter() + 0.1

    def one(number: int) -> None:
        if not hasattr(clients, "mine"):
            clients.mine = Client(port)
        due = begin + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        kind, _ = clients.mine.ask("POST", path, headers, sent[number % len(sent)])
        with lock:
            load.kinds[kind] += 1
            if kind == "200":
                load.seconds.append(time.perf_counter() - due)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(round(rate * seconds))))
    return load


_CROWD: Final = """
import sys, json
from service.bench.clients import crowd_in_this_process
json.dump(crowd_in_this_process(*json.load(sys.stdin)), sys.stdout)
"""


def crowd(
    port: int,
    path: str,
    headers: dict[str, str],
    texts: Sequence[str],
    *,
    size: int,
    seconds: float,
) -> Load:
    """Let ``CLIENTS`` clients, in a process of their own, ask as fast as they are answered."""
    task = json.dumps([port, path, headers, list(texts), size, seconds])
    done = subprocess.run(
        [sys.executable, "-c", _CROWD],
        input=task.encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    times, kinds, posts, took = json.loads(done.stdout)
    return Load(times, Counter(kinds), posts, took)


def crowd_in_this_process(
    port: int, path: str, headers: dict[str, str], texts: list[str], size: int, seconds: float
) -> tuple[list[float], dict[str, int], int, float]:
    """Return the seconds per good answer, the kinds of answers, posts scored, seconds in all."""
    load = Load()
    lock = threading.Lock()
    sent = bodies(texts, size)
    begin = time.perf_counter()
    end = begin + seconds

    def work(number: int) -> None:
        client = Client(port)
        dice = random.Random(number)
        while (start := time.perf_counter()) < end:
            kind, _ = client.ask("POST", path, headers, dice.choice(sent))
            now = time.perf_counter()
            with lock:
                load.kinds[kind] += 1
                if kind == "200":
                    load.seconds.append(now - start)
                    load.posts += size
            if kind == "429":
                time.sleep(0.2)  # a client that obeyed Retry-After would wait longer

    threads = [threading.Thread(target=work, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return load.seconds, dict(load.kinds), load.posts, time.perf_counter() - begin


_IN_PROCESS: Final = """
import json, sys, time
from models.scorer import Scorer
texts, seconds = json.load(sys.stdin)
scorer = Scorer.load()
scorer.score(texts[:32])
start, done = time.perf_counter(), 0
while time.perf_counter() - start < seconds:
    scorer.score(texts)
    done += len(texts)
print(done / (time.perf_counter() - start))
"""


def in_process(texts: Sequence[str], seconds: float) -> float:
    """Return posts a second of the scorer alone, in a process of its own, on all cores."""
    done = subprocess.run(
        [sys.executable, "-c", _IN_PROCESS],
        input=json.dumps([list(texts), seconds]).encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return float(done.stdout)
