"""What is there is recognised, what is not is named with its remedy; classes are a model's by name; fingerprints."""

import numpy as np
import pytest

from resnets.data.sources import in_words, open_source
from resnets.data.splits import cut_val
from resnets.errors import InputError
from tests.data.made_dense import save, voc
from tests.data.made_folders import folder, picture

# --- what is not there -----------------------------------------------------------------------------------------------


def test_nothing_there():
    with pytest.raises(InputError, match=r"'cifar1O'.*digits, cifar10, cifar100, .*; did you mean cifar10\?"):
        open_source("cifar1O")
    for name in ("no/such/folder", "a\0b", "x\udcff"):
        with pytest.raises(InputError, match="no file or folder") as caught:
            open_source(name)
        str(caught.value).encode()


def test_a_file_of_no_known_layout(tmp_path):
    with pytest.raises(InputError, match=r"not a layout that is known; give one of: .*path,label"):
        open_source(picture(tmp_path / "a.png"))


@pytest.mark.parametrize("in_chans", [0, 2])
def test_channels_that_pictures_do_not_have(tmp_path, in_chans):
    root = folder(tmp_path, a=1, b=1)
    pictures = np.zeros((4, 8, 8, 3), np.uint8)
    for data in ("digits", root, (pictures, [0, 1, 0, 1])):
        with pytest.raises(InputError, match=f"in_chans={in_chans}: images have 1"):
            open_source(data, in_chans=in_chans)
        with pytest.raises(InputError, match=f"in_chans={in_chans}: images have 1"):
            in_words(data, in_chans=in_chans)


# --- labels of a saved model -----------------------------------------------------------------------------------------


def test_labels_are_matched_by_name(tmp_path):
    root = folder(tmp_path, test__cat=1, test__bird=2)
    source = open_source(root, labels=["dog", "cat", "ant", "bird"])
    assert source.labels == ("dog", "cat", "ant", "bird")
    assert source.splits["test"].targets.values.tolist() == [3, 3, 1]
    with pytest.raises(InputError, match=r"does not know 'bird' \(in test\); its classes are 'cat', 'dog'"):
        open_source(root, labels=["cat", "dog"])


def test_labels_with_one_class_in_a_flat_folder(tmp_path):
    assert open_source(folder(tmp_path, b=2), labels=["a", "b"]).splits["train"].targets.values.tolist() == [1, 1]


# --- fingerprint -----------------------------------------------------------------------------------------------------


def test_fingerprint_of_files(tmp_path):
    first, second = (folder(tmp_path / name, train__a=2, train__b=2) for name in ("one", "two"))
    before = open_source(first).fingerprint()
    assert before == open_source(second).fingerprint() and len(before) == 64, "wherever the folder lies"
    (second / "train/a/0.png").rename(second / "train/a/9.png")
    assert open_source(second).fingerprint() != before, "a name changed"
    with (first / "train/a/0.png").open("ab") as file:
        file.write(b"x")
    assert open_source(first).fingerprint() != before, "a size changed"
    assert open_source(first).fingerprint() != open_source(first, labels=["b", "a"]).fingerprint()


def test_fingerprint_of_arrays():
    source = open_source("digits")
    before = source.fingerprint()
    assert before == open_source("digits").fingerprint()
    assert cut_val(source).fingerprint() != before != cut_val(source, seed=1).fingerprint()
    source.splits["test"].images.array[0, 0, 0] += 1
    assert source.fingerprint() != before


# --- of which kind ---------------------------------------------------------------------------------------------------


def test_what_is_known_of_images_is_what_was_asked_for(tmp_path):
    with pytest.raises(InputError, match="a built-in dataset of classes, without boxes; give a folder that has them"):
        open_source("digits", "boxes")
    root = folder(tmp_path / "classes", a=1, b=1)
    for asked in ({"masks": True}, {"ignore": 3}):
        with pytest.raises(InputError, match="no boxes or masks here, and --ignore-index and --masks are for these"):
            open_source(root, None, **asked)
    with pytest.raises(InputError, match=r"not a layout that is known; give one of: .*masks"):
        open_source(root, "masks")
    both = voc(tmp_path / "both", a=[("cat", 1, 1, 9, 9)])
    save(both / "SegmentationClass/a.png", np.arange(1200, dtype=np.uint8).reshape(30, 40) % 2)
    assert [open_source(both, kind).kind for kind in (None, "boxes", "masks")] == ["boxes", "boxes", "masks"]
