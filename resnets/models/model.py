"""A model: the trunk, the head of a task, and what must travel with them (preprocessing, labels, where they come from)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets.data.pictures.resize import Picture, as_image, fit_picture
from resnets.data.preprocess import Preprocess
from resnets.data.targets import Detections
from resnets.data.transforms import normalise
from resnets.engine.contract import DenseTask, Task
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec
from resnets.tasks import results


class Model(Trunk):
    """logits = head(features(x)).

    The trunk's and the head's modules stand side by side (conv1 bn1 layer1 ... layer4 avgpool fc), so that for torchvision's
    networks the state dict is torchvision's, and `model.fc = nn.Linear(...)` and hooks on `model.layer4` work as people know.

    Args:
        spec: the network.
        task: what it is for; it makes the head from the spec.
        preprocess: how a picture becomes the input; None: the size of the spec and the statistics of ImageNet (or, for other
            channels than three, mean and standard deviation 0.5).
        labels: names of the classes; None: "0", "1", ...
        metadata: "metrics" and "provenance" of a saved file.
        form: the settings of the head, as the task's `form` makes them; None: its defaults.
    """

    def __init__(
        self,
        spec: ResNetSpec,
        task: Task,
        *,
        preprocess: Preprocess | None = None,
        labels: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(spec)
        self.task = task
        self.preprocess = preprocess or default_preprocess(spec)
        self.labels = tuple(labels) if labels is not None else tuple(str(n) for n in range(spec.num_classes))
        self.metadata = metadata or {}
        self.form = dict(form or {})
        self._set_head()

    def _set_head(self) -> None:
        if len(self.labels) != self.spec.num_classes:
            raise InputError(f"{len(self.labels)} labels for a network of {self.spec.num_classes} classes; give one a class")
        head = self.task.head(self, self.form)
        self.head_names = tuple(head)
        for name, module in head.items():
            self.add_module(name, module)

    def forward(self, x: Tensor, targets: Any = None) -> Any:
        """x (N, in_chans, *spatial), normalised -> the outputs of the task; for classification logits (N, num_classes).

        `targets` are for the training of tasks that look at them before they answer: detection.
        """
        return self.task.forward(self, x, targets)

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
            head=self.form,
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
        self.labels = tuple(names)
        for name in self.head_names:
            delattr(self, name)
        self.spec = dataclasses.replace(self.spec, num_classes=len(self.labels))
        self._set_head()
        self.to(next(self.parameters()))  # the device and type of the trunk

    @torch.inference_mode()
    def predict(self, pictures: Any, *, topk: int = 5, batch_size: int = 32, threshold: float = 0.5) -> list[Any]:
        """What the model says of pictures, the task's preprocessing and class names applied.

        Args:
            pictures: one picture or a sequence: paths, `PIL.Image`s or uint8 arrays (H, W) or (H, W, C).
            topk: classes to name for each picture.
            batch_size: pictures that go through the network at once; of dense tasks always one.
            threshold: of detectors: the least score of an object.

        Returns:
            For each picture the task's result, as `resnets.tasks.results` has it; of classification {"label", "index",
            "probability", "top": [{...}, ...]}.

        Raises:
            InputError: for a picture that cannot be read; `resnets predict` goes on past such pictures instead.
        """
        single = isinstance(pictures, Picture)
        todo = [pictures] if single else list(pictures)
        device, training, found = next(self.parameters()).device, self.training, []
        self.eval()
        try:
            if self.task.dense:
                return [self._places(picture, threshold) for picture in todo]
            for start in range(0, len(todo), batch_size):
                part = [fit_picture(picture, self.preprocess) for picture in todo[start : start + batch_size]]
                x = normalise(torch.from_numpy(np.stack(part)).to(device), self.preprocess)
                found += results.of(self.task.name, self(x).float().cpu().numpy(), self.labels, topk)
        finally:
            self.train(training)
        return found

    def _places(self, picture: Picture, threshold: float) -> dict[str, Any]:
        """What is where in one picture."""
        image = as_image(picture, self.preprocess.in_chans)
        pixels = torch.from_numpy(fit_picture(image, self.preprocess)[None])
        x = normalise(pixels.to(next(self.parameters()).device), self.preprocess)
        task: DenseTask = self.task  # type: ignore[assignment]
        found = task.infer(self, x, (image.height, image.width))
        if isinstance(found, Detections):
            found = results.at_least(found, threshold)
        return {"height": image.height, "width": image.width} | results.PLACES[task.name](found, self.labels)


def default_preprocess(spec: ResNetSpec) -> Preprocess:
    """Without data to take statistics from: ImageNet's for three channels, else 0.5."""
    crop_pct = 1.0 if spec.img_size <= 64 else 0.875
    size = (spec.img_size, spec.img_size)
    if spec.in_chans == 3:
        return Preprocess(size=size, crop_pct=crop_pct)
    half = (0.5,) * spec.in_chans
    return Preprocess(size=size, crop_pct=crop_pct, mean=half, std=half)
