"""Few regions a picture, commands in this process, and runs without scoring and drawing."""

import pytest

from resnets.cli.main import main
from resnets.tasks.detect.task import Detect
from resnets.verbs import train as training


@pytest.fixture(scope="module", autouse=True)
def few():
    """Few regions of a picture: one that knows nothing finds all that it may, everywhere."""
    form, less = Detect.form, {"samples": 16, "proposals": [60, 30], "most_objects": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Detect, "form", lambda *given: form(*given) | less)
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
