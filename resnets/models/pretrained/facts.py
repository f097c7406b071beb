"""Metadata of weights (preprocessing, class names, licence, training data) and their sources.

The sources in order of precedence: the user; torchvision's table of weights, if the file is one that it publishes; the
configuration files of Hugging Face's libraries beside the weights; the defaults of the family that the file belongs to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.data import classes
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.files import MAX_YAML, open_file, parse_yaml, read_json, read_text, short
from resnets.models.pretrained.families import Family
from resnets.models.pretrained.files import Foreign
from resnets.models.spec import ResNetSpec

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

UNKNOWN = "not stated"
NUMBERS = "numbers; their names are not stated"
USER = "you"  # the `source` of metadata given by the user
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers, in Hugging Face's configs
CROP_MODES = {"center": "crop", "squash": "squash", "border": "pad"}
# timm's architectures that exist here. Others have the same tensor names and shapes, but other pooling or strides.
ARCHITECTURES = (
    r"(se)?resnet(10|14|18|26|34|50|101|152|200)[ds]?|resnet(26|34|50|101|152)c|resnetv2_(18|34|50|101|152)"
    r"|(se)?resnext(26|50|101)d?_\d+x\d+d|seresnext\d+_\d+x\d+d|wide_resnet(50|101)_2"
)


@dataclass(frozen=True)
class Facts:
    """Metadata from one source, which `source` names; None for what the source does not state."""

    source: str
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None
    licence: str | None = None
    training_data: str | None = None
    weights: str | None = None


def sha256(path: Path) -> str:
    """The SHA-256 of the file's content, in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- sources ----------------------------------------------------------------------------------------------------------------


@cache
def published() -> dict[str, tuple[str, WeightsEnum]]:
    """torchvision's weights of residual networks: first characters of the file's SHA-256 -> (network, entry of its table)."""
    from torchvision import models

    found = {}
    for name in models.list_models(module=models):
        if re.match("resnet|resnext|wide_resnet", name):
            for entry in models.get_model_weights(name):
                found[entry.url.rsplit("-", 1)[1].removesuffix(".pth")] = (name, entry)
    return found


def of_torchvision(digest: str) -> Facts | None:
    """The metadata in torchvision's weights table for the file with this SHA-256; None if torchvision did not publish it."""
    found = next((entry for start, entry in published().items() if digest.startswith(start)), None)
    if found is None:
        return None
    name, entry = found
    rule = entry.transforms()
    return Facts(
        source=f"torchvision's table ({entry})",
        preprocess=Preprocess(
            size=(rule.crop_size[0],) * 2,
            crop_pct=rule.crop_size[0] / rule.resize_size[0],
            interpolation=rule.interpolation.value,
            mean=rule.mean,
            std=rule.std,
        ),
        labels=classes.of_set("ImageNet-1K"),  # torchvision's own words for them
        licence="BSD-3-Clause; the terms of ImageNet may apply",
        training_data="ImageNet-1K" + (" (after weakly supervised pre-training)" if "SWAG" in entry.name else ""),
        weights=f"{name}, {entry}",
    )


def of_configs(file: Foreign) -> Facts | None:
    """The metadata in config.json, preprocessor_config.json and the model card beside a file; None without config.json.

    Raises:
        InputError: if they name an architecture that does not exist here, even if its tensors look the same.
    """
    config = file.configs.get("config", {})
    if not config:
        return None
    card = model_card(file.path.parent / "README.md")
    if "architecture" in config:
        rule = _of_timm(config, file.path)
    elif config.get("model_type", "resnet") == "resnet":
        rule = _of_transformers(file.configs.get("preprocessor_config", {}))
    else:
        kind = short(config["model_type"])[:80]
        raise InputError(f"{file.path}: config.json beside it says model_type {kind}, which is not a ResNet")
    labels = config.get("label_names") or config.get("id2label")
    if isinstance(labels, Mapping):
        labels = [labels[key] for key in sorted(labels, key=lambda key: int(key) if key.isdecimal() and key.isascii() else 0)]
        labels = None if all(str(label).startswith("LABEL_") for label in labels) else labels  # transformers' placeholders
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str | int) for label in labels)):
        raise InputError(f"{file.path.parent / 'config.json'}: label_names or id2label are no names; correct it")
    own = mapping(config.get("pretrained_cfg"))
    return Facts(
        source=f"config.json beside {file.path.name}",
        preprocess=rule,
        labels=classes.as_named_here(list(map(str, labels))) if labels else None,
        licence=card.get("license") or (own.get("license") and str(own["license"])),
        training_data=card.get("datasets"),
        weights=".".join(str(word) for word in (config.get("architecture"), own.get("tag")) if word) or None,
    )


def _of_timm(config: Mapping[str, Any], path: Path) -> Preprocess | None:
    name = str(config["architecture"]).split(".")[0].removeprefix("tv_")
    if not re.fullmatch(ARCHITECTURES, name):
        raise InputError(f"{path}: config.json beside it says {name[:80]}, which does not exist here; its outputs would differ")
    own = mapping(config.get("pretrained_cfg"))
    if "mean" not in own or "std" not in own:
        return None
    try:
        return Preprocess(
            size=tuple(own.get("input_size", (3, 224, 224))[-2:]),
            resize=CROP_MODES.get(own.get("crop_mode", "center"), "crop"),
            crop_pct=own.get("crop_pct") or 0.875,
            interpolation=own["interpolation"] if own.get("interpolation") in INTERPOLATIONS.values() else "bicubic",
            mean=own["mean"],
            std=own["std"],
        )
    except (TypeError, ValueError, KeyError):
        return None


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object of JSON, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _of_transformers(config: Mapping[str, Any]) -> Preprocess | None:
    try:
        size = config["size"]
        edge = size if isinstance(size, int) else size.get("shortest_edge") or size["height"]
        crop = config.get("crop_pct") or 0.875
        if isinstance(config.get("crop_size"), Mapping) and config.get("do_center_crop"):  # resize, then a centre crop
            edge, crop = config["crop_size"]["height"], config["crop_size"]["height"] / edge
        return Preprocess(
            size=(edge, edge),
            crop_pct=crop if edge < 384 else 1.0,  # as in transformers' ConvNextImageProcessor: no crop from 384 on
            resize="crop" if edge < 384 else "squash",
            interpolation=INTERPOLATIONS.get(config.get("resample", 3), "bicubic"),
            mean=config["image_mean"],
            std=config["image_std"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None


def model_card(path: Path) -> dict[str, str]:
    """The entries "license" and "datasets" from the YAML header of a Hugging Face model card, those that are there."""
    try:
        head = re.match(r"---\s*\n(.*?)\n---", read_text(path), re.DOTALL)
        told = parse_yaml(head[1], path) if head and len(head[1]) <= MAX_YAML else {}
    except InputError:  # the weights are of use without it
        return {}
    names = {key: told[key] for key in ("license", "datasets") if isinstance(told, dict) and told.get(key)}
    return {key: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in names.items()}


def of_family(family: Family, spec: ResNetSpec) -> Facts:
    """The defaults of the family's authors. Whether they made this very file is not known."""
    names = {name: classes.of_set(name) for name in family.sets if spec.dims == 2}
    usual = next((name for name, labels in names.items() if len(labels) == spec.num_classes), None)
    return Facts(
        source=f"the defaults of {family.name}",
        preprocess=family.preprocess(spec),
        labels=names[usual] if usual else None,
        licence=f"{UNKNOWN} ({family.name} publishes under {family.licence})",
        training_data=f"{usual}, by its {spec.num_classes} classes" if usual else UNKNOWN,
    )


# --- what the user says -----------------------------------------------------------------------------------------------------


def of_user(
    mean: Sequence[float] | None, std: Sequence[float] | None, labels: str | Path | Sequence[str] | None, base: Preprocess
) -> Facts:
    """The metadata given by the user: class names, and the preprocessing `base` with `mean` and `std` replaced.

    Raises:
        InputError: if only one of mean and std is given, or the file holds no names.
    """
    if (mean is None) != (std is None):
        raise InputError("--mean and --std belong together; give both, one value per channel, for images in [0, 1]")
    rule = None if mean is None or std is None else dataclasses.replace(base, mean=tuple(mean), std=tuple(std))
    names = read_labels(labels) if isinstance(labels, str | Path) else labels
    return Facts(source=USER, preprocess=rule, labels=None if names is None else tuple(names))


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names from a file: one name per line, or JSON: a list, or {"0": name or [id, name], ...}."""
    path = Path(path)
    if path.suffix == ".json":
        held = read_json(path, object)
        try:
            rows = [held[key] for key in sorted(held, key=int)] if isinstance(held, dict) else list(held)
        except (TypeError, ValueError):
            rows = []
        if isinstance(held, str) or not all(isinstance(row, str | int | list) for row in rows):
            rows = []
        names = [str(row[-1]) if isinstance(row, list) and row else str(row) for row in rows]
    else:
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not names:
        raise InputError(f'{path}: no class names in it; give one per line, or JSON: a list, or {{"0": name, ...}}')
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: the class {twice[:40]!r} is there twice; each has a name of its own")
    return tuple(names)
