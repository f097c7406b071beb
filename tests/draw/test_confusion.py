"""Confusion matrices of any size: counts, colours and the list of the largest confusions."""

import numpy as np
import pytest
from PIL import Image

from resnets.draw.confusion import confusion, draw_confusion, largest_confusions
from tests.draw.drawn import words


def test_confusion_writes_counts_and_greys_empty_classes():
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 9]])
    axes = draw_confusion(matrix, ["cat", "$never$", "dog"]).axes[0]
    assert axes.get_title("left") == "accuracy 85.00 % of 20 pictures"
    assert sorted(words(axes)) == ["1", "2", "8", "9"]
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares[0], [0.8, 0.2, 0])
    assert shares.mask.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "$never$", "dog"]


def test_confusion_of_pixels_says_so_and_fits_its_cells():
    axes = draw_confusion(np.array([[1_533_081, 143_717], [99_999, 999_600]]), ["sky", "road"], of="pixels").axes[0]
    assert axes.get_title("left").endswith("of 2,776,397 pixels")
    assert sorted(words(axes)) == ["1.0M", "1.5M", "144k", "99999"]


@pytest.mark.parametrize("num_classes", [1, 2, 20, 21, 51, 300])
def test_confusion_of_any_size(num_classes, tmp_path):
    matrix = np.eye(num_classes, dtype=int) * 7
    matrix[0, -1] += 3
    labels = [f"a class with a long name {number}" for number in range(num_classes)]
    axes, *rest = draw_confusion(matrix, labels).axes
    assert (len(axes.texts) > 0) == (num_classes <= 20)
    assert any("largest confusions" in other.get_title("left") for other in rest) == (num_classes > 20)
    image = Image.open(confusion(matrix, labels, tmp_path / "confusion.png"))
    assert image.format == "PNG" and min(image.size) > 300 and max(image.size) < 2000


def test_largest_confusions():
    found = largest_confusions([[5, 4, 1], [0, 9, 1], [0, 0, 3]], ["a", "b", "c"], limit=2)
    assert found == [("a", "b", 4, 0.4), ("a", "c", 1, 0.1)]
    assert largest_confusions(np.eye(3, dtype=int), ["a", "b", "c"]) == []
