"""Figures of volumes: proportions, letters, legends, and that the worst are there."""

import numpy as np
import pytest
import torch

from resnets.data.sources import open_source
from resnets.data.targets import Truth
from resnets.data.types import Batch
from resnets.draw import panels as rooms
from resnets.draw.agreement import draw_agreement
from resnets.measures.agreement import agreement
from resnets.tasks.segment import draw, draw_volumes
from resnets.tasks.segment.meter import SegmentMeter
from resnets.verbs.preview import preview
from tests.data import made_volumes
from tests.draw.drawn import words


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return open_source(made_volumes.folder(tmp_path_factory.mktemp("volumes"), train=3, val=2), "masks")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written."""
    found = []
    for room in (rooms, draw_volumes):
        monkeypatch.setattr(room, "write", lambda figure, path: found.append(figure) or path, raising=False)
    return found


def test_panels_have_the_proportions_of_the_spacing(source, figures, tmp_path):
    volume, classes = source.splits["val"][0]
    assert volume.spacing == (2.0, 1.5, 1.0)
    draw_volumes.segments(volume, classes, source.labels, 0, tmp_path / "a.png")
    (figure,) = figures
    axial, coronal, sagittal = figure.axes[:3]
    assert [axes.get_xlim()[1] for axes in (axial, coronal, sagittal)] == [20, 20, 27]  # mm
    assert [axes.get_ylim()[0] for axes in (axial, coronal, sagittal)] == [27, 32, 32]
    assert words(axial) == ["L", "R", "A", "P"] and words(sagittal) == ["P", "A", "S", "I"]
    assert words(figure.axes[-1]) == ["ball", "box"]
    plain, painted = (figure.axes[n].images[0].get_array() for n in (0, 3))
    assert (plain[..., 0] == plain[..., 2]).all() and (painted[..., 0] != painted[..., 2]).any()


def test_an_evaluation_has_the_worst_first_and_millilitres(source, figures, tmp_path):
    split, meter = source.splits["val"], SegmentMeter(source.labels, quick=False)
    for index in range(2):
        volume, truth = split[index]
        found = np.where(index == 1, 0, truth).astype(np.uint8)
        meter.add([found], Batch(torch.empty(1, 0), [Truth(index, truth.shape, truth, volume.spacing)], torch.tensor([index])))
    paths = draw.evaluation(meter, split, tmp_path)
    assert [path.name for path in paths] == ["confusion.png", "worst.png", "agreement.png"]
    captions = [text.get_text() for text in figures[-1].texts[1:]]  # after the title
    assert captions[0].startswith("1.nii.gz") and captions[2].startswith("0.nii.gz") and "truth" in captions[0]
    assert captions[1] == captions[3] == "predicted"


def test_a_preview_shows_volumes_and_patches(source, tmp_path, figures):
    root = source.splits["train"].images.files.root
    preview(str(root), out=tmp_path / "seen.png", task="segment", train_size=8, model="resnet20_cifar", depths="1,1")
    (figure,) = figures
    assert [text.get_text() for text in figure.texts if "title" not in text.get_text()][-1] == "a patch in training"
    assert len([axes for axes in figure.axes if axes.images]) == 3 * 2 * 3
    assert figure.axes[3].get_xlim()[1] == 8  # mm along W
    assert words(figure.axes[0]) == ["L", "R", "A", "P"] and not words(figure.axes[3]), "a patch may be mirrored"


def test_limits_of_agreement_are_drawn_where_they_are():
    true = np.array([1.0, 2.0, 3.0])
    found = agreement(true + np.array([0.1, 0.0, 0.2]), true)
    figure = draw_agreement({"organ": found, "cyst": found}, unit="ml")
    axes = figure.axes[0]
    heights = {round(float(line.get_ydata()[0]), 6) for line in axes.lines[1:]}
    assert {round(value, 6) for value in (0, found.bias, *found.limits)} <= heights
    assert axes.lines[0].get_xydata()[0].tolist() == pytest.approx([1.05, 0.1])
    assert words(axes) == ["bias +0.100", *(f"{limit:+.3f}" for limit in found.limits)]
    assert [each.get_title("left") for each in figure.axes] == ["organ", "cyst"]
