"""Parts of a user's own file: registered, used through the command, named in what is saved; and never executed unasked."""

import importlib
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import resnets
from resnets import plugins, tasks
from resnets.cli.main import main
from resnets.errors import InputError
from resnets.models import weights
from resnets.models.parts import counted
from resnets.verbs import train as training
from tests.data.made_folders import folder
from tests.engine.running import assert_same, stopping

EXAMPLE = Path(__file__).parent.parent / "docs/plugins/my_block.py"
TINY = {"depths": "1,1,1", "width": 8, "batch_size": 8, "workers": 0, "device": "cpu", "precision": "float32", "lr": 0.05}

ALL_KINDS = """
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
import resnets
from resnets.data.pictures.stored import FileImages
from resnets.data.readers.layouts import Found, Part

(HERE / "was_here").touch()


@resnets.register("norm", "scale")
class Scale(nn.Module):
    def __init__(self, channels, dims):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, *[1] * dims))

    def forward(self, x):
        return x * self.weight


@resnets.register("attention", "gate")
def gate(channels, dims):
    return nn.Sequential(nn.Conv2d(channels, channels, 1, groups=channels), nn.Hardtanh())


@resnets.register("block", "twice", expansion=2)
class Twice(nn.Module):
    def __init__(self, plan, dims):
        super().__init__()
        self.conv = nn.Conv2d(plan.in_chans, plan.out_chans, 3, plan.stride, plan.dilation, plan.dilation)
        self.short = nn.Conv2d(plan.in_chans, plan.out_chans, 1, plan.stride)

    def forward(self, x):
        return F.relu(self.short(x) + self.conv(x))


@resnets.register("stem", "patches", stride=2, img_size=16)
def patches(spec):
    return nn.Conv2d(spec.in_chans, spec.stem_channels, 3, 2, 1, bias=False)


@resnets.register("head", "largest", task="classify")
class Largest(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.last = nn.Linear(spec.num_features, spec.num_classes)

    def forward(self, features):
        return self.last(features[max(features)].flatten(2).amax(2))


@resnets.register("loss", "squares", task="classify")
def squares(recipe, class_counts):
    def loss(outputs, targets):
        return {"loss": (outputs.float() - F.one_hot(targets, outputs.shape[1])).square().mean()}

    return loss


@resnets.register("optimiser", "heavy", defaults={"lr": 0.03})
def heavy(groups, recipe):
    return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum)


@resnets.register("layout", "by letter", holds="classes", recognises=lambda path: (path / "letters").is_dir())
def by_letter(path, in_chans):
    files = sorted((path / "letters").iterdir())
    classes = tuple(sorted({file.name[0] for file in files}))
    codes = np.array([classes.index(file.name[0]) for file in files])
    return Found(path.name, {"train": Part(FileImages(files, in_chans), classes, codes)})
"""


@pytest.fixture(autouse=True)
def forgetting(monkeypatch, tmp_path):
    """What a test registers is gone after it, as at the start of another process."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def forget():
        for rows in plugins.TABLES.values():
            for name in rows.of_users:
                del rows[name]
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith((str(tmp_path), str(EXAMPLE.parent))):
                del sys.modules[name]

    yield forget
    forget()


@pytest.fixture
def write(tmp_path):
    """Write a file with parts; its path."""

    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text.replace("(HERE ", f"(__import__('pathlib').Path({str(tmp_path)!r}) "))
        return path

    return write


@pytest.fixture
def letters(tmp_path):
    """Pictures whose class is the first letter of their names."""
    made = folder(tmp_path / "made", x=12, y=12)
    (tmp_path / "data/letters").mkdir(parents=True)
    for path in made.rglob("*.png"):
        shutil.copy(path, tmp_path / "data/letters" / f"{path.parent.name}{path.name}")
    return tmp_path / "data"


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def flags(**settings):
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]


# --- tables -----------------------------------------------------------------------------------------------------------------


def test_every_kind_has_a_table_and_every_row_of_ours_makes_something():
    for kind, module in plugins.KINDS.items():
        for task in tasks.TASKS if "{task}" in module else [""]:
            with suppress(InputError):
                plugins.table(kind, task)
    assert {kind for kind, _ in plugins.TABLES} == set(plugins.KINDS)
    for rows in plugins.TABLES.values():
        for part in rows.values():
            assert part.file is None
            if isinstance(part.factory, str):
                module, _, name = part.factory.partition(":")
                assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resnets.register('norm', 'batch', len)", r"norm 'batch' \(mine.py\): resnets has a norm of that name itself"),
        ("resnets.register('loss', 'ce', len, task='classify')", "resnets has a loss of that name"),
        ("resnets.register('norm', 'a', len); resnets.register('norm', 'a', abs)", "registered twice, in mine.py; choose"),
        ("resnets.register('nrom', 'a', len)", "no kind of part 'nrom'; use one of: block, norm"),
        ("resnets.register('loss', 'a', len)", "a loss is for a task; give task="),
        ("resnets.register('norm', 'a', len, task='tag')", "a norm is for no task"),
        ("resnets.register('loss', 'a', len, task='clasify')", "no task 'clasify'"),
        ("resnets.register('head', 'a', len, task='detect')", "the task detect takes no head of one's own"),
        ("resnets.register('norm', 'a', len, stride=2)", "no argument stride; it has bias, count"),
        ("resnets.register('layout', 'a', len)", "missing 2 required keyword-only arguments: 'holds' and 'recognises'"),
        ("resnets.register('norm', 'a,b', len)", "name 'a,b': give a norm one of letters"),
        ("resnets.register('norm', 'a', 3)", "a function or a class, not 3"),
        ("x = 1\ny = 1 / 0", r"mine.py, line 3: cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("def broken(:", r"mine.py, line 2: cannot be imported \(SyntaxError"),
        ("import no_such_library", r"mine.py, line 2: cannot be imported \(ModuleNotFoundError"),
        ("raise SystemExit(3)", r"mine.py, line 2: cannot be imported \(SystemExit: 3\)"),
        ("x = 1", "registers nothing"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line_or_two(text, said, write, capsys):
    assert run("models", "--plugin", write(f"import resnets\n{text}\n")) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) <= 2 and "Traceback" not in err
    with pytest.raises(InputError, match=said):
        resnets.load_plugin(write(f"import resnets\n{text}\n"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("my-block.py", "call it by letters"), ("random.py", "another module 'random'"), ("none.py", "no such file")],
)
def test_names_of_files(name, said, write, tmp_path):
    if name != "none.py":
        write(ALL_KINDS, name)
    with pytest.raises(InputError, match=said):
        resnets.load_plugin(tmp_path / name)


def test_the_same_once_more_is_fine_and_of_two_files_is_not(write, forgetting):
    text = "import resnets\n@resnets.register('norm', 'mine')\ndef mine(channels, dims): ...\n"
    module = resnets.load_plugin(write(text))
    assert resnets.load_plugin(write(text)) is module
    importlib.reload(module)
    with pytest.raises(InputError, match=r"registered twice, in mine\.py and in other"):
        resnets.load_plugin(write(text, "other.py"))


def test_help_lists_what_a_file_registers(write, capsys):
    assert run("train", "--plugin", write(ALL_KINDS), "--help") == 0
    out = capsys.readouterr().out
    choices = ("batch|instance|none|scale", "ce|bce|squares", "linear|largest", "sgd|adamw|lamb|muon|heavy", "--plugin FILE")
    assert all(words in out for words in choices)


# --- networks ---------------------------------------------------------------------------------------------------------------


def test_a_network_of_ones_own_parts_is_what_its_spec_states(write):
    resnets.load_plugin(write(ALL_KINDS))
    spec = resnets.get_spec("resnet20_cifar", stem="patches", block="twice", norm="scale", depths=(1, 2), width=8)
    assert [(level.channels, level.stride) for level in spec.levels] == [(8, 2), (16, 2), (32, 4)]
    assert (spec.img_size, spec.least_size, spec.num_layers) == (16, 1, 2 + 3 * 2)
    model = resnets.create_model(spec)
    assert sum(parameter.numel() for parameter in model.parameters()) == spec.num_params
    x = torch.rand(2, 3, 16, 16)
    assert [tuple(level.shape) for level in model.features(x).values()] == [(2, 8, 8, 8), (2, 16, 8, 8), (2, 32, 4, 4)]
    assert spec.table()[1].num_macs == 8 * 8 * (9 + 1) * 8 * 16, "a 3x3 and a 1x1 convolution"
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with pytest.raises(InputError, match="no method zero_branch"):
        resnets.create_model(spec, zero_init_last=True)
    dilated = resnets.get_spec("resnet18", block="twice", depths=(1, 1, 1, 1), width=8, output_stride=8)
    assert tuple(resnets.create_model(dilated).features(torch.rand(1, 3, 72, 72))["c5"].shape) == (1, 128, 9, 9)


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_example_of_the_docs(order, dims):
    """Of every number of axes; an image's values depend on no other image; and no image at all is a batch too."""
    resnets.load_plugin(EXAMPLE)
    changes = {"norm": "my_norm", "attention": "my_attention", "order": order, "dims": dims, "depths": (1, 1)}
    model = resnets.create_model("resnet20_cifar", zero_init_last=True, **changes)
    assert sum(parameter.numel() for parameter in model.parameters()) == model.spec.num_params
    x = torch.rand(2, 3, *[16] * dims)
    torch.testing.assert_close(model(x)[:1], model(x[:1]))
    assert model(x[:0]).shape == (0, 10)
    norm = model.layer1[0].bn1
    assert float(norm(x[:, :1].repeat(1, 16, *[1] * dims)).detach().square().mean()) == pytest.approx(1, rel=1e-3)


def test_it_is_exported():
    from resnets.ship.graph import program

    resnets.load_plugin(EXAMPLE)
    model = resnets.create_model("resnet20_cifar", norm="my_norm", attention="my_attention", depths=(1, 1)).eval()
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    expected = model((pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(model.preprocess.mean).view(3, 1, 1)) / 0.25)
    assert program(model).module()(pixels).shape == expected.shape


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            "nn.Conv2d(channels, 2 * channels, 1)",
            r"gives \(N, 32, 8, 8\) of an input \(N, 16, 8, 8\); expected is \(N, 16",
        ),
        ("3", "makes a int; it is to make a torch.nn.Module"),
        ("nn.GroupNorm(5, channels)", r"mine.py, line 5: norm 'bad' \(ValueError: num_channels \(16\) must be"),
        ("nn.Linear(7, 7)", r"norm 'bad' of an input \(N, 16, 8, 8\), on which it is counted without values"),
    ],
)
def test_a_part_that_does_not_fit_is_refused_before_anything_is_built(made, said, write):
    text = (
        f"import resnets\nfrom torch import nn\n@resnets.register('norm', 'bad')\ndef bad(channels, dims):\n    return {made}\n"
    )
    resnets.load_plugin(write(text))
    with pytest.raises(InputError, match=said):
        resnets.create_model("resnet20_cifar", norm="bad")


def test_a_part_that_needs_values_brings_its_count():
    class Needs(nn.Module):
        def forward(self, x):
            return x * float(x.detach().max())

    resnets.register("attention", "needs", lambda channels, dims: Needs())
    with pytest.raises(InputError, match="register it with count="):
        resnets.create_model("resnet20_cifar", attention="needs")
    resnets.register("attention", "counted", lambda channels, dims: Needs(), count=lambda channels, dims, size: (3, size[0]))
    plain, own = (resnets.get_spec("resnet20_cifar", attention=name, depths=(1,)) for name in ("none", "counted"))
    assert (own.num_params - plain.num_params, own.num_macs() - plain.num_macs()) == (3, 32)
    assert resnets.create_model(own)(torch.rand(1, 3, 32, 32)).shape == (1, 10)
    counted.cache_clear()


def test_heads_and_losses_of_other_tasks():
    def head(spec):
        class Head(nn.Module):
            def forward(self, features, size):
                return features["c1"].mean(1, keepdim=True).expand(-1, spec.num_classes, *size)

        return Head()

    resnets.register("head", "flat", head, task="segment")
    model = resnets.create_model("resnet20_cifar", task="segment", labels=["a", "b"], head_config={"head": "flat"})
    assert model(torch.rand(1, 3, 16, 16)).shape == (1, 2, 16, 16)
    assert model.header.plugins[0]["kind"] == "head" and model.header.plugins[0]["file"] == "test_plugins.py"
    with pytest.raises(InputError, match="no head 'flat'; use one of: linear"):
        resnets.create_model("resnet20_cifar", head_config={"head": "flat"})
    for task in ("tag", "grade", "segment", "embed"):
        resnets.register("loss", "mine", lambda recipe, counts: lambda outputs, targets: {"loss": outputs.sum()}, task=task)
        loss = tasks.get(task).criterion(tasks.settings(task)(task=task, loss="mine"), np.ones(2))
        assert loss(torch.ones(3), None) == {"loss": 3}


# --- runs -------------------------------------------------------------------------------------------------------------------

OWN = {"block": "twice", "norm": "scale", "attention": "gate", "stem": "patches", "head": "largest", "loss": "squares"}
OWN |= {"opt": "heavy"}


def test_a_run_with_every_kind_of_part_and_what_it_says_of_them(write, letters, tmp_path, forgetting, capsys):
    """`Twice` brings its own shortcut; norm and attention are those of the stem and of blocks that ask for them."""
    plugin, out = write(ALL_KINDS), tmp_path / "run"
    words = ["train", letters, "--plugin", plugin, "--out", out, "--epochs", 1, *flags(**TINY, **OWN)]
    assert run(*words) == 0, capsys.readouterr().err
    saved, told = yaml.safe_load((out / "recipe.yaml").read_text()), json.loads((out / "provenance.json").read_text())
    assert saved["plugin"] == [str(plugin)] and saved["lr"] == 0.05 and saved["norm"] == "scale"
    assert {part["kind"] for part in told["plugins"]} == set(plugins.KINDS)
    assert (out / "plugins/mine.py").read_bytes() == plugin.read_bytes()
    in_file = [part["kind"] for part in weights.read_header(out / "best.safetensors").plugins]
    assert in_file == ["block", "norm", "attention", "stem", "head"]
    capsys.readouterr()
    assert run("eval", out, letters, "--plugin", plugin, "--split", "train", "--json") == 0
    assert json.loads(capsys.readouterr().out)["num_images"] == 22
    assert run("info", out, "--plugin", plugin) == 0 and "[twice, 16] × 1" in capsys.readouterr().out

    # In another process, without the file: nothing of the run's folder is executed, whatever is done with it.
    forgetting()
    (tmp_path / "was_here").unlink()
    needed = (
        "needs block 'twice' and norm 'scale' and attention 'gate' and stem 'patches' and head 'largest' from mine.py (sha256"
    )
    for words in (["info", out], ["eval", out, letters], ["predict", out, letters], ["train", letters, "--weights", out]):
        assert run(*words) == 2
        err = capsys.readouterr().err
        assert needed in err and "give --plugin mine.py" in err and len(err.splitlines()) == 1
    for words in (["train", "--resume", "--out", out], ["train", "--recipe", out / "recipe.yaml"]):
        assert run(*words) == 2 and f"if you trust it, give --plugin {plugin}" in capsys.readouterr().err
    run("report", out)
    assert not (tmp_path / "was_here").exists() and "mine" not in sys.modules


def test_another_file_of_that_name_warns_and_does_not_resume(write, tmp_path, forgetting, monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)
    text = "import resnets\nfrom torch import nn\n@resnets.register('norm', 'mine')\ndef mine(channels, dims):\n"
    resnets.load_plugin(write(text + "    return nn.GroupNorm(1, channels)\n"))
    resnets.train("digits", out=tmp_path / "run", norm="mine", steps=1, **TINY)
    forgetting()
    resnets.load_plugin(write(text + "    return nn.GroupNorm(2, channels)\n"))
    with pytest.warns(plugins.Changed, match=r"norm 'mine' \(mine.py\) is not what it was saved with \(sha256"):
        resnets.load(tmp_path / "run/last.safetensors")
    with pytest.raises(InputError, match=r"has changed since the run began; it lies as it was in .*run/plugins/mine.py"):
        resnets.train(out=tmp_path / "run", resume=True)


@pytest.mark.parametrize("more", [{}, {"ema": 0.9}])
def test_resumed_is_uninterrupted_bit_for_bit(more, tmp_path, monkeypatch, write, forgetting):
    """With the copy of the file that lies in the run directory, named by the user; and an optimiser of one's own."""
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "d.npz",
        train_images=rng.integers(0, 256, (36, 8, 8), dtype=np.uint8), train_labels=np.arange(36) % 3,
        val_images=rng.integers(0, 256, (12, 8, 8), dtype=np.uint8), val_labels=np.arange(12) % 3,
    )  # fmt: skip
    plugin = write(ALL_KINDS)
    own = {"norm": "scale", "attention": "gate", "opt": "heavy"}
    settings = own | {"epochs": 2, "data": str(tmp_path / "d.npz")} | TINY | more
    resnets.load_plugin(plugin)
    resnets.train(out=tmp_path / "whole", **settings)
    with stopping(step=7):
        resnets.train(out=tmp_path / "parts", **settings)
    plugin.unlink()
    forgetting()
    resnets.load_plugin(tmp_path / "parts/plugins/mine.py")
    resnets.train(out=tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("damage", [3, [3], [{"kind": "norm"}], [{"kind": "x", "name": "a", "file": "b", "sha256": "c"}]])
def test_a_header_that_lies_about_parts(damage, tmp_path):
    path = resnets.save(resnets.create_model("resnet20_cifar", depths=(1,), width=8), tmp_path / "m.safetensors")
    tensors, header = weights.read_tensors(path)
    weights.write_tensors(path, tensors, header | {"plugins": damage})
    with pytest.raises(InputError, match="does not say which parts it needs"):
        resnets.load(path)


def test_what_is_registered_without_a_file_is_named_so(tmp_path):
    exec("import resnets, torch\nresnets.register('norm', 'typed', lambda c, d: torch.nn.GroupNorm(1, c))", {"__name__": "x"})
    model = resnets.create_model("resnet20_cifar", depths=(1,), width=8, norm="typed")
    path = resnets.save(model, tmp_path / "m.safetensors")
    assert resnets.load(path).spec.norm == "typed"
    del plugins.TABLES["norm", ""]["typed"]
    with pytest.raises(InputError, match="needs norm 'typed', registered in a notebook"):
        resnets.load(path)
