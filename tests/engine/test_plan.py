"""What a run will be, where the user left it open."""

import numpy as np
import pytest
from PIL import Image

from resnets.engine.recipe import OPTIMISERS
from resnets.errors import InputError
from tests.engine.made import planned


def folder(root, height, width):
    for label in ("a", "b"):
        (root / label).mkdir()
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    return str(root)


@pytest.mark.parametrize(
    ("shape", "flags", "model", "size"),
    [
        ((20, 26), {}, "resnet20_cifar", 20),
        ((112, 92), {}, "resnet18", 96),
        ((300, 400), {}, "resnet18", 224),
        ((300, 400), {"img_size": 48}, "resnet20_cifar", 48),
        ((300, 400), {"model": "resnet32_cifar"}, "resnet32_cifar", 32),
        ((20, 26), {"model": "resnet34", "img_size": 64}, "resnet34", 64),
    ],
)
def test_network_and_size_follow_the_pictures(tmp_path, shape, flags, model, size):
    plan = planned(data=folder(tmp_path, *shape), **flags)
    assert (plan.recipe.model, plan.recipe.img_size, plan.preprocess.size) == (model, size, (size, size))
    assert plan.spec.name == model


def test_known_sets_keep_their_size():
    plan = planned(data="digits")
    assert (plan.recipe.model, plan.preprocess.size, plan.spec.in_chans) == ("resnet20_cifar", (8, 8), 1)
    assert plan.recipe.hflip == 0, "a mirrored digit is another sign"


# --- settings without effect, and what is an optimiser's own ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"opt": "adamw", "momentum": 0.8}, "momentum=0.8 has no effect here, only with opt=sgd or muon"),
        ({"opt": "lamb", "nesterov": False}, "nesterov=False .* opt=sgd;"),
        ({"milestones": "0.5"}, "milestones=0.5 .* sched=step"),
        ({"sched": "constant", "min_lr": 0.1}, "min_lr=0.1 .* sched=onecycle or cosine"),
        ({"sched": "cosine", "warmup_lr": 0.1}, "warmup_lr=0.1 .* warmup_epochs, or warmup_steps, or sched=onecycle"),
        ({"weight_decay": 0, "norm_bias_decay": False}, "norm_bias_decay=False .* weight_decay"),
        ({"crop": "pad", "crop_scale": "0.5,1"}, "crop_scale=0.5,1 .* crop=resized"),
        ({"crop": "resized", "crop_pad": 0.1}, "crop_pad=0.1 .* crop=pad"),
        ({"resize": "squash", "crop_pct": 0.9}, "crop_pct=0.9 .* resize=crop"),
        ({"probe_c": 1}, "probe_c=1 .* probe;"),
        ({"weights": "resnet20_cifar10", "normalise": "data"}, "normalise=data .* no weights"),
        ({"weights": "resnet20_cifar10", "probe": True, "lr": 0.1}, "lr=0.1 .* no probe"),
        ({"weights": "resnet20_cifar10", "probe": True, "epochs": 3}, "epochs=3 .* no probe"),
    ],
)
def test_a_setting_without_effect_is_an_error(settings, words):
    with pytest.raises(InputError, match=f"^{words}.*leave it out$"):
        planned(data="digits", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"sched": "step", "milestones": "0.5", "gamma": 0.5}, {"sched": "cosine", "warmup_epochs": 1, "warmup_lr": 0.1},
        {"warmup_lr": 0.1, "warmup": "constant"}, {"weights": "resnet20_cifar10", "probe": True, "hflip": 0.5, "probe_c": 1},
        {"recipe": "he2015", "opt": "adamw"}, {"weights": "resnet20_cifar10", "resize": "crop", "crop_pct": 0.9},
    ],
    ids=str,
)  # fmt: skip
def test_what_recipes_say_and_what_has_an_effect_is_none(settings):
    assert planned(data="digits", **settings)


def test_a_recipe_of_ones_own_is_looked_at_and_that_of_a_run_is_not(tmp_path):
    """The latter has all settings, and so those without effect too."""
    own, of_a_run = tmp_path / "own.yaml", tmp_path / "recipe.yaml"
    own.write_text("opt: adamw\nmomentum: 0.8\n")
    of_a_run.write_text(planned(data="digits", opt="adamw").recipe.to_yaml())
    with pytest.raises(InputError, match=r"momentum=0\.8 has no effect"):
        planned(recipe=str(own))
    assert planned(recipe=str(of_a_run)).recipe.opt == "adamw"


@pytest.mark.parametrize("opt", ["adamw", "lamb", "muon"])
def test_an_optimiser_brings_its_own_defaults_and_gives_way_to_what_is_asked_for(opt):
    plan, own = planned(data="digits", opt=opt), OPTIMISERS[opt].defaults
    assert {name: getattr(plan.recipe, name) for name in own} == own
    assert {plan.origins[name] for name in own} == {f"optimiser {opt}"} and plan.origins["opt"] == "flag"
    asked = planned(data="digits", opt=opt, lr=0.3).recipe
    assert (asked.lr, asked.weight_decay) == (0.3, own["weight_decay"])


@pytest.mark.slow
def test_an_optimiser_of_the_recipe_changes_nothing():
    """Where the recipe is for it, its values are the recipe's; and SGD's rate follows the batch."""
    plain = planned(data="digits")
    assert planned(data="digits", opt="sgd").recipe == plain.recipe and plain.origins["lr"] == "recipe fast"
    rsb = planned(data="digits", recipe="rsb-a3", opt="sgd").recipe
    assert (rsb.lr, rsb.momentum) == (pytest.approx(0.2 * 2048 / 128), 0.9)
    assert planned(data="digits", recipe="rsb-a3", opt="lamb").recipe.lr == 8e-3


@pytest.mark.parametrize(
    "settings",
    [
        {"norm": "none"}, {"weights": "resnet20_cifar10"}, {"weights": "resnet20_cifar10", "probe": True},
        {"weights": "resnet20_cifar10", "norm_stats": "batch", "freeze": "trunk"},
    ],
    ids=str,
)  # fmt: skip
def test_one_picture_at_a_time_where_no_norm_learns_from_batches(settings):
    assert planned(data="digits", batch_size=1, **settings).recipe.batch_size == 1
    with pytest.raises(InputError, match=r"batch norm cannot learn from one picture.*--norm none"):
        planned(
            data="digits", batch_size=1, **settings | {"norm": "batch", "norm_stats": "batch", "probe": None, "freeze": None}
        )
