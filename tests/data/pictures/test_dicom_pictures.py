"""2-D scans as pictures: syntaxes, colours, windows, inverted ones, signed and unsigned values."""

from io import BytesIO

import numpy as np
import pytest

from resnets.data import window_levels
from resnets.data.pictures.images import BadPicture, read_picture
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import FileImages
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from tests.data import made_dicom as made

pydicom = pytest.importorskip("pydicom")

GREY = np.arange(0, 4096, 34, np.uint16)[:120].reshape(12, 10)


def picture(tmp_path, pixels=GREY, *, kind="MONOCHROME2", bits=12, **tags):
    ds = made.with_pixels(made.header(), pixels, bits=bits, kind=kind)
    for word, value in tags.items():
        setattr(ds, word, value)
    return made.save(ds, tmp_path / "a.dcm")


def read(path, **settings):
    return read_picture(path, 1, **settings)[:, :, 0]


def test_the_windows_of_the_file(tmp_path):
    path = picture(tmp_path, WindowCenter=[2000, 40], WindowWidth=[1001, 400])
    expected = ((GREY.astype(float) - 1999.5) / 1000 + 0.5).clip(0, 1) * 255  # PS3.3 C.11.2.1.2.1
    assert np.abs(read(path).astype(float) - expected).max() <= 0.501
    path = picture(tmp_path, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="LINEAR_EXACT")
    assert np.abs(read(path) - ((GREY.astype(float) - 1500) / 1000).clip(0, 1) * 255).max() <= 0.501
    path = picture(tmp_path, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID")
    assert np.abs(read(path) - 255 / (1 + np.exp(-4 * (GREY.astype(float) - 2000) / 1000))).max() <= 0.501


def test_pydicom_shows_the_same(tmp_path):
    path = picture(tmp_path, WindowCenter=2000, WindowWidth=1000, RescaleSlope="0.5", RescaleIntercept="100")
    ds = pydicom.dcmread(path)
    values = pydicom.pixels.apply_modality_lut(ds.pixel_array, ds)
    found = pydicom.pixels.apply_voi_lut(values, ds)
    low, high = 100, 4095 * 0.5 + 100
    assert np.abs(read(path) - (found - low) / (high - low) * 255).max() <= 0.5 + 1e-3


def test_a_window_that_was_asked_for(tmp_path):
    """In Hounsfield units, of signed values, whatever the file says."""
    hounsfield = np.linspace(-1000, 1400, 120).reshape(12, 10).round()
    path = picture(
        tmp_path, (hounsfield + 24).astype(np.int16), bits=16, RescaleIntercept="-24", RescaleSlope="1",
        WindowCenter=40, WindowWidth=80,
    )  # fmt: skip
    for name in ("lung", "bone", "brain", "abdomen"):
        level, width = window_levels.WINDOWS[name]
        expected = ((hounsfield - level) / width + 0.5).clip(0, 1) * 255
        assert np.abs(read(path, window=window_levels.parsed(name)) - expected).max() <= 0.501
    preprocess = Preprocess(size=(12, 10), resize="squash", mean=(0.5,), std=(0.5,), window="-600,1500")
    assert preprocess.window == window_levels.WINDOWS["lung"] and Preprocess(**preprocess.to_json()) == preprocess
    assert np.array_equal(fit_picture(path, preprocess)[0], read(path, window=(-600, 1500)))
    assert "window" not in Preprocess().to_json()
    images = FileImages([path], 1).windowed((-600, 1500))
    assert np.array_equal(images.subset([0])[0][:, :, 0], read(path, window=(-600, 1500)))


@pytest.mark.parametrize("text", ["lungs", "1", "1,2,3", "40,0", "40,-5", "nan,2", "1e400,1", (1,), 7])
def test_no_windows(text):
    with pytest.raises(InputError, match=r"window=.*: give abdomen, bone, brain, .*, or level and width"):
        window_levels.parsed(text)


def test_monochrome1_is_inverted(tmp_path):
    straight = read(picture(tmp_path, WindowCenter=2000, WindowWidth=3000))
    assert np.array_equal(read(picture(tmp_path, kind="MONOCHROME1", WindowCenter=2000, WindowWidth=3000)), 255 - straight)


def test_without_a_window_the_middle_of_the_values_is_seen(tmp_path):
    pixels = GREY.copy()
    pixels[0, 0] = 4095
    seen = read(picture(tmp_path, pixels))
    low, high = np.percentile(pixels, (0.5, 99.5))
    assert np.abs(seen - ((pixels - low) / (high - low)).clip(0, 1) * 255).max() <= 0.51
    padded = pixels.copy()
    padded[:6] = 0
    known = padded[padded > 0]
    low, high = np.percentile(known, (0.5, 99.5))
    seen = read(picture(tmp_path, padded, PixelPaddingValue=0))
    assert np.abs(seen - ((padded - low) / (high - low)).clip(0, 1) * 255).max() <= 0.51


def test_bits_that_are_not_stored_are_no_values(tmp_path):
    """Old overlays lie in the upper bits; signed values of 12 bits have their sign in the twelfth."""
    pixels = (GREY | 0xF000).astype(np.uint16)
    assert np.array_equal(
        read(picture(tmp_path, pixels, WindowCenter=2048, WindowWidth=4096)),
        read(picture(tmp_path, WindowCenter=2048, WindowWidth=4096)),
    )
    signed = np.array([[-2048, -1, 0, 2047]], np.int16)
    path = picture(tmp_path, signed & 0xFFF, WindowCenter=0, WindowWidth=4096, VOILUTFunction="LINEAR_EXACT")
    assert read(path).tolist() == [[0, 127, 128, 255]]


def test_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3)).astype(np.uint8)
    path = picture(tmp_path, pixels, bits=8)
    assert np.array_equal(read_picture(path), pixels)
    assert read_picture(path, 1).shape == (12, 10, 1) and read_picture(BytesIO(path.read_bytes()), 4).shape == (12, 10, 4)


# Of pydicom's own files those of every syntax that is read, with the mean of what is seen.
SYNTAXES = (
    *(
        "MR_small",
        "MR_small_implicit",
        "MR_small_bigendian",
        "MR_small_RLE",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
    ),
)


@pytest.mark.parametrize("name", SYNTAXES)
def test_every_lossless_syntax_has_the_same_pixels(name):
    file = pydicom.data.get_testdata_file
    assert np.array_equal(read(file(f"{name}.dcm")), read(file("MR_small.dcm")))


@pytest.mark.parametrize(
    "name", ["image_dfl", "SC_rgb_jpeg_gdcm", "SC_rgb_jpeg_dcmtk", "SC_rgb_jls_lossy_line", "JPEG2000", "examples_palette",
             "SC_ybr_full_422_uncompressed", "SC_rgb_rle_16bit", "693_J2KI"],
)  # fmt: skip
def test_other_syntaxes_and_colours_are_read(name):
    pixels = read_picture(pydicom.data.get_testdata_file(f"{name}.dcm"))
    assert pixels.std() > 10


@pytest.mark.parametrize(
    ("name", "reason"),
    [("test-SR", "no image in it"), ("MR_truncated", "truncated: 8,130 bytes of pixels"), ("JPGExtended", "cannot be decoded"),
     ("no_meta", "not an image of a known format"), ("badVR", "its image cannot be described")],
)  # fmt: skip
def test_what_is_not_read_says_why(name, reason):
    with pytest.raises(BadPicture) as found:
        read_picture(pydicom.data.get_testdata_file(f"{name}.dcm"))
    assert reason in found.value.reason
