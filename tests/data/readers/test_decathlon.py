"""dataset.json of the Decathlon and of nnU-Net: classes, modalities, lists; and what is refused."""

import json

import numpy as np
import pytest

from resnets.data.readers.decathlon import described
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_volumes import phantom, save

DECATHLON = {
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "ball", "2": "box"},
    "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in (0, 2)],
    "test": ["./imagesTs/9.nii.gz"],
}


def dataset(root, content, *, num=3, images="imagesTr/{}.nii.gz", channels=("",), folders=("Tr",)):
    """Phantoms; of each channel a file, whose name it ends."""
    for folder in folders:
        for number in range(num):
            values, classes = phantom(number)
            for add, channel in enumerate(channels):
                path = root / images.replace("Tr", folder).format(f"{number}{channel}")
                save(path, values + 1000 * add)
            save(root / f"labels{folder}/{number}.nii.gz", classes)
    (root / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def test_classes_modalities_and_cases_are_those_of_the_file(tmp_path):
    source = open_source(dataset(tmp_path, DECATHLON), None)
    assert (source.labels, source.modalities, source.in_chans) == (("background", "ball", "box"), ("CT",), 1)
    split = source.splits["train"]
    assert [split.images.relative(n) for n in range(len(split))] == ["imagesTr/0.nii.gz", "imagesTr/2.nii.gz"]
    words = " ".join(note.text for note in source.notes)
    assert "1 file left out: 1 cases that dataset.json does not list" in words and "1 test volumes without labels" in words
    assert np.array_equal(np.unique(split[1][1]), [0, 1, 2])


def test_nnunets_form(tmp_path):
    content = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "ball": 1, "box": 2}, "numTraining": 3}
    channels = ("_0000", "_0001")
    root = dataset(tmp_path, content, channels=channels, folders=("Tr", "Ts"))
    source = open_source(root, None)
    assert (source.labels, source.modalities, source.in_chans) == (("background", "ball", "box"), ("T1", "FLAIR"), 2)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 3, "test": 3}
    volume, _ = source.splits["test"][0]
    assert volume.shape == (16, 18, 20, 2) and (volume[:][..., 1] - volume[:][..., 0] == 1000).all()
    before = source.fingerprint()
    save(root / "imagesTr/1_0001.nii.gz", np.zeros((20, 18, 16), np.int16))
    assert open_source(root, None).fingerprint() != before, "files of further channels are of the data"


def test_nnunets_list_names_cases_without_their_channel(tmp_path):
    content = {"labels": {"background": 0, "ball": 1, "box": 2}, "training": DECATHLON["training"]}
    split = open_source(dataset(tmp_path, content, channels=("_0000",)), None).splits["train"]
    assert [split.images.relative(n) for n in range(len(split))] == ["imagesTr/0_0000.nii.gz", "imagesTr/2_0000.nii.gz"]


def test_names_in_classes_txt_go_before(tmp_path):
    (dataset(tmp_path, DECATHLON) / "classes.txt").write_text("air\nsphere\ncube\n")
    assert open_source(tmp_path, None).labels == ("air", "sphere", "cube")


def test_the_classes_of_a_model_are_matched_by_name(tmp_path):
    source = open_source(dataset(tmp_path, DECATHLON), None, labels=("background", "box", "ball"))
    _, classes = source.splits["train"][0]
    assert np.array_equal(classes.T, np.array([0, 2, 1])[phantom(0)[1]])


def test_a_label_called_ignore_is_ignored(tmp_path):
    content = {"labels": {"background": 0, "ball": 1, "ignore": 2}}
    source = open_source(dataset(tmp_path, content), None)
    assert source.labels == ("background", "ball") and 255 in np.unique(source.splits["train"][0][1])


REFUSED = {
    "no JSON": ("{", "cannot be read as JSON"),
    "a list": ([], "an object"),
    "a region": ({"labels": {"background": 0, "whole": [1, 2]}}, "'whole' is a region of several values"),
    "a value twice": ({"labels": {"a": 0, "b": 0}}, "is no value with its name"),
    "a value beyond": ({"labels": {"a": 70000}}, "is no value with its name"),
    "no name": ({"labels": {"0": " "}}, "cannot be used"),
    "a name of control characters": ({"labels": {"0": "a\u001b[2J"}}, "cannot be used"),
    "numbers of modalities": ({"modality": {"1": "CT"}}, "number them from 0 on"),
    "too many modalities": (DECATHLON | {"modality": {"0": "T1", "1": "T2"}}, "2 modalities .* the volumes have 1 channels"),
    "a path above": ({"training": [{"image": "../a.nii.gz", "label": "b.nii.gz"}]}, "leads out of its folder"),
    "a whole path": ({"training": [{"image": "/etc/passwd", "label": "b.nii.gz"}]}, "leads out of its folder"),
    "a case without labels": ({"training": [{"image": "a.nii.gz"}]}, "give an image and a label"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_is_refused(tmp_path, case):
    content, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        open_source(dataset(tmp_path, content, num=1), None)


def test_without_the_file_nothing_is_said(tmp_path):
    assert described(tmp_path) == ({}, (), (), 0)
