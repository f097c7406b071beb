"""Readers of files that anyone may have written: what they take, and that everything else is an `InputError` with the name."""

import errno
import json
import os
import socket

import pytest

from resnets import files
from resnets.errors import InputError


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    pipe, link, plug = tmp_path / "pipe", tmp_path / "link", tmp_path / "plug"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(plug))
        for path, words in ((pipe, "a pipe"), (link, "a device"), (tmp_path, "a folder"), (plug, "a socket")):
            with pytest.raises(InputError, match=f"{path}: is {words}"):
                files.open_file(path)
    for path in (tmp_path / "none", "a\0b", "a" * 1000):
        assert not files.is_file(path)
        with pytest.raises(InputError, match="check the path"):
            files.open_file(path)
    with pytest.raises(OSError, match="a pipe, not a file"):  # where the caller names the file
        files.read_regular(pipe, 10)
    assert not files.is_file(pipe) and not files.is_file(link) and not files.is_file("\ud800")


def test_size_is_bounded(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("12345")
    (tmp_path / "link").symlink_to(path)
    assert files.read_text(path, most=5) == files.read_text(tmp_path / "link", most=5) == "12345"
    with pytest.raises(InputError, match=r"long\.txt: has 5 bytes, more than the 4 that are read; give a smaller file"):
        files.read_text(path, most=4)
    with pytest.raises(InputError, match="has more than the 0 bytes that it states"):
        files.read_bytes("/proc/self/status", most=4)


def test_text_is_utf8_and_the_line_is_named(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfcat\nd\xf6g\n")
    with pytest.raises(InputError, match=r"names\.txt, line 2: is not UTF-8 \(byte 0xf6\)"):
        files.read_text(path)
    path.write_bytes(b"\xef\xbb\xbfcat")
    assert files.read_text(path) == "cat"


JSON = {
    "deep lists": ("[" * 100 + "]" * 100, "nested more than 64 deep"),
    "deeper than the stack": ("[" * 100_000, "nested more than 64 deep"),
    "deep objects": ('{"a":' * 70 + "1" + "}" * 70, "nested more than 64 deep"),
    "a number of 5,000 digits": ("[" + "9" * 5000 + "]", "a number of 5000 digits"),
    "a number that arrays cannot hold": (f"[{2**63}]", "a number of 19 digits"),
    "an infinite number": ("[1e999]", "the number 1e999"),
    "Infinity": ("[Infinity]", "the number Infinity"),
    "NaN": ("[NaN]", "the number NaN"),
    "half a surrogate": (r'["\ud800"]', "surrogates"),
    "no JSON": ("{'a': 1}", "line 1"),
    "another type": ("{}", "a list"),
    "a long message": ("[" + "x" * 100_000, "cannot be read"),
    "nothing": ("", "cannot be read"),
}


@pytest.mark.parametrize("name", JSON)
def test_json_within_limits(name):
    text, words = JSON[name]
    with pytest.raises(InputError, match=words) as error:
        files.parse_json(text, "file.json", list)
    assert str(error.value).startswith("file.json") and len(str(error.value)) < 400


def test_json_is_read():
    value = {"a": [1, -2.5, 2**63 - 1, None, True, 'brackets [[[ and a quote \\" in text'], "b": {"ü": "\U0001f600"}}
    assert files.parse_json(json.dumps(value), "file") == value
    flat = [[{}] * 1000] * 50  # wide is not deep
    assert files.parse_json(json.dumps(flat), "file", list) == flat
    assert files.parse_json('{"loss": Infinity}', "file", strict=False) == {"loss": float("inf")}


YAML = {
    "a key twice": ("lr: 1\n\nlr: 2\n", "line 3: .*'lr' is there twice"),
    "a key twice below": ("a:\n  b: 1\n  b: 2\n", "line 3: .*'b' is there twice"),
    "an alias": ("a: &x [1]\nb: *x\n", r"line 2: .*the alias \*x"),
    "a tag": ("a: !!timestamp x", "line 1: .*the tag tag:yaml.org,2002:timestamp"),
    "a tag that runs code": ("a: !!python/object/apply:os.system [ls]", "line 1: .*the tag"),
    "deep": ("a: " + "[" * 100 + "]" * 100, "nested more than 64 deep"),
    "very deep": ("- " * 50_000, "nested more than 64 deep"),
    "a number of 5,000 digits": ("a: 1\nb: " + "9" * 5000, "line 2"),
    "a number that arrays cannot hold": (f"a: {2**63}", "line 1: .*give a smaller one"),
    "a number that is none": ("a: .nan", "line 1: .*give a smaller one"),
    "sixties": ("a: " + "1" + ":59" * 300 + ".5", "line 1"),
    "a list as a key": ("? [a, b]\n: 1", "a key that is a list"),
    "two documents": ("a: 1\n---\nb: 2\n", "line 2"),
    "a control character": ("a: \x07", "cannot be read as YAML"),
    "no YAML": ("a: [1, 2\nb: 3", "line 2"),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_within_limits(name):
    text, words = YAML[name]
    with pytest.raises(InputError, match=words) as error:
        files.parse_yaml(text, "recipe.yaml")
    assert str(error.value).startswith("recipe.yaml") and len(str(error.value)) < 400


def test_yaml_is_read():
    text = "lr: 0.1\nsteps: 3\nname: 2026-01-02\nall: [a, b]\nnothing:\nyes: true\n'<<': x\n"
    expected = {"lr": 0.1, "steps": 3, "name": "2026-01-02", "all": ["a", "b"], "nothing": None, True: True, "<<": "x"}
    assert files.parse_yaml(text, "file") == expected


@pytest.mark.parametrize("error", [RecursionError(), OverflowError("x" * 100_000), MemoryError(), KeyError("\n")])
def test_whatever_a_library_raises_names_the_file(error):
    with pytest.raises(InputError, match=r"^model\.onnx: ") as told, files.foreign("model.onnx"):
        raise error
    assert len(str(told.value)) < 300


def test_what_a_reader_says_itself_stays():
    with pytest.raises(InputError, match=r"^mine$"), files.foreign("a.bin"):
        raise InputError("mine")
    words = r"^a\.bin: cannot be read as a tar \(No such file\); write it again$"
    with pytest.raises(InputError, match=words), files.foreign("a.bin", "write it again", what="a tar"):
        raise OSError(2, "No such file")
    assert files.short(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("I/O error: No space left on device (os error 28)"),
        RuntimeError("basic_ios::clear: iostream error"),
    ],
)
def test_a_full_disk_is_one_line(error, tmp_path):
    path = tmp_path / "model.pth"
    path.write_text("before")
    words = r"model\.pth: cannot be written \(No space left on device\); free some space"
    with pytest.raises(InputError, match=words), files.replacing(path):
        raise error
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_what_is_no_number_is_null(tmp_path):
    value = {"loss": float("nan"), "all": [1.5, (float("inf"), "NaN")], "none": None}
    wanted = {"loss": None, "all": [1.5, [None, "NaN"]], "none": None}
    assert json.loads(files.to_json(value)) == json.loads(files.to_json(value, indent=2)) == wanted
    assert files.read_json(files.write_json(tmp_path / "a.json", value)) == wanted
    own = files.read_json(files.write_json(tmp_path / "b.json", value, strict=False), strict=False)
    assert own["all"] == [1.5, [float("inf"), "NaN"]]
