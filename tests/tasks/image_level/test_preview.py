"""What a classifier will see, drawn before training: the evaluation's view, and two of training beneath it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data.batches.image_level import PictureSamples
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import ArrayImages
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.data.transforms import Augment, normalise
from resnets.data.types import Source, Split
from resnets.draw.gallery import CELL
from resnets.draw.style import DPI
from resnets.errors import InputError
from resnets.tasks.image_level import preview as room
from resnets.tasks.image_level.preview import stratified, to_pixels

LABELS = ("cat", "dog", "owl")


def preview(
    source: Source,
    preprocess: Preprocess,
    augment: Augment | None,
    path: Path | str,
    *,
    train_size: tuple[int, int] | None = None,
    **settings: int,
) -> Path:
    train = source.splits["train"]
    samples = PictureSamples(
        split=train, preprocess=preprocess, num_classes=len(source.labels), augment=augment, train_size=train_size
    )
    captions = [source.labels[index] for index in train.targets.values]
    return room.preview(source, samples, captions, path, **settings)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What was handed to the gallery."""
    seen: dict = {}

    def gallery(pictures: list, captions: list, path: Path, **settings: object) -> Path:
        seen.update(pictures=pictures, captions=captions, **settings)
        return path

    monkeypatch.setattr(room, "gallery", gallery)
    return seen


def plain(channels: int) -> Preprocess:
    return Preprocess(size=(16, 16), crop_pct=1, mean=(0.4, 0.5, 0.6, 0.7)[:channels], std=(0.2, 0.3, 0.25, 0.2)[:channels])


def arrays(channels: int = 3, num: int = 30) -> Source:
    pixels = np.random.default_rng(0).integers(0, 256, (num, 16, 16, channels), dtype=np.uint8)
    return Source("set", LABELS, {"train": Split(ArrayImages(pixels, "train"), np.arange(num) % 3)}, channels, size=(16, 16))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_file_is_a_picture(tmp_path: Path, channels: int) -> None:
    path = preview(arrays(channels), plain(channels), Augment(crop="pad", hflip=0.5), tmp_path / "new/preview.png", count=8)
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > 8 * CELL * DPI
    assert [one.name for one in path.parent.iterdir()] == ["preview.png"]


def test_rows_are_the_evaluation_and_two_views_of_training(drawn: dict) -> None:
    source, augment = arrays(), Augment(hflip=1.0, mixup=0.8, cutmix=1.0)
    preview(source, plain(3), augment, "x.png", count=6)
    pictures = drawn["pictures"]
    assert drawn["columns"] == 6 and len(pictures) == 18
    assert drawn["captions"][:6] == ["cat", "cat", "dog", "dog", "owl", "owl"]
    assert [one for one in drawn["captions"][6:] if one] == ["training, epoch 1", "training, epoch 2"]
    train = source.splits["train"]
    known = {train.images[index].tobytes(): LABELS[train.targets[index]] for index in range(30)}
    assert [known[one.tobytes()] for one in pictures[:6]] == drawn["captions"][:6]  # to the bit, and not mixed
    for place in range(6):
        for epoch in (1, 2):
            assert np.array_equal(pictures[place + 6 * epoch], pictures[place][:, ::-1])


def test_views_differ_between_epochs_and_repeat_with_the_seed(drawn: dict) -> None:
    augment = Augment(crop="pad", hflip=0.5)
    runs = []
    for seed in (0, 0, 1):
        preview(arrays(), plain(3), augment, "x.png", count=8, seed=seed)
        runs.append(np.stack(drawn["pictures"]))
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0][8:16], runs[0][16:])


def test_without_augmentation_the_evaluation_alone_is_drawn(drawn: dict) -> None:
    preview(arrays(), plain(3), None, "x.png", count=4)
    assert len(drawn["pictures"]) == 4 and "training" not in drawn["title"]


@pytest.mark.parametrize(
    ("count", "num", "columns"), [(1, 1, 1), (3, 3, 3), (10, 10, 5), (11, 10, 5), (32, 30, 6), (99, 30, 6)]
)
def test_rows_are_whole(drawn: dict, count: int, num: int, columns: int) -> None:
    preview(arrays(), plain(3), Augment(), "x.png", count=count)
    assert (len(drawn["pictures"]), len(drawn["captions"]), drawn["columns"]) == (3 * num, 3 * num, columns)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in LABELS:
        (tmp_path / "set" / label).mkdir(parents=True)
        for index in range(4):
            pixels = np.random.default_rng(index).integers(0, 256, (30, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / label / f"{index}.png")
    return tmp_path / "set"


def test_files_are_drawn_as_prediction_sees_them(drawn: dict, folder: Path) -> None:
    rule = Preprocess(size=(24, 20))
    preview(open_source(folder), rule, Augment(crop="resized"), "x.png", count=12, train_size=(16, 12))
    known = {fit_picture(path, rule).transpose(1, 2, 0).tobytes() for path in folder.rglob("*.png")}
    shown = drawn["pictures"]
    assert {one.tobytes() for one in shown if one.shape == (24, 20, 3)} == known
    assert [one.shape for one in shown[6:18]] == [(16, 12, 3)] * 12
    assert "20 x 24 as evaluated; beneath, 12 x 16 in training" in drawn["title"]


def test_unreadable_pictures_are_left_out(drawn: dict, folder: Path) -> None:
    bad = sorted(folder.rglob("*.png"))
    bad[0].write_text("no picture")
    preview(open_source(folder), Preprocess(size=(16, 16)), Augment(), "x.png", count=12)
    assert len(drawn["pictures"]) == 30 and drawn["captions"][:5] == ["cat"] * 3 + ["dog"] * 2  # of 11, rows of 5
    for path in bad:
        path.write_text("no picture")
    with pytest.raises(InputError, match="data check"):
        preview(open_source(folder), Preprocess(size=(16, 16)), Augment(), "x.png")


def test_faults_are_the_users(folder: Path) -> None:
    with pytest.raises(InputError, match="count=0"):
        preview(arrays(), plain(3), None, "x.png", count=0)


def test_a_sample_takes_turns_among_the_classes() -> None:
    targets = np.repeat([0, 1, 2, 4], [100, 3, 1, 50])  # class 3 has none
    assert np.bincount(targets[stratified(targets, 10, 0)]).tolist() == [3, 3, 1, 0, 3]
    assert len(np.unique(stratified(targets, 1000, 0))) == 154
    few = [tuple(targets[stratified(targets, 2, seed)]) for seed in range(20)]
    assert len(set(few)) > 1 and all(one < other for one, other in few)  # other classes with another seed


@pytest.mark.parametrize("per_pixel", [False, True])
def test_pixels_come_back_to_the_bit(per_pixel: bool) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    mean = tuple(np.linspace(0, 1, 256)) if per_pixel else (0.4,)
    rule = Preprocess(size=(16, 16), mean=mean, std=(0.3,))
    assert np.array_equal(to_pixels(normalise(pixels, rule), rule)[0, :, :, 0], pixels[0, 0])
