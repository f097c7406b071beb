"""Drawings: what lines and cells say, sizes of the files, and data that tries to break them."""

import math

import matplotlib
import numpy as np
import pytest
from PIL import Image

from resnets.draw import curves as plots


def rows(num, **changes):
    """What metrics.csv holds: the loss halves over the run, the error falls from 90 %."""
    return [
        {
            "epoch": epoch, "lr": 0.1, "train_loss": 2 - epoch / num, "train_top1": 0.1 + 0.8 * epoch / num,
            "val_loss": 2.2 - epoch / num, "val_top1": 0.1 + 0.7 * epoch / num, **changes,
        }
        for epoch in range(1, num + 1)
    ]  # fmt: skip


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def words(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("num", [1, 3, 300])
def test_curves_draw_the_rows(num):
    loss, score, rate = plots.draw_curves(rows(num)).axes
    epochs = np.arange(1, num + 1)
    np.testing.assert_allclose(lines(loss)["train"], np.c_[epochs, 2 - epochs / num])
    np.testing.assert_allclose(lines(score)["val"], np.c_[epochs, 100 * (0.9 - 0.7 * epochs / num)])
    np.testing.assert_allclose(lines(score)["_best"], [[num, 20]])
    np.testing.assert_allclose(lines(rate)["lr"][:, 1], 0.1)
    assert score.get_title("right") == f"best 20.00 %, epoch {num}"
    assert sorted(words(loss)) == ["train", "val"]
    assert loss.get_yscale() == "linear"


@pytest.mark.parametrize("absent", [None, "", math.nan])
def test_epochs_without_validation_leave_no_point(absent):
    table = rows(4)
    table[1] |= {"val_loss": absent, "val_top1": absent}
    loss, score, _ = plots.draw_curves(table).axes
    assert lines(loss)["val"][:, 0].tolist() == lines(score)["val"][:, 0].tolist() == [1, 3, 4]

    loss, score, _ = plots.draw_curves(rows(3, val_loss=absent, val_top1=absent)).axes
    assert list(lines(loss)) == list(lines(score)) == ["train"]
    assert score.get_title("right") == ""


def test_loss_over_a_wide_range_is_drawn_on_a_log_scale():
    table = [row | {"train_loss": 3 * 0.5 ** row["epoch"]} for row in rows(8)]
    assert plots.draw_curves(table).axes[0].get_yscale() == "log"
    table[0]["train_loss"] = math.inf  # a diverged epoch says nothing about the range
    assert plots.draw_curves(table).axes[0].get_yscale() == "log"


def test_another_metric_is_drawn_as_it_is():
    table = [{"epoch": epoch, "val_miou": value} for epoch, value in enumerate([0.5, 0.7, 0.6])]
    score = plots.draw_curves(table, metric="miou", percent=False).axes[1]
    assert lines(score)["val"][:, 1].tolist() == [0.5, 0.7, 0.6]
    assert score.get_title("right") == "best 0.7, epoch 1"


def test_names_of_lines_that_end_together_are_kept_apart():
    loss = plots.draw_curves(rows(3, train_loss=1.0, val_loss=1.0)).axes[0]
    low, high = sorted(text.get_position()[1] for text in loss.texts)
    assert high - low > 0.05


def test_confusion_writes_counts_and_greys_empty_classes():
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 9]])
    axes = plots.draw_confusion(matrix, ["cat", "$never$", "dog"]).axes[0]
    assert axes.get_title("left") == "accuracy 85.00 % of 20 pictures"
    assert sorted(words(axes)) == ["1", "2", "8", "9"]
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares[0], [0.8, 0.2, 0])
    assert shares.mask.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "$never$", "dog"]


def test_confusion_of_pixels_says_so_and_fits_its_cells():
    axes = plots.draw_confusion(np.array([[1_533_081, 143_717], [99_999, 999_600]]), ["sky", "road"], of="pixels").axes[0]
    assert axes.get_title("left").endswith("of 2,776,397 pixels")
    assert sorted(words(axes)) == ["1.0M", "1.5M", "144k", "99999"]


@pytest.mark.parametrize("num_classes", [1, 2, 20, 21, 51, 300])
def test_confusion_of_any_size(num_classes, tmp_path):
    matrix = np.eye(num_classes, dtype=int) * 7
    matrix[0, -1] += 3
    labels = [f"a class with a long name {number}" for number in range(num_classes)]
    axes, *rest = plots.draw_confusion(matrix, labels).axes
    assert (len(axes.texts) > 0) == (num_classes <= 20)
    assert any("largest confusions" in other.get_title("left") for other in rest) == (num_classes > 20)
    image = Image.open(plots.confusion(matrix, labels, tmp_path / "confusion.png"))
    assert image.format == "PNG" and min(image.size) > 300 and max(image.size) < 2000


def test_largest_confusions():
    found = plots.largest_confusions([[5, 4, 1], [0, 9, 1], [0, 0, 3]], ["a", "b", "c"], limit=2)
    assert found == [("a", "b", 4, 0.4), ("a", "c", 1, 0.1)]
    assert plots.largest_confusions(np.eye(3, dtype=int), ["a", "b", "c"]) == []


def test_calibration_by_hand():
    bins = plots.calibration([0.05, 0.95, 0.95, 0.99, 1.0], [0, 1, 0, 1, 1], num_bins=10)
    assert bins.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 4]
    assert bins.accuracy[-1] == 0.75 and math.isnan(bins.accuracy[5])
    assert bins.ece == pytest.approx((1 * 0.05 + 4 * (0.9725 - 0.75)) / 5)
    upper, _ = plots.draw_reliability([0.9, 0.9], [True, False]).axes
    assert upper.get_title("left") == "calibration error (ECE) 40.00 %"


def test_gallery_takes_any_shape_and_does_not_blur(tmp_path):
    shapes = [(8, 8, 1), (8, 8, 3), (30, 90, 4), (900, 1400, 3), (16, 16), (5, 5, 2)]
    pictures = [np.full(shape, 200, np.uint8) for shape in shapes]
    axes = plots.draw_gallery(pictures, ["$x_{", "two\nlines", "", "a long caption " * 9, "猫", "x"], columns=4).axes[0]
    assert len(axes.images) == 6
    assert [image.get_interpolation() for image in axes.images[2:4]] == ["nearest", "antialiased"]
    assert max(len(text.splitlines()) for text in words(axes) if text) == 2

    board = np.indices((8, 8)).sum(0) % 2 * 255
    path = plots.gallery([board.astype(np.uint8)[..., None]], ["board"], tmp_path / "deep" / "board.png", title="Boards")
    inside = np.asarray(Image.open(path).convert("L"))[60:190, 20:160]
    assert np.isin(inside, (0, 255)).mean() > 0.95  # no grey between the fields


def test_an_empty_gallery_is_an_empty_page(tmp_path):
    assert Image.open(plots.gallery([], [], tmp_path / "none.png", title="Nothing")).format == "PNG"


def test_files_are_whole_and_settings_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"figure.facecolor": "black", "text.usetex": True}):  # the user's own style
        plots.curves(rows(3), tmp_path / "curves.png", title="resnet20_cifar on $DATA")
        first = (tmp_path / "curves.png").read_bytes()
    assert dict(matplotlib.rcParams) == before
    image = Image.open(tmp_path / "curves.png")
    assert image.size == (1260, 408) and image.convert("RGB").getpixel((1, 400)) == (255, 255, 255)
    plots.curves(rows(3), tmp_path / "curves.png", title="resnet20_cifar on $DATA")
    assert (tmp_path / "curves.png").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
