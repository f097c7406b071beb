"""The loop: what ends a run, what it counts, and which weights are kept."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from resnets.data.batches.image_level import CPU
from resnets.data.transforms import to_input
from resnets.engine import loop, optim
from resnets.errors import InputError
from resnets.models import weights
from resnets.models.model import Model
from resnets.verbs import train as training
from tests.engine.made import TINY, arrays, rows

pytestmark = pytest.mark.usefixtures("undrawn")

# --- what ends a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save_every", [0, 1e9])
def test_a_loss_that_is_not_a_number_ends_the_run_with_a_remedy(save_every, data, tmp_path):
    settings = TINY | {"lr": 1e6, "epochs": 30, "sched": "constant", "save_every": save_every}
    with pytest.raises(
        InputError,
        match=r"(the loss is (nan|inf)|holds NaN or infinite values) at step \d+ .*"
        r"diverged; .*lower --lr \(say 1e\+05\).*--clip-grad",
    ):
        training.train(data, out=tmp_path / "run", **settings)


def test_the_last_good_state_stays(data, tmp_path, monkeypatch):
    take_step, broken = loop.take_step, 8

    def failing(job, state, group):
        loss = take_step(job, state, group)
        return loss * float("nan") if state.at.step == broken else loss

    monkeypatch.setattr(loop, "take_step", failing)
    with pytest.raises(InputError, match="the loss is nan at step 8"):
        training.train(data, out=tmp_path / "run", **TINY | {"save_every": 0})
    header = weights.read_tensors(tmp_path / "run/resume.safetensors")[1]
    assert header["position"]["step"] == 7
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run/best.safetensors").values())
    broken = 0
    training.train(out=tmp_path / "run", resume=True)
    assert rows(tmp_path / "run")[-1]["step"] == "15"


def test_weights_that_the_last_step_breaks_are_not_kept(data, tmp_path, monkeypatch):
    take_step, epochs = loop.take_step, 2

    def failing(job, state, group):
        loss = take_step(job, state, group)
        if state.at.step >= state.at.total_steps:
            next(job.model.parameters()).data[0] = float("nan")
        return loss

    monkeypatch.setattr(loop, "take_step", failing)
    with pytest.raises(InputError, match=r"conv1.weight holds NaN or infinite values at step \d+ .*diverged; .*lower --lr"):
        training.train(data, out=tmp_path / "run", **TINY | {"epochs": epochs})
    assert len(rows(tmp_path / "run")) == epochs - 1
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run/best.safetensors").values())


STALLED = {"lr": 0.0, "epochs": 3, "batch_size": 4, "stall_epochs": 2, "weight_decay": 0.0}


def test_a_run_that_does_not_learn_ends_with_likely_causes(tmp_path):
    data = arrays(tmp_path / "d.npz", num=200)
    with pytest.raises(
        InputError, match=r"after 2 epochs the training loss is .*guessing gives 1\.099.*learning rate.*--stall-epochs 0"
    ):
        training.train(str(data), out=tmp_path / "run", **TINY | STALLED)
    training.train(out=tmp_path / "run", resume=True, stall_epochs=0)
    assert len(rows(tmp_path / "run")) == 3


@pytest.mark.parametrize(
    "settings",
    [{"stall_epochs": 0}, {"loss": "bce"}, {"balance": "loss"}, {"epochs": 2}, {"batch_size": 8}],
    ids=["never", "other loss", "other weights", "over anyway", "few steps"],
)
def test_a_run_goes_on_where_guessing_says_nothing(settings, tmp_path):
    data = arrays(tmp_path / "d.npz", num=200)
    training.train(str(data), out=tmp_path / "run", **TINY | STALLED | settings)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_a_readable_picture_ends_the_run(split, tmp_path):
    from PIL import Image

    for part in ("train", "val"):
        for index in range(6):
            path = tmp_path / "f" / part / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), index).save(path)
    for path in (tmp_path / "f" / split).rglob("*.png"):
        path.write_bytes(b"")
    said = {"train": "training", "val": "validation"}[split]
    with pytest.raises(InputError, match=f"no picture of the {said} split can be read"):
        training.train(str(tmp_path / "f"), out=tmp_path / "run", **TINY | {"img_size": 8, "normalise": "imagenet"})


def test_one_readable_picture_ends_the_run_as_such(tmp_path):
    """Batch norm makes nothing of one alone."""
    from PIL import Image

    for part in ("train", "val"):
        for index in range(4):
            path = tmp_path / "f" / part / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), index).save(path)
    for path in sorted((tmp_path / "f" / "train").rglob("*.png"))[1:]:
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no batch has two training pictures that can be read, which batch norm needs"):
        training.train(str(tmp_path / "f"), out=tmp_path / "run", **TINY | {"img_size": 8, "normalise": "imagenet"})


# --- what it counts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"epochs": 2}, [5, 10]),
        ({"epochs": None, "steps": 7}, [5, 7]),
        ({"epochs": None, "steps": 5}, [5]),
        ({"epochs": None, "steps": 1}, [1]),
        ({"epochs": 2, "accumulate": 2}, [3, 6]),
        ({"epochs": 2, "batch_size": 7}, [5, 10]),
        ({"epochs": 1, "batch_size": 100}, [1]),
    ],
    ids=str,
)
def test_epochs_and_steps(settings, steps, data, tmp_path):
    told = []
    watcher = SimpleNamespace(
        say=print,
        step=lambda *of: None,
        epoch=lambda row, at, seconds: told.append((row["epoch"], at.step, at.finished, seconds > 0)),
    )
    training.train(data, out=tmp_path / "run", reporter=watcher, **TINY | settings)
    assert [(int(row["epoch"]), int(row["step"])) for row in rows(tmp_path / "run")] == list(enumerate(steps, start=1))
    assert told == [(epoch, step, step == steps[-1], True) for epoch, step in enumerate(steps, start=1)]


def test_a_row_an_epoch_with_the_columns_of_the_contract(data, tmp_path):
    training.train(data, out=tmp_path / "run", **TINY)
    found = rows(tmp_path / "run")
    assert ",".join(found[0]) == "epoch,step,lr,train_loss,train_top1,val_loss,val_top1,images_per_second,data_wait,seconds"
    assert all(np.isfinite(float(value)) for row in found for value in row.values())
    assert all(0 <= float(row[name]) <= 1 for row in found for name in ("train_top1", "val_top1", "data_wait"))
    assert [float(row["seconds"]) for row in found] == sorted(float(row["seconds"]) for row in found)


def test_the_rate_of_the_row_is_that_of_the_epochs_last_step(data, tmp_path):
    training.train(data, out=tmp_path / "run", **TINY | {"sched": "step", "milestones": "0.3,0.8", "lr": 1.0})
    assert [float(row["lr"]) for row in rows(tmp_path / "run")] == pytest.approx([1.0, 0.1, 0.01])


def test_sums_are_over_pictures_not_batches(data, tmp_path, monkeypatch):
    """The last batch of 4 weighs half of one of 8."""
    losses, take_step = [], loop.take_step

    def noted(job, state, group):
        losses.append((float(loss := take_step(job, state, group)), sum(len(batch.images) for batch in group)))
        return loss

    monkeypatch.setattr(loop, "take_step", noted)
    training.train(data, out=tmp_path / "run", **TINY | {"epochs": 1})
    mean = sum(loss * num for loss, num in losses) / 36
    assert [num for _, num in losses] == [8, 8, 8, 8, 4]
    assert float(rows(tmp_path / "run")[0]["train_loss"]) == pytest.approx(mean, abs=1e-5)


def test_accumulated_batches_are_one_step_of_their_mean(data, tmp_path, monkeypatch):
    """Without batch norm's statistics in the way: of two batches the gradient is the pictures' mean."""
    job = training.train(data, out=tmp_path / "run", **TINY | {"epochs": 1})
    job.model.eval()
    one, two = list(job.train.epoch(0))[-2:]
    assert (len(one.images), len(two.images)) == (8, 4)
    gradients = []
    for group in ([one, two], [type(one)(*(torch.cat(pair) for pair in zip(one[:3], two[:3], strict=True)))]):
        state = loop.start(job)
        monkeypatch.setattr(state.scaler, "step", lambda optimizer: None)
        monkeypatch.setattr(state.scaler, "update", lambda: None)
        loop.take_step(job, state, group)
        gradients.append([parameter.grad.clone() for parameter in job.model.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_pictures_grow_in_steps_of_the_stride(data, tmp_path, monkeypatch):
    sizes, features = [], Model.features

    def seeing(self, x):
        if self.training:
            sizes.append(tuple(x.shape[2:]))
        return features(self, x)

    monkeypatch.setattr(Model, "features", seeing)
    training.train(data, out=tmp_path / "run", **TINY | {"grow_from": 0.5, "epochs": 4})
    assert len(sizes) == 20 and sizes == sorted(sizes)
    assert set(sizes) == {(4, 4), (8, 8)} and sizes[12] == (4, 4) and sizes[13] == (8, 8)  # 65 % of 20 steps


def test_clip_grad_limits_the_norm(data, tmp_path, monkeypatch):
    norms = []
    step = optim.SGD.step

    def noted(self, *of, **by):
        norms.append(float(torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]]).norm()))
        return step(self, *of, **by)

    monkeypatch.setattr(optim.SGD, "step", noted)
    training.train(data, out=tmp_path / "one", **TINY)
    free = list(norms)
    norms.clear()
    training.train(data, out=tmp_path / "two", **TINY | {"clip_grad": 0.01})
    assert min(free) > 0.01 and max(norms) == pytest.approx(0.01, rel=1e-3)


def test_the_average_is_what_is_validated_and_kept(data, tmp_path):
    training.train(data, out=tmp_path / "plain", **TINY)
    training.train(data, out=tmp_path / "frozen", **TINY | {"ema": 1.0})  # an average that keeps its first value, after step 1
    training.train(data, out=tmp_path / "quick", **TINY | {"ema": 0.0})  # one that is the weights themselves
    plain, frozen, quick = (load_file(tmp_path / name / "last.safetensors") for name in ("plain", "frozen", "quick"))
    assert all(torch.allclose(plain[name].float(), quick[name].float()) for name in plain)
    assert not torch.allclose(plain["fc.weight"], frozen["fc.weight"])
    losses = {name: [row["val_loss"] for row in rows(tmp_path / name)] for name in ("plain", "frozen", "quick")}
    assert len(set(losses["frozen"])) == 1 and len(set(losses["plain"])) == 3 and losses["quick"] == losses["plain"]


@pytest.mark.parametrize(("kind", "chosen"), [("cpu", "double"), ("cuda", "double"), ("mps", "float")])
def test_sums_are_float64_where_the_device_has_it(kind, chosen):
    value = SimpleNamespace(device=torch.device(kind), float=lambda: "float", double=lambda: "double")
    assert loop.precise(value) == chosen


# --- which weights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "best"), [([0.5, 0.7, 0.7, 0.6], 3), ([0.9, 0.1, 0.2, 0.3], 1), ([0.1, 0.2, 0.3, 0.4], 4), ([0.0] * 4, 4)]
)
def test_best_is_the_highest_validation_and_of_equals_the_later(scores, best, data, tmp_path, monkeypatch):
    script, kept = iter(scores), []

    def validate(job, model, stop):
        kept.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"loss": 1.0, "top1": next(script)}

    monkeypatch.setattr(loop, "validate", validate)
    training.train(data, out=tmp_path / "run", **TINY | {"epochs": 4})
    for name, number in (("best", best), ("last", 4)):
        found = load_file(tmp_path / f"run/{name}.safetensors")
        assert all(torch.equal(found[key], kept[number - 1][key]) for key in found)
        header = weights.read_header(tmp_path / f"run/{name}.safetensors")
        assert header.metrics == {"epoch": number, "step": 5 * number, "val_loss": 1.0, "val_top1": scores[number - 1]}


def test_last_is_written_at_the_end_only(data, tmp_path, monkeypatch):
    there = []
    validate = loop.validate
    monkeypatch.setattr(loop, "validate", lambda job, *of: there.append(job.run.last.exists()) or validate(job, *of))
    training.train(data, out=tmp_path / "run", **TINY)
    assert there == [False] * 3 and (tmp_path / "run/last.safetensors").exists()


def test_the_test_split_changes_nothing_of_a_run(tmp_path):
    for name, num in (("one", 9), ("two", 30)):
        training.train(str(arrays(tmp_path / f"{name}.npz", test=num)), out=tmp_path / name, **TINY)
    for file in ("best", "last"):
        one, two = (load_file(tmp_path / name / f"{file}.safetensors") for name in ("one", "two"))
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert [row["val_loss"] for row in rows(tmp_path / "one")] == [row["val_loss"] for row in rows(tmp_path / "two")]


def test_validation_is_without_smoothing_and_weights_and_in_evaluation_mode(data, tmp_path):
    job = training.train(data, out=tmp_path / "run", **TINY | {"smoothing": 0.5, "balance": "loss", "epochs": 1})
    pixels = torch.cat([batch.images for batch in job.val.epoch(0)])
    targets = torch.arange(12) % 3
    with torch.no_grad():
        outputs = job.model.eval()(to_input(pixels, job.model.preprocess, CPU))
    found = loop.validate(job, job.model, [])
    assert found["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(outputs, targets)), abs=1e-6)
    assert found["top1"] == pytest.approx(float((outputs.argmax(1) == targets).float().mean()))


@pytest.mark.slow
def test_a_compiled_network_trains_the_same(data, tmp_path):
    training.train(data, out=tmp_path / "plain", **TINY)
    training.train(data, out=tmp_path / "compiled", **TINY | {"compile": True})
    plain, compiled = rows(tmp_path / "plain"), rows(tmp_path / "compiled")
    assert [float(row["train_loss"]) for row in compiled] == pytest.approx(
        [float(row["train_loss"]) for row in plain], abs=1e-2
    )
    assert set(load_file(tmp_path / "compiled/last.safetensors")) == set(load_file(tmp_path / "plain/last.safetensors"))


def test_a_run_of_single_pictures(data, tmp_path):
    """Without batch norm, every picture is a step."""
    training.train(data, out=tmp_path / "run", **TINY | {"batch_size": 1, "norm": "none", "epochs": 1, "lr": 0.001})
    assert [row["step"] for row in rows(tmp_path / "run")] == ["36"]


def test_of_no_image_there_is_no_loss_but_a_gradient():
    """As a process has whose images cannot be read, of a network with several outputs too."""
    weight = torch.ones(3, requires_grad=True)
    for made in (lambda one: one, lambda one: (one, one), lambda one: (one, [one, one]), lambda one: (one, [])):
        weight.grad = None
        found = loop.nothing(made(torch.empty(0, 3) * weight))
        found.backward()
        assert found == 0 and weight.grad.tolist() == [0, 0, 0]
