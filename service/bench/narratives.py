"""How fast posts become narratives, measured and staged, and whether that stays so as they pile up.

Scoring apart: the texts are scored before (the distinct ones by the shipped model, what is told
again has its first telling's score; what is told anew is made of the halves of two of them). The
clock runs over intake, grouping and watching, the very code of the service, on SQLite, in one
process and the one that the grouping begins while many posts wait.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy import func, select

from models.scorer import Floats, Score, Scorer
from models.text import normalise
from pipeline.digest import jaccard, plain, runs_of
from pipeline.spread import RISKY
from service.alerts.service import AlertRules
from service.database import Database
from service.migrations import migrate
from service.narratives.loop import EarlyWarning
from service.operations.memory import settle
from service.posts.intake import NewPost, post_key, store
from service.queue.service import QueueRules
from service.tables import StoredPost

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
MARKS: Final = (10_000, 30_000, 100_000, 300_000, 1_000_000)
WINDOW: Final = 20_000
"""Posts that are timed before a mark, or half of all there are by then. In fewer it shows whether
one of the database's checkpoints happens to lie among them."""
BEHIND: Final = 2
"""Chunks that wait while the next one comes in."""
WARM: Final = 2_500
"""Posts told right before those that are timed."""
Told = tuple[NewPost, tuple[Score, Floats]]
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_X_BEGAN: Final = 1_288_834_974_657
"""Milliseconds from which X numbers its posts: the moment since then, and 22 bits for the rest."""
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
    desk = _Desk(database, scorer)
    marks = [n for n in MARKS if n <= most]
    held: list[list[Told]] = []
    for done, chunk in _chunks(base, scored, most):
        total = done + len(chunk)
        mark = next((n for n in marks if n >= total), most)
        window = min(WINDOW, mark // 2)
        held.append(chunk)
        if total == mark:  # told together, so that nothing is worked on while texts are made
            for one in held[: -window // CHUNK]:
                desk.take(one)
            desk.spent = [0.0, 0.0]
            for one in held[-window // CHUNK :]:
                desk.take(one)
            rate = window / sum(desk.spent)
            found.paces.append(Pace(total, rate, *desk.spent))
            say(f"{total:,} stored: {rate:,.0f} posts a second")
            held.clear()
        elif mark - total >= window + WARM:
            desk.take(held.pop())
    desk.finish()
    database.close()
    return found


class _Desk:
    """Takes posts in and groups those that came some chunks before, as where many wait."""

    def __init__(self, database: Database, scorer: Scorer) -> None:
        self._database = database
        self._version = scorer.version
        self._rules = QueueRules(threshold=scorer.thresholds.budget_5)
        self._now = _START
        self._chunks = 0
        self.spent = [0.0, 0.0]
        """Seconds of intake, and of grouping and watching."""
        self._warning = EarlyWarning(
            database, scorer.space, AlertRules(), clock=lambda: self._now, second_process=True
        )
        settle()

    def take(self, chunk: Sequence[Told]) -> None:
        """Store a chunk; group and watch another."""
        posts = [post for post, _ in chunk]
        self._now = max(post.posted_at for post in posts if post.posted_at is not None)
        keys = [post_key(post) for post in posts]
        started = time.perf_counter()
        with self._database.write() as session:
            scores = dict(zip(keys, (score for _, score in chunk), strict=True))
            store(session, posts, keys, scores, self._rules, model=self._version)
        between = time.perf_counter()
        self._chunks += 1
        if self._chunks > BEHIND:
            self._warning.work_once()
        self.spent[0] += between - started
        self.spent[1] += time.perf_counter() - between

    def finish(self) -> None:
        """Group what is left, and see that nothing was."""
        self._warning.drain()
        with self._database.read() as session:
            left = select(func.count()).where(StoredPost.narrative_id.is_(None))
            if session.scalar(left):
                raise RuntimeError("posts were left out of the narratives")


def _distinct(count: int) -> Iterator[str]:
    from models.bench import unique_posts

    return unique_posts(count)


def _chunks(
    base: Sequence[str], scored: Sequence[tuple[Score, Floats]], most: int
) -> Iterator[tuple[int, list[Told]]]:
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
            at = _START + timedelta(days=number / PER_DAY)
            post = NewPost(
                text=text,
                platform="x",
                external_id=str(int(at.timestamp() * 1000) - _X_BEGAN << 22),
                account=f"akun{dice.randrange(20_000)}",
                posted_at=at,
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
