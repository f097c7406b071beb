"""A model: the trunk, the head of a task, and what must travel with them (preprocessing, labels, where they come from)."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor, nn

from resnets.data.pictures.fit_volume import given_volumes
from resnets.data.pictures.resize import as_image, fit_image, fit_picture, listed, to_array
from resnets.data.preprocess import Preprocess
from resnets.data.readers.films import is_film
from resnets.data.readers.given import fetched, is_address
from resnets.data.series.opened import given_series
from resnets.data.transforms import to_input
from resnets.errors import InputError, is_whole
from resnets.models import budget
from resnets.models.answering import Wanted, answered, check_wanted, run_model
from resnets.models.header import Header
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec
from resnets.plugins import TABLES, Part, needs


class Answering:
    """What a model with preprocessing, classes and a task says of pictures; beside `nn.Module` (abstract)."""

    spec: Any
    task: Any
    preprocess: Preprocess
    labels: tuple[str, ...]

    @property
    def header(self) -> Header:
        """What a saved file says of the model."""
        raise NotImplementedError

    @property
    def _told(self) -> str:
        """Name, size, task, classes and input, in a line."""
        num = sum(parameter.numel() for parameter in self.parameters())  # type: ignore[attr-defined]
        named = ", ".join(self.labels[:3]) + ", ..." * (len(self.labels) > 3)
        classes = f", {len(self.labels)} classes ({named})" if self.labels else ""
        size = " x ".join(map(str, (self.preprocess.in_chans, *self.preprocess.size)))
        return f"{self.spec.name}: {num:,} parameters, {self.task.name}{classes}, input {size}"

    def __repr__(self) -> str:
        """One line. All modules by their names, as torch lists them, are `print(model)`: the names that hooks go by."""
        return f"{type(self).__name__}({self._told})"

    def __str__(self) -> str:
        return nn.Module.__repr__(self)  # type: ignore[arg-type]

    def _repr_html_(self) -> str:
        modules = html.escape(str(self))
        return f"{html.escape(self._told)}<details><summary>modules</summary><pre>{modules}</pre></details>"

    def predict(
        self,
        pictures: Any,
        *,
        topk: int = 5,
        batch_size: int = 32,
        threshold: float | None = None,
        channel_order: str = "rgb",
    ) -> list[Any]:
        """What the model says of pictures, the task's preprocessing and class names applied.

        Args:
            pictures: one picture, a sequence of them, a uint8 array (N, H, W, C) or a tensor (N, C, H, W). A picture is a path,
                an http or https address, which is fetched (at most 64 MB), the bytes of an image file, an open file, a
                `PIL.Image`, a uint8 array (H, W), (H, W, C) or (C, H, W), or a tensor (H, W) or (C, H, W), uint8 or as ToTensor
                makes it. Of series: numbers (L,), (C, L) or (N, C, L), a list of series, or paths; a file may have many. Of
                volumes: paths of NIfTI files, or of folders with a DICOM series.
            topk: classes to name for each picture.
            batch_size: pictures that go through the network at once; where answers have the size of the image always one.
            threshold: of detectors and tags: the lowest score of what is named; None: the model's own, else 0.5.
            channel_order: of arrays and tensors: "rgb", or "bgr" as OpenCV has them.

        Returns:
            For each picture the task's row, as `resnets.tasks.*.rows` has it; of classification {"label", "index",
            "probability", "top": [{...}, ...], "answer", "ood_score"}.

        Raises:
            InputError: for a picture that cannot be read (`resnets predict` goes on past such pictures instead), an argument
                out of range, and a model without classes.
        """
        wanted, header, rule = Wanted(topk, threshold), self.header, self.preprocess
        if not (self.labels or self.task.embeds):
            raise InputError("the model has no classes to predict; its pooled features are model(model.inputs(pictures))")
        if not is_whole(batch_size) or batch_size < 1:
            raise InputError(f"batch_size={batch_size!r}: give a whole number of at least 1")
        check_wanted(self.task, threshold=threshold)
        run, num = functools.partial(run_model, self), 1 if self.task.own_size else batch_size
        if len(rule.size) == 1:
            inputs = given_series(pictures, rule)
            several = [np.stack(inputs[start : start + num]) for start in range(0, len(inputs), num)]
            return [row for pixels in several for row, _ in answered(self.task, run, header, pixels, [], wanted)]
        if len(rule.size) == 3:
            volumes, found = given_volumes(pictures, rule), list[Any]()
            while some := list(islice(volumes, num)):
                own = [pixels.shape[1:] for pixels in some] if self.task.own_size else []
                found += [row for row, _ in answered(self.task, run, header, np.stack(some), own, wanted)]
            return found
        todo, rows = listed(pictures, channel_order), []
        if films := [picture for picture in todo if is_film(picture) and not is_address(picture)]:
            raise InputError(f"{films[0]}: a video; resnets.predict(model, {films[0]!r}, fps=1) goes through its frames")
        for start in range(0, len(todo), num):
            images = [
                as_image(fetched(picture), rule.in_chans, rule.bit_depth, rule.window) for picture in todo[start : start + num]
            ]
            pixels = np.stack([to_array(fit_image(image, self.preprocess), self.preprocess) for image in images])
            sizes = [(image.height, image.width) for image in images] if self.task.own_size else []
            rows += [row for row, _ in answered(self.task, run, header, pixels, sizes, wanted)]
        return rows

    def inputs(self, pictures: Any, *, channel_order: str = "rgb") -> Tensor:
        """What `forward` and `features` take: pictures as `predict` takes them, preprocessed, on the model's device.

        Returns:
            float32 (N, C, H, W), of series (N, C, L), of volumes (N, C, D, H, W), normalised. Where inputs have the size of
            their pictures, these must be of one size.

        Raises:
            InputError: for a picture that cannot be read, and for sizes that differ.
        """
        if len(self.preprocess.size) == 1:
            found = given_series(pictures, self.preprocess)
        elif len(self.preprocess.size) == 3:
            found = list(given_volumes(pictures, self.preprocess))
        else:
            found = [fit_picture(fetched(picture), self.preprocess) for picture in listed(pictures, channel_order)]
        if len({pixels.shape for pixels in found}) != 1:
            raise InputError(f"{len(found)} pictures, which give inputs of several sizes or none; give some of one size")
        return to_input(np.stack(found), self.preprocess, next(self.parameters()).device)  # type: ignore[attr-defined]


class Model(Answering, Trunk):
    """logits = head(features(x)).

    The trunk's and the head's modules stand side by side (conv1 bn1 layer1 ... layer4 avgpool fc), so that for torchvision's
    networks the state dict is torchvision's, and `model.fc = nn.Linear(...)` and hooks on `model.layer4` work as people know.

    Args:
        spec: the network.
        task: what it is for, an `engine.contract.Task`; it makes the head from the spec.
        preprocess: how a picture becomes the input; None: the size of the spec and the statistics of ImageNet (or, for other
            channels than three, mean and standard deviation 0.5).
        labels: names of the classes; None: "0", "1", ...
        metadata: "metrics" and "provenance" of a saved file.
        head_config: the settings of the head, as the task's `head_config` makes them; None: its defaults.
        decision: how outputs become answers, as the task's `decide` chose it on validation; None: as they are.
    """

    def __init__(
        self,
        spec: ResNetSpec,
        task: Any,
        *,
        preprocess: Preprocess | None = None,
        labels: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        head_config: Mapping[str, Any] | None = None,
        decision: Mapping[str, Any] | None = None,
    ) -> None:
        budget.check(spec, preprocess)
        super().__init__(spec)
        self.task = task
        self.preprocess = preprocess or default_preprocess(spec)
        self.labels = tuple(labels) if labels is not None else tuple(str(n) for n in range(spec.num_classes))
        self.metadata = metadata or {}
        self.head_config = dict(head_config or {})
        self.decision = dict(decision or {})
        self._set_head()

    def _set_head(self) -> None:
        if len(self.labels) != self.spec.num_classes:
            raise InputError(f"{len(self.labels)} labels for a network of {self.spec.num_classes} classes; give one a class")
        head = self.task.head(self, self.head_config)
        self.head_names = tuple(head)
        for name, module in head.items():
            self.add_module(name, module)

    def forward(self, x: Tensor, targets: Any = None, *, quick: bool = False) -> Any:
        """x (N, in_chans, *spatial), normalised -> the outputs of the task; for classification logits (N, num_classes).

        `targets` come in training, for networks whose outputs are then losses (detectors); `quick` leaves out what validation
        does not measure.
        """
        return self.task.forward(self, x, targets, quick=quick)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The rows of its parts that are chosen by name."""
        head = TABLES.get(("head", self.task.name), {}).get(self.head_config.get("head", ""))
        return (*self.spec.parts, *([] if head is None else [head]))

    @property
    def header(self) -> Header:
        """What a saved file says of the model."""
        return Header(
            spec=self.spec,
            task=self.task.name,
            preprocess=self.preprocess,
            labels=self.labels,
            metrics=self.metadata.get("metrics", {}),
            provenance=self.metadata.get("provenance", {}),
            head=self.head_config,
            decision=self.decision,
            plugins=tuple(needs(self.parts)),
        )

    def reset_classifier(self, labels: int | Sequence[str]) -> None:
        """Put a new head, freshly initialised, for other classes: their names, or their number (0: pooled features)."""
        names = (
            tuple(str(n) for n in range(labels))
            if isinstance(labels, int)
            else (labels,)
            if isinstance(labels, str)
            else labels
        )
        self.labels, self.decision = tuple(names), {}
        for name in self.head_names:
            delattr(self, name)
        self.spec = dataclasses.replace(self.spec, num_classes=len(self.labels))
        self._set_head()
        self.to(next(self.parameters()))  # the device and type of the trunk


def default_preprocess(spec: ResNetSpec) -> Preprocess:
    """Without data to take statistics from: ImageNet's for three channels, else 0.5."""
    crop_pct = 1.0 if spec.img_size <= 64 else 0.875
    size = (spec.img_size, spec.img_size)
    if spec.in_chans == 3:
        return Preprocess(size=size, crop_pct=crop_pct)
    half = (0.5,) * spec.in_chans
    return Preprocess(size=size, crop_pct=crop_pct, mean=half, std=half)
