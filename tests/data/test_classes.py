"""The classes of ImageNet and CIFAR by name, WordNet id or position."""

import numpy as np
import pytest
from PIL import Image
from torchvision.models import ResNet18_Weights

from resnets.data import classes
from resnets.data.readers.names import matched
from resnets.data.sources import open_source
from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models.weights import read_header

NAMES = tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def test_the_tables_are_those_of_published_weights():
    assert classes.of_set("ImageNet-1K") == NAMES and len(set(NAMES)) == len(classes.wordnet()) == 1000
    info = pytest.importorskip("timm.data").ImageNetInfo()
    assert list(classes.wordnet()) == info.label_names()
    assert classes.of_set("CIFAR-10") == read_header(saved.boxed()["resnet20_cifar10"]).labels
    assert len(set(fine := classes.of_set("CIFAR-100"))) == 100 and list(fine) == sorted(fine)


def test_imagenets_classes_in_other_spellings_become_the_names_here():
    synonyms = pytest.importorskip("timm.data").ImageNetInfo().label_descriptions()
    assert "tench, Tinca tinca" in synonyms and synonyms.count("crane") == 2
    underscores = [name.replace(" ", "_") for name in NAMES]
    for labels in (synonyms, underscores, list(classes.wordnet())):
        assert classes.as_named_here(labels) == NAMES
    for others in (NAMES[::-1], NAMES[:999], ("cat", "dog"), tuple(map(str, range(1000)))):
        assert classes.as_named_here(others) == others


def test_data_by_wordnet_ids_and_a_model_by_names_and_the_other_way():
    found, (note,) = matched(["n01443537", "tench", "great_white_shark"], NAMES)
    assert (
        found == {"n01443537": 1, "tench": 0, "great_white_shark": 2} and "'n01443537' is the model's 'goldfish'" in note.text
    )
    assert matched(["goldfish"], ["n01440764", "n01443537"])[0] == {"goldfish": 1}
    assert matched(["n01443537"], ["cat", "goldfish"])[0] == {"n01443537": 1}  # a model of some of the classes
    assert matched(["n01443537"], ["cat", "dog"]) == ({}, ())


def folder(tmp_path, *names):
    for number, name in enumerate(names):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 20 * number, np.uint8)).save(tmp_path / "val" / name / "a.png")
    return tmp_path


def test_a_model_without_names_is_matched_by_position_where_the_count_is_right(tmp_path):
    data = folder(tmp_path, "cat", "dog", "emu")
    source = open_source(data, labels=("0", "1", "2"), unnamed=True)
    assert source.splits["val"].targets.values.tolist() == [0, 1, 2]
    assert "by position, because the model has only numbers for them: 0 is 'cat', 1 is 'dog', ..." in source.told[-1].text
    for numbers, unnamed in (((0, 1, 2, 3), True), ((0, 1, 2), False)):
        with pytest.raises(InputError, match=r"does not know 'cat', 'dog', 'emu'.*convert --labels FILE"):
            open_source(data, labels=tuple(map(str, numbers)), unnamed=unnamed)


def test_data_of_bare_numbers_are_matched_by_position_where_all_are_there(tmp_path):
    data = folder(tmp_path, *map(str, range(11)))
    names = tuple("abcdefghijk")
    source = open_source(data, labels=names)
    assert [source.splits["val"].images.path(index).parent.name for index in (2, 10)] == ["10", "9"]
    assert source.splits["val"].targets.values[[2, 10]].tolist() == [10, 9]
    assert "the data has only numbers for them: 0 is 'a', 1 is 'b'" in source.told[-1].text
    with pytest.raises(InputError, match="does not know '0'"):
        open_source(data, labels=(*names, "l"))
