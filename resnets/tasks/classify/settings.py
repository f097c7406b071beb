"""The settings of classification, and its recipes by name: each a function from what is known of the data and the network to
settings. No torch.

A published recipe states where its settings were published, and what differs here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from resnets.engine.recipe import part_table
from resnets.engine.settings import ANSWERS, LOSS, setting
from resnets.engine.values import Facts
from resnets.errors import InputError
from resnets.tasks.image_level.settings import LINEAR, LabelSettings, fast, finetune, head_setting

RULES = ("sensitivity", "specificity", "cost")  # of an operating point
LOSSES = part_table("loss", "classify", dict.fromkeys(("ce", "bce"), "resnets.tasks.classify.losses:of_recipe"))
HEADS = part_table("head", "classify", LINEAR)
MOST_SURE = 1e-4  # no more is left to miss than this


def parse_cost(text: str) -> tuple[float, float]:
    """The cost of a false alarm and that of a positive picture missed, from "1:10"."""
    try:
        false_alarm, miss = (float(part) for part in text.split(":"))
    except ValueError:
        false_alarm = miss = 0.0
    if not (0 < false_alarm < math.inf and 0 < miss < math.inf):
        raise InputError(f"cost={text!r}: give that of a false alarm and that of a missed positive, above 0, such as 1:10")
    return false_alarm, miss


@dataclass(frozen=True, kw_only=True)
class ClassifySettings(LabelSettings):
    """The settings of classification."""

    loss: str = setting(LOSS, "ce", "cross-entropy, or a yes or no for every class (bce)", choices=LOSSES)
    head: str | None = head_setting(HEADS)
    balance: str = setting(
        LOSS,
        "none",
        "give rare classes more weight: draw every class equally often (sampler), or weigh the loss",
        choices=("none", "sampler", "loss"),
    )

    # Operating point
    positive: str | None = setting(
        ANSWERS, None, "the class that is to be found, all others being negative; default: of two classes the second"
    )
    sensitivity: float | None = setting(
        ANSWERS,
        None,
        "operating point: find this part of the positive pictures, such as 95%",
        least=MOST_SURE,
        most=1 - MOST_SURE,
    )
    specificity: float | None = setting(
        ANSWERS, None, "or: call this part of the negative pictures negative", least=MOST_SURE, most=1 - MOST_SURE
    )
    cost: str | None = setting(
        ANSWERS, None, "or: the least expected cost, of a false alarm and of a positive picture missed, such as 1:10"
    )
    prevalence: float | None = setting(
        ANSWERS,
        None,
        "the part of pictures that will be positive where the model is used, such as 2%: for PPV, NPV and cost",
        least=1e-9,
        most=1 - 1e-9,
    )

    # Answers
    temperature: bool = setting(ANSWERS, True, "scale the outputs so that probabilities agree with how often answers are right")
    abstain_at: float | None = setting(
        ANSWERS,
        None,
        'answer "unsure" rather than wrong: so that at most this part of the answers given is wrong, such as 1%',
        least=1e-6,
        most=0.5,
    )
    sets: float | None = setting(
        ANSWERS, None, "answer with a set of classes that holds the truth this often, such as 95%", least=0.5, most=0.9999
    )
    unknown_at: float = setting(
        ANSWERS,
        0.01,
        'answer "unknown" to pictures unlike the training data, and by mistake to this part of those like it; 0: never',
        least=0,
        most=0.5,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        rules = [name for name in RULES if getattr(self, name) is not None]
        if len(rules) > 1:
            raise InputError(f"{' and '.join(rules)} exclude each other: an operating point has one rule; give one of them")
        if self.prevalence is not None and not rules:
            raise InputError("prevalence is for an operating point; give sensitivity, specificity or cost, too")
        if self.cost is not None:
            parse_cost(self.cost)


def he2015(facts: Facts) -> dict[str, Any]:
    """He et al. 2015 (arXiv 1512.03385): section 4.2 for the CIFAR family, section 3.4 for ImageNet.

    CIFAR: 64k steps on a 45k/5k split, the last step counts; from 110 layers on, 0.01 for 400 steps first. The paper spreads a
    batch of 128 over two GPUs, so its batch norm saw 64 pictures; here it sees 128. ImageNet: the paper divides the rate "when
    the error plateaus"; here after a quarter, a half and three quarters of its 600k steps. Its colour augmentation
    (Krizhevsky's) and its resize to a random short side in [256, 480] are replaced by the resized crop.
    """
    common = {"opt": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4, "sched": "step"}
    common |= {"hflip": 0.5 if facts.hflip else 0.0, "select": "last"}
    if not facts.small:
        return common | {
            "batch_size": 256,
            "steps": 600_000,
            "milestones": (0.25, 0.5, 0.75),
            "crop": "resized",
            "normalise": "data",
        }
    warmup = {"warmup_steps": 400, "warmup_lr": 0.01, "warmup": "constant"} if facts.spec.num_layers >= 110 else {}
    cifar = {"batch_size": 128, "steps": 64_000, "milestones": (0.5, 0.75), "normalise": "pixel"}
    cifar |= {"crop": "pad", "crop_pad": 1 / 8, "crop_pct": 1.0}
    return common | cifar | warmup


def rsb_a3(facts: Facts) -> dict[str, Any]:
    """ResNet strikes back, procedure A3 (arXiv 2110.00476, table 2): 100 epochs at 160 pixels, tested at 224.

    Published for a total batch of 2048; the learning rate belongs to it. RandAugment here draws 2 operations of magnitude 6
    without the authors' noise of 0.5 on the magnitude.
    """
    return {
        "epochs": 100,
        "batch_size": 2048,
        "opt": "lamb",
        "lr": 8e-3,
        "weight_decay": 0.02,
        "norm_bias_decay": False,
        "sched": "cosine",
        "warmup_epochs": 5,
        "warmup_lr": 1e-4,
        "min_lr": 1e-6,
        "loss": "bce",
        "img_size": 224,
        "train_size": 160,
        "crop_pct": 0.95,
        "interpolation": "bicubic",
        "crop": "resized",
        "hflip": 0.5 if facts.hflip else 0.0,
        "auto_augment": "randaugment-m6",
        "mixup": 0.1,
        "cutmix": 1.0,
        "normalise": "imagenet",
        "select": "last",
    }


def torchvision_v2(facts: Facts) -> dict[str, Any]:
    """torchvision's second recipe (IMAGENET1K_V2): 600 epochs at 176 pixels, tested at 224 of 232.

    Published for a total batch of 1024 (8 x 128); the learning rate belongs to it. Its average of weights moves every 32 steps
    by (1 - 0.99998) * 1024 * 32 / 600; here every step by a 32nd of that.
    """
    return {
        "epochs": 600,
        "batch_size": 1024,
        "opt": "sgd",
        "lr": 0.5,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 2e-5,
        "norm_bias_decay": False,
        "sched": "cosine",
        "warmup_epochs": 5,
        "warmup_lr": 0.005,
        "smoothing": 0.1,
        "img_size": 224,
        "train_size": 176,
        "crop_pct": 224 / 232,
        "crop": "resized",
        "hflip": 0.5 if facts.hflip else 0.0,
        "auto_augment": "trivialaugment",
        "random_erase": 0.1,
        "mixup": 0.2,
        "cutmix": 1.0,
        "repeats": 4,
        "ema": 1 - (1 - 0.99998) * 1024 / 600,
        "normalise": "imagenet",
        "select": "last",
    }


def fawaz2019(facts: Facts) -> dict[str, Any]:
    """Fawaz et al. 2019 (arXiv 1809.04356, table 1 and section 4) for the residual network of series: 1,500 epochs of Adam, the
    rate halved where the training loss stays, weights of the lowest training loss.

    Theirs minimise on all training series and have no validation split; here one is cut off unless the data brings it. The
    saved statistics of norms follow as slowly as Keras' do: of batches of three, those of ten would be noise.
    """
    if facts.spec.dims != 1:
        raise InputError("recipe=fawaz2019 is for series; leave it out")
    return {
        "epochs": 1500,
        "batch_size": max(2, min(facts.num_train // 10, 16)),
        "opt": "adamw",
        "lr": 1e-3,
        "weight_decay": 0.0,
        "sched": "plateau",
        "gamma": 0.5,
        "plateau_epochs": 50,
        "min_lr": 1e-4,
        "norm_momentum": 0.01,
        "hflip": 0.0,
        "select": "train_loss",
    }


RECIPES = {
    "fast": fast,
    "finetune": finetune,
    "he2015": he2015,
    "rsb-a3": rsb_a3,
    "torchvision-v2": torchvision_v2,
    "fawaz2019": fawaz2019,
}
