"""Training curves: what the lines and titles say, for epochs with and without values."""

import math

import numpy as np
import pytest
from PIL import Image

from resnets.draw.curves import curves, draw_curves, draw_points
from tests.draw.drawn import lines, words


def rows(num, **changes):
    """What metrics.csv holds: the loss halves over the run, the error falls from 90 %."""
    return [
        {
            "epoch": epoch, "lr": 0.1, "train_loss": 2 - epoch / num, "train_top1": 0.1 + 0.8 * epoch / num,
            "val_loss": 2.2 - epoch / num, "val_top1": 0.1 + 0.7 * epoch / num, **changes,
        }
        for epoch in range(1, num + 1)
    ]  # fmt: skip


@pytest.mark.parametrize("num", [1, 3, 300])
def test_curves_draw_the_rows(num):
    loss, score, rate = draw_curves(rows(num)).axes
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
    loss, score, _ = draw_curves(table).axes
    assert lines(loss)["val"][:, 0].tolist() == lines(score)["val"][:, 0].tolist() == [1, 3, 4]

    loss, score, _ = draw_curves(rows(3, val_loss=absent, val_top1=absent)).axes
    assert list(lines(loss)) == list(lines(score)) == ["train"]
    assert score.get_title("right") == ""


def test_loss_over_a_wide_range_is_drawn_on_a_log_scale():
    table = [row | {"train_loss": 3 * 0.5 ** row["epoch"]} for row in rows(8)]
    assert draw_curves(table).axes[0].get_yscale() == "log"
    table[0]["train_loss"] = math.inf  # a diverged epoch says nothing about the range
    assert draw_curves(table).axes[0].get_yscale() == "log"


def test_another_metric_is_drawn_as_it_is():
    table = [{"epoch": epoch, "val_miou": value} for epoch, value in enumerate([0.5, 0.7, 0.6])]
    score = draw_curves(table, metric="miou", percent=False).axes[1]
    assert lines(score)["val"][:, 1].tolist() == [0.5, 0.7, 0.6]
    assert score.get_title("right") == "best 0.7, epoch 1"


def test_curves_are_saved(tmp_path):
    assert Image.open(curves(rows(3), tmp_path / "new/curves.png", title="resnet20_cifar on $DATA")).size == (1260, 408)


@pytest.mark.parametrize("x", [[10.1], [0.98, 10.0, 61.0]], ids=["one", "three"])
def test_points_are_within_their_axes(x):
    num = len(x)
    figure = draw_points(
        x, [87.7] * num, ["ours"] * num, spreads=[0.3] * num, filled=[True] * num, x_name="minutes", y_name="accuracy (%)"
    )
    (axes,) = figure.axes
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert all(low * 1.1 < value < high / 1.1 for value in x) and bottom < 87.4 and top > 88.0
