"""A search for settings: on validation only, by seeds, resumable, within its budget; and nothing is called better by chance."""

import json
import math
import signal

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

import resnets
from resnets.cli.main import cli
from resnets.data.pictures.stored import FileImages
from resnets.engine.run import RunDir
from resnets.errors import InputError, Interrupted
from resnets.tasks.classify.settings import ClassifySettings
from resnets.tasks.detect.settings import DetectSettings
from resnets.verbs import train as training
from resnets.verbs import tune as tuning
from resnets.verbs.report.make import report
from resnets.verbs.tune import seconds_each, tune
from resnets.verbs.tune_space import distributions, space, study_of
from resnets.verbs.tune_verdict import line_of, noise_of, told, verdict_of

TINY = {
    "model": "resnet20_cifar", "depths": "1,1", "width": 4, "batch_size": 8, "epochs": 1, "workers": 0, "device": "cpu",
    "precision": "float32",
}  # fmt: skip
GIVEN = {"device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random, root = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    for split, num in (("train", 31), ("val", 12), ("test", 6)):
        for number in range(num):
            path = root / split / f"class{number % 3}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return str(root)


# --- real runs ---


@pytest.fixture(scope="module")
def real(data, tmp_path_factory):
    """A search of two trials, in which no image of the test split is opened."""
    out, opened, splits = tmp_path_factory.mktemp("tune") / "t", FileImages.open, set()

    def noted(self, index):
        splits.add(self.path(index).parts[-3])
        return opened(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileImages, "open", noted)
        training.train(data, out=out.with_name("plain"), **TINY)
        assert splits == {"train", "val", "test"}
        splits.clear()
        yield tune(data, trials=2, seeds=2, over=["lr=0.001:1", "augment"], finalists=1, out=out, **TINY)
    assert splits == {"train", "val"}


def test_a_search(real):
    record = json.loads((real.path / "tune.json").read_text())
    assert record == json.loads(json.dumps(real.record)) and record["seeds"] == [0, 1]
    names = [row["run"] for row in record["runs"]]
    assert names[:4] == ["defaults-seed0", "defaults-seed1", "trial0", "trial1"]
    for row in record["runs"]:
        run = RunDir(real.path / row["run"])
        used = yaml.safe_load(run.recipe.read_text())
        assert (used["seed"], used["test"]) == (row["seed"], False) and run.read_provenance()["result"]["split"] == "val"
        assert row["value"] == max(line["val_top1"] for line in run.read_metrics())
        assert {name: used[name] for name in row["settings"]} == row["settings"]
    assert {row["seed"] for row in record["runs"] if row["part"] == "trials"} == {2}
    assert record["runs"][2]["settings"] == {} and record["runs"][2]["params"]["augment"] == "as is"
    page = (real.path / "report.html").read_text()
    assert "keep the defaults" in page and 'href="trial1/report.html"' in page and "data:image/png;base64," in page


def test_the_page_can_be_made_again(real, tmp_path):
    (real.path / "report.html").unlink()
    assert report([real.path]) == real.path / "report.html" and (real.path / "report.html").exists()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tune.json").write_text('{"verdict": {}}')
    with pytest.raises(InputError, match=r"tune.json: cannot be read as a search"):
        report([broken])


def test_a_finished_search_trains_nothing_again(real, monkeypatch):
    monkeypatch.setattr(training, "train", None)
    again = tune(out=real.path, resume=True)
    assert {**again.record, "spent": 0} == {**real.record, "spent": 0}


# --- what is decided, on made-up runs ---


@pytest.fixture
def made_up(monkeypatch):
    """Runs are not trained: their score is a function of learning rate and seed. {"score": function, "runs": [names]}."""
    world = {"runs": [], "score": lambda lr, seed: 0.9 + [0.0, 0.004, -0.004, 0.002][seed % 4]}

    def train(out, resume, data_dir, reporter, data, **settings):
        run = out.path if isinstance(out, RunDir) else out
        world["runs"].append((run.name, resume))
        defaults = {"lr": 0.1, "weight_decay": 0.0005, "model": "resnet20_cifar", "task": "classify"}
        used = ClassifySettings(**{**defaults, **settings, "data": data})
        run.mkdir(exist_ok=True)
        (run / "recipe.yaml").write_text(used.to_yaml())
        value = world["score"](used.lr, used.seed)
        if isinstance(value, Exception):
            raise value
        rows = []
        for epoch in (1, 2, 3, 4):
            rows.append({"epoch": epoch, "step": epoch, "val_loss": 1.0, "val_top1": value * epoch / 4})
            at = type("At", (), {"step": epoch, "total_steps": 4, "finished": epoch == 4})()
            reporter.epoch(rows[-1], at, 1.0)
        RunDir(run).write_metrics(rows)
        RunDir(run).update_provenance(result={"split": "val", "top1": value}, selected="best")

    monkeypatch.setattr(training, "train", train)
    return world


class Said:
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_what_is_better_is_found_and_becomes_a_recipe(made_up, tmp_path):
    noise = [0.0, 0.004, -0.004, 0.002]
    extra = [0.0005, 0.0, -0.0005, 0.0]
    made_up["score"] = lambda lr, seed: 0.9 + noise[seed] + 0.05 * (lr > 0.3) * (1 + extra[seed])
    said = Said()
    found = tune("digits", trials=8, over=["lr"], out=tmp_path / "t", reporter=said, **GIVEN)
    verdict = found.record["verdict"]
    assert verdict["better"] and found.best == tmp_path / "t" / "best.yaml" and verdict["settings"]["lr"] > 0.3
    recipe = yaml.safe_load(found.best.read_text())
    assert recipe == {"device": "cpu", "workers": 0, "lr": verdict["settings"]["lr"]}
    assert len(verdict["finalists"]) == 2 and all(abs(row["difference"] - 0.05) < 1e-4 for row in verdict["finalists"])
    assert said.lines[3].startswith(
        "defaults val_top1 0.9000 ± 0.0040 over 3 seeds; by the seed alone two runs differ by 0.005"
    )
    assert sum(line.startswith("trial") and "-seed" not in line for line in said.lines) == 8  # a line each
    assert list(told(found.record))[-1].startswith("better than the defaults by more than the noise (0.0033)")
    # The recipe is one of `train`'s.
    layers = training.layers_of("digits", {"recipe": str(found.best)})[1]
    assert layers[str(found.best)]["lr"] == recipe["lr"]


def test_luck_is_not_called_better(made_up, tmp_path):
    """The score of a trial is the defaults' and a draw: some trial is the best, and its luck does not repeat."""
    random = np.random.default_rng(0)
    made_up["score"] = lambda lr, seed: 0.9 + 0.01 * random.standard_normal()
    found = tune("digits", trials=8, over=["lr"], out=tmp_path / "t", **GIVEN)
    assert not found.record["verdict"]["better"] and found.best is None and not (tmp_path / "t" / "best.yaml").exists()
    best = max(row["value"] for row in found.record["runs"] if row["part"] == "trials")
    assert best > found.record["noise"]["mean"] + found.record["noise"]["deviation"]
    assert list(told(found.record))[-1].startswith("nothing found beyond the noise")


def finalist(own, defaults):
    rows = [{"part": "defaults", "run": f"d{seed}", "seed": seed, "value": value} for seed, value in enumerate(defaults)]
    rows += [
        {
            "part": "finalists",
            "run": f"trial1-seed{seed}",
            "seed": seed,
            "value": value,
            "state": "done",
            "params": {},
            "settings": {},
        }
        for seed, value in enumerate(own)
    ]
    return verdict_of({"runs": rows, "noise": noise_of(defaults)}, "val_top1")


def test_the_verdict_needs_both():
    sure = finalist([0.931, 0.940, 0.922], [0.900, 0.910, 0.890])["finalists"][0]
    assert sure["better"] and sure["p_value"] < 0.01 and sure["interval"][0] > 0
    assert not finalist([0.902, 0.9119, 0.8921], [0.900, 0.910, 0.890])["better"]  # regular, and smaller than the noise
    assert not finalist([0.99, 0.911, 0.889], [0.900, 0.910, 0.890])["better"]  # large on average, by one seed
    assert not finalist([0.95, 0.96, 0.94], [0.900, 0.910, 0.890])["better"]  # all the same: nothing to tell chance by
    assert noise_of([0.9, 0.91, 0.89]) == pytest.approx(
        {"mean": 0.9, "deviation": 0.01, "difference": 0.01 * 2**0.5, "of_means": 0.01 * (2 / 3) ** 0.5}
    )


# --- stopping and going on ---


def test_going_on_after_a_kill_is_the_same_search(made_up, tmp_path):
    made_up["score"] = lambda lr, seed: 0.8 + 0.01 * seed - 0.01 * abs(math.log10(lr) + 0.5)
    options = {"trials": 6, "over": ["lr"], **GIVEN}
    whole = tune("digits", out=tmp_path / "whole", **options)
    names, made_up["runs"] = [name for name, _ in made_up["runs"]], []
    score, killed = made_up["score"], []

    def failing(lr, seed):
        if len(made_up["runs"]) in (2, 7) and len(killed) < 2:
            killed.append(made_up["runs"][-1][0])
            raise Interrupted(signal.SIGINT, tmp_path)
        return score(lr, seed)

    made_up["score"] = failing
    with pytest.raises(Interrupted, match=r"to go on: resnets tune --resume --out .*cut"):
        tune("digits", out=tmp_path / "cut", **options)
    with pytest.raises(Interrupted) as stopped:
        tune(out=tmp_path / "cut", resume=True)
    assert stopped.value.signal == signal.SIGINT
    cut = tune(out=tmp_path / "cut", resume=True)
    assert killed == ["defaults-seed1", "trial2"]
    assert [name for name, resumed in made_up["runs"] if not resumed] == names  # none twice from the beginning
    assert [name for name, resumed in made_up["runs"] if resumed] == killed
    plain = [{**row, "seconds": 0} for row in cut.record["runs"]]
    assert plain == [{**row, "seconds": 0} for row in whole.record["runs"]]
    tune("digits", out=tmp_path / "cut", resume=True, trials=6, seeds=3, workers="0")  # as it was, said again
    for change, words in (
        ({"lr": 0.1}, "lr was None"),
        ({"trials": 9}, "trials was 6"),
        ({"seeds": 4}, "seeds was"),
        ({"budget": "1h"}, "budget was None"),
    ):
        with pytest.raises(InputError, match=f"{words}.*leave it out"):
            tune(out=tmp_path / "cut", resume=True, **change)


def test_a_trial_that_is_behind_is_stopped_and_a_failed_one_is_told(made_up, tmp_path):
    def score(lr, seed):
        number = sum(name.startswith("trial") for name, _ in made_up["runs"])
        if number == 3:
            return InputError("the loss is not finite")
        return 0.1 if number == 8 else 0.9 + 0.001 * number

    made_up["score"] = score
    said = Said()
    found = tune("digits", trials=9, over=["lr"], finalists=1, out=tmp_path / "t", reporter=said, **GIVEN)
    rows = {row["run"]: row for row in found.record["runs"]}
    assert rows["trial2"]["state"] == "failed" and any("failed: the loss is not finite" in line for line in said.lines)
    assert rows["trial7"]["state"] == "pruned" and rows["trial7"]["curve"].keys() == {"10", "20", "30", "40", "50"}
    assert any("stopped early" in line for line in said.lines if line.startswith("trial7"))
    made_up["score"] = lambda lr, seed: InputError("no such data")
    with pytest.raises(InputError, match="no such data"):  # the defaults have to run
        tune("digits", trials=2, over=["lr"], out=tmp_path / "u", **GIVEN)


@pytest.mark.parametrize(("sign", "counts", "spent"), [(1, [3, 11, 6], 200), (0, [3, 14, 0], 170)])
def test_the_budget_is_kept(made_up, tmp_path, monkeypatch, sign, counts, spent):
    """Each run takes 10 s of a clock that is moved by hand; 6 runs are kept for two finalists, 3 where nothing is above the
    defaults so far."""
    clock = {"now": 0.0}
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: clock["now"])

    def score(lr, seed):
        clock["now"] += 10
        return 0.9 + [0.0, 0.004, -0.004, 0.001][seed] + sign * 0.001 * math.log10(lr)

    made_up["score"] = score
    found = tune("digits", budget="205s", epochs=1, over=["lr"], out=tmp_path / "t", **GIVEN)
    runs = found.record["runs"]
    assert [sum(row["part"] == part for row in runs) for part in ("defaults", "trials", "finalists")] == counts
    assert found.record["spent"] == spent


@pytest.mark.parametrize(("budget", "trials", "num"), [(7200, None, 21), (400, None, 20), (400, 8, 17)])
def test_the_length_of_a_run(budget, trials, num):
    assert seconds_each(budget, 3, trials, 2) == budget / num


# --- what is searched ---


def test_the_space_of_a_task():
    used = {name: getattr(ClassifySettings(lr=0.2, model="resnet18"), name) for name in ("lr", "weight_decay", "model")}
    used |= {
        name: getattr(ClassifySettings(), name) for name in ("crop", "hflip", "auto_augment", "random_erase", "mixup", "cutmix")
    }
    rows = {row.name: row for row in space(ClassifySettings, used, {}, [])}
    assert list(rows) == ["lr", "weight_decay", "augment", "model"]
    assert (rows["lr"].low, rows["lr"].high, rows["lr"].log, rows["lr"].start) == (pytest.approx(0.02), 2.0, True, 0.2)
    assert list(rows["model"].choices) == ["resnet18", "resnet18d", "seresnet18", "resnet34"]
    assert rows["augment"].settings("cutmix") == {"cutmix": 1.0} and "jitter" not in rows["augment"].choices
    fixed = {row.name: row for row in space(ClassifySettings, used, {"lr": 0.2, "mixup": 0.1, "model": "resnet18"}, [])}
    assert list(fixed) == ["weight_decay", "augment"] and "mixup" not in fixed["augment"].choices
    assert "model" not in {row.name for row in space(ClassifySettings, used, {"weights": "a.safetensors"}, [])}
    asked = space(
        ClassifySettings, used | {"opt": "sgd", "smoothing": 0.0, "batch_size": 128}, {}, ["opt=adamw:lamb", "batch_size=16:64"]
    )
    assert list(asked[0].choices) == ["sgd", "adamw", "lamb"] and asked[0].settings("lamb") == {"opt": "lamb"}
    assert (asked[1].whole, asked[1].low, asked[1].high, asked[1].log) == (True, 16, 64, False)
    detect = {**used, "model": "resnet18", "hflip": 0.5, "jitter": 0.0, "scales": (1.0,), "vflip": 0.0}
    found = {row.name: row for row in space(DetectSettings, detect, {}, [])}
    assert list(found["augment"].choices) == ["as is", "jitter", "scales", "vflip"]
    series = used | {"model": "resnet10_wang", "dims": 1, "jitter": 0.0, "scaling": 0.0, "window_warp": 0.0}
    found = {row.name: row for row in space(ClassifySettings, series, {}, [])}
    assert list(found["augment"].choices) == ["as is", "mixup", "jitter", "scaling", "window warping"]


def test_proposals_depend_on_the_trials_and_the_seed_alone():
    used = {name: getattr(ClassifySettings(), name) for name in ("lr", "weight_decay")}
    rows = space(ClassifySettings, used, {}, ["lr", "weight_decay"])
    before = [
        {"params": {"lr": lr, "weight_decay": 5e-4}, "state": "done", "value": 0.9 - abs(lr - 0.3), "curve": {"100": 0.9}}
        for lr in (0.1, 0.2, 0.3, 0.4, 0.5, 0.9)
    ]
    one, other = (study_of(before, rows, 7).ask(distributions(rows)).params for _ in range(2))
    assert one == other != study_of(before, rows, 8).ask(distributions(rows)).params
    assert all(row.holds(one[row.name]) for row in rows)


FAULTS = {
    "no length": ({}, "how long"),
    "short": ({"budget": "1m"}, "too short for 12 runs of 20 s .* give at least 4m"),
    "no dimension": ({"trials": 1, "over": ["rate"]}, "tune=rate: is not one of lr, weight_decay, augment, model"),
    "given": ({"trials": 1, "over": ["lr"], "lr": 0.1}, "tune=lr: lr is given"),
    "one value": ({"trials": 1, "over": ["lr=0.1"]}, "smallest and the largest value"),
    "unknown setting": ({"trials": 1, "over": ["rate=1:2"]}, "there is no setting rate"),
    "folds": ({"trials": 1, "folds": 3}, "folds=3 is not for tuning"),
    "unknown flag": ({"trials": 1, "epoch": 3}, "epoch"),
    "no finalist": ({"trials": 1, "finalists": 0}, "give at least 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_means_nothing(made_up, tmp_path, fault):
    options, words = FAULTS[fault]
    with pytest.raises(InputError, match=words):
        tune("digits", out=tmp_path / "t", **options)
    with pytest.raises(InputError, match=r"no tune.json here"):
        tune(out=tmp_path / "u", resume=True)


def test_a_damaged_record(made_up, tmp_path):
    tune("digits", trials=1, seeds=2, over=["lr"], out=tmp_path / "t", **GIVEN)
    path = tmp_path / "t" / "tune.json"
    good = json.loads(path.read_text())
    for bad in (
        {},
        good | {"runs": [1]},
        good | {"seeds": None},
        good | {"runs": [{**good["runs"][0], "run": "../elsewhere"}]},
    ):
        path.write_text(json.dumps(bad))
        with pytest.raises(InputError, match=r"tune.json: .* bring it back from a copy"):
            tune(out=tmp_path / "t", resume=True)


def test_without_optuna(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'resnets\[tune\]'"):
        tune("digits", trials=1, out=tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_the_command(made_up, tmp_path):
    words = f"tune digits --trials 2 --tune lr --finalists 1 --seeds 2 --out {tmp_path / 't'} --device cpu"
    done = CliRunner().invoke(cli, words.split())
    assert done.exit_code == 0, done.output
    assert "keep the defaults" in done.stdout and str(tmp_path / "t" / "report.html") in done.stdout
    done = CliRunner().invoke(cli, ["tune", "--resume", "--json", "--out", str(tmp_path / "t")])
    assert json.loads(done.stdout)["verdict"]["better"] is False
    assert resnets.tune is tune and "0.9000" in line_of({**json.loads(done.stdout)["runs"][0]}, "val_top1")
