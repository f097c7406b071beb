"""Evaluating: the split that was meant, classes by name, and the number that training saw."""

import csv
import json

import pytest
import torch
from PIL import Image

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.model import Model
from resnets.ship import hub
from resnets.verbs.evaluate import evaluate, summary
from resnets.verbs.train import train

SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4)
FAST = {
    "model": "resnet20_cifar",
    "depths": (1, 1, 1),
    "width": 4,
    "img_size": 8,
    "batch_size": 8,
    "workers": 0,
    "device": "cpu",
}
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (20, 40, 210)}


def picture(path, colour, n=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), tuple(max(0, value - 4 * n) for value in colour)).save(path)


def colours(root, split="", num=10, names=tuple(COLOURS)):
    for name in names:
        for n in range(num):
            picture(root / split / name / f"{n}.png", COLOURS[name], n)
    return root


def model(labels=("blue", "green", "red")):
    torch.manual_seed(0)
    spec = zoo.change(SPEC, num_classes=len(labels))
    return hub.create_model(spec, labels=labels, preprocess=Preprocess(size=(8, 8), crop_pct=1.0)).eval()


def exact(model: Model):
    """A model whose answer is the channel with the most light: red, green or blue."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.forward = lambda x: 50 * x.mean((2, 3)).flip(1)  # type: ignore[method-assign]  # in the order blue, green, red
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a folder without splits, so that its validation split was cut: (folder, run)."""
    root = tmp_path_factory.mktemp("trained")
    colours(root / "colours")
    run = train(str(root / "colours"), out=root / "run", epochs=3, precision="float32", val_fraction=0.3, num_classes=5, **FAST)
    return root / "colours", run.path


def last_row(run):
    """metrics.csv at the epoch whose weights are in best.safetensors."""
    epoch = hub.load(run).metadata["metrics"]["epoch"]
    with (run / "metrics.csv").open(newline="") as file:
        return next(row for row in csv.DictReader(file) if int(row["epoch"]) == epoch)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- which split -----------------------------------------------------------------------------------------------------


def test_the_validation_split_that_was_cut_gives_the_number_of_training(trained):
    """Also where outputs were added for classes without pictures, which changes the labels but not the data."""
    data, run = trained
    row, result = last_row(run), evaluate(run, str(data), split="val", workers=0)
    assert (result["split"], result["num_images"]) == ("val", 9)
    assert result["top1"] == pytest.approx(float(row["val_top1"]), abs=1e-6)
    assert result["loss"] == pytest.approx(float(row["val_loss"]), abs=2e-6)
    assert evaluate(run, str(data), workers=0)["split"] == "val"  # the default: no test split, so val
    assert evaluate(run, str(data), split="train", workers=0)["num_images"] == 21


def test_other_data_is_not_cut(trained, tmp_path):
    _, run = trained
    colours(tmp_path / "colours", num=4)
    (tmp_path / "colours/loose.heic").touch()
    result = evaluate(run, str(tmp_path / "colours"), workers=0)
    assert result["num_images"] == 12 and result["data_notes"][0].startswith("1 file left out: 1 .heic (loose.heic)")
    with pytest.raises(InputError, match=r"no val split; it has: train"):
        evaluate(run, str(tmp_path / "colours"), split="val", workers=0)


@pytest.mark.parametrize(
    "splits, chosen", [(("train", "val", "test"), "test"), (("train", "val"), "val"), (("train",), "train")]
)
def test_the_default_split(splits, chosen, tmp_path):
    for number, split in enumerate(splits, start=1):
        colours(tmp_path / "data", split, num=number)
    result = evaluate(model(), str(tmp_path / "data"), workers=0)
    assert (result["split"], result["num_images"]) == (chosen, 3 * len(splits))


# --- classes by name -------------------------------------------------------------------------------------------------


def test_missing_classes_are_matched_by_name(tmp_path):
    """Of three classes two are there; their positions in the folder are not those of the model."""
    whole = evaluate(exact(model()), str(colours(tmp_path / "all", num=5)), workers=0)
    part = evaluate(exact(model()), str(colours(tmp_path / "part", num=5, names=("red", "green"))), workers=0)
    assert whole["top1"] == part["top1"] == 1.0
    assert [row["support"] for row in part["per_class"]] == [0, 5, 5]
    assert part["confusion"] == [[0, 0, 0], [0, 5, 0], [0, 0, 5]]
    assert part["labels"] == ["blue", "green", "red"] and part["macro_f1"] == 1.0


def test_one_class_alone_and_a_test_split_alone(tmp_path):
    assert evaluate(exact(model()), str(colours(tmp_path / "one", num=2, names=("red",))), workers=0)["top1"] == 1.0
    assert evaluate(exact(model()), str(colours(tmp_path / "test", "test", num=2)), workers=0)["num_images"] == 6


def test_a_class_that_the_model_does_not_know(tmp_path):
    data = colours(tmp_path / "data", num=2)
    with pytest.raises(InputError, match="does not know 'red'"):
        evaluate(model(("blue", "green")), str(data), workers=0)


# --- the result ------------------------------------------------------------------------------------------------------


def test_fractions_counts_and_names(tmp_path):
    data = colours(tmp_path / "data", num=4)
    result = evaluate(exact(model()), str(data), workers=0)
    assert {"model", "data", "split", "num_images", "loss", "top1", "top5", "top1_interval", "ece", "per_class"} <= set(result)
    low, high = result["top1_interval"]
    assert 0 <= low < result["top1"] == result["top5"] == 1.0 == high
    assert json.loads(json.dumps(result)) == result
    figures = summary(result)
    assert figures["top1"] == 1.0 and "confusion" not in figures and "per_class" not in figures


def test_batches_and_workers_change_nothing(tmp_path):
    data, net = str(colours(tmp_path / "data", num=5)), model()
    results = [evaluate(net, data, batch_size=batch, workers=workers) for batch, workers in ((256, 0), (4, 0), (4, 2))]
    for result in results[1:]:
        assert result["confusion"] == results[0]["confusion"]
        assert result["loss"] == pytest.approx(results[0]["loss"], rel=1e-5)


def test_bad_pictures_are_counted_and_named(tmp_path):
    data = colours(tmp_path / "data", num=4)
    (data / "red/0.png").write_text("no picture")
    result = evaluate(exact(model()), str(data), workers=0)
    assert result["num_images"] == 11 and result["top1"] == 1.0
    assert list(result["bad_images"]) == [str(data / "red/0.png")]
    with pytest.raises(InputError, match="--max-bad allows 0"):
        evaluate(model(), str(data), workers=0, max_bad=0)


def test_out_has_the_result_and_the_drawings(tmp_path):
    """The drawing of errors shows the pictures that were wrong, though a bad one stands before them."""
    data = colours(tmp_path / "data", num=3)
    (data / "blue/0.png").write_text("no picture")
    result = evaluate(model(), str(data), workers=0, out=tmp_path / "out")
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["confusion"] == result["confusion"]
    assert names(tmp_path / "out") == ["evaluation.json", "plots", "predictions.csv"]
    assert names(tmp_path / "out/plots") == ["confusion.png", "errors.png", "reliability.png"]


@pytest.mark.parametrize("dims", [1, 3])
def test_a_model_for_other_inputs_is_refused(dims, tmp_path):
    with pytest.raises(InputError, match=f"{dims} spatial axes"):
        evaluate(hub.create_model(SPEC, dims=dims), "digits")
