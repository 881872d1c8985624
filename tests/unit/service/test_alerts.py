"""Alerts: what is watched, what is due, what is held back, what it says; on both databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.spread import Sign, Stage
from service.alerts import budget, lists, repository
from service.alerts.budget import Candidate
from service.alerts.errors import BadWatchList, WatchListTaken
from service.alerts.links import shareable
from service.alerts.lists import Given
from service.alerts.message import Message, plain
from service.alerts.places import PROVINCES, aliases_of
from service.alerts.service import AlertRules, carry_over, raise_due
from service.alerts.watchlists import Criteria, Texts, language_of, words_of
from service.audit import trail
from service.clarifications.nearest import Nearest
from service.database import Database
from service.migrations import migrate
from service.pages.words import WIB
from service.tables import (
    Account,
    Alert,
    AlertCandidate,
    Channel,
    Delivery,
    Narrative,
    QueueItem,
    State,
    StoredPost,
    Verdict,
    WatchList,
)
from tests.unit.service.alerting import HOAX, NOW, RULES, measured, post, raised, story
from tests.unit.service.receivers import Receiver
from tests.unit.service.sending import drain, make_channel

ONE_DATABASE = pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
DAY = timedelta(days=1)


def alerts(database: Database, **wanted: Any) -> list[Alert]:
    with database.read() as session:
        query = select(Alert).filter_by(**wanted).order_by(Alert.id)
        return list(session.scalars(query))


def watch(database: Database, name: str = "uji", *, most: int = 40, **criteria: Any) -> int:
    """Make a watch-list beside the one for everything, which is closed; return its number."""
    with database.write() as session:
        session.get_one(WatchList, 1).active = False
        asked = Given(name=name, criteria=Criteria(**criteria), budget=most)
        made = lists.create(session, asked, actor="test", now=NOW, rules=RULES)
        made.changed_at = None
        return made.id


def matches(text: str | Sequence[str], **criteria: Any) -> bool:
    texts = [text] if isinstance(text, str) else text
    return Criteria(**criteria).reads_in(Texts(texts))


# --- what is watched ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("vaksin", "Warga dipaksa vaksin", True),
        ("vaksin", "WARGA DIPAKSA V4KS1N!", True),
        ("vaksin", "v-a-k-s-i-n itu bahaya", True),
        ("vaksin", "váksin itu bahaya", True),
        ("vaksin", "vаksin dengan huruf Kiril", True),
        ("vaksin", "va\u200bksin tersembunyi", True),
        ("V4ksin", "soal vaksin", True),
        ("vaksin", "vaksinasi massal", False),
        ("vaksin", "antivaksin", False),
        ("Sri Mulyani", "kata SRI  mulyani kemarin", True),
        ("Sri Mulyani", "Mulyani Sri", False),
        ("bansos", "bansos/blt cair", True),
        ("#asean2023", "selamat datang #ASEAN2023!", True),
        ("#asean2023", "selamat datang ASEAN2023", False),
        ("#asean2023", "lihat #asean2023x", False),
        ("asean2023", "lihat #asean2023", True),
        ("#sri_mulyani", "#Sri_Mulyani mundur", True),
        ("#pemilu", "ayo ＃ＰＥＭＩＬＵ", True),
    ],
)
def test_a_term_is_found_as_a_whole_word_however_it_is_spelt(
    term: str, text: str, found: bool
) -> None:
    assert matches(text, terms=(term,)) is found


@pytest.mark.parametrize(
    ("region", "text", "found"),
    [
        ("Jawa Timur", "banjir di jatim", True),
        ("jatim", "banjir di Jawa Timur", True),
        ("jatim", "banjir di Surabaya", True),
        ("Surabaya", "banjir di jatim", False),
        ("DKI", "warga Jakarta panik", True),
        ("jatim", "malang sekali nasibnya", False),
        ("jatim", "warga Kota Malang", True),
        ("Kediri", "pasar di kediri tutup", True),
        ("NTT", "gempa di Kupang", True),
        ("Bali", "kembali lagi", False),
    ],
)
def test_a_region_is_known_by_its_names(region: str, text: str, found: bool) -> None:
    assert matches(text, regions=(region,)) is found


def test_there_are_38_provinces_and_each_can_be_looked_for() -> None:
    assert len(PROVINCES) == 38
    for name in PROVINCES:
        assert matches(f"hari ini di {name} ramai", regions=(name,))
    every = [alias for name in PROVINCES for alias in aliases_of([name])]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("id", "kabar ini tidak benar dan sudah dibantah"),
        ("jv", "wong iki ora ngerti opo opo, piye iki"),
        ("su", "kumaha ieu teh, urang teu nyaho naon naon"),
        ("ms", "kerajaan tidak boleh buat macam ni, korang cakap apa"),
        ("en", "this is not what they said, and you will see it"),
        (None, "covid 19 hoax?!"),
        (None, ""),
    ],
)
def test_a_language_is_guessed_from_small_words(language: str | None, text: str) -> None:
    assert language_of(words_of(text)) == language


def test_what_is_in_no_certain_language_passes_every_language() -> None:
    assert matches("covid 19 hoax", languages=("jv",))
    assert not matches("kabar ini tidak benar dan sudah dibantah", languages=("jv",))


def test_one_odd_text_among_many_does_not_decide() -> None:
    texts = ["kabar soal air keran"] * 19 + ["ini soal vaksin"]
    assert not matches(texts, terms=("vaksin",))
    assert matches([*texts, "vaksin lagi", "vaksin terus"], terms=("vaksin",))
    assert matches(["soal vaksin", *texts[:9]], terms=("vaksin",))


def test_between_criteria_all_must_hold() -> None:
    assert matches("vaksin di jatim", terms=("vaksin",), regions=("jatim",))
    assert not matches("vaksin di jabar", terms=("vaksin",), regions=("jatim",))


@pytest.mark.parametrize(
    ("criteria", "admitted"),
    [
        ({}, True),
        ({"minimum_risk": 0.7}, True),
        ({"minimum_risk": 0.9}, False),
        ({"platforms": ("x", "tiktok")}, True),
        ({"platforms": ("tiktok",)}, False),
        ({"labels": ("hoax",)}, True),
        ({"labels": ("malinformation",)}, False),
        ({"labels": ("disinformation",)}, False),
    ],
)
def test_counts_are_asked_before_any_text(criteria: dict[str, Any], admitted: bool) -> None:
    seen = Criteria(**criteria).admits(
        risk=0.8, platforms={"x": 30}, labels={"hoax": 20, "disinformation": 1, "valid": 200}
    )
    assert seen is admitted


@given(st.text(max_size=200), st.text(max_size=40))
def test_no_text_and_no_term_breaks_the_matching(text: str, term: str) -> None:
    matches(text, terms=(term,), regions=(term,), languages=("id",))


# --- when it is due ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        ({"stage": Stage.LILIN, "catches": 0.2, "risk": 0.5}, ["obor"]),
        ({"stage": Stage.LILIN, "catches": 0.2, "risk": 0.49}, []),
        ({"stage": Stage.LILIN, "catches": 0.1}, []),
        ({"stage": Stage.OBOR, "catches": 0.1}, ["obor"]),
        ({"stage": Stage.API}, ["api"]),
        ({"stage": Stage.QUIET, "catches": 0.9}, []),
        ({"stage": Stage.PADAM, "catches": 0.9}, []),
    ],
    ids=str,
)
def test_an_alert_is_due_by_stage_forecast_and_risk(
    database: Database, how: dict[str, Any], kinds: list[str]
) -> None:
    story(database, 7)
    assert raised(database, 7, **how) == len(kinds)
    assert [alert.kind for alert in alerts(database)] == kinds


def test_one_alert_per_narrative_and_kind_though_it_is_measured_a_hundred_times(
    database: Database,
) -> None:
    story(database, 7)
    counts = [
        raised(database, 7, stage=stage, now=NOW + timedelta(minutes=i), urgency=1 + i / 100)
        for i, stage in enumerate([Stage.LILIN] * 40 + [Stage.OBOR] * 30 + [Stage.API] * 30)
    ]
    assert sum(counts) == 2
    assert [(a.kind, a.state) for a in alerts(database)] == [("obor", "raised"), ("api", "raised")]
    assert counts[0] == counts[70] == 1


def test_a_narrative_that_comes_back_after_days_is_told_of_anew_and_once(
    database: Database,
) -> None:
    story(database, 7)
    assert raised(database, 7, stage=Stage.API, now=NOW - timedelta(days=5)) == 1
    with database.write() as session:
        told = session.scalars(select(Alert)).one()
        told.handled_at = NOW - timedelta(days=4)
        session.get_one(Narrative, 7).woke_at = NOW - timedelta(hours=1)

    counts = [
        raised(database, 7, stage=stage, now=NOW + timedelta(minutes=i))
        for i, stage in enumerate([Stage.LILIN, Stage.OBOR, Stage.API, Stage.API, Stage.OBOR])
    ]

    assert counts == [1, 0, 1, 0, 0]
    before, *anew = alerts(database)
    assert [(alert.kind, alert.at) for alert in anew] == [
        ("obor", NOW),
        ("api", NOW + timedelta(minutes=2)),
    ]
    assert all(alert.handled_at is None for alert in anew)
    assert "Hidup lagi" in str(anew[0].payload["why"])
    # What was told and seen to before stands as it was.
    assert (before.kind, before.at) == ("api", NOW - timedelta(days=5))
    assert before.handled_at == NOW - timedelta(days=4)
    assert "Hidup lagi" not in str(before.payload["why"])

    migrate(database, "0013")
    migrate(database)
    assert [(alert.kind, alert.wave) for alert in alerts(database)] == [("obor", 0), ("api", 0)]


def test_a_fire_that_shrinks_is_no_new_torch(database: Database) -> None:
    story(database, 7)
    assert raised(database, 7, stage=Stage.API) == 1
    assert raised(database, 7, stage=Stage.OBOR) == 0
    assert [alert.kind for alert in alerts(database)] == ["api"]


def test_what_came_late_by_days_raises_nothing(database: Database) -> None:
    story(database, 7, last=NOW - timedelta(hours=25))
    story(database, 8, last=NOW - timedelta(hours=23))
    assert raised(database, 7, 8, stage=Stage.API) == 1
    assert [alert.narrative_id for alert in alerts(database)] == [8]


def test_what_people_found_valid_raises_nothing(database: Database) -> None:
    story(database, 7, verdict=Verdict.VALID)
    assert raised(database, 7, stage=Stage.API) == 0


def test_each_watch_list_gets_what_it_asks_for(database: Database) -> None:
    story(database, 7, ["vaksin di jatim berbahaya"])
    story(database, 8, ["banjir besar di jabar"])
    vaccines = watch(database, "vaksin", terms=("vaksin",))
    west = watch(database, "jabar", regions=("Jawa Barat",))
    both = watch(database, "semua-x", platforms=("x",))
    watch(database, "tiktok", platforms=("tiktok",))
    assert raised(database, 7, 8) == 4
    found = {(a.watch_list_id, a.narrative_id) for a in alerts(database)}
    assert found == {(vaccines, 7), (west, 8), (both, 7), (both, 8)}


def test_a_closed_watch_list_raises_nothing(database: Database) -> None:
    story(database, 7)
    number = watch(database)
    with database.write() as session:
        lists.set_active(session, number, False, actor="test", now=NOW, rules=RULES)
    assert raised(database, 7) == 0
    assert alerts(database) == []


def test_the_first_migration_leaves_a_watch_list_for_everything(database: Database) -> None:
    with database.read() as session:
        (held,) = repository.watch_lists(session)
    assert (held.name, held.budget, held.channels, held.terms) == ("Semua", 40, [], [])


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_two_that_raise_at_once_make_one_alert(database: Database) -> None:
    for number in (7, 8):
        story(database, number)
    ready = threading.Barrier(2)
    counts: list[int] = []

    def one() -> None:
        with database.write() as session:
            changed = [measured(session, n) for n in (7, 8)]
            ready.wait(timeout=30)
            counts.append(raise_due(session, changed, now=NOW, rules=RULES))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 2]
    assert [alert.narrative_id for alert in alerts(database)] == [7, 8]


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_two_that_raise_at_once_keep_the_budget(database: Database) -> None:
    watch(database, most=1)
    for number in (7, 8):
        story(database, number)
    ready = threading.Barrier(2)

    def one(number: int) -> None:
        with database.write() as session:
            changed = [measured(session, number)]
            ready.wait(timeout=30)
            raise_due(session, changed, now=NOW, rules=RULES)

    threads = [threading.Thread(target=one, args=(n,)) for n in (7, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(alert.state for alert in alerts(database)) == ["held", "raised"]


# --- the budget --------------------------------------------------------------------------------


def test_no_more_are_raised_in_24_hours_than_can_be_read_and_the_most_urgent_first(
    database: Database,
) -> None:
    watch(database, most=3)
    for number in range(1, 7):
        story(database, number)
    with database.write() as session:
        changed = [measured(session, n, urgency=float(n)) for n in range(1, 7)]
        assert raise_due(session, changed, now=NOW, rules=RULES) == 3
    found = {a.narrative_id: (a.state, a.held_because) for a in alerts(database)}
    assert found == dict.fromkeys((4, 5, 6), ("raised", None)) | dict.fromkeys(
        (1, 2, 3), ("held", "budget")
    )


def test_what_is_new_goes_before_what_was_told_of_already(database: Database) -> None:
    watch(database, most=4)
    later = NOW + timedelta(hours=25)
    for number in (1, 2, 3, 4, 5):
        story(database, number, last=later)
    assert raised(database, 1, 2) == 2
    assert raised(database, 1, stage=Stage.API) == 0  # half of the four are used
    assert raised(database, 3, stage=Stage.API) == 1  # nobody knows of this one
    assert raised(database, 4) == 1
    assert raised(database, 5) == 0
    held = {a.narrative_id: a.held_because for a in alerts(database, state="held")}
    assert held == {1: "follow_up", 5: "budget"}

    assert raised(database, 1, now=later, stage=Stage.API) == 1
    told = [(a.narrative_id, a.kind, a.at) for a in alerts(database, state="raised")]
    assert (1, "api", later) in told


def test_the_shadow_run_puts_what_is_new_first_too() -> None:
    hours = [(1, "obor"), (2, "obor"), (1, "api"), (3, "api"), (4, "obor"), (5, "obor")]
    run = budget.shadow(
        [
            Candidate(narrative_id=n, kind=kind, at=NOW - timedelta(hours=20 - i), urgency=0.5)
            for i, (n, kind) in enumerate(hours)
        ],
        budget=4,
        now=NOW,
        since=NOW - 8 * DAY,
        default=0.0,
        floor=0.0,
        zone=WIB,
    )
    assert [(c.narrative_id, c.kind) for c in reversed(run.raised)] == [
        (1, "obor"),
        (2, "obor"),
        (3, "api"),
        (4, "obor"),
    ]
    assert (run.below, run.over) == (0, 2)


def test_what_is_held_is_raised_later_if_it_grows_and_there_is_room(database: Database) -> None:
    watch(database, most=1)
    later = NOW + timedelta(hours=25)
    for number in (1, 2, 3):
        story(database, number, last=later)
    assert raised(database, 1, 2, 3) == 1
    assert raised(database, 2, now=NOW + timedelta(hours=23)) == 0
    assert raised(database, 3, now=later, growth=-0.1) == 0
    assert raised(database, 2, now=later) == 1
    assert raised(database, 3, now=later) == 0
    by_number = {a.narrative_id: a for a in alerts(database)}
    assert [by_number[n].state for n in (1, 2, 3)] == ["raised", "raised", "held"]
    assert (by_number[2].due_at, by_number[2].at) == (NOW, later)


def test_what_someone_has_seen_to_is_not_raised_any_more(
    database: Database, people: dict[str, Account]
) -> None:
    watch(database, most=1)
    story(database, 1)
    story(database, 2)
    raised(database, 1, 2)
    (held,) = alerts(database, state="held")
    with database.write() as session:
        lists.mark_handled(session, held.id, people["ani"], True, now=NOW)
    assert raised(database, held.narrative_id, now=NOW + timedelta(hours=23, minutes=59)) == 0
    with database.write() as session:
        lists.mark_handled(session, held.id, people["ani"], False, now=NOW)
    with database.read() as session:
        actions = [row.action for row in trail.rows(session)][-2:]
    assert actions == ["alert.handle", "alert.unhandle"]


def fill_week(database: Database, watch_list_id: int, urgencies: Sequence[float]) -> None:
    """Write candidates and held alerts of the last week, evenly spread, older ones before them."""
    with database.write() as session:
        for i, urgency in enumerate([99.0, *urgencies]):
            at = NOW - timedelta(days=8) if i == 0 else NOW - 7 * DAY * (i - 0.5) / len(urgencies)
            number = 1000 + i
            session.add(_narrative(number, at))
            session.flush()
            session.add(AlertCandidate(narrative_id=number, kind="obor", at=at, urgency=urgency))
            session.add(
                Alert(
                    watch_list_id=watch_list_id,
                    narrative_id=number,
                    kind="obor",
                    state="held",
                    held_because="cut_off",
                    urgency=urgency,
                    due_at=at,
                    at=at,
                    payload={},
                )
            )


def _narrative(number: int, at: datetime, **more: Any) -> Narrative:
    values: dict[str, Any] = {
        "title": f"Narasi uji {number}",
        "keywords": [],
        "first_seen_at": at,
        "last_seen_at": at,
        "posts": 1,
        "accounts": 1,
        "platforms": {"x": 1},
        "labels": {"hoax": 1},
        "reach": 10,
        "risk_sum": 0.9,
        "risk": 0.9,
        "last_post_id": number,
    }
    return Narrative(id=number, **values | more)


def test_the_cut_off_follows_from_the_last_week(database: Database) -> None:
    number = watch(database, most=2)
    fill_week(database, number, [n / 100 for n in range(1, 101)])
    story(database, 1)
    story(database, 2)
    # Of 100 a week 14 can be read: those of 0.87 and more.
    assert raised(database, 1, urgency=0.86) == 0
    assert raised(database, 2, urgency=0.88) == 1
    assert {(a.narrative_id, a.held_because) for a in alerts(database) if a.narrative_id < 9} == {
        (1, "cut_off"),
        (2, None),
    }


def test_a_narrative_that_becomes_more_urgent_passes_the_cut_off(database: Database) -> None:
    number = watch(database, most=2)
    fill_week(database, number, [n / 100 for n in range(1, 101)])
    story(database, 1)
    assert raised(database, 1, urgency=0.5) == 0
    assert raised(database, 1, urgency=0.95) == 1


def test_until_there_is_a_week_the_default_is_the_cut_off(database: Database) -> None:
    watch(database)
    story(database, 1)
    story(database, 2)
    rules = AlertRules(cut_off=0.4)
    assert raised(database, 1, urgency=0.39, rules=rules) == 0
    assert raised(database, 2, urgency=0.41, rules=rules) == 1


def test_no_cut_off_is_below_the_floor(database: Database) -> None:
    number = watch(database)
    fill_week(database, number, [0.5] * 10)
    story(database, 1)
    story(database, 2)
    rules = AlertRules(floor=0.3)
    assert raised(database, 1, urgency=0.29, rules=rules) == 0
    assert raised(database, 2, urgency=0.31, rules=rules) == 1


@given(
    st.lists(st.floats(0, 10, allow_nan=False), max_size=60, unique=True),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_as_many_pass_the_cut_off_as_can_be_read(
    urgencies: list[float], most: int, days: int
) -> None:
    least = budget.cut_off(urgencies, budget=most, days=days)
    assert sum(u >= least for u in urgencies) == min(len(urgencies), most * days)


def _candidates(count: int, kept: Sequence[bool | None] = ()) -> list[Candidate]:
    return [
        Candidate(
            narrative_id=i,
            kind="obor",
            at=NOW - timedelta(hours=i),
            urgency=1.0,
            kept=kept[i] if i < len(kept) else None,
        )
        for i in range(count)
    ]


@given(st.integers(0, 200), st.integers(1, 20), st.floats(0, 9))
def test_a_shadow_run_never_spends_more_than_a_days_budget(
    count: int, most: int, days: float
) -> None:
    run = budget.shadow(
        _candidates(count),
        budget=most,
        now=NOW,
        since=NOW - days * DAY,
        default=0.0,
        floor=0.0,
        zone=WIB,
    )
    times = [candidate.at for candidate in run.raised]
    for at in times:
        assert sum(at - DAY < other <= at for other in times) <= most
    assert len(run.raised) + run.below + run.over == min(count, 168)
    assert sum(n for _, n in run.by_day) <= len(run.raised)


def test_a_shadow_run_of_a_whole_week_counts_its_days() -> None:
    run = budget.shadow(
        _candidates(100),
        budget=24,
        now=NOW,
        since=NOW - 30 * DAY,
        default=5.0,
        floor=0.0,
        zone=WIB,
    )
    assert (len(run.raised), run.below, run.over) == (100, 0, 0)
    assert run.enough
    assert run.a_day == pytest.approx(100 / 7)
    assert sum(n for _, n in run.by_day) == 100
    assert len(run.by_day) == 8


def test_precision_says_nothing_of_a_few_verdicts_and_comes_with_its_interval() -> None:
    assert budget.precision(_candidates(9, [True] * 9)) is None
    found = budget.precision(_candidates(20, [True] * 15 + [False] * 5))
    assert found is not None
    assert (found.share, found.decided) == (0.75, 20)
    # Wilson (1927) by hand: 15 of 20, z = 1.96.
    assert found.low == pytest.approx(0.531, abs=0.001)
    assert found.high == pytest.approx(0.888, abs=0.001)
    assert budget.precision(_candidates(20, [True] * 20), least=2.0) is None


def _decided(
    session: Session, number: int, verdicts: Sequence[Verdict], *, golden: bool = False
) -> None:
    session.add(_narrative(number, NOW))
    session.flush()
    for i, verdict in enumerate(verdicts):
        one = post(f"v{number}-{i}", f"kiriman {i}", number, at=NOW)
        session.add(one)
        session.flush()
        session.add(
            QueueItem(
                post_id=one.id,
                state=State.DECIDED,
                open=False,
                priority=1.0,
                first_seen_at=NOW,
                due_at=NOW,
                decided_at=NOW,
                verdict=verdict,
                golden=verdict if golden else None,
            )
        )


def test_a_narrative_was_worth_it_if_most_of_its_posts_were(database: Database) -> None:
    hoax, valid, more = Verdict.HOAX, Verdict.VALID, Verdict.NEEDS_MORE
    with database.write() as session:
        _decided(session, 1, [hoax, hoax, valid])
        _decided(session, 2, [valid, valid, hoax])
        _decided(session, 3, [more, more])
        _decided(session, 4, [valid], golden=True)
        _decided(session, 5, [hoax, valid])
        session.add(_narrative(6, NOW, verdict=Verdict.DISINFORMATION))
        _decided(session, 7, [hoax])
        session.get_one(Narrative, 7).verdict = Verdict.VALID
    with database.read() as session:
        assert repository.verdicts_of(session, range(1, 9)) == {
            1: True,
            2: False,
            6: True,
            7: False,
        }


def test_the_shadow_run_shows_what_another_watch_list_would_have_had(database: Database) -> None:
    story(database, 1, ["vaksin berbahaya"])
    story(database, 2, ["banjir besar"])
    story(database, 3, ["vaksin gratis"])
    raised(database, 1, 2, now=NOW - timedelta(hours=5))
    raised(database, 1, 3, now=NOW - timedelta(hours=2), stage=Stage.API, urgency=2.0)
    asked = Criteria(terms=("vaksin",))
    with database.read() as session:
        run = lists.shadow_run(session, asked, 40, now=NOW, rules=RULES)
        few = lists.shadow_run(session, asked, 1, now=NOW, rules=RULES)
    assert [(c.narrative_id, c.kind) for c in run.raised] == [(3, "api"), (1, "api"), (1, "obor")]
    assert not run.enough
    assert run.precision is None
    assert (len(few.raised), few.over) == (1, 2)


def test_a_changed_watch_list_takes_its_cut_off_from_the_shadow_run(database: Database) -> None:
    number = watch(database, most=40)
    fill_week(database, number, [n / 100 for n in range(1, 101)])
    asked = Given(name="uji", budget=2)
    with database.write() as session:
        held = lists.change(session, number, asked, actor="ani", now=NOW, rules=RULES)
        assert held.cut_off == pytest.approx(0.87)
        assert held.changed_at == NOW
    story(database, 1)
    story(database, 2)
    assert raised(database, 1, urgency=0.86) == 0
    assert raised(database, 2, urgency=0.88) == 1


# --- making watch-lists ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Given(name=" "), "name"),
        (Given(name="x" * 81), "name"),
        (Given(name="x", budget=0), "budget"),
        (Given(name="x", criteria=Criteria(terms=("@akun",))), "unread"),
        (Given(name="x", criteria=Criteria(terms=("https://contoh.id/a",))), "unread"),
        (Given(name="x", criteria=Criteria(terms=("#",))), "unread"),
        (Given(name="x", criteria=Criteria(terms=("a" * 101,))), "many"),
        (Given(name="x", criteria=Criteria(languages=("xx",))), "unknown"),
        (Given(name="x", criteria=Criteria(labels=("valid",))), "unknown"),
        (Given(name="x", criteria=Criteria(minimum_risk=1.1)), "risk"),
        (Given(name="x", channels=(99,)), "channel"),
    ],
    ids=str,
)
@ONE_DATABASE
def test_a_watch_list_that_makes_no_sense_is_refused(
    database: Database, asked: Given, reason: str
) -> None:
    with database.write() as session, pytest.raises(BadWatchList) as refused:
        lists.create(session, asked, actor="ani", now=NOW, rules=RULES)
    assert refused.value.reason == reason


@ONE_DATABASE
def test_two_watch_lists_never_have_one_name(database: Database) -> None:
    with database.write() as session, pytest.raises(WatchListTaken):
        lists.create(session, Given(name=" Semua "), actor="ani", now=NOW, rules=RULES)


@ONE_DATABASE
def test_every_change_of_a_watch_list_stands_in_the_trail_without_peoples_numbers(
    database: Database,
) -> None:
    asked = Given(name="Bansos", criteria=Criteria(terms=("bansos", "hub 081234567890 ya")))
    with database.write() as session:
        number = lists.create(session, asked, actor="ani", now=NOW, rules=RULES).id
        lists.change(session, number, asked, actor="ani", now=NOW, rules=RULES)
        fewer = Given(name="Bansos", criteria=asked.criteria, budget=5)
        lists.change(session, number, fewer, actor="budi", now=NOW, rules=RULES)
        lists.set_active(session, number, False, actor="ani", now=NOW, rules=RULES)
        lists.set_active(session, number, True, actor="ani", now=NOW, rules=RULES)
    with database.read() as session:
        rows = [(row.actor, row.action, row.details) for row in trail.rows(session)]
    assert [row[:2] for row in rows] == [
        ("ani", "watch_list.create"),
        ("budi", "watch_list.change"),
        ("ani", "watch_list.close"),
        ("ani", "watch_list.open"),
    ]
    assert rows[0][2]["terms"] == ["bansos", "hub <TELP> ya"]
    assert rows[1][2] == {"budget": 5}


# --- what it says ------------------------------------------------------------------------------

HOSTILE = (
    "VIRALKAN <script>alert(1)</script> hubungi 081234567890 atau @penyebar_kabar "
    "\u202eterbalik\u202c =HYPERLINK(1)\nNIK 3174012345678901"
)


def _channel(database: Database, name: str = "piket", **more: Any) -> int:
    with database.write() as session:
        channel = Channel(
            name=name,
            kind="webhook",
            target=SecretStr("https://piket.example.go.id/x"),
            created_at=NOW,
            **more,
        )
        session.add(channel)
        session.flush()
        return channel.id


def test_nothing_leaves_the_desk_that_names_a_person(database: Database) -> None:
    story(
        database,
        7,
        [HOSTILE] * 3,
        account="@penyebar_kabar",
        url="https://x.com/penyebar_kabar/status/1788888888888888888",
        keywords=["@penyebar_kabar", "racun"],
        source="grup 081234567890",
    )
    raised(database, 7)
    (alert,) = alerts(database)
    said = str(alert.payload)
    for private in ("081234567890", "penyebar_kabar", "3174012345678901"):
        assert private not in said
    assert "https://x.com/i/status/1788888888888888888" in said
    assert "<TELP>" in alert.payload["newest"][0]["text"]
    assert "\u202e" not in said


def test_the_payload_has_a_version_and_all_that_is_needed_to_act(database: Database) -> None:
    texts = [f"{HOAX} nomor {n}" for n in range(8)]
    story(database, 7, texts, url="https://berita.example.id/a")
    with database.write() as session:
        rows = session.scalars(select(StoredPost).order_by(StoredPost.id)).all()
        for i, row in enumerate(rows):
            row.reach = 1000 - i
    sign = Sign(code="same_text_same_minutes", numbers={"accounts": 4, "posts": 5, "minutes": 5})
    raised(database, 7, signs=[sign])
    (alert,) = alerts(database)
    content = alert.payload
    assert (content["version"], content["level"], content["alert"]) == (1, "obor", alert.id)
    assert [p["text"][-1] for p in content["newest"]] == ["7", "6", "5", "4", "3"]
    assert [p["text"][-1] for p in content["most_seen"]] == ["0", "1", "2", "3", "4"]
    assert content["newest"][0]["url"] == "https://berita.example.id/a"
    assert content["link"] == f"https://meja.example.go.id/peringatan/{alert.id}"
    assert content["narrative_link"] == "https://meja.example.go.id/narasi/7"
    assert content["forecast"] == {"hours": 24, "low": 4, "mid": 18, "high": 60, "catches": 0.9}
    assert "antara 4 dan 60" in content["forecast_said"]
    assert "90 %" in content["forecast_said"]
    assert "DRAF" in content["draft"]
    assert "[" in content["draft"]
    assert not {"delivery", "kind", "created_at"} & content.keys()
    lines = "\n".join(plain(Message.of(content)))
    assert lines.startswith("Menuju obor: ")
    assert "Kiriman terbaru" in lines
    assert content["link"] in lines


def test_a_raised_alert_goes_out_on_the_active_channels_of_its_watch_list(
    database: Database,
) -> None:
    on, off = _channel(database), _channel(database, "lama", active=False)
    _channel(database, "lain")
    number = watch(database, most=1)
    with database.write() as session:
        session.get_one(WatchList, number).channels = [on, off]
    story(database, 1)
    story(database, 2)
    raised(database, 1, 2)
    with database.read() as session:
        (sent,) = session.scalars(select(Delivery))
    (alert,) = alerts(database, state="raised")
    assert (sent.channel_id, sent.alert_id, sent.payload) == (on, alert.id, alert.payload)


def test_the_nearest_clarification_stands_in_alert_and_draft(database: Database) -> None:
    asked: list[int | None] = []

    def nearest(_session: Session, found: StoredPost) -> Nearest:
        asked.append(found.narrative_id)
        return Nearest(
            id=1,
            title="Air keran aman diminum",
            url="https://cekfakta.example.id/air",
            publisher="Cek Fakta",
            published_at=NOW,
            rating="salah",
            likeness=0.81,
            words=("keran",),
        )

    story(database, 7)
    raised(database, 7, rules=AlertRules(nearest=nearest))
    (alert,) = alerts(database)
    known = alert.payload["clarification"]
    assert asked == [7]
    assert (known["title"], known["url"]) == (
        "Air keran aman diminum",
        "https://cekfakta.example.id/air",
    )
    assert "Air keran aman diminum (https://cekfakta.example.id/air)" in alert.payload["draft"]
    assert "Klarifikasi terdekat" in "\n".join(plain(Message.of(alert.payload)))


def test_an_alert_reaches_a_real_receiver(database: Database) -> None:
    with Receiver() as receiver:
        channel = make_channel(database, receiver.url)
        with database.write() as session:
            session.get_one(WatchList, 1).channels = [channel.id]
        story(database, 7)
        assert raised(database, 7) == 1
        assert drain(database, NOW) == 1
    (got,) = receiver.got
    body = json.loads(got.body)
    (alert,) = alerts(database)
    assert (body["version"], body["kind"], body["level"]) == (1, "alert", "obor")
    assert (body["alert"], body["narrative"]) == (alert.id, 7)
    assert body["message"]["title"] == f"Menuju obor: {HOAX}"


def test_alerts_and_deliveries_stand_or_fall_with_the_transaction(database: Database) -> None:
    on = _channel(database)
    with database.write() as session:
        session.get_one(WatchList, 1).channels = [on]
    story(database, 7)

    class Killed(Exception):
        pass

    def half_way() -> None:
        with database.write() as session:
            raise_due(session, [measured(session, 7)], now=NOW, rules=RULES)
            raise Killed

    with pytest.raises(Killed):
        half_way()
    with database.read() as session:
        for table in (Alert, AlertCandidate, Delivery):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    assert raised(database, 7) == 1


def test_the_alerts_of_a_merged_narrative_go_with_its_posts(database: Database) -> None:
    for number in (1, 2, 3):
        story(database, number)
    raised(database, 1)
    with database.write() as session:
        carry_over(session, [1, 3], 2)
    assert raised(database, 2) == 0
    assert [alert.narrative_id for alert in alerts(database)] == [2]


def test_alerts_past_their_retention_are_deleted(database: Database) -> None:
    later = NOW + 400 * DAY
    story(database, 1)
    story(database, 2, last=later)
    raised(database, 1)
    raised(database, 2, now=later)
    with database.write() as session:
        assert repository.forget_alerts(session, before=later - 365 * DAY) == 1
    assert [alert.narrative_id for alert in alerts(database)] == [2]
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AlertCandidate)) == 1


@pytest.mark.parametrize(
    ("url", "shared"),
    [
        ("https://x.com/seseorang/status/123", "https://x.com/i/status/123"),
        ("https://www.twitter.com/a/status/5?s=20", "https://x.com/i/status/5"),
        ("https://x.com/seseorang", None),
        ("https://www.instagram.com/p/Cxyz_1-a/?igsh=abc", "https://instagram.com/p/Cxyz_1-a/"),
        ("https://instagram.com/seseorang", None),
        ("https://www.youtube.com/watch?v=abc-1&t=3", "https://youtube.com/watch?v=abc-1"),
        ("https://www.youtube.com/@seseorang", None),
        ("https://facebook.com/seseorang/posts/1", None),
        ("https://www.tiktok.com/@seseorang/video/1", None),
        ("https://t.me/kanal/5", None),
        ("https://wa.me/6281234567890", None),
        ("https://berita.example.id/2026/11/a-12345678901234", "same"),
        ("https://berita.example.id/?kontak=081234567890", None),
        ("https://nama@contoh.example.id/", None),
        ("http://contoh.example.id/a", "same"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("https://contoh.example.id/a b", None),
        ("https://[", None),
        ("", None),
        (None, None),
    ],
)
def test_a_link_leaves_the_desk_only_without_a_persons_name(
    url: str | None, shared: str | None
) -> None:
    assert shareable(url) == (url if shared == "same" else shared)
