"""Other ways to the answers of the same exported files, as their documentation shows them: started by benchmarks/serve.py.

    python benchmarks/serve_peers.py fastapi|openvino FILE PORT

Each prepares a picture as docs/export.md does without this package. `openvino` is no server: it reads the names of files from
stdin, takes them through OpenVINO's asynchronous queue, and prints pictures per second.
"""

from __future__ import annotations

import json
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps


def pixels(file: Any, preprocess: dict[str, Any]) -> np.ndarray:
    """uint8 (H, W, C) of a picture, by the rule "crop"."""
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    high, wide = preprocess["size"]
    least_high, least_wide = (int(side / preprocess["crop_pct"] + 1e-6) for side in (high, wide))
    scale = max(least_wide / image.width, least_high / image.height)
    size = max(least_wide, int(image.width * scale + 1e-6)), max(least_high, int(image.height * scale + 1e-6))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - wide) / 2), round((size[1] - high) / 2)
    return np.array(image.crop((left, top, left + wide, top + high)))


def opened(path: str, **settings: str) -> tuple[Any, dict[str, Any]]:
    """A network compiled by OpenVINO, and what the file says of itself."""
    import openvino

    model = openvino.Core().read_model(path)
    about = {key: json.loads(value.astype(str)) for key, value in model.get_rt_info()["resnets"].items()}
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **settings}), about


def fastapi(path: str, port: int) -> None:
    import onnxruntime
    import uvicorn
    from fastapi import FastAPI, UploadFile

    session = onnxruntime.InferenceSession(path)
    about = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    app = FastAPI()

    def predict(file):
        logits = session.run(None, {"pixels": pixels(file.file, about["preprocess"])[None]})[0]
        return {"label": about["labels"][int(logits.argmax())]}

    predict.__annotations__ = {"file": UploadFile}  # FastAPI looks a name up where there is none of this function
    app.post("/predict")(predict)
    app.get("/health")(lambda: "ok")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def openvino(path: str, port: int) -> None:
    import openvino as ov

    files, seconds = json.load(sys.stdin)
    compiled, about = opened(path, PERFORMANCE_HINT="THROUGHPUT")
    contents = [Path(file).read_bytes() for file in files]
    queue, done = ov.AsyncInferQueue(compiled), []
    queue.set_callback(lambda request, number: done.append(request.get_output_tensor().data.argmax()))
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        queue.start_async({0: pixels(BytesIO(contents[number % len(contents)]), about["preprocess"])[None]})
        number += 1
    queue.wait_all()
    print(len(done) / (time.perf_counter() - began))


if __name__ == "__main__":
    {"fastapi": fastapi, "openvino": openvino}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
