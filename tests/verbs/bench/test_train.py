"""Speed of training beside peers: the clock, the table of rows, the arithmetic, and every row for two steps."""

import itertools
import json
import shlex
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from resnets import tasks
from resnets.cli.main import main
from resnets.engine.settings import fields_of
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub
from resnets.verbs.bench import stopwatch, table, train, train_job, train_limit, train_usual, train_ways
from resnets.verbs.bench.process import Failed
from resnets.verbs.bench.stopwatch import Enough, Stopwatch
from resnets.verbs.bench.train_ways import ROWS, SWITCHES, USUAL

SETTLED = {"data_dir": None, "device": "cpu", "bf16": True, "warm": 1, "steps": 2}
DIGITS = SETTLED | {"data": "digits", "kind": "arrays", "model": "resnet20_cifar", "batch_size": 16}
LARGE = SETTLED | {"model": "resnet18", "batch_size": 2}


def here(job, verb, name):
    """What a process of its own would tell, from this one."""
    told = {}
    train_job.VERBS[verb](job | {"verb": verb, "name": name}, lambda **values: told.update(values))
    return told


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(train, "ask", here)


@pytest.fixture
def photos(tmp_path):
    """Two classes of two pictures and more, in train/."""
    for number in range(12):
        path = tmp_path / "photos" / "train" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (20 * number, 0, 0)).save(path)
    return tmp_path / "photos"


# --- the clock -------------------------------------------------------------------------------------------------------


def test_steps_count_from_batch_to_batch_and_validation_does_not(monkeypatch):
    now, synchronised = [0.0], []
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def batches():
        now[0] += 1000 if now[0] == 0 else 3  # workers start
        for _ in range(4):
            now[0] += 0.5
            yield (range(7),)

    watch = Stopwatch(warm=1, steps=6, synchronise=lambda: synchronised.append(now[0]))
    num_steps = 0
    with pytest.raises(Enough):
        while True:
            for (pictures,) in watch.epoch(batches()):
                assert len(pictures) == 7
                now[0] += 2
                num_steps += 1
            now[0] += 100  # validation
    assert num_steps == 7 and watch.num_images == 6 * 7
    assert watch.wait_seconds == 6 * 0.5 + 3 and watch.seconds == watch.wait_seconds + 6 * 2
    assert synchronised[-1] == now[0]


def test_a_loop_may_end_before_the_watch_has_enough():
    watch = Stopwatch(warm=0, steps=9)
    assert len(list(watch.epoch([([1],)] * 4))) == 4 and watch.num_images == 4


# --- the tables ------------------------------------------------------------------------------------------------------


def test_the_rows_by_default():
    assert train.choose_rows(None, "arrays", "resnet20_cifar") == (["usual-float32", "usual-bf16", "resnets"], [])
    libraries = ["torchvision-float32", "torchvision-bf16", "timm-bf16", "resnets"]
    assert train.choose_rows(None, "folder", "resnet18") == train.choose_rows(None, "synthetic", "resnet50") == (libraries, [])
    chosen, (note,) = train.choose_rows(None, "folder", "seresnet18")
    assert chosen == ["resnets"] and "timm-bf16 (for folder and synthetic: resnet18 resnet34" in note
    assert train.choose_rows(["resnets", "usual-bf16"], "list", "resnet18")[0] == ["resnets"]


def test_switches_are_settings_of_train():
    for name, settings in SWITCHES.items():
        assert settings.keys() <= fields_of(tasks.settings("classify")).keys(), name
        assert not ROWS[name].default and settings


@pytest.mark.parametrize(
    "words, said",
    [
        ("--rows usual", "no row is called 'usual'; there are: convolutions-alone, usual-float32, usual-bf16, torchvision"),
        ("--rows ,", "no row is named; there are: convolutions-alone"),
        ("--rows usual-bf16 --data synthetic", "nothing to measure of resnet18 on data of kind 'synthetic'"),
        ("--rows usual-bf16 --data digits --model resnet18", "usual-bf16 (for arrays: resnet20_cifar resnet32_cifar"),
        ("--model resnet21_cifar", "did you mean resnet32_cifar, resnet20_cifar"),
        ("--data nowhere", "no file or folder 'nowhere'"),
        ("--data photos/train", "photos/train: its 12 images do not fill a batch of 32; give more"),
        ("--data digits --device gpu", "device='gpu' is not available"),
        ("--rounds 0", "0 is not in the range x>=1"),
        ("--steps 0", "0 is not in the range x>=1"),
        ("--out photos/train/a/0.jpg/speed", "photos/train/a/0.jpg: cannot be written to (File exists); choose another place"),
        ("--out photos.md", "photos.md: is a folder; choose another place with --out"),
    ],
)
@pytest.mark.usefixtures("in_process", "photos")
def test_bad_input(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos.md").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "train", *shlex.split(words)])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and said in err and out == ""


# --- arithmetic ------------------------------------------------------------------------------------------------------


def told(seconds, wait=0.0, peak=2**20):
    return {"num_images": 12, "seconds": seconds, "wait_seconds": wait, "peak_bytes": peak}


def test_ratios_are_taken_within_rounds():
    runs = {
        "usual-float32": [told(1), told(4), told(2)],  # 12, 3, 6 a second
        "resnets": [told(0.5, 0.1), told(1, 0.5, 3 * 2**20), told(0.25, 0.05)],  # 24, 12, 48; 2, 4 and 8 times as many
    }
    one, two = train.summarise(runs)
    assert (one["pictures_per_second"], one["times_base"], one["data_wait"], one["peak_mib"]) == (6, 1, 0, 1)
    assert (two["pictures_per_second"], two["times_base"], two["data_wait"]) == (24, 4, 0.2)
    assert [run["pictures_per_second"] for run in two["rounds"]] == [24, 12, 48]


def test_rounds_go_through_all_rows_and_a_row_that_fails_is_left_alone(monkeypatch, tmp_path):
    asked = []

    def ask(job, verb, name):
        if verb == "inspect":
            return here(job, verb, name)
        asked.append(name)
        if name == "usual-float32":
            raise Failed("RuntimeError: it is broken")
        return told(1 if name == "resnets" else 2)

    monkeypatch.setattr(train, "ask", ask)
    done = []
    result = train.measure("digits", device="cpu", rounds=2, progress=lambda *of: done.append(of))
    assert asked == ["usual-float32", "usual-bf16", "resnets", "usual-bf16", "resnets"]
    assert done == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6)] and result["base"] == "usual-bf16"
    report = train.report(result)
    assert report.cells == [
        ["row", "pictures/s", "x usual-bf16", "waiting", "peak MiB"],
        ["usual-float32", "-", "-", "-", "-"],
        ["usual-bf16", "6.0", "1.00", "0.0%", "1"],
        ["resnets", "12.0", "2.00", "0.0%", "1"],
    ]
    assert report.remarks == ["usual-float32: RuntimeError: it is broken"]
    json_file, table_file = table.write(result, report, tmp_path / "speed")
    assert json.loads(json_file.read_text()) == result
    assert "| resnets | 12.0 | 2.00 | 0.0% | 1 |" in table_file.read_text().splitlines()


# --- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", USUAL[:2])
def test_the_usual_network_is_ours(name):
    torch.manual_seed(0)
    model = hub.create_model(name)
    usual = train_usual.small_network(zoo.get(name).depths[0], 3, 10)
    usual.load_state_dict(dict(zip(usual.state_dict(), model.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(usual.eval()(x), model.eval()(x))


SMALL = [name for name, row in ROWS.items() if row.takes("arrays")]
COMPILES = pytest.param("resnets-compile", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [COMPILES if name == "resnets-compile" else name for name in SMALL])
def test_rows_for_small_pictures_run(name, tmp_path):
    found = here(DIGITS | {"folder": str(tmp_path)}, "train", name)
    assert found["num_images"] == 32 and found["seconds"] > found["wait_seconds"] > 0 and found["peak_bytes"] > 2**20


@pytest.mark.parametrize(
    "name, kind",
    [
        *itertools.product(("torchvision-bf16", "timm-bf16", "resnets"), ("synthetic",)),
        ("torchvision-float32", "folder"),
        ("resnets", "folder"),
    ],
)
def test_rows_for_large_pictures_run(name, kind, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(train_ways, "SIZE", 96)
    data = str(photos) if kind == "folder" else kind
    job = LARGE | {"data": data, "device": "cpu"}
    job |= {key: value for key, value in here(job, "inspect", "").items() if key in ("kind", "root")}
    assert job["kind"] == kind
    found = here(job | {"folder": str(tmp_path)}, "train", name)
    assert found["num_images"] == 4 and found["seconds"] > 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convolutions_alone_are_those_of_a_step(precision, tmp_path):
    given = DIGITS | {"folder": str(tmp_path), "batch_size": 4}
    job = train_ways.begun(given, precision=precision)
    batch = next(job.train.epoch(0))
    layers = train_limit.convolutions(job, batch)
    spec = job.model.spec
    assert [each.layer.weight.shape for each in layers] == [
        module.weight.shape for module in job.model.modules() if isinstance(module, torch.nn.Conv2d)
    ]
    assert len(layers) == 19 and layers[0].x.shape == batch.images.shape == (4, spec.in_chans, *batch.images.shape[2:])
    assert [len(each.learnt) for each in layers] == [1, *[2] * 18]  # the images themselves get no gradient
    dtype = getattr(torch, precision)
    for each in layers:
        assert {each.x.dtype, each.grad.dtype, each.layer.weight.dtype} == {dtype} and not each.layer._forward_hooks
        assert each.grad.shape == each.layer(each.x).shape
    assert not job.device.channels_last or all(x.is_contiguous(memory_format=torch.channels_last) for _, x, *_ in layers)
    macs = sum(each.grad.numel() * each.layer.weight[0].numel() for each in layers)
    size = batch.images.shape[2:]
    assert macs == 4 * (spec.num_macs(tuple(size)) - job.model.fc.weight.numel())


def test_a_step_of_convolutions_has_the_gradients_of_autograd(tmp_path):
    job = train_ways.begun(DIGITS | {"folder": str(tmp_path), "batch_size": 4}, precision="float32")
    layers = train_limit.convolutions(job, next(job.train.epoch(0)))
    found = train_limit.step(layers)
    for each, grads in zip(reversed(layers), found, strict=True):
        expected = torch.ops.aten.convolution_backward(
            each.grad, each.x, each.layer.weight, None, each.layer.stride, each.layer.padding, [1, 1], False, [0, 0], 1,
            [each.x.requires_grad, True, False],
        )  # fmt: skip
        for one, other in zip(grads, (expected[1], expected[0]), strict=False):
            torch.testing.assert_close(one, other)


def test_ratios_are_to_the_convolutions_where_these_are_measured(monkeypatch):
    monkeypatch.setattr(
        train,
        "ask",
        lambda job, verb, name: here(job, verb, name) if verb == "inspect" else told(2 if name == "resnets" else 1),
    )
    result = train.measure("digits", device="cpu", rounds=1, rows=["resnets", "convolutions-alone"])
    assert [row[:3] for row in train.report(result).cells] == [
        ["row", "pictures/s", "x convolutions-alone"],
        ["convolutions-alone", "12.0", "1.00"],
        ["resnets", "6.0", "0.50"],
    ]


def test_bf16_needs_a_device_that_has_it(tmp_path):
    with pytest.raises(InputError, match="cpu has no instructions for bfloat16"):
        here(DIGITS | {"bf16": False, "folder": str(tmp_path)}, "train", "usual-bf16")


@pytest.mark.slow
def test_a_tiny_run_in_processes_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split("bench train --data digits --steps 2 --rounds 1 --rows usual-float32,resnets --json --out speed"))
    result = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 0 and [row["row"] for row in result["rows"]] == ["usual-float32", "resnets"]
    assert all(row["pictures_per_second"] > 0 for row in result["rows"])
    assert json.loads((tmp_path / "speed.json").read_text()) == result
    assert (tmp_path / "speed.md").read_text().count("\n| ") == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speed.json", "speed.md"]
