"""ONNX and OpenVINO files that hold what no export of ours does: refused before a runtime sees them."""

import re
import shutil

import numpy as np
import pytest

from resnets.errors import InputError
from resnets.ship.sessions import open_session


def with_xml(exported, folder, old, new):
    path = folder / "model.xml"
    text = exported["openvino"].read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    shutil.copy(exported["openvino"].with_suffix(".bin"), path.with_suffix(".bin"))
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('element_type="u8"', 'element_type="u1"'),
        ('version="opset1"', 'version="opset1099511627776"'),
        ('type="Convert"', 'type="Loop"'),
        ('strides="1, 1"', 'strides="1, 1099511627776"'),
        ('offset="0" size="12"', 'offset="99999999999" size="12"'),
        ("<net ", "<!DOCTYPE net><net "),
        ("<layers>", "<layers>" + "<layer>" * 20 + "</layer>" * 20),
    ],
)
def test_openvino_is_given_nothing_strange(old, new, exported, tmp_path):
    with pytest.raises(InputError, match=r"model\.xml: cannot be read"):
        open_session(with_xml(exported, tmp_path, old, new))


def test_layers_of_openvino_in_a_circle(exported, tmp_path):
    text = exported["openvino"].read_text()
    last, first = re.findall(r'from-layer="(\d+)"', text)[-1], re.findall(r'to-layer="(\d+)"', text)[0]
    edge = f'<edge from-layer="{last}" from-port="1" to-layer="{first}" to-port="0" />'
    with pytest.raises(InputError, match=r"model\.xml: cannot be read .*cycle"):
        open_session(with_xml(exported, tmp_path, "<edges>", f"<edges>{edge}"))


def changed_onnx(exported, folder, change):
    import onnx

    proto = onnx.load(exported["onnx"])
    change(proto)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def another_operator(proto):
    proto.graph.node[3].op_type = "ConstantOfShape"


def another_domain(proto):
    proto.graph.node[3].domain = "com.microsoft"


def no_numbers(proto):
    weight = next(tensor for tensor in proto.graph.initializer if len(tensor.dims) == 4)
    weight.raw_data = b"\xff" * len(weight.raw_data)


def a_huge_padding(proto):
    pad = next(node for node in proto.graph.node if node.op_type == "Pad")
    sizes = next(tensor for tensor in proto.graph.initializer if tensor.name == pad.input[1])
    sizes.raw_data = np.full(sizes.dims[0], 60_000, np.int64).tobytes()


def the_header_is_no_text(proto):
    proto.metadata_props[0].value = '{"a": ' * 100


def a_circle(proto):
    """Readers that wait for what a node gives before they read it wait for ever."""
    node = next(node for node in proto.graph.node if node.op_type == "Relu")
    node.input[0] = node.output[0]


CHANGES = [another_operator, another_domain, no_numbers, a_huge_padding, the_header_is_no_text, a_circle]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_onnx_runtimes_are_given_nothing_strange(change, runtime, exported, tmp_path):
    with pytest.raises(InputError, match=r"model\.onnx"):
        open_session(changed_onnx(exported, tmp_path, change), runtime=runtime)
