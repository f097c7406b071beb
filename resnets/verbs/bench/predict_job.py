"""The jobs of `bench.predict`, each in a process of its own: inspect the images, make a file that rows open (`MADE`; all from
the same weights), and measure a row of `ROWS`. Importing this module imports no torch.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from resnets.errors import InputError
from resnets.models.records import DeviceRecord
from resnets.verbs.bench.predict_ways import LATENCY, ROWS, THROUGHPUT, Labeller, PeerPictures, PredictJob
from resnets.verbs.bench.process import BEGAN, Tell, answer

if TYPE_CHECKING:
    from torch import Tensor

    from resnets.models.model import Model

SAMPLE_SIZE = (480, 360)
NUM_CALIBRATION = 128  # images that int8 is calibrated on
NUM_CHECK = 16  # images that exports are checked on
NUM_SCALING = 64  # images that random weights are scaled on
NUM_WARM_UP = 128  # images before the folder is timed
NUM_SINGLE, NUM_SINGLE_WARM_UP = 100, 5  # images that are timed one by one, and those before them


# What the process tells, by verb


class Size(TypedDict):
    """Medians over the images: pixels, and bytes of the file."""

    width: int
    height: int
    bytes: int


class Inspected(TypedDict):
    """Told by "inspect"."""

    paths: list[str]  # of the readable images
    bad: dict[str, str]  # path -> why it cannot be read
    sizes: Size
    bf16: bool
    device: DeviceRecord


class Timed(TypedDict, total=False):
    """Told by "latency" and "throughput" of a row, together; all times in seconds."""

    cold_start_seconds: float  # from the start of the process to its first label
    open_seconds: float  # of these, to the opened network
    first_label_seconds: float  # and from there to the first label
    labels: list[str]  # of the whole folder
    seconds: float  # for the whole folder
    latencies: list[float]  # of single images


# --- making files ---------------------------------------------------------------------------------------------------------


def make_model(job: PredictJob, source: Path, out: Path) -> None:
    """A named network, with random weights that are scaled on the images; or a saved model, unchanged."""
    import torch

    from resnets.ship import hub
    from resnets.ship.sessions import exportable

    if not job["named"]:
        loaded = hub.load(job["model"])
        exportable(loaded.header)
        hub.save(loaded, out)
        return
    torch.manual_seed(0)
    model = hub.create_model(job["model"])
    scale_random_weights(model, inputs(model, job["pictures"][:NUM_SCALING]))
    hub.save(model, out)


def inputs(model: Model, pictures: Sequence[Any]) -> Tensor:
    """Images, given as paths or arrays, as the network's input (N, C, H, W), normalised."""
    import torch

    from resnets.data.pictures.resize import fit_picture
    from resnets.data.transforms import normalise

    pixels = [torch.as_tensor(fit_picture(picture, model.preprocess)) for picture in pictures]
    return normalise(torch.stack(pixels), model.preprocess)


def scale_random_weights(model: Model, x: Tensor, batch_size: int = 16) -> None:
    """Change random weights in place, so that activations have the range of a trained network: batch norm takes its statistics
    from `x` (N, C, H, W), normalised; the head is drawn so that logits have a standard deviation of about 1 over images."""
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


def make_export(job: PredictJob, source: Path, out: Path, format: str, int8: bool = False) -> None:
    from resnets.verbs import export as exporting

    # With `force`, because 8 bits change the predictions of random weights, and only the speed matters here.
    data = calibration(job)
    exporting.export(source, format=format, out=out, int8=data if int8 else None, data=data, num_check=NUM_CHECK, force=True)


def calibration(job: PredictJob) -> str:
    """A folder with the images that 8 bits are calibrated on."""
    folder = Path(job["folder"], "calibration")
    if not folder.exists():
        folder.mkdir()
        for number, picture in enumerate(job["pictures"][:NUM_CALIBRATION]):
            shutil.copy(picture, folder / f"{number:03}{Path(picture).suffix}")
    return str(folder)


def make_peer(job: PredictJob, source: Path, out: Path) -> None:
    import torch

    from resnets.ship import hub

    torch.save(hub.load(source).state_dict(), out)


def peer_network(job: PredictJob, source: Path) -> Any:
    import torch
    import torchvision

    net = torchvision.models.get_model(job["model"])
    net.load_state_dict(torch.load(source, weights_only=True))
    return net.eval()


def make_peer_onnx(job: PredictJob, source: Path, out: Path) -> None:
    import torch

    net, x = peer_network(job, source), torch.randn(2, 3, 224, 224)
    torch.onnx.export(net, (x,), out, dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), input_names=["x"])


def make_peer_openvino(job: PredictJob, source: Path, out: Path) -> None:
    import openvino as ov
    import torch

    converted = ov.convert_model(peer_network(job, source), example_input=torch.randn(2, 3, 224, 224), input=[-1, 3, 224, 224])
    ov.save_model(converted, out, compress_to_fp16=False)


def make_peer_int8(job: PredictJob, source: Path, out: Path) -> None:
    import nncf
    import openvino as ov

    pictures = PeerPictures(job["pictures"][:NUM_CALIBRATION])
    data = nncf.Dataset([pictures[index][None].numpy() for index in range(len(pictures))])
    ov.save_model(nncf.quantize(ov.Core().read_model(source), data, subset_size=len(pictures)), out)


class Made(NamedTuple):
    """How a file is made, and the file that it is made from: `make(job, source, out)`."""

    make: Callable[[PredictJob, Path, Path], None]
    source: str = ""


MADE: dict[str, Made] = {
    "model.safetensors": Made(make_model),
    "model-int8.pt2": Made(partial(make_export, format="torch", int8=True), "model.safetensors"),
    "model.onnx": Made(partial(make_export, format="onnx"), "model.safetensors"),
    "model-int8.onnx": Made(partial(make_export, format="onnx", int8=True), "model.safetensors"),
    "model.xml": Made(partial(make_export, format="openvino"), "model.safetensors"),
    "model-int8.xml": Made(partial(make_export, format="openvino", int8=True), "model.safetensors"),
    "peer.pth": Made(make_peer, "model.safetensors"),
    "peer.onnx": Made(make_peer_onnx, "peer.pth"),
    "peer.xml": Made(make_peer_openvino, "peer.pth"),
    "peer-int8.xml": Made(make_peer_int8, "peer.xml"),
}


# --- verbs ----------------------------------------------------------------------------------------------------------------


def inspect(job: PredictJob, tell: Tell) -> None:
    """Tell `Inspected`. Where the job names no images, some are made of sample photographs.

    Raises:
        InputError: if no image can be read.
    """
    import torch
    from PIL import Image

    from resnets.data.machine import num_processors
    from resnets.data.pictures.images import BadPicture, open_picture
    from resnets.data.pictures.samples import write_samples
    from resnets.engine import device

    paths, bad, sizes = job.get("pictures"), {}, []
    if paths is None:
        paths = [str(path) for path in write_samples(Path(job["folder"], "pictures"), job["num"], size=SAMPLE_SIZE)]
    for path in paths:
        try:
            open_picture(path)
            with Image.open(path) as picture:
                sizes.append((*picture.size, Path(path).stat().st_size))
        except BadPicture as fault:
            bad[fault.path] = fault.reason
    paths = [path for path in paths if path not in bad]
    if not paths:
        raise InputError("none of the images can be read; `resnets data check` says why")
    medians = [int(statistics.median(column)) for column in zip(*sizes, strict=True)]
    tell(
        paths=paths,
        bad=bad,
        sizes=dict(zip(("width", "height", "bytes"), medians, strict=True)),
        bf16=device.supports_bf16(torch.device("cpu")),
        device={"type": "cpu", "name": device.cpu_name(), "processors": num_processors(), "threads": torch.get_num_threads()},
    )


def make_file(job: PredictJob, tell: Tell) -> None:
    """Make the file of the job's name."""
    made = MADE[job["name"]]
    made.make(job, Path(job["folder"], made.source), Path(job["folder"], job["name"]))


def measure_throughput(job: PredictJob, tell: Tell) -> None:
    """Tell the times to a row's first label, then the labels of the whole folder and their time."""
    labeller, pictures = opened(job), job["pictures"]
    at = time.perf_counter()
    labeller.one(pictures[0])
    tell(open_seconds=at - BEGAN, first_label_seconds=time.perf_counter() - at)
    for _ in labeller.many(pictures[:NUM_WARM_UP]):
        pass
    at = time.perf_counter()
    labels = list(labeller.many(pictures))
    tell(labels=labels, seconds=time.perf_counter() - at)


def measure_latency(job: PredictJob, tell: Tell) -> None:
    """Tell the times of a row for one image after the other."""
    labeller, latencies = opened(job), []
    for picture in itertools.islice(itertools.cycle(job["pictures"]), NUM_SINGLE_WARM_UP + NUM_SINGLE):
        at = time.perf_counter()
        labeller.one(picture)
        latencies.append(time.perf_counter() - at)
    tell(latencies=latencies[NUM_SINGLE_WARM_UP:])


def opened(job: PredictJob) -> Labeller:
    """The network of the job's row."""
    row = ROWS[job["name"]]
    return row.open(Path(job["folder"], row.file), job)


VERBS: dict[str, Callable[[PredictJob, Tell], None]] = {
    "inspect": inspect,
    "make": make_file,
    LATENCY: measure_latency,
    THROUGHPUT: measure_throughput,
}

if __name__ == "__main__":
    answer(VERBS)
