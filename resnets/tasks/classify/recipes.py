"""Recipes by name: each a function from what is known of the data and the network to settings. No torch.

A published recipe states where its settings were published, and what differs here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnets.engine.recipe import Facts
from resnets.errors import InputError

PATCH = 64  # side of the parts of volumes that training sees


def fast(facts: Facts) -> dict[str, Any]:
    """The default: one cycle, short, for whatever data; steps enough for small sets, passes enough for large ones.

    Many small pictures (CIFAR's) are seen at half their size at first, and learnt by Muon where the network is small (its
    orthogonalisation costs a step of ResNet-20 a twentieth, of ResNet-18 several times as much again) and nobody asks for
    settings of SGD.
    """
    batch_size = 128
    while batch_size > 16 and facts.num_train < 20 * batch_size:
        batch_size //= 2
    many = facts.small and facts.num_train >= 10_000
    muon = {"opt": "muon", "lr": 0.02, "momentum": 0.95, "weight_decay": 0.01}
    quick = many and facts.spec.num_params < 2e6 and not {"opt", *muon} & set(facts.asked)
    return {
        "epochs": min(60, max(18, round(1_350_000 / facts.num_train))),
        "batch_size": batch_size,
        "lr": 0.2 * batch_size / 128,
        "weight_decay": 5e-4,
        "norm_bias_decay": False,
        "sched": "onecycle",
        "smoothing": 0.1 if facts.num_train < 10_000 else 0.0,  # small sets are soon known by heart
        "crop": "pad" if facts.small else "resized",
        "crop_pad": 3 / 32 if quick else 1 / 16,  # the paper has 1 / 8: for runs ten times as long
        "crop_scale": (0.25, 1.0),
        "crop_pct": 1.0 if facts.small else 0.875,
        "hflip": 0.5 if facts.hflip else 0.0,
        "grow_from": 0.5 if many else 1.0,
    } | (muon if quick else {})


def finetune(facts: Facts) -> dict[str, Any]:
    """The default with `weights`: a short cycle over a small set of one's own, all of the network learning, the front more
    slowly than the head.

    At least 600 steps, for a new head must be learnt whatever the number of pictures; at most 5,000, and twelve passes in
    between: what the weights know is mostly there. Validated for 5 to 100 pictures a class (docs/transfer.md).
    """
    batch_size = 64
    while batch_size > 16 and facts.num_train < 20 * batch_size:
        batch_size //= 2
    steps_per_epoch = max(1, facts.num_train // batch_size)
    num_steps = min(5000, max(600, 12 * steps_per_epoch))
    return {
        "epochs": max(1, round(num_steps / steps_per_epoch)),
        "batch_size": batch_size,
        "opt": "sgd",
        "lr": 0.06 * (batch_size / 16) ** 0.5,
        "layer_decay": 0.8,
        "weight_decay": 5e-4,
        "norm_bias_decay": False,
        "sched": "onecycle",
        "smoothing": 0.1,
        "crop": "pad" if facts.small else "resized",
        "crop_pad": 1 / 16,
        "crop_scale": (0.35, 1.0),
        "hflip": 0.5 if facts.hflip else 0.0,
    }


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


def segment(facts: Facts) -> dict[str, Any]:
    """The default of segmentation: AdamW, one cycle, about 12,000 pictures at several scales and mirrored; of more than two
    classes the rare ones weigh more; of pictures of many sizes, windows of one. Of volumes, about 8,000 patches, at least 200
    an epoch."""
    if facts.spec.dims == 3:
        repeats = max(1, round(200 / facts.num_train))
        return DENSE | {
            "epochs": min(40, max(10, round(8_000 / (repeats * facts.num_train)))),
            "repeats": repeats,
            "batch_size": 4,
            "train_size": PATCH,
            "loss": "ce+dice",
            "hflip": 0.5,
            "scales": (1.0,),
        }
    return DENSE | {
        "epochs": min(200, max(10, round(12_000 / facts.num_train))),
        "batch_size": 4 if facts.num_train < 1000 else 8,
        "balance": "loss" if facts.num_classes > 2 else "none",
        "train_size": None if facts.one_size else max(32, min(256, min(facts.size) // 32 * 32)),
        "loss": "ce+dice",
        "hflip": 0.5 if facts.hflip else 0.0,
    }


def detect(facts: Facts) -> dict[str, Any]:
    """The default of detection: AdamW, one cycle, about 12,000 pictures, each at another scale and mirrored."""
    epochs = min(200, max(10, round(12_000 / facts.num_train)))
    return DENSE | {"epochs": epochs, "hflip": 0.5 if facts.hflip else 0.0}


DENSE = {
    "batch_size": 8,
    "opt": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.01,
    "norm_bias_decay": False,
    "norm_stats": "batch",
    "sched": "onecycle",
    "clip_grad": 10.0,
    "scales": (0.75, 1.0, 1.25),
    "jitter": 0.2,
}
RECIPES: dict[str, Callable[[Facts], dict[str, Any]]] = {
    "fast": fast,
    "finetune": finetune,
    "he2015": he2015,
    "rsb-a3": rsb_a3,
    "torchvision-v2": torchvision_v2,
    "segment": segment,
    "detect": detect,
}


def get(name: str) -> Callable[[Facts], dict[str, Any]]:
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; use one of {', '.join(RECIPES)}, or a YAML file of settings")
    return RECIPES[name]
