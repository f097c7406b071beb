"""The command in this process, and settings of a run that takes seconds."""

import shlex

import pytest

from resnets.cli.main import main
from resnets.models import zoo

SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4)
FAST = "--model resnet20_cifar --depths 1,1,1 --width 4 --batch-size 32 --device cpu"


def said(capsys, words):
    """What the command says on stdout, and on stderr; it must end well."""
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, err
    return out, err
