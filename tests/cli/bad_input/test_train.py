"""Bad settings of `resnets train`, weights to start from and places to write: status 2, the fault and the remedy named."""

import os

import pytest

from tests.cli.bad_input.made import (
    FAST,
    NET,
    TRAIN,
    Case,
    both,
    cut_short,
    other_format,
    pets,
    pickled,
    refused,
    text,
    torch_saved,
    with_file,
)


def recipe(content):
    def make(here):
        pets(here)
        text(here / "mine.yaml", content)

    return make


CASES = {
    # --- settings
    "flag of other software": Case(pets, f"{TRAIN} --learning-rate 3", "--learning-rate is here", "--lr"),
    "unknown flag": Case(pets, f"{TRAIN} --epoch 3", "No such option", "--epochs"),
    "too many words": Case(pets, "train pets cats", "unexpected extra argument", "cats"),
    "a flag without its value": Case(pets, "train pets --lr", "Option '--lr'", "requires an argument"),
    "unknown network": Case(pets, "train pets --model resnet51", "no network is called 'resnet51'", "did you mean resnet50"),
    "unknown task": Case(pets, f"{TRAIN} --task sing", "no task 'sing'", "this version has: classify"),
    "unknown recipe": Case(pets, f"{TRAIN} --recipe quick", "there is no recipe 'quick'", "use one of fast, finetune, he2015"),
    "recipe that does not exist": Case(
        pets, f"{TRAIN} --recipe mine.yaml", "mine.yaml: cannot be read as a recipe", "give a YAML file"
    ),
    "recipe with an unknown key": Case(
        recipe("weight_decoy: 0.1\n"),
        f"{TRAIN} --recipe mine.yaml",
        "there is no setting 'weight_decoy'",
        "did you mean weight_decay?",
    ),
    "recipe that is a list": Case(
        recipe("- lr\n- 0.1\n"), f"{TRAIN} --recipe mine.yaml", "mine.yaml: is not a recipe", "such as `lr: 0.1`"
    ),
    "recipe that is empty": Case(recipe(""), f"{TRAIN} --recipe mine.yaml", "mine.yaml: is not a recipe", "such as `lr: 0.1`"),
    "recipe that is no YAML": Case(
        recipe("lr: [0.1\n"), f"{TRAIN} --recipe mine.yaml", "mine.yaml: cannot be read", "give a YAML file"
    ),
    "recipe with code in it": Case(
        recipe("lr: !!python/object/apply:os.mkdir [pwned]\n"),
        f"{TRAIN} --recipe mine.yaml",
        "mine.yaml: cannot be read",
        "give a YAML file",
    ),
    "recipe with a value of another kind": Case(
        recipe("lr: {a: 1}\n"), f"{TRAIN} --recipe mine.yaml", "lr={'a': 1}", "give a number"
    ),
    "recipe without a value": Case(recipe("lr:\n"), f"{TRAIN} --recipe mine.yaml", "lr=None", "give a number"),
    "recipe of two lengths": Case(
        recipe("epochs: 3\nsteps: 4\n"),
        "train pets --recipe mine.yaml",
        "epochs and steps exclude each other",
        "give one of them",
    ),
    "a picture as recipe": Case(
        pets, f"{TRAIN} --recipe pets/cat/0.png", "pets/cat/0.png: cannot be read as a recipe", "give a YAML file"
    ),
    "a folder as recipe": Case(
        lambda d: (pets(d), (d / "x.yaml").mkdir()), f"{TRAIN} --recipe x.yaml", "x.yaml: cannot be read", "give a YAML file"
    ),
    "epochs and steps": Case(pets, f"{TRAIN} --steps 3", "epochs and steps exclude each other", "give one of them"),
    "time of nonsense": Case(pets, f"train pets {NET} --time soon", "time='soon'", "such as 90s, 10m or 1h30m"),
    "time of nothing": Case(pets, f"train pets {NET} --time 0m", "time='0m'", "such as 90s, 10m or 1h30m"),
    "lr nan": Case(pets, f"{TRAIN} --lr nan", "lr='nan'", "give a number"),
    "lr negative": Case(pets, f"{TRAIN} --lr -1", "lr=-1.0", "give at least 0"),
    "lr in words": Case(pets, f"{TRAIN} --lr high", "lr='high'", "give a number"),
    "epochs 0": Case(pets, f"train pets {NET} --epochs 0", "epochs=0", "give at least 1"),
    "epochs and a half": Case(pets, f"train pets {NET} --epochs 1.5", "epochs='1.5'", "give a whole number"),
    "batch size 1": Case(
        pets, f"{TRAIN} --batch-size 1", "batch_size=1: batch norm cannot learn", "use at least 2, and --accumulate"
    ),
    "batch size 0": Case(pets, f"{TRAIN} --batch-size 0", "batch_size=0", "give at least 1"),
    "device that is not there": Case(pets, f"{TRAIN} --device mps:7", "device='mps:7' is not available", "this machine has:"),
    "device of nonsense": Case(pets, f"{TRAIN} --device toaster", "device='toaster' is not available", "this machine has:"),
    "two channels": Case(
        pets, f"{TRAIN} --in-chans 2", "in_chans=2", "1 (grey), 3 (RGB) or 4 (RGBA) channels; use one of these"
    ),
    "three axes": Case(pets, f"{TRAIN} --dims 3", "dims=3: pictures have 2 spatial axes", "through Python only"),
    "no blocks": Case(pets, f"{TRAIN} --depths 0", "depths=(0,)", "such as (3, 4, 6, 3)"),
    "blocks in words": Case(pets, f"{TRAIN} --depths many", "depths='many'", "give a list, such as 1,2,3"),
    "no width": Case(pets, f"{TRAIN} --width 0", "width=0", "from 1 to"),
    "groups of a basic network": Case(pets, f"{TRAIN} --groups 4", "groups=4: with block='basic'", "use another block"),
    "no pixels": Case(pets, f"{TRAIN} --img-size 0", "img_size=0", "give at least 1"),
    "unknown choice": Case(pets, f"{TRAIN} --opt adam", "opt='adam'", "use one of sgd, adamw, lamb"),
    "epochs without end": Case(pets, f"train pets {NET} --epochs inf", "epochs='inf'", "give a whole number"),
    "lr without end": Case(pets, f"{TRAIN} --lr inf", "lr='inf'", "give a number"),
    "a seed too large": Case(pets, f"{TRAIN} --seed 5000000000", "seed=5000000000", "give at most"),
    "a pipe as recipe": Case(
        lambda d: (pets(d), os.mkfifo(d / "pipe.yaml")), f"{TRAIN} --recipe pipe.yaml", "pipe.yaml", "give a YAML file"
    ),
    "a recipe that is too deep": Case(
        recipe("[" * 5000), f"{TRAIN} --recipe mine.yaml", "mine.yaml: cannot be read", "give a YAML file"
    ),
    "a recipe that recipes": Case(
        recipe("recipe: mine.yaml\n"), f"{TRAIN} --recipe mine.yaml", "there is no recipe 'mine.yaml'", "use one of"
    ),
    "normalising by pixel and another size": Case(
        both, "train pets --out run --weights model.safetensors --img-size 8000 --depths x", "depths='x'", "give a list"
    ),
    "mixup negative": Case(pets, f"{TRAIN} --mixup -1", "mixup=-1.0", "give at least 0"),
    "crop scale the wrong way round": Case(pets, f"{TRAIN} --crop-scale 2,1", "crop_scale=[2.0, 1.0]", "such as 0.08,1"),
    "milestones that fall": Case(pets, f"{TRAIN} --milestones 0.9,0.1", "milestones=[0.9, 0.1]", "give rising fractions"),
    "smoothing above 1": Case(pets, f"{TRAIN} --smoothing 2", "smoothing=2.0", "give at most 1"),
    "val fraction 0": Case(pets, f"{TRAIN} --val-fraction 0", "val_fraction=0.0", "give at least 0.001"),
    "workers negative": Case(pets, f"{TRAIN} -j -1", "workers=-1", "give at least 0"),
    "nesterov without momentum": Case(pets, f"{TRAIN} --momentum 0", "nesterov needs a momentum", "add --no-nesterov"),
    "fewer outputs than classes": Case(
        pets, f"{TRAIN} --num-classes 1", "num_classes=1, and the data has 2 classes", "leave it out, or give at least 2"
    ),
    # --- weights to start from
    "weights of another format": Case(
        other_format,
        f"{TRAIN} --weights model.safetensors",
        "its format is resnets/7",
        "this version reads resnets/1; update resnets",
    ),
    "weights cut short": Case(cut_short, f"{TRAIN} --weights model.safetensors", "truncated or damaged", "copy it again"),
    "weights of another network": Case(
        both,
        "train pets --model resnet18 --weights model.safetensors",
        "the weights are a resnet20_cifar's, not a resnet18's",
        "leave out --model",
    ),
    "weights of another width": Case(
        both, f"{TRAIN} --width 6 --weights model.safetensors", "no tensor of its resnet20_cifar fits", "use --model"
    ),
    "a pickle as weights": Case(
        pickled, f"{TRAIN} --weights model.safetensors", "a pickle with more than tensors", "save only the tensors"
    ),
    "a torch.save as weights": Case(
        torch_saved, f"{TRAIN} --weights model.pth", "a pickle that asks for posix.mkdir", "save only the tensors"
    ),
    "no such weights": Case(pets, f"{TRAIN} --weights model.safetensors", "model.safetensors", "no such file or run directory"),
    "a network's name as weights": Case(
        pets, f"{TRAIN} --weights resnet18", "resnet18 names a network without weights", "`resnets train --model resnet18`"
    ),
    # --- where to
    "out below a file": Case(
        with_file("taken"),
        f"train pets {FAST} --out taken/run",
        "taken/run: cannot be made",
        "choose another folder with --out",
    ),
    "out is a file": Case(
        with_file("taken"), f"train pets {FAST} --out taken", "taken: is no folder", "choose another folder with --out"
    ),
    "out is taken": Case(
        with_file("home/thesis.txt"), f"train pets {FAST} --out home", "home: exists and is not empty", "choose another --out"
    ),
    "out is nowhere": Case(
        pets, f"train pets {FAST} --out /proc/run", "/proc/run: cannot be made", "choose another folder with --out"
    ),
    "resume where there is no run": Case(
        pets, f"train --out run {FAST} --resume", "run: no recipe.yaml here", "give DATA, and a new --out, to start one"
    ),
    "resume where there are no runs": Case(
        pets, "train --resume", "there is no run in runs to go on with", "name its folder with --out"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    refused(name, CASES[name], tmp_path, capsys)
