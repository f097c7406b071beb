"""The learning rate at the points that matter."""

import math
from itertools import pairwise

import pytest

from resnets.engine.recipe import Recipe
from resnets.engine.schedule import Schedule


def rates(total=100, steps_per_epoch=10, **settings):
    schedule = Schedule(recipe=Recipe(**{"lr": 1.0, "epochs": 10} | settings), steps_per_epoch=steps_per_epoch)
    return [schedule.learning_rate(step, total) for step in range(total)]


@pytest.mark.parametrize(
    ("length", "steps"),
    [({"epochs": 3}, 30), ({"steps": 7}, 7), ({"time": "5s"}, None), ({"epochs": 1, "steps": 7}, 7)],
    ids=str,
)
def test_length_of_a_run(length, steps):
    assert Schedule(recipe=Recipe(**length), steps_per_epoch=10).num_steps == steps


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"sched": "onecycle"}, 25), ({"sched": "cosine"}, 0), ({"sched": "step"}, 0), ({"sched": "constant"}, 0),
        ({"sched": "onecycle", "warmup_steps": 0}, 0), ({"warmup_epochs": 0.55}, 6), ({"warmup_steps": 13}, 13),
    ],
    ids=str,
)  # fmt: skip
def test_length_of_the_warmup(settings, steps):
    assert Schedule(recipe=Recipe(**settings), steps_per_epoch=10).warmup_steps(100) == steps


def test_linear_warmup_rises_evenly_and_reaches_the_rate_with_its_last_step():
    found = rates(sched="constant", warmup_steps=4, warmup_lr=0.2)
    assert found[:6] == pytest.approx([0.4, 0.6, 0.8, 1.0, 1.0, 1.0])


def test_constant_warmup_stays():
    found = rates(sched="constant", warmup="constant", warmup_steps=4, warmup_lr=0.2)
    assert found[:6] == pytest.approx([0.2, 0.2, 0.2, 0.2, 1.0, 1.0])


def test_one_cycle_rises_for_a_quarter_and_falls_evenly():
    found = rates(sched="onecycle", min_lr=0.1)
    assert found[24] == found[25] == max(found) == 1.0
    assert found[0] == pytest.approx(1 / 25) and found[-1] == pytest.approx(0.1 + 0.9 / 75)
    falls = [before - after for before, after in pairwise(found[25:])]
    assert falls == pytest.approx([0.9 / 75] * 74)


def test_cosine_starts_at_the_rate_and_ends_near_the_least():
    found = rates(sched="cosine", min_lr=0.2)
    assert found[0] == 1.0 and found[50] == pytest.approx(0.6)
    assert found[-1] == pytest.approx(0.2 + 0.8 * (1 - math.cos(math.pi / 100)) / 2)
    assert found == sorted(found, reverse=True)


def test_cosine_counts_from_the_end_of_the_warmup():
    found = rates(sched="cosine", warmup_steps=20)
    assert found[20] == 1.0 and found[60] == pytest.approx(0.5)


def test_steps_fall_at_shares_of_the_run():
    found = rates(sched="step", milestones=(0.3, 0.6), gamma=0.5)
    assert [found[step] for step in (0, 29, 30, 59, 60, 99)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    assert set(rates(sched="step", milestones=())) == {1.0}


@pytest.mark.parametrize("sched", ["onecycle", "cosine", "step", "constant"])
def test_a_pure_function_of_step_and_total(sched):
    schedule = Schedule(recipe=Recipe(sched=sched, epochs=5), steps_per_epoch=20)
    forward = [schedule.learning_rate(step, 100) for step in range(100)]
    assert [schedule.learning_rate(step, 100) for step in reversed(range(100))] == forward[::-1]
    assert schedule == Schedule(recipe=Recipe(sched=sched, epochs=5), steps_per_epoch=20)


@pytest.mark.parametrize("sched", ["onecycle", "cosine", "step"])
def test_another_total_stretches_the_course(sched):
    short, long = rates(100, sched=sched), rates(200, sched=sched)
    assert long[::2] == pytest.approx(short, abs=0.05)


@pytest.mark.parametrize("sched", ["onecycle", "cosine", "step", "constant"])
@pytest.mark.parametrize("total", [1, 2, 3])
def test_short_runs_have_finite_rates(sched, total):
    assert all(0 <= rate <= 1 for rate in rates(total, sched=sched, warmup_steps=2))


def test_pictures_grow_to_their_whole_size():
    schedule = Schedule(recipe=Recipe(), steps_per_epoch=10, grow_from=0.5)
    shares = [schedule.share(step, 100) for step in range(100)]
    assert shares[0] == 0.5 and shares[64] < 1 and shares[65:] == [1.0] * 35
    assert all(before <= after for before, after in pairwise(shares))
    assert Schedule(recipe=Recipe(), steps_per_epoch=10).share(0, 100) == 1


def test_the_cost_of_what_is_left():
    schedule = Schedule(recipe=Recipe(), steps_per_epoch=10, grow_from=0.5)
    exact = [sum(schedule.share(step, 3200) ** 2 for step in range(first, 3200)) / (3200 - first) for first in (0, 1000, 2500)]
    assert [schedule.cost(first, 3200) for first in (0, 1000, 2500)] == pytest.approx(exact, rel=0.02)
    assert schedule.cost(5, 5) > 0
