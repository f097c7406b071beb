"""Images in memory and in files as sequences: subsets, names, digests, and little memory."""

import pickle

import numpy as np
import pytest
from PIL import Image

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import ArrayImages, FileImages


def saved(image, path):
    image.save(path)
    return path


def test_array_images():
    array = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)
    images = pickle.loads(pickle.dumps(ArrayImages(array, "train").subset([4, 1]).subset([1])))
    assert len(images) == 1 and images.name(0) == "train[1]" and (images[0] == array[1]).all()
    assert images.digest() == ArrayImages(array[1:2], "val").digest() != ArrayImages(array[:1], "val").digest()


def test_file_images(tmp_path):
    names = [saved(Image.new("L", (2, 1), n), tmp_path / f"{'x' * n}é{n}.png").name for n in range(4)]
    absolute = saved(Image.new("L", (2, 1), 9), tmp_path / "absolute.png")
    images = pickle.loads(pickle.dumps(FileImages([*names, absolute], 1, tmp_path)))
    assert [images[n][0, 0, 0] for n in range(-1, 4)] == [9, 0, 1, 2, 3]
    assert images.name(2) == str(tmp_path / names[2]) and images.path(4) == absolute
    part = images.subset(np.array([3, 0]))
    assert isinstance(part, FileImages) and [part[0][0, 0, 0], part[1][0, 0, 0]] == [3, 0]
    with pytest.raises(IndexError):
        part[2]
    (tmp_path / names[3]).write_bytes(b"")
    with pytest.raises(BadPicture, match="é3"):
        part[0]


def test_file_images_keep_no_python_object_for_each_path():
    images = FileImages((f"class/{n}.jpg" for n in range(1000)), 3)
    assert not any(isinstance(value, list | tuple | dict) for value in vars(images).values())
    assert len(images._paths) + images._ends.nbytes < 30_000
