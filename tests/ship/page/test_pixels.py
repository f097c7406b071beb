"""The scripts that make a picture the network's input, in a real browser, beside `data.pictures`: equal to the bit."""

import base64
import dataclasses
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resnets.data.pictures.resize import fit_picture
from resnets.data.preprocess import Preprocess
from resnets.ship.page import write
from resnets.ship.sessions import read_header

RULES = [
    {"size": (64, 64), "resize": "crop", "crop_pct": 0.875},
    {"size": (40, 56), "resize": "crop", "crop_pct": 1.0, "interpolation": "bicubic"},
    {"size": (50, 70), "resize": "squash"},
    {"size": (96, 96), "resize": "pad"},
    {"size": (60, 100), "resize": "shorter"},
    {"size": (10, 10), "resize": "keep"},
]
ORIENTATION = 0x0112
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
RANDOM = np.random.default_rng(0)


def photo(height, width, channels=3):
    rows, columns = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin(columns / 7 + at) + 20 * np.cos(rows / 5 * (at + 1)) for at in range(channels)]
    noisy = np.stack(waves, -1) + RANDOM.normal(0, 15, (height, width, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def encoded(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png(values, kind, interlaced=False):
    """A PNG that Pillow does not write: (H, W, C) of 8 or 16 bits, perhaps interlaced; every filter is used."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def filtered(part):
        lines = part.astype(f">u{part.itemsize}").reshape(len(part), -1).view(np.uint8)
        step, before, out = part.shape[2] * part.itemsize, np.zeros(lines.shape[1], int), b""
        for number, line in enumerate(lines.astype(int)):
            left, corner = (np.concatenate([np.zeros(step, int), each])[: len(line)] for each in (line, before))
            guess = left + before - corner
            distances = np.stack([abs(guess - each) for each in (left, before, corner)])
            paeth = np.choose(distances.argmin(0), [left, before, corner])
            minus = [0, left, before, (left + before) // 2, paeth][number % 5]
            out += bytes([number % 5]) + ((line - minus) % 256).astype(np.uint8).tobytes()
            before = line
        return out

    passes = [values[top::down, left::right] for left, top, right, down in PASSES] if interlaced else [values]
    data = b"".join(filtered(part) for part in passes if part.size)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8 * values.itemsize, kind, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def cases():
    rgb, rgba = Image.fromarray(photo(123, 200)), Image.fromarray(photo(61, 80, 4))
    grey = Image.fromarray(photo(90, 77, 1)[..., 0])
    few, deep = rgb.quantize(20), RANDOM.integers(0, 65536, (40, 55, 4)).astype(np.uint16)
    found = {
        "rgb.png": encoded(rgb),
        "grey.png": encoded(grey),
        "rgba.png": encoded(rgba),
        "grey and alpha.png": encoded(Image.merge("LA", [grey, grey.transpose(1)])),
        "palette.png": encoded(rgb.quantize(37)),
        "palette of 2 bits.png": encoded(rgb.quantize(3), bits=2),
        "one bit.png": encoded(grey.convert("1")),
        "transparent palette.png": encoded(few, transparency=bytes(range(0, 200, 10))),
        "transparent colour.png": encoded(few, transparency=3),
        "transparent grey.png": encoded(grey.point(lambda value: value // 16 * 16), transparency=112),
        "transparent rgb.png": encoded(Image.fromarray(photo(40, 40) // 64 * 64), transparency=(64, 128, 128)),
        "grey of 16 bits.png": png(deep[..., :1], 0),
        "rgb of 16 bits.png": png(deep[..., :3], 2),
        "rgba of 16 bits.png": png(deep, 6),
        "interlaced.png": png(photo(33, 45), 2, interlaced=True),
        "interlaced grey of 16 bits.png": png(deep[:3, :2, :1], 0, interlaced=True),
        "colours.jpg": encoded(rgb, "JPEG", quality=90),
        "all colours.jpg": encoded(rgb, "JPEG", quality=90, subsampling=0),
        "progressive.jpg": encoded(rgb, "JPEG", quality=75, progressive=True),
        "grey.jpg": encoded(grey, "JPEG", quality=90),
        "lossless.webp": encoded(rgb, "WEBP", lossless=True),
        "colours.bmp": encoded(rgb, "BMP"),
        "palette.gif": encoded(few, "GIF"),
        "long.png": encoded(Image.fromarray(photo(20, 190))),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        found[f"turned {orientation}.png"] = encoded(rgb, exif=exif)
        found[f"turned {orientation}.jpg"] = encoded(rgb, "JPEG", exif=exif, quality=95)
    return found


FITTED = """async ([data, name, model]) => {
  const bytes = Uint8Array.from(atob(data), each => each.charCodeAt(0));
  const picture = await readPicture(new File([bytes], name), model.preprocess, 1e8);
  const {pixels, ...size} = fitted(picture, model.preprocess, model.fill);
  return [size.height, size.width, size.channels, btoa(Array.from(pixels, each => String.fromCharCode(each)).join(""))];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("in_chans", [3, 1])
def test_the_inputs_are_the_same_bits(browser, in_chans, tmp_path, saved_model):
    (tmp_path / "blank.html").write_text("<!doctype html><title>blank</title>")
    page = browser.new_page()
    page.goto((tmp_path / "blank.html").as_uri())
    page.add_script_tag(content="".join((write.HERE / name).read_text() for name in ("png.js", "pixels.js")))
    header, differing = read_header(saved_model), {}
    for rule in RULES:
        preprocess = Preprocess(**rule, mean=(0.4,) * in_chans, std=(0.5,) * in_chans)
        model = write.about(dataclasses.replace(header, preprocess=preprocess))
        for name, content in cases().items():
            expected = fit_picture(content, preprocess).transpose(1, 2, 0)
            *shape, text = page.evaluate(FITTED, [base64.b64encode(content).decode(), name, model])
            found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)
            assert found.shape == expected.shape, (name, rule)
            if (found != expected).any():
                differing[name, rule["resize"]] = int(np.abs(found.astype(int) - expected).max())
    page.close()
    # Decoders of JPEG differ from one library to another by a value or two; this Chromium's is Pillow's.
    assert not {case: value for case, value in differing.items() if not case[0].endswith(".jpg") or value > 2}


def test_the_cases_are_what_they_say():
    found = {name: Image.open(io.BytesIO(content)) for name, content in cases().items()}
    assert found["grey of 16 bits.png"].mode.startswith("I") and found["rgb of 16 bits.png"].tile[0].args == "RGB;16B"
    assert found["interlaced.png"].info["interlace"] == 1 and found["transparent colour.png"].has_transparency_data
    np.testing.assert_array_equal(np.asarray(found["interlaced.png"]).shape, (33, 45, 3))
