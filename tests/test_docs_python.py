"""The blocks of docs/python.md, run one after the other as they stand there."""

import re
from pathlib import Path

import pytest

from resnets.verbs import train as training

PAGE = Path(__file__).parent.parent / "docs/python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_every_block_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch.utils.tensorboard", reason="needs tensorboard: pip install tensorboard")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training.report, "write", lambda *of: None)  # the page of a run, which takes the most time
    monkeypatch.setattr(training, "curves", lambda *of, **more: None)
    names = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), names)
    assert names["activations"] == {"layer1": (2, 16, 32, 32), "layer2": (2, 32, 16, 16), "layer3": (2, 64, 8, 8)}
    assert tuple(names["gradient"].shape) == (16, 3, 3, 3) and names["logits"].shape == (2, 10)
    assert len(names["run"].history) == 1 and type(names["found"].net) is names["Net"] and len(BLOCKS) == 9
    assert list(Path("runs/own").glob("events*")), "TensorBoard's file"
