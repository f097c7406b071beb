"""What is read quickly is what Pillow reads, and what is not plain goes to Pillow."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from resnets.data.pictures import images, jpeg
from resnets.data.pictures.images import BadPicture, read_picture, read_quickly
from resnets.data.pictures.stored import FileImages
from tests.data.made import noise

needs_simplejpeg = pytest.mark.skipif(jpeg.simplejpeg() is None, reason="simplejpeg is not installed")


def photo(width=61, height=43):
    return Image.fromarray(noise(8, 6)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **settings):
    file = BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def oriented(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


JPEGS = {
    "4:4:4": encoded(photo(), subsampling=0, quality=95),
    "4:2:0": encoded(photo(), subsampling=2, quality=80),
    "progressive": encoded(photo(), progressive=True),
    "grey": encoded(photo().convert("L")),
    "upright": encoded(photo(), exif=oriented(1)),
}
OTHERS = {
    "turned": encoded(photo(), exif=oriented(6)),
    "cmyk": encoded(photo().convert("CMYK")),
    "png": encoded(photo(), "PNG"),
    "png that says Exif": encoded(photo(), "PNG", exif=oriented(6)),
    "palette": encoded(photo().convert("P"), "GIF"),
    "16 bits": encoded(Image.fromarray(noise(20, 10, 1)[..., 0].astype(np.uint16) * 200), "PNG"),
}


@pytest.mark.parametrize("chans", [1, 3, 4])
@pytest.mark.parametrize("data", (JPEGS | OTHERS).values(), ids=(JPEGS | OTHERS).keys())
@pytest.mark.parametrize("codec", [pytest.param(jpeg.simplejpeg, marks=needs_simplejpeg), lambda: None], ids=["fast", "plain"])
def test_pixels_are_pillows(data, chans, codec, monkeypatch):
    monkeypatch.setattr(jpeg, "simplejpeg", codec)
    found = read_quickly(BytesIO(data), chans, "x")
    assert np.array_equal(found, read_picture(BytesIO(data), chans)) and found.dtype == np.uint8


@needs_simplejpeg
@pytest.mark.parametrize("kind", JPEGS)
def test_most_jpegs_need_no_pillow(kind, monkeypatch):
    monkeypatch.setattr(images, "read_picture", None)
    assert read_quickly(BytesIO(JPEGS[kind]), 3, "x").shape == (43, 61, 3)


@pytest.mark.parametrize("cut", [1, 2, 3, 20, 150, 300, -40, -3])
def test_what_is_cut_off_is_as_bad_as_it_is_to_pillow(cut):
    data = JPEGS["4:4:4"][:cut]
    with pytest.raises(BadPicture) as expected:
        read_picture(BytesIO(data), 3, "x")
    with pytest.raises(BadPicture) as found:
        read_quickly(BytesIO(data), 3, "x")
    assert str(found.value) == str(expected.value)


def test_no_byte_of_a_header_makes_another_error_or_other_pixels():
    data = JPEGS["upright"]
    for place in range(2, min(len(data), 400), 3):
        spoilt = data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]
        results = []
        for read in (read_picture, read_quickly):
            try:
                results.append(read(BytesIO(spoilt), 3, "x").tobytes())
            except BadPicture as bad:
                results.append(bad.reason.encode())
        assert results[0] == results[1], place


def test_too_many_pixels_are_refused(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 61 * 43 - 1)
    with pytest.raises(BadPicture, match="61 x 43 pixels are more"):
        read_quickly(BytesIO(JPEGS["4:2:0"]), 3, "x")


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(BadPicture, match=r"gone\.jpg: no such file"):
        FileImages(["gone.jpg"], 3, tmp_path).quickly()[0]
