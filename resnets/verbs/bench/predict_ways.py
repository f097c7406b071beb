"""The ways from picture files to labels that are measured against each other: people's, as their documentation shows them, and
ours. Each is a row of `ROWS`. Importing this imports no torch.
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


# --- what is opened -----------------------------------------------------------------------------------------


def ours(path: Path, job: Job, amp: bool = False) -> Labeller:
    """This package's own way, with nothing set, but that single pictures are told of."""
    from resnets.ship.sessions import open_session
    from resnets.verbs.predict import predict

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

    from resnets.data.pictures.images import default_workers

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
