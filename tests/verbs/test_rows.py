"""Rows as lines and back: every path survives, a torn last row is seen, and a file that is not ours is left alone."""

import csv
import errno
import io
import json
import os
from pathlib import Path

import pytest

from resnets.data.pictures.stored import FileImages
from resnets.errors import InputError
from resnets.tasks.classify import rows as classes
from resnets.verbs.rows import check_out, form_of, held, placed_beside, records, writing

FORMS = {name: form_of(classes, name, None) for name in ("table", "json", "csv")}
ODD = [
    "plain.png", 'a, "b".png', "two\nlines.png", "\r.png", "\r\n\".png", '"', " \t ", "=1+1", "path", "café\u2028ü\x85.png",
    "caf\udce9.png", "tab\t\\n.png", "'; drop", "\x00".replace("\x00", "\x01"), "emu," * 50,
]  # fmt: skip
TOP = [{"label": "cat, or\ndog", "index": 0, "probability": 0.7}, {"label": '"', "index": 1, "probability": 0.3}]


def png(path):
    """Of an image's path the suffix of its mask."""
    return ".png"


def images(names=ODD):
    return FileImages(names, 3)


def rows(names=ODD):
    """Every third picture is bad."""
    odd = images(names)
    paths = [odd.name(n) for n in range(len(odd))]
    return [{"path": p} | ({"error": "cut\noff, or"} if n % 3 == 1 else TOP[0] | {"top": TOP}) for n, p in enumerate(paths)]


def written(out, name, topk=2, names=ODD):
    form = FORMS[name]
    with writing(out, 0, resume=False) as write:
        for line in [form.head(topk)] * bool(form.head(topk)) + [form.line(row, topk) for row in rows(names)]:
            write(line)
    return out.read_bytes()


@pytest.mark.parametrize("name", ["json", "csv"])
def test_every_path_comes_back(name, tmp_path):
    out = tmp_path / "out"
    content = written(out, name)
    kept = held(out, FORMS[name], 2)
    assert kept.end == len(content) and len(kept.paths) == len(ODD) and len(kept.without(images())) == 0
    left = kept.without(images([*ODD[::-1], "new\n.png", "a.png"]))
    assert [left.name(n) for n in range(len(left))] == ["new\n.png", "a.png"]
    other = (
        [json.loads(line)["path"] for line in content.decode().split("\n")[:-1]]
        if name == "json"
        else [row["path"] for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]
    )
    assert other == [row["path"] for row in rows()], "as other programs read it"


@pytest.mark.parametrize("name", ["json", "csv"])
def test_a_file_cut_anywhere_is_gone_on_with_to_the_same_end(name, tmp_path):
    """At each byte, as a kill or a full disk may."""
    names = ["a.png", 'two\n"lines".png', "café.png", "z.png"]
    out, form = tmp_path / "out", FORMS[name]
    whole = written(out, name, names=names)
    lines = {row["path"]: form.line(row, 2) for row in rows(names)}
    for cut in range(len(whole) + 1):
        out.write_bytes(whole[:cut])
        kept = held(out, form, 2)
        assert kept.end <= cut
        left = kept.without(images(names))
        with writing(out, kept.end, resume=True) as write:
            if form.head(2) and not kept.end:
                write(form.head(2))
            for n in range(len(left)):
                write(lines[left.name(n)])
        assert out.read_bytes() == whole, cut


@pytest.mark.parametrize("name", ["json", "csv"])
@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff\xfe\n", b'{"path": "a"\n', b"a.png,cat\n", b'"', b"[" * 90_000])
def test_a_last_line_that_means_nothing_is_cut_off(tail, name, tmp_path):
    out = tmp_path / "out"
    content = written(out, name)
    out.write_bytes(content + tail)
    assert held(out, FORMS[name], 2).end == len(content)


FOREIGN = {
    "a thesis": b"Chapter 1\nIt was",
    "a thesis of one line": b"Chapter 1",
    "a thesis of one whole line": b"Chapter 1\n",
    "an empty line": b"\n",
    "bytes": b"\x89PNG\r\n\x1a\n\0\0",
    "zeros": bytes(5000),
    "a number": b"7",
    "JSON, whole": b'{\n  "path": "a.png"\n}\n',
    "other JSON lines": b'{"path": "a.png", "caption": "a cat"}\n',
    "JSON lines of lists": b'["a.png"]\n["b.png"]\n',
    "other JSON without an end": b'{"path": "a.png", "caption": "a cat"}',
    "a list": b"path,label\na.png,cat\n",
    "a list with errors": b"path,label,error\na.png,cat,\n",
    "a list without a head": b"a.png,cat\n",
}


@pytest.mark.parametrize("name", ["json", "csv"])
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_not_ours_is_refused(content, name, tmp_path):
    out = tmp_path / "out"
    out.write_bytes(content)
    with pytest.raises(InputError, match="holds no rows of `resnets predict` in this --format; choose another"):
        held(out, FORMS[name], 2)
    assert out.read_bytes() == content


@pytest.mark.parametrize("name, other", [("json", "csv"), ("csv", "json")])
def test_a_file_of_the_other_form_is_refused(name, other, tmp_path):
    out = tmp_path / "out"
    content = written(out, name)
    with pytest.raises(InputError, match="in this --format"):
        held(out, FORMS[other], 2)
    assert out.read_bytes() == content


@pytest.mark.parametrize("name", ["json", "csv"])
def test_a_foreign_line_in_the_middle_is_not_passed_over(name, tmp_path):
    out = tmp_path / "out"
    content = written(out, name)
    out.write_bytes(content + b"and then,\n" + content)
    with pytest.raises(InputError, match=f"from byte {len(content)} on"):
        held(out, FORMS[name], 2)


def test_a_csv_of_another_topk_is_refused(tmp_path):
    out = tmp_path / "out.csv"
    written(out, "csv")
    for topk in (1, 3):
        with pytest.raises(InputError, match=f"name 2 classes each, and now they would name {topk}; use the --topk"):
            held(out, FORMS["csv"], topk)


def test_what_is_not_there_or_empty_holds_nothing(tmp_path):
    out = tmp_path / "out.csv"
    for _ in range(2):
        kept = held(out, FORMS["csv"], 2)
        assert (len(kept.paths), kept.end) == (0, 0) and len(kept.without(images())) == len(ODD)
        out.touch()


def test_memory_for_a_million_paths_is_8_bytes_each(tmp_path):
    assert held(tmp_path / "none", FORMS["csv"], 2).paths.itemsize == 8


def test_no_line_is_read_without_end(monkeypatch):
    monkeypatch.setattr("resnets.verbs.rows.LONGEST", 100)
    pieces = list(records(io.BytesIO(b'"' + b"x" * 1000), quoted=True))
    assert max(map(len, pieces)) <= 101 and b"".join(pieces) == b'"' + b"x" * 1000


def test_the_form_is_the_named_one_or_the_suffixs():
    for out, name in (
        ("a.csv", "csv"),
        ("a.CSV", "csv"),
        ("a.json", "json"),
        ("a.jsonl", "json"),
        ("a.txt", "table"),
        ("a", "table"),
    ):
        assert form_of(classes, None, Path(out)).start == FORMS[name].start
    assert form_of(classes, None, None).start == FORMS["table"].start
    assert form_of(classes, "json", Path("a.csv")).start == FORMS["json"].start
    assert len({form.start for form in FORMS.values()}) == 3


def test_what_cannot_be_written_to_is_refused_before_anything_is_read(tmp_path):
    taken = tmp_path / "taken.csv"
    taken.touch()
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "missing.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    csv_form, table = FORMS["csv"], FORMS["table"]
    for out, form, resume, said in (
        (taken, csv_form, False, "exists already; add --resume to go on with it, remove it, or choose"),
        (taken, table, False, "exists already; remove it, or choose another place with --out"),
        (taken, table, True, "cannot read this back; use --format json, or for classes csv"),
        (tmp_path, csv_form, False, "not a file; choose another place with --out"),
        (tmp_path, csv_form, True, "not a file"),
        (tmp_path / "pipe.csv", csv_form, True, "not a file"),
        (tmp_path / "nowhere.csv", csv_form, False, "not a file"),
    ):
        with pytest.raises(InputError, match=said):
            check_out(out, form, resume)
    check_out(taken, csv_form, resume=True)
    check_out(tmp_path / "new.csv", csv_form, resume=False)


def test_a_file_that_appears_meanwhile_is_not_written_over(tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("another's")
    with pytest.raises(InputError, match=r"cannot be written \(File exists\)"), writing(out, 0, resume=False):
        pass
    assert out.read_text() == "another's"


def test_a_full_disk_is_said_with_its_remedy(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *args: Full())
    said = r"out: cannot be written \(No space left on device\); free some space, then go on with --resume"
    with pytest.raises(InputError, match=said), writing(tmp_path / "out", 0, resume=True) as write:
        write("x")


def test_a_mask_or_drawing_of_another_image_is_never_replaced(tmp_path):
    (tmp_path / "m").mkdir()
    first, second = (FileImages([tmp_path / folder / "1.png"], 3) for folder in "ab")
    assert placed_beside(first, None, tmp_path / "m", png).masks == {first.name(0): tmp_path / "m/1.png"}
    (tmp_path / "m/1.png").touch()
    for draw, masks, flag in ((None, tmp_path / "m", "--masks"), (tmp_path / "m", None, "--draw")):
        with pytest.raises(InputError, match=rf"{flag}: .*1.png exists already, perhaps of another image; add --resume"):
            placed_beside(second, draw, masks, png)
    # An interrupted call may have written it without its row; one that a row names belongs to that row.
    out = tmp_path / "rows.json"
    placed_beside(second, None, tmp_path / "m", png, todo=second, out=out)
    out.write_text('not JSON\n{"path": "a/1.png", "mask": "%s"}\n' % (tmp_path / "m/1.png"))
    with pytest.raises(InputError, match=r"exists already, perhaps of another image; remove it, or give another folder"):
        placed_beside(second, None, tmp_path / "m", png, todo=second, out=out)
    placed_beside(first, None, tmp_path / "m", png, todo=first.subset([]), out=out)
