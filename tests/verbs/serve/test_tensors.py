"""The Open Inference Protocol: tensors as JSON and as binary data, by hand and by Triton's own client."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from resnets.data.pictures.images import open_picture
from resnets.data.pictures.resize import fit_picture
from resnets.errors import InputError
from resnets.ship.sessions import open_session
from resnets.verbs.serve import tensors
from tests.verbs.serve.made import LABELS, Rows, encoded

PICTURES = [encoded(1), encoded(2, form="PNG")]


@pytest.fixture(scope="module")
def expected(saved, tmp_path_factory):
    """The pixels (N, H, W, C) of `PICTURES`, and the model's outputs."""
    session, folder = open_session(saved, device="cpu"), tmp_path_factory.mktemp("pictures")
    paths = [folder / str(number) for number in range(len(PICTURES))]
    for path, content in zip(paths, PICTURES, strict=True):
        path.write_bytes(content)
    pixels = np.stack([fit_picture(open_picture(path), session.header.preprocess) for path in paths])
    return pixels.transpose(0, 2, 3, 1), session.run(pixels)


def infer(server, request, data=b"", **headers):
    text = json.dumps(request).encode()
    sizes = {tensors.HEADER: str(len(text))} if data else {}
    return server.ask("POST", "/v2/models/tiny/infer", text + data, sizes | headers)


def image_of(*contents):
    texts = [base64.b64encode(content).decode() for content in contents]
    return {"name": "image", "datatype": "BYTES", "shape": [len(contents)], "data": texts}


def rows_of(server, contents):
    return [server.ask("POST", "/predict", content).json["rows"][0] for content in contents]


def test_what_the_server_and_the_model_say_of_themselves(server):
    assert server.ask("GET", "/v2").json["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/models/tiny", "/v2/models/tiny/versions/1"):
        told = server.ask("GET", path).json
        assert (told["name"], told["versions"], told["platform"]) == ("tiny", ["1"], "resnets_torch")
        assert [each["name"] for each in told["inputs"]] == ["image", "pixels"]
        assert told["inputs"][1] == {"name": "pixels", "datatype": "UINT8", "shape": [-1, 8, 8, 3]}
        assert told["parameters"]["labels"] == list(LABELS)
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready"):
        assert server.ask("GET", path).status == 200
    for path in ("/v2/models/none", "/v2/models/tiny/versions/2", "/v2/models/none/ready"):
        assert server.ask("GET", path).status == 404


def test_pictures_as_json(server, expected):
    answer = infer(server, {"id": "seven", "inputs": [image_of(*PICTURES)]}).json
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("tiny", "1", "seven")
    rows, outputs = answer["outputs"]
    assert [json.loads(text) | {"path": "picture"} for text in rows["data"]] == Rows(rows_of(server, PICTURES))
    assert (outputs["datatype"], outputs["shape"]) == ("FP32", [2, 3])
    assert np.allclose(np.reshape(outputs["data"], (2, 3)), expected[1], atol=1e-4)


def test_pixels_as_json_and_as_binary_data(server, expected):
    pixels, outputs = expected
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(pixels.shape)}
    wanted = [{"name": "outputs"}]
    nested = infer(server, {"inputs": [tensor | {"data": pixels.tolist()}], "outputs": wanted}).json["outputs"]
    flat = infer(server, {"inputs": [tensor | {"data": pixels.reshape(-1).tolist()}], "outputs": wanted}).json["outputs"]
    assert nested == flat and np.allclose(np.reshape(flat[0]["data"], (2, 3)), outputs, atol=1e-4)
    request = {"inputs": [tensor | {"parameters": {"binary_data_size": pixels.size}}]}
    answer = infer(server, request | {"parameters": {"binary_data_output": True}}, pixels.tobytes())
    size = int(answer.headers[tensors.HEADER])
    first, second = json.loads(answer.body[:size])["outputs"]
    at = size + first["parameters"]["binary_data_size"]
    found = np.frombuffer(answer.body[at:], "<f4").reshape(second["shape"])
    assert np.allclose(found, outputs, atol=1e-4) and first["datatype"] == "BYTES"


def test_topk_of_a_request(server):
    rows = infer(server, {"inputs": [image_of(PICTURES[0])], "parameters": {"topk": 2}}).json["outputs"][0]["data"]
    assert len(json.loads(rows[0])["top"]) == 2


def test_a_picture_that_cannot_be_read(server):
    request = {"inputs": [image_of(PICTURES[0], b"no picture")], "outputs": [{"name": "rows"}]}
    good, bad = map(json.loads, infer(server, request).json["outputs"][0]["data"])
    assert "error" not in good and "not an image" in bad["error"]
    refused = infer(server, {"inputs": request["inputs"]})
    assert refused.status == 400 and "picture 2" in refused.json["error"]


def tensor(**changes):
    return {"name": "pixels", "datatype": "UINT8", "shape": [1, 8, 8, 3], "data": [0] * 192} | changes


WRONG = {
    "no JSON": b"{",
    "no object": [],
    "no inputs": {},
    "empty inputs": {"inputs": []},
    "an input that is none": {"inputs": [3]},
    "no name": {"inputs": [tensor(name=3)]},
    "twice": {"inputs": [tensor(), tensor()]},
    "another name": {"inputs": [tensor(name="x")]},
    "two": {"inputs": [tensor(), image_of(b"x")]},
    "another type": {"inputs": [tensor(datatype="INT64")]},
    "a type that is none": {"inputs": [tensor(datatype=["UINT8"])]},
    "no shape": {"inputs": [tensor(shape=None)]},
    "a shape below 0": {"inputs": [tensor(shape=[-1, 8, 8, 3])]},
    "a large shape": {"inputs": [tensor(shape=[1 << 40, 8, 8, 3])]},
    "another shape": {"inputs": [tensor(shape=[1, 3, 8, 8])]},
    "no pictures": {"inputs": [tensor(shape=[0, 8, 8, 3], data=[])]},
    "few data": {"inputs": [tensor(data=[0])]},
    "words": {"inputs": [tensor(data=["a"] * 192)]},
    "uneven": {"inputs": [tensor(data=[[1], [2, 3]])]},
    "large numbers": {"inputs": [tensor(data=[256] * 192)]},
    "fractions": {"inputs": [tensor(data=[0.5] * 192)]},
    "floats": {"inputs": [tensor(datatype="FP32")]},
    "no base64": {"inputs": [image_of() | {"shape": [1], "data": ["%%"]}]},
    "numbers as pictures": {"inputs": [image_of() | {"shape": [1], "data": [3]}]},
    "outputs that are none": {"inputs": [tensor()], "outputs": 3},
    "an unknown output": {"inputs": [tensor()], "outputs": [{"name": "x"}]},
    "parameters that are none": {"inputs": [tensor()], "parameters": 3},
    "topk": {"inputs": [tensor()], "parameters": {"topk": "x"}},
    "deep": b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "binary data that are not there": {"inputs": [tensor(parameters={"binary_data_size": 192})]},
    "binary data of a size below 0": {"inputs": [tensor(parameters={"binary_data_size": -1})]},
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_requests(server, what):
    body = WRONG[what] if isinstance(WRONG[what], bytes) else json.dumps(WRONG[what]).encode()
    answer = server.ask("POST", "/v2/models/tiny/infer", body)
    assert answer.status == 400 and answer.json["error"], answer.body


@pytest.mark.parametrize("size", ["-1", "9999", "a", "١"])
def test_a_wrong_length_of_the_json(size):
    with pytest.raises(InputError, match=tensors.HEADER):
        tensors.read(b"{}", size, 8)


@settings(max_examples=150, deadline=None)
@given(some.binary(max_size=60), some.integers(0, 80), some.lists(some.integers(-3, 300), max_size=4), some.data())
def test_any_bytes_are_read_or_refused(data, size, shape, draw):
    kind = draw.draw(some.sampled_from(["BYTES", "UINT8", "FP32", "X"]))
    head = json.dumps({"inputs": [{"name": "a", "datatype": kind, "shape": shape, "parameters": {"binary_data_size": size}}]})
    body = head.encode() + data
    try:
        found = tensors.read(body, str(len(head.encode())), 8).inputs["a"]
    except InputError:
        return
    if isinstance(found, list):
        assert [len(found)] == [int(np.prod(shape))] and sum(len(each) + 4 for each in found) == size == len(data)
    else:
        assert list(found.shape) == shape and found.nbytes == size == len(data)


def test_tritons_own_client(server, expected):
    client = pytest.importorskip(
        "tritonclient.http", reason="Triton's client is not installed: pip install 'tritonclient[http]'"
    )
    pixels, outputs = expected
    with client.InferenceServerClient(f"127.0.0.1:{server.port}") as triton:
        assert triton.is_server_live() and triton.is_server_ready() and triton.is_model_ready("tiny")
        assert triton.get_server_metadata()["name"] == "resnets"
        assert triton.get_model_metadata("tiny")["platform"] == "resnets_torch"
        for binary in (True, False):
            given_pixels = client.InferInput("pixels", list(pixels.shape), "UINT8")
            given_pixels.set_data_from_numpy(np.ascontiguousarray(pixels), binary_data=binary)
            wanted = [client.InferRequestedOutput("outputs", binary_data=binary)]
            for packed in (None, "gzip", "deflate"):
                found = triton.infer(
                    "tiny", [given_pixels], outputs=wanted, request_id="7", request_compression_algorithm=packed
                )
                assert found.get_response()["id"] == "7" and np.allclose(found.as_numpy("outputs"), outputs, atol=1e-4)
        images = client.InferInput("image", [2], "BYTES")
        images.set_data_from_numpy(np.array(PICTURES, dtype=object))
        found = triton.infer("tiny", [images])
        assert np.allclose(found.as_numpy("outputs"), outputs, atol=1e-4)
        rows = [json.loads(text) | {"path": "picture"} for text in found.as_numpy("rows")]
        assert rows == Rows(rows_of(server, PICTURES))
        with pytest.raises(Exception, match="no model 'none'"):
            triton.infer("none", [images])
