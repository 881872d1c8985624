"""How fast posts become narratives, measured and staged, and whether that stays so as they pile up.

Scoring apart: the texts are scored before (the distinct ones by the shipped model, what is told
again has its first telling's score; what is told anew is made of the halves of two of them). The
clock runs over intake, grouping and watching, the very code of the service, on SQLite, in one
process.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from models.scorer import Floats, Score, Scorer
from models.text import normalise
from pipeline.digest import jaccard, plain, runs_of
from pipeline.spread import RISKY
from service.alerts.service import AlertRules
from service.database import Database
from service.migrations import migrate
from service.narratives.loop import EarlyWarning
from service.posts.intake import NewPost, post_key, store
from service.queue.service import QueueRules

CHUNK: Final = 500
PER_DAY: Final = 10_000
DISTINCT: Final = 3_000
"""Texts scored by the model; the others are made of them."""
TOLD_AGAIN: Final = 0.3
"""Share of the posts that repeat or retell one of the last day, in bursts: in the timelines of
docs/early-warning.md it is 0.15 (police) to 0.43 (vaccines)."""
WATCHED: Final = 0.05
"""Share of what is told anew that is risky enough to be watched: 1 to 4 % of election and vaccine
chatter, 12 to 17 % of posts on police and minister."""
_WINDOW: Final = 5_000
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS: Final = (
    "kemarin besok pagi malam warga kota desa pasar jalan sekolah kantor rumah harga beras "
    "minyak guru petani sopir bus kereta hujan banjir listrik air gas pajak kartu uang bank"
).split()


@dataclass(slots=True)
class Pace:
    """Posts a second around so many stored ones, and where the time went (seconds)."""

    stored: int
    rate: float
    intake_s: float
    grouping_s: float


@dataclass(slots=True)
class Narrated:
    """What was measured."""

    paces: list[Pace] = field(default_factory=list)
    rival: float = 0.0
    """Posts a second of the plain way: the Jaccard with each of the last 2,000 posts."""


def measure_narratives(url: str, *, most: int, say: Callable[[str], None]) -> Narrated:
    """Store and group up to ``most`` posts in a fresh database; ``most`` is 10,000 or more."""
    scorer = Scorer.load()
    base = list(_distinct(DISTINCT))
    scored = scorer.score_and_embed(base)
    found = Narrated(rival=_rival(base))
    say(f"comparing with each of 2,000: {found.rival:.0f} posts a second")
    database = Database(url)
    migrate(database)
    clock = [_START]
    desk = EarlyWarning(database, scorer.space, AlertRules(), clock=lambda: clock[0])
    rules = QueueRules(threshold=scorer.thresholds.budget_5)
    marks = [n for n in (10_000, 100_000, 1_000_000) if n <= most]
    spent = [0.0, 0.0]
    began = 0
    for done, chunk in _chunks(base, scored, most):
        clock[0] = max(post.posted_at for post, _ in chunk if post.posted_at is not None)
        if any(done == mark - _WINDOW for mark in marks):
            spent, began = [0.0, 0.0], done
        posts = [post for post, _ in chunk]
        keys = [post_key(post) for post in posts]
        started = time.perf_counter()
        with database.write() as session:
            scores = dict(zip(keys, (score for _, score in chunk), strict=True))
            store(session, posts, keys, scores, rules, model=scorer.version)
        between = time.perf_counter()
        while desk.work_once():
            pass
        spent[0] += between - started
        spent[1] += time.perf_counter() - between
        total = done + len(chunk)
        if total in marks:
            rate = (total - began) / sum(spent)
            found.paces.append(Pace(total, rate, spent[0], spent[1]))
            say(f"{total:,} stored: {rate:,.0f} posts a second")
    database.close()
    return found


def _distinct(count: int) -> Iterator[str]:
    from models.bench import unique_posts

    return unique_posts(count)


def _chunks(
    base: Sequence[str], scored: Sequence[tuple[Score, Floats]], most: int
) -> Iterator[tuple[int, list[tuple[NewPost, tuple[Score, Floats]]]]]:
    dice = random.Random(11)
    calm = [i for i, (score, _) in enumerate(scored) if score.risk < RISKY]
    risky = [i for i, (score, _) in enumerate(scored) if score.risk >= RISKY]
    noise = np.random.default_rng(11)
    recent: list[tuple[str, tuple[Score, Floats]]] = []
    for done in range(0, most, CHUNK):
        chunk = []
        for number in range(done, min(done + CHUNK, most)):
            if recent and dice.random() < TOLD_AGAIN:
                text, (score, vector) = recent[int(len(recent) * dice.random() ** 3)]
                text = _again(text, dice)
            else:
                first, second = (
                    dice.choice(risky if dice.random() < WATCHED else calm) for _ in range(2)
                )
                text, vector = _joined(base, scored, first, second)
                score = scored[first][0]
                if len(vector):
                    vector = vector + noise.normal(0, 0.02, len(vector)).astype(np.float32)
                    vector /= np.float32(np.linalg.norm(vector))
                recent.insert(0, (text, (score, vector)))
                del recent[400:]
            post = NewPost(
                text=text,
                platform="x",
                external_id=str(number),
                account=f"akun{dice.randrange(20_000)}",
                posted_at=_START + timedelta(days=number / PER_DAY),
            )
            # The scorer has the normalised text at hand, as it does when a post comes in.
            normalise(text)
            chunk.append((post, (score, vector)))
        yield done, chunk


def _joined(
    base: Sequence[str], scored: Sequence[tuple[Score, Floats]], first: int, second: int
) -> tuple[str, Floats]:
    """Return a post of the halves of two, with the mean of their embeddings."""
    a, b = base[first].split(), base[second].split()
    x, y = scored[first][1], scored[second][1]
    text = " ".join([*a[: (len(a) + 1) // 2], *b[len(b) // 2 :]])
    return text, (x + y) * np.float32(0.5) if len(x) and len(y) else x


def _again(text: str, dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.5:
        return text
    if kind < 0.8:
        return f"{dice.choice(('Fwd:', 'Info penting', 'Tolong sebarkan'))} {text}"
    words = text.split()
    words[dice.randrange(len(words))] = dice.choice(_WORDS)
    dice.shuffle(words)
    return " ".join(words)


def _rival(texts: Sequence[str]) -> float:
    runs = runs_of([plain(normalise(text)) for text in texts[:2_000]])
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < 3.0:
        for other in runs:
            jaccard(runs[count % len(runs)], other)
        count += 1
    return count / (time.perf_counter() - started)
