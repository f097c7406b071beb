"""A linear probe: scikit-learn's classifier on the trunk's features, in the head of an ordinary model."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from resnets import create_model, save
from resnets.data.preprocess import Preprocess
from resnets.engine.distributed import Processes
from resnets.errors import InputError
from resnets.ship import hub
from resnets.ship.sessions import open_session
from resnets.tasks import get
from resnets.verbs import evaluate as evaluation
from resnets.verbs import probe
from resnets.verbs.features import Features, reversed_of
from resnets.verbs.probe import fitted, measure
from resnets.verbs.train import train

MACHINE = {"workers": 0, "device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    eighth = Preprocess(size=(8, 8), crop_pct=1.0)
    model = create_model("resnet20_cifar", depths=(1, 1, 1), width=8, num_classes=5, preprocess=eighth)
    return str(save(model, tmp_path_factory.mktemp("base") / "base.safetensors"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three classes by colour, so that any features tell them apart."""
    random, found = np.random.default_rng(0), {}
    for split, num in (("train", 36), ("val", 12), ("test", 9)):
        labels = np.arange(num) % 3
        pixels = random.integers(0, 100, (num, 8, 8, 3), dtype=np.uint8)
        pixels[np.arange(num), :, :, labels] += 120
        found |= {f"{split}_images": pixels, f"{split}_labels": labels}
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, **found)
    return str(path)


@pytest.fixture(scope="module")
def run(base, data, tmp_path_factory):
    said = []
    watcher = SimpleNamespace(say=said.append, step=lambda *of: None, epoch=lambda *of: None)
    run = train(data, weights=base, probe=True, out=tmp_path_factory.mktemp("p") / "run", reporter=watcher, **MACHINE)
    return SimpleNamespace(run=run, path=run.path, said=said)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_head_is_scikit_learns_pipeline(num_classes):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    values, targets = random.normal(3, 10, (60, 7)), np.arange(60) % num_classes
    values[:, 6] = 1.0  # a feature that is always the same
    head = fitted(Features(values, targets, np.arange(60)), 0.3, num_classes)
    wanted = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000)).fit(values, targets)
    new = random.normal(3, 10, (20, 7))
    found = torch.from_numpy(head.logits(new)).softmax(1).numpy()
    np.testing.assert_allclose(found, wanted.predict_proba(new), rtol=1e-6, atol=1e-9)


def test_a_class_without_training_pictures_is_never_the_answer():
    random = np.random.default_rng(0)
    targets = np.arange(30) % 2 * 2  # classes 0 and 2 of four
    head = fitted(Features(random.normal(0, 1, (30, 4)), targets, np.arange(30)), 1.0, 4)
    assert set(head.logits(random.normal(0, 50, (200, 4))).argmax(1)) == {0, 2}


def test_one_class_alone_is_refused():
    with pytest.raises(InputError, match="fewer than two classes have training pictures that can be read"):
        fitted(Features(np.ones((4, 2)), np.zeros(4, int), np.arange(4)), 1.0, 3)


def test_each_label_has_scikit_learns_classifier():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    values, targets = random.normal(3, 10, (60, 5)), random.integers(0, 2, (60, 4)).astype(np.float32)
    targets[:, 2], targets[:, 3] = 0, 1  # of which nothing can be learnt
    head, new = fitted(Features(values, targets, np.arange(60)), 0.3, 4), random.normal(3, 10, (20, 5))
    found = torch.from_numpy(head.logits(new)).sigmoid().numpy()
    for label in (0, 1):
        wanted = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000)).fit(values, targets[:, label])
        np.testing.assert_allclose(found[:, label], wanted.predict_proba(new)[:, 1], rtol=1e-6, atol=1e-9)
    assert (found[:, 2] == 0).all() and (found[:, 3] == 1).all()


def test_tags_have_a_probe_too(base, tmp_path):
    random, rows = np.random.default_rng(0), ["path,red,green,split"]
    for number in range(60):
        there = random.integers(0, 2, 2)
        pixels = random.integers(0, 100, (8, 8, 3), np.uint8)
        pixels[..., :2] += (120 * there).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{there[0]},{there[1]},{('train', 'train', 'val', 'test')[number % 4]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    run = train(str(tmp_path / "list.csv"), task="tag", weights=base, probe=True, out=tmp_path / "run", **MACHINE)
    assert run.result["map"] > 0.95
    with (run.path / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert evaluation.evaluate(run.path, str(tmp_path / "list.csv"), split="val")["map"] == pytest.approx(
        float(row["val_map"]), abs=1e-6
    )


def test_it_is_an_ordinary_run(run, base, data):
    files = sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file())
    assert files == [
        "best.safetensors", "evaluation.json", "last.safetensors", "metrics.csv", "metrics.jsonl",
        "plots/confusion.png", "plots/curves.png",
        "plots/reliability.png", "predictions.csv", "provenance.json", "recipe.yaml", "report.html",
        "slices.json",
    ]  # fmt: skip
    old, new = load_file(base), load_file(run.path / "best.safetensors")
    assert all(torch.equal(old[name], new[name]) for name in old if not name.startswith("fc."))
    assert new["fc.weight"].shape == (3, 32)
    with (run.path / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    found = evaluation.evaluate(run.path, data, split="val")
    assert (found["top1"], found["loss"]) == (float(row["val_top1"]), pytest.approx(float(row["val_loss"]), abs=1e-5))
    assert run.run.result["split"] == "test" and run.run.result["top1"] == 1.0
    assert hub.load(run.path).labels == ("0", "1", "2")


def test_it_says_what_it_did(run):
    text = "\n".join(run.said)
    assert "learns   99 of " in text and "the head alone, on features computed once" in text
    assert "inputs   8 x 8, crop 1, bilinear; mean 0.485" in text and "not of this data" in text
    scores = json.loads((run.path / "provenance.json").read_text())["probe"]["scores"]
    assert list(scores) == ["0.001", "0.01", "0.1", "1", "10"]


@pytest.mark.slow
def test_of_the_penalties_the_best_on_validation_is_kept(run, base, data, tmp_path):
    scores = json.loads((run.path / "provenance.json").read_text())["probe"]["scores"]
    best = max(scores, key=lambda c: (scores[c]["top1"], -scores[c]["loss"]))
    other = next(c for c in scores if c != best)
    for penalty, same in ((best, True), (other, False)):
        train(data, weights=base, probe=True, probe_c=float(penalty), out=tmp_path / penalty, **MACHINE)
        pair = [load_file(path / "best.safetensors")["fc.weight"] for path in (run.path, tmp_path / penalty)]
        assert torch.equal(*pair) is same


def test_taken_up_again_it_gives_the_same(run):
    before = load_file(run.path / "best.safetensors")
    assert train(out=run.path, resume=True).result == run.run.result
    after = load_file(run.path / "best.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_mirrored_pictures_are_mirrored(base):
    session = open_session(hub.load(base))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    np.testing.assert_array_equal(reversed_of(session).run(pixels), session.run(np.ascontiguousarray(np.flip(pixels, 3))))


def test_a_mean_feature_of_many_is_measured_right():
    head = probe.Head(np.eye(2), np.zeros(2))
    task = get("classify")
    meter = task.meter(["a", "b"], {}, quick=task.criterion(task.settings(), np.array([2, 2])))
    four = Features(np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]]), np.array([0, 1, 1, 0]), np.arange(4))
    found = measure(meter, head, four)
    right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    assert found["top1"] == 0.75 and found["loss"] == pytest.approx((3 * right + wrong) / 4)


@pytest.mark.parametrize("settings", [{"probe": True}, {"probe": True, "weights": "gone.safetensors"}], ids=str)
def test_refused_without_weights(settings, data, tmp_path):
    with pytest.raises(InputError, match=r"probe=True: random weights would stay|no such file"):
        train(data, out=tmp_path / "run", **settings, **MACHINE)
    assert not (tmp_path / "run").exists()


def test_refused_in_several_processes():
    with pytest.raises(InputError, match="start it without torchrun"):
        probe.fit_head(SimpleNamespace(processes=Processes(0, 2, 0, 2)))
