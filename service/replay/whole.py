"""The whole measurement behind docs/early-warning.md: planted replays, real months, real dates."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal

from pipeline.replay.bursts import BURST_POSTS, bursts_of
from pipeline.replay.planting import CannotPlant, FalseText
from service.operations.processes import follow_parent
from service.replay.experiment import (
    A_DAY,
    BUDGET,
    GROWERS_A_DAY,
    Setting,
    Trial,
    plant_in,
    run_trial,
)
from service.replay.material import (
    BACKGROUND,
    BUSY_CALIBRATION,
    BUSY_SPAN,
    CALIBRATION,
    FALSE_2025,
    SHAPES,
    SPAN,
    START,
    Dated,
    FalseTexts,
    laid_over,
    read_dated,
    read_false,
    shapes_of,
    unseen_texts,
)
from service.replay.run import Played, play
from service.replay.scores import KeptScores
from service.replay.setup import load

Part = Literal["dev", "test"]
FEWEST_DAYS: Final = 4
SEEDS: Final = (5, 6, 7, 8)
"""Of the planted replays."""
SEEN_SEED: Final = 11
"""Of the one with texts that the model was trained on."""
BUSIER: Final = "busier desk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gained:
    """A false post of 2025 on the day it was posted."""

    days: int
    """From that day to the debunk."""
    risk: float


@dataclass(slots=True, kw_only=True)
class Found:
    """Everything that the report tells."""

    version: str
    flagged: float
    part: Part
    trials: list[Trial] = field(default_factory=list)
    busier: list[Trial] = field(default_factory=list)
    """The same on a desk twice as busy: the same posts in half the time, as many plantings a day."""
    seen: Trial | None = None
    """With texts of 2025 that the model was trained on, and their days."""
    real: dict[str, Played] = field(default_factory=dict)
    """Each background feed by itself, on its own dates."""
    gained: list[Gained] = field(default_factory=list)
    real_2025: Played | None = None
    """The false posts of 2025 on their own dates."""
    groups: list[int] = field(default_factory=list)
    """Posts of each measured group of near-copies."""
    texts: dict[str, int] = field(default_factory=dict)
    """How many false texts there were to plant, by what they are."""


def settings_of(
    folder: Path, part: Part, seeds: Sequence[int], texts: dict[str, FalseTexts] | None = None
) -> tuple[list[Setting], Setting, dict[str, list[Dated]]]:
    """Return the setting of each seed, that of the seen texts, and the background by feed.

    Texts of part "test" were debunked from December 2025 on (and, as the ministry's claims, in
    2023), those of part "dev" before; the shapes are the measured bursts with an odd number for
    the one and an even number for the other.

    Raises:
        CorpusError: the folder holds no labelled data.
        FeedError: a feed of its timelines cannot be read.
    """
    times = folder / "timelines"
    feeds = {name: read_dated(times / f"{name}.csv")[0] for name in BACKGROUND}
    texts = texts or unseen_texts(folder)
    shapes = shapes_of(feeds[SHAPES])
    even, odd = tuple(shapes[::2]), tuple(shapes[1::2])
    dev, test = texts["valid"], texts["test"]
    if part == "test":
        first, growers, small = dev.all, test.circulated, test.claims
    else:
        first = dev.all[::2]
        growers, small = dev.circulated[1::2], dev.claims[1::2]
    base = Setting(
        name="unseen texts",
        seed=0,
        start=START,
        middle=START + CALIBRATION,
        end=START + SPAN,
        background=tuple(laid_over(list(feeds.values()))),
        first_texts=first,
        growers=growers,
        small=small,
        first_shapes=even,
        shapes=odd if part == "test" else even,
    )
    old = tuple(t for t in read_false(times / f"{FALSE_2025}.csv") if t.posted and t.debunked)
    seen = replace(base, name="texts seen in training", seed=SEEN_SEED, growers=old, small=old)
    return [replace(base, seed=seed) for seed in seeds], seen, feeds


def busier(settings: Sequence[Setting], feeds: Mapping[str, Sequence[Dated]]) -> list[Setting]:
    """Return the settings on a desk twice as busy.

    The same background lies on half the days, every post at its hour of the week; as much is
    planted a day, of the same texts and shapes. So only the harmless chatter doubles.
    """
    background = tuple(laid_over(list(feeds.values()), span=BUSY_SPAN))
    return [
        replace(
            setting,
            name=BUSIER,
            background=background,
            middle=setting.start + BUSY_CALIBRATION,
            end=setting.start + BUSY_SPAN,
        )
        for setting in settings
    ]


def planted_among(feed: Sequence[Dated], file: Path, *, seed: int) -> Setting:
    """Return the setting of a replay of one's own: false posts of a file among dated posts.

    In the first half of the days cut-offs are learnt. The false posts and the feed's own bursts
    are halved too: those with an even number are planted in the first half of the days.

    Raises:
        FeedError: the file of false posts cannot be read.
        CannotPlant: there are too few days, posts or bursts.
    """
    start = feed[0].at.replace(hour=0, minute=0, second=0, microsecond=0)
    days = (feed[-1].at - start) // timedelta(days=1) + 1
    texts, shapes = read_false(file), shapes_of(feed)
    even, odd = tuple(shapes[::2]), tuple(shapes[1::2])
    if days < FEWEST_DAYS or not (bursts_of(even) and bursts_of(odd)) or len(texts) < 2 * days:
        raise CannotPlant(
            f"to plant, feeds of {FEWEST_DAYS} days or more are needed in which some text was "
            f"posted {BURST_POSTS} times by several accounts, and two false posts a day"
        )
    a_day = min(A_DAY, len(texts) / days)
    return Setting(
        name=file.name,
        seed=seed,
        start=start,
        middle=start + timedelta(days=days // 2),
        end=start + timedelta(days=days),
        background=tuple(feed),
        first_texts=tuple(texts[::2]),
        growers=tuple(texts[1::2]),
        small=(),
        first_shapes=even,
        shapes=odd,
        a_day=a_day,
        growers_a_day=min(GROWERS_A_DAY, a_day / 2),
    )


def evaluate(
    folder: Path,
    *,
    part: Part = "test",
    seeds: Sequence[int] = SEEDS,
    model: Path | None = None,
    rest: bool = True,
    say: Callable[[str], None] = lambda _line: None,
) -> Found:
    """Measure everything.

    ``rest``: also the busier desk, the seen texts, the real months and the real dates. Where it is
    cut short by an error, what has not begun yet is left undone.
    """
    texts = unseen_texts(folder)
    scores, rules = load(model)
    settings, seen, feeds = settings_of(folder, part, seeds, texts)
    found = Found(version=scores.version, flagged=rules.flagged, part=part)
    found.texts = {
        f"{name}, {kind}": len(getattr(of_part, kind))
        for name, of_part in texts.items()
        for kind in ("circulated", "claims")
    }
    found.groups = [shape.posts for shape in shapes_of(feeds[SHAPES])]
    busy = busier(settings, feeds) if rest else []
    every = [*settings, *busy, *([seen] if rest else [])]
    real = dict(feeds)
    if rest:
        real[FALSE_2025] = read_dated(folder / "timelines" / f"{FALSE_2025}.csv")[0]
    say("scoring what is not scored yet")
    for setting in every:
        scores.score_and_embed([p.text for p in plant_in(setting)[1]])
    for feed in real.values():
        scores.score_and_embed([d.post.text for d in feed])
    trials, played = played_all(every, real if rest else {}, model, say)
    found.trials, found.busier = trials[: len(settings)], trials[len(settings) :][: len(busy)]
    if rest:
        found.seen = trials[-1]
        found.real = {name: played[name] for name in feeds}
        found.real_2025 = played[FALSE_2025]
        found.gained = _gained(seen.growers, scores)
    return found


def longest_first(settings: Sequence[Setting]) -> list[int]:
    """Return the numbers of the settings in the order in which processes best take them."""
    return sorted(range(len(settings)), key=lambda n: -len(settings[n].background))


def played_all(
    settings: Sequence[Setting],
    feeds: Mapping[str, Sequence[Dated]],
    model: Path | None,
    say: Callable[[str], None],
) -> tuple[list[Trial], dict[str, Played]]:
    """Return what came of each, in the order given; the longest begin first.

    In processes, for a replay is one database after the other; none may share another's threads.
    """
    workers = min(len(settings) + len(feeds), os.cpu_count() or 1)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # theirs, or its idle threads fill the cores
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=follow_parent
    ) as pool:
        trials = {n: pool.submit(trial_of, settings[n], model) for n in longest_first(settings)}
        played = {
            name: pool.submit(played_of, feeds[name], model)
            for name in sorted(feeds, key=lambda name: -len(feeds[name]))
        }
        names: dict[Future[Any], str] = {
            future: f"{settings[n].name}, seed {settings[n].seed}" for n, future in trials.items()
        }
        names |= {future: name for name, future in played.items()}
        try:
            for count, done in enumerate(as_completed(names), 1):
                say(f"{count} of {len(names)}: {names[done]}: {done.result().seconds:.0f} s")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return (
            [trials[n].result() for n in range(len(settings))],
            {name: future.result() for name, future in played.items()},
        )


def _gained(texts: Sequence[FalseText], scores: KeptScores) -> list[Gained]:
    scored = scores.score_and_embed([t.text for t in texts])
    return [
        Gained(days=(t.debunked - t.posted) // timedelta(days=1), risk=score.risk)
        for t, (score, _) in zip(texts, scored, strict=True)
        if t.posted and t.debunked
    ]


def trial_of(setting: Setting, model: Path | None) -> Trial:
    """Run one planted replay in a process of its own."""
    return run_trial(setting, *load(model, threads=1))


def played_of(feed: Sequence[Dated], model: Path | None) -> Played:
    """Replay one feed in a process of its own, at the budget of the targets."""
    return play(feed, *load(model, threads=1), budgets=(BUDGET,))
