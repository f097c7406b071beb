"""What `bench.predict` asks of a process of its own: to look at the pictures, to make what rows open (`MADE`), all from the
same weights, and to run a row of `ROWS`. Importing this imports no torch.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnets.errors import InputError
from resnets.verbs.bench.predict_ways import ROWS, Labeller, PeerPictures
from resnets.verbs.bench.process import BEGAN, Job, Tell, answer

# A job is: model: name or file; named: which of both; folder: where files are made; num: pictures wanted; pictures: their
# paths; bf16: whether the processor has it.
if TYPE_CHECKING:
    from torch import Tensor

    from resnets.models.model import Model

SAMPLE_SIZE = (480, 360)
NUM_CALIBRATION = 128  # pictures that int8 is calibrated on
NUM_CHECK = 16  # pictures that exports are checked on
NUM_SETTLING = 64  # pictures that random weights are settled on
NUM_WARM = 128  # pictures before the folder is timed
NUM_SINGLE, NUM_SINGLE_WARM = 100, 5  # pictures of which each alone is timed, and those before them

# --- what is made -------------------------------------------------------------------------------------------


def make_model(job: Job, source: Path, out: Path) -> None:
    """A named network with random weights, settled on the pictures; or one's own, as it is."""
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
    settle(model, inputs(model, job["pictures"][:NUM_SETTLING]))
    hub.save(model, out)


def inputs(model: Model, pictures: Sequence[Any]) -> Tensor:
    """Pictures, as paths or arrays, as the network takes them."""
    import torch

    from resnets.data.pictures.resize import fit_picture
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
    from resnets.verbs import export as shipping

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

    from resnets.ship import hub

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

    from resnets.data.pictures.images import BadPicture, num_processors, open_picture
    from resnets.data.pictures.samples import write_samples
    from resnets.engine import device

    paths, bad, sizes = job["pictures"], {}, []
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


if __name__ == "__main__":
    answer(VERBS)
