"""A length in time: how many steps fit into it."""

from types import SimpleNamespace

import pytest
import torch

from resnets import tasks
from resnets.engine import loop
from resnets.engine.clock import ANSWERS, DRAWING_SECONDS, WORTH, Clock, num_fitting
from resnets.engine.recipe import Recipe
from resnets.engine.resume import Position
from resnets.engine.schedule import Schedule
from resnets.verbs import train as training
from tests.data.made_dense import objects, segments
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


def test_the_first_step_is_not_measured(clock):
    steps(clock, 1, 5.0)
    assert clock.fit_steps(50) == 51
    clock.at.total_steps = 200
    assert clock.fit_steps(50) == 200
    # A validation: 96 / 32 / 3 = 1 s. Afterwards: 1, twice 1.5 for all answers, 2.5 for drawing: 6.5 of the 54 s left.
    steps(clock, 1, 1.0)
    assert clock.fit_steps(50) == 2 + round(60 - 6 - 6.5)


def test_a_first_step_that_was_all_of_the_time_is_the_last_one(clock):
    steps(clock, 1, 58.0)
    assert clock.fit_steps(50) == 1


def test_a_first_step_is_not_the_last_one_because_validation_takes_long(clock):
    clock.val_seconds = 40.0
    steps(clock, 1, 5.0)
    assert clock.fit_steps(50) == 51


def test_an_image_of_validation_is_waited_for_as_long_as_one_in_training(clock):
    steps(clock, 1, 1.0)
    clock.job.train.data_wait = 0.6
    steps(clock, 1, 1.0)
    assert clock.validation() == pytest.approx(3 * (0.6 + 0.4 / 3))
    clock.job.recipe = Recipe(time="60s", batch_size=32, accumulate=2)
    assert clock.validation() == pytest.approx(1.5 * (0.6 + 0.4 / 3))


def test_then_validation_costs_what_it_cost(clock):
    clock.val_seconds = 5.0
    steps(clock, 2, 1.0)
    assert clock.fit_steps(50) == 2 + round(60 - 2 - 5 - 15 - 2.5)


def test_drawing_takes_longer_beside_other_load_and_not_because_images_are_waited_for(clock):
    steps(clock, 2, 1.0, load=4.0)
    assert clock.load() == 4 and clock.fit_steps(50) == 2 + 60 - 2 - 1 - 3 - 4 * 2.5
    clock.job.train.data_wait = 3.0
    steps(clock, 1, 4.0, load=4.0)
    assert clock.load() == pytest.approx(2 / 1.25)  # of five seconds three of waiting; 1.25 on a processor


def test_answers_for_images_that_come_one_by_one_cost_what_validation_did(clock):
    clock.job.task.own_size = True
    clock.val_seconds = 5.0
    steps(clock, 2, 1.0)
    assert clock.fit_steps(50) == 2 + round(60 - 2 - 5 - 1.1 * 7.5 - 4.0)


def test_time_of_earlier_sessions_counts(clock):
    clock.before = 30.0
    steps(clock, 2, 1.0)
    assert clock.fit_steps(50) == 2 + round(30 - 2 - 6.5)


def test_when_time_is_over_there_are_no_steps_left(clock):
    steps(clock, 80, 1.0)
    assert clock.fit_steps(50) == 80


@pytest.mark.parametrize(
    ("left", "num"),
    [
        (-3, 0),
        (7, 7),
        (10, 10),  # as many as there are until the next validation
        (15, 10),  # a validation of 8 and a second of training are not worth it
        (20, 12),  # a validation, and then as long a training as is worth it
        (34, 30 - 4),
        (38, 30),  # a validation, and a whole epoch
        (50, 30 + 4),  # two validations
    ],
)
def test_a_run_ends_at_a_validation_rather_than_shortly_after_it(left, num):
    assert num_fitting(left, step=1.0, val=8.0, rest=10, per_epoch=20) == num


def test_after_a_validation_the_run_ends_unless_there_is_time_for_steps_and_another_one(clock):
    steps(clock, 2, 1.0)
    clock.at.batch, clock.at.step, clock.val_seconds = 50, 50, 10.0
    clock.now.seconds = 60 - 1.5 * 2 * 10 - 2.5 - 12.0  # answers and drawing are to follow: 12 s are left
    assert clock.fit_steps(50, validated=True) == 50
    clock.now.seconds -= 5.0
    assert clock.fit_steps(50, validated=True) == 50 + 7


def test_training_has_a_quarter_of_the_time_or_an_epoch_whatever_all_else_takes(clock):
    clock.val_seconds = 40.0
    steps(clock, 2, 1.0)
    assert clock.fit_steps(50) == 15 and clock.fit_steps(12) == 15
    clock.job.schedule = Schedule(recipe=Recipe(), steps_per_epoch=12)
    assert clock.fit_steps(12) == 12


def test_that_time_is_short_is_said_once_and_before_the_first_step_where_validation_is_known(clock):
    assert clock.doubt() is None  # nothing is known
    clock.val_seconds = 20.0
    clock.now.seconds = 5.0
    # Before it 5 s, training a quarter; after it a validation, twice 1.5 of them for the answers, and drawing.
    said = clock.doubt()
    assert "60s is short here: 5 s are gone" in said and "(validation, all answers, drawing) takes about 82" in said
    assert "training gets 15, until 102 s" in said and "--time 4m" in said
    assert clock.doubt() is None


def test_nothing_is_said_where_time_is_enough(clock):
    steps(clock, 2, 1.0)
    assert clock.doubt() is None
    clock.val_seconds = 40.0
    assert clock.doubt() is None


def test_what_early_steps_save_is_not_expected_of_later_ones(clock):
    """Steps that cost as their pictures' area does: the run ends in time all the same, and not long before."""
    clock.job.schedule = Schedule(recipe=Recipe(), steps_per_epoch=50, grow_from=0.5)
    at = clock.at
    while at.step < at.total_steps:
        steps(clock, 1, 0.1 * clock.job.schedule.share(at.step, at.total_steps) ** 2)
        at.batch = at.step % 50 or 50
        at.total_steps = clock.fit_steps(50)
    assert 60 - 7 < clock.now.seconds <= 60


@pytest.mark.parametrize(
    ("step", "val", "epoch", "rehearsed"),
    [
        (0.01, 0.1, 20, False),
        (0.1, 2.0, 20, False),
        (1.0, 0.5, 20, False),
        (3.0, 6.0, 20, False),
        (1.0, 12.0, 20, True),  # a validation of 12 s and its answers of 18: one epoch
        (8.0, 12.0, 27, True),  # less than an epoch
        (0.2, 8.0, 40, True),
    ],
)
def test_a_run_ends_within_its_time_and_uses_it(clock, step, val, epoch, rehearsed):
    """Steps and validations of constant length: what is left over is less than a validation and the steps that it is worth.
    Where nothing was known of a validation before the first one, it may come three times too late (itself, and answers)."""
    at, clock.job.task.own_size = clock.at, rehearsed
    clock.val_seconds = val if rehearsed else None
    clock.job.schedule = Schedule(recipe=Recipe(), steps_per_epoch=epoch)
    while at.step < at.total_steps:
        steps(clock, 1, step)
        at.batch += 1
        at.total_steps = clock.fit_steps(epoch)
        if at.batch == epoch or at.step >= at.total_steps:
            clock.now.seconds += val
            clock.val_seconds = val
            if at.step < at.total_steps:
                at.total_steps = clock.fit_steps(epoch, validated=True)
            at.batch, clock.last = 0, clock.now.seconds
    end = clock.now.seconds + ANSWERS[rehearsed] * 1.5 * val + DRAWING_SECONDS[rehearsed]
    assert 60 - step - (1 + WORTH) * val - 1 <= end <= 60 + step + 3 * val * (not rehearsed)


def rehearsed(data, out, val_batch=None, **settings):
    """The job, its state and its clock after the rehearsal, and the tensors before it."""
    job, _ = training.prepare(data, out=out, **TINY | {"epochs": None, "time": "60s"} | settings)
    job.val.batch_size = val_batch or job.val.batch_size
    state = loop.start(job)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    clock = Clock(job, state.at)
    loop.rehearse(job, state, clock)
    return state, clock, before


@pytest.mark.parametrize(("task", "made"), [("segment", segments), ("detect", objects)])
def test_a_rehearsal_times_validation_and_changes_nothing(task, made, tmp_path):
    state, clock, before = rehearsed(str(made(tmp_path / "data", train=4, val=5)), tmp_path / "run", task=task)
    assert 0 < clock.val_seconds < 60 and clock.cpu_seconds > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.model.state_dict().items())


def test_a_rehearsal_is_of_a_few_batches_where_these_have_several_images(data, tmp_path, monkeypatch):
    looked = []
    infer = tasks.get("classify").infer
    monkeypatch.setattr(type(tasks.get("classify")), "infer", lambda self, *given: looked.append(1) or infer(*given))
    monkeypatch.setattr(loop, "REHEARSED", 1)
    state, clock, before = rehearsed(data, tmp_path / "run", val_batch=3)
    assert len(looked) == 2 < 12 / 3 and clock.val_seconds > 0  # the first does not count
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.model.state_dict().items())


@pytest.mark.parametrize("task", ["classify", "segment"])
def test_without_need_there_is_no_rehearsal(task, data, tmp_path):
    source = str(segments(tmp_path / "data", train=4, val=2)) if task == "segment" else data
    assert rehearsed(source, tmp_path / "run", time=None, epochs=1, task=task)[1].val_seconds is None


def test_a_run_in_time_ends_by_itself(data, tmp_path):
    job = training.train(data, out=tmp_path / "run", **TINY | {"epochs": None, "time": "3s"})
    found = rows(tmp_path / "run")
    assert job.recipe.time == "3s" and found and (tmp_path / "run/last.safetensors").exists()
