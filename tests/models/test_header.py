"""What a saved model says of itself, and where it lies."""

import json

import pytest

from resnets.errors import InputError
from resnets.models.header import PARTS, find, parse
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model, load, save

SMALL = ResNetSpec(name="small", depths=(1, 1), width=8, stem="small", num_classes=3)


def test_a_header_is_read_as_it_was_written():
    model = create_model(SMALL, labels=["Größe", "\n", '"'])
    model.metadata = {"metrics": {"top1": 0.1 + 0.2}, "provenance": {"command": "resnets train"}}
    metadata = json.loads(json.dumps(model.header.to_json()))
    assert tuple(metadata) == PARTS and parse(metadata, "file") == model.header
    assert (model.header.task, model.header.labels, model.header.metrics) == ("classify", model.labels, {"top1": 0.1 + 0.2})


def test_a_model_without_a_past_has_an_empty_record():
    header = create_model(SMALL).header
    assert header.metrics == header.provenance == {} and header.spec == SMALL


def test_a_run_without_a_complete_epoch_says_how_to_go_on(tmp_path):
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(InputError, match=f"no weights; go on by `resnets train --resume --out {tmp_path}`"):
        find(tmp_path)


def test_find_prefers_the_best_weights_of_a_run(tmp_path):
    for name in ("last", "best"):
        save(create_model(SMALL, labels=[name]), tmp_path / f"{name}.safetensors")
    assert find(tmp_path).name == "best.safetensors"
    assert load(tmp_path).labels == ("best",) and load(str(tmp_path)).labels == ("best",)
    (tmp_path / "best.safetensors").unlink()
    assert load(tmp_path).labels == ("last",)


def test_of_a_finished_run_that_counts_its_last_step_the_last_weights_are_meant(tmp_path):
    for name in ("last", "best"):
        save(create_model(SMALL, labels=[name]), tmp_path / f"{name}.safetensors")
    for text, meant in (
        ('{"selected": "last"}', "last"),
        ('{"selected": "best"}', "best"),
        ("{}", "best"),
        ("[", "best"),
        ("[]", "best"),
    ):
        (tmp_path / "provenance.json").write_text(text)
        assert load(tmp_path).labels == (meant,)


def test_find_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no best\.safetensors here"):
        find(tmp_path)
    with pytest.raises(InputError, match=r"resnet18 names a network without weights.*--model resnet18"):
        find(tmp_path / "resnet18")
    with pytest.raises(InputError, match=r"no such file or run directory$"):
        find(tmp_path / "other")
