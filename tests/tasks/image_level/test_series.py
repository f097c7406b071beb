"""Series from the data to the exported file: trained, resumed, evaluated, predicted, explained, exported, drawn and checked."""

import csv

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import resnets
from resnets.cli.main import cli
from resnets.data.check import check
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.data.transforms import to_input
from resnets.engine.plan import settle
from resnets.errors import InputError
from resnets.ship.formats import FORMATS
from resnets.ship.graph import program
from resnets.ship.sessions import open_session
from resnets.tasks import get
from resnets.tasks.image_level.series import length_of
from resnets.verbs.embed import embed
from resnets.verbs.evaluate import evaluate
from resnets.verbs.explain import explain
from resnets.verbs.export import export
from resnets.verbs.predict import predict
from resnets.verbs.preview import preview
from resnets.verbs.train import prepare, train
from tests.data.series.made import bumps, save_npz, save_wav, ts
from tests.engine.running import assert_same, says_no_pictures, stopping

NARROW = {"width": 4, "batch_size": 4, "workers": 0, "device": "cpu", "precision": "float32", "seed": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_npz(tmp_path_factory.mktemp("series") / "bumps.npz", train=24, test=9, chans=2)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(str(data), out=tmp_path_factory.mktemp("run") / "run", epochs=4, **NARROW)


def test_the_network_and_the_inputs_follow_from_the_data(run):
    header = run.model.header
    assert (header.spec.name, header.spec.dims, header.spec.in_chans, header.task) == ("resnet10_wang", 1, 2, "classify")
    assert header.preprocess.size == (32,) and header.preprocess.resize == "squash" and len(header.preprocess.mean) == 2
    assert (run.path / "report.html").is_file() and (run.path / "plots" / "confusion.png").is_file()
    assert run.result["images"] == "series" and says_no_pictures(run)


def test_a_resumed_run_has_the_same_bits(data, run, tmp_path):
    with stopping(step=7):
        train(str(data), out=tmp_path / "run", epochs=4, **NARROW)
    train(out=tmp_path / "run", resume=True)
    assert_same(run.path, tmp_path / "run")


def test_evaluated_and_predicted_alike(data, run):
    result = evaluate(run.path, str(data), workers=0)
    assert result["top1"] == run.result["top1"] and result["num_images"] == 9
    rows = list(predict(run.path, str(data), workers=0))
    assert len(rows) == 33 and rows[24]["path"] == f"{data} test[0]"
    (x, y), model = bumps(9, chans=2, seed=1), resnets.load(run.path)
    assert [row["label"] for row in model.predict(x)] == [row["label"] for row in rows[24:]]
    assert np.mean([row["label"] == str(label) for row, label in zip(rows[24:], y, strict=True)]) == result["top1"]
    with (run.path / "predictions.csv").open() as file:
        assert next(row["path"] for row in csv.DictReader(file) if row["split"] == "test") == "test[0]"


def test_a_ts_file_is_of_series_here_and_videos_are_refused(run, tmp_path):
    x, _ = bumps(2, chans=2)
    path = ts(tmp_path / "new.ts", x, ["0", "1"])
    found = [row["label"] for row in predict(run.path, path, workers=0)]
    assert (
        found
        == [row["label"] for row in run.model.predict(torch.from_numpy(x))]
        == [row["label"] for row in run.model.predict(str(path))]
    )
    for given in (tmp_path / "a.mp4", x):
        with pytest.raises(InputError, match="the model takes series, which are read from files; give paths"):
            list(predict(run.path, given, workers=0))


def test_a_file_that_cannot_be_read_is_a_row(run, tmp_path):
    for name, text in {"a.csv": "1,2\n3,4\n", "b.csv": "1,2,3\n4,5,6\n", "c.ts": "nothing\n"}.items():
        (tmp_path / name).write_text(text)
    rows = list(predict(run.path, [tmp_path / name for name in ("a.csv", "b.csv", "c.ts")], workers=0))
    assert "label" in rows[0] and "3 channels, and 2 are wanted" in rows[1]["error"] and "@data" in rows[2]["error"]


def test_predict_and_embed_go_on_where_they_were(run, data, tmp_path):
    out = tmp_path / "rows.csv"
    command = ["predict", str(run.path), str(data), "--out", str(out), "-j", "0"]
    CliRunner().invoke(cli, command, catch_exceptions=False)
    whole = out.read_text()
    out.write_text("".join(whole.splitlines(keepends=True)[:10]))
    CliRunner().invoke(cli, [*command, "--resume"], catch_exceptions=False)
    assert out.read_text() == whole and whole.count("\n") == 34
    assert embed(run.path, [str(data)], tmp_path / "a.npz", workers=0)["num_images"] == 33


def test_explained_by_a_map_over_time(run, tmp_path):
    report = explain(run.path, num=2, out=tmp_path, device="cpu")
    assert (tmp_path / "explain.html").is_file() and len(list(tmp_path.glob("000*.png"))) == 2
    (found,) = explain(run.model, [bumps(1, chans=2)[0][0]]).explanations
    assert found.values.shape == (32,) and found.positions == (32,) and 0 <= found.values.min() <= found.values.max() == 1
    assert report.rows[0]["answers"][0]["label"] in ("0", "1")


def test_other_data_is_refused(run, tmp_path, data):
    with pytest.raises(InputError, match="digits: the model does not know"):
        evaluate(run.path, "digits")
    with pytest.raises(InputError, match="series of 1 channels, and the model takes 2"):
        evaluate(run.path, str(save_npz(tmp_path / "a.npz")))


def test_loaders_of_ones_own_have_the_batches_of_training(data, tmp_path):
    settings = {**NARROW, "epochs": 1, "normalise": "data", "jitter": 0.1}
    job, plan = prepare(str(data), out=tmp_path / "run", **settings)
    found = resnets.loaders(bumps(24, chans=2), dims=1, **settings)
    for (x, y), batch in zip(found.train, job.train.epoch(0), strict=True):
        assert torch.equal(x, batch.images) and torch.equal(y, batch.targets)
    (inputs, _), batch = next(iter(found.val)), next(iter(job.val.epoch(0)))
    assert torch.equal(inputs, to_input(batch.images, plan.preprocess, torch.device("cpu")))


def test_folds_put_train_and_val_together(tmp_path):
    (x, y), (x_val, y_val) = bumps(20), bumps(10, seed=1)
    plan = planned("arrays", {"train": (x, y), "val": (x_val, y_val)}, dims=1, folds=3, fold=1)
    assert {name: len(split) for name, split in plan.source.splits.items()} == {"train": 20, "val": 10}
    assert {plan.source.splits["train"].images.name(at).partition("[")[0] for at in range(20)} == {"train", "val"}


# --- exported ---


@pytest.mark.parametrize(
    ("format", "suffix"), [("onnx", ".onnx"), pytest.param("openvino", ".xml", marks=pytest.mark.slow), ("torch", ".pt2")]
)
def test_exported_files_agree(run, tmp_path, format, suffix):
    result = export(run.path, format=format, out=tmp_path / f"model{suffix}", data_dir=tmp_path)
    assert result["equal"] == 1 and result["largest_difference"] < 1e-4 and "val split" in result["pictures"]


def test_a_page_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="a page takes pictures, and the model inputs with 1 spatial axes"):
        export(run.path, format="html", out=tmp_path / "a.html")


def test_a_graph_takes_raw_values_of_any_length_each_normalised_by_itself(tmp_path):
    model = resnets.create_model("resnet10_wang", width=4).eval()
    rule = {"size": (40,), "resize": "squash", "crop_pct": 1.0, "mean": (0.0,), "std": (1.0,), "each": True}
    model.preprocess = Preprocess(**rule)
    x = 100 + 5 * np.random.default_rng(0).normal(size=(3, 1, 40)).astype(np.float32)
    FORMATS["torch"].write(program(model), tmp_path / "a.pt2", model.header, None)
    session = open_session(tmp_path / "a.pt2")
    np.testing.assert_allclose(session.run(x), open_session(model).run(x), atol=1e-4)
    np.testing.assert_allclose(session.run(x[..., :21]), open_session(model).run(x[..., :21]), atol=1e-4)


# --- settings ---


def planned(data, given=None, **settings):
    return settle(get(settings.pop("task", "classify")), {"flag": {"data": str(data), **settings}}, None, data=given)


def test_settings_of_pictures_are_refused_and_those_of_series_for_pictures(data):
    for name, value in {
        "crop": "resized",
        "auto_augment": "randaugment",
        "cutmix": 1.0,
        "train_size": 8,
        "interpolation": "bicubic",
    }.items():
        with pytest.raises(InputError, match=f"{name}=.*these are series"):
            planned(data, **{name: value})
    for name, value in {"jitter": 0.1, "scaling": 0.1, "window_warp": 0.5}.items():
        with pytest.raises(InputError, match=f"{name}=.*these are pictures"):
            planned("digits", **{name: value})
    for settings, words in (({"normalise": "pixel"}, "normalise=pixel"), ({"resize": "crop"}, "resize=crop")):
        with pytest.raises(InputError, match=words):
            planned(data, **settings)
    with pytest.raises(InputError, match="normalise=each"):
        planned("digits", normalise="each")


def test_length_normalisation_and_network_by_settings(data):
    plan = planned(data, img_size=50, normalise="each", resize="pad", model="resnet18")
    assert plan.preprocess.size == (50,) and plan.preprocess.each and plan.preprocess.resize == "pad"
    assert (plan.spec.name, plan.spec.dims) == ("resnet18", 1) and "each channel by its own" in plan.inputs
    assert planned(data).recipe.epochs * (24 // 8) >= 1500 and planned(data).recipe.hflip == 0
    lengths = np.array([10, 10, 10, 300, 0])
    assert (length_of(lengths, "squash"), length_of(lengths, "pad")) == (300, 40)


def test_the_recipe_of_fawaz(data):
    recipe = planned(data, recipe="fawaz2019").recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.sched, recipe.select) == (
        1500,
        2,
        1e-3,
        "plateau",
        "train_loss",
    )
    with pytest.raises(InputError, match="is for series"):
        planned("digits", recipe="fawaz2019")


def test_sound_keeps_its_rate(tmp_path):
    for number in range(8):
        save_wav(tmp_path / "ab"[number % 2] / f"{number}.wav", np.random.default_rng(number).integers(-99, 99, 60, np.int16))
    preprocess = planned(tmp_path).preprocess
    assert (preprocess.rate, preprocess.resize, preprocess.size) == (8000, "pad", (60,))


# --- other tasks ---


def test_numbers_and_several_labels(tmp_path):
    x, y = bumps(16)
    np.savez(tmp_path / "numbers.npz", X=x, y=np.linspace(0, 1, 16))
    plan = planned(tmp_path / "numbers.npz", task="grade")
    assert plan.source.kind == "series" and plan.spec.dims == 1 and plan.recipe.target == "target"
    np.savez(tmp_path / "tags.npz", X=x, y=np.stack([y, 1 - y], 1))
    assert planned(tmp_path / "tags.npz", task="tag").source.kind == "series_tags"
    np.savez(tmp_path / "grades.npz", X=x, y=np.arange(16) % 3)
    in_memory = planned("arrays", (x, np.linspace(0, 1, 16)), task="grade", dims=1)
    assert in_memory.source.kind == "series" and in_memory.source.labels == ("target",)
    done = train(str(tmp_path / "grades.npz"), task="grade", loss="corn", out=tmp_path / "run", epochs=1, **NARROW)
    assert done.model.labels == ("0", "1", "2") and (done.path / "plots" / "worst.png").is_file()


# --- looked at ---


def test_checked_and_previewed(tmp_path):
    x, y = bumps(30, chans=2)
    x[3] = x[1]  # of the same class
    x[5, 1] = 4.0
    x[7, 0, :20] = np.nan
    x[9] *= 1000
    np.savez(tmp_path / "a.npz", X_train=x, y_train=y, X_test=x[1:2], y_test=y[1:2])
    found = check(open_source(tmp_path / "a.npz"))
    kinds = {finding.kind: finding for finding in found.findings}
    assert {"leakage", "duplicates", "classes", "lengths", "missing_values", "flat_channels", "scales"} <= kinds.keys()
    assert not any("picture" in finding.text for finding in found.findings) and kinds["leakage"].level == "error"
    assert kinds["scales"].items[0]["name"] == "train[9]" and kinds["flat_channels"].items[0]["name"] == "train[5]"
    path = preview(str(tmp_path / "a.npz"), out=tmp_path / "a.png", jitter=0.1)
    assert path.stat().st_size > 10_000


def test_groups_of_a_column_stay_together(tmp_path):
    x, y = bumps(24)
    np.savez(tmp_path / "a.npz", X=x, y=y, subject=np.repeat(np.arange(8), 3).astype(str))
    plan = planned(tmp_path / "a.npz", group_by="subject", val_fraction=0.25)
    train_groups, val_groups = (set(plan.source.splits[name].groups) for name in ("train", "val"))
    assert val_groups and not train_groups & val_groups
