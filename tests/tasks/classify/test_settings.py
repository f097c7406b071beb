"""Named recipes: they fit whatever data, say what was published, and never win over what was asked for."""

import dataclasses

import pytest

from resnets.engine.layers import resolve
from resnets.engine.plan import named_recipe
from resnets.engine.schedule import Schedule
from resnets.engine.values import Facts
from resnets.errors import InputError
from resnets.models import zoo
from resnets.tasks.classify.settings import RECIPES, ClassifySettings
from resnets.tasks.classify.task import Classify

CIFAR = Facts(num_train=50_000, hflip=True, size=(32, 32), spec=zoo.get("resnet20_cifar"))
CIFAR_110 = Facts(num_train=50_000, hflip=True, size=(32, 32), spec=zoo.get("resnet110_cifar"))
IMAGENET = Facts(num_train=1_281_167, hflip=True, size=(224, 224), spec=zoo.get("resnet50"))
TINY = Facts(num_train=12, hflip=False, size=(8, 8), spec=zoo.get("resnet20_cifar"))
ON_PICTURES = sorted(RECIPES.keys() - {"fawaz2019"})  # the recipe of series
FACTS = {"cifar": CIFAR, "cifar, 110 layers": CIFAR_110, "imagenet": IMAGENET, "twelve pictures": TINY}


def recipe_of(name, facts, **flags):
    return resolve(ClassifySettings, {f"recipe {name}": RECIPES[name](facts), "flag": flags})[0]


@pytest.mark.parametrize("facts", FACTS)
@pytest.mark.parametrize("name", ON_PICTURES)
def test_every_recipe_resolves_and_has_a_length(name, facts):
    recipe = recipe_of(name, FACTS[facts])
    assert (recipe.epochs is None) != (recipe.steps is None) and recipe.time is None
    assert recipe.hflip == (0.5 if FACTS[facts].hflip else 0.0)
    schedule = Schedule(recipe=recipe, steps_per_epoch=10)
    assert 0 < schedule.learning_rate(1, schedule.num_steps) <= recipe.lr


FLAGS = {
    "lr": 0.123, "steps": 7, "batch_size": 3, "opt": "adamw", "weight_decay": 0.5, "norm_bias_decay": True, "sched": "constant",
    "crop": "none", "crop_pad": 0.25, "crop_pct": 0.5, "hflip": 0.25, "crop_scale": (0.9, 1.0), "select": "best",
    "warmup_epochs": 2.0, "warmup_lr": 0.3, "momentum": 0.8, "nesterov": True, "milestones": (0.1,), "ema": 0.5, "mixup": 0.0,
    "cutmix": 0.0, "auto_augment": "none", "img_size": 8, "train_size": 8, "loss": "ce", "smoothing": 0.0, "repeats": 1,
    "random_erase": 0.0, "interpolation": "bilinear", "min_lr": 0.01, "warmup": "linear", "normalise": "data",
    "grow_from": 1.0, "layer_decay": 0.9, "norm_stats": "frozen", "clip_grad": 0.5,
    "balance": "none", "stem_init": "random",
}  # fmt: skip


@pytest.mark.parametrize("facts", FACTS)
@pytest.mark.parametrize("name", ON_PICTURES)
def test_flags_are_never_overridden(name, facts):
    recipe = recipe_of(name, FACTS[facts], **FLAGS)
    assert {flag: getattr(recipe, flag) for flag in FLAGS} == FLAGS
    assert (recipe.epochs, recipe.warmup_steps) == (None, None)
    assert set(RECIPES[name](FACTS[facts])) <= {*FLAGS, "epochs", "warmup_steps"}, "a setting of a recipe is not tried here"


@pytest.mark.parametrize("name", ["fasst", "", "he2016"])
def test_unknown_recipe_is_refused_with_those_that_exist(name):
    with pytest.raises(InputError, match=r"no recipe.*fast, finetune, he2015, rsb-a3, torchvision-v2"):
        named_recipe(Classify(), name)


@pytest.mark.parametrize(
    ("num_train", "batch_size", "num_steps"),
    [
        (12, 16, 600),
        (150, 16, 600),
        (1000, 32, 600),
        (5000, 64, 900),
        (15_000, 64, 2800),
        (50_000, 64, 5000),
        (10**7, 64, 156_250),
    ],
)
def test_finetune_is_as_long_as_a_new_head_needs(num_train, batch_size, num_steps):
    """At least about 600 steps, at most 5,000, unless one pass is longer."""
    recipe = recipe_of("finetune", dataclasses.replace(CIFAR, num_train=num_train))
    assert recipe.batch_size == batch_size
    assert recipe.epochs * max(1, num_train // batch_size) == pytest.approx(num_steps, rel=0.1)


@pytest.mark.parametrize(
    ("num_train", "epochs", "batch_size"),
    [
        (12, 60, 16),
        (319, 60, 16),
        (320, 60, 16),
        (640, 60, 32),
        (1437, 60, 64),
        (2560, 60, 128),
        (50_000, 27, 128),
        (10**7, 18, 128),
    ],
)
def test_fast_gives_small_sets_more_epochs_and_smaller_batches(num_train, epochs, batch_size):
    facts = Facts(num_train=num_train, hflip=True, size=(32, 32), spec=CIFAR.spec)
    recipe = recipe_of("fast", facts)
    assert (recipe.epochs, recipe.batch_size) == (epochs, batch_size)
    assert recipe.lr == (0.02 if num_train >= 10_000 else pytest.approx(0.2 * batch_size / 128))


@pytest.mark.parametrize(
    ("changes", "opt", "grow_from"),
    [
        ({}, "muon", 0.5),
        ({"num_train": 9_999}, "sgd", 1.0),
        ({"size": (224, 224)}, "sgd", 1.0),
        ({"spec": zoo.get("resnet18", stem="small")}, "sgd", 0.5),  # orthogonalising it costs more than learning
        ({"asked": {"lr"}}, "sgd", 0.5),  # a rate means SGD's
        ({"asked": {"opt"}}, "sgd", 0.5),
        ({"asked": {"epochs", "batch_size"}}, "muon", 0.5),
    ],
    ids=["as-it-comes", "few-pictures", "large-pictures", "another-network", "a-rate", "an-optimizer", "length-and-batch"],
)
def test_fast_takes_muon_where_it_pays_and_nobody_set_sgd(changes, opt, grow_from):
    recipe = recipe_of("fast", dataclasses.replace(CIFAR, **changes))
    assert (recipe.opt, recipe.grow_from) == (opt, grow_from)
    assert recipe.lr == {"muon": 0.02, "sgd": 0.2}[opt]
    assert recipe.stem_init == {"muon": "whitening", "sgd": "random"}[opt]


def test_fast_gives_resnet8_twice_the_rate():
    recipe = recipe_of("fast", dataclasses.replace(CIFAR, spec=zoo.get("resnet8_cifar")))
    assert (recipe.opt, recipe.lr, recipe.weight_decay) == ("muon", 0.04, 0.02)


@pytest.mark.parametrize(
    "changes", [{"asked": {"weights"}}, {"spec": zoo.get("resnet20_cifar", stem="deep")}], ids=["weights", "another-stem"]
)
def test_fast_whitens_new_stems_of_small_pictures_alone(changes):
    recipe = recipe_of("fast", dataclasses.replace(CIFAR, **changes))
    assert (recipe.opt, recipe.stem_init) == ("muon", "random")


# --- published ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [CIFAR, CIFAR_110], ids=["20", "110"])
def test_he2015_on_cifar_is_section_4_2(facts):
    """Weight decay of 0.0001 and momentum of 0.9, a batch of 128, lr 0.1 divided by 10 at 32k and 48k, end at 64k."""
    recipe = recipe_of("he2015", facts)
    assert (recipe.opt, recipe.momentum, recipe.nesterov, recipe.weight_decay) == ("sgd", 0.9, False, 1e-4)
    assert (recipe.batch_size, recipe.steps, recipe.lr, recipe.norm_bias_decay) == (128, 64_000, 0.1, True)
    assert (recipe.crop, recipe.crop_pad * 32, recipe.crop_pct, recipe.hflip, recipe.normalise) == ("pad", 4, 1.0, 0.5, "pixel")
    assert (recipe.select, recipe.smoothing, recipe.mixup, recipe.cutmix, recipe.ema) == ("last", 0.0, 0.0, 0.0, None)


RATES_20 = {0: 0.1, 399: 0.1, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}
RATES_110 = RATES_20 | {0: 0.01, 399: 0.01}


@pytest.mark.parametrize(("facts", "rates"), [(CIFAR, RATES_20), (CIFAR_110, RATES_110)], ids=["20", "110"])
def test_he2015_rates_change_at_exactly_the_published_steps(facts, rates):
    schedule = Schedule(recipe=recipe_of("he2015", facts), steps_per_epoch=352)
    assert schedule.num_steps == 64_000
    assert {step: schedule.learning_rate(step, 64_000) for step in rates} == pytest.approx(rates)


def test_he2015_on_imagenet_is_section_3_4():
    recipe = recipe_of("he2015", IMAGENET)
    assert (recipe.batch_size, recipe.lr, recipe.steps, recipe.weight_decay) == (256, 0.1, 600_000, 1e-4)
    assert (recipe.momentum, recipe.nesterov, recipe.crop, recipe.warmup_steps) == (0.9, False, "resized", None)


RSB_A3 = {
    "epochs": 100, "batch_size": 2048, "opt": "lamb", "lr": 8e-3, "weight_decay": 0.02, "sched": "cosine", "warmup_epochs": 5.0,
    "train_size": 160, "img_size": 224, "crop_pct": 0.95, "mixup": 0.1, "cutmix": 1.0, "auto_augment": "randaugment-m6",
    "loss": "bce", "smoothing": 0.0, "random_erase": 0.0, "repeats": 1, "ema": None, "drop_path": None, "hflip": 0.5,
    "norm_bias_decay": False,
}  # fmt: skip
TORCHVISION_V2 = {
    "epochs": 600, "batch_size": 1024, "opt": "sgd", "lr": 0.5, "momentum": 0.9, "nesterov": False, "weight_decay": 2e-5,
    "norm_bias_decay": False, "sched": "cosine", "warmup_epochs": 5.0, "warmup_lr": 0.5 * 0.01, "smoothing": 0.1,
    "mixup": 0.2, "cutmix": 1.0, "auto_augment": "trivialaugment", "random_erase": 0.1, "repeats": 4, "train_size": 176,
    "img_size": 224, "loss": "ce", "interpolation": "bilinear",
}  # fmt: skip


@pytest.mark.parametrize(("name", "published"), [("rsb-a3", RSB_A3), ("torchvision-v2", TORCHVISION_V2)])
def test_published_settings(name, published):
    recipe = recipe_of(name, IMAGENET)
    assert {setting: getattr(recipe, setting) for setting in published} == published


def test_torchvision_v2_tests_at_224_of_232_and_averages_as_slowly_as_published():
    recipe = recipe_of("torchvision-v2", IMAGENET)
    assert round(recipe.img_size / recipe.crop_pct) == 232
    assert 1 - recipe.ema**32 == pytest.approx(2e-5 * 1024 * 32 / 600, rel=1e-3)


def test_defaults_are_a_recipe():
    assert ClassifySettings() == resolve(ClassifySettings, {})[0]
