"""Bad input of `resnets info` and `models`: exit status 2, a message that names the fault and the remedy, nothing lost."""

import pytest
import torch
from safetensors.torch import save_file

from tests.cli.bad_input.made import Case, both, nothing, other_format, pets, refused, with_file


def cut_in_header(here):
    path = both(here)
    path.write_bytes(path.read_bytes()[:200])


def foreign(here):
    pets(here)
    save_file({"weight": torch.zeros(3)}, here / "model.safetensors")


CASES = {
    "nothing in MODEL": Case(with_file("empty", ""), "info empty", "empty: it is empty", "download the weights again"),
    "a device as MODEL": Case(both, "info /dev/zero", "/dev/zero: is a device", "give a file"),
    "MODEL cut in its header": Case(cut_in_header, "info model.safetensors", "truncated or damaged", "copy it again"),
    "MODEL of another format": Case(other_format, "info model.safetensors", "its format is resnets/7", "update resnets"),
    "MODEL of another program": Case(
        foreign, "info model.safetensors", "not the tensors of a supported library", "supported: "
    ),
    "info of nonsense": Case(nothing, "info resnet5O", "no network is called 'resnet5O'", "did you mean resnet50"),
    "info of a changed nonsense": Case(nothing, "info resnet50 --stem huge", "stem='huge'", "use one of imagenet, small, deep"),
    "info without pixels": Case(nothing, "info resnet50 --img-size 0", "img_size=0", "give at least 1"),
    "info with classes in words": Case(nothing, "info resnet50 --num-classes ten", "num_classes='ten'", "give a whole number"),
    "models that nothing matches": Case(nothing, "models vgg", "no network matches 'vgg'", "`resnets models` lists them all"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    refused(name, CASES[name], tmp_path, capsys)
