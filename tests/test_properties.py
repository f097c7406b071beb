"""Readers of text and headers, given whatever hypothesis makes up: a value, or an `InputError` that names the file."""

import csv
import io
import json
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnets import files
from resnets.data.pictures.deep import UnfitError, in_8_bits
from resnets.data.pictures.volumes import open_volume
from resnets.data.readers.label_rules import RawBoxes
from resnets.data.readers.yolo import _read_labels
from resnets.data.tables import csv_rows
from resnets.errors import InputError
from resnets.models.header import parse

NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.sampled_from("ab09 ,.:;|'\"\\[]{}#-?!&*%@`~\t\r\n\x07é\u2028\U0001f600"), max_size=8)
HALF = st.sampled_from(["\ud800", "a\udce9"])  # of a pair of surrogates, as in file names that are no UTF-8
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXT, of, max_size=3),
    max_leaves=8,
)
ANY = VALUES | HALF | st.lists(st.floats(), max_size=3) | st.dictionaries(TEXT, st.floats() | HALF, max_size=3)
# Parts that the readers know, in any order: plain random text hardly gets beyond the first character.
PARTS = [*'{}[]",:-?|>&*!%@`#\n\t \\', "a: ", "- ", "null", "1e9", ".inf", "0x1", "\ud800", "é", "0 0.5 ", '"a"', "9" * 30]
WORDS = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)
HEADER = {
    "format": "resnets/1", "spec": {"name": "resnet18"}, "task": "classify", "labels": ["a"], "metrics": {}, "provenance": {},
    "preprocess": {"size": [32, 32], "mean": [0.5], "std": [0.5]},
}  # fmt: skip


def tried(num):
    """So many inputs, the same in every run; the slow tests try more."""
    return settings(max_examples=num, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def many(test):
    """`test` as a quick test of few inputs and as a slow one of many."""

    @pytest.mark.parametrize("num", [20, pytest.param(3000, marks=pytest.mark.slow)])
    def both(num, tmp_path):
        same = {"derandomize": True, "database": None, "deadline": None}  # in every run, on any machine
        settings(max_examples=num, suppress_health_check=list(HealthCheck), **same)(test)(tmp_path)

    both.__name__ = test.__name__
    return both


@many
@given(value=VALUES)
def test_json_that_is_written_is_read(tmp_path, value):
    assert files.parse_json(files.to_json(value), "a.json", object) == value


@many
@given(value=ANY)
def test_whatever_is_written_is_json(tmp_path, value):
    json.loads(files.to_json(value), parse_constant=pytest.fail)


@many
@given(text=WORDS | TEXT)
def test_json_and_yaml_are_values_or_refused(tmp_path, text):
    for read in (lambda: files.parse_json(text, "a", object), lambda: files.parse_yaml(text, "a"),
                 lambda: files.parse_yaml(text, "a", plain=True)):  # fmt: skip
        try:
            read()
        except InputError as error:
            assert str(error).startswith("a") and len(str(error)) < 400


@many
@given(names=st.lists(st.text(st.sampled_from("01nosye.~"), min_size=1, max_size=5), max_size=5))
def test_plain_yaml_is_text_as_it_stands(tmp_path, names):
    assert files.parse_yaml("".join(f"- {name}\n" for name in names), "a", plain=True) == (names or None)


@many
@given(rows=st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=5))
def test_lists_that_are_written_are_read(tmp_path, rows):
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["path", "label"], *rows])
    (tmp_path / "a.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    _, *found = csv_rows(tmp_path / "a.csv", strict=True)
    assert [row for _, row in found] == [row for row in rows if any(cell.strip() for cell in row)]


@many
@given(content=st.binary() | WORDS.map(lambda text: text.encode(errors="surrogatepass")))
def test_lists_and_labels_are_rows_or_refused(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    try:
        list(csv_rows(tmp_path / "a.csv", strict=True))
    except InputError as error:
        assert "a.csv" in str(error)
    try:
        found = _read_labels(tmp_path / "a.csv", tmp_path)
        assert not isinstance(found, RawBoxes) or len(found.corners) == len(found.labels)
    except InputError as error:
        assert "a.csv" in str(error)


@many
@given(changes=st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=4))
def test_volumes_are_read_or_refused(tmp_path, changes):
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([1, 1, 2, 1]))
    content = bytearray(image.to_bytes())
    for at, byte in changes:
        content[at] = byte
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    try:
        assert open_volume(path).normalised().ndim == 4
    except InputError as error:
        assert "a.nii" in str(error)


@many
@given(values=st.lists(st.integers(-5, 70_000), min_size=1), bits=st.integers(8, 16))
def test_values_of_16_bits_keep_their_order(tmp_path, values, bits):
    values = np.array(sorted(values))
    try:
        found = in_8_bits(values, bits).astype(int)
    except UnfitError:
        assert values[0] < 0 or values[-1] > 2**bits - 1
    else:
        assert (np.diff(found) >= 0).all() and (found[values >= 2**bits - 1] == 255).all()


@many
@given(name=st.sampled_from([*HEADER, "head", "decision", "other"]), value=ANY | NUMBERS)
def test_headers_describe_a_network_or_are_refused(tmp_path, name, value):
    try:
        header = parse(HEADER | {name: value}, Path("a.safetensors"))
    except InputError as error:
        assert str(error).startswith("a.safetensors") and len(str(error)) < 700
    else:
        assert all(math.isfinite(each) for each in header.preprocess.mean)
