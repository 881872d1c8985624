"""What is replayed: feeds with dates, background laid over one span, false texts to plant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.errors import FeedError
from pipeline.feeds import open_feed
from pipeline.post import Post
from pipeline.replay.bursts import Shape, measured_shapes
from pipeline.replay.planting import FalseText, PlantedPost, fold
from service.feeds.rows import moment, new_post
from service.pages.words import WIB
from service.posts.intake import NewPost

BACKGROUND: Final = (
    "vaccine_2021_04",
    "election_2023_09",
    "police_2025_02",
    "finance_minister_2025_10",
    "tax_2025_09",
)
SHAPES: Final = "election_2023_09"
"""The feed whose bursts lend their shape."""
FALSE_2025: Final = "turnbackhoax_posts_2025"
START: Final = datetime(2026, 1, 5, tzinfo=WIB)
"""A Monday, midnight: where the background is laid; the year means nothing."""
SPAN: Final = timedelta(days=14)
CALIBRATION: Final = timedelta(days=7)
"""The first week: the desk's cut-off and the rivals' are learnt in it, nothing is measured."""
BUSY_SPAN: Final = timedelta(days=7)
"""Of a desk twice as busy: all weeks of the background are laid over one."""
BUSY_CALIBRATION: Final = timedelta(days=3)
"""Whole days, so that what is counted a day holds as many mornings as evenings; four are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A post and when it happened (in WIB); ``planting`` None: it was not planted."""

    at: datetime
    post: NewPost
    planting: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseTexts:
    """False texts that the model was not trained on, of one part of the corpus.

    ``circulated``: as people posted them; ``claims``: as a fact-checker's title or the ministry
    worded them.
    """

    circulated: tuple[FalseText, ...]
    claims: tuple[FalseText, ...]

    @property
    def all(self) -> tuple[FalseText, ...]:
        """Return both."""
        return self.circulated + self.claims


def read_dated(path: Path, *, text_column: str | None = None) -> tuple[list[Dated], int]:
    """Return the dated posts of a feed, the earliest first, and how many rows had no date or text.

    Counts of likes and the like are left out: they are those of the day of the download, and a
    replay must not know what came later.

    Raises:
        FeedError: the feed cannot be read, or not one row has a date.
    """
    found: list[Dated] = []
    without = 0
    with open_feed(path, text_column=text_column) as feed:
        for row in feed:
            post = new_post(row, path.name) if isinstance(row, Post) else None
            if post is None or post.posted_at is None:
                without += 1
                continue
            at = post.posted_at.astimezone(WIB)
            found.append(Dated(at=at, post=replace(post, engagement={})))
    if not found:
        raise FeedError(f"{path}: no row has a date that can be read; a replay needs them")
    return sorted(found, key=lambda d: d.at), without


def laid_over(
    feeds: Sequence[Sequence[Dated]], *, start: datetime = START, span: timedelta = SPAN
) -> list[Dated]:
    """Return all posts of the feeds within one span of whole weeks, by ``fold``."""
    out = []
    for feed in feeds:
        moments = fold([d.at for d in feed], start, span)
        out += [
            replace(d, at=at, post=replace(d.post, posted_at=at))
            for d, at in zip(feed, moments, strict=True)
        ]
    return sorted(out, key=lambda d: d.at)


def shapes_of(feed: Sequence[Dated]) -> list[Shape]:
    """Return the measured shapes of a feed."""
    return measured_shapes(
        [d.post.text for d in feed], [d.at for d in feed], [d.post.account for d in feed]
    )


def planted(posts: Sequence[PlantedPost]) -> list[Dated]:
    """Return planted posts as the intake gets them."""
    return [
        Dated(
            at=p.at,
            planting=p.planting,
            post=NewPost(
                text=p.text,
                platform=p.platform,
                external_id=f"planted-{p.planting}-{number}",
                source="planted",
                account=p.account,
                posted_at=p.at,
            ),
        )
        for number, p in enumerate(posts)
    ]


def read_false(path: Path) -> list[FalseText]:
    """Return the false posts of a feed, with the days they were posted and debunked if known.

    Raises:
        FeedError: the feed cannot be read.
    """
    out = []
    with open_feed(path) as feed:
        for number, row in enumerate(feed):
            if not isinstance(row, Post):
                continue
            post = new_post(row, path.name)
            values = dict(zip(row.columns, row.values, strict=False))
            out.append(
                FalseText(
                    id=f"{path.stem}-{number}",
                    text=post.text,
                    platform=post.platform,
                    posted=_day(values.get("posted") or row.created_at),
                    debunked=_day(values.get("debunked")),
                )
            )
    return out


def _day(value: object) -> date | None:
    at = moment(str(value)) if value else None
    return None if at is None else at.astimezone(WIB).date()


def unseen_texts(folder: Path) -> dict[str, FalseTexts]:
    """Return the false texts of the corpus that are not in training, by part: valid and test.

    The corpus holds no near-duplicate (Jaccard ≥ 0.7) of a training text in another part. Of a
    case with both, the post is taken and not its title. Examples written for Lilin are left out.

    Raises:
        CorpusError: the folder holds no labelled data.
    """
    from models.corpus import build_corpus

    corpus = build_corpus(folder)
    out: dict[str, FalseTexts] = {}
    for part in ("valid", "test"):
        cases: set[str] = set()
        circulated: list[FalseText] = []
        claims: list[FalseText] = []
        for example in sorted(corpus.part(part), key=lambda e: (e.field != "text", e.id)):
            name = example.id.rsplit("/", 1)[0]
            if example.false != 1 or example.source.startswith("lilin_") or name in cases:
                continue
            cases.add(name)
            text = FalseText(id=name, text=example.text, debunked=_day(example.date))
            (circulated if example.field == "text" else claims).append(text)
        out[part] = FalseTexts(circulated=tuple(circulated), claims=tuple(claims))
    return out
