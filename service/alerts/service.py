"""Alerts: once per narrative, kind and watch-list, before it is too late, and no more than can be
read.

A narrative is due for "obor" when it enters that stage, which the forecast has it do while it is
small; when its posts are more likely false than not, already on the way there. It is due for "api"
when it enters *api*; never on a mere update. What is due is raised, or held back where it is less
urgent than the watch-list's cut-off or the day's budget is spent; what is held is raised later if
it still grows and there is room. What is new goes before what was told of already: that a torch
has become a fire is said while half of the budget is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.spread import Spread, Stage, Staged
from service.alerts import budget, outbox, repository
from service.alerts.budget import DAY
from service.alerts.content import FindNearest, Known, content_of, none_known
from service.alerts.watchlists import Criteria, Texts
from service.settings import Settings
from service.tables import Alert, AlertCandidate, Narrative, Verdict, WatchList

OBOR: Final = Stage.OBOR.value
API: Final = Stage.API.value
RAISED: Final = "raised"
HELD: Final = "held"
CUT_OFF: Final = "cut_off"
BUDGET: Final = "budget"
FOLLOW_UP: Final = "follow_up"
HEADS_FOR_OBOR: Final = 0.15
"""Chance of leaving *lilin* from which a candle is on the way to *obor*; a torch has more
(``pipeline.spread.CATCHING``)."""
LIKELY_FALSE: Final = 0.5
"""Aggregated risk from which one is told of on the way. With 20 alerts a day 84 % of 147 planted
narratives are caught early (development texts and bursts) and 2.9 alerts a day are in vain. If all
were told of on the way, it would be 83 % and 3.9, in the median a post earlier; if none, 84 % and
2.6."""
LATE: Final = timedelta(hours=24)
"""A narrative without a post for so long is no news, though it came in only now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRules:
    """The desk's settings for its alerts."""

    cut_off: float = 0.0
    """Least urgency (``pipeline.spread.urgency``) while there is no day of candidates to tell it:
    whatever is due, until the day's budget is spent."""
    floor: float = 0.03
    """No watch-list's cut-off is lower, however much its people can read. At 20 alerts a day as
    many planted narratives are caught as without it (84 % of 147, development texts and bursts;
    with 0.04 82 %), and a quarter of the alerts in the real months does not come."""
    base_url: str = ""
    """Where the desk is reached: links in alerts begin with it."""
    nearest: FindNearest = none_known
    """Finds the clarification nearest to a post."""


def rules_of(settings: Settings, nearest: FindNearest = none_known) -> AlertRules:
    """Return the rules of the alerts from the settings; ``nearest`` finds clarifications."""
    return AlertRules(base_url=settings.base_url, nearest=nearest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A narrative that was measured: how it spreads, its stage, and how urgent it is.

    ``urgency`` orders those that are due; see ``pipeline.spread``.
    """

    narrative_id: int
    last_seen_at: datetime
    verdict: Verdict | None
    woke_at: datetime | None
    """When it last came back after it had been out for long: what was told before is past."""
    risk: float
    """The aggregated one."""
    spread: Spread
    staged: Staged
    urgency: float


def due(changed: Changed, *, now: datetime) -> str | None:
    """Return the kind of alert that a narrative is due for: obor, api or None."""
    if now - changed.last_seen_at > LATE or changed.verdict == Verdict.VALID:
        return None
    stage = changed.staged.stage
    if stage in (Stage.OBOR, Stage.API):
        return stage.value
    heads_for_obor = changed.spread.forecast.catches >= HEADS_FOR_OBOR
    likely = changed.risk >= LIKELY_FALSE
    return OBOR if stage is Stage.LILIN and heads_for_obor and likely else None


def raise_due(
    session: Session, changed: Sequence[Changed], *, now: datetime, rules: AlertRules
) -> int:
    """Raise what is due, hold back what is too much, and return how many alerts were raised.

    In the caller's transaction: alerts and their deliveries stand with what they tell of, or
    neither does. Who raises locks the watch-lists, so that two at once make one alert.
    """
    found = [(c, kind) for c in changed if (kind := due(c, now=now))]
    if not found:
        return 0
    found.sort(key=lambda pair: (-pair[0].urgency, pair[0].narrative_id))
    # All of them, the inactive too: the lock keeps whoever else raises or edits out.
    lists = list(
        session.scalars(
            select(WatchList)
            .order_by(WatchList.id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    )
    _note_candidates(session, found, now)
    known = repository.alerts_of(session, [c.narrative_id for c, _ in found])
    texts = _TextsOf(session)
    raising = [
        _Raising(session, watch_list, known, texts, now, rules)
        for watch_list in lists
        if watch_list.active
    ]
    asked = [(one, c, kind) for one in raising for c, kind in found if one.asks_about(c, kind)]
    if not asked:
        return 0
    narratives = repository.narratives_of(session, {c.narrative_id for _, c, _ in asked})
    return sum(one.consider(narratives[c.narrative_id], c, kind) for one, c, kind in asked)


def _note_candidates(session: Session, found: Iterable[tuple[Changed, str]], now: datetime) -> None:
    rows = repository.candidates_of(session, [c.narrative_id for c, _ in found])
    for changed, kind in found:
        row = rows.get((changed.narrative_id, kind))
        if row is None:
            session.add(
                AlertCandidate(
                    narrative_id=changed.narrative_id, kind=kind, at=now, urgency=changed.urgency
                )
            )
        elif changed.woke_at is not None and row.at < changed.woke_at:
            row.at, row.urgency = now, changed.urgency
        elif changed.urgency > row.urgency:
            row.urgency = changed.urgency


class _TextsOf:
    """The newest texts of narratives, read when a watch-list asks for them and at most once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: dict[int, Texts] = {}

    def __call__(self, narrative_id: int) -> Texts:
        if narrative_id not in self._read:
            self._read[narrative_id] = Texts(repository.newest_texts(self._session, narrative_id))
        return self._read[narrative_id]


class _Raising:
    """One watch-list while alerts are raised for it; the room left is counted down."""

    def __init__(
        self,
        session: Session,
        watch_list: WatchList,
        known: dict[tuple[int, int, str], Alert],
        texts: _TextsOf,
        now: datetime,
        rules: AlertRules,
    ) -> None:
        self.session = session
        self.watch_list = watch_list
        self.criteria = criteria_of(watch_list)
        self.known = known
        self.texts = texts
        self.now = now
        self.rules = rules
        self.cut_off: float | None = None
        self.raised: int | None = None

    def asks_about(self, changed: Changed, kind: str) -> bool:
        """Return whether there may be anything to raise: most were told of before."""
        alert = self._standing(changed, kind)
        if alert is None:
            return not self._is_past(changed, kind)
        return alert.state != RAISED and alert.handled_at is None

    def consider(self, narrative: Narrative, changed: Changed, kind: str) -> bool:
        """Return whether an alert was raised of what it asks about."""
        alert = self._standing(changed, kind)
        if alert is None:
            if not self._matches(narrative):
                return False
            alert = self._begun(changed, kind)
        else:
            alert.urgency = max(alert.urgency, changed.urgency)
            reason = self._held_because(changed, kind)
            if reason is not None or changed.spread.growth <= 0:
                alert.held_because = reason or alert.held_because
                return False
            alert.state, alert.held_because, alert.at = RAISED, None, self.now
        self._say(alert, narrative, changed)
        if alert.state == HELD:
            return False
        self._send(alert)
        return True

    def _standing(self, changed: Changed, kind: str) -> Alert | None:
        """Return the alert that there is, unless its narrative has come back since."""
        alert = self.known.get((self.watch_list.id, changed.narrative_id, kind))
        past = changed.woke_at is not None and alert is not None and alert.at < changed.woke_at
        return None if past else alert

    def _begun(self, changed: Changed, kind: str) -> Alert:
        """Return a new alert, raised or held; one from before the narrative came back stays."""
        reason = self._held_because(changed, kind)
        key = (self.watch_list.id, changed.narrative_id, kind)
        before = self.known.get(key)
        alert = Alert(
            watch_list_id=self.watch_list.id,
            narrative_id=changed.narrative_id,
            kind=kind,
            wave=0 if before is None else before.wave + 1,
            state=HELD if reason else RAISED,
            held_because=reason,
            urgency=changed.urgency,
            due_at=self.now,
            at=self.now,
            payload={},
        )
        self.session.add(alert)
        self.session.flush()
        self.known[key] = alert
        return alert

    def _is_past(self, changed: Changed, kind: str) -> bool:
        """Return whether the higher alert was raised: a fire that shrinks is no new torch."""
        higher = self._standing(changed, API)
        return kind == OBOR and higher is not None and higher.state == RAISED

    def _matches(self, narrative: Narrative) -> bool:
        criteria = self.criteria
        return criteria.admits(
            risk=narrative.risk, platforms=narrative.platforms, labels=narrative.labels
        ) and (not criteria.reads or criteria.reads_in(self.texts(narrative.id)))

    def _held_because(self, changed: Changed, kind: str) -> str | None:
        if self.cut_off is None:
            self.cut_off = cut_off_of(self.session, self.watch_list, now=self.now, rules=self.rules)
            self.raised = repository.raised_since(
                self.session, self.watch_list.id, self.now - DAY, self.now
            )
        assert self.raised is not None
        if changed.urgency < self.cut_off:
            return CUT_OFF
        most = self.watch_list.budget
        if not budget.has_room(self.raised, most):
            return BUDGET
        before = self._standing(changed, OBOR) if kind == API else None
        follows = before is not None and before.state == RAISED
        return FOLLOW_UP if follows and not budget.has_room_again(self.raised, most) else None

    def _say(self, alert: Alert, narrative: Narrative, changed: Changed) -> None:
        known = Known(
            alert=alert.id,
            kind=alert.kind,
            watch_list=self.watch_list.name,
            narrative=narrative,
            spread=changed.spread,
            staged=changed.staged,
            base_url=self.rules.base_url,
            nearest=self.rules.nearest,
        )
        alert.payload = content_of(self.session, known, now=self.now).as_payload()

    def _send(self, alert: Alert) -> None:
        assert self.raised is not None
        self.raised += 1
        for channel in repository.open_channels(self.session, self.watch_list.channels):
            outbox.enqueue(
                self.session,
                channel,
                alert.payload,
                kind="alert",
                alert_id=alert.id,
                now=self.now,
            )


def criteria_of(watch_list: WatchList) -> Criteria:
    """Return what a watch-list asks."""
    return Criteria(
        terms=tuple(watch_list.terms),
        regions=tuple(watch_list.regions),
        languages=tuple(watch_list.languages),
        labels=tuple(watch_list.labels),
        platforms=tuple(watch_list.platforms),
        minimum_risk=watch_list.minimum_risk,
    )


def cut_off_of(
    session: Session, watch_list: WatchList, *, now: datetime, rules: AlertRules
) -> float:
    """Return the least urgency that a watch-list's alerts have now.

    From its own last week, or what there is of it; in its first day, what the shadow run said when
    it was last changed; before that, the default.
    """
    begun = repository.history_since(session, now)
    if begun is not None:
        days = budget.history(max(begun, watch_list.changed_at or begun), now)
        if days >= budget.LEAST_DAYS:
            found = repository.urgencies(session, watch_list.id, now - days * DAY, now)
            return budget.cut_off(found, budget=watch_list.budget, days=days, floor=rules.floor)
    if watch_list.cut_off is not None:
        return max(watch_list.cut_off, rules.floor)
    return max(rules.cut_off, rules.floor)


def carry_over(session: Session, sources: Collection[int], target: int) -> None:
    """Let a narrative keep the alerts of those that were merged into it.

    So what was told of them is not told anew. Where both had one, the target's stays and the
    other remains with its own narrative.
    """
    had = {(a.watch_list_id, a.kind) for a in repository.alerts_of(session, [target]).values()}
    for (watch_list_id, _, kind), alert in sorted(repository.alerts_of(session, sources).items()):
        if (watch_list_id, kind) not in had:
            had.add((watch_list_id, kind))
            alert.narrative_id = target
    kinds = {kind for _, kind in repository.candidates_of(session, [target])}
    for (_, kind), row in sorted(repository.candidates_of(session, sources).items()):
        if kind not in kinds:
            kinds.add(kind)
            row.narrative_id = target
