"""Few regions a picture, commands in this process, and runs without scoring and drawing."""

import pytest

from resnets.cli.main import main
from resnets.verbs import train as training
from tests.tasks.detect.made import few_regions


@pytest.fixture(scope="module", autouse=True)
def few():
    with few_regions():
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Without scoring and drawing, which come after the last step and take the most time here."""
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)


@pytest.fixture
def command(capsys):
    """`resnets WORD...`: its exit status, stdout and stderr."""

    def call(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call
