"""B-cubed, and the paraphrase groups that ship."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import normalise
from pipeline.clusters import PARAPHRASES, Part, b_cubed, read_groups

Groups = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


def test_b_cubed_of_a_grouping_worked_out_by_hand() -> None:
    # Put together: a, a, b and b, c. Item by item the precision is 2/3, 2/3, 1/3, 1/2, 1/2 and
    # the recall 1, 1, 1/2, 1/2, 1.
    found = b_cubed([1, 1, 1, 2, 2], ["a", "a", "b", "b", "c"])
    assert found.precision == pytest.approx(8 / 15)
    assert found.recall == pytest.approx(4 / 5)
    assert found.f1 == pytest.approx(0.64)


def test_all_in_one_group_has_full_recall_and_all_apart_full_precision() -> None:
    truth = ["a", "a", "b", "c"]
    assert b_cubed([0] * 4, truth).recall == 1
    assert b_cubed([0] * 4, truth).precision == pytest.approx((2 * 2 / 4 + 1 / 4 + 1 / 4) / 4)
    assert b_cubed(range(4), truth).precision == 1
    assert b_cubed(range(4), truth).recall == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)


@given(Groups)
def test_b_cubed_is_one_exactly_when_the_groups_are_the_same(pairs: list[tuple[int, int]]) -> None:
    predicted, truth = zip(*pairs, strict=True)
    found = b_cubed(predicted, truth)
    assert 0 < found.precision <= 1 + 1e-12
    assert 0 < found.recall <= 1 + 1e-12
    one_to_one = len(set(pairs)) == len(set(predicted)) == len(set(truth))
    assert (found.f1 == pytest.approx(1)) == one_to_one


@given(Groups, st.randoms())
def test_b_cubed_knows_neither_the_groups_names_nor_the_items_order(
    pairs: list[tuple[int, int]], random: Random
) -> None:
    before = b_cubed(*zip(*pairs, strict=True))
    random.shuffle(pairs)
    predicted, truth = zip(*pairs, strict=True)
    after = b_cubed([f"group {p}" for p in predicted], truth)
    assert after.f1 == pytest.approx(before.f1)


@given(Groups)
def test_predicted_and_true_groups_exchanged_exchange_precision_and_recall(
    pairs: list[tuple[int, int]],
) -> None:
    predicted, truth = zip(*pairs, strict=True)
    one, other = b_cubed(predicted, truth), b_cubed(truth, predicted)
    assert (one.precision, one.recall) == pytest.approx((other.recall, other.precision))


def test_groupings_of_different_length_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="3 items were grouped, 2 are known"):
        b_cubed([1, 2, 3], [1, 2])


@pytest.mark.parametrize("part", ["dev", "test"])
def test_each_part_has_sixty_groups_of_four_to_eight_and_single_posts(part: Part) -> None:
    sizes = Counter(t.group for t in read_groups(part) if t.kind != "single")
    assert len(sizes) >= 60
    assert set(sizes.values()) <= set(range(4, 9))
    singles = [t.group for t in read_groups(part) if t.kind == "single"]
    assert len(singles) >= 150
    assert len(set(singles)) == len(singles)


def test_no_group_is_in_both_parts_and_every_group_has_one_first_telling() -> None:
    dev, test = read_groups("dev"), read_groups("test")
    assert not {t.group for t in dev} & {t.group for t in test}
    firsts = Counter(t.group for t in [*dev, *test] if t.kind == "first")
    assert set(firsts.values()) == {1}
    assert set(firsts) == {t.group for t in [*dev, *test] if t.kind != "single"}
    assert {t.kind for t in [*dev, *test]} == {"first", "copy", "near", "meaning", "single"}


def test_no_text_of_one_group_is_told_in_another() -> None:
    groups: dict[str, set[str]] = {}
    for telling in [*read_groups("dev"), *read_groups("test")]:
        if telling.kind != "single":
            groups.setdefault(normalise(telling.text), set()).add(telling.group)
    assert all(len(told) == 1 for told in groups.values())


def test_the_readme_of_the_groups_counts_them_right() -> None:
    both = [*read_groups("dev"), *read_groups("test")]
    told = [t for t in both if t.kind != "single"]
    groups = len({t.group for t in told})
    said = (
        f"{len(both):,} rows: {groups} groups of 4 to 8 texts ({len(told)} texts; "
        f"{groups // 2} groups in each part) and {len(both) - len(told)} single posts"
    )
    assert said in (PARAPHRASES.parent / "README.md").read_text(encoding="utf-8")
