"""LitServe's side of benchmarks/serve_peers.py: a module of its own, since LitServe starts other processes, which import it.

python benchmarks/serve_litserve.py FILE PORT
"""

from __future__ import annotations

import sys

import litserve
import numpy as np
from serve_peers import opened, pixels


class Api(litserve.LitAPI):
    """As LitServe's documentation shows a network for pictures, with its batches."""

    def setup(self, device: str) -> None:
        self.compiled, self.about = opened(self.path)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads a body by the type that stands here
        return pixels(request["content"].file, self.about["preprocess"])

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.compiled({"pixels": x})[0]

    def encode_response(self, output: np.ndarray) -> dict[str, str]:
        return {"label": self.about["labels"][int(output.argmax())]}


if __name__ == "__main__":
    api = Api(max_batch_size=16, batch_timeout=0.005)
    api.path = sys.argv[1]
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(port=int(sys.argv[2]), host="127.0.0.1", generate_client_file=False, log_level="error")
