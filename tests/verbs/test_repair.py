"""Label repair from pictures to a list of corrections: what was planted is found, and nothing is listed twice."""

import csv
import html
import json
import re

import numpy as np
import pytest

from resnets.data.corrections import corrected
from resnets.data.sources import open_source
from resnets.errors import InputError
from resnets.models import weights
from resnets.verbs import repair as verb
from resnets.verbs.repair import repair, together
from tests.cli.made import said
from tests.data.made_dense import coco
from tests.data.made_folders import csv as list_file
from tests.verbs.repair_data import colours, model_file, put


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "colours"
    return root, *colours(root)


@pytest.fixture(scope="module")
def found(planted, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return repair(planted[0], weights=model, out=out, workers=0, device="cpu"), out


def rows(out):
    with (out / "issues.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_planted_errors_and_copies_are_found(planted, found):
    _, wrong, same, disputed = planted
    result, out = found
    listed = rows(out)
    assert list(listed) == [result.pool.path(issue.at) for issue in result.issues] and len(set(listed)) == len(listed)
    of_labels = [path for path, row in listed.items() if row["kind"] == "label"]
    assert {*wrong, disputed} >= set(of_labels[: len(wrong)]), "the surest are wrong ones"
    for path, right in wrong.items():
        assert (listed[path]["action"], listed[path]["label"]) == ("relabel", right)
        assert float(listed[path]["p_given"]) < 0.3 < float(listed[path]["p_label"])
    assert listed[same] | {"kind": "", "p_given": "", "distance": ""} == {
        "path": same, "given": "red", "action": "drop", "label": "", "split": "train", "kind": "", "p_given": "",
        "p_label": "", "beside": "test/red/red100.png", "distance": "",
    }  # fmt: skip
    assert listed[disputed]["label"] == "green"
    assert result.to_json()["num_images"] == 3 * 18 + 5 and result.accuracy > 0.85


def test_the_list_is_one_of_corrections_and_what_was_looked_at_is_not_listed_again(planted, found, model, tmp_path):
    root, wrong, same, _ = planted
    fixed = corrected(open_source(root), found[1] / "issues.csv")
    names = {fixed.splits[s].images.relative(i): fixed.labels[fixed.splits[s].targets[i]]
             for s in fixed.splits for i in range(len(fixed.splits[s]))}  # fmt: skip
    assert names.items() >= wrong.items() and same not in names
    kept = list_file(tmp_path / "kept.csv", "path,action,label", *(f"{path},keep," for path in wrong), f"{same},drop,")
    again = repair(root, weights=model, corrections=kept, workers=0, device="cpu", out=tmp_path / "out")
    before = re.search(r'data-before="([^"]*)"', (tmp_path / "out/repair.html").read_text())[1]
    assert len(json.loads(html.unescape(before))) == len(wrong) + 1, "the next list begins with this one"
    assert not {*wrong, same} & {again.pool.path(issue.at) for issue in again.issues}


def test_the_page_holds_all_of_it_escaped_and_loads_nothing(planted, model, tmp_path):
    root = tmp_path / "a<b&c"
    colours(root, num=8)
    repair(root, weights=model, out=tmp_path / "out", most=2, workers=0, device="cpu")
    page = (tmp_path / "out/repair.html").read_text()
    assert "<h1>Labels of a&lt;b&amp;c" in page and "a<b" not in page
    num = page.count("<article")
    assert num == len(re.findall(r'data-action="(?:relabel|drop)"', page)) == page.count('data-do="keep"') > 2
    assert 'aria-label="train/' in page and 'alt="train/' in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "http://" not in page and "https://" not in page


def test_copies_and_groups_are_in_one_fold(found):
    pool = found[0].pool
    alike = np.arange(len(pool))
    alike[7] = 3
    fold = verb.dealt(pool, alike, 0)
    assert fold[7] == fold[3] and set(fold.tolist()) == {0, 1, 2, 3, 4}
    assert all(np.ptp([(pool.targets[fold == f] == c).sum() for f in range(5)]) <= 2 for c in range(3)), "stratified"
    grouped = verb.dealt(verb.dataclasses.replace(pool, groups=np.array([str(n % 11) for n in range(len(pool))])), alike, 0)
    assert all(len(set(grouped[n::11].tolist())) == 1 for n in range(11)) and grouped[7] == grouped[3]
    assert together(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])).tolist() == [0, 0, 0, 1]


def test_several_labels_each(tmp_path, model):
    root = tmp_path / "colours"
    colours(root)
    lines = ["path,labels,split"]
    for path in sorted(root.rglob("*.png")):
        split, folder, name = path.relative_to(root).parts
        seed = int("".join(filter(str.isdigit, name)))
        labels = [folder] + ["odd"] * (seed % 2)
        lines.append(f"{split}/{folder}/{name},{'|'.join(labels)},{split}")
    data = list_file(root / "list.csv", *lines)
    result = repair(data, weights=model, task="tag", workers=0, device="cpu")
    listed = {result.pool.path(issue.at): issue for issue in result.issues}
    assert "red" in listed["train/green/red51.png"].label.split("|")
    assert result.probabilities.shape == (len(result.pool), 4) and result.doubts.likely.shape == result.probabilities.shape


def test_refused_and_warned(tmp_path, model, planted):
    boxes = coco(tmp_path / "boxes", [{"image_id": n, "category_id": 7, "bbox": [1, 1, 9, 9]} for n in (1, 2)])
    with pytest.raises(InputError, match="boxes or masks, which are for --task detect"):
        repair(boxes, weights=model)
    with pytest.raises(InputError, match="are not searched for errors"):
        repair(boxes, weights=model, task="detect")
    with pytest.raises(InputError, match="has no val split"):
        repair(planted[0], weights=model, split="val")
    two = tmp_path / "two"
    for label in ("red", "blue"):
        put(two, "train", label, label, 0)
    with pytest.raises(InputError, match="fewer than two classes with two readable pictures"):
        repair(two, weights=model, workers=0)


def test_a_model_that_was_trained_on_the_data_is_named(model, planted):
    header = weights.read_header(model)
    header.provenance["data"] = {"name": "colours"}
    assert "by heart" in verb.seen_by(header, open_source(planted[0]))[0]
    assert verb.seen_by(weights.read_header(model), open_source(planted[0])) == ()


def test_the_command(planted, model, tmp_path, capsys):
    out, err = said(capsys, f"data repair {planted[0]} --weights {model} -j 0 --device cpu -o {tmp_path / 'out'}")
    assert "labels that are likely wrong:" in out and "copies of other pictures:" in out and "repair.html" in err
    out, _ = said(capsys, f"data repair {planted[0]} --weights {model} -j 0 --split train --json -o {tmp_path / 'out2'}")
    assert json.loads(out)["num_images"] == 3 * 14 + 4
