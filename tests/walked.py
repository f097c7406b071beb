"""What one reads to follow a command: the functions of the package that it enters, and their lines.

    PYTHONPATH=. python tests/walked.py classify [detect segment]

With the folder of another version as PYTHONPATH it counts that version. All modules are imported beforehand, so that what runs
at their import does not count. Then `resnets.cli.main.main` runs in this process, and a profile function notes every function
of the package that is entered, in every thread. A function counts once. Its lines are those from its decorators to its end,
functions within it included, without blank lines, comments and docstrings.

`train` is one step of ResNet-20, of "classify" on digits: `all` is entered from `main` to the end of `Tensor.backward`; `step`,
of that, from when the loader is asked for the first batch, and the function that asks; `stack` is under way in `backward`,
from the outermost. `predict` is a saved ResNet-20 on one picture: `all` is entered from `main` until the picture's row is
printed; `step`, of that, from when the weights are loaded.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NoReturn

import numpy as np
import torch
from PIL import Image

import resnets
from resnets import Preprocess, tasks

ROOT = Path(resnets.__file__).parent


class Ended(BaseException):
    """The walk is at its end. No `Exception`, so that nothing on the way catches it."""


class Walk:
    """The functions that are entered while it is on, in order: `all`, and since a step began `step`."""

    def __init__(self, event: str, name: str) -> None:
        self.begins = event, name  # of a step: the function called so is called, or returns
        self.all: dict[CodeType, None] = {}
        self.step: dict[CodeType, None] | None = None
        self.stack: list[CodeType] = []

    def note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if not is_own(code):
            return
        if self.step is None and (event, code.co_name) == self.begins:
            self.step = dict.fromkeys(under_way(frame.f_back)[-1:])
        if event == "call":
            self.all[code] = None
            if self.step is not None:
                self.step[code] = None

    def run(self, words: list[str]) -> None:
        from resnets.cli.main import main

        threading.setprofile(self.note)
        sys.setprofile(self.note)
        with contextlib.suppress(Ended):
            main(words)

    def end(self) -> NoReturn:
        sys.setprofile(None)
        threading.setprofile(None)
        self.stack = under_way(inspect.currentframe())
        raise Ended

    def to_json(self) -> dict[str, Any]:
        step = self.step or {}
        told = {"all": count(self.all), "step": count(step), "stack": [name_of(code) for code in self.stack]}
        return told | {"functions": [name_of(code) for code in self.all]}


def is_own(code: CodeType) -> bool:
    """Whether it is a function of the package: no module, no body of a class, nothing that a decorator made."""
    return code.co_filename.startswith(str(ROOT)) and bool(code.co_flags & inspect.CO_OPTIMIZED)


def name_of(code: CodeType) -> str:
    return f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname}"


def under_way(frame: FrameType | None) -> list[CodeType]:
    """The functions of the package that are under way in `frame`, from the outermost."""
    codes = []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    return [code for code in reversed(codes) if is_own(code)]


def lines_of(code: CodeType) -> set[int]:
    """The numbers of a function's lines, from its decorators to its end."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    last = max([code.co_firstlineno, *(line for _, _, line in code.co_lines() if line)])
    return set(range(code.co_firstlineno, last + 1)).union(*map(lines_of, inner))


def code_lines(path: Path) -> set[int]:
    """The numbers of a file's lines without blank ones, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    kept = {number for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.strip().startswith("#")}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            kept -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return kept


def count(codes: Iterable[CodeType]) -> dict[str, int]:
    """Lines, functions and files."""
    codes, files = list(codes), defaultdict(set)
    for code in codes:
        files[code.co_filename] |= lines_of(code)
    lines = sum(len(own & code_lines(Path(path))) for path, own in files.items())
    return {"lines": lines, "functions": len(codes), "files": len(files)}


def objects(folder: Path) -> Path:
    """Six pictures of noise with an object each, which detection and segmentation both take."""
    for number in range(6):
        numbers = np.zeros((32, 40), np.uint16)
        numbers[4 : 14 + number, 6:20] = 1
        pixels = np.random.default_rng(number).integers(0, 255, (32, 40, 3), np.uint8)
        for kind, values in {"images": pixels, "instances": numbers}.items():
            path = folder / ("val" if number > 3 else "train") / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    return folder


def train(task: str, folder: Path) -> Walk:
    walk, backward = Walk("call", "epoch"), torch.Tensor.backward

    def last(*args: Any, **options: Any) -> None:
        backward(*args, **options)
        walk.end()

    data = "digits" if task == "classify" else str(objects(folder / "data"))
    words = f"--task {task} --model resnet20_cifar --steps 1 --batch-size 2 --workers 0 --device cpu".split()
    torch.Tensor.backward = last  # type: ignore[method-assign, assignment]
    walk.run(["train", data, *words, "--out", str(folder / "run")])
    torch.Tensor.backward = backward  # type: ignore[method-assign]
    return walk


def predict(task: str, folder: Path) -> Walk:
    path, photo = folder / "model.safetensors", folder / "photo.png"
    rule = Preprocess(size=(32, 32), crop_pct=1.0)
    resnets.save(resnets.create_model("resnet20_cifar", task=task, labels=["cat", "dog"], preprocess=rule), path)
    Image.linear_gradient("L").resize((40, 32)).save(photo)
    walk = Walk("return", "load")

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            walk.end()

    with contextlib.redirect_stdout(Out()):
        walk.run(["predict", str(path), str(photo), *(["--threshold", "0"] if "threshold" in tasks.get(task).wanted else [])])
    return walk


def walked(task: str) -> dict[str, Walk]:
    with tempfile.TemporaryDirectory() as folder:
        return {command.__name__: command(task, Path(folder)) for command in (train, predict)}


def together(walks: list[Walk]) -> dict[str, Any]:
    """What the walks of several tasks enter, each function once."""
    return {
        name: count(dict.fromkeys(code for walk in walks for code in getattr(walk, name) or ())) for name in ("all", "step")
    }


if __name__ == "__main__":
    for module in pkgutil.walk_packages(resnets.__path__, "resnets."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    walks = {task: walked(task) for task in sys.argv[1:]}
    told: dict[str, Any] = {task: {name: walk.to_json() for name, walk in both.items()} for task, both in walks.items()}
    told["together"] = {name: together([both[name] for both in walks.values()]) for name in ("train", "predict")}
    print(json.dumps(told, indent=1))
