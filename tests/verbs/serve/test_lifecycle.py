"""To start, to be ready, to open a changed file, to stop: none of it loses a request."""

import http.client
import itertools
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from resnets.errors import InputError
from resnets.verbs.serve.limits import Limits
from resnets.verbs.serve.run import is_local, listen
from resnets.verbs.serve.served import named, stamp_of
from tests.verbs.serve.made import ask, encoded, model_file, serving

FIXTURES = Path(__file__).parents[2] / "fixtures/v0_1_0"


class Asking:
    """Threads that ask until they are told to stop: the statuses of all answers, and how often there was none."""

    def __init__(self, port, num=4):
        self.port, self.over, self.answers, self.lost = port, False, [], []
        self.threads = [threading.Thread(target=self.run) for _ in range(num)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.over:
            try:
                self.answers.append(ask(self.port, "POST", "/predict", encoded()))
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(error)
                return

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_changed_file_is_opened_while_requests_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("resnets.verbs.serve.service.LOOK_S", 0.05)
    path = model_file(tmp_path / "m.safetensors", seed=0)
    other = model_file(tmp_path / "other.safetensors", seed=1)
    with serving({"m": path}) as server:
        before = server.ask("POST", "/predict", encoded()).json
        asking, served = Asking(server.port), server.service.entries["m"].served
        other.replace(path)
        until(lambda: served.num_reloads)
        after = server.ask("POST", "/predict", encoded()).json
        path.write_bytes(b"damaged")
        until(lambda: served.num_failed_reloads)
        path.unlink()
        time.sleep(0.3)
        assert server.ask("POST", "/predict", encoded()).json == after
        asking.stop()
        told = server.ask("GET", "/metrics").body.decode()
    assert after != before and not asking.lost and {answer.status for answer in asking.answers} == {200}
    assert 'resnets_model_reloads{model="m",outcome="opened"} 1.0' in told
    assert 'resnets_model_reloads{model="m",outcome="failed"} 1.0' in told


def test_readiness_means_that_a_picture_goes_through(saved, monkeypatch):
    monkeypatch.setattr("resnets.verbs.serve.service.FRESH_S", 0)
    monkeypatch.setattr("resnets.verbs.serve.service.TRY_S", 0.3)
    with serving({"tiny": saved}) as server:
        assert server.ask("GET", "/v2/health/ready").status == 200
        batcher = server.service.entries["tiny"].batcher
        plain, go = batcher.answer, threading.Event()
        batcher.answer = lambda works: go.wait(60) and plain(works)
        assert server.ask("GET", "/v2/health/ready").status == 503
        assert server.ask("GET", "/v2/models/tiny/ready").status == 503
        assert server.ask("GET", "/v2/health/live").status == 200
        go.set()
        assert server.ask("GET", "/v2/health/ready").status == 200


def test_to_stop_answers_what_is_in_and_refuses_the_rest(saved, monkeypatch):
    monkeypatch.setattr("resnets.verbs.serve.run.GRACE_S", 1000)
    with serving({"tiny": saved}) as server:
        batcher, go = server.service.entries["tiny"].batcher, threading.Event()
        plain = batcher.answer
        batcher.answer = lambda works: go.wait(60) and plain(works)
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(server.ask("POST", "/predict", encoded()))) for _ in range(6)]
        for thread in asking:
            thread.start()
        until(lambda: server.service.monitor and len(batcher.waiting) + len(batcher.threads) >= 6)
        time.sleep(0.1)
        server.server.handle_exit(signal.SIGTERM, None)
        late = server.ask("POST", "/predict", encoded())
        assert late.status == 503 and late.headers["Connection"] == "close" and "stopping" in late.json["error"]
        assert server.ask("GET", "/v2/health/ready").status == 503
        server.server.stop_at = time.monotonic()
        until(lambda: server.server.closing)
        go.set()
        for thread in asking:
            thread.join()
        server.thread.join(60)
    assert [answer.status for answer in answers] == [200] * 6 and server.server.stopped_by == signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_under_load_ends_without_losing_one(saved, number, code):
    command = [sys.executable, "-m", "resnets", "serve", f"tiny={saved}", "--port", "0", "--runtime", "torch"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = list(itertools.takewhile(lambda line: not line.startswith("serving"), read_lines(process)))
            port = int(re.search(r":(\d+) ", process.last)[1])
            asking = Asking(port)
            until(lambda: len(asking.answers) > 20)
            process.send_signal(number)
            assert process.wait(60) == code
            asking.stop()
        finally:
            process.kill()
    assert any("tiny: classify, 3 classes, by torch" in line for line in said)
    assert not asking.lost and {answer.status for answer in asking.answers} <= {200, 503}


def read_lines(process):
    for line in process.stderr:
        process.last = line
        yield line


def test_a_port_that_is_taken(saved):
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "resnets", "serve", str(saved), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--port" in done.stderr and "Traceback" not in done.stderr


def test_addresses():
    assert is_local("127.0.0.1") and is_local("::1") and is_local("localhost") and not is_local("0.0.0.0")
    with pytest.raises(InputError, match="cannot listen"):
        listen("no such host", 1)


def test_names_of_models(tmp_path):
    run = tmp_path / "train 1"
    run.mkdir()
    assert named(["a/b.onnx", "c=d/e.xml"]) == {"b": "a/b.onnx", "c": "d/e.xml"}
    assert named([f"fine={run}"]) == {"fine": str(run)}
    for models, words in ((["a.onnx", "b/a.xml"], "two models"), ([str(run)], "NAME="), (["x y=a.onnx"], "x y")):
        with pytest.raises(InputError, match=words):
            named(models)


def test_a_stamp_changes_with_either_file_of_a_model(tmp_path):
    (tmp_path / "m.xml").write_text("a")
    first = stamp_of(str(tmp_path / "m.xml"))
    (tmp_path / "m.bin").write_text("b")
    second = stamp_of(str(tmp_path / "m.xml"))
    assert first and len({first, second, stamp_of(str(tmp_path / "none"))}) == 3


SERVES = """
import importlib.abc, sys, threading
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in sys.argv[3:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from urllib.request import urlopen
from resnets.verbs.serve.app import App
from resnets.verbs.serve.limits import Limits
from resnets.verbs.serve.run import Server, listen
from resnets.verbs.serve.served import Opening, Served
from resnets.verbs.serve.service import Service
listener, ready = listen("127.0.0.1", 0), threading.Event()
server = Server(App(Service([Served("m", sys.argv[1], Opening())], Limits(timeout_s=60)), token=None, local=True), ready.set)
thread = threading.Thread(target=server.run, args=([listener],))
thread.start()
assert ready.wait(60)
where = f"http://127.0.0.1:{listener.getsockname()[1]}"
print(urlopen(f"{where}/predict", open(sys.argv[2], "rb").read()).read().decode())
assert urlopen(f"{where}/docs").status == urlopen(f"{where}/metrics").status == 200
server.handle_exit(15, None)
thread.join(60)
print("torch" in sys.modules)
"""
MODULES = {"scikit-learn": "sklearn"}  # of packages whose module has another name


def missing_packages():
    """The modules of the package's dependencies that the image for exported files lacks."""
    root = Path(__file__).parents[3]
    needed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    there = (root / "deploy/requirements.txt").read_text(encoding="utf-8")
    names = [re.match(r"[\w-]+", line)[0] for line in needed]
    return [MODULES.get(name, name) for name in names if not re.search(rf"^{name}\b", there, re.M)]


@pytest.mark.parametrize("runtime", ["openvino", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def test_an_exported_file_needs_only_what_the_image_has_and_no_torch(tmp_path, runtime):
    """All other dependencies of the package are as if they were not installed."""
    pytest.importorskip(runtime)
    missing = missing_packages()
    assert {"torch", "torchvision", "sklearn", "matplotlib", "numba"} <= set(missing)
    file = FIXTURES / "exported" / {"openvino": "openvino/classify.xml", "onnxruntime": "onnx/classify.onnx"}[runtime]
    (tmp_path / "a.jpg").write_bytes(encoded())
    command = [sys.executable, "-c", SERVES, str(file), str(tmp_path / "a.jpg"), *missing]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"label"' in done.stdout and done.stdout.endswith("False\n")


def test_temporary_files_of_drawings_are_gone(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    path = FIXTURES / "segment/best.safetensors"
    with serving({"m": path}, Limits(timeout_s=100)) as server:
        assert server.ask("POST", "/predict?draw=drawn,mask", encoded()).status == 200
    assert not [each for each in tmp_path.iterdir() if each.name.startswith("resnets-")]
