"""What every task keeps beside its runs: the names of the contract, settings, recipes, and the metric accumulator."""

import copy

import numpy as np
import pytest
import torch
import yaml

from resnets import tasks
from resnets.data.loader import Loader
from resnets.data.workers import BadImages
from resnets.engine.contract import Meter, Rows, Task, accumulate
from resnets.engine.plan import facts, named_recipe, settle
from resnets.engine.recipe import Recipe
from resnets.engine.settings import SECTIONS, fields_of, parse
from resnets.errors import InputError
from resnets.models.answering import run_model

EVERY = pytest.mark.parametrize("name", tasks.TASKS)


def public(protocol):
    return [name for name in {**protocol.__annotations__, **vars(protocol)} if not name.startswith("_")]


@EVERY
def test_it_has_all_that_the_contract_names(name):
    task = tasks.get(name)
    assert [missing for missing in public(Task) if not hasattr(task, missing)] == []
    assert [missing for missing in public(Rows) if not hasattr(task.rows, missing)] == []
    assert task.scores and all(score.key.isidentifier() and score.words for score in task.scores)
    assert "torch" in task.runtimes and task.dims


# --- settings ---


@EVERY
def test_every_setting_has_help_and_a_section_and_reads_its_default(name):
    schema = tasks.settings(name)
    for setting, field in fields_of(schema).items():
        assert field.metadata["help"] and field.metadata["section"] in SECTIONS, setting
        assert parse(schema, setting, field.default) == field.default, setting


@EVERY
def test_settings_come_back_from_yaml(name):
    schema = tasks.settings(name)
    assert schema(**yaml.safe_load(schema().to_yaml())) == schema()


@EVERY
def test_a_setting_of_another_task_is_refused_with_its_owners(name):
    own, others = fields_of(tasks.settings(name)), [other for other in tasks.TASKS if other != name]
    for setting in {setting for other in others for setting in fields_of(tasks.settings(other))} - own.keys():
        with pytest.raises(InputError, match=f"^{setting}=.*the task {name} has no such setting, only") as caught:
            tasks.of({"task": name, setting: 1})
        assert all(owner in str(caught.value) for owner in tasks.owners(setting)) and name not in tasks.owners(setting)


@EVERY
def test_its_own_settings_come_after_those_of_every_task(name):
    common, own = list(fields_of(Recipe)), list(fields_of(tasks.settings(name)))
    assert own[: len(common)] == common


# --- data and recipes ---


def test_recipes_are_settings_of_the_task(done):
    plan = settle(done.task, {"flag": {"data": str(done.data), **done.settings}}, None)
    assert plan.origins["recipe"] == done.task.default_recipe({})[1]
    known = facts(done.task, plan.source, done.task.design({}, plan.source, None, lambda *_, **__: plan.spec), {})
    for name in done.task.recipes:
        try:
            assert named_recipe(done.task, name)(known).keys() <= fields_of(done.task.settings).keys()
        except InputError as refused:
            assert str(refused) == f"recipe={name} is for series; leave it out"
    assert all(done.task.default_recipe(asked)[0] in done.task.recipes for asked in ({}, {"weights": "a.safetensors"}))
    with pytest.raises(InputError, match=f"no recipe 'fasst'; use one of {', '.join(done.task.recipes)}"):
        named_recipe(done.task, "fasst")


def test_classes_are_counted(done):
    counts = done.task.class_counts(done.source.splits["train"], len(done.model.labels))
    assert counts.shape == (len(done.model.labels),) and counts.dtype == np.int64 and counts.min() >= 0 < counts.sum()


# --- the metric accumulator ---


def quick(done) -> Meter:
    counts = done.task.class_counts(done.source.splits["train"], len(done.model.labels))
    criterion = done.task.criterion(done.task.settings(**done.settings).plain(), counts)
    return done.task.meter(done.model.labels, done.model.head_config, quick=criterion)


def judged(done, meter, only=None):
    """The meter after the images of the validation split (`only` those numbers of them), and how many these were."""
    header, split = done.model.header, done.source.splits["val"]
    samples = done.task.samples(split, header.preprocess, len(header.labels))
    num = 0
    for number, batch in enumerate(Loader(samples=samples, batch_size=1, bad=BadImages(0)).epoch(0)):
        if only is None or number in only:
            answers = done.task.infer(lambda pixels: run_model(done.model, pixels), batch.images.numpy(), batch.sizes, header)
            assert len(answers) == len(batch.images)
            meter.add(answers, batch)
            num += len(answers)
    return meter, num


def test_validation_measures_the_scores(done):
    meter, num = judged(done, quick(done))
    result = meter.result(num)
    assert list(result) == [score.key for score in done.task.scores]
    assert result == {key: pytest.approx(done.result[key] or 0.0, abs=1e-6) for key in result}


def test_two_halves_are_the_whole(done):
    """As processes add up what each of them has seen."""
    whole, num = judged(done, quick(done))
    (one, _), (two, _) = judged(done, quick(done), {0}), judged(done, quick(done), {1, 2})
    sums = copy.deepcopy(one.sums)
    accumulate(sums, two.sums)
    one.sums = sums
    assert one.result(num) == pytest.approx(whole.result(num))
    assert one.sums.keys() == whole.sums.keys()


def test_a_whole_evaluation_is_that_of_the_run(done):
    meter, num = judged(done, done.task.meter(done.model.labels, done.model.head_config))
    meter.decision = done.model.decision
    result = meter.result(num)
    assert result.keys() == done.result.keys() - {"task", "split", "bad_images", "selected"}
    for score in done.task.scores:
        assert result[score.key] == pytest.approx(done.result[score.key], abs=1e-6)  # float32, in batches of another size


def test_training_adds_up_tensors_that_a_resumed_run_goes_on_from(done):
    """Two batches, together and one by one."""
    plan = settle(done.task, {"flag": {"data": str(done.data), **done.settings}}, None)
    samples = done.task.samples(plan.source.splits["train"], plan.preprocess, len(plan.labels), recipe=plan.recipe)
    first, second, _ = Loader(samples=samples, batch_size=2, bad=BadImages(0)).epoch(0)
    criterion = done.task.criterion(plan.recipe, done.task.class_counts(plan.source.splits["train"], len(plan.labels)))
    meters, model = [quick(done) for _ in range(3)], copy.deepcopy(done.model).train()
    with torch.no_grad():
        for batch, own in ((first, meters[1]), (second, meters[2])):
            outputs = model(batch.images, batch.targets)
            losses = criterion(outputs, batch.targets)
            assert losses["loss"].ndim == 0 and losses["loss"].isfinite()
            for meter in (meters[0], own):
                meter.learn(outputs, batch.targets)
    whole, one, two = (meter.sums for meter in meters)
    assert all(isinstance(value, torch.Tensor) for value in whole.values())
    accumulate(one, two)
    assert one.keys() == whole.keys() and all(torch.equal(one[key], whole[key]) for key in whole)
    assert meters[0].result(4).keys() <= {score.key for score in done.task.scores}
