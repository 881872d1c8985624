"""Narratives and measurements for the tests of alerts, written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from pipeline.spread import Forecast, Reason, Sign, Spread, Stage, Staged
from service.alerts.service import AlertRules, Changed, raise_due
from service.database import Database
from service.tables import Narrative, StoredPost

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
"""Ten in the morning in WIB."""
RULES = AlertRules(base_url="https://meja.example.go.id")
HOAX = "Air keran kota ini dicampur racun, jangan diminum, sebarkan sebelum dihapus"


def story(
    database: Database,
    number: int,
    texts: Sequence[str] = (HOAX,),
    *,
    last: datetime = NOW,
    platform: str = "x",
    label: str = "hoax",
    **more: Any,
) -> None:
    """Store a narrative with these posts, a minute apart, the last of them at ``last``."""
    narrative = {name: more.pop(name) for name in list(more) if hasattr(Narrative, name)}
    with database.write() as session:
        first = last - timedelta(minutes=len(texts) - 1)
        session.add(
            Narrative(
                id=number,
                title=texts[0][:300],
                first_seen_at=first,
                last_seen_at=last,
                posts=len(texts),
                accounts=len(texts),
                platforms={platform: len(texts)},
                labels=dict(Counter([label] * len(texts))),
                reach=10 * len(texts),
                risk_sum=0.9 * len(texts),
                **{
                    "keywords": ["air", "racun"],
                    "risk": 0.9,
                    "stage": "lilin",
                    "stage_since": first,
                    "last_post_id": number,
                }
                | narrative,
            )
        )
        session.flush()
        session.add_all(
            post(
                f"{number}-{i}",
                text,
                number,
                at=first + timedelta(minutes=i),
                platform=platform,
                label=label,
                **more,
            )
            for i, text in enumerate(texts)
        )


def post(key: str, text: str, narrative_id: int, *, at: datetime, **more: Any) -> StoredPost:
    """Return a post of a narrative."""
    values: dict[str, Any] = {
        "key": key,
        "platform": "x",
        "source": "api",
        "text": text,
        "received_at": at,
        "event_at": at,
        "reach": 10,
        "engagement": {},
        "risk": 0.9,
        "label": "hoax",
        "hoax": 0.8,
        "disinformation": 0.1,
        "malinformation": 0.0,
        "technique": "fabricated",
        "tone": "negative",
        "model": "fake-1",
        "narrative_id": narrative_id,
        "joined_by": "near",
        "joined_likeness": 0.8,
    }
    return StoredPost(**values | more)


def measured(
    session: Session,
    number: int,
    *,
    stage: Stage = Stage.LILIN,
    catches: float = 0.9,
    risk: float = 0.9,
    urgency: float = 1.0,
    growth: float = 0.5,
    signs: Sequence[Sign] = (),
) -> Changed:
    """Return a stored narrative as it comes from the measurement."""
    narrative = session.get_one(Narrative, number)
    return Changed(
        narrative_id=number,
        last_seen_at=narrative.last_seen_at,
        verdict=narrative.verdict,
        woke_at=narrative.woke_at,
        risk=risk,
        spread=Spread(
            posts=narrative.posts,
            accounts=narrative.accounts,
            platforms=1,
            reach=narrative.reach,
            posts_last_hour=narrative.posts,
            posts_last_day=narrative.posts,
            rate=4.0,
            peak_rate=4.0,
            growth=growth,
            doubling_hours=1.4,
            expected=0.5,
            surprise=0.001,
            forecast=Forecast(hours=24.0, low=4.0, mid=18.0, high=60.0, catches=catches),
            signs=tuple(signs),
            quiet_hours=0.0,
        ),
        staged=Staged(
            stage=stage,
            since=narrative.first_seen_at,
            reasons=(
                Reason(
                    code="forecast_catches",
                    numbers={"chance": catches, "posts": 10, "low": 4, "high": 60, "hours": 24},
                ),
            ),
        ),
        urgency=urgency,
    )


def raised(
    database: Database,
    *numbers: int,
    now: datetime = NOW,
    rules: AlertRules = RULES,
    **how: Any,
) -> int:
    """Measure narratives and raise what is due, in one transaction; return how many alerts."""
    with database.write() as session:
        changed = [measured(session, number, **how) for number in numbers]
        return raise_due(session, changed, now=now, rules=rules)
