"""One replay: dated posts through intake, grouping, watch and alerts, with the feed's own clock."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Final

from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from models.likeness import Space
from models.text import normalise
from pipeline.replay.earliness import Foretold, Raised, Seen, belongs
from service.alerts.service import AlertRules
from service.database import Database
from service.migrations import migrate
from service.narratives.grouping import BATCH
from service.narratives.loop import EarlyWarning
from service.narratives.watch import is_due
from service.pages.words import WIB
from service.posts.intake import Scores, post_key, store
from service.queue.service import QueueRules
from service.replay.material import Dated
from service.replay.scores import KeptScores
from service.tables import Alert, Narrative, NarrativeEvent, StoredPost, WatchList

STEP: Final = timedelta(seconds=30)
"""Posts of so long are taken together: about what passes between a post and its grouping."""
TICK: Final = timedelta(minutes=30)
"""With nothing new, the watch looks again after so long: fires go out without a post."""
SILENCE: Final = timedelta(days=4)
"""After so long without any post every fire is out: what is left of a silence is passed over."""
FORECAST_EVERY: Final = timedelta(hours=1)
"""After so long the forecasts of all that is watched are kept for checking."""
FORECAST_POSTS: Final = 3
_ROUNDS: Final = 10
LATELY: Final = timedelta(hours=24)
ENDED_POSTS: Final = 5
"""Narratives of fewer posts are not told of at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the desk goes by: the queue's and the alerts' rules, the model's space and cut."""

    queue: QueueRules
    alerts: AlertRules
    space: Space
    flagged: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An alert as it was raised for one budget."""

    at: datetime
    budget: int
    kind: str
    narrative: int
    planting: int | None
    """What most of the narrative's posts belonged to, since it last came back if it ever did."""
    lately: int | None
    """What most of its posts of the last day belonged to."""
    posts: int
    """Of the narrative, at that moment."""
    urgency: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A stage that a narrative entered."""

    at: datetime
    narrative: int
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A narrative as it stood at the end."""

    narrative: int
    title: str
    posts: int
    accounts: int
    risk: float
    stage: str


@dataclass(slots=True)
class Played:
    """What came of a replay."""

    seen: list[Seen] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    foretold: list[Foretold] = field(default_factory=list)
    entered: list[Entered] = field(default_factory=list)
    ended: dict[int, Ended] = field(default_factory=dict)
    seconds: float = 0.0
    """Of the clock on the wall, scoring apart."""

    def raised(self, budget: int, *, lately: bool = False) -> list[Raised]:
        """Return the alerts of one budget; ``lately``: told by the posts of the last day alone."""
        return [
            Raised(at=t.at, narrative=t.narrative, planting=t.lately if lately else t.planting)
            for t in self.told
            if t.budget == budget
        ]


def play(
    feed: Sequence[Dated],
    scores: KeptScores,
    rules: Rules,
    *,
    budgets: Sequence[int],
    step: timedelta = STEP,
) -> Played:
    """Play a feed (the earliest post first) through a database of its own, and return what it said.

    There is a watch-list per budget, which asks nothing else; nothing is sent anywhere.
    """
    known = scores.score_and_embed([d.post.text for d in feed])
    played = Played()
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="lilin-replay-") as folder,
        closing(_database(Path(folder) / "desk.db")) as database,
    ):
        player = _Player(database, rules, scores.version, budgets, played)
        start = 0
        for end, now in steps([d.at for d in feed], step):
            batch = feed[start:end]
            keys = [post_key(d.post) for d in batch]
            player.step(batch, keys, dict(zip(keys, known[start:end], strict=True)), now)
            start = end
        player.end()
    played.seconds = time.perf_counter() - began
    return played


def steps(
    moments: Sequence[datetime], step: timedelta, tick: timedelta = TICK
) -> Iterator[tuple[int, datetime]]:
    """Yield, for ascending moments, up to where posts are taken, and the time it is then.

    A step ends with the last post within ``step`` of its first; a silence is cut into ticks, as
    far as ``SILENCE``.
    """
    start = 0
    while start < len(moments):
        end = start + 1
        while end < len(moments) and moments[end] - moments[start] < step:
            end += 1
        yield end, moments[end - 1]
        if end < len(moments):
            now = moments[end - 1] + tick
            while now < min(moments[end], moments[end - 1] + SILENCE):
                yield end, now
                now += tick
        start = end


def _wording(text: str) -> int:
    return int.from_bytes(blake2b(normalise(text).encode(), digest_size=8).digest()) or 1


def _database(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    # A replay that is cut short is thrown away: nothing need reach the disk.
    event.listen(database.engine, "connect", lambda c, _record: c.execute("PRAGMA synchronous=OFF"))
    migrate(database)
    return database


class _Player:
    """Takes the steps of a replay and notes what the desk says after each."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        model: str,
        budgets: Sequence[int],
        played: Played,
    ) -> None:
        self._database = database
        self._rules = rules
        self._model = model
        self._played = played
        self._now = datetime.fromtimestamp(0, UTC)
        self._desk = EarlyWarning(database, rules.space, rules.alerts, clock=lambda: self._now)
        self._posts: dict[int, Dated] = {}
        """By number, in the order in which they came."""
        self._foretold_at: datetime | None = None
        with database.write() as session:
            session.execute(
                update(WatchList).values(active=False)
            )  # the one that is there at first
            lists = [
                WatchList(name=f"{budget} a day", budget=budget, changed_at=None)
                for budget in sorted(set(budgets))
            ]
            session.add_all(lists)
            session.flush()
            self._budgets = {row.id: row.budget for row in lists}

    def step(
        self, batch: Sequence[Dated], keys: Sequence[str], scores: Scores, now: datetime
    ) -> None:
        """Take posts in and look at what they do; without posts, only look."""
        only_new = len(batch) <= BATCH
        if batch:
            with self._database.write() as session:
                stored = store(
                    session,
                    [d.post for d in batch],
                    keys,
                    scores,
                    self._rules.queue,
                    model=self._model,
                )
            fresh = {s.id: d for s, d in zip(stored, batch, strict=True) if not s.seen_before}
            only_new = only_new and len(fresh) == len(batch)
            self._posts |= fresh
        self._now = now
        # Not `drain`, which leaves the grouping to others; and the clock stands still here, so that
        # what is due again at once would be due for ever.
        for left in reversed(range(_ROUNDS + len(batch))):
            worked = self._desk.work_once()
            with self._database.read() as session:
                # One round places all new posts, so that only the watch may have more to do.
                if worked and left and not (only_new and not is_due(session, now)):
                    continue
                self._note(session, now)
                return

    def end(self) -> None:
        """Note where every post went, what stages were entered, and how all stands."""
        with self._database.read() as session:
            joined = {
                row.id: (row.narrative_id or 0, row.risk)
                for row in session.execute(
                    select(StoredPost.id, StoredPost.narrative_id, StoredPost.risk)
                )
            }
            self._played.seen = [
                Seen(
                    at=d.at,
                    narrative=joined[number][0],
                    risk=joined[number][1],
                    text=_wording(d.post.text),
                    planting=d.planting,
                )
                for number, d in self._posts.items()
            ]
            self._played.entered = [
                Entered(
                    at=row.at.astimezone(WIB), narrative=row.narrative_id, stage=row.details["to"]
                )
                for row in session.execute(
                    select(NarrativeEvent.at, NarrativeEvent.narrative_id, NarrativeEvent.details)
                    .where(NarrativeEvent.kind == "stage")
                    .order_by(NarrativeEvent.id)
                )
            ]
            for row in session.scalars(select(Narrative).where(Narrative.posts >= ENDED_POSTS)):
                self._played.ended[row.id] = Ended(
                    narrative=row.id,
                    title=row.title,
                    posts=row.posts,
                    accounts=row.accounts,
                    risk=row.risk,
                    stage=row.stage,
                )

    def _note(self, session: Session, now: datetime) -> None:
        for alert in session.scalars(
            select(Alert).where(Alert.at == now, Alert.state == "raised").order_by(Alert.id)
        ):
            self._played.told.append(self._told(session, alert, now))
        self._note_forecasts(session, now)

    def _note_forecasts(self, session: Session, now: datetime) -> None:
        """Keep, once in a while, the latest forecast of every narrative that is watched."""
        if self._foretold_at is not None and now - self._foretold_at < FORECAST_EVERY:
            return
        self._foretold_at = now
        for number, at, spread in session.execute(
            select(Narrative.id, Narrative.measured_at, Narrative.spread).where(
                Narrative.stage.in_(("lilin", "obor", "api")), Narrative.posts >= FORECAST_POSTS
            )
        ):
            made = spread["forecast"]
            self._played.foretold.append(
                Foretold(
                    at=at,
                    narrative=number,
                    hours=made["hours"],
                    low=made["low"],
                    high=made["high"],
                    catches=made["catches"],
                )
            )

    def _told(self, session: Session, alert: Alert, now: datetime) -> Told:
        posts = session.execute(
            select(StoredPost.id, StoredPost.event_at).where(
                StoredPost.narrative_id == alert.narrative_id
            )
        ).all()
        lately = [row.id for row in posts if row.event_at > now - LATELY]
        narrative = session.get_one(Narrative, alert.narrative_id)
        woke_at = narrative.woke_at
        wave = [row.id for row in posts if woke_at is None or row.event_at >= woke_at - LATELY]
        return Told(
            at=now,
            budget=self._budgets[alert.watch_list_id],
            kind=alert.kind,
            narrative=alert.narrative_id,
            planting=belongs(self._posts[number].planting for number in wave),
            lately=belongs(self._posts[number].planting for number in lately),
            posts=len(posts),
            urgency=alert.urgency,
            title=narrative.title,
        )
