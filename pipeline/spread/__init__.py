"""How narratives spread: rates, growth, forecast, surprise, signs, and the stage that follows."""

from __future__ import annotations

from pipeline.spread.forecast import CATCHES, LARGE
from pipeline.spread.measure import measure
from pipeline.spread.season import Season
from pipeline.spread.stages import (
    CATCHING,
    RISKY,
    aggregate_risk,
    heat,
    next_look,
    silence_of,
    stage_of,
    urgency,
)
from pipeline.spread.surprise import BASE_RATE
from pipeline.spread.values import (
    Bucket,
    Forecast,
    Moment,
    Reason,
    Sign,
    Spread,
    Stage,
    Staged,
)

__all__ = [
    "BASE_RATE",
    "CATCHES",
    "CATCHING",
    "LARGE",
    "RISKY",
    "Bucket",
    "Forecast",
    "Moment",
    "Reason",
    "Season",
    "Sign",
    "Spread",
    "Stage",
    "Staged",
    "aggregate_risk",
    "heat",
    "measure",
    "next_look",
    "silence_of",
    "stage_of",
    "urgency",
]
