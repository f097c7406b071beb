"""From settings to a run directory: what lies in it, and that it says how to get it again."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import resnets
from resnets.engine.settings import fields_of
from resnets.errors import InputError
from resnets.models import weights
from resnets.tasks.classify.settings import ClassifySettings
from resnets.verbs import evaluate as evaluation
from resnets.verbs.preview import preview
from resnets.verbs.train import train
from tests.verbs.train.made import TINY, arrays, pictures


def listing(run):
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def same_weights(one, two):
    one, two = load_file(one), load_file(two)
    return list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


def test_listing_of_a_run(first):
    assert listing(first.path) == [
        "best.safetensors", "evaluation.json", "last.safetensors", "metrics.csv", "metrics.jsonl",
        "plots/confusion.png", "plots/curves.png",
        "plots/errors.png", "plots/reliability.png", "predictions.csv", "provenance.json", "recipe.yaml", "report.html",
        "resume.json", "resume.safetensors", "slices.json",
    ]  # fmt: skip


def test_there_is_no_pickle_in_it(first):
    assert not [
        path for path in first.path.rglob("*") if path.is_file() and path.suffix in (".pt", ".pth", ".pkl", ".bin", ".npy")
    ]


def test_the_test_split_is_scored_once_by_the_best_weights(first):
    assert first.calls == ["val", "test"]  # validation to decide by
    assert (first.run.result["split"], first.run.result["num_images"]) == ("test", 10)
    assert first.run.result["selected"].startswith("best (epoch ")
    best = load_file(first.path / "best.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in first.run.model.state_dict().items())


def test_provenance(first):
    found = json.loads((first.path / "provenance.json").read_text())
    assert set(found) == {
        "command", "started", "versions", "device", "platform", "git", "seed", "data", "model", "finished", "seconds",
        "selected", "result", "speed",
    }  # fmt: skip
    assert found["seed"] == 3 and found["data"]["num_images"] == {"train": 36, "val": 12, "test": 10}
    assert (
        found["data"]["labels"] == ["10", "11", "12"]
        and len(found["data"]["fingerprint"]) == 64
        and found["data"]["cut"] is None
    )
    assert found["model"] == {
        "name": "resnet20_cifar",
        "num_params": first.run.model.spec.num_params,
        "num_macs": first.run.model.spec.num_macs((8, 8)),
    }
    speed = found["speed"]
    assert speed["flops"] == pytest.approx(6 * found["model"]["num_macs"] * speed["images_per_second"])
    assert speed["mfu"] == pytest.approx(speed["flops"] / speed["peak_flops"]) and speed["peak_flops"] > 1e8
    assert found["result"]["top1"] == first.run.result["top1"] and "confusion" not in found["result"]


def test_the_saved_model_knows_where_it_comes_from(first):
    header = weights.read_header(first.path / "best.safetensors")
    assert set(header.provenance) == {
        "command",
        "started",
        "versions",
        "device",
        "git",
        "seed",
        "data",
        "recipe",
        "answers",
        "result",
    }
    assert sum(header.provenance["answers"]["classes"].values()) == 12, "of validation"
    assert header.provenance["recipe"]["lr"] == 0.05
    assert set(header.metrics) == {"epoch", "step", "val_loss", "val_top1"}
    assert header.labels == ("10", "11", "12")


def test_the_recipe_leaves_nothing_open_that_was_found_out(first):
    found = yaml.safe_load((first.path / "recipe.yaml").read_text())
    assert list(found) == list(fields_of(ClassifySettings))
    assert (found["model"], found["recipe"], found["img_size"], found["workers"], found["ema"]) == (
        "resnet20_cifar",
        "fast",
        8,
        0,
        0.9,
    )
    assert found["data"] == first.data and found["depths"] == [1, 1, 1]


def test_the_recipe_alone_makes_the_same_weights(first, tmp_path):
    train(recipe=str(first.path / "recipe.yaml"), out=tmp_path / "again")
    for name in ("best", "last"):
        assert same_weights(first.path / f"{name}.safetensors", tmp_path / f"again/{name}.safetensors")
    assert (tmp_path / "again/recipe.yaml").read_text() == (first.path / "recipe.yaml").read_text()


def test_flags_win_over_a_recipe_file(first, tmp_path, undrawn):
    job = train(recipe=str(first.path / "recipe.yaml"), out=tmp_path / "again", steps=3, lr=0.01)
    assert (job.recipe.steps, job.recipe.epochs, job.recipe.lr, job.recipe.ema) == (3, None, 0.01, 0.9)


def test_evaluation_later_is_the_evaluation_of_the_run(first):
    found = evaluation.evaluate(first.path, first.data, split="test")
    assert (found["top1"], found["loss"]) == (first.run.result["top1"], first.run.result["loss"])


def test_a_finished_run_that_is_resumed_scores_again(first, tmp_path):
    before = {name: (first.path / name).read_bytes() for name in ("best.safetensors", "last.safetensors", "metrics.csv")}
    again = train(out=first.path, resume=True)
    assert again.result == first.run.result
    assert {name: (first.path / name).read_bytes() for name in before} == before
    assert len(json.loads((first.path / "provenance.json").read_text())["resumed"]) == 1


def test_select_last_scores_the_last_weights(tmp_path):
    run = train(arrays(tmp_path / "d.npz", train=20, val=6), out=tmp_path / "run", select="last", **TINY)
    last = load_file(tmp_path / "run/last.safetensors")
    assert all(torch.equal(last[name], tensor) for name, tensor in run.model.state_dict().items())
    assert (run.result["selected"], run.result["split"]) == ("last", "val")


def test_unreadable_pictures_are_listed(tmp_path):
    data = pictures(tmp_path / "f")
    (tmp_path / "f/train/a/0.png").write_bytes(b"")
    (tmp_path / "f/val/b/1.png").write_bytes(b"")
    run = train(data, out=tmp_path / "run", img_size=8, **TINY)
    with (tmp_path / "run/bad_images.csv").open() as file:
        assert [row["path"].rsplit("/", 3)[1:] for row in csv.DictReader(file)] == [
            ["train", "a", "0.png"],
            ["val", "b", "1.png"],
        ]
    assert run.result["num_images"] == 3


def test_the_next_run_gets_the_next_number(tmp_path, monkeypatch, undrawn):
    monkeypatch.chdir(tmp_path)
    data = arrays(tmp_path / "d.npz")
    assert [str(train(data, **TINY).run.path) for _ in range(2)] == ["runs/classify/train1", "runs/classify/train2"]


def test_the_same_settings_give_the_same_weights_and_another_seed_others(tmp_path, undrawn):
    data = arrays(tmp_path / "d.npz")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(data, out=tmp_path / name, seed=seed, **TINY)
    assert same_weights(tmp_path / "a/last.safetensors", tmp_path / "b/last.safetensors")
    assert not same_weights(tmp_path / "a/last.safetensors", tmp_path / "c/last.safetensors")


def test_preview_draws_what_these_settings_show(tmp_path):
    path = preview(arrays(tmp_path / "d.npz"), out=tmp_path / "p.png", mixup=1.0, crop="resized", seed=2)
    assert Image.open(path).size[0] > 100
    with pytest.raises(InputError, match="did you mean hflip"):
        preview(arrays(tmp_path / "d.npz"), out=tmp_path / "p.png", hflipp=1)


def test_train_is_the_packages(first):
    assert resnets.train is train
    (answer,) = resnets.load(first.path).predict(np.zeros((8, 8), np.uint8))
    assert answer["label"] in {"10", "11", "12"}


def test_the_whole_of_it_is_said_beforehand(tmp_path, undrawn):
    said = []
    watcher = SimpleNamespace(say=said.append, step=lambda *of: None, epoch=lambda *of: None)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", train_images=images, train_labels=[0] * 34 + [1] * 6)
    train(
        str(tmp_path / "d.npz"), out=tmp_path / "run", reporter=watcher, **TINY | {"accumulate": 2, "epochs": None, "steps": 2}
    )
    text = "\n".join(said)
    assert "2 classes: 0, 1; pictures: 36 train, 4 val (val cut from train: 10%, seed 0)" in text
    assert "8 pictures per process, 16 in all (2 accumulated)" in text
    assert "note     classes have 5 to 31 pictures; --balance sampler or loss evens them out" in text
    told = [word.partition("=")[0] for line in said if line.startswith("settings") for word in line.split() if "=" in word]
    assert len(told) == len(set(told)) and set(told) >= {"lr", "steps", "model", "seed", "weight_decay"}
