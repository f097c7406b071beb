"""Slices: what counts as one, and that the worst is called clear where something is wrong there, and hardly ever by chance."""

import numpy as np
import pytest

from resnets.measures import slices
from resnets.measures.intervals import clopper_pearson

NOISE = np.random.default_rng(0)


def share(right):
    return lambda at: float(right[at].mean())


def test_numbers_are_cut_into_quarters_and_words_by_value():
    properties = {"brightness": np.arange(100.0), "place": np.array(["a", "b"] * 45 + ["rare"] * 10)}
    parts = list(slices.cut(properties.items(), {"brightness": ("darkest", "brightest")}))
    assert [(part.by, part.words, len(part.at)) for part in parts] == [
        ("brightness", "darkest quarter (below 24.8)", 25), ("brightness", "24.8 to 49.5", 25),
        ("brightness", "49.5 to 74.2", 25), ("brightness", "brightest quarter (74.2 and more)", 25),
        ("place", "a", 45), ("place", "b", 45),
    ]  # fmt: skip
    assert parts[0].at.tolist() == list(range(25)) and parts[4].at.tolist() == list(range(0, 90, 2))


@pytest.mark.parametrize(
    ("values", "num"),
    [
        (np.zeros(100), 0),  # all alike
        (np.full(100, np.nan), 0),
        (np.r_[np.full(50, np.nan), np.arange(50.0)], 0),  # quarters of 12
        (np.array([str(number) for number in range(100)]), 4),  # a column of numbers
        (np.array(["", *map(str, range(99))]), 4),
        (np.array([f"patient {number}" for number in range(100)]), 0),  # none has enough
        (np.array(["1", "2"] * 50), 2),  # few numbers are names
        (np.r_[np.zeros(80), np.arange(20.0)], 1),  # equal numbers stay together
    ],
)
def test_what_gives_slices(values, num):
    parts = list(slices.cut([("it", values)], {}))
    assert len(parts) == num and all(len(part.at) >= slices.LEAST for part in parts)


def test_a_slice_where_something_is_wrong_is_found_and_clear():
    right, values = NOISE.random(2000) < 0.95, np.arange(2000.0)
    right[:500] = NOISE.random(500) < 0.7
    found = slices.judge(slices.cut([("size", values), ("x", NOISE.random(2000))], {}), share(right), 2000, right)
    worst = found["worst"]
    assert (worst["by"], worst["slice"], worst["beyond_chance"]) == ("size", "lowest quarter (below 500)", True)
    assert found["value"] == right.mean() and worst["value"] == right[:500].mean() and found["num_slices"] == 8
    assert worst["interval"] == pytest.approx(clopper_pearson(int(right[:500].sum()), 500))
    low, high = worst["corrected"]
    assert low < worst["interval"][0] and worst["interval"][1] < high < right.mean()


def test_by_chance_the_worst_of_many_slices_is_hardly_ever_clear():
    clear = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        right = random.random(400) < 0.8
        parts = slices.cut([(str(n), random.random(400)) for n in range(6)], {})
        found = slices.judge(parts, share(right), 400, right)
        clear += found["worst"]["beyond_chance"]
    assert clear <= 3


def test_a_figure_that_is_no_share_has_intervals_by_bootstrap_and_groups_count_whole():
    values = np.r_[NOISE.normal(0.8, 0.05, 200), NOISE.normal(0.4, 0.05, 200)]
    parts = list(slices.cut([("site", np.array(["a"] * 200 + ["b"] * 200))], {}))
    found = slices.judge(parts, lambda at: float(values[at].mean()), 400)
    assert found["worst"]["slice"] == "b" and found["worst"]["beyond_chance"]
    low, high = found["worst"]["interval"]
    assert low < values[200:].mean() < high < 0.42
    alike = np.repeat(np.arange(8), 50)  # fifty pictures each of eight patients
    right = np.isin(alike, (0, 1, 2, 4, 5))
    alone, by_group = (
        slices.judge(parts, share(right), 400, right, groups)["slices"][0]["interval"] for groups in (None, alike)
    )
    assert by_group[1] - by_group[0] > 2 * (alone[1] - alone[0])


def test_nothing_to_slice():
    found = slices.judge([], lambda at: 0.5, 10)
    assert found["slices"] == [] and found["worst"] is None and found["value"] == 0.5
