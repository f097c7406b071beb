"""The ways from picture files to labels that are measured against each other: people's, as their documentation shows them, and
ours. Each is a row of `ROWS`; what a row opens is made beforehand, from the same weights (`MADE`).

`python -m resnets.peers` reads a job (JSON) from stdin and tells what it finds, JSON by the line, on stdout; `resnets.speed`
asks. Importing this imports no torch.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnets.spec import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from resnets.model import Model

BEGAN = time.perf_counter()
# model: name or file; named: which of both; folder: where files are made; num: pictures wanted; pictures: their paths;
# bf16: whether the processor has it; verb, name: what to do with what.
Job = dict[str, Any]
Tell = Callable[..., None]
Network = Callable[["Tensor"], list[int]]  # normalised (N, 3, 224, 224) -> N classes

SAMPLE_SIZE = (480, 360)
NUM_CALIBRATION = 128  # pictures that int8 is calibrated on
NUM_CHECK = 16  # pictures that exports are checked on
NUM_SETTLING = 64  # pictures that random weights are settled on
NUM_WARM = 128  # pictures before the folder is timed
NUM_SINGLE, NUM_SINGLE_WARM = 100, 5  # pictures of which each alone is timed, and those before them
PEER_BATCH = 16
NO_BF16 = "this processor has no instructions for bfloat16"


class Labeller(NamedTuple):
    """An opened network: the classes of many files, in order; the class of one file, as soon as may be."""

    many: Callable[[Sequence[str]], Iterator[str]]
    one: Callable[[str], str]


class Row(NamedTuple):
    """One way. `file`: what it opens, of `MADE`; `needs`: packages beside the core."""

    file: str
    open: Callable[[Path, Job], Labeller]
    needs: tuple[str, ...] = ()
    default: bool = True

    @property
    def ours(self) -> bool:
        return not self.file.startswith("peer")

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if util.find_spec(name) is None]


# --- what is opened -----------------------------------------------------------------------------------------


def ours(path: Path, job: Job, amp: bool = False) -> Labeller:
    """This package's own way, with nothing set, but that single pictures are told of."""
    from resnets.prediction import predict
    from resnets.ship.sessions import open_session

    if amp and not job["bf16"]:
        raise InputError(NO_BF16)
    single = job["verb"] == "wait"
    session = open_session(path, device="cpu", streams=1 if single else None, amp=amp)
    workers = 0 if single else None

    def label(row: Mapping[str, Any]) -> str:
        if "error" in row:
            raise InputError(f"{row['path']}: {row['error']}")
        return row["label"]

    def many(files: Sequence[str]) -> Iterator[str]:
        return map(label, predict(session, files, workers=workers))

    return Labeller(many, lambda file: next(many([file])))


def torchvision_eager(path: Path, job: Job) -> Labeller:
    """As torchvision's documentation classifies a picture, a batch at a time."""
    import torch
    import torchvision

    net = torchvision.models.get_model(job["model"])
    net.load_state_dict(torch.load(path, weights_only=True))
    net.eval()

    @torch.inference_mode()
    def network(x: Tensor) -> list[int]:
        return net(x).argmax(1).tolist()

    return with_data_loader(network)


def timm_bf16(path: Path, job: Job) -> Labeller:
    """channels_last under autocast to bfloat16, where the processor has it, as timm's own scripts take them by --amp."""
    import timm
    import torch

    net = timm.create_model(job["model"], checkpoint_path=str(path)).eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def network(x: Tensor) -> list[int]:
        with torch.autocast("cpu", torch.bfloat16, enabled=job["bf16"]):
            return net(x.to(memory_format=torch.channels_last)).argmax(1).tolist()

    return with_data_loader(network)


def onnxruntime(path: Path, job: Job) -> Labeller:
    import onnxruntime as ort

    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return with_data_loader(lambda x: session.run(None, {"x": x.numpy()})[0].argmax(1).tolist())


def openvino(path: Path, job: Job, precision: str | None = None) -> Labeller:
    import openvino as ov

    if precision == "bf16" and not job["bf16"]:
        raise InputError(NO_BF16)
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": precision} if precision else {})
    return with_data_loader(lambda x: compiled(x.numpy())[0].argmax(1).tolist())


def openvino_async(path: Path, job: Job) -> Labeller:
    """As OpenVINO's documentation goes for throughput: several batches in the network at once."""
    import openvino as ov

    if job["verb"] == "wait":
        return openvino(path, job)
    compiled = ov.Core().compile_model(path, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})

    def many(files: Sequence[str]) -> Iterator[str]:
        labels: dict[int, list[int]] = {}
        queue = ov.AsyncInferQueue(compiled)
        queue.set_callback(lambda request, number: labels.update({number: request.get_output_tensor().data.argmax(1).tolist()}))
        for number, batch in enumerate(batches(files)):
            queue.start_async({0: batch.numpy()}, number)
        queue.wait_all()
        for number in sorted(labels):
            yield from map(str, labels[number])

    return with_data_loader(lambda x: compiled(x.numpy())[0].argmax(1).tolist())._replace(many=many)


def with_data_loader(network: Network) -> Labeller:
    """Files to labels as the peers' documentation shows: workers decode, the network takes what they collate."""
    alone = PeerPictures([])

    def many(files: Sequence[str]) -> Iterator[str]:
        for batch in batches(files):
            yield from map(str, network(batch))

    return Labeller(many, lambda file: str(*network(alone.read(file)[None])))


def batches(files: Sequence[str]) -> Iterable[Tensor]:
    from torch.utils.data import DataLoader

    from resnets.data.images import default_workers

    pictures: Any = PeerPictures(files)  # torch asks for no more than it has
    return DataLoader(pictures, PEER_BATCH, num_workers=default_workers())


class PeerPictures:
    """A dataset of files as torchvision's documentation prepares them."""

    def __init__(self, files: Sequence[str]) -> None:
        import torch
        from torchvision.transforms import v2 as T

        self.files = files
        normalise = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        dtype = T.ToDtype(torch.float32, scale=True)
        self.transform = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToImage(), dtype, normalise])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return self.read(self.files[index])

    def read(self, file: str) -> Tensor:
        from PIL import Image

        return self.transform(Image.open(file).convert("RGB"))


ONNX = ("onnxruntime", "onnx", "onnxscript")
ROWS: dict[str, Row] = {
    "torchvision": Row("peer.pth", torchvision_eager),
    "timm": Row("peer.pth", timm_bf16, ("timm",)),
    "onnxruntime": Row("peer.onnx", onnxruntime, ONNX),
    "openvino-f32": Row("peer.xml", partial(openvino, precision="f32"), ("openvino",)),
    "openvino-bf16": Row("peer.xml", partial(openvino, precision="bf16"), ("openvino",)),
    "openvino-int8": Row("peer-int8.xml", openvino, ("openvino", "nncf")),
    "openvino-int8-async": Row("peer-int8.xml", openvino_async, ("openvino", "nncf"), default=False),
    "resnets-torch": Row("model.safetensors", ours),
    "resnets-torch-bf16": Row("model.safetensors", partial(ours, amp=True), default=False),
    "resnets-torch-int8": Row("model-int8.pt2", ours, ("torchao",), default=False),
    "resnets-onnx": Row("model.onnx", ours, ONNX),
    "resnets-onnx-int8": Row("model-int8.onnx", ours, ONNX),
    "resnets-openvino": Row("model.xml", ours, ("openvino",)),
    "resnets-openvino-bf16": Row("model.xml", partial(ours, amp=True), ("openvino",), default=False),
    "resnets-openvino-int8": Row("model-int8.xml", ours, ("openvino", "nncf")),
}


# --- what is made -------------------------------------------------------------------------------------------


def make_model(job: Job, source: Path, out: Path) -> None:
    """A named network with random weights, settled on the pictures; or one's own, as it is."""
    import torch

    from resnets import hub

    if not job["named"]:
        hub.save(hub.for_pictures(hub.load(job["model"])), out)
        return
    torch.manual_seed(0)
    model = hub.create_model(job["model"])
    settle(model, inputs(model, job["pictures"][:NUM_SETTLING]))
    hub.save(model, out)


def inputs(model: Model, pictures: Sequence[Any]) -> Tensor:
    """Pictures, as paths or arrays, as the network takes them."""
    import torch

    from resnets.data.fit import fit_picture
    from resnets.data.transforms import normalise

    pixels = [torch.as_tensor(fit_picture(picture, model.preprocess)) for picture in pictures]
    return normalise(torch.stack(pixels), model.preprocess)


def settle(model: Model, x: Tensor, batch_size: int = 16) -> None:
    """Give random weights activations of the usual size (in place): batch norm takes its statistics from `x`, normalised; the
    head is drawn such that logits spread by about 1 from picture to picture."""
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
    momenta = [norm.momentum for norm in norms]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # a plain mean over batches
        model.train()
        for batch in x.split(batch_size):
            model(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        pooled: list[Tensor] = []
        fc: Any = model.fc
        hook = fc.register_forward_pre_hook(lambda module, given: pooled.append(given[0]))
        model.eval()
        for batch in x.split(batch_size):
            model(batch)
        hook.remove()
        features = torch.cat(pooled)
        mean = features.mean(0)
        fc.weight.normal_(std=float((features - mean).square().sum(1).mean().rsqrt()))
        fc.bias.copy_(-fc.weight @ mean)


def make_export(job: Job, source: Path, out: Path, form: str, int8: bool = False) -> None:
    from resnets import shipping

    # Forced, for 8 bits change the answers of random weights, and speed is what is asked for.
    data = calibration(job)
    shipping.export(source, format=form, out=out, int8=data if int8 else None, data=data, num_check=NUM_CHECK, force=True)


def calibration(job: Job) -> str:
    """A folder with the pictures that 8 bits are calibrated on."""
    folder = Path(job["folder"], "calibration")
    if not folder.exists():
        folder.mkdir()
        for number, picture in enumerate(job["pictures"][:NUM_CALIBRATION]):
            shutil.copy(picture, folder / f"{number:03}{Path(picture).suffix}")
    return str(folder)


def make_peer(job: Job, source: Path, out: Path) -> None:
    import torch

    from resnets import hub

    torch.save(hub.load(source).state_dict(), out)


def peer_network(job: Job, source: Path) -> Any:
    import torch
    import torchvision

    net = torchvision.models.get_model(job["model"])
    net.load_state_dict(torch.load(source, weights_only=True))
    return net.eval()


def make_peer_onnx(job: Job, source: Path, out: Path) -> None:
    import torch

    net, x = peer_network(job, source), torch.randn(2, 3, 224, 224)
    torch.onnx.export(net, (x,), out, dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), input_names=["x"])


def make_peer_openvino(job: Job, source: Path, out: Path) -> None:
    import openvino as ov
    import torch

    converted = ov.convert_model(peer_network(job, source), example_input=torch.randn(2, 3, 224, 224), input=[-1, 3, 224, 224])
    ov.save_model(converted, out, compress_to_fp16=False)


def make_peer_int8(job: Job, source: Path, out: Path) -> None:
    import nncf
    import openvino as ov

    pictures = PeerPictures(job["pictures"][:NUM_CALIBRATION])
    data = nncf.Dataset([pictures[index][None].numpy() for index in range(len(pictures))])
    ov.save_model(nncf.quantize(ov.Core().read_model(source), data, subset_size=len(pictures)), out)


class Made(NamedTuple):
    """How a file comes about, and the file that it is made of."""

    make: Callable[[Job, Path, Path], None]
    source: str = ""


MADE: dict[str, Made] = {
    "model.safetensors": Made(make_model),
    "model-int8.pt2": Made(partial(make_export, form="torch", int8=True), "model.safetensors"),
    "model.onnx": Made(partial(make_export, form="onnx"), "model.safetensors"),
    "model-int8.onnx": Made(partial(make_export, form="onnx", int8=True), "model.safetensors"),
    "model.xml": Made(partial(make_export, form="openvino"), "model.safetensors"),
    "model-int8.xml": Made(partial(make_export, form="openvino", int8=True), "model.safetensors"),
    "peer.pth": Made(make_peer, "model.safetensors"),
    "peer.onnx": Made(make_peer_onnx, "peer.pth"),
    "peer.xml": Made(make_peer_openvino, "peer.pth"),
    "peer-int8.xml": Made(make_peer_int8, "peer.xml"),
}


# --- verbs --------------------------------------------------------------------------------------------------


def look(job: Job, tell: Tell) -> None:
    """Which machine this is, and which of the pictures can be read; without any, some are made."""
    import torch
    from PIL import Image

    from resnets.data.images import BadPicture, num_processors, open_picture
    from resnets.engine import device

    paths, bad, sizes = job["pictures"], {}, []
    if paths is None:
        paths = make_pictures(Path(job["folder"], "pictures"), job["num"])
    for path in paths:
        try:
            open_picture(path)
            with Image.open(path) as picture:
                sizes.append((*picture.size, Path(path).stat().st_size))
        except BadPicture as fault:
            bad[fault.path] = fault.reason
    paths = [path for path in paths if path not in bad]
    if not paths:
        raise InputError("none of the pictures can be read; `resnets data check` says why")
    place = torch.device("cpu")
    medians = [int(statistics.median(column)) for column in zip(*sizes, strict=True)]
    tell(
        paths=paths,
        bad=bad,
        sizes=dict(zip(("width", "height", "bytes"), medians, strict=True)),
        bf16=device.supports_bf16(place),
        device={"type": "cpu", "name": device.cpu_name(), "processors": num_processors(), "threads": torch.get_num_threads()},
    )


def make_pictures(folder: Path, num: int) -> list[str]:
    """Parts of scikit-learn's two sample photographs, some mirrored, as JPEG files; the same ones each time."""
    import numpy as np
    from PIL import Image, ImageOps
    from sklearn.datasets import load_sample_images

    folder.mkdir()
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    draw, paths = np.random.default_rng(0), []
    for number in range(num):
        whole = photographs[number % len(photographs)]
        scale = draw.uniform(0.5, 1) * min(side / wanted for side, wanted in zip(whole.size, SAMPLE_SIZE, strict=True))
        width, height = (scale * side for side in SAMPLE_SIZE)
        left, top = draw.uniform(0, whole.width - width), draw.uniform(0, whole.height - height)
        part = whole.resize(SAMPLE_SIZE, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
        paths.append(str(folder / f"{number:04}.jpg"))
        (ImageOps.mirror(part) if draw.random() < 0.5 else part).save(paths[-1], quality=90)
    return paths


def make_file(job: Job, tell: Tell) -> None:
    made = MADE[job["name"]]
    made.make(job, Path(job["folder"], made.source), Path(job["folder"], job["name"]))


def label(job: Job, tell: Tell) -> None:
    """Run a row: its first label, then the folder as a whole."""
    labeller, pictures = opened(job), job["pictures"]
    at = time.perf_counter()
    labeller.one(pictures[0])
    tell(open_seconds=at - BEGAN, first_label_seconds=time.perf_counter() - at)
    for _ in labeller.many(pictures[:NUM_WARM]):
        pass
    at = time.perf_counter()
    labels = list(labeller.many(pictures))
    tell(labels=labels, seconds=time.perf_counter() - at)


def wait(job: Job, tell: Tell) -> None:
    """Run a row on one picture after the other."""
    labeller, latencies = opened(job), []
    for picture in itertools.islice(itertools.cycle(job["pictures"]), NUM_SINGLE_WARM + NUM_SINGLE):
        at = time.perf_counter()
        labeller.one(picture)
        latencies.append(time.perf_counter() - at)
    tell(latencies=latencies[NUM_SINGLE_WARM:])


def opened(job: Job) -> Labeller:
    row = ROWS[job["name"]]
    return row.open(Path(job["folder"], row.file), job)


VERBS: dict[str, Callable[[Job, Tell], None]] = {"look": look, "make": make_file, "label": label, "wait": wait}


def main() -> None:
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no part of the answer

        def tell(**values: Any) -> None:
            print(json.dumps(values), file=out, flush=True)

        try:
            VERBS[job["verb"]](job, tell)
        except InputError as fault:
            tell(input_error=str(fault))


if __name__ == "__main__":
    main()
