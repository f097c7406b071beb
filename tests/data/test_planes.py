"""Three planes: which part of a volume they show, which way up, and where they lie."""

import numpy as np
import pytest

from resnets.data.pictures.volumes import open_volume
from resnets.data.planes import VIEWS, busiest, planes
from tests.data.made_volumes import save

SHAPE = (4, 5, 6)  # D, H, W


def test_the_head_and_the_front_are_at_the_top():
    values = np.arange(120).reshape(SHAPE)
    axial, coronal, sagittal = planes(values, (1, 2, 3))
    assert np.array_equal(axial, values[1, ::-1]) and np.array_equal(coronal, values[::-1, 2])
    assert np.array_equal(sagittal, values[::-1, :, 3])


def test_letters_are_those_of_the_axes():
    for view in VIEWS:
        left, right, top, bottom = view.edges
        ends = {0: "IS", 1: "PA", 2: "LR"}  # first and last along D, H and W
        assert (left, right) == tuple(ends[view.columns]) and (bottom, top) == tuple(ends[view.rows])
        assert {view.axis, view.rows, view.columns} == {0, 1, 2}


def test_the_busiest_place_is_the_middle_of_several_and_of_nothing():
    there = np.zeros(SHAPE, bool)
    assert busiest(there) == (1, 2, 2)
    there[1:3, 1, 2:5] = there[2, 4, 3] = True
    assert busiest(there) == (2, 1, 3)


@pytest.mark.parametrize("order", ["RAS", "PIL"])
def test_planes_of_a_file_lie_in_the_body_whatever_its_axes(tmp_path, order):
    values = np.zeros((6, 5, 4), np.int16)  # x, y, z
    values[5, 4, 3] = 100  # right, front, head
    volume = open_volume(save(tmp_path / "a.nii", values, order=order))
    for picture, view in zip(volume.planes((3, 4, 5)), VIEWS, strict=True):
        assert picture.shape == (SHAPE[view.rows], SHAPE[view.columns], 1)
        row, column, _ = np.unravel_index(picture.argmax(), picture.shape)
        assert (row, column) == (0, SHAPE[view.columns] - 1), "at the top, and at the right"
