"""Mutated model files, recipes and records, given to every reader of them: how many, and what came back.

    python benchmarks/fuzz_models.py --inputs 200 --seed 0 [--readers pt2,onnx]

Each input is a valid file with a few changes: flipped bytes, cut ends, repeated, removed or exchanged parts, or hostile
values in its JSON, XML, YAML, CSV or pickle. Each must give an answer or an `InputError`. The inputs of a reader run in a
child process with limits on memory and time; a traceback, a signal, a hang or a lack of memory is a failure, and is counted.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY = 12 << 30  # bytes of address space for the child; torch and the runtimes reserve several by themselves
SECONDS = 20  # of the processor, for one input
WAIT_SECONDS = 200  # of the clock: an input that only waits
HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf"), "", "x", "\u00b2", "\x1b[31m\x07", "\ud800",
    "../../x", "__import__('os').abort()", [], {}, [[]], ["a", "a"], {"a": {}}, "9" * 5000, "A" * 20_000, [0] * 1000,
)  # fmt: skip


# --- valid files ------------------------------------------------------------------------------------------------------------


def made(folder: Path) -> None:
    """The valid files that are changed, in `folder`."""
    import torch

    import resnets
    from resnets.engine.recipe import Recipe
    from resnets.models.weights import save
    from resnets.ship.formats import FORMATS
    from resnets.ship.graph import program

    torch.manual_seed(0)
    small: dict[str, Any] = {"depths": (1, 1, 1), "width": 4}
    model = resnets.create_model("resnet20_cifar", labels=["cat", "dog"], **small).eval()
    model.decision, operating_point = decided_on_noise()
    save(model, folder / "model.safetensors")
    for task, (labels, config, decision) in {**OTHERS, "classify": (["cat", "dog"], {}, operating_point)}.items():
        other = resnets.create_model("resnet20_cifar", task=task, labels=labels, head_config=config, **small)
        other.decision = decision
        save(other, folder / f"{task}.safetensors")
    graph = program(model)
    for row in (FORMATS[name] for name in ("torch", "onnx", "openvino")):  # a page holds an ONNX file, read as that is
        row.write(graph, folder / f"model{row.suffix}", model.header, None)
    pre = resnets.create_model("resnet18", width=8, num_classes=4)
    torch.save(pre.state_dict(), folder / "zip.pth")
    torch.save({"state_dict": pre.state_dict(), "epoch": 3}, folder / "old.pth", _use_new_zipfile_serialization=False)
    (folder / "model.pth").write_bytes((folder / "zip.pth").read_bytes())
    (folder / "recipe.yaml").write_text(Recipe().to_yaml())
    rows = ["epoch,step,lr,train_loss,val_loss,val_top1", *(f"{n},{n * 10},0.1,1.{n},2.{n},0.5" for n in range(1, 6))]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    origin = {"data": {"fingerprint": "x", "dir": None}, "device": {"processes": 1}, "resumed": [], "seconds": 1.5}
    (folder / "provenance.json").write_text(json.dumps(origin))
    config = {"architecture": "resnet18", "num_classes": 4, "label_names": ["a", "b", "c", "d"]}
    config["pretrained_cfg"] = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 224, 224], "crop_pct": 0.9}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "labels.json").write_text(json.dumps({"0": "cat", "1": ["n1", "dog"]}))
    written_by_keras(folder / "model.h5")


# Models of the other tasks: labels, settings of the head, and what was decided on validation.
OF_A_LIST: dict[str, Any] = {"target": "age", "loss": "huber", "scale": "linear", "mean": 40.0, "std": 12.5}
OTHERS: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "detect": (["cat", "dog"], {}, {"threshold": 0.4, "operating_point": {"rule": "precision_at", "wanted": 0.9}}),
    "segment": (["background", "cat"], {}, {}),
    "tag": (["cat", "dog"], {}, {"thresholds": {"cat": 0.4, "dog": 0.6}, "unsupported": {"dog": 2}}),
    "grade": (["age"], OF_A_LIST, {"coverage": 0.9, "half_width": 1.5, "scale": "linear", "num_images": 40}),
}


def decided_on_noise() -> tuple[dict[str, Any], dict[str, Any]]:
    """What two classifiers of two classes decide on validation: when not to answer, and an operating point."""
    import numpy as np

    from resnets.tasks.classify import confidence, points

    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 500)
    logits = (random.normal(0, 1, (500, 2)) + 4 * np.eye(2)[truth]).astype(np.float32)
    asked = {"temperature": True, "abstain_at": 0.05, "sets": 0.95, "unknown_at": 0.01}
    return confidence.decide(logits, truth, asked), points.decide(logits, truth, ["cat", "dog"], {"sensitivity": 0.9})


def written_by_keras(path: Path) -> None:
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        for layer, shape in (("conv1_conv", (7, 7, 3, 8)), ("predictions", (8, 4))):
            group = file.create_group(f"{layer}/{layer}")
            group.create_dataset("kernel:0", data=np.zeros(shape, np.float32), chunks=shape, compression="gzip")
            group.create_dataset("bias:0", data=np.zeros(shape[-1], np.float32))


# --- changes ----------------------------------------------------------------------------------------------------------------


def changed_bytes(content: bytes, draw: random.Random) -> bytes:
    """Some bytes flipped, cut, repeated, or moved; many in the first part, where headers are."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        at = int(len(data) * draw.random() ** draw.choice((1, 3, 8))) if data else 0
        size = draw.choice((1, 1, 4, 8, 100))
        kind = draw.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at : at + size] = draw.randbytes(size)
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size] * draw.choice((1, 2, 50))
        elif kind == 4:
            data[at : at + size] = bytes([draw.choice((0, 0xFF, 0x7F, 0x80))]) * size
        elif draw.random() < 0.2:
            del data[at:]
    return bytes(data)


def changed_value(value: Any, draw: random.Random) -> Any:
    """JSON with one place exchanged for a hostile value, removed, or repeated."""
    places: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        found = stack.pop()
        for key in found if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ():
            places.append((found, key))
            stack.append(found[key])
    if not places:
        return draw.choice(HOSTILE)
    for _ in range(draw.choice((1, 1, 3))):
        holder, key = draw.choice(places)
        if (isinstance(holder, dict) and key not in holder) or (isinstance(holder, list) and key >= len(holder)):
            continue
        kind = draw.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[str(draw.choice(HOSTILE))[:50]] = holder.pop(key)
        elif kind == 2:
            other, name = draw.choice(places)
            if isinstance(other, dict) and name in other and isinstance(other[name], int | float | str | bool):
                holder[key] = other[name]
        else:
            holder[key] = draw.choice(HOSTILE)
    return value


def changed_json(content: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.3:
        return changed_bytes(content, draw)
    return json.dumps(changed_value(json.loads(content), draw)).encode(errors="surrogatepass")


def changed_header(content: bytes, draw: random.Random) -> bytes:
    """A safetensors file with other metadata or tensors in its header."""
    if draw.random() < 0.3:
        return changed_bytes(content, draw)
    size = int.from_bytes(content[:8], "little")
    whole = json.loads(content[8 : 8 + size])
    if draw.random() < 0.8:
        name = draw.choice(list(whole["__metadata__"]))
        whole["__metadata__"][name] = json.dumps(changed_value(json.loads(whole["__metadata__"][name]), draw))
    else:
        whole = changed_value(whole, draw)
    text = json.dumps(whole).encode(errors="surrogatepass")
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def changed_text(content: bytes, draw: random.Random) -> bytes:
    """A text with one word exchanged for a hostile one, or one line repeated."""
    if draw.random() < 0.3:
        return changed_bytes(content, draw)
    lines = content.decode().split("\n")
    at = draw.randrange(len(lines))
    if draw.random() < 0.2:
        lines.insert(at, draw.choice(lines))
    else:
        words = [str(word) for word in HOSTILE] + [
            "&a [*a]",
            "*x",
            "!!python/name:os.abort",
            "!!bool x",
            "!!int ''",
            "[" * 5000,
        ]
        head, sign, _ = lines[at].partition(": " if ": " in lines[at] else ",")
        lines[at] = head + sign + draw.choice(words)
    return "\n".join(lines).encode(errors="surrogatepass")


def changed_xml(content: bytes, draw: random.Random) -> bytes:
    """An XML with a number or a quoted word exchanged."""
    import re

    if draw.random() < 0.3:
        return changed_bytes(content, draw)
    text = content.decode()
    found = list(re.finditer(r'"[^"]*"|>-?\d+<', text))
    for place in sorted(draw.sample(found, draw.choice((1, 1, 2))), key=lambda place: -place.start()):
        words = [
            "-1",
            "0",
            "1",
            "1099511627776",
            "99999",
            "u1",
            "f64",
            "string",
            "opset2",
            "Loop",
            "Const",
            "a" * 5000,
            "?,?",
            "2, 2",
        ]
        other = draw.choice([*(f'"{word}"' for word in words), draw.choice(found)[0]])
        other = f">{draw.choice(words[:5])}<" if place[0][0] == ">" else other if other[0] == '"' else '"7"'
        text = text[: place.start()] + other + text[place.end() :]
    return text.encode()


def changed_zip(content: bytes, draw: random.Random) -> bytes:
    """An archive with one member changed by what its name says, or the bytes of the archive."""
    import io

    if draw.random() < 0.3:
        return changed_bytes(content, draw)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = draw.choice([name for name in names if name.endswith((".json", ".pkl"))] if draw.random() < 0.8 else names)
        for name in names:
            data = old.read(name)
            if name == chosen:
                data = changed_json(data, draw) if name.endswith(".json") and data else changed_bytes(data, draw)
            new.writestr(name, data)
    return out.getvalue()


def changed_onnx(content: bytes, draw: random.Random) -> bytes:
    """An ONNX model with an operator, an attribute, a constant or metadata exchanged."""
    import onnx

    if draw.random() < 0.4:
        return changed_bytes(content, draw)
    proto = onnx.load_model_from_string(content)
    graph = proto.graph
    kind = draw.randrange(6)
    node = draw.choice(list(graph.node))
    if kind == 0:
        node.op_type = draw.choice(["Loop", "Concat", "Conv", "Shape", "ConstantOfShape", "Add", "MatMul", "Slice"])
    elif kind == 1 and node.attribute:
        attribute = draw.choice(list(node.attribute))
        attribute.i = draw.choice((-1, 0, 7, 2**40))
        attribute.ints[:] = [draw.choice((-1, 0, 3, 63, 2**40)) for _ in attribute.ints]
    elif kind == 2:
        tensor = draw.choice(list(graph.initializer))
        tensor.raw_data = changed_bytes(tensor.raw_data, draw)
    elif kind == 3:
        tensor = draw.choice(list(graph.initializer))
        tensor.dims[:] = [draw.choice((0, 1, -1, 3, 2**40)) for _ in tensor.dims]
    elif kind == 4:
        node.input[:] = [draw.choice(graph.node).output[0] for _ in node.input]
    else:
        entry = draw.choice(list(proto.metadata_props))
        entry.value = changed_json(entry.value.encode(), draw).decode(errors="replace")
    return proto.SerializeToString()


Change = Callable[[bytes, random.Random], bytes]
READERS: dict[str, tuple[str, Change]] = {  # name: the file that is changed, and how
    "safetensors": ("model.safetensors", changed_header),
    **{task: (f"{task}.safetensors", changed_header) for task in ("classify", *OTHERS)},
    "pt2": ("model.pt2", changed_zip),
    "onnx": ("model.onnx", changed_onnx),
    "onnx in openvino": ("model.onnx", changed_onnx),
    "openvino xml": ("model.xml", changed_xml),
    "openvino bin": ("model.bin", changed_bytes),
    "torch zip": ("zip.pth", changed_zip),
    "torch legacy": ("old.pth", changed_bytes),
    "hdf5": ("model.h5", changed_bytes),
    "recipe": ("recipe.yaml", changed_text),
    "metrics": ("metrics.csv", changed_text),
    "provenance": ("provenance.json", changed_json),
    "config": ("config.json", changed_json),
    "labels": ("labels.json", changed_json),
}


def read(reader: str, path: Path) -> None:
    """What the package does with such a file; a model also answers once."""
    import numpy as np

    from resnets.engine.run import RunDir
    from resnets.engine.settings import read_file
    from resnets.models.pretrained import facts, opening
    from resnets.ship import hub
    from resnets.ship.sessions import open_session
    from resnets.tasks.classify.settings import ClassifySettings
    from resnets.verbs.predict import predict

    if path.suffix == ".safetensors":  # also how outputs become answers
        session = open_session(path, device="cpu")
        size = session.header.preprocess.size
        if np.prod(size) < 1e5:
            rows = list(predict(session, [path.with_name("grey.png")], workers=0))
            json.dumps(rows, allow_nan=False)  # which a service sends
            json.dumps(session.header.to_json())
    elif reader in ("pt2", "onnx", "onnx in openvino", "openvino xml", "openvino bin"):
        runtime = "openvino" if "openvino" in reader else "auto"
        session = open_session(path.with_suffix(".xml") if path.suffix == ".bin" else path, runtime=runtime, device="auto")
        size = (session.header.spec.in_chans, *session.header.preprocess.size)
        if np.prod(size) < 1e6:
            session.run(np.zeros((1, *size), np.uint8))
        json.dumps(session.header.to_json())
    elif reader in ("torch zip", "torch legacy", "hdf5"):
        hub.built(opening.open_weights(path))
    elif reader == "recipe":
        from resnets.engine.layers import resolve

        resolve(ClassifySettings, {path.name: read_file(path)})
    elif reader == "metrics":
        RunDir(path.parent).read_metrics()
    elif reader == "provenance":
        run = RunDir(path.parent)
        json.dumps(run.read_provenance())
        run.read_provenance().get("data", {}).get("fingerprint")
    elif reader == "config":
        opening.open_weights(path.with_name("model.pth"))
    else:
        facts.read_labels(path)


# --- children ---------------------------------------------------------------------------------------------------------------


def child(folder: Path, reader: str, seed: int, first: int, last: int) -> None:
    """Read the inputs `first` to `last` of a reader; a line of JSON for each on stdout: its number, and what came back."""
    import resource
    import shutil
    import signal
    import traceback

    from PIL import Image

    from resnets.errors import InputError

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    name, change = READERS[reader]
    place = folder / "changed"
    place.mkdir(exist_ok=True)
    for beside in ("model.xml", "model.bin"):
        shutil.copy(folder / beside, place / beside)
    shutil.copy(folder / "zip.pth", place / "model.pth")
    content = (folder / name).read_bytes()
    (place / name).write_bytes(content)
    Image.new("RGB", (40, 40), "grey").save(place / "grey.png")
    with suppress(InputError):  # of the HDF5 file, which is no whole network
        read(reader, place / name)  # whatever has to be imported is then
    for number in range(first, last):
        target = place / name
        target.write_bytes(change(content, random.Random(f"{seed} {reader} {number}")))
        print(json.dumps({"number": number, "result": "begun"}), flush=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # no handlers: they end the process
        signal.alarm(WAIT_SECONDS)
        try:
            read(reader, target)
            result = "read"
        except InputError as error:
            result = "refused" if len(str(error)) < 1500 else f"a message of {len(str(error))} characters"
        except BaseException:
            result = traceback.format_exc()[-1500:]
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        print(json.dumps({"number": number, "result": result}), flush=True)


def run(folder: Path, reader: str, seed: int, num_inputs: int) -> dict[str, Any]:
    """Counts of one reader, and what failed, as (number, what)."""
    counts = {"inputs": 0, "read": 0, "refused": 0}
    failures: list[tuple[int, str]] = []
    first = 0
    while first < num_inputs:
        words = [sys.executable, __file__, "--child", str(folder), reader, str(seed), str(first), str(num_inputs)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        begun = None
        for line in done.stdout.splitlines():
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if told["result"] == "begun":
                begun = told["number"]
                continue
            counts["inputs"], begun, first = counts["inputs"] + 1, None, told["number"] + 1
            if told["result"] in counts:
                counts[told["result"]] += 1
            else:
                failures.append((told["number"], told["result"]))
        if begun is None and done.returncode:
            raise SystemExit(f"{reader}: the child ended with {done.returncode}: {done.stderr[-2000:]}")
        if begun is not None:  # it ended the process
            counts["inputs"], first = counts["inputs"] + 1, begun + 1
            failures.append((begun, f"ended with signal {-done.returncode}: {done.stderr[-300:]}"))
    return {**counts, "failures": failures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200, help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        folder, reader, seed, first, last = asked.child
        return child(Path(folder), reader, int(seed), int(first), int(last))
    total = failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        made(Path(temporary))
        print(f"{'reader':<18}{'inputs':>8}{'read':>8}{'refused':>9}{'failures':>10}", flush=True)
        for reader in asked.readers.split(","):
            found = run(Path(temporary), reader, asked.seed, asked.inputs)
            bad = found["failures"]
            total, failed = total + found["inputs"], failed + len(bad)
            print(f"{reader:<18}{found['inputs']:>8}{found['read']:>8}{found['refused']:>9}{len(bad):>10}", flush=True)
            for number, what in bad[:5]:
                print(f"  input {number}: {what}", file=sys.stderr)
    print(f"{'all':<18}{total:>8}{'':>17}{failed:>10}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
