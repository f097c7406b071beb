"""A length in time: how many steps fit into it."""

from types import SimpleNamespace

import pytest

from resnets.engine.clock import DRAWING_SECONDS, Clock
from resnets.engine.recipe import Recipe
from resnets.engine.resume import Position
from resnets.engine.schedule import Schedule
from resnets.verbs import train as training
from tests.engine.made import TINY, rows

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves: 96 pictures to validate, 48 to test, 32 a step, a minute in all."""
    now = SimpleNamespace(seconds=0.0, cpu=0.0)
    monkeypatch.setattr(
        "resnets.engine.clock.time", SimpleNamespace(perf_counter=lambda: now.seconds, thread_time=lambda: now.cpu)
    )
    job = SimpleNamespace(
        began=0.0,
        num_test=48,
        task=SimpleNamespace(own_size=False),
        processes=SimpleNamespace(world=1),
        recipe=Recipe(time="60s", batch_size=32),
        val=SimpleNamespace(num_images=96),
        train=SimpleNamespace(data_wait=0),
        schedule=Schedule(recipe=Recipe(), steps_per_epoch=50),
    )
    clock = Clock(job, Position(total_steps=50))
    clock.now = now
    clock.start_epoch()
    return clock


def steps(clock, num, seconds, load=1.0):
    for _ in range(num):
        clock.now.seconds += seconds
        clock.now.cpu += seconds / load
        clock.at.step += 1
        clock.count_step()


def test_the_first_steps_are_not_measured(clock):
    steps(clock, 3, 10.0)
    assert clock.fit_steps(50) == 53
    clock.at.total_steps = 200
    assert clock.fit_steps(50) == 200


def test_before_validation_is_timed_it_costs_a_third_of_training(clock):
    steps(clock, 4, 1.0)
    # A validation: 96 / 32 / 3 = 1 s. Afterwards: 1, twice 1.5 for all answers, 2.5 for drawing: 6.5 of the 56 s left.
    assert clock.fit_steps(50) == 4 + round(49.5 / (1 + 1 / 50))


def test_then_it_costs_what_it_cost(clock):
    steps(clock, 4, 1.0)
    clock.val_seconds = 5.0
    assert clock.fit_steps(50) == 4 + round((60 - 4 - 5 - 15 - 2.5) / (1 + 5 / 50))


def test_drawing_takes_longer_beside_other_load_and_not_because_images_are_waited_for(clock):
    steps(clock, 4, 1.0, load=4.0)
    assert clock.load() == 4 and clock.fit_steps(50) == 4 + round((60 - 4 - 1 - 3 - 4 * 2.5) / 1.02)
    clock.job.train.data_wait = 3.0
    steps(clock, 1, 4.0, load=4.0)
    assert clock.load() == pytest.approx(2 / 1.25)  # of five seconds three of waiting; 1.25 on a processor


def test_answers_for_images_that_come_one_by_one_cost_what_validation_did(clock):
    clock.job.task.own_size = True
    steps(clock, 4, 1.0)
    clock.val_seconds = 5.0
    assert clock.fit_steps(50) == 4 + round((60 - 4 - 5 - 1.1 * 7.5 - 4.0) / (1 + 5 / 50))


def test_slow_first_steps_count_as_time_but_not_as_speed(clock):
    steps(clock, 3, 5.0)
    steps(clock, 1, 1.0)
    assert clock.fit_steps(50) == 4 + round((60 - 16 - 6.5) / 1.02)


def test_time_of_earlier_sessions_counts(clock):
    clock.before = 30.0
    steps(clock, 4, 1.0)
    assert clock.fit_steps(50) == 4 + round(19.5 / 1.02)


def test_when_time_is_over_there_are_no_steps_left(clock):
    steps(clock, 80, 1.0)
    assert clock.fit_steps(50) == 80


def test_what_early_steps_save_is_not_expected_of_later_ones(clock):
    """Steps that cost as their pictures' area does: the run ends in time all the same, and not long before."""
    clock.job.schedule = Schedule(recipe=Recipe(), steps_per_epoch=50, grow_from=0.5)
    at = clock.at
    while at.step < at.total_steps:
        steps(clock, 1, 0.1 * clock.job.schedule.share(at.step, at.total_steps) ** 2)
        at.total_steps = clock.fit_steps(50)
    assert 60 - 7 < clock.now.seconds <= 60


@pytest.mark.parametrize(("step", "val"), [(0.01, 0.1), (0.1, 2.0), (1.0, 0.5), (3.0, 6.0)])
def test_a_run_ends_within_its_time_and_uses_it(clock, step, val):
    """Steps and validations of constant length: what is left over is less than a step and a validation."""
    at, epoch = clock.at, 20
    while at.step < at.total_steps:
        steps(clock, 1, step)
        at.total_steps = clock.fit_steps(epoch)
        if at.step % epoch == 0 or at.step >= at.total_steps:
            clock.now.seconds += val
            clock.val_seconds = val
            clock.last = clock.now.seconds
    end = clock.now.seconds + 3 * val + DRAWING_SECONDS[False]  # 144 answers, each for twice what one in validation takes
    assert 60 - 2 * (step + val) - 1 <= end <= 60 + step + 3 * val


def test_a_run_in_time_ends_by_itself(data, tmp_path):
    job = training.train(data, out=tmp_path / "run", **TINY | {"epochs": None, "time": "3s"})
    found = rows(tmp_path / "run")
    assert job.recipe.time == "3s" and found and (tmp_path / "run/last.safetensors").exists()
