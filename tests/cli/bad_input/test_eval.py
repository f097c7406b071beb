"""Bad input of `resnets eval`: exit status 2, a message that names the fault and the remedy, and nothing lost."""

import pytest

from tests.cli.bad_input.made import Case, all_text, both, cut_short, folder, model, pets, refused, with_file

CASES = {
    "MODEL and DATA swapped": Case(
        both, "eval pets model.safetensors", "pets: no best.safetensors here", "give a run directory"
    ),
    "a name as MODEL": Case(
        both, "eval resnet18 pets", "resnet18 names a network without weights", "`resnets train --model resnet18`"
    ),
    "MODEL cut short": Case(cut_short, "eval model.safetensors pets", "truncated or damaged", "copy it again"),
    "MODEL for signals": Case(
        lambda d: (pets(d), model(d, dims=1)),
        "eval model.safetensors pets",
        "takes inputs with 1 spatial axes",
        "use it from Python",
    ),
    "eval of an unknown class": Case(
        lambda d: (both(d), folder(d / "pets", emu=1)),
        "eval model.safetensors pets",
        "the model does not know 'emu'",
        "its classes are 'cat', 'dog'",
    ),
    "eval of a split that is not there": Case(
        both, "eval model.safetensors pets --split test", "pets has no test split", "it has: train"
    ),
    "eval of a split that cannot be": Case(
        both, "eval model.safetensors pets --split dev", "'dev' is not one of", "'val', 'test', 'train'"
    ),
    "eval of unreadable pictures": Case(
        lambda d: (model(d), all_text(d)),
        "eval model.safetensors pets -j 0",
        "no picture of the split can be read",
        "`resnets data check`",
    ),
    "eval below a file": Case(
        with_file("taken"),
        "eval model.safetensors pets -j 0 --out taken/here",
        "cannot be written",
        "choose another place with --out",
    ),
    "eval in batches of 0": Case(both, "eval model.safetensors pets -b 0", "'--batch-size'", "x>=1"),
    "eval without DATA": Case(both, "eval model.safetensors", "Missing argument 'DATA'", "resnets eval"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    refused(name, CASES[name], tmp_path, capsys)
