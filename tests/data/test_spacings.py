"""The spacing that volumes are brought to."""

import numpy as np
import pytest

from resnets.data.check.labels import check_labels
from resnets.data.millimetres import parsed
from resnets.data.sources import open_source
from resnets.data.spacings import gridded, usual
from resnets.errors import InputError
from tests.data.made_volumes import phantom, save

SHAPE = np.array([(16.0, 18.0, 20.0)])


def test_what_differs_little_stays_as_it_is():
    assert usual(np.array([[2, 1, 1], [2.08, 1, 1], [2, 1.04, 1]]), SHAPE.repeat(3, 0)) is None


def test_the_median_of_each_axis():
    assert usual(np.array([[2, 1, 1], [3, 1, 1], [4, 0.8, 1.2]]), SHAPE.repeat(3, 0)) == (3, 1, 1)


def test_of_thick_slices_fine_ones_are_taken():
    spacings = np.array([[5.0, 0.7, 0.7]] * 9 + [[1.0, 0.7, 0.7]] * 2)
    shapes = np.array([[40.0, 512, 512]] * 9 + [[200.0, 512, 512]] * 2)
    assert usual(spacings, shapes) == (1.0, 0.7, 0.7)
    assert usual(spacings, shapes * (10, 1, 1)) == (5.0, 0.7, 0.7), "as many voxels as along the others"
    fine = np.where(spacings == 1, 0.5, spacings)
    assert usual(fine, shapes) == (0.7, 0.7, 0.7), "not finer than the others"


@pytest.mark.parametrize(
    ("text", "expected"), [("auto", "auto"), ("none", "none"), ("2.5,0.8,1", (2.5, 0.8, 1)), ((1, 2, 3), (1, 2, 3))]
)
def test_as_people_give_it(text, expected):
    assert parsed(text) == expected


@pytest.mark.parametrize("text", ["1", "1,1", "0,1,1", "-1,1,1", "nan,1,1", "a,b,c", "1e9,1,1", None, 3])
def test_what_is_no_spacing(text):
    with pytest.raises(InputError, match="give auto, none, or mm between slices"):
        parsed(text)


@pytest.fixture
def source(tmp_path):
    for number, thick in enumerate((2.0, 2.0, 4.0)):
        values, classes = phantom(number)
        save(tmp_path / f"images/{number}.nii.gz", values, spacing=(1.0, 1.5, thick))
        save(tmp_path / f"labels/{number}.nii.gz", classes, spacing=(1.0, 1.5, thick))
    return open_source(tmp_path, None)


def test_a_source_is_read_on_its_grid_and_labels_with_it(source):
    volume, classes = gridded(source, "auto").splits["train"][2]
    assert volume.shape == classes.shape == (32, 18, 20) and volume.original.shape == (16, 18, 20)
    before = source.splits["train"][2][1]
    assert np.array_equal(classes[::2], before) and np.array_equal(classes[1::2], before), "the nearest voxel's"
    volume, classes = gridded(source, "4,3,2").splits["train"][0]
    assert volume.shape == classes.shape == (8, 9, 10)
    assert gridded(source, "none") is source
    assert gridded(source, "auto").fingerprint() == source.fingerprint()


def test_positions_lie_on_the_grid(source):
    images, targets = (getattr(gridded(source, "1,1,1").splits["train"], name) for name in ("images", "targets"))
    labels = targets.open(2, images[2])
    for index, positions in enumerate(labels.positions, 1):
        assert all(labels[tuple(slice(at, at + 1) for at in place)].item() == index for place in positions[::50])


def test_check_says_the_spacings(source):
    (finding,) = [each for each in check_labels(source).findings if each.kind == "spacings"]
    assert "median 2 x 1.5 x 1, from 2 x 1.5 x 1 to 4 x 1.5 x 1; segmentation brings volumes to one" in finding.text
    assert [item["what"] for item in finding.items] == ["2 x 1.5 x 1"] * 2 + ["4 x 1.5 x 1"]
