"""Bad input of `resnets data`: exit status 2, a message that names the fault and the remedy, and nothing lost."""

import pytest

from tests.cli.bad_input.made import NET, Case, nothing, pets, refused, with_file

CASES = {
    "data get of nonsense": Case(
        nothing, "data get cifar11", "'cifar11' is not a built-in dataset with a download", "these are: cifar10, cifar100"
    ),
    "data get, place not writable": Case(
        with_file("sets"), "data get cifar10 --data-dir sets/here", "cannot write sets/here", "choose another --data-dir"
    ),
    "data check of nothing": Case(nothing, "data check pets", "no file or folder 'pets'", "the built-in datasets are"),
    "data preview of an empty folder": Case(
        lambda d: (d / "pets").mkdir(), "data preview pets", "holds no class folders", "sort the images"
    ),
    "data preview below a file": Case(
        with_file("taken"),
        f"data preview pets --out taken/p.png {NET}",
        "taken/p.png: cannot be written",
        "choose another place with --out",
    ),
    "preview in no size": Case(pets, "data preview pets --img-size 0", "img_size=0", "give at least 1"),
    "check in two channels": Case(pets, "data check pets --in-chans 2", "in_chans=2", "use one of these"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    refused(name, CASES[name], tmp_path, capsys)
