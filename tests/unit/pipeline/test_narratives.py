"""Narratives: which posts belong together, whatever the batches, restarts and disguises."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fake import FakeScorer
from models.release import RELEASE
from models.scorer import Scorer
from models.text import normalise
from pipeline import digest
from pipeline.clusters import Telling, b_cubed, read_groups
from pipeline.grouping import ALIVE, PHRASE, Grouper, alike
from pipeline.narratives import Arrival, InMemory, Placement

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
SCORER = FakeScorer()
MBG = "Mulai bulan depan rekening orang tua dipotong Rp150.000 untuk makan siang gratis di sekolah"
ATM = "Semua kartu ATM lama diblokir malam ini, segera perbarui lewat tautan dari bank pusat"
RETOLD = (
    "Katanya rekening orang tua bakal dipotong Rp150.000 tiap bulan buat makan siang gratis sekolah"
)
CHAT = "Tadi pagi kereta penuh sekali sampai tidak bisa duduk, untung bawa bekal dari rumah"


def arrivals(texts: Sequence[str], *, start: datetime = NOON, first: int = 1) -> list[Arrival]:
    vectors = SCORER.score_and_embed(texts)
    return [
        Arrival(
            id=first + i,
            normal=normalise(text),
            at=start + timedelta(minutes=i),
            embedding=vector if len(vector) else None,
        )
        for i, (text, (_, vector)) in enumerate(zip(texts, vectors, strict=True))
    ]


def placed(
    posts: Sequence[Arrival],
    *,
    cuts: Sequence[int] = (),
    restart: bool = False,
    most_alive: int = 1000,
    memory: InMemory | None = None,
) -> list[Placement]:
    memory = memory or InMemory()
    grouper = Grouper(SCORER.space, most_alive=most_alive)
    grouper.load(memory)
    out: list[Placement] = []
    bounds = [0, *sorted(set(cuts)), len(posts)]
    number = 1 + max((s.id for s in memory.latest(10**6)), default=0)
    for start, end in pairwise(bounds):
        part = posts[start:end]
        placements, states = grouper.place(part, memory, number)
        number += sum(p.by == "first" for p in placements)
        memory.keep(placements, states)
        out += placements
        if restart:
            grouper = Grouper(SCORER.space, most_alive=most_alive)
            grouper.load(memory)
    return out


def a_feed(seed: int, size: int = 120) -> list[Arrival]:
    """Return posts of a few stories, copied, disguised and retold, among posts of their own."""
    rng = random.Random(seed)
    words = "banjir pasar guru beras jalan lampu hujan bupati vaksin kartu pajak kuota".split()
    stories = [MBG, ATM, CHAT, "Air mendidih dicampur garam sembuhkan batuk dalam satu malam saja"]
    texts = []
    for _ in range(size):
        story = rng.choice(stories)
        texts.append(
            rng.choice(
                [
                    story,
                    story.upper() + " 🙏🙏",
                    "Fwd: " + story,
                    " ".join(rng.sample(story.split(), len(story.split()))),
                    " ".join(rng.choices(words, k=9)),
                    "Selamat pagi semua semoga berkah " + " ".join(rng.choices(words, k=4)),
                    "wkwk",
                    "😭😭",
                ]
            )
        )
    return arrivals(texts)


@given(st.integers(0, 10), st.lists(st.integers(1, 119), max_size=12))
@settings(max_examples=25)
def test_the_narratives_are_the_same_however_the_posts_are_cut_into_batches(
    seed: int, cuts: list[int]
) -> None:
    posts = a_feed(seed)

    assert placed(posts, cuts=cuts) == placed(posts)


@given(st.integers(0, 10), st.lists(st.integers(1, 119), max_size=6), st.sampled_from([5, 1000]))
@settings(max_examples=25)
def test_the_narratives_are_the_same_after_a_restart(
    seed: int, cuts: list[int], most_alive: int
) -> None:
    posts = a_feed(seed)

    whole = placed(posts, most_alive=most_alive)

    assert placed(posts, cuts=cuts, restart=True, most_alive=most_alive) == whole


def test_copies_near_copies_and_retold_posts_join_and_others_do_not() -> None:
    found = placed(
        arrivals(
            [MBG, MBG.upper() + "!!!", "Tolong sebarkan ke semua grup: " + MBG, RETOLD, ATM, CHAT]
        )
    )

    assert [p.by for p in found] == ["first", "copy", "near", "meaning", "first", "first"]
    assert [p.narrative_id for p in found] == [1, 1, 1, 1, 2, 3]
    assert found[1].variant_id == 1
    assert found[2].variant_id == 3


def test_posts_without_words_and_short_ones_join_nothing_but_the_very_same() -> None:
    found = placed(
        arrivals(["😭😭", "😭😭", "https://s.example/a", "wkwk", "wkwk", "wkwk gas", "gas"])
    )

    assert [p.by for p in found] == ["first", "first", "first", "first", "copy", "first", "first"]


def test_ten_thousand_copies_make_one_narrative_and_leave_one_text_to_compare_with() -> None:
    memory = InMemory()
    found = placed(
        arrivals([MBG, *[MBG + "!" * (i % 3) for i in range(9_999)]]),
        cuts=range(0, 10_000, 500),
        memory=memory,
    )

    assert {p.narrative_id for p in found} == {1}
    assert sum(bool(p.bands) for p in found) == 1
    assert memory.latest(1)[0].posts == 10_000


def test_endless_small_changes_do_not_fill_the_bands() -> None:
    texts = [f"{MBG} nomor pengaduan {i * 7919 % 100_003}" for i in range(600)]

    kept: dict[int, int] = {}
    for placement in placed(arrivals(texts), cuts=range(0, 600, 50)):
        for band in placement.bands:
            kept[band] = kept.get(band, 0) + 1

    assert max(kept.values()) <= 4


def test_a_narrative_that_has_been_silent_is_joined_by_copies_alone() -> None:
    later = NOON + ALIVE + timedelta(days=2)
    memory = InMemory()
    placed(arrivals([MBG]), memory=memory)

    again = placed(
        arrivals([RETOLD], start=later, first=2) + arrivals([MBG], start=later, first=3),
        memory=memory,
    )

    assert [(p.by, p.narrative_id) for p in again] == [("first", 2), ("copy", 1)]


def test_the_order_in_time_does_not_matter_for_belonging_together() -> None:
    early, late = arrivals([MBG, "Fwd: " + MBG])
    swapped = [
        Arrival(id=1, normal=late.normal, at=late.at, embedding=late.embedding),
        Arrival(
            id=2, normal=early.normal, at=early.at - timedelta(days=3), embedding=early.embedding
        ),
    ]

    assert [p.narrative_id for p in placed(swapped)] == [1, 1]


def test_two_narratives_that_tell_the_same_are_found_by_the_nightly_look() -> None:
    memory = InMemory()
    grouper = Grouper(SCORER.space)
    for number, text in enumerate([MBG, RETOLD, ATM], start=1):
        part = arrivals([text], first=number)
        placements, states = Grouper(SCORER.space).place(part, InMemory(), number)
        memory.keep(placements, states)
    grouper.load(memory)

    pairs = alike(memory.latest(10), SCORER.space, at_least=0.5)

    assert [(p.a, p.b) for p in pairs] == [(1, 2)]


def test_texts_of_a_high_jaccard_share_a_band() -> None:
    rng = random.Random(4)
    vocabulary = [f"kata{i}" for i in range(400)]
    met = 0
    for _ in range(300):
        words = rng.choices(vocabulary, k=30)
        changed = list(words)
        for _ in range(2):
            changed[rng.randrange(30)] = "lain"
        runs = digest.runs_of([" ".join(words), " ".join(changed)])
        bands = digest.bands_of(runs)
        if digest.jaccard(*runs) >= 0.7:
            met += bool(set(bands[0].tolist()) & set(bands[1].tolist()))
        else:
            met += 1
    assert met >= 285


def test_the_digest_of_a_text_does_not_depend_on_its_company() -> None:
    texts = ["banjir di kota", "", "a", "pasar " * 3000, "guru dan beras"]
    together = digest.bands_of(digest.runs_of(texts))

    alone = np.concatenate([digest.bands_of(digest.runs_of([text])) for text in texts])

    assert (together == alone).all()


def _truth(number: int, telling: Telling) -> str:
    return f"{number}" if telling.kind == "single" else telling.group


@pytest.mark.slow
def test_told_anew_in_other_words_most_posts_find_their_narrative() -> None:
    scorer = Scorer.load(RELEASE)
    told = read_groups("test")
    random.Random(1).shuffle(told)
    vectors = scorer.score_and_embed([telling.text for telling in told])
    posts = [
        Arrival(
            id=n + 1,
            normal=normalise(telling.text),
            at=NOON + timedelta(minutes=n),
            embedding=vector if len(vector) else None,
        )
        for n, (telling, (_, vector)) in enumerate(zip(told, vectors, strict=True))
    ]
    placements, _ = Grouper(scorer.space).place(posts, InMemory(), 1)

    found = b_cubed(
        [p.narrative_id for p in placements], [_truth(n, telling) for n, telling in enumerate(told)]
    )

    assert found.f1 >= 0.85
    assert found.precision >= 0.95
    short = [p for p in placements if len(posts[p.post_id - 1].normal) < 10]
    assert all(p.by != "meaning" for p in short)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 30), st.integers(1, 99), st.integers(1, 9)), max_size=20),
        max_size=12,
    )
)
def test_the_index_of_bands_finds_what_was_added_in_the_order_it_came(
    parts: list[list[tuple[int, int, int]]],
) -> None:
    index = digest.BandIndex()
    truth: dict[int, list[tuple[int, int]]] = {}
    for part in parts:
        bands, posts, narratives = np.array(part, np.int64).reshape(-1, 3).T
        index.add((bands, posts, narratives))
        for band, post, narrative in part:
            truth.setdefault(band, []).append((post, narrative))

    assert index.find(range(1, 40)) == truth
    assert len(index) == sum(len(part) for part in parts)


def test_only_texts_of_the_very_same_runs_share_their_exact_number() -> None:
    rng = random.Random(5)
    texts = [" ".join(rng.choices(["pasar", "banjir", "guru"], k=9)) for _ in range(400)]
    runs = digest.runs_of([*texts, ""])
    exact = digest.exact_of(runs).tolist()

    assert exact[-1] == 0
    by_runs: dict[bytes, set[int]] = {}
    for own, number in zip(runs[:-1], exact[:-1], strict=True):
        by_runs.setdefault(own.tobytes(), set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_runs.values())
    assert len(set(exact)) == len(by_runs) + 1
    assert not set(exact) & set(digest.bands_of(runs)[:-1].ravel().tolist())
    assert [digest.exact_of([own])[0] for own in runs] == exact


def test_a_band_in_which_many_narratives_meet_takes_no_more_texts() -> None:
    rng = random.Random(6)
    greeting = "selamat pagi semua warga yang baik hati semoga berkah"
    [phrase] = Grouper(SCORER.space).prepare(arrivals([greeting]))
    told = [
        f"{greeting} {' '.join(f'kata{rng.randrange(999)}' for _ in range(9))}" for _ in range(99)
    ]
    posts = [replace(post, embedding=None) for post in arrivals(told)]
    sharing = [
        post
        for post, one in zip(posts, Grouper(SCORER.space).prepare(posts), strict=True)
        if phrase.bands[0] in one.bands
    ][: PHRASE + 2]
    assert len(sharing) == PHRASE + 2

    placements = placed(sharing)

    assert {p.by for p in placements} == {"first"}
    assert [phrase.bands[0] in p.bands for p in placements] == [True] * PHRASE + [False] * 2
