"""How images look, in numbers: worked out by hand, in the order of the split, and the size from headers alone."""

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from resnets.data.looks import Seen, looks, properties
from resnets.data.pictures.stored import ArrayImages, FileImages
from resnets.data.types import Split


def test_by_hand():
    pixels = np.zeros((3, 3, 4, 4), np.uint8)
    pixels[1] = 90
    pixels[2, :, 1, 1] = 60  # one bright point: its own Laplacian is -240, those of its two inner neighbours 60
    found = looks(pixels)
    assert found["brightness"].tolist() == [0, 90, 3.75]
    assert np.allclose(found["contrast"], [0, 0, np.std([60] + [0] * 15)])
    assert np.allclose(found["sharpness"], [0, 0, np.var([-240, 60, 60, 0])])


def test_a_blurred_image_is_less_sharp_and_a_fourth_channel_does_not_count():
    from scipy.ndimage import gaussian_filter

    sharp = np.random.default_rng(0).integers(0, 256, (1, 4, 32, 32), np.uint8)
    blurred = gaussian_filter(sharp, (0, 0, 1, 1))
    assert looks(blurred)["sharpness"] < looks(sharp)["sharpness"] / 10
    assert looks(sharp)["brightness"] == looks(sharp[:, :3])["brightness"]
    assert looks(np.zeros((2, 1, 1, 1), np.uint8))["sharpness"].tolist() == [0, 0]


def batch(pixels, positions):
    return SimpleNamespace(images=torch.from_numpy(pixels), indices=torch.tensor(positions))


def test_what_was_seen_is_by_position():
    seen = Seen()
    seen(batch(np.full((2, 1, 4, 4), 10, np.uint8), [3, 0]))
    seen(batch(np.full((1, 1, 4, 4), 20, np.uint8), [1]))
    assert seen.of(np.array([0, 1, 2, 3]))["brightness"].tolist()[:2] == [10, 20]
    assert np.isnan(seen.of(np.array([2, 7]))["brightness"]).all()  # what could not be read
    volumes = Seen()
    volumes(batch(np.zeros((1, 1, 4, 4, 4), np.float32), [0]))
    assert volumes.of(np.array([0])) == {}


def test_properties_of_files(tmp_path):
    for name, size in (("a", (4, 3)), ("b", (8, 8))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"broken")
    files = FileImages(["a.png", "b.png", "c.png"], 3, tmp_path)
    split = Split(files, np.zeros(3, np.int64), {"site": np.array(["x", "y", "z"])}, np.array(["p", "p", "q"]))
    found = dict(properties(split, np.array([0, 2, 1]), {"brightness": np.ones(3)}))
    assert list(found) == ["brightness", "size", "group", "site"]
    assert found["size"][[0, 2]].tolist() == [12, 64] and np.isnan(found["size"][1]) and list(found["site"]) == ["x", "z", "y"]
    arrays = Split(ArrayImages(np.zeros((2, 4, 4, 3), np.uint8), "test"), np.zeros(2, np.int64))
    assert dict(properties(arrays, np.arange(2), {})) == {}
