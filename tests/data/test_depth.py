"""The bit depth of a dataset: found from its values, told, and kept by whatever reads it."""

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.data import depth
from resnets.data.check import check
from resnets.data.sources import open_source
from resnets.errors import InputError
from resnets.models.weights import read_header

SMALL = {"model": "resnet20_cifar", "width": 4, "steps": 2, "batch_size": 4, "img_size": 16, "workers": 0, "in_chans": 1}


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """Two classes of noise of 12 bits in files of 16, which differ in the lower four bits alone here and there."""
    root, random = tmp_path_factory.mktemp("data") / "deep", np.random.default_rng(0)
    for label, low in (("dim", 0), ("bright", 2000)):
        (root / label).mkdir(parents=True)
        for number in range(6):
            values = random.integers(low, low + 2000, (16, 16)).astype(np.uint16)
            Image.fromarray(values).save(root / label / f"{number}.png")
    return root


@pytest.mark.parametrize(("highest", "bits"), [(200, 8), (256, 10), (4095, 12), (4096, 14), (65535, 16)])
def test_the_depth_holds_the_largest_value(tmp_path, highest, bits):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    Image.fromarray(np.array([[0, highest]], np.uint16)).save(tmp_path / "a" / "1.png")
    Image.new("L", (2, 1)).save(tmp_path / "b" / "1.png")
    found = depth.depth_of(open_source(tmp_path, in_chans=1))
    assert (found.bits, found.num, found.looked) == (bits, 1, 2)


def test_what_is_read_is_told(deep):
    (note,) = depth.told(open_source(deep, in_chans=1)).notes
    assert note.text.startswith("12 of 12 images looked at have 16 bits: values ")
    assert note.text.endswith(", read as 12 bits (0 to 4,095)")
    assert note.level == "note"


def test_a_range_that_is_hardly_used_is_a_warning(tmp_path):
    for number, label in enumerate(("a", "b")):
        (tmp_path / label).mkdir()
        values = np.random.default_rng(number).integers(30_000, 30_200, (64, 64)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / label / "1.png")
    (note,) = depth.told(open_source(tmp_path, in_chans=1)).notes
    assert "which leaves 2 grey levels of 256; if that is too few, stretch 30,000 to 30,199" in note.text
    assert note.level == "warning"


def test_data_without_16_bits_is_as_it_was(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(3):
            Image.new("L", (8, 8)).save(tmp_path / label / f"{number}.png")
    source = open_source(tmp_path, in_chans=1)
    assert depth.told(source) is source
    with pytest.raises(InputError, match="bit_depth=12: no image here has 16 bits"):
        resnets.train(data=tmp_path, out=tmp_path / "run", bit_depth=12, **SMALL)


def test_identical_in_8_bits_is_not_identical(tmp_path):
    for number, label in enumerate(("a", "b")):
        (tmp_path / label).mkdir()
        Image.fromarray(np.full((40, 40), 30_000 + number, np.uint16)).save(tmp_path / label / "1.png")
    kinds = {finding.kind for finding in check(open_source(tmp_path, in_chans=1)).findings}
    assert "disputed" not in kinds
    assert "bit_depth" in kinds


@pytest.mark.slow
def test_the_model_keeps_it_for_whatever_it_answers(deep, tmp_path):
    run = resnets.train(data=deep, out=tmp_path / "run", val_fraction=0.4, **SMALL)
    assert run.model.preprocess.bit_depth == 12
    assert read_header(tmp_path / "run" / "best.safetensors").preprocess.bit_depth == 12
    assert 0.3 < run.model.preprocess.mean[0] < 0.7
    again = resnets.train(data=deep, out=tmp_path / "16", val_fraction=0.4, bit_depth=16, **SMALL)
    assert again.model.preprocess.mean[0] < 0.05
    assert "bit_depth" not in again.model.preprocess.to_json()
