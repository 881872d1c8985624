"""A replay through the desk's own code: what is alerted, when, for whom, and what is said of it."""

from __future__ import annotations

import csv
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from models.fake import FakeScorer
from models.likeness import Space
from models.release import RELEASE
from models.scorer import Floats, Score
from pipeline.replay.earliness import Case, Outcome
from pipeline.replay.planting import FalseText
from service.alerts.service import AlertRules
from service.cli import main
from service.pages.words import WIB
from service.posts.intake import NewPost
from service.queue.service import QueueRules
from service.replay import report
from service.replay.document import write
from service.replay.experiment import BUDGETS, Setting, Trial, plant_in, run_trial
from service.replay.material import BUSY_SPAN, Dated, laid_over, shapes_of
from service.replay.remarks import beside_best, held_to_vain, verdict
from service.replay.run import Played, Rules, play
from service.replay.scores import KeptScores
from service.replay.whole import (
    BUSIER,
    Found,
    Gained,
    busier,
    longest_first,
    planted_among,
    played_all,
)

START = datetime(2026, 1, 5, tzinfo=WIB)
SYLLABLES = [c + v for c in "bcdgjklmnprstw" for v in "aiueo"]
FALSE = (
    "viralkan: rekening warga yang tidak lapor dalam tiga hari akan dibekukan bank, hubungi admin "
    "di nomor 0812-3456-7890 sekarang juga"
)


class Scorer(FakeScorer):
    """Scores as its base, but what it does not flag it finds as harmless as the model does."""

    def score_and_embed(self, texts: Sequence[str]) -> list[tuple[Score, Floats]]:
        made = super().score_and_embed(texts)
        return [(s if s.risk >= 0.5 else replace(s, risk=s.risk / 30), v) for s, v in made]


def words(dice: random.Random, count: int) -> str:
    """Return invented words, so that no two posts share many by chance."""
    return " ".join("".join(dice.choice(SYLLABLES) for _ in range(4)) for _ in range(count))


def post(at: datetime, text: str, account: str, number: int, planting: int | None = None) -> Dated:
    made = NewPost(text=text, platform="x", external_id=str(number), account=account, posted_at=at)
    return Dated(at=at, post=made, planting=planting)


def chatter(count: int, hours: float, seed: int = 1) -> list[Dated]:
    dice = random.Random(seed)
    return [
        post(
            START + timedelta(hours=hours * n / count),
            words(dice, 9),
            f"a{dice.randrange(500)}",
            n,
        )
        for n in range(count)
    ]


def rising(begins: float, count: int, *, text: str = FALSE, number: int = 7) -> list[Dated]:
    """A narrative whose posts come faster and faster: the last hour has most of them."""
    return [
        post(
            START + timedelta(hours=begins + 6 * (n / count) ** 0.5),
            text if n % 3 else f"{text} #{n}",
            f"p{number}-{n}",
            100_000 * number + n,
            number,
        )
        for n in range(count)
    ]


def in_order(*feeds: Sequence[Dated]) -> list[Dated]:
    return sorted((d for feed in feeds for d in feed), key=lambda d: d.at)


@pytest.fixture(scope="module")
def rules() -> Rules:
    flagged = FakeScorer().thresholds.budget_5
    return Rules(
        queue=QueueRules(threshold=flagged),
        alerts=AlertRules(),
        space=Space.load(RELEASE),
        flagged=flagged,
    )


@pytest.fixture(scope="module")
def played(rules: Rules, tmp_path_factory: pytest.TempPathFactory) -> Played:
    scores = KeptScores(Scorer(), tmp_path_factory.mktemp("scores"))
    harmless = rising(20, 60, text="konser gratis di taman kota malam ini ajak teman", number=8)
    feed = in_order(chatter(150, 40), rising(10, 60), harmless)
    return play(feed, scores, rules, budgets=(1, 20))


def test_a_risky_narrative_that_catches_is_alerted_and_known_for_what_it_is(played: Played) -> None:
    first = played.told[0]
    assert first.planting == 7
    assert first.posts < 30
    assert START + timedelta(hours=10) < first.at < START + timedelta(hours=16)


def test_what_is_not_risky_is_not_alerted_however_fast_it_spreads(played: Played) -> None:
    assert {t.planting for t in played.told} == {7}


def test_every_post_is_seen_once_in_order_in_some_narrative(played: Played) -> None:
    assert len(played.seen) == 270
    assert all(s.narrative > 0 for s in played.seen)
    assert [s.at for s in played.seen] == sorted(s.at for s in played.seen)


def test_a_smaller_budget_never_says_more(played: Played) -> None:
    assert 1 <= len(played.raised(1)) <= 2
    assert len(played.raised(1)) <= len(played.raised(20))


def test_an_alert_never_comes_before_what_it_tells_of(played: Played) -> None:
    for told in played.told:
        known = sum(s.narrative == told.narrative and s.at <= told.at for s in played.seen)
        assert told.posts == known


def test_the_same_feed_says_the_same_again(rules: Rules, tmp_path: Path) -> None:
    feed = in_order(chatter(60, 20), rising(10, 40))
    scores = KeptScores(Scorer(), tmp_path)
    first, again = (play(feed, scores, rules, budgets=(20,)) for _ in range(2))
    assert (first.seen, first.told, first.entered) == (again.seen, again.told, again.entered)


def test_stages_go_through_lilin_before_they_burn(played: Played) -> None:
    number = played.told[0].narrative
    stages = [c.stage for c in played.entered if c.narrative == number]
    assert stages[0] == "lilin"
    assert {"obor", "api"} & set(stages)


def test_the_plain_report_masks_and_tells_the_alert(played: Played) -> None:
    text = report.plain(played, budget=20, without_date=3)
    assert "0812" not in text
    assert "rekening warga" in text
    assert "Peringatan: " in text


def test_an_alert_is_told_by_all_its_posts_and_by_those_of_the_last_day(
    rules: Rules, tmp_path: Path
) -> None:
    """A false post is told too slowly for an alert; a day after it is still, others tell it."""
    old = [post(START + timedelta(hours=9 * n), FALSE, f"o{n}", 5000 + n, 5) for n in range(14)]
    anew = rising(9 * 14 + 30, 40, number=6)
    feed = in_order(chatter(60, 160), old, anew)
    played = play(feed, KeptScores(Scorer(), tmp_path), rules, budgets=(20,))
    told = played.told[0]
    assert (told.planting, told.lately) == (5, 6)
    assert 14 < told.posts < 28
    assert played.raised(20)[0].planting == 5
    assert played.raised(20, lately=True)[0].planting == 6
    assert played.raised(5, lately=True) == []


def test_a_post_that_comes_twice_is_seen_once(rules: Rules, tmp_path: Path) -> None:
    feed = in_order(chatter(30, 10), rising(2, 20))
    twice = [d for d in feed for _ in range(2)]
    scores = KeptScores(Scorer(), tmp_path)
    once, again = (play(f, scores, rules, budgets=(20,)) for f in (feed, twice))
    assert once.told
    assert (once.seen, once.told, once.entered) == (again.seen, again.told, again.entered)


def test_stages_are_told_at_the_time_of_the_feed(played: Played) -> None:
    assert all(c.at.tzinfo == WIB for c in played.entered)
    moments = {s.at for s in played.seen}
    assert {c.at for c in played.entered if c.stage != "padam"} <= moments


def test_a_narrative_whose_title_would_break_the_table_does_not(
    rules: Rules, tmp_path: Path
) -> None:
    text = "viralkan | <script>alert(1)</script> | rekening warga desa akan dibekukan besok pagi"
    feed = in_order(chatter(60, 20), rising(5, 40, text=text))
    played = play(feed, KeptScores(Scorer(), tmp_path), rules, budgets=(20,))
    said = report.plain(played, budget=20, without_date=0)
    rows = [line for line in said.splitlines() if "rekening" in line]
    assert rows
    assert all(line.count("|") in (5, 6) for line in rows)


def planted_setting(seed: int = 1) -> Setting:
    dice = random.Random(3)
    bursts = [
        post(
            START + timedelta(days=day, minutes=2 * n), text, f"b{day}-{n}", 900_000 + 100 * day + n
        )
        for day, text in enumerate(
            ("bola malam ini seru sekali di kota", "kopi gratis dekat taman")
        )
        for n in range(14)
    ]
    background = in_order(chatter(200, 96), bursts)
    texts = tuple(
        FalseText(
            id=f"t{n}",
            text=f"viralkan {words(dice, 10)}",
        )
        for n in range(60)
    )
    shapes = tuple(shapes_of(bursts))
    return Setting(
        name="kecil",
        seed=seed,
        start=START,
        middle=START + timedelta(days=2),
        end=START + timedelta(days=4),
        background=tuple(background),
        first_texts=texts[::2],
        growers=texts[1::2],
        small=(),
        first_shapes=shapes,
        shapes=shapes,
        a_day=3,
        growers_a_day=0.5,
    )


@pytest.fixture(scope="module")
def trial(rules: Rules, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    scores = KeptScores(Scorer(), tmp_path_factory.mktemp("scores"))
    return run_trial(planted_setting(), scores, rules)


def test_a_planted_replay_counts_every_grower_at_every_budget(trial: Trial) -> None:
    assert len(trial.growers) == 1
    for budget in BUDGETS:
        assert len(trial.ours[budget].cases) == 1
        assert sum(trial.ours[budget].alerts) <= budget * 2
        assert len(trial.ours[budget].alerts) == 2
    assert all(sum(o.alerts) <= b * 2 for of in trial.theirs.values() for b, o in of.items())


def test_planted_posts_are_put_together(trial: Trial) -> None:
    assert trial.together.f1 > 0.85


def test_the_desk_catches_what_was_planted(trial: Trial) -> None:
    assert any(case.alerted_at for case in trial.ours[20].cases)


def test_the_report_of_a_planted_replay_names_every_grower_and_every_rival(trial: Trial) -> None:
    text = report.planted(trial, budget=20)
    assert all(name in text for name in ("volume threshold", "z-score", "risk only", "first come"))
    assert all(f"| {g.seed} | {g.planting.number} |" in text for g in trial.growers)


def write_feed(path: Path, posts: Sequence[Dated]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "created_at", "account", "platform", "text"])
        for d in posts:
            row = (d.post.external_id, d.at.isoformat(), d.post.account, "x", d.post.text)
            writer.writerow(row)
    return path


def test_false_posts_of_ones_own_are_planted_among_ones_own_feed(tmp_path: Path) -> None:
    setting = planted_setting()
    false = tmp_path / "salah.csv"
    false.write_text(
        "text,posted,debunked\n"
        + "".join(f"palsu {n},2025-01-0{n % 9 + 1},2025-02-01\n" for n in range(40)),
        encoding="utf-8",
    )
    made = planted_among(list(setting.background), false, seed=4)
    assert (made.start, made.end) == (START, START + timedelta(days=4))
    assert made.middle == START + timedelta(days=2)
    assert {t.id for t in made.first_texts}.isdisjoint(t.id for t in made.growers)
    assert made.a_day == pytest.approx(40 / 4)


def test_the_command_plays_a_feed_and_says_what_it_would_have_alerted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    feed = write_feed(tmp_path / "umpan.csv", chatter(20, 10))
    main_exit(["replay", str(feed), "-o", "laporan.md"])
    said = (tmp_path / "laporan.md").read_text(encoding="utf-8")
    assert said.startswith("# Putar ulang\n")
    assert "20 kiriman" in said
    assert (tmp_path / "build" / "replay").is_dir()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "tanpa.csv"], "no row has a date"),
        (["replay", "tidak-ada.csv"], "there is no such file"),
        (["replay", "ada.csv", "--plant", "ada.csv"], "4 days or more"),
        (["earliness", "."], "none of the files"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tanpa.csv").write_text("text\nhalo semua\n", encoding="utf-8")
    write_feed(tmp_path / "ada.csv", chatter(20, 10))
    assert main_exit(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def main_exit(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as left:
        return int(left.code or 0)
    return 0


@pytest.fixture
def found(trial: Trial, played: Played) -> Found:
    return Found(
        version="fake-1",
        flagged=0.5,
        part="test",
        trials=[trial],
        busier=[trial],
        groups=[1, 1, 2, 14],
        seen=trial,
        real={"kecil": played},
        gained=[Gained(days=d, risk=r) for d, r in ((2, 0.9), (40, 0.1), (400, 0.6))],
        real_2025=played,
        texts={"test, circulated": 30},
    )


def test_the_document_says_what_was_asked_and_whether_it_was_reached(
    found: Found, tmp_path: Path
) -> None:
    path = tmp_path / "early-warning.md"
    write(found, path, "a machine")
    text = path.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and "reached" in line]
    assert len(rows) == 5
    assert all(re.search(r"\| (?:reached|\*\*not reached\*\*) \|$", row) for row in rows)
    assert "0812" not in text
    for name in re.findall(r"\]\(([^)]+\.svg)\)", text):
        ET.parse(tmp_path / name)


def test_the_document_of_a_development_run_says_so(found: Found, tmp_path: Path) -> None:
    found.part = "dev"
    write(found, tmp_path / "dev.md", "a machine")
    assert "not the figures that count" in (tmp_path / "dev.md").read_text(encoding="utf-8")


def test_every_table_of_the_document_has_rows_as_wide_as_its_head(
    found: Found, tmp_path: Path
) -> None:
    write(found, tmp_path / "d.md", "a machine")
    width = 0
    for line in (tmp_path / "d.md").read_text(encoding="utf-8").splitlines():
        cells = line.count("|") if line.startswith("|") else 0
        assert not (cells and width) or cells == width, line
        width = cells


def test_a_busier_desk_has_the_same_posts_at_their_hour_of_the_week_in_half_the_time() -> None:
    setting = replace(planted_setting(), end=START + timedelta(days=14))
    feeds = {"a": chatter(90, 24 * 30), "b": chatter(60, 24 * 20, seed=2)}
    first, second = busier([setting, replace(setting, seed=2)], feeds)
    assert (first.seed, second.seed, first.name) == (1, 2, BUSIER)
    assert (first.start, first.end) == (START, START + timedelta(days=7))
    assert first.background == second.background
    assert [d.at for d in first.background] == sorted(d.at for d in first.background)
    assert all(START <= d.at < first.end for d in first.background)
    quiet = {
        (d.post.text, (d.at - START) % timedelta(days=7)) for d in laid_over(list(feeds.values()))
    }
    assert {(d.post.text, d.at - START) for d in first.background} == quiet
    kept = ("first_texts", "growers", "small", "first_shapes", "shapes", "a_day", "growers_a_day")
    assert all(getattr(first, name) == getattr(setting, name) for name in kept)


def test_as_much_is_planted_a_day_on_a_busier_desk() -> None:
    setting = planted_setting()
    (busy,) = busier([setting], {"a": list(setting.background)})
    plantings, posts = plant_in(busy)
    measured = [p for p in plantings if p.moments[0] >= busy.middle]
    assert (len(plantings), len(measured)) == (7 * 3 + 2 + 2, 4 * 3 + 2)
    assert sum(p.grows for p in measured) == 2
    assert all(busy.start <= p.at < busy.end for p in posts)
    assert busy.end - busy.start == BUSY_SPAN


def test_part_of_a_day_cannot_be_planted() -> None:
    with pytest.raises(ValueError, match="whole days"):
        plant_in(replace(planted_setting(), middle=START + timedelta(hours=36)))


def told_early(*early: bool, vain: int = 6, harmless: int = 4) -> Outcome:
    """Two days, on both of which so many alerts were in vain."""
    cases = tuple(
        Case(planting=n, posts=100, alerted_at=START, seen_before=3, to_come=0.97)
        if one
        else Case(planting=n, posts=100)
        for n, one in enumerate(early)
    )
    return Outcome(cases=cases, alerts=(9, 9), in_vain=(vain,) * 2, on_harmless=(harmless,) * 2)


def compared(trial: Trial, *, ours: Outcome, rival: Outcome, ablation: Outcome) -> Trial:
    nothing = told_early(*(False for _ in ours.cases))
    theirs = {name: dict.fromkeys(BUDGETS, nothing) for name in trial.theirs}
    theirs |= {
        "z-score": dict.fromkeys(BUDGETS, rival),
        "flagged volume": dict.fromkeys(BUDGETS, ablation),
    }
    return replace(
        trial,
        ours=dict.fromkeys(BUDGETS, ours),
        theirs=theirs,
        as_often={name: of[20] for name, of in theirs.items() if name in trial.as_often},
        growers=[],
    )


def test_how_many_times_the_best_rival_is_said_with_both_kinds_of_vain(
    found: Found, trial: Trial
) -> None:
    every, half = (True,) * 8, (True, False) * 4
    one = compared(
        trial,
        ours=told_early(*every),
        rival=told_early(*half, vain=14, harmless=12),
        ablation=told_early(*every),
    )
    said = beside_best([one])
    assert "Lilin catches 100% (100%–100%) early, the best rival (z-score) 50% (" in said
    assert re.search(r"\*\*2\.0 \(1\.\d–\d\.\d\) times\*\* as many", said)
    assert "in vain 6.0 (6.0–6.0) times a day, of these 4.0 (4.0–4.0) on nothing planted" in said
    assert "the rival 14.0 (14.0–14.0), of these 12.0 (12.0–12.0)" in said
    assert "the best (z-score) catches 50%" in held_to_vain([one])
    found.trials = [one]
    assert verdict(found)[0].startswith("**Twice the best rival: reached.**")
    found.trials = [
        compared(
            trial, ours=told_early(*half), rival=told_early(*half), ablation=told_early(*every)
        )
    ]
    assert verdict(found)[0].startswith("**Twice the best rival: not reached.**")


def test_a_rival_that_catches_nothing_has_no_number_of_times(trial: Trial) -> None:
    none = told_early(False, False)
    one = compared(trial, ours=told_early(True, True), rival=none, ablation=none)
    assert "**∞ (∞–∞) times**" in beside_best([one])
    neither = compared(trial, ours=none, rival=none, ablation=none)
    assert "**– times**" in beside_best([neither])


def test_the_document_has_the_busier_desk_beside_the_other_and_not_without_one(
    found: Found, trial: Trial, tmp_path: Path
) -> None:
    found.busier = [replace(trial, posts_a_day=4321.0, seed=77)]
    write(found, tmp_path / "mit.md", "a machine")
    text = (tmp_path / "mit.md").read_text(encoding="utf-8")
    section = text.split("## On a busier desk")[1].split("\n## ")[0]
    assert "not instead of it" in section
    assert "4,321 posts a day instead of 57" in section
    assert "seeds 77" in section
    assert "In the replay above: At 20 alerts a day Lilin catches" in section
    assert section.count("of these on nothing planted |") == 3
    assert all(section.count(f"\n| {name} |") == 2 for name in ("volume threshold", "z-score"))
    found.busier = []
    write(found, tmp_path / "ohne.md", "a machine")
    assert "busier" not in (tmp_path / "ohne.md").read_text(encoding="utf-8")


def test_the_numbers_of_the_method_are_those_of_the_measurement(
    found: Found, tmp_path: Path
) -> None:
    write(found, tmp_path / "d.md", "a machine")
    text = (tmp_path / "d.md").read_text(encoding="utf-8")
    background = len(planted_setting().background)
    assert f"{background} real posts" in text
    assert f"about {background / 4:.0f} posts a day" in text
    assert "of 4 groups 2 reach 2 posts, 1 reach 3 posts" in text


def test_replays_in_processes_are_told_as_they_end_and_kept_under_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    feeds = {"kecil": chatter(3, 1), "besar": chatter(9, 3)}
    trials, played = played_all([], feeds, None, said.append)
    assert trials == []
    assert {name: len(p.seen) for name, p in played.items()} == {"kecil": 3, "besar": 9}
    assert [line.split(":")[0] for line in said] == ["1 of 2", "2 of 2"]


def test_the_longest_replays_begin_first() -> None:
    setting = planted_setting()
    short = replace(setting, background=setting.background[:9])
    assert longest_first([short, setting, short]) == [1, 0, 2]
