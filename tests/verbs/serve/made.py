"""A server in a thread, tiny models for it, and requests by the standard library's client."""

import contextlib
import http.client
import io
import json
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data.preprocess import Preprocess
from resnets.models import zoo
from resnets.ship import hub
from resnets.verbs.serve.app import App
from resnets.verbs.serve.limits import Limits
from resnets.verbs.serve.run import Server, listen
from resnets.verbs.serve.served import Opening, Served
from resnets.verbs.serve.service import Service

SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4)
LABELS = ("cat", "dog", "emu")


def model_file(path, seed=0, **preprocess):
    torch.manual_seed(seed)
    found = Preprocess(**{"size": (8, 8), "crop_pct": 1.0} | preprocess)
    model = hub.create_model(zoo.change(SPEC, num_classes=3, in_chans=found.in_chans), labels=LABELS, preprocess=found)
    torch.nn.init.normal_(model.fc.weight)
    return hub.save(model.eval(), path)


def encoded(seed=0, size=(20, 14), form="JPEG", **options):
    """A picture file of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, form, **options)
    return file.getvalue()


@contextlib.contextmanager
def serving(models, limits=None, *, token=None, local=True, opening=None):
    """A running server of {name: path}: its port, its `Service`, and `ask`."""
    listener = listen("127.0.0.1", 0)
    limits = limits or Limits(timeout_s=60)
    opening = opening or Opening(runtime="torch", device="cpu", max_pixels=limits.max_pixels)
    service = Service([Served(name, str(path), opening) for name, path in models.items()], limits)
    ready = threading.Event()
    server = Server(App(service, token=token, local=local), ready.set)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    port = listener.getsockname()[1]
    try:
        assert ready.wait(60)
        yield SimpleNamespace(port=port, service=service, server=server, thread=thread, ask=lambda *a, **k: ask(port, *a, **k))
    finally:
        if thread.is_alive():
            server.handle_exit(signal.SIGTERM, None)
            server.stop_at = 0
        thread.join(60)
        listener.close()
    assert not thread.is_alive()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def form(*files):
    """A multipart body of (name, content), and its headers."""
    edge = "no-such-line-in-a-picture"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{edge}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={edge}"}


class Rows(list):
    """Rows that equal others whose numbers differ in the last places: batches of other sizes are added up in another order."""

    __hash__ = None

    def __eq__(self, others):
        return len(self) == len(others) and all(map(near, self, others))


def near(one, other):
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(near, one, other))
    if isinstance(one, float):
        return other == pytest.approx(one, abs=2e-4)
    return one == other
