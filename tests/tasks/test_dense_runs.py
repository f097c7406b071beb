"""Detection and segmentation from a folder to a run directory and what is made of it, as for classification: the contract that
each kind of head keeps, and what is refused before a step."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import resnets
from resnets.cli.main import main
from resnets.engine.distributed import Processes
from resnets.engine.plan import settle
from resnets.engine.recipe import Recipe, read_file
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.models import weights, zoo
from resnets.models.pretrained.opening import Opened
from resnets.ship import hub
from resnets.tasks import TASKS
from resnets.tasks.detect.task import Detect
from resnets.verbs import evaluate as evaluation
from resnets.verbs import report
from resnets.verbs import train as training
from tests.data.made_dense import boxed, objects, picture, segments
from tests.engine.test_distributed import flags, largest_difference, torchrun
from tests.engine.test_resume import assert_same, stopping

# 6 pictures in batches of 2: 3 steps an epoch.
TINY = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 8, "epochs": 2, "batch_size": 2, "workers": 0, "device": "cpu",
    "precision": "float32", "save_every": 1e9,
}  # fmt: skip
KINDS = {
    "unet": ("segment", segments, {}),
    "fcn": ("segment", segments, {"head": "fcn", "loss": "focal"}),
    "deeplabv3": ("segment", segments, {"head": "deeplabv3", "balance": "loss", "train_size": 32}),
    "pyramid": ("detect", boxed, {}),
    "c4": ("detect", boxed, {"head": "c4", "train_size": 32}),
    "masks": ("detect", objects, {"masks": True}),
}
PLOTS = {"segment": ["confusion", "curves", "worst"], "detect": ["curves", "precision_recall", "worst"]}


@pytest.fixture(scope="module", autouse=True)
def few():
    """Few regions of a picture: one that knows nothing finds all that it may, everywhere."""
    form, less = Detect.form, {"samples": 16, "proposals": [60, 30], "most_objects": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Detect, "form", lambda *given: form(*given) | less)
        yield


def train(data, out, task, **settings):
    return training.train(None if data is None else str(data), out=out, **({"task": task} | TINY if data else {}) | settings)


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """A finished run of a kind: what it is, its data, and the run."""
    folder = tmp_path_factory.mktemp(request.param)
    task, make, settings = KINDS[request.param]
    data = make(folder / "data", train=6, val=3)
    run = train(data, folder / "run", task, **settings | {"epochs": None, "steps": 2})
    return SimpleNamespace(name=request.param, task=TASKS[task], data=data, run=run, path=folder / "run")


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


def rows(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


# --- the contract --------------------------------------------------------------------------------------------------------


def test_listing_of_a_run(kind):
    found = sorted(str(path.relative_to(kind.path)) for path in kind.path.rglob("*") if path.is_file())
    assert found == [
        "best.safetensors", "evaluation.json", "last.safetensors", "metrics.csv",
        *(f"plots/{name}.png" for name in PLOTS[kind.task.name]),
        "provenance.json", "recipe.yaml", "report.html", "resume.json", "resume.safetensors",
    ]  # fmt: skip


def test_metrics_have_the_tasks_columns(kind):
    (row,) = rows(kind.path)
    names = [name for name in row if name.startswith("val_")]
    assert names == [f"val_{name}" for name in kind.task.metrics] and row["step"] == "2"
    assert float(row["train_loss"]) > 0 and float(row["val_" + kind.task.metrics[0]]) >= 0
    header = weights.read_header(kind.path / "best.safetensors")
    assert set(header.metrics) == {"epoch", "step", *names} and header.task == kind.task.name
    assert header.provenance["recipe"]["task"] == kind.task.name and header.provenance["data"]["num_images"]["train"] == 6


def test_the_saved_file_gives_the_same_outputs(kind):
    again = resnets.load(kind.path)
    assert again.form == kind.run.model.form and again.labels == kind.run.model.labels
    x = torch.randn(1, 3, 33, 41)
    with torch.inference_mode():
        one, two = kind.run.model.eval()(x), again(x)
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a) if isinstance(a, dict) else torch.equal(a, b)


def test_evaluation_later_is_the_evaluation_of_the_run(kind, command):
    first = json.loads((kind.path / "evaluation.json").read_text())
    code, out, _ = command("eval", kind.path, kind.data, "--json", "-j", 0, "--device", "cpu")
    again = json.loads(out)
    assert code == 0 and {name: again[name] for name in first} == first and first["split"] == "val"
    assert kind.run.result["per_class"] == first["per_class"] and first["num_images"] == 3
    code, out, _ = command("eval", kind.path, kind.data, "-j", 0, "--device", "cpu")
    assert code == 0 and out.splitlines()[0].startswith("val m") and out.splitlines()[2].startswith("class ")
    assert len(out.splitlines()) == 3 + len(again["labels"])


def test_the_report_has_the_score(kind):
    page = (kind.path / "report.html").read_text(encoding="utf-8")
    score, words, columns = report.SCORES[kind.task.name]
    assert f"<strong>{report.percent(kind.run.result[score])}</strong>validation {words}" in page
    assert all(f">{heading}</th>" in page for name, heading in columns.items() if name in kind.run.result["per_class"][0])
    assert all(f'id="{section}"' in page for section in ("worst", "classes", "settings"))


def test_predict_writes_rows_drawings_and_masks(kind, command, tmp_path):
    source = training.settle(training.requested({"data": str(kind.data), "task": kind.task.name}), None).source.splits["val"]
    paths = [source.images.name(index) for index in range(2)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    low = ["--device", "cpu", "--threshold", 0.0]
    code, out, err = command("predict", kind.path, *paths, broken, "--format", "json", *low)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["path"] for row in found] == [*paths, str(broken)] and "error" in found[2]
    assert "1 of 3 pictures could not be read" in err
    answers = kind.run.model.predict(paths, threshold=0.0)
    assert [{"path": path} | answer for path, answer in zip(paths, answers, strict=True)] == found[:2]
    entries = [entry for row in found[:2] for entry in row["objects" if kind.task.name == "detect" else "classes"]]
    assert entries, "there is something to write"

    code, out, _ = command("predict", kind.path, *paths, broken, "--format", "csv", *low)
    table = list(csv.DictReader(out.splitlines()))
    assert [row["label"] for row in table if row["label"]] == [entry["label"] for entry in entries]
    assert table[-1]["error"] == found[2]["error"] and all(None not in row for row in table)

    code, out, _ = command("predict", kind.path, *paths, *low)
    assert code == 0 and [line.split("  ")[0] for line in out.splitlines()] == paths and entries[0]["label"] in out

    made = tmp_path / "made"
    masked = kind.task.name == "segment" or kind.run.model.form["masks"]
    words = ["--draw", made / "drawn", "--masks", made / "masks"][: 4 if masked else 2]
    code, out, _ = command("predict", kind.path, *paths, "--format", "json", *words, *low)
    for row, path in zip(map(json.loads, out.splitlines()), paths, strict=True):
        with Image.open(row["drawn"]) as drawn, Image.open(path) as given:
            assert drawn.format == "PNG" and min(drawn.size) > 100
            if masked:
                numbers = np.array(Image.open(row["mask"]))
                assert numbers.shape == (given.height, given.width) and numbers.any()
    if not masked:
        code, _, err = command("predict", kind.path, *paths, "--masks", made / "masks")
        assert code == 2 and "--masks: this detector finds boxes and no outlines; leave it out" in err


def test_predict_goes_on_with_rows_and_keeps_each_drawing(command, tmp_path):
    """Two pictures of one stem: the second call draws the one that is left, under the name that it has in a whole call."""
    net = resnets.create_model(
        "resnet20_cifar", depths=(1, 1, 1), width=8, task="segment", labels=("a", "b"),
        preprocess=resnets.data.preprocess.Preprocess(size=(30, 40), resize="keep"),
    )  # fmt: skip
    resnets.save(net, tmp_path / "m.safetensors")
    pictures = [picture(tmp_path / folder / "x.png") for folder in ("one", "two")]
    words = ["--out", tmp_path / "rows.json", "--draw", tmp_path / "drawn", "--device", "cpu"]
    assert command("predict", tmp_path / "m.safetensors", *pictures, *words)[0] == 0
    whole = (tmp_path / "rows.json").read_text()
    assert [json.loads(line)["drawn"].rpartition("/")[2] for line in whole.splitlines()] == ["x.png", "x-2.png"]
    (tmp_path / "rows.json").write_text(whole.splitlines(keepends=True)[0])
    before = (tmp_path / "drawn/x.png").stat().st_mtime_ns
    assert command("predict", tmp_path / "m.safetensors", *pictures, *words, "--resume")[0] == 0
    assert (tmp_path / "rows.json").read_text() == whole and (tmp_path / "drawn/x.png").stat().st_mtime_ns == before
    code, _, err = command("predict", tmp_path / "m.safetensors", *pictures, "--out", tmp_path / "rows.csv", "--resume")
    assert code == 2 and "--resume needs --format json" in err
    before = [path.read_bytes() for path in pictures]
    for flag in ("--draw", "--masks"):
        code, _, err = command("predict", tmp_path / "m.safetensors", pictures[0], flag, tmp_path / "one")
        assert code == 2 and "is one of the pictures, and would be overwritten; give another folder" in err
    code, _, err = command(
        "predict", tmp_path / "m.safetensors", *pictures, "--draw", tmp_path / "d", "--masks", tmp_path / "d"
    )
    assert code == 2 and "give two folders" in err and [path.read_bytes() for path in pictures] == before


# --- resumed -------------------------------------------------------------------------------------------------------------

WAYS = {
    **{name: (name, {}, {"step": 4}) for name in KINDS},
    "in the middle of an epoch": ("unet", {}, {"step": 2}),
    "in validation": ("pyramid", {}, {"validation": 1}),
    "ema": ("pyramid", {"ema": 0.9}, {"step": 2}),
    "ema of regions": ("c4", {"ema": 0.9}, {"step": 4}),
    "accumulated": ("unet", {"accumulate": 2, "batch_size": 2}, {"step": 1}),
    "accumulated, detected": ("masks", {"accumulate": 2}, {"step": 3}),
    "checkpointed": ("c4", {"checkpoint_activations": True, "depths": "2,1,1"}, {"step": 2}),
    "repeated, in workers": ("fcn", {"repeats": 2, "workers": 1, "epochs": 1}, {"step": 4}),
    "shrunk": ("unet", {"img_size": 16, "hflip": 1.0, "class_names": "background,cell,wall"}, {"step": 5}),
    "bfloat16": ("pyramid", {"precision": "bfloat16"}, {"step": 4}),
}


@pytest.mark.parametrize("way", WAYS)
def test_interrupted_and_resumed_is_uninterrupted(way, tmp_path, undrawn):
    name, more, stop = WAYS[way]
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=6, val=2)
    job = train(data, tmp_path / "whole", task, **settings | more)
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "whole/last.safetensors").values())
    with stopping(**stop):
        train(data, tmp_path / "parts", task, **settings | more)
    train(None, tmp_path / "parts", task, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert job.recipe.ema == more.get("ema")


# --- weights -------------------------------------------------------------------------------------------------------------

STILL = {"lr": 0.0, "weight_decay": 0.0, "epochs": None, "steps": 1}


def told(data, out, task, **settings):
    """A job, and the names of tensors that the start of the run tells of, by what became of them."""
    names, transfer = {}, training.hub.transfer

    def noted(*of):
        names.update(found := transfer(*of))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.hub, "transfer", noted)
        network = dict.fromkeys(("model", "depths", "width"))
        given = {name: value for name, value in (TINY | network | settings).items() if value is not None}
        return training.train(str(data), out=out, task=task, **given), names


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    """A classifier's run on pictures of 16 pixels."""
    folder = tmp_path_factory.mktemp("classified")
    random = np.random.default_rng(0)
    train, val = (random.integers(0, 256, (num, 16, 16, 3), dtype=np.uint8) for num in (8, 4))
    np.savez(folder / "d.npz", train_images=train, val_images=val, train_labels=np.arange(8) % 2, val_labels=np.arange(4) % 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda job, source, best_epoch: job)
        training.train(str(folder / "d.npz"), out=folder / "run", **TINY)
    return folder / "run"


@pytest.mark.parametrize("name", ["unet", "pyramid", "c4"])
def test_a_classifiers_trunk_gets_a_new_head(name, classified, tmp_path, undrawn):
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=4, val=2)
    job, names = told(data, tmp_path / "run", task, weights=str(classified), **settings | STILL)
    old = weights.read_header(classified / "best.safetensors")
    assert sorted(names["ignored"]) == ["fc.bias", "fc.weight"] and not names["adapted"]
    assert all(tensor.startswith("head.") for tensor in names["re-initialised"])
    assert job.model.preprocess.mean == pytest.approx(old.preprocess.mean) and job.model.preprocess.resize == "keep"
    before, after = load_file(classified / "best.safetensors"), job.model.state_dict()
    learnt = [key for key in names["loaded"] if "running" not in key and "num_batches" not in key]
    assert len(learnt) > 10 and all(torch.equal(before[key], after[key]) for key in learnt)


@pytest.mark.parametrize("name", ["fcn", "c4"])
def test_the_same_task_and_classes_keep_the_head(name, tmp_path, undrawn):
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=4, val=2)
    train(data, tmp_path / "first", task, **settings | {"epochs": 1})
    more = {key: value for key, value in settings.items() if key != "head"}
    job, names = told(data, tmp_path / "again", task, weights=str(tmp_path / "first"), **more | STILL)
    assert not names["re-initialised"] and not names["ignored"]
    assert job.model.form == weights.read_header(tmp_path / "first/best.safetensors").head
    other = TASKS[task].heads[0]
    job, names = told(data, tmp_path / "other", task, weights=str(tmp_path / "first"), **more | STILL | {"head": other})
    assert other in job.model.form.values() and names["re-initialised"]


LAST = {
    "unet": ["head.logits."],
    "deeplabv3": ["head.logits."],
    "c4": ["head.roi_heads.box_predictor."],
    "masks": ["head.roi_heads.box_predictor.", "head.roi_heads.mask_predictor.mask_fcn_logits."],
}


@pytest.mark.parametrize("name", LAST)
def test_for_other_classes_only_what_tells_them_apart_is_new(name):
    """Even where they are as many."""
    task, _, settings = KINDS[name]
    form = TASKS[task].form(zoo.get("resnet20_cifar"), Recipe(task=task, **settings), {})
    one, two, same = (
        hub.create_model("resnet20_cifar", depths=(1, 1, 1), width=8, task=task, labels=labels, form=form)
        for labels in ("ab", "cd", "ab")
    )
    opened = Opened(Path("m.safetensors"), one.header, one.state_dict())
    anew = hub.transfer(two, opened)["re-initialised"]
    assert all(key.startswith(tuple(LAST[name])) for key in anew)
    assert all(any(key.startswith(part) for key in anew) for part in LAST[name])
    assert not hub.transfer(same, opened)["re-initialised"]


@pytest.mark.parametrize("name", ["unet", "pyramid"])
def test_a_frozen_trunk_stays_as_it_is_and_the_head_learns(name, classified, tmp_path, undrawn):
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=4, val=2)
    common = settings | {"weights": str(classified), "freeze": "trunk"}
    job, names = told(data, tmp_path / "run", task, **common, epochs=1)
    before, after = load_file(classified / "best.safetensors"), job.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in names["loaded"]), "statistics of norms too"
    still, _ = told(data, tmp_path / "still", task, **common | STILL)
    learnt = [key for key, value in still.model.named_parameters() if not torch.equal(value, after[key])]
    assert len(learnt) > 5 and all(key.startswith("head.") for key in learnt)


# --- refused -------------------------------------------------------------------------------------------------------------

REFUSED = [
    ("unet", {"mixup": 0.2}, "mixup=0.2: the task segment cannot use it; leave it out"),
    ("pyramid", {"cutmix": 1.0}, "cutmix=1: the task detect cannot use it"),
    ("unet", {"random_erase": 0.5}, "random_erase=0.5: the task segment cannot use it"),
    ("pyramid", {"auto_augment": "randaugment"}, "auto_augment=randaugment: the task detect cannot use it"),
    ("unet", {"crop": "resized"}, "crop=resized: the task segment cannot use it"),
    ("pyramid", {"cache": "memory"}, "cache=memory: the task detect cannot use it"),
    ("unet", {"grow_from": 0.5}, "grow_from=0.5: the task segment cannot use it"),
    ("unet", {"normalise": "pixel"}, "normalise=pixel: the task segment cannot use it"),
    ("unet", {"balance": "sampler"}, "balance=sampler: the task segment cannot use it"),
    ("pyramid", {"balance": "loss"}, "balance=loss: the task detect cannot use it"),
    ("pyramid", {"smoothing": 0.1}, "smoothing=0.1: the task detect cannot use it"),
    ("pyramid", {"ignore_index": 3}, "ignore_index=3: the task detect cannot use it"),
    ("unet", {"masks": True}, "masks=True: the task segment cannot use it"),
    ("unet", {"folds": 3, "fold": 1}, "folds=3: the task segment cannot use it"),
    ("unet", {"loss": "bce"}, r"loss=bce: the task segment has ce, dice, ce\+dice, focal; use one of these"),
    ("pyramid", {"loss": "dice"}, "loss=dice: the task detect has ce; use"),
    ("unet", {"resize": "crop"}, "resize=crop: the task segment takes shorter, keep; use one of these"),
    ("unet", {"resize": "keep", "img_size": 32}, "resize=shorter and img_size go together"),
    ("unet", {"resize": "shorter"}, "resize=shorter and img_size go together"),
    ("unet", {"head": "pyramid"}, "head=pyramid: the task segment has unet, fcn, deeplabv3; use one of these"),
    ("pyramid", {"head": "unet"}, "head=unet: the task detect has pyramid, c4; use one of these"),
    ("unet", {"head": "segformer"}, "head='segformer': use one of unet"),
    ("unet", {"model": "torchvision/resnet18"}, "no network is called 'torchvision/resnet18'"),
    ("unet", {"ignore_index": 300}, "ignore_index=300: give at most 255"),
    ("unet", {"class_names": "a,b"}, "classes are 'a', 'b'"),
    ("pyramid", {"class_names": "cat"}, "dog"),
    ("pyramid", {"masks": True}, "Pascal VOC's xml holds no masks; for Mask R-CNN give"),
    ("unet", {"num_classes": 2}, "num_classes=2, and the data has 3 classes"),
    ("unet", {"dims": 3}, "dims=3: pictures have 2 spatial axes"),
    ("unet", {"task": "detect"}, "not a layout that is known; give one of: Pascal VOC"),
    ("pyramid", {"task": "segment"}, "not a layout that is known; give one of: .*masks"),
    ("unet", {"task": "embed"}, "there is no task 'embed'"),
    ("unet", {"batch_size": 1}, "batch_size=1: batch norm cannot learn"),
    ("unet", {"freeze": "trunk"}, "random weights would stay; give --weights"),
    ("unet", {"scales": "0.01"}, "give shares from 0.1 to 10"),
]


def test_data_without_a_training_split_is_refused(tmp_path):
    data = segments(tmp_path / "data", val=2, test=1)
    with pytest.raises(InputError, match="no training split here; it has val, test"):
        train(data, tmp_path / "run", "segment")
    assert not (tmp_path / "run").exists()


def test_eval_finds_the_split_that_was_cut_though_the_model_has_more_classes(tmp_path, undrawn):
    data = segments(tmp_path / "data", train=8)
    train(data, tmp_path / "run", "segment", epochs=1, num_classes=5)
    again = evaluation.evaluate(tmp_path / "run", str(data), split="val", device="cpu")
    (row,) = RunDir(tmp_path / "run").read_metrics()
    assert again["num_images"] == 1 and again["miou"] == pytest.approx(row["val_miou"], abs=1e-5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folders")
    return {make: make(folder / make.__name__, train=3, val=2) for make in (segments, boxed)}


@pytest.mark.parametrize(("name", "settings", "said"), REFUSED, ids=range(len(REFUSED)))
def test_refused_with_a_reason_and_without_a_folder(name, settings, said, folders, tmp_path):
    task, make, _ = KINDS[name]
    with pytest.raises(InputError, match=said):
        train(folders[make], tmp_path / "run", **{"task": task} | settings)
    assert not (tmp_path / "run").exists()


def test_other_commands_say_that_they_are_for_classifiers(folders, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = ("background", "cell", "wall")
    net = resnets.create_model("resnet20_cifar", depths=(1, 1, 1), width=8, task="segment", labels=labels)
    file = resnets.save(net, tmp_path / "m.safetensors")
    for words, said in (
        (["export", file, "--format", "onnx"], "is for the task segment, and this works for classification only"),
        (["convert", file, "-o", tmp_path / "t.pth", "--to", "torchvision"], "only classifiers go to torchvision"),
        (["predict", file, tmp_path, "--runtime", "onnxruntime"], "the task segment runs in torch only"),
        (["eval", file, folders[segments], "--runtime", "openvino"], "the task segment runs in torch only"),
        (["eval", file, folders[boxed]], "not a layout that is known"),
        (["eval", file, folders[segments], "--split", "test"], "has no test split; it has: train, val"),
        (["train", folders[segments], "--task", "segment", "--folds", 3], "folds=3: the task segment cannot use it"),
        (["train", "digits", "--task", "segment"], "digits: no such folder"),
        (["train", folders[segments], "--task", "segment", "--model", "torchvision/resnet18"], "and only classifies; the task"),
    ):  # fmt: skip
        code, out, err = command(*words)
        assert (code, out) == (2, "") and said in err and "Traceback" not in err, err
    assert not list(tmp_path.glob("runs*")) and not (tmp_path / "t.pth").exists()


@pytest.mark.parametrize("make", [segments, boxed], ids=lambda make: make.__name__)
def test_preview_shows_training_pictures_with_what_is_known_of_them(folders, command, tmp_path, make):
    task = "segment" if make is segments else "detect"
    code, out, err = command("data", "preview", folders[make], "--task", task, "--out", tmp_path / "seen.png")
    assert code == 0 and out.strip() == str(tmp_path / "seen.png"), err
    with Image.open(tmp_path / "seen.png") as image:
        assert image.width > 300 and len(image.convert("RGB").getcolors(1 << 24) or ()) > 10


def test_several_processes_do_not_detect(folders, tmp_path, monkeypatch):
    """Its losses need targets, and what joins processes begins with a step of no picture."""
    with pytest.raises(InputError, match="the task detect trains in one process, so far; start it without torchrun"):
        training.prepare(str(folders[boxed]), out=tmp_path / "run", processes=Processes(0, 2), task="detect", **TINY)
    assert not (tmp_path / "run").exists()


# --- several processes -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_segment_as_one_does_with_their_pictures_together(tmp_path, undrawn):
    """Of pictures with as many known pixels each: a mean over pixels is then that over pictures. 8 in batches of 4."""
    data = segments(tmp_path / "data", train=8, val=3)
    same = TINY | {"loss": "ce", "scales": "1", "jitter": 0.0, "opt": "sgd", "lr": 0.05}
    train(data, tmp_path / "one", "segment", **same | {"batch_size": 4})
    words = ["-m", "resnets", "train", data, "--out", "two", *flags(same | {"task": "segment"})]
    ended = torchrun(2, *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for one, two in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert [float(one[name]) for name in SHARED] == pytest.approx([float(two[name]) for name in SHARED], abs=2e-3)
    assert largest_difference(tmp_path / "one", tmp_path / "two", "last.safetensors") < 1e-3
    assert json.loads((tmp_path / "two/evaluation.json").read_text())["num_images"] == 3


SHARED = ("step", "lr", "train_loss", "train_miou", "val_miou", "val_dice")


@pytest.mark.parametrize(
    ("side", "settings", "strides"),
    [
        (360, {}, (2, 32)),  # a stem that keeps every pixel of large pictures gets a stride
        (360, {"stem_stride": 1}, (1, 32)),
        (360, {"img_size": 64}, (None, 32)),
        (64, {}, (None, 32)),
        (64, {"head": "deeplabv3"}, (None, 8)),  # reads the last level alone, which must not be coarse
        (64, {"head": "fcn", "output_stride": 16}, (None, 16)),
    ],
    ids=str,
)
def test_strides_suit_the_pictures_and_the_head(side, settings, strides, tmp_path):
    data = segments(tmp_path / "data", size=(side, side), train=2, val=1)
    train(data, tmp_path / "run", "segment", epochs=1, **settings)
    spec = resnets.load(tmp_path / "run").spec
    assert (spec.stem_stride, spec.output_stride) == strides
    origins = settle({"flag": {"data": str(data), "task": "segment"} | TINY | settings}, None).origins
    for name, stride in zip(("stem_stride", "output_stride"), strides, strict=True):
        assert origins[name] == ("flag" if name in settings else "default" if stride in (None, 32) else "the task")
    kept = Recipe(**read_file(tmp_path / "run" / "recipe.yaml"))
    assert kept.stem_stride == strides[0] and kept.output_stride == (None if strides[1] == 32 else strides[1])


def test_a_trunk_under_its_own_head_keeps_its_strides(tmp_path):
    small, large = (segments(tmp_path / str(side), size=(side, side), train=2, val=1) for side in (64, 360))
    train(small, tmp_path / "first", "segment", epochs=1)
    train(large, tmp_path / "next", "segment", epochs=1, weights=str(tmp_path / "first"), model="auto", depths=None, width=None)
    assert resnets.load(tmp_path / "next").spec.stem_stride is None
