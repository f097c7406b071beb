"""Faster R-CNN and Mask R-CNN over any 2-D trunk, by torchvision's detection parts (arXiv 1506.01497, 1703.06870).

Two forms. "pyramid": regions are pooled from a feature pyramid over c2 ... c5 and read by two linear layers (1612.03144).
"c4": regions are pooled from the last level but one, and the trunk's last stage reads each (He et al. 2015, appendix A).

Pictures come normalised, in a padded batch (N, C, H, W) with the sizes (height, width) that are theirs in it. Boxes are
(K, 4) float32 in pixels, x0 y0 x1 y1; labels (K,) int64 from 0, without a background, which only lives in here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, paste_masks_in_image
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from resnets.engine.values import Losses
from resnets.errors import InputError, is_whole
from resnets.models.nn.layers import Features
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import Level, ResNetSpec
from resnets.tasks.detect.pyramid import Pyramid
from resnets.tasks.detect.settings import HEADS

Found = dict[str, Tensor]  # the fields of `resnets.data.targets.Detections`: xyxy, labels, scores and, with masks, masks
FORMS = HEADS  # the setting `head` is the form of a head
REGION = 7  # positions along each side of a region where its class is told
RATIOS = (0.5, 1.0, 2.0)  # height by width of anchors


@dataclass(frozen=True, kw_only=True)
class Detecting:
    """What a detector is beside its trunk; the defaults are torchvision's, with which its weights give its outputs.

    Args:
        form: "pyramid" or "c4".
        masks: tell the mask of each object, too.
        width: channels of the pyramid.
        region_width: of the two linear layers that read a region of the pyramid.
        anchor_scales: sides of anchors in strides: on c4 of its own; in the pyramid of the first level, doubled from level to
            level. None: (2, 4, 8, 16, 32), and (8,).
        proposals: regions kept in training and in evaluation.
        samples: regions of a picture that the losses of the class and the box are taken on, a quarter of them objects at most.
        least_score, most_overlap, most_objects: of what is reported: scores above, intersection over union with a better one
            of the class below, objects a picture.
    """

    form: str = "pyramid"
    masks: bool = False
    width: int = 256
    region_width: int = 1024
    anchor_scales: tuple[float, ...] | None = None
    proposals: tuple[int, int] = (2000, 1000)
    samples: int = 512
    least_score: float = 0.05
    most_overlap: float = 0.5
    most_objects: int = 100

    def __post_init__(self) -> None:
        for name, (sound, remedy) in SOUND.items():
            if not sound(getattr(self, name)):
                raise InputError(f"{name}={getattr(self, name)!r}: {remedy}")

    def anchors(self, levels: Sequence[Level]) -> AnchorGenerator:
        """Anchors on each of `levels`, in proportion to strides."""
        if self.form == "c4":
            sizes = [tuple(scale * levels[0].stride for scale in self.anchor_scales or (2, 4, 8, 16, 32))]
        else:  # by position, for in a dilated trunk several levels have one stride
            scales = self.anchor_scales or (8,)
            sizes = [tuple(scale * levels[0].stride * 2**n for scale in scales) for n in range(len(levels))]
        return AnchorGenerator(tuple(sizes), (RATIOS,) * len(sizes))


def counting(most: int) -> tuple[Callable[[Any], bool], str]:
    return lambda value: is_whole(value) and 1 <= value <= most, f"give a whole number from 1 to {most}"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_row(values: Any, sound: Callable[[Any], bool]) -> bool:
    return isinstance(values, tuple) and 1 <= len(values) <= 16 and all(map(sound, values))


SHARE = (lambda value: is_number(value) and 0 <= value <= 1, "give a number from 0 to 1")
# What the settings may be, for files of others say them, and what to do otherwise.
SOUND: dict[str, tuple[Callable[[Any], bool], str]] = {
    "form": (lambda value: value in FORMS, f"use one of: {', '.join(FORMS)}"),
    "masks": (lambda value: isinstance(value, bool), "give true or false"),
    "width": counting(1024),
    "region_width": counting(4096),
    "anchor_scales": (
        lambda value: value is None or is_row(value, lambda scale: is_number(scale) and 1e-3 <= scale <= 1e3),
        "give positive numbers, such as 4, 8",
    ),
    "proposals": (
        lambda value: is_row(value, counting(100_000)[0]) and len(value) == 2,
        "give two whole numbers of at least 1",
    ),
    "samples": counting(4096),
    "least_score": SHARE,
    "most_overlap": SHARE,
    "most_objects": counting(10_000),
}


def pooling(levels: Sequence[Level], size: int) -> MultiScaleRoIAlign:
    """Regions to `size` x `size`, each from the level that suits its own size (1612.03144, equation 1)."""
    pool = MultiScaleRoIAlign([level.name for level in levels], size, sampling_ratio=2)
    # torchvision would guess both from the first batch that it sees, padding included.
    pool.scales = [1 / level.stride for level in levels]
    first = int(math.log2(levels[0].stride))
    pool.map_levels = LevelMapper(first, first + len(levels) - 1, canonical_scale=224, canonical_level=4)
    return pool


COVERED = 0.5  # share of a region that must lie in a place to be ignored for it to be no background


def not_background(labels: Tensor, regions: Tensor, ignored: Tensor) -> Tensor:
    """`labels` (R,) of regions (R, 4), with -1, which is not learnt from, for background that lies in `ignored` (K, 4)."""
    if not len(ignored):
        return labels
    low = torch.maximum(regions[:, None, :2], ignored[None, :, :2])
    high = torch.minimum(regions[:, None, 2:], ignored[None, :, 2:])
    area = (regions[:, 2:] - regions[:, :2]).prod(1)
    covered = (high - low).clamp(min=0).prod(2).amax(1) >= COVERED * area
    return torch.where((labels == 0) & covered, torch.full_like(labels, -1), labels)


class Proposals(RegionProposalNetwork):
    """torchvision's, for which places to be ignored are no background."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        places = [target["ignored"] for target in targets]
        return [not_background(*each) for each in zip(labels, anchors, places, strict=True)], boxes


class Regions(RoIHeads):
    """torchvision's, for which places to be ignored are no background, and which can leave the masks out: most of the time,
    where boxes alone are measured."""

    boxes_only = False
    ignored: Sequence[Tensor] = ()  # places of the pictures that are sampled from

    def has_mask(self) -> bool:
        return not self.boxes_only and super().has_mask()

    def select_training_samples(self, proposals: list[Tensor], targets: list[dict[str, Tensor]]) -> Any:
        self.ignored = [target["ignored"] for target in targets]
        return super().select_training_samples(proposals, targets)

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        return matched, [not_background(*each) for each in zip(labels, proposals, self.ignored, strict=True)]


class Detection(nn.Module):
    """The head: proposals, then classes, boxes and masks of regions, from the trunk's levels.

    Args:
        spec: of the trunk; `num_classes` kinds of objects.
        detecting: the settings.
        last_stage: for "c4": the trunk's last stage, (M, C, h, w) -> (M, num_features, h', w').
    """

    def __init__(self, spec: ResNetSpec, detecting: Detecting, last_stage: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        check(spec, detecting)
        self.last_stage = last_stage
        self.last_level = spec.levels[-2].name if detecting.form == "c4" else None  # that is read; None: all are
        num_classes = spec.num_classes + 1  # the background is 0
        if detecting.form == "pyramid":
            self.pyramid = Pyramid(spec, detecting.width)
            levels: Sequence[Level] = self.pyramid.levels
            pooled, size = levels[:-1], REGION
            reader: Callable[[Tensor], Tensor] = TwoMLPHead(detecting.width * REGION**2, detecting.region_width)
            read = detecting.region_width
        else:
            levels = pooled = spec.levels[-2:-1]
            size = REGION * spec.levels[-1].stride // levels[0].stride
            reader, read = self._read, spec.num_features
        self.reads = levels[0].name
        self.pad_to = spec.levels[-1].stride if detecting.form == "pyramid" else levels[0].stride
        anchors = detecting.anchors(levels)
        self.rpn = Proposals(
            anchors,
            RPNHead(levels[0].channels, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n=(kept := dict(zip(("training", "testing"), detecting.proposals, strict=True))),
            post_nms_top_n=kept,
            nms_thresh=0.7,
        )
        self.roi_heads = Regions(
            pooling(pooled, size),
            reader,
            FastRCNNPredictor(read, num_classes),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=detecting.samples,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=detecting.least_score,
            nms_thresh=detecting.most_overlap,
            detections_per_img=detecting.most_objects,
        )
        if detecting.masks:
            pyramid = detecting.form == "pyramid"
            self.roi_heads.mask_roi_pool = pooling(pooled, 2 * REGION if pyramid else size)
            self.roi_heads.mask_head = MaskRCNNHeads(detecting.width, (256,) * 4, 1) if pyramid else last_stage
            self.roi_heads.mask_predictor = MaskRCNNPredictor(256 if pyramid else read, 256, num_classes)
        for part in (self.rpn.head, self.roi_heads.box_predictor, self.roi_heads.mask_predictor):
            if part is not None:
                part.register_forward_hook(exactly)

    def _read(self, regions: Tensor) -> Tensor:
        """Regions (M, C, h, w) -> (M, num_features), M may be 0."""
        return self.last_stage(regions).mean((2, 3))

    def _maps(self, features: Features) -> Features:
        """The maps that regions are found in and pooled from."""
        maps = self.pyramid(features) if hasattr(self, "pyramid") else {self.reads: features[self.reads]}
        return {name: x.float() for name, x in maps.items()}  # anchors take this type, see `exactly`

    def class_logits(self, features: Features, boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """What is said of given regions, (K,) logits each, the background first: boxes (R, 4) of each image of `size`."""
        regions = self.roi_heads.box_roi_pool(self._maps(features), list(boxes), [size] * len(boxes))
        return self.roi_heads.box_predictor(self.roi_heads.box_head(regions))[0]

    def forward(
        self,
        images: Tensor,
        features: Features,
        sizes: Sequence[tuple[int, int]],
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> Losses | list[Found]:
        """Losses in training, else what was found, picture by picture.

        Args:
            images: (N, C, H, W), H and W multiples of `pad_to`; only its shape is read.
            features: the trunk's levels of them.
            sizes: height and width of each picture.
            targets: for training, for each picture the fields of `data.targets.Boxes`: xyxy, labels, and where there are
                such, ignore and masks (K, height, width).

        Returns:
            In training the loss of each part and "loss", their sum; else for each picture xyxy, labels, scores and, with
            masks, masks (K, height, width) bool, best scores first.
        """
        maps = self._maps(features)
        listed = ImageList(images, list(sizes))
        wanted = None if targets is None else [objects(target) for target in targets]
        regions, losses = self.rpn(listed, maps, wanted)
        found, more = self.roi_heads(maps, regions, listed.image_sizes, wanted)
        if self.training:
            losses |= more
            return losses | {"loss": torch.stack(list(losses.values())).sum()}
        return [reported(one, size) for one, size in zip(found, sizes, strict=True)]


def exactly(module: nn.Module, given: Any, outputs: Any) -> Any:
    """What a part puts out, in 32 bits: boxes take the type of what they are decoded from, and the 16 of autocast say where
    they are to some pixels only."""
    return outputs.float() if isinstance(outputs, Tensor) else type(outputs)(exactly(module, given, each) for each in outputs)


def check(spec: ResNetSpec, detecting: Detecting) -> None:
    """Raise `InputError` for a trunk that no detector can stand on."""
    if spec.dims != 2:
        raise InputError(f"dims={spec.dims}: detectors are for pictures, dims=2")
    if not spec.num_classes:
        raise InputError("num_classes=0: a detector needs the number of kinds of objects")
    if len(spec.depths) < 2:
        raise InputError(f"depths={spec.depths}: a detector needs a network of at least two stages")


def objects(target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A target as torchvision's parts take it: what has an area, with classes from 1; and apart, what is to be ignored."""
    xyxy = target["xyxy"].float()
    keep = (xyxy[:, 2:] > xyxy[:, :2]).all(1)
    ignore = target["ignore"] if "ignore" in target else torch.zeros_like(keep)
    ignored, keep = xyxy[keep & ignore], keep & ~ignore
    found = {"boxes": xyxy[keep], "labels": target["labels"][keep] + 1, "ignored": ignored}
    return found | ({"masks": target["masks"][keep]} if "masks" in target else {})


def reported(found: dict[str, Tensor], size: tuple[int, int]) -> Found:
    """What torchvision's parts found in a picture of `size`, in our terms; masks are pasted one by one, for memory."""
    result = {"xyxy": found["boxes"], "labels": found["labels"] - 1, "scores": found["scores"]}
    if "masks" in found:
        pasted = found["masks"].new_zeros((len(found["masks"]), *size), dtype=torch.bool)
        for mask, box, out in zip(found["masks"], found["boxes"], pasted, strict=True):
            out.copy_(paste_masks_in_image(mask[None], box[None], size)[0, 0] >= 0.5)
        result["masks"] = pasted
    return result


def look(
    trunk: Trunk,
    head: Detection,
    images: Tensor,
    sizes: Sequence[tuple[int, int]] | None,
    targets: Sequence[Mapping[str, Tensor]] | None,
) -> Losses | list[Found]:
    """What `head` says of images (N, C, H, W), normalised, of any size; `sizes` None: no picture is padded."""
    height, width = images.shape[2:]
    sizes = [(height, width)] * len(images) if sizes is None else sizes
    images = F.pad(images, (0, -width % head.pad_to, 0, -height % head.pad_to))
    return head(images, trunk.features(images, last=head.last_level), sizes, targets)


def class_odds(trunk: Trunk, head: Detection, images: Tensor, box: Any, label: int, other: int | None = None) -> Tensor:
    """(N,): the log-odds of a class in the region `box` (4,) of images (N, C, H, W), none of which is padded; or the logarithm
    of its odds against another class alone."""
    height, width = images.shape[2:]
    padded = F.pad(images, (0, -width % head.pad_to, 0, -height % head.pad_to))
    boxes = [torch.as_tensor(box, dtype=torch.float32, device=images.device)[None]] * len(images)
    logits = head.class_logits(trunk.features(padded, last=head.last_level), boxes, (height, width))
    others = [index for index in range(logits.shape[1]) if index != label + 1] if other is None else [other + 1]
    return logits[:, label + 1] - logits[:, others].logsumexp(1)  # the background is 0


class Detector(Trunk):
    """The trunk of `spec` and the head side by side."""

    def __init__(self, spec: ResNetSpec, detecting: Detecting | None = None) -> None:
        super().__init__(spec)
        self.detecting = detecting or Detecting()
        self.head = Detection(spec, self.detecting, self.last_stage)

    def forward(
        self,
        images: Tensor,
        sizes: Sequence[tuple[int, int]] | None = None,
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> Losses | list[Found]:
        """Images (N, C, H, W), normalised, of any size -> what the head says; `sizes` None: no picture is padded."""
        if self.training and targets is None:
            raise InputError("a detector in training needs targets; call eval() for what it finds")
        return look(self, self.head, images, sizes, targets)
