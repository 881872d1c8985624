"""Alerts and watch-lists as JSON."""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from service.alerts.budget import MOST_BUDGET, Candidate, ShadowRun
from service.alerts.lists import BUDGET, MOST_CHARS, MOST_TERMS, Given, Overview
from service.alerts.repository import AlertFilters, Cursor
from service.alerts.watchlists import Criteria
from service.errors import NotFound
from service.stats.service import Precision
from service.tables import Alert, WatchList
from service.web import Model, storable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
Kind = Literal["obor", "api"]
AlertState = Literal["raised", "held"]
Terms = Annotated[
    list[Annotated[str, Field(max_length=MOST_CHARS)]],
    Field(default_factory=list, max_length=MOST_TERMS),
]
Id = Annotated[int, Field(gt=0, lt=2**63)]


class AlertOut(Model):
    """An alert, raised or held back; `content` is what it says, masked."""

    model_config = ConfigDict(str_max_length=None)

    id: int
    watch_list: int
    watch_list_name: str
    narrative: int
    kind: Kind
    state: AlertState
    held_because: Literal["cut_off", "budget", "follow_up"] | None
    urgency: float
    due_at: datetime
    at: datetime
    handled_at: datetime | None
    handled_by: str | None
    deliveries: Annotated[dict[str, int], Field(description="Deliveries by their state.")]
    content: dict[str, Any]

    @classmethod
    def of(cls, alert: Alert, deliveries: Mapping[str, int]) -> AlertOut:
        """Return an alert as it is shown."""
        same = ("id", "kind", "state", "held_because", "urgency", "due_at", "at", "handled_at")
        return cls(
            **{name: getattr(alert, name) for name in same},
            watch_list=alert.watch_list_id,
            watch_list_name=alert.watch_list.name,
            narrative=alert.narrative_id,
            handled_by=alert.handled_by.name if alert.handled_by else None,
            deliveries=dict(deliveries),
            content=alert.payload,
        )


class AlertsOut(Model):
    """A page of alerts, the newest first; `next` goes into `after`, null at the end."""

    alerts: list[AlertOut]
    next: str | None


class AlertQuery(Model):
    """Filters of the alerts."""

    state: AlertState | None = None
    kind: Kind | None = None
    watch_list: Id | None = None
    handled: bool | None = None
    after: Annotated[str | None, Field(max_length=40)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    def filters(self) -> AlertFilters:
        """Return the filters for ``service.alerts.repository``."""
        return AlertFilters(
            state=self.state, kind=self.kind, watch_list_id=self.watch_list, handled=self.handled
        )


class HandledIn(Model):
    """Whether someone has seen to it."""

    handled: bool = True


def cursor(after: Cursor | None) -> str | None:
    """Return a cursor as text."""
    if after is None:
        return None
    moment, number = after
    packed = struct.pack(">qq", (moment - _EPOCH) // _MICROSECOND, number)
    return urlsafe_b64encode(packed).decode()


def read_cursor(text: str) -> Cursor:
    """Return time and number of a cursor.

    Raises:
        NotFound: it is no cursor of the alerts.
    """
    try:
        moment, number = struct.unpack(">qq", urlsafe_b64decode(text.encode()))
        return _EPOCH + moment * _MICROSECOND, number
    except (ValueError, struct.error, OverflowError):
        raise NotFound("“after” is no cursor of the alerts; take it from “next”") from None


class CriteriaIn(Model):
    """What a watch-list asks of a narrative.

    Within one field any value will do, between fields all must hold, an empty one asks nothing.
    """

    terms: Terms
    regions: Terms
    languages: Terms
    labels: Terms
    platforms: Terms
    minimum_risk: Annotated[float, Field(ge=0, le=1)] = 0.0
    budget: Annotated[int, Field(ge=1, le=MOST_BUDGET, description="Alerts a day.")] = BUDGET

    def criteria(self) -> Criteria:
        """Return the criteria for ``service.alerts``."""
        words = ("terms", "regions", "languages", "labels", "platforms")
        return Criteria(
            **{name: tuple(storable(w) for w in getattr(self, name)) for name in words},
            minimum_risk=self.minimum_risk,
        )


class WatchListIn(CriteriaIn):
    """A watch-list: what it asks, how many alerts it can read a day, and where they go."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Bansos Jawa Timur",
                    "terms": ["bansos", "#bansos2026", "bantuan langsung tunai"],
                    "regions": ["jatim"],
                    "budget": 10,
                }
            ]
        }
    )
    name: Annotated[str, Field(min_length=1, max_length=80)]
    channels: Annotated[list[Id], Field(default_factory=list, max_length=50)]

    def given(self) -> Given:
        """Return the watch-list for ``service.alerts``."""
        return Given(
            name=storable(self.name),
            criteria=self.criteria(),
            budget=self.budget,
            channels=tuple(self.channels),
        )


class PrecisionOut(Model):
    """Share of what people found worth it, with its 95 % interval."""

    decided: int
    kept: int
    share: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Precision | None) -> PrecisionOut | None:
        """Return it as it is shown; None: too few verdicts."""
        if found is None:
            return None
        return cls.model_validate({name: getattr(found, name) for name in cls.model_fields})


class WatchListOut(Model):
    """A watch-list, and its last week: `precision` is null while there are too few verdicts."""

    model_config = ConfigDict(str_max_length=None)

    id: int
    name: str
    active: bool
    terms: list[str]
    regions: list[str]
    languages: list[str]
    labels: list[str]
    platforms: list[str]
    minimum_risk: float
    budget: int
    channels: list[int]
    cut_off: Annotated[float, Field(description="Least urgency that is raised now.")]
    raised: int
    held: int
    precision: PrecisionOut | None

    @classmethod
    def of(cls, found: Overview) -> WatchListOut:
        """Return a watch-list as it is shown."""
        held: WatchList = found.watch_list
        same = set(cls.model_fields) - {"cut_off", "raised", "held", "precision"}
        return cls(
            **{name: getattr(held, name) for name in same},
            cut_off=found.cut_off,
            raised=found.raised,
            held=found.held,
            precision=PrecisionOut.of(found.precision),
        )


class WatchListsOut(Model):
    """Every watch-list, active ones first."""

    watch_lists: list[WatchListOut]


class CandidateOut(Model):
    """An alert that there would have been."""

    model_config = ConfigDict(str_max_length=None)

    narrative: int
    kind: Kind
    at: datetime
    urgency: float
    title: str

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateOut:
        """Return a candidate as it is shown; its title is masked already."""
        same = ("kind", "at", "urgency", "title")
        return cls(
            narrative=candidate.narrative_id, **{name: getattr(candidate, name) for name in same}
        )


class DayOut(Model):
    """A day (WIB), and the alerts that there would have been."""

    day: date
    alerts: int


class ShadowOut(Model):
    """What the last week would have brought; while `days` is under 7, the cut-off is a default."""

    days: float
    cut_off: float
    alerts_a_day: float
    alerts: list[CandidateOut]
    below_cut_off: int
    over_budget: int
    by_day: list[DayOut]
    precision: PrecisionOut | None

    @classmethod
    def of(cls, run: ShadowRun) -> ShadowOut:
        """Return a shadow run as it is shown."""
        return cls(
            days=run.days,
            cut_off=run.cut_off,
            alerts_a_day=run.a_day,
            alerts=[CandidateOut.of(candidate) for candidate in run.raised],
            below_cut_off=run.below,
            over_budget=run.over,
            by_day=[DayOut(day=day, alerts=count) for day, count in run.by_day],
            precision=PrecisionOut.of(run.precision),
        )
