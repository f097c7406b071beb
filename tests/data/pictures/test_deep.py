"""Images of 16 bits: all their bits, and by how many bits they become 8."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resnets.data.pictures.deep import in_8_bits
from resnets.data.pictures.images import BadPicture, read_16_bits, read_picture
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import FileImages
from tests.data.made import rule

KINDS = {1: 0, 3: 2, 4: 6}  # channels: PNG's type of colour
NOISE = np.random.default_rng(0).integers(0, 4096, (5, 7, 4)).astype(np.uint16)
NOISE[..., 3] = 65535  # alpha


def png(values):
    """A PNG of 16 bits; Pillow writes none in colours."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = values.shape
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, KINDS[channels], 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values, order):
    """An uncompressed TIFF of RGB with 16 bits, its bytes in this order."""
    height, width, _ = values.shape
    content, count = values.astype(order + "u2").tobytes(), 9
    bits = 8 + 2 + 12 * count + 4
    shorts = [(256, width), (257, height), (258, bits), (259, 1), (262, 2), (273, bits + 6), (277, 3), (278, height)]
    rows = [struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in [*shorts, (279, len(content))]]
    rows[2] = struct.pack(order + "HHII", 258, 3, 3, bits)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, count)
    return head + b"".join(rows) + struct.pack(order + "IHHH", 0, 16, 16, 16) + content


def by_12_bits(values):
    return np.rint(values / 4095 * 255).astype(np.uint8)


@pytest.mark.parametrize("channels", KINDS)
def test_all_bits_of_a_png_are_read(channels):
    values = NOISE[..., :channels]
    file = io.BytesIO(png(values))
    assert np.array_equal(read_16_bits(file, "a").reshape(values.shape), values)
    file.seek(0)
    pixels = read_picture(file, channels, "a", 12)
    assert np.array_equal(pixels[..., :3], by_12_bits(values[..., :3]))
    assert channels < 4 or (pixels[..., 3] == 255).all()


@pytest.mark.parametrize("order", "<>")
def test_all_bits_of_a_tiff_in_colours_are_read(order):
    values = NOISE[..., :3]
    assert np.array_equal(read_16_bits(io.BytesIO(tiff(values, order)), "a"), values)
    assert np.array_equal(read_picture(io.BytesIO(tiff(values, order)), 3, "a", 12), by_12_bits(values))


def test_other_images_have_no_16_bits(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    images = FileImages(["a.png"], 3, tmp_path)
    assert images.all_bits(0) is None
    assert np.array_equal(images.at_depth(12)[0], images[0])


def test_the_depth_of_the_model_is_that_of_its_inputs(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((16, 16), 1023, np.uint16)).save(path)
    assert (fit_picture(path, rule(chans=1, bit_depth=10)) == 255).all()
    assert (fit_picture(Image.open(path), rule(chans=1, bit_depth=10)) == 255).all()
    assert (fit_picture(path, rule(chans=1)) == 4).all()
    images = FileImages([path], 1).at_depth(10)
    assert (images.subset([0]).quickly()[0] == 255).all()


def test_few_pixels_beyond_the_depth_become_white_and_many_are_refused():
    values = np.full(200, 1000)
    values[:2] = 5000
    assert in_8_bits(values, 12)[[0, 2]].tolist() == [255, round(1000 / 4095 * 255)]
    values[2] = 5000
    with pytest.raises(ValueError, match="values from 1000 to 5000 lie outside 0 to 4095, the 12 bits that the model reads"):
        in_8_bits(values, 12)


def test_a_picture_of_another_depth_is_refused_by_name(tmp_path):
    path = tmp_path / "bright.png"
    Image.fromarray(np.full((16, 16), 60000, np.uint16)).save(path)
    with pytest.raises(BadPicture, match=r"bright\.png: values from 60000 .* 12 bits"):
        read_picture(path, 1, bit_depth=12)
