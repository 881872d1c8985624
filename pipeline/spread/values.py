"""What goes into a measurement of spread, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """How far a narrative has got; in Indonesian Tenang, Lilin, Obor, Api, Padam."""

    QUIET = "quiet"
    """Nothing to watch: its posts are not risky."""
    LILIN = "lilin"
    """Candle: risky, small, slow."""
    OBOR = "obor"
    """Torch: catching."""
    API = "api"
    """Fire: spreading fast."""
    PADAM = "padam"
    """Out: silent for longer than its own pace explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One post of a narrative, as far as its spread is concerned."""

    at: datetime
    """Aware; event time."""
    account: int
    """A 64-bit hash of the account; 0: unknown, which counts as an account of its own."""
    platform: str
    text: int
    """A hash or number that only posts of the same text share."""
    reach: int
    """Views or followers, as the feed gives them; 0: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Posts of an hour (or less of it) before the moments that are looked at one by one."""

    at: datetime
    """Aware; where it begins."""
    posts: int
    reach: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is to come within ``hours``: further posts, and the chances that follow from them."""

    hours: float
    low: float
    """Lower end of the interval that holds the further posts in 80 % of the cases."""
    mid: float
    """Median of the further posts."""
    high: float
    catches: float
    """Chance that it leaves *lilin*: that its last day and the next bring ``CATCHES`` posts."""
    large: float = 0.0
    """Chance that they bring ``LARGE`` posts, and half as many again as there are."""
    mean: float = 0.0
    """Expected further posts, cut at 1000: what is heavy-tailed has a mean far above ``mid``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A sign of coordination, never a proof: ``code`` and the numbers it rests on."""

    code: str
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a narrative spreads, measured at one moment; rates in posts an hour, times in hours."""

    posts: int
    accounts: int
    """Distinct accounts of the moments that were looked at, each unknown one counted."""
    platforms: int
    reach: int
    posts_last_hour: int
    posts_last_day: int
    rate: float
    """Now: posts counted with a half-life of an hour."""
    peak_rate: float
    """The most posts within any one hour."""
    growth: float
    """Exponential growth an hour, most probable value; see ``pipeline.spread.growth``."""
    doubling_hours: float | None
    """Where the growth is clearly above 0; else None."""
    expected: float
    """Posts that the narrative's own past lets expect in the window of surprise."""
    surprise: float
    """p-value, upper tail, of the posts in that window; see ``pipeline.spread.surprise``."""
    forecast: Forecast
    signs: tuple[Sign, ...]
    quiet_hours: float
    """Since the last post."""
    window_hours: float = 1.0
    """The window of surprise: of 1, 3 and 6 hours the most surprising one."""
    window_posts: int = 0
    """Counted in it, without the post that opened the narrative and the newest one."""
    growth_sd: float = 0.0
    """Standard deviation of ``growth``."""
    usual_gap_hours: float | None = None
    """Median of the gaps between its latest posts; None: a single post."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a narrative stands in its stage; the words are made where it is read."""

    code: str
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A narrative's stage, since when, and why."""

    stage: Stage
    since: datetime
    reasons: tuple[Reason, ...]
