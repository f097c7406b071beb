"""Every usual kind of picture is read rightly, and every broken one is refused in one line."""

import io
import os
import pickle
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, TiffTags, features

from resnets.data.pictures.images import (
    MAX_PIXELS,
    BadPicture,
    convert,
    open_picture,
    read_picture,
    read_quickly,
    with_channels,
)
from resnets.data.pictures.stored import FileImages
from resnets.errors import InputError

RAMP = np.arange(0, 65536, 257 * 5, dtype=np.uint16)[None, :]  # 0, 5 x 257, ... 65535: exactly 0, 5, ... 255 in 8 bits
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_warning_leaks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def saved(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix):
    path = saved(Image.fromarray(RAMP), tmp_path / f"ramp.{suffix}")
    assert read_picture(path, 1)[0, :, 0].tolist() == list(range(0, 256, 5))
    rgb = read_picture(path, 3)
    assert (rgb[..., 0] == rgb[..., 2]).all() and rgb[0, -1, 1] == 255


def test_16_bits_round_to_the_nearest(tmp_path):
    path = saved(Image.fromarray(np.array([[128, 129, 385, 386]], dtype=np.uint16)), tmp_path / "a.png")
    assert read_picture(path, 1).ravel().tolist() == [0, 1, 1, 2]


def test_32_bit_integers_beyond_16_bits_are_refused(tmp_path):
    path = saved(Image.fromarray(np.array([[70_000, 5]], dtype=np.int32)), tmp_path / "a.tif")
    with pytest.raises(BadPicture, match="5 to 70000 lie outside 0 to 65535"):
        read_picture(path)


@pytest.mark.parametrize(
    ("values", "pixels"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 1.0, 2.0, 254.6], [0, 1, 2, 255])],
)
def test_floats_are_shares_or_bytes(tmp_path, values, pixels):
    path = saved(Image.fromarray(np.array([values], dtype=np.float32)), tmp_path / "a.tif")
    assert read_picture(path, 1).ravel().tolist() == pixels


@pytest.mark.parametrize(
    ("value", "reason"), [(np.nan, "NaN"), (np.inf, "NaN or inf"), (256, "outside 0 to 255"), (-0.1, "out")]
)
def test_floats_out_of_range_are_refused(tmp_path, value, reason):
    path = saved(Image.fromarray(np.array([[0.5, value]], dtype=np.float32)), tmp_path / "a.tif")
    with pytest.raises(BadPicture, match=reason):
        read_picture(path)


def test_cmyk_jpeg(tmp_path):
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    path = saved(red, tmp_path / "a.jpg", quality=100)
    assert np.abs(read_picture(path, 3).astype(int) - [255, 0, 0]).max() <= 3
    assert abs(int(read_picture(path, 1)[0, 0, 0]) - 76) <= 3
    assert read_picture(path, 4)[0, 0, 3] == 255


def test_palette_transparency_is_laid_over_white(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 0, 255, 0, 255, 0])
    image.putdata([0, 1, 2])
    path = saved(image, tmp_path / "a.png", transparency=bytes([255, 0, 128]))  # opaque, invisible, half
    assert read_picture(path, 3).tolist() == [[[255, 0, 0], [255, 255, 255], [127, 255, 127]]]
    assert read_picture(path, 4)[0, :, 3].tolist() == [255, 0, 128]


def test_transparent_colour_of_a_gif(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putdata([0, 1])
    path = saved(image, tmp_path / "a.gif", transparency=0)
    assert read_picture(path, 3).tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_alpha_is_laid_over_white_or_kept(tmp_path):
    path = saved(Image.fromarray(np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], dtype=np.uint8)), tmp_path / "a.png")
    assert read_picture(path, 3).tolist() == [[[255, 255, 255], [10, 20, 30]]]
    assert read_picture(path, 4).tolist() == [[[10, 20, 30, 0], [10, 20, 30, 255]]]
    grey = saved(Image.merge("LA", [Image.new("L", (1, 1), 40), Image.new("L", (1, 1), 0)]), tmp_path / "b.png")
    assert read_picture(grey, 1).ravel().tolist() == [255]


def test_one_bit(tmp_path):
    path = saved(Image.fromarray(np.array([[True, False]])), tmp_path / "a.png")
    assert read_picture(path, 1).ravel().tolist() == [255, 0]
    assert read_picture(path, 3).shape == (1, 2, 3)


# A 2 x 3 picture as stored, and upright, for each EXIF orientation, written out by hand.
STORED = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)
TURNED = {
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[40, 10], [50, 20], [60, 30]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[30, 60], [20, 50], [10, 40]],
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100}}.get(suffix, {})
    path = saved(Image.fromarray(STORED), tmp_path / f"a.{suffix}", exif=exif, **options)
    turned = read_picture(path, 1)[..., 0].astype(int)
    assert turned.shape == np.shape(TURNED[orientation])
    assert np.abs(turned - TURNED[orientation]).max() <= (2 if suffix == "jpg" else 0)


def test_exif_orientation_6_of_a_16_bit_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(STORED.astype(np.uint16) * 257), tmp_path / "a.png", exif=exif)
    assert read_picture(path, 1)[..., 0].tolist() == TURNED[6]


def test_broken_exif_does_not_lose_the_picture(tmp_path):
    path = saved(Image.fromarray(NOISE), tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12garbage")
    assert read_picture(path).shape == NOISE.shape


def test_broken_exif_of_a_tiff_warns_nobody(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[0x8769], tags[0x8769] = TiffTags.LONG, 10**6  # the EXIF block begins far behind the end of the file
    path = saved(Image.fromarray(NOISE), tmp_path / "a.tif", tiffinfo=tags)
    assert (read_picture(path) == NOISE).all()


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(path)[0, 0].tolist() == [255, 0, 0]


ENCODERS = {"jpg": {"quality": 90}, "png": {}, "webp": {}, "bmp": {}, "gif": {}, "tif": {}, "ppm": {}}


@pytest.mark.parametrize("suffix", ENCODERS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_truncated_files_are_errors_never_grey(tmp_path, suffix, share):
    path = saved(Image.fromarray(NOISE), tmp_path / f"a.{suffix}", **ENCODERS[suffix])
    assert read_picture(path).shape == NOISE.shape
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadPicture) as caught:
        read_picture(path)
    assert caught.value.path == str(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}" and "\n" not in caught.value.reason


def test_truncated_says_so(tmp_path):
    path = saved(Image.fromarray(NOISE), tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadPicture, match=r"a\.jpg: truncated \("):
        read_picture(path)


def test_what_is_no_picture(tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    with pytest.raises(BadPicture, match="not an image of a known format"):
        read_picture(text)
    with pytest.raises(BadPicture, match="no such file"):
        read_picture(tmp_path / "missing.jpg")
    with pytest.raises(BadPicture, match="a folder, not a file"):
        read_picture(tmp_path)
    with pytest.raises(BadPicture, match="null"):
        read_picture("a\0b.jpg")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "PCX", "SGI"])
def test_other_formats_are_not_tried_whatever_the_suffix(tmp_path, kind):
    path = saved(Image.new("RGB", (16, 16)), tmp_path / "a.png", format=kind)
    Image.open(path).close()  # Pillow itself would
    with pytest.raises(BadPicture, match="known format"):
        read_picture(path)


@pytest.mark.parametrize(("side", "match"), [(10_001, "10001 x 10001 pixels"), (60_000, "100,000,000 pixels")])
def test_decompression_bomb_is_refused_by_its_header(tmp_path, side, match):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"  # no pixels at all: were one decoded, the reason would be another
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    assert side * side > MAX_PIXELS
    with pytest.raises(BadPicture, match=match):
        read_picture(path)


@pytest.mark.parametrize("in_chans", [0, 2, 5])
def test_channels_that_pictures_do_not_have(tmp_path, in_chans):
    path = saved(Image.new("RGB", (2, 2)), tmp_path / "a.png")
    for ask in (lambda: read_picture(path, in_chans), lambda: FileImages([path], in_chans)):
        with pytest.raises(InputError, match=r"1 \(grey\), 3 \(RGB\) or 4") as caught:
            ask()
        assert not isinstance(caught.value, BadPicture)


def test_open_files_and_pillow_pictures():
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "PNG")
    buffer.seek(0)
    assert (np.asarray(open_picture(buffer, 3)) == NOISE).all()
    with pytest.raises(BadPicture, match=r"^upload 3: not an image"):
        open_picture(io.BytesIO(b"nothing"), 3, name="upload 3")
    assert convert(Image.fromarray(NOISE), 1).mode == "L"
    assert features.check("webp")


def test_bad_pictures_survive_pickling_and_odd_names():
    bad = pickle.loads(pickle.dumps(BadPicture("a\udcff.jpg", "truncated")))
    assert (bad.path, bad.reason, str(bad)) == (r"a\udcff.jpg", "truncated", r"a\udcff.jpg: truncated")


def test_with_channels_is_pillows_conversion():
    pictures = np.stack([NOISE, NOISE[::-1]])
    grey = with_channels(pictures, 1)
    assert grey.shape == (2, 48, 64, 1)
    assert (grey[1, ..., 0] == np.asarray(Image.fromarray(NOISE[::-1]).convert("L"))).all()
    assert with_channels(grey[..., 0], 3).shape == (2, 48, 64, 3)
    assert (with_channels(pictures, 4)[..., 3] == 255).all()


# --- files that are longer, slower or other than they seem ---


def with_tags(data, **values):
    """A TIFF's bytes with other values of the tags with these numbers (t257=77: the height)."""
    data = bytearray(data)
    (start,) = struct.unpack_from("<I", data, 4)
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag, kind = struct.unpack_from("<HH", data, at)
        if f"t{tag}" in values:
            struct.pack_into("<H" if kind == 3 else "<I", data, at + 8, values[f"t{tag}"])
    return bytes(data)


@pytest.mark.parametrize("tags", [{"t257": 77}, {"t257": 77, "t278": 77}], ids=["height", "height and rows"])
@pytest.mark.parametrize("compression", [None, "jpeg", "tiff_lzw"])
def test_a_tiff_longer_than_its_strips_is_truncated(compression, tags):
    file = io.BytesIO()
    Image.fromarray(NOISE[:40, :30]).save(file, "TIFF", compression=compression, tiffinfo={278: 8}, strip_size=720)
    assert read_picture(io.BytesIO(file.getvalue())).shape == (40, 30, 3)
    for read in (read_picture, lambda file: read_quickly(file, 3, "a")):
        with pytest.raises(BadPicture, match=r"truncated|decoder error"):
            read(io.BytesIO(with_tags(file.getvalue(), **tags)))


def test_a_jpeg_of_thousands_of_scans_is_refused_by_its_markers():
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    at = data.rindex(b"\xff\xda")
    assert read_picture(io.BytesIO(data)).shape == NOISE.shape
    many = data[:at] + 3000 * data[at:-2] + data[-2:]
    for read in (read_picture, lambda file: read_quickly(file, 3, "a")):
        with pytest.raises(BadPicture, match=r"3,0\d\d scans, more than the 100"):
            read(io.BytesIO(many))


def test_a_picture_that_became_a_pipe_or_a_device_is_skipped(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to("/dev/zero")
    images = FileImages(["a.jpg", "b.jpg"], 3, tmp_path)
    for index in range(2):
        for read in (images, images.quickly(), lambda index: read_picture(images.path(index))):
            with pytest.raises(BadPicture, match=r"a (pipe|device), not a file"):
                read[index] if isinstance(read, FileImages) else read(index)
    assert images.sizes() == []
