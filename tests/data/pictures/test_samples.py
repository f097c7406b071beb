"""Pictures for whoever has none."""

import pytest
from PIL import Image

from resnets.data.pictures.samples import write_samples


def test_they_are_the_same_each_time_and_all_different(tmp_path):
    one, two = (write_samples(tmp_path / name, 6, size=(48, 36)) for name in ("one", "two"))
    contents = [path.read_bytes() for path in one]
    assert contents == [path.read_bytes() for path in two] and len(set(contents)) == 6
    assert {Image.open(path).size for path in one} == {(48, 36)}


@pytest.mark.parametrize("in_chans, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_without_a_size_they_are_squares_of_many(tmp_path, in_chans, mode):
    pictures = [Image.open(path) for path in write_samples(tmp_path / "new", 12, in_chans=in_chans, suffix=".png")]
    sizes = {picture.size for picture in pictures}
    assert len(sizes) > 6 and all(32 <= width == height <= 427 for width, height in sizes)
    assert {picture.mode for picture in pictures} == {mode}
