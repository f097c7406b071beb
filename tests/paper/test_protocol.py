"""The paper's protocol, against cases worked by hand from section 4.2."""

import dataclasses

import numpy as np
import pytest
import torch

from resnets.data.batches.image_level import CPU
from resnets.data.pictures.stored import ArrayImages
from resnets.data.splits import cut_val
from resnets.data.transforms import to_input
from resnets.data.types import Source, Split
from resnets.engine.distributed import ALONE
from resnets.engine.layers import resolve
from resnets.engine.schedule import Schedule
from resnets.engine.settings import fields_of
from resnets.engine.values import Facts
from resnets.errors import InputError
from resnets.models import zoo
from resnets.paper import protocol, scales
from resnets.tasks.classify.settings import ClassifySettings, he2015
from resnets.verbs.train import loader
from tests.engine.made import planned

FULL, MEDIUM, SMALL, TINY = scales.SCALES.values()


def schedule(name, scale):
    spec = zoo.get(name)
    facts = Facts(num_train=50_000, hflip=True, size=(scale.img_size,) * 2, spec=spec)
    chosen = protocol.settings(scale, spec.num_layers, data="cifar10", seed=0)
    assert chosen.keys() <= fields_of(ClassifySettings).keys()
    recipe, _ = resolve(ClassifySettings, {"recipe": he2015(facts), "given": chosen})
    return Schedule(recipe=recipe, steps_per_epoch=351)


@pytest.mark.parametrize(
    ("step", "shallow", "deep"),
    [
        (0, 0.1, 0.01), (399, 0.1, 0.01), (400, 0.1, 0.1), (31_999, 0.1, 0.1), (32_000, 0.01, 0.01),
        (47_999, 0.01, 0.01), (48_000, 0.001, 0.001), (63_999, 0.001, 0.001),
    ],
)  # fmt: skip
def test_learning_rate_of_the_paper(step, shallow, deep):
    for name, rate in (("resnet20_cifar", shallow), ("plain56_cifar", shallow), ("resnet110_cifar", deep)):
        course = schedule(name, FULL)
        assert course.num_steps == 64_000
        assert course.learning_rate(step, 64_000) == pytest.approx(rate)


def test_warmup_is_at_most_a_quarter_of_a_short_run_and_milestones_stay():
    course = schedule("resnet110_cifar", SMALL)
    steps = SMALL.steps
    warm = steps // 4
    assert [course.learning_rate(step, steps) for step in (0, warm - 1)] == [0.01, 0.01]
    rates = [course.learning_rate(step, steps) for step in (warm, steps // 2 - 1, steps // 2, 3 * steps // 4)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_a_scale_of_some_thousand_steps_warms_up_shallow_networks_too():
    for name, rates in (
        ("plain20_cifar", [0.05, 0.1, 0.1]),
        ("resnet56_cifar", [0.05, 0.1, 0.1]),
        ("resnet110_cifar", [0.01, 0.01, 0.1]),
    ):
        course = schedule(name, MEDIUM)
        assert [course.learning_rate(step, MEDIUM.steps) for step in (199, 399, 400)] == pytest.approx(rates)
    told = " ".join(protocol.deviations(MEDIUM, data="cifar10"))
    assert "20 layers or more has 400 steps" in told and "from 110 layers on" in told
    assert "from 110 layers on" not in " ".join(protocol.deviations(SMALL, data="cifar10"))


def test_the_rest_of_the_recipe_and_that_the_last_step_counts():
    recipe = schedule("resnet20_cifar", FULL).recipe
    assert (recipe.opt, recipe.lr, recipe.momentum, recipe.nesterov, recipe.weight_decay) == ("sgd", 0.1, 0.9, False, 1e-4)
    assert (recipe.batch_size, recipe.crop, recipe.crop_pad * 32, recipe.hflip) == (128, "pad", 4, 0.5)
    assert (recipe.normalise, recipe.select, recipe.val_fraction) == ("pixel", "last", 0.1)
    assert recipe.norm_bias_decay and recipe.smoothing == recipe.mixup == recipe.cutmix == 0 and recipe.ema is None


def test_cifar_is_cut_into_45000_and_5000():
    images = np.zeros((50_000, 1, 1, 1), np.uint8)
    split = Split(ArrayImages(images, "train"), np.repeat(np.arange(10), 5_000))
    source = Source("made", tuple("0123456789"), {"train": split}, 1, size=(1, 1))
    cut = cut_val(source, protocol.settings(FULL, 20, data="cifar10", seed=0)["val_fraction"])
    assert {name: len(part.targets) for name, part in cut.splits.items()} == {"train": 45_000, "val": 5_000}
    assert np.bincount(cut.splits["val"].targets).tolist() == [500] * 10


def test_per_pixel_mean_and_nothing_drawn_at_test():
    """The inputs of validation and test are the pictures less the mean training picture, the same each time."""
    chosen = protocol.settings(TINY, 20, data="digits", seed=0) | {"model": "resnet20_cifar"}
    plan = planned(**chosen)
    train, val = plan.source.splits["train"], plan.source.splits["val"]
    pixels = np.stack([train.images[number] for number in range(len(train.targets))]).astype(np.float64) / 255
    assert np.asarray(plan.preprocess.mean) == pytest.approx(pixels.mean(axis=0).transpose(2, 0, 1).ravel(), abs=1e-6)

    learnt, judged = (loader(plan, name, CPU, ALONE) for name in ("train", "val"))
    once, again = (
        torch.cat([to_input(batch.images, plan.preprocess, CPU) for batch in judged.epoch(number)]) for number in (0, 1)
    )
    mean = torch.tensor(plan.preprocess.mean).reshape(1, 8, 8)
    whole = np.stack([val.images[number] for number in range(len(val.targets))])
    expected = torch.from_numpy(whole).permute(0, 3, 1, 2) / 255 - mean
    assert torch.equal(once, again)
    torch.testing.assert_close(once, expected, atol=1e-5, rtol=0)
    one, other = (next(iter(learnt.epoch(number))) for number in (0, 1))
    assert not torch.equal(one.images, other.images)


def test_every_difference_is_said():
    words = " ".join(protocol.deviations(SMALL, data="cifar10", recipes=[{"precision": "bfloat16"}], curves=True))
    for part in ("45,000", "1,500 steps instead of 64,000", "16 x 16", "batch norm saw 64", "3 runs", "bfloat16", "validation"):
        assert part in words, part
    full = " ".join(protocol.deviations(FULL, data="cifar10", recipes=[{"precision": "float32"}]))
    assert "45,000" in full and "batch norm saw 64" in full
    assert not any(part in full for part in ("instead of 64,000", "16 x 16", "runs of each", "bfloat16"))
    assert "mirrored digit" in " ".join(protocol.deviations(TINY, data="digits"))
    large = " ".join(protocol.deviations(FULL, data="/some/where/imagenet", large=True))
    assert "ten crops" in large and "of imagenet" in large and "/some" not in large


def test_scales():
    assert list(scales.SCALES) == ["full", "medium", "small", "tiny"]
    assert (FULL.img_size, FULL.seeds, FULL.depths[-1]) == (32, 5, 110)
    assert scales.get("small", seeds=1, depths=(1202, 20)) == dataclasses.replace(SMALL, seeds=1, depths=(20, 1202))
    for wrong in ({"name": "huge"}, {"name": "tiny", "depths": (21,)}, {"name": "tiny", "seeds": 0}):
        with pytest.raises(InputError, match=r"full, medium, small, tiny|1202|at least 1"):
            scales.get(**wrong)
