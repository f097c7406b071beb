"""How a picture goes into a shard: its size, its format, whose bytes; and that a shard is read back before it has its name."""

import io

import numpy as np
import pytest
from PIL import Image

from resnets.data import packing
from resnets.data.packing import Entry, Rule, encode, write_tar
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import ArrayImages, FileImages
from resnets.data.readers.tars import Packed
from resnets.errors import InputError
from tests.data.made import noise
from tests.data.made_dicom import header, save, with_pixels


def images(folder, **pictures):
    """Files by their names, with _ for the dot."""
    for name, picture in pictures.items():
        picture.save(folder / name.replace("_", "."), **({"quality": 95} if name.endswith("jpg") else {}))
    return FileImages([name.replace("_", ".") for name in pictures], 3, folder)


def opened(encoded):
    return Image.open(io.BytesIO(encoded.content))


@pytest.mark.parametrize("form, kind", [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("keep", "JPEG")])
def test_the_shorter_side_becomes_the_size_and_the_longer_one_follows(tmp_path, form, kind):
    wide = images(tmp_path, wide_jpg=Image.fromarray(noise(90, 60, seed=0)))
    found = encode(wide, 0, Rule(20, form, 90))
    assert (opened(found).size, opened(found).format, found.size, found.is_kept) == ((30, 20), kind, (30, 20), False)


def test_lossless_formats_hold_the_resized_pixels(tmp_path):
    wide = images(tmp_path, wide_png=Image.fromarray(noise(90, 60, seed=0)))
    wanted = Image.fromarray(noise(90, 60, seed=0)).resize((30, 20), Image.Resampling.BICUBIC)
    for form in ("png", "webp", "keep"):
        assert np.array_equal(np.array(opened(encode(wide, 0, Rule(20, form, 90)))), np.array(wanted))


def test_what_needs_no_resizing_keeps_its_bytes_where_the_format_is_right(tmp_path):
    small = images(tmp_path, small_jpg=Image.fromarray(noise(9, 8, seed=0)), small_png=Image.fromarray(noise(9, 8, seed=1)))
    kept = {(form, name) for form in packing.CHOICES for at, name in enumerate(("jpg", "png"))
            if encode(small, at, Rule(8, form, 90)).content == small.path(at).read_bytes()}  # fmt: skip
    assert kept == {("jpeg", "jpg"), ("png", "png"), ("keep", "jpg"), ("keep", "png")}
    assert encode(small, 1, Rule(None, "keep", 90)).suffix == ".png"


def test_pictures_of_more_than_8_bits_are_never_resized(tmp_path):
    deep = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
    deep.save(tmp_path / "deep.png")
    save(with_pixels(header(), np.arange(600, dtype=np.uint16).reshape(20, 30)), tmp_path / "scan.dcm")
    files = FileImages(["deep.png", "scan.dcm"], 3, tmp_path)
    for at in range(2):
        found = encode(files, at, Rule(8, "jpeg", 90))
        assert found.content == files.path(at).read_bytes() and found.is_kept and found.suffix == files.path(at).suffix


def test_transparency_stays_in_lossless_formats_and_becomes_white_in_jpeg(tmp_path):
    clear = images(tmp_path, clear_png=Image.new("RGBA", (40, 40), (0, 0, 0, 0)))
    assert opened(encode(clear, 0, Rule(8, "png", 90))).getpixel((0, 0)) == (0, 0, 0, 0)
    assert opened(encode(clear, 0, Rule(8, "jpeg", 90))).getpixel((0, 0)) == (255, 255, 255)


def test_pictures_are_turned_upright_before_they_are_resized_and_grey_stays_grey(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(30, 60, seed=0)[..., 0]).save(tmp_path / "turned.jpg", exif=exif)
    found = opened(encode(FileImages(["turned.jpg"], 3, tmp_path), 0, Rule(10, "jpeg", 90)))
    assert (found.size, found.mode, dict(found.getexif())) == ((20, 10), "L", {})


def test_arrays_in_memory_are_packed_without_loss():
    array = np.stack([noise(9, 8, seed=n) for n in range(2)])
    found = opened(encode(ArrayImages(array, "train"), 1, Rule(None, "keep", 90)))
    assert found.format == "PNG" and np.array_equal(np.array(found), array[1])


def test_truncated_pictures_are_bad_also_where_their_bytes_would_stay(tmp_path):
    whole = images(tmp_path, a_jpg=Image.fromarray(noise(40, 40, seed=0)))
    whole.path(0).write_bytes(whole.path(0).read_bytes()[:-200])
    with pytest.raises(BadPicture, match="truncated"):
        encode(whole, 0, Rule(None, "keep", 90))


def entries(folder, num=3):
    files = images(folder, **{f"p{n}_png": Image.fromarray(noise(9, 8, seed=n)) for n in range(num)})
    return [Entry(encode(files, n, Rule(None, "keep", 90)), "cat", Packed(n, f"p{n}.png")) for n in range(num)]


def test_a_shard_that_is_not_read_as_it_was_written_never_gets_its_name(tmp_path, monkeypatch):
    own = entries(tmp_path)
    assert write_tar(tmp_path / "good.tar", own).num_images == 3
    real = packing.read_index
    spoilt = {
        "one less": lambda found: found[:-1],
        "another label": lambda found: [found[0]._replace(label="dog"), *found[1:]],
        "other bytes": lambda found: [found[1]._replace(key=found[0].key, packed=found[0].packed), *found[1:]],
    }
    for change in spoilt.values():
        monkeypatch.setattr(packing, "read_index", lambda *of, change=change: change(real(*of)))
        with pytest.raises(InputError, match=r"what is read is not what was written; check the disk"):
            write_tar(tmp_path / "bad.tar", own)
    assert [path.name for path in tmp_path.glob("*.tar")] == ["good.tar"]
