"""Runtimes: saved models in each of them, what they refuse, and files that would do harm."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from resnets.errors import InputError
from resnets.ship.sessions import RUNTIMES, open_session


@pytest.mark.parametrize("runtime", [pytest.param(name, marks=[pytest.mark.slow] * (name == "openvino")) for name in RUNTIMES])
def test_saved_model_runs_in_every_runtime(runtime, saved_model, pixels, logits):
    session = open_session(saved_model, runtime=runtime, streams=1)
    np.testing.assert_allclose(session.run(pixels), logits, rtol=1e-3, atol=1e-4)


def test_auto_is_torch_for_a_saved_model(saved_model):
    assert open_session(saved_model).runtime == "torch"


def test_amp_is_close_and_refused_where_it_does_not_exist(exported, pixels, logits):
    answers = open_session(exported["openvino"], amp=True).run(pixels)
    assert np.abs(answers - logits).max() < 0.1 * np.abs(logits).max()
    with pytest.raises(InputError, match="bfloat16"):
        open_session(exported["onnx"], amp=True)


def test_unknown_runtime(saved_model):
    with pytest.raises(InputError, match="no runtime 'tensorrt'"):
        open_session(saved_model, runtime="tensorrt")


def altered(source, target, change):
    """A copy of a .pt2 archive with its members changed: (name, content) -> content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, change(member.filename, old.read(member)))
    return target


def in_graph(edit):
    def change(name, content):
        if not name.endswith("models/model.json"):
            return content
        graph = json.loads(content)
        edit(graph)
        return json.dumps(graph).encode()

    return change


def graph_of(whole):
    return whole["graph_module"]["graph"]


def call_anything(whole):
    graph_of(whole)["nodes"][0]["target"] = "torch.hub.load"


def an_argument_of_another_kind(whole):
    graph_of(whole)["nodes"][0]["inputs"][1]["arg"] = {"as_string": "__import__('os').system('touch hacked')"}


def a_huge_padding(whole):
    pad = next(node for node in graph_of(whole)["nodes"] if node["target"] == "torch.ops.aten.pad.default")
    pad["inputs"][1]["arg"]["as_ints"] = [0, 60_000] * 3


def a_huge_number(whole):
    graph_of(whole)["nodes"][3]["inputs"][3]["arg"]["as_ints"] = [2**62, 1]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (call_anything, "no exported network needs"),
        (an_argument_of_another_kind, "no exported network needs"),
        (a_huge_padding, "larger than the network"),
        (a_huge_number, "no exported network needs"),
    ],
)
def test_graphs_of_another_kind_are_not_opened(edit, words, exported, tmp_path):
    path = altered(exported["torch"], tmp_path / "bad.pt2", in_graph(edit))
    with pytest.raises(InputError, match=words):
        open_session(path)


def evaluate_a_guard(whole):
    whole["guards_code"] = ["__import__('os').system('touch hacked')"]


def evaluate_a_length(whole):
    graph_of(whole)["sym_int_values"]["s"] = {"as_expr": {"expr_str": "9**9**9**9", "hint": None}}


def evaluate_the_name_of_an_input(whole):
    code = "pixels=__import__('pathlib').Path('hacked').touch()"
    text = json.dumps(whole).replace('"pixels"', json.dumps(code))
    whole.clear()
    whole |= json.loads(text)


def import_any_module(whole):
    call = whole["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = json.dumps([1, {"type": "collections.defaultdict", "context": {"default_factory_module": "this"}}])


@pytest.mark.parametrize("edit", [evaluate_a_guard, evaluate_a_length, evaluate_the_name_of_an_input, import_any_module])
def test_what_torch_would_evaluate_is_not_looked_at(edit, exported, tmp_path, pixels, logits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = altered(exported["torch"], tmp_path / "bad.pt2", in_graph(edit))
    np.testing.assert_allclose(open_session(path).run(pixels), logits, rtol=1e-3, atol=1e-4)
    assert list(tmp_path.iterdir()) == [path] and "this" not in sys.modules


def test_archives_are_opened_as_torch_opens_them(exported, pixels):
    import torch

    by_torch = torch.export.load(exported["torch"]).module()
    with torch.no_grad():
        expected = by_torch(torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)))).numpy()
    np.testing.assert_array_equal(open_session(exported["torch"]).run(pixels), expected)


def test_a_flipped_bit_in_an_archive_is_seen(exported, tmp_path):
    content = bytearray(exported["torch"].read_bytes())
    with zipfile.ZipFile(exported["torch"]) as archive:
        member = next(each for each in archive.infolist() if each.filename.endswith("weight_2"))
    content[member.header_offset + 200] ^= 1
    path = tmp_path / "bad.pt2"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pt2: .*(CRC|weight)"):
        open_session(path)


def not_finite(name, content):
    return b"\xff" * len(content) if name.endswith("weight_2") else content


def sample_inputs(name, content):
    return b"\x80\x04." if name.endswith("sample_inputs/model.pt") else content


@pytest.mark.parametrize(("change", "words"), [(sample_inputs, "not opened"), (not_finite, "no numbers")])
def test_pickles_and_no_numbers_in_archives_are_not_opened(change, words, exported, tmp_path):
    path = altered(exported["torch"], tmp_path / "bad.pt2", change)
    with pytest.raises(InputError, match=words):
        open_session(path)


def test_archives_of_others_are_not_opened(exported, tmp_path):
    path = tmp_path / "more.pt2"
    path.write_bytes(exported["torch"].read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/data/aotinductor/model/model.so", b"code")
    with pytest.raises(InputError, match=r"model\.so"):
        open_session(path)


def test_onnx_may_not_read_other_files(tmp_path, exported):
    import onnx

    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(100_000))
    (tmp_path / "inside").mkdir()
    proto = onnx.load(exported["onnx"])
    weight = next(tensor for tensor in proto.graph.initializer if len(tensor.dims) == 4)
    size = len(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", str(size))):
        weight.external_data.add(key=key, value=value)
    path = tmp_path / "inside" / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(InputError):
            open_session(path, runtime=runtime)


def test_a_signal_after_the_last_session_ended_in_a_thread(exported):
    # OpenVINO gives the thread that its first core begins in a stack for signals, and frees it with its last core.
    code = f"""
import signal, threading, numpy
from resnets.ship.sessions import open_session

def last():
    sessions.pop().run(numpy.zeros((1, 3, 32, 32), numpy.uint8))

signal.signal(signal.SIGINT, lambda *_: print("noted"))
sessions = [open_session({str(exported["openvino"])!r})]
thread = threading.Thread(target=last)
thread.start()
thread.join()
signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "noted\n"), done.stderr
