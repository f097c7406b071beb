"""The settings that tasks with one answer per picture share, and the recipes that are their defaults. No torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from resnets.data.words import IMAGES_OF
from resnets.engine.recipe import Recipe
from resnets.engine.settings import AUGMENTATION, DATA, FINETUNING, IMAGES, LOSS, NETWORK, ON, fields_of, setting, show
from resnets.engine.values import Facts
from resnets.errors import InputError
from resnets.tasks.volume_settings import VolumeSettings

LINEAR = {"linear": "resnets.models.nn.heads:classifier"}  # the head of tasks with one answer per picture


def head_setting(choices: Collection[str]) -> Any:
    words = "what makes outputs of the trunk's features; default: that of the weights, else average pooling and a linear layer"
    return setting(NETWORK, None, words, choices=choices)


RESIZE = ("resize", "crop_pct", "interpolation")  # of Preprocess, that the settings have too
# Settings that not all kinds of images have a use for: the spatial axes of those that do, and what does nothing.
SUITED: dict[str, tuple[tuple[int, ...], Any]] = {
    "jitter": ((1, 3), 0.0), "scaling": ((1, 3), 0.0), "window_warp": ((1,), 0.0),
    "volume_size": ((3,), None), "vflip": ((3,), 0.0), "dflip": ((3,), 0.0), "rotation": ((3,), 0.0), "zoom": ((3,), 0.0),
    "crop": ((2, 3), "none"), "crop_pad": ((2, 3), 0.0), "interpolation": ((2, 3), "bilinear"),
    "crop_scale": ((2,), (1.0, 1.0)), "crop_pct": ((2,), 1.0), "train_size": ((2,), None), "auto_augment": ((2,), "none"),
    "random_erase": ((2,), 0.0), "grow_from": ((2,), 1.0), "cutmix": ((2,), 0.0), "bit_depth": ((2,), None),
}  # fmt: skip
IDLE = {dims: {name: off for name, (suits, off) in SUITED.items() if dims not in suits} for dims in IMAGES_OF}
WHOLE = {"resize": "squash", "crop_pct": 1.0}  # how a picture becomes an input: all of it


@dataclass(frozen=True, kw_only=True)
class ImageLevelSettings(VolumeSettings, Recipe):
    """The settings that tasks with one answer per picture share."""

    idle: ClassVar = IDLE

    # Images
    resize: str = setting(IMAGES, "crop", "how a picture of another shape becomes the input", choices=("crop", "pad", "squash"))
    crop_pct: float = setting(
        IMAGES, 0.875, "for crop: fraction of the resized picture that is kept", least=0.01, most=1, only={"resize": ("crop",)}
    )
    normalise: str = setting(
        IMAGES,
        "data",
        "subtract a mean for each channel, or each pixel, of the data; or ImageNet's; or of each series or volume its own",
        choices=("data", "pixel", "imagenet", "each"),
        only={"weights": (None,)},
    )
    volume_size: tuple[int, ...] | None = setting(
        IMAGES, None, "volumes: depth,height,width of the input in voxels; default: by the data, or img_size along each"
    )
    grow_from: float = setting(
        IMAGES,
        1.0,
        "early epochs at reduced resolution: fraction of its side that an input has at first, growing to 1 over 65 % of it",
        least=0.1,
        most=1,
    )

    # Augmentation
    crop: str = setting(AUGMENTATION, "pad", "random crop in training", choices=("pad", "resized", "none"))
    crop_pad: float = setting(
        AUGMENTATION,
        0.125,
        "for pad: width of each side as a fraction of the picture's; volumes are moved by up to that",
        least=0,
        most=1,
        only={"crop": ("pad",)},
    )
    crop_scale: tuple[float, ...] = setting(
        AUGMENTATION, (0.08, 1.0), "for resized: smallest and largest fraction of the area", only={"crop": ("resized",)}
    )
    auto_augment: str = setting(
        AUGMENTATION,
        "none",
        "policy of colours and shapes",
        choices=("none", "randaugment", "randaugment-m6", "trivialaugment"),
    )
    random_erase: float = setting(AUGMENTATION, 0.0, "probability of blanking a rectangle", least=0, most=1)
    jitter: float = setting(
        AUGMENTATION,
        0.0,
        "series and volumes: standard deviation of noise on each value, in standard deviations of the input",
        least=0,
    )
    scaling: float = setting(
        AUGMENTATION, 0.0, "series and volumes: standard deviation of a factor around 1 on each channel", least=0, most=1
    )
    window_warp: float = setting(
        AUGMENTATION,
        0.0,
        "series: probability of window warping, a tenth of the series at half or twice its speed",
        least=0,
        most=1,
    )
    vflip: float = setting(AUGMENTATION, 0.0, "volumes: probability of exchanging back and front", least=0, most=1)
    repeats: int = setting(
        AUGMENTATION, 1, "times a picture is shown in a row, differently augmented; as many fewer per epoch", least=1
    )

    # Data
    cache: str = setting(
        DATA,
        "auto",
        "keep decoded pictures in memory or on disk; auto: in memory, if they fit in a quarter of what is free",
        choices=("auto", "none", "memory", "disk"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (len(self.crop_scale) == 2 and 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1):
            raise InputError(
                f"crop_scale={list(self.crop_scale)}: give smallest and largest fraction of the area, such as 0.08,1"
            )
        if self.volume_size is not None and not (len(self.volume_size) == 3 and min(self.volume_size) >= 1):
            raise InputError(f"volume_size={show(self.volume_size)}: give depth, height and width in voxels, such as 48,64,48")


def check_suited(recipe: ImageLevelSettings, dims: int) -> None:
    """Raise `InputError` where a setting is given that does nothing to images of so many axes."""
    fields = fields_of(type(recipe))
    for name, off in IDLE[dims].items():
        if name in fields and (value := getattr(recipe, name)) not in (fields[name].default, off):
            those = " and ".join(IMAGES_OF[each] for each in SUITED[name][0])
            raise InputError(f"{name}={show(value)}: is for {those}, and these are {IMAGES_OF[dims]}; leave it out")


@dataclass(frozen=True, kw_only=True)
class LabelSettings(ImageLevelSettings):
    """The settings of those tasks whose targets are classes, which can be softened and mixed."""

    of_probe = frozenset({"balance", "hflip", "probe", "probe_c"})

    smoothing: float = setting(LOSS, 0.0, "label smoothing", least=0, most=1)
    mixup: float = setting(AUGMENTATION, 0.0, "alpha of mixing pictures; 0: off", least=0)
    cutmix: float = setting(AUGMENTATION, 0.0, "alpha of pasting parts; 0: off", least=0)

    # Fine-tuning
    probe: bool = setting(
        FINETUNING, False, "linear probe: fit the head alone, by logistic regression on features computed once"
    )
    probe_c: float | None = setting(
        FINETUNING,
        None,
        "for probe: C of the penalty; default: what is best on validation, of 0.001 to 10",
        least=1e-9,
        only={"probe": ON},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep_at and self.probe:
            raise InputError("keep_at and probe exclude each other: a probe takes no steps; give one of them")
        if self.probe and getattr(self, "head", None) not in (None, *LINEAR):
            raise InputError("probe fits a linear head; leave out --head")

    @property
    def is_probe(self) -> bool:
        return self.probe

    def num_images(self, num_train: int) -> float:
        return super().num_images(num_train) if self.seconds is not None or not self.probe else float(num_train)


def fast(facts: Facts) -> dict[str, Any]:
    """The default: one cycle, short, for whatever data; steps enough for small sets, passes enough for large ones.

    Many small pictures (CIFAR's) are seen at half their size at first, and learnt by Muon where the network is small (its
    orthogonalisation costs a step of ResNet-20 a twentieth, of ResNet-18 several times as much again) and nobody asks for
    settings of SGD.
    """
    if facts.spec.dims in OWN:
        return OWN[facts.spec.dims](facts)
    batch_size = 128
    while batch_size > 16 and facts.num_train < 20 * batch_size:
        batch_size //= 2
    many, stem = facts.small and facts.num_train >= 10_000, getattr(facts.spec, "stem", "")
    rate = 0.04 if getattr(facts.spec, "block", "") == "airbench" else 0.02  # deeper networks do not gain by more
    muon = {"opt": "muon", "lr": rate, "momentum": 0.95, "weight_decay": rate / 2}
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
        "stem_init": "whitening" if quick and stem == "small" and "weights" not in facts.asked else "random",
    } | (muon if quick else {})


def of_series(facts: Facts) -> dict[str, Any]:
    """The default of series: one cycle of AdamW, of at least 1,500 steps, for sets of series are small, and 25 passes.

    Batches are an eighth of small sets: with all of the network's norms over few series, smaller ones are too noisy, and larger
    ones leave too few steps in a pass. Weights are averaged and labels smoothed: that was chosen within the training splits of
    JapaneseVowels and GunPoint (docs/lab.md).
    """
    batch_size = 8
    while batch_size < 64 and facts.num_train >= 16 * batch_size:
        batch_size *= 2
    steps_per_epoch = max(1, facts.num_train // batch_size)
    return {
        "epochs": max(25, -(-1500 // steps_per_epoch)),
        "batch_size": batch_size,
        "opt": "adamw",
        "lr": 3e-3,
        "weight_decay": 0.01,
        "norm_bias_decay": False,
        "sched": "onecycle",
        "smoothing": 0.1,
        "ema": None if {"epochs", "steps", "time"} & set(facts.asked) else 0.99,  # an average wants hundreds of steps
        "hflip": 0.0,
    }


def of_volumes(facts: Facts) -> dict[str, Any]:
    """The default of whole volumes, of some hundred of them and small networks: one cycle of AdamW, about 6,000 volumes shown
    in 12 to 60 passes.

    Nothing is mirrored: left and right are classes in medicine, and hearts have a side. Nor is anything enlarged: size may be
    what tells the classes. Norms take the batch's statistics, for those of pictures are not those of volumes.
    """
    batch_size = 4
    while batch_size < 16 and facts.num_train >= 16 * batch_size:
        batch_size *= 2
    return {
        "epochs": min(60, max(12, round(6000 / facts.num_train))),
        "batch_size": batch_size,
        "opt": "adamw",
        "lr": 2e-3,
        "weight_decay": 0.01,
        "norm_bias_decay": False,
        "norm_stats": "batch",
        "sched": "onecycle",
        "crop": "pad",
        "crop_pad": 1 / 16,
        "rotation": 10.0,
        "scaling": 0.1,
        "jitter": 0.05,
        "hflip": 0.0,
    }


OWN = {1: of_series, 3: of_volumes}  # the defaults of images with other axes than those of pictures


def finetune(facts: Facts) -> dict[str, Any]:
    """The default with `weights`: a short cycle over a small set of one's own, all of the network learning, the front more
    slowly than the head.

    At least 600 steps, for a new head must be learnt whatever the number of pictures; at most 5,000, and twelve passes in
    between: what the weights know is mostly there. Validated for 5 to 100 pictures a class (docs/transfer.md).
    """
    if facts.spec.dims in OWN:
        return OWN[facts.spec.dims](facts)
    batch_size = 64
    while batch_size > 16 and facts.num_train < 20 * batch_size:
        batch_size //= 2
    steps_per_epoch = max(1, facts.num_train // batch_size)
    num_steps = min(5000, max(600, 12 * steps_per_epoch))
    return {
        "epochs": max(1, round(num_steps / steps_per_epoch)),
        "batch_size": batch_size,
        "opt": "sgd",
        # What ImageNet taught is lost at rates that small networks of CIFAR's size gain by (docs/lab.md).
        "lr": (0.06 if facts.small else 0.005) * (batch_size / 16) ** 0.5,
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
