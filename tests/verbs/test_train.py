"""From settings to a run directory: what lies in it, that it says how to get it again, and what is refused before a step."""

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
from resnets.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from resnets.engine.recipe import FIELDS
from resnets.errors import InputError
from resnets.models import weights
from resnets.verbs import evaluate as evaluation
from resnets.verbs import train as training
from resnets.verbs.train import train

TINY = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 4, "epochs": 2, "batch_size": 8, "lr": 0.05, "workers": 0,
    "device": "cpu", "precision": "float32",
}  # fmt: skip


def arrays(path, *, classes=3, chans=(), size=8, seed=0, **sizes):
    random = np.random.default_rng(seed)
    sizes = sizes or {"train": 36, "val": 12, "test": 10}
    found = {
        f"{split}_images": random.integers(0, 256, (num, size, size, *chans), dtype=np.uint8) for split, num in sizes.items()
    }
    np.savez(path, **found, **{f"{split}_labels": 10 + np.arange(num) % classes for split, num in sizes.items()})
    return str(path)


def pictures(root, *, classes="ab", num=12, size=(20, 14)):
    for split in ("train", "val"):
        for index in range(num if split == "train" else 4):
            path = root / split / classes[index % len(classes)] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return str(root)


def listing(run):
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def same_weights(one, two):
    one, two = load_file(one), load_file(two)
    return list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run with all that belongs to it, and how its scoring was called."""
    folder = tmp_path_factory.mktemp("first")
    data, calls, score = arrays(folder / "d.npz"), [], evaluation.score

    def counted(model, source, split, **settings):
        calls.append(split)
        return score(model, source, split, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "score", counted)
        run = train(data, out=folder / "run", ema=0.9, seed=3, **TINY)
    return SimpleNamespace(run=run, data=data, calls=calls, path=folder / "run")


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)


# --- the run directory -------------------------------------------------------------------------------------------------


def test_listing_of_a_run(first):
    assert listing(first.path) == [
        "best.safetensors", "evaluation.json", "last.safetensors", "metrics.csv", "plots/confusion.png", "plots/curves.png",
        "plots/errors.png", "plots/reliability.png", "provenance.json", "recipe.yaml", "report.html", "resume.json",
        "resume.safetensors",
    ]  # fmt: skip


def test_there_is_no_pickle_in_it(first):
    assert not [
        path for path in first.path.rglob("*") if path.is_file() and path.suffix in (".pt", ".pth", ".pkl", ".bin", ".npy")
    ]


def test_the_test_split_is_scored_once_by_the_best_weights(first):
    assert first.calls == ["test"]
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
    assert set(header.provenance) == {"command", "started", "versions", "device", "git", "seed", "data", "recipe"}
    assert header.provenance["recipe"]["lr"] == 0.05
    assert set(header.metrics) == {"epoch", "step", "val_loss", "val_top1"}
    assert header.labels == ("10", "11", "12")


def test_the_recipe_leaves_nothing_open_that_was_found_out(first):
    found = yaml.safe_load((first.path / "recipe.yaml").read_text())
    assert list(found) == list(FIELDS)
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


# --- network, size, statistics -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"size": 8}, ("resnet20_cifar", 8, "pad", 1.0)),
        ({"size": 64}, ("resnet20_cifar", 64, "pad", 1.0)),
        ({"size": 65}, ("resnet18", 96, "resized", 0.875)),
        ({"size": 65, "img_size": 32}, ("resnet20_cifar", 32, "pad", 1.0)),
        ({"size": 8, "img_size": 96}, ("resnet18", 96, "resized", 0.875)),
        ({"size": 8, "model": "resnet18"}, ("resnet18", 8, "pad", 1.0)),
        ({"size": 65, "model": "resnet20_cifar"}, ("resnet20_cifar", 32, "pad", 1.0)),
    ],
    ids=str,
)
def test_network_and_size_follow_the_pictures(given, expected, tmp_path):
    given, (name, size, crop, crop_pct) = dict(given), expected
    data = arrays(tmp_path / "d.npz", size=given.pop("size"), train=6, val=3)
    plan = training.settle(training.requested({"data": data} | given), None)
    assert (plan.spec.name, plan.preprocess.size, plan.recipe.model, plan.recipe.img_size) == (name, (size, size), name, size)
    assert (plan.recipe.crop, plan.recipe.crop_pct, plan.preprocess.crop_pct) == (crop, crop_pct, crop_pct)


@pytest.mark.parametrize(("chans", "in_chans", "expected"), [((), None, 3), ((), 1, 1), ((3,), None, 3), ((3,), 1, 1)])
def test_channels(chans, in_chans, expected, tmp_path, undrawn):
    data = arrays(tmp_path / "d.npz", chans=chans)
    job = train(data, out=tmp_path / "run", in_chans=in_chans, **TINY)
    assert (job.model.spec.in_chans, job.model.preprocess.in_chans, job.model.conv1.in_channels) == (expected,) * 3


def test_statistics_are_those_of_the_training_split_alone(tmp_path):
    data = arrays(tmp_path / "d.npz", train=40, test=20)
    plan = training.settle(training.requested({"data": data, "in_chans": 1, "val_fraction": 0.25}), None)
    images = plan.source.splits["train"].images.array / 255
    assert len(images) == 30  # of each class a quarter, rounded
    assert plan.preprocess.mean == pytest.approx((images.mean(),), abs=1e-6)
    assert plan.preprocess.std == pytest.approx((images.std(),), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"normalise": "imagenet"}, IMAGENET_MEAN, IMAGENET_STD),
        ({"normalise": "pixel"}, 192, (1.0, 1.0, 1.0)),
        ({"recipe": "he2015"}, 192, (1.0, 1.0, 1.0)),
    ],
    ids=str,
)
def test_normalising(settings, mean, std, tmp_path):
    plan = training.settle(training.requested({"data": arrays(tmp_path / "d.npz")} | settings), None)
    assert plan.preprocess.std == std
    assert plan.preprocess.mean == mean if isinstance(mean, tuple) else len(plan.preprocess.mean) == mean


# --- classes -----------------------------------------------------------------------------------------------------------


def test_training_fixes_the_labels(tmp_path, undrawn):
    """A class that validation lacks keeps its place."""
    pictures(tmp_path / "f", classes=["cat", "dog", "emu"], num=9)
    for path in (tmp_path / "f/val/cat").iterdir():
        path.unlink()
    job = train(str(tmp_path / "f"), out=tmp_path / "run", img_size=8, **TINY)
    assert job.model.labels == ("cat", "dog", "emu") and set(job.val.split.targets) == {1, 2}
    assert weights.read_header(tmp_path / "run/best.safetensors").labels == ("cat", "dog", "emu")


def test_more_classes_than_the_data_has_get_names(tmp_path):
    run = train(arrays(tmp_path / "d.npz"), out=tmp_path / "run", num_classes=5, mixup=0.5, **TINY)
    assert run.model.labels == ("10", "11", "12", "unused_3", "unused_4") and run.model.fc.out_features == 5
    assert np.array(run.result["confusion"]).shape == (5, 5)
    assert np.isfinite(run.result["loss"]) and np.isfinite(run.result["macro_f1"])


# --- starting from a saved model ---------------------------------------------------------------------------------------


def test_fine_tuning_to_other_classes(first, tmp_path, undrawn):
    said = []
    watcher = SimpleNamespace(say=said.append, step=lambda *of: None, epoch=lambda *of: None)
    data = arrays(tmp_path / "d.npz", classes=4, seed=1)
    settings = {name: TINY[name] for name in ("epochs", "batch_size", "workers", "device", "precision")}
    job = train(data, out=tmp_path / "run", weights=str(first.path), lr=0.0, weight_decay=0.0, reporter=watcher, **settings)
    old, new = load_file(first.path / "best.safetensors"), job.model.state_dict()
    assert job.model.preprocess == first.run.model.preprocess
    assert (job.model.spec.name, job.model.spec.depths, job.model.labels) == (
        "resnet20_cifar",
        (1, 1, 1),
        ("10", "11", "12", "13"),
    )
    learnt = [
        name
        for name, tensor in old.items()
        if not name.startswith("fc.") and "running" not in name and "num_batches" not in name
    ]
    assert learnt and all(torch.equal(old[name], new[name]) for name in learnt)
    assert new["fc.weight"].shape[0] == 4
    table = [line.split() for line in said if " tensors" in line]
    assert ["loaded", str(len(old) - 2), "tensors"] in table
    assert ["re-initialised", "2", "tensors", "fc.weight,", "fc.bias"] in table


@pytest.mark.parametrize(
    ("given", "name", "origin"),
    [
        ({}, "fast", "default"),
        ({"weights": True}, "finetune", "the weights"),
        ({"weights": True, "recipe": "auto"}, "finetune", "the weights"),
        ({"weights": True, "recipe": "fast"}, "fast", "flag"),
        ({"recipe": "he2015"}, "he2015", "flag"),
    ],
    ids=str,
)
def test_with_weights_the_recipe_is_finetune_unless_another_is_named(given, name, origin, first):
    given = given | ({"weights": str(first.path)} if "weights" in given else {})
    plan = training.settle(training.requested({"data": first.data} | given), None)
    assert (plan.recipe.recipe, plan.origins["recipe"]) == (name, origin)
    assert plan.origins["lr"] == f"recipe {name}"


def test_whose_preprocessing_it_is_is_said(first):
    plans = [
        training.settle(training.requested({"data": first.data} | given), None)
        for given in ({}, {"normalise": "imagenet"}, {"weights": str(first.path)})
    ]
    ends = [plan.inputs.rpartition(": ")[2] for plan in plans]
    assert ends == ["of the training split", "ImageNet's", f"those of the weights ({first.path}), not of this data"]
    mean = ",".join(f"{value:.3f}" for value in first.run.model.preprocess.mean)
    assert plans[2].inputs.startswith(f"8 x 8, crop 1, bilinear; mean {mean}, deviation ")


def test_the_same_classes_keep_the_head(first, tmp_path, undrawn):
    job = train(
        first.data, out=tmp_path / "run", weights=str(first.path / "best.safetensors"), lr=0.0, weight_decay=0.0, epochs=1
    )
    assert torch.equal(job.model.state_dict()["fc.weight"], load_file(first.path / "best.safetensors")["fc.weight"])


def test_pictures_are_fitted_as_the_weights_say_unless_something_else_is_asked_for(first, tmp_path):
    layers = {"weights": str(first.path), "data": first.data}
    plan = training.settle(training.requested(layers), None)
    assert plan.preprocess == first.run.model.preprocess and plan.recipe.img_size == 8
    plan = training.settle(training.requested(layers | {"resize": "squash", "img_size": 12}), None)
    assert (plan.preprocess.resize, plan.preprocess.size, plan.recipe.resize) == ("squash", (12, 12), "squash")
    assert plan.preprocess.mean == first.run.model.preprocess.mean


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "resnet18"}, "the weights are a resnet20_cifar's, not a resnet18's; leave out --model"),
        ({"weights": "gone.safetensors"}, "gone.safetensors: no such file"),
    ],
    ids=str,
)
def test_weights_that_do_not_fit_are_refused(settings, said, first, tmp_path):
    with pytest.raises(InputError, match=said):
        train(first.data, out=tmp_path / "run", **{"weights": str(first.path)} | settings)
    assert not (tmp_path / "run").exists()


# --- refused before a step ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 1}, "batch_size=1: batch norm .*--accumulate"),
        ({"num_classes": 2}, "num_classes=2, and the data has 3 classes; .*at least 3"),
        ({"dims": 3}, "dims=3: pictures have 2 spatial axes"),
        ({"in_chans": 2}, r"in_chans=2: pictures give 1 \(grey\), 3"),
        ({"in_chans": 4, "auto_augment": "randaugment"}, "use none with 4 channels"),
        ({"epochs": 0}, "epochs=0: give at least 1"),
        ({"steps": 5}, "flag: epochs and steps exclude each other"),
        ({"model": "resnet19"}, "no network is called 'resnet19'; did you mean"),
        ({"recipe": "he2016"}, "there is no recipe 'he2016'; use one of"),
        ({"recipe": "gone.yaml"}, "gone.yaml: cannot be read as a recipe"),
        ({"task": "embed"}, "there is no task 'embed'"),
        ({"task": ""}, "there is no task ''; this version has: classify, detect, segment"),
        ({"head": "unet"}, "head=unet: the task classify cannot use it; leave it out"),
        ({"masks": True}, "masks=True: the task classify cannot use it"),
        ({"jitter": 0.2}, "jitter=0.2: the task classify cannot use it"),
        ({"scales": "0.5,1"}, "scales=0.5,1: the task classify cannot use it"),
        ({"loss": "dice"}, "loss=dice: the task classify has ce, bce"),
        ({"resize": "keep"}, "resize=keep: the task classify takes crop, pad, squash"),
        ({"device": "cuda:99"}, "device='cuda:99' is not here"),
        ({"epoch": 3}, "there is no setting 'epoch'; did you mean epochs"),
        ({"depths": "1,0"}, "depths="),
        ({"group_width": 4}, "belong to bottleneck blocks"),
    ],
    ids=str,
)
def test_refused_with_a_reason_and_without_a_folder(settings, said, tmp_path):
    with pytest.raises(InputError, match=said):
        train(arrays(tmp_path / "d.npz"), out=tmp_path / "run", **TINY | settings)
    assert not (tmp_path / "run").exists()


def test_an_occupied_folder_is_refused_and_left_alone(first):
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    with pytest.raises(InputError, match="exists and is not empty; go on with it by --resume, or choose another --out"):
        train(first.data, out=first.path, **TINY)
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*")} == before


@pytest.mark.parametrize("recipe", ["he2015", "rsb-a3", "torchvision-v2"])
def test_published_recipes_take_a_step_on_small_pictures(recipe, tmp_path, undrawn):
    if recipe == "rsb-a3":
        pytest.importorskip("timm")
    data = arrays(tmp_path / "d.npz", chans=(3,), train=12, val=4)
    settings = {name: TINY[name] for name in ("model", "depths", "width", "batch_size", "workers", "device", "precision")}
    job = train(data, out=tmp_path / "run", recipe=recipe, steps=2, img_size=16, train_size=12, **settings)
    assert (job.recipe.steps, job.recipe.epochs, job.model.preprocess.size) == (2, None, (16, 16))
    assert all(torch.isfinite(tensor).all() for tensor in load_file(tmp_path / "run/last.safetensors").values())


def test_memory_that_is_not_enough_has_a_remedy(tmp_path, monkeypatch):
    def fit(job, resume):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(training, "fit", fit)
    with pytest.raises(InputError, match="has not memory enough; use a --batch-size below 8, with --accumulate"):
        train(arrays(tmp_path / "d.npz"), out=tmp_path / "run", **TINY)


def test_preview_draws_what_these_settings_show(tmp_path):
    path = training.preview(arrays(tmp_path / "d.npz"), out=tmp_path / "p.png", mixup=1.0, crop="resized", seed=2)
    assert Image.open(path).size[0] > 100
    with pytest.raises(InputError, match="did you mean hflip"):
        training.preview(arrays(tmp_path / "d.npz"), out=tmp_path / "p.png", hflipp=1)


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
    assert "2 classes; pictures: 36 train, 4 val (val cut from train: 10%, seed 0)" in text
    assert "8 pictures a process, 16 in all (2 accumulated)" in text
    assert "note     classes have 5 to 31 pictures; --balance sampler or loss evens them out" in text
    told = [word.partition("=")[0] for line in said if line.startswith("settings") for word in line.split() if "=" in word]
    assert len(told) == len(set(told)) and set(told) >= {"lr", "steps", "model", "seed", "weight_decay"}
