"""The files of a repository of a model: our saved file, and the same network as other libraries open it by themselves.

resnets.safetensors                           the saved model of this package; nothing of it is lost
config.json, model.safetensors                timm's, where timm has the network: timm.create_model("hf-hub:owner/name")
transformers/                                 transformers' `ResNetForImageClassification`; where timm has no such network,
                                              its files take timm's place
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets import tasks
from resnets.engine.values import PublishedAs
from resnets.errors import InputError
from resnets.files import short, write_json
from resnets.models import weights, zoo
from resnets.models.header import Header
from resnets.models.pretrained import facts, infer, keymaps
from resnets.models.pretrained.names import IN_FOLDER, OURS
from resnets.models.pretrained.opening import Opened
from resnets.models.spec import ResNetSpec
from resnets.ship import hub

WEIGHTS, CONFIG, PROCESSOR = IN_FOLDER[0], "config.json", "preprocessor_config.json"
# What a repository may hold of ours: of an earlier one, the files that are not written anew are taken out.
ALL = (OURS, WEIGHTS, CONFIG, PROCESSOR, "README.md", "transformers/*")
CROP_MODES = {ours: theirs for theirs, ours in facts.CROP_MODES.items()}
RESAMPLE = {words: number for number, words in facts.INTERPOLATIONS.items()}


@dataclass(frozen=True)
class Copy:
    """What became of one library's copy.

    Args:
        library: a key of `LIBRARIES`.
        place: its folder in the repository, "" for the top; None where there is no copy.
        why_not: why there is none, or why it was not checked; "" where it was written and checked.
        checked: the version of the library that opened the copy and gave the same outputs; None where it is not installed.
        prepares: whether the library reads from the copy how images become inputs.
    """

    library: str
    place: str | None
    why_not: str = ""
    checked: str | None = None
    prepares: bool = False


@dataclass(frozen=True)
class Library:
    """How a library has a network.

    Args:
        configs: (header, how its task is published, licence) -> the JSON files beside the weights; raises `InputError` for a
            network that the library does not have.
        outputs: (folder, inputs (N, C, H, W)) -> what the library's network gives.
    """

    configs: Callable[[Header, PublishedAs, str | None], dict[str, Any]]
    outputs: Callable[[Path, Tensor], Tensor]


def write(folder: Path, opened: Opened, header: Header, licence: str | None) -> list[Copy]:
    """Write the files of a repository into `folder`: our saved model with `header`, and the copies.

    Args:
        opened: the weights.
        header: what our file is to say, such as without the paths of this machine.
        licence: of the model, as the Hub names it; None: not known.

    Returns:
        What became of each of `LIBRARIES`.
    """
    own = weights.is_ours(opened.path)
    tensors = weights.read_plain(opened.path) if own else hub.built(opened).state_dict()
    weights.write_tensors(folder / OURS, tensors, header.to_json())
    copies: list[Copy] = []
    for name, library in LIBRARIES.items():
        place = "" if all(copy.place is None for copy in copies) else name
        try:
            theirs = keymaps.BACK[name](opened.tensors, header.spec)
            check_plain(header, opened.tensors)
            configs = library.configs(header, tasks.get(header.task).published, licence)
        except InputError as error:
            copies.append(Copy(name, None, str(error)))
            continue
        weights.write_plain(folder / place / WEIGHTS, theirs, {"format": "pt"})
        for file, config in configs.items():
            write_json(folder / place / file, config)
        copies.append(checked(folder, Copy(name, place, prepares=PROCESSOR in configs or name == "timm"), opened))
    return copies


def check_plain(header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Raise `InputError` where a network is more than a trunk and a linear layer, or its inputs need more than a mean and a
    standard deviation per channel."""
    if tasks.get(header.task).own_size or weights.faults(infer.skeleton(header.spec), dict(tensors)):
        raise InputError(f"its head, for the task {header.task}, is more than a linear layer")
    if len(header.preprocess.mean) != header.spec.in_chans:
        raise InputError("its inputs are normalised by a mean of each pixel")


def checked(folder: Path, copy: Copy, opened: Opened) -> Copy:
    """The copy with the version of the installed library that gives the same outputs; `why_not` says what went wrong."""
    if importlib.util.find_spec(copy.library) is None:
        return dataclasses.replace(copy, why_not=f"not checked: {copy.library} is not installed")
    own = hub.built(opened)
    x = torch.randn(2, own.spec.in_chans, *own.preprocess.size, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # their bars and notes
            warnings.simplefilter("ignore")
            theirs = LIBRARIES[copy.library].outputs(folder / (copy.place or ""), x)
    except Exception as error:  # of another version of the library
        return dataclasses.replace(copy, why_not=f"not checked: {copy.library} cannot open it here ({short(error)})")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours: Any = own(x)
    assert torch.allclose(theirs, ours, rtol=1e-4, atol=1e-5 * float(ours.abs().max())), copy.library
    return dataclasses.replace(copy, checked=importlib.import_module(copy.library).__version__)


# --- timm -------------------------------------------------------------------------------------------------------------------


def timm_network(spec: ResNetSpec) -> tuple[str, dict[str, Any]]:
    """timm's architecture, and the arguments that make it this network.

    Raises:
        InputError: where it has none.
    """
    free = infer.FREE | {"depths"}
    fields = [field.name for field in dataclasses.fields(spec) if field.name not in free]
    alike = [name for name in zoo.ROWS if all(getattr(zoo.get(name), field) == getattr(spec, field) for field in fields)]
    known = [name for name in alike if re.fullmatch(facts.ARCHITECTURES, in_timm(name))]
    if not known:
        raise InputError(f"timm has no network like {spec.name} with its widths")
    name = next((name for name in known if zoo.get(name).depths == spec.depths), known[0])
    arguments: dict[str, Any] = {} if zoo.get(name).depths == spec.depths else {"layers": list(spec.depths)}
    return in_timm(name), arguments | ({} if spec.in_chans == 3 else {"in_chans": spec.in_chans})


def in_timm(name: str) -> str:
    return re.sub("^preresnet", "resnetv2_", name)


def timm_configs(header: Header, published: PublishedAs, licence: str | None) -> dict[str, Any]:
    spec, rule, pre = header.spec, header.preprocess, header.spec.order == "pre"
    architecture, arguments = timm_network(spec)
    if rule.resize not in CROP_MODES:
        raise InputError(f"timm does not resize images by the rule {rule.resize}")
    own = {
        "input_size": [spec.in_chans, *rule.size],
        "fixed_input_size": False,
        "interpolation": rule.interpolation,
        "crop_pct": rule.crop_pct if rule.resize == "crop" else 1.0,
        "crop_mode": CROP_MODES[rule.resize],
        "mean": list(rule.mean),
        "std": list(rule.std),
        "num_classes": spec.num_classes,
        "first_conv": "stem.conv" if pre else "conv1.0" if spec.stem == "deep" else "conv1",
        "classifier": "head.fc" if pre else "fc",
    }
    config = {
        "architecture": architecture,
        "num_classes": spec.num_classes,
        "num_features": spec.num_features,
        "global_pool": "avg",
        "label_names": list(header.labels),
        "model_args": arguments,
        "pretrained_cfg": own | ({} if licence is None else {"license": licence}),
    }
    return {CONFIG: {name: value for name, value in config.items() if value not in ([], {})}}


def timm_outputs(folder: Path, x: Tensor) -> Tensor:
    import timm

    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(x)


# --- transformers -----------------------------------------------------------------------------------------------------------


def transformers_configs(header: Header, published: PublishedAs, licence: str | None) -> dict[str, Any]:
    spec, rule = header.spec, header.preprocess
    expansion = 4 if spec.block == "bottleneck" else 1
    config: dict[str, Any] = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "num_channels": spec.in_chans,
        "embedding_size": spec.stem_width or spec.width,
        "hidden_sizes": [spec.width * 2**stage * expansion for stage in range(len(spec.depths))],
        "depths": list(spec.depths),
        "layer_type": spec.block,
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": spec.block == "bottleneck" and spec.stride_in == "1x1",
    }
    config["id2label"] = {str(number): label for number, label in enumerate(header.labels)}
    config["label2id"] = {label: number for number, label in enumerate(header.labels)}
    if published.problem:
        config["problem_type"] = published.problem
    files = {CONFIG: config}
    height, width = rule.size
    if spec.in_chans != 3 or (rule.resize, height == width) not in (("crop", True), ("squash", True), ("squash", False)):
        return files  # transformers has no processor that prepares images so
    files[PROCESSOR] = {
        "image_processor_type": "BitImageProcessor" if rule.resize == "crop" else "ViTImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": int(height / rule.crop_pct + 1e-6)} if rule.resize == "crop" else _sides(height, width),
        "resample": RESAMPLE[rule.interpolation],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(rule.mean),
        "image_std": list(rule.std),
        "do_convert_rgb": True,
    }
    if rule.resize == "crop":
        files[PROCESSOR] |= {"do_center_crop": True, "crop_size": _sides(height, width)}
    return files


def _sides(height: int, width: int) -> dict[str, int]:
    return {"height": height, "width": width}


def transformers_outputs(folder: Path, x: Tensor) -> Tensor:
    from transformers import AutoModelForImageClassification

    return AutoModelForImageClassification.from_pretrained(folder).eval()(x).logits


LIBRARIES = {
    "timm": Library(timm_configs, timm_outputs),
    "transformers": Library(transformers_configs, transformers_outputs),
}
