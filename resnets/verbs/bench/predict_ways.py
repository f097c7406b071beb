"""The ways from image files to labels that are compared: those of other libraries, as their documentation shows them, and this
package's. Each is a row of `ROWS`. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnets.errors import InputError
from resnets.verbs.bench.process import Job

if TYPE_CHECKING:
    from torch import Tensor

Network = Callable[["Tensor"], list[int]]  # normalised (N, 3, 224, 224) -> N classes

PEER_BATCH = 16
LATENCY, THROUGHPUT = "latency", "throughput"  # verbs of a job: one image after the other, or the whole folder
NO_BF16 = "this processor has no instructions for bfloat16"


class PredictJob(Job, total=False):
    """A job of `bench.predict_job`."""

    model: str  # a named network, or the file of a saved model
    named: bool  # which of the two
    num: int  # images wanted
    pictures: list[str]  # their paths; missing until some are made
    bf16: bool  # whether the CPU has instructions for bfloat16


class Labeller(NamedTuple):
    """An opened network: the classes of many files, in order; the class of one file, with the least latency."""

    many: Callable[[Sequence[str]], Iterator[str]]
    one: Callable[[str], str]


class Way(NamedTuple):
    """One way. `file`: the key in `MADE` of the file that it opens; `needs`: packages beside the core dependencies; `default`:
    whether it is measured by default."""

    file: str
    open: Callable[[Path, PredictJob], Labeller]
    needs: tuple[str, ...] = ()
    default: bool = True

    @property
    def ours(self) -> bool:
        return not self.file.startswith("peer")


# --- opening a network ----------------------------------------------------------------------------------------------------


def ours(path: Path, job: PredictJob, amp: bool = False) -> Labeller:
    """This package, with its default settings; for single images with one stream and without workers."""
    from resnets.ship.sessions import open_session
    from resnets.verbs.predict import predict

    if amp and not job["bf16"]:
        raise InputError(NO_BF16)
    single = job["verb"] == LATENCY
    session = open_session(path, device="cpu", streams=1 if single else None, amp=amp)
    workers = 0 if single else None

    def label(row: Mapping[str, Any]) -> str:
        if "error" in row:
            raise InputError(f"{row['path']}: {row['error']}")
        return row["label"]

    def many(files: Sequence[str]) -> Iterator[str]:
        return map(label, predict(session, files, workers=workers))

    return Labeller(many, lambda file: next(many([file])))


def torchvision_eager(path: Path, job: PredictJob) -> Labeller:
    """As torchvision's documentation classifies an image, in batches."""
    import torch
    import torchvision

    net = torchvision.models.get_model(job["model"])
    net.load_state_dict(torch.load(path, weights_only=True))
    net.eval()

    @torch.inference_mode()
    def network(x: Tensor) -> list[int]:
        return net(x).argmax(1).tolist()

    return with_data_loader(network)


def timm_bf16(path: Path, job: PredictJob) -> Labeller:
    """channels_last, with autocast to bfloat16 where the CPU supports it, as in timm's own scripts with --amp."""
    import timm
    import torch

    net = timm.create_model(job["model"], checkpoint_path=str(path)).eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def network(x: Tensor) -> list[int]:
        with torch.autocast("cpu", torch.bfloat16, enabled=job["bf16"]):
            return net(x.to(memory_format=torch.channels_last)).argmax(1).tolist()

    return with_data_loader(network)


def onnxruntime(path: Path, job: PredictJob) -> Labeller:
    import onnxruntime as ort

    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return with_data_loader(lambda x: session.run(None, {"x": x.numpy()})[0].argmax(1).tolist())


def openvino(path: Path, job: PredictJob, precision: str | None = None) -> Labeller:
    import openvino as ov

    if precision == "bf16" and not job["bf16"]:
        raise InputError(NO_BF16)
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": precision} if precision else {})
    return with_data_loader(lambda x: compiled(x.numpy())[0].argmax(1).tolist())


def openvino_async(path: Path, job: PredictJob) -> Labeller:
    """As OpenVINO's documentation recommends for throughput: several inference requests at the same time."""
    import openvino as ov

    if job["verb"] == LATENCY:
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
    """Files to labels as the documentation of other libraries shows: workers decode and collate, the network takes batches."""
    alone = PeerPictures([])

    def many(files: Sequence[str]) -> Iterator[str]:
        for batch in batches(files):
            yield from map(str, network(batch))

    return Labeller(many, lambda file: str(*network(alone.read(file)[None])))


def batches(files: Sequence[str]) -> Iterable[Tensor]:
    from torch.utils.data import DataLoader

    from resnets.data.machine import default_workers

    pictures: Any = PeerPictures(files)  # no `Dataset`, but it has all the methods that torch calls
    return DataLoader(pictures, PEER_BATCH, num_workers=default_workers())


class PeerPictures:
    """A dataset of files, each float32 (3, 224, 224), prepared as torchvision's documentation shows."""

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
ROWS: dict[str, Way] = {
    "torchvision": Way("peer.pth", torchvision_eager),
    "timm": Way("peer.pth", timm_bf16, ("timm",)),
    "onnxruntime": Way("peer.onnx", onnxruntime, ONNX),
    "openvino-f32": Way("peer.xml", partial(openvino, precision="f32"), ("openvino",)),
    "openvino-bf16": Way("peer.xml", partial(openvino, precision="bf16"), ("openvino",)),
    "openvino-int8": Way("peer-int8.xml", openvino, ("openvino", "nncf")),
    "openvino-int8-async": Way("peer-int8.xml", openvino_async, ("openvino", "nncf"), default=False),
    "resnets-torch": Way("model.safetensors", ours),
    "resnets-torch-bf16": Way("model.safetensors", partial(ours, amp=True), default=False),
    "resnets-torch-int8": Way("model-int8.pt2", ours, ("torchao",), default=False),
    "resnets-onnx": Way("model.onnx", ours, ONNX),
    "resnets-onnx-int8": Way("model-int8.onnx", ours, ONNX),
    "resnets-openvino": Way("model.xml", ours, ("openvino",)),
    "resnets-openvino-bf16": Way("model.xml", partial(ours, amp=True), ("openvino",), default=False),
    "resnets-openvino-int8": Way("model-int8.xml", ours, ("openvino", "nncf")),
}
