"""The pictures of a page: each where it belongs, in order, escaped; and what there is where something is missing."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from resnets.data.looks import Seen
from resnets.data.sources import open_source
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.ship.hub import create_model
from resnets.verbs import evaluate
from resnets.verbs.report import gather, pictures, thumbs
from resnets.verbs.report import run as one
from tests.verbs.report import made


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """(model, source, answers to its test split, what was seen)."""
    source = open_source(str(made.colours(tmp_path_factory.mktemp("data"))), "classes", labels=made.LABELS)
    network, seen = made.model(), Seen()
    return network, source, evaluate.judge(network, source, "test", workers=0, watch=seen), seen


@pytest.fixture(scope="module")
def found(judged):
    return pictures.found(*judged[:3])


def pixels(address):
    head, _, content = address.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_each_cell_has_its_pictures_the_surest_first(judged, found):
    outcomes = judged[2].meter.outcomes()
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (outcomes.codes, outcomes.said), 1)
    assert matrix.tolist() == [[8, 2, 0], [0, 8, 2], [2, 0, 8]]
    assert {(row["truth"], row["said"]): row["num"] for row in found["cells"]} == {
        (int(i), int(j)): int(matrix[i, j]) for i, j in np.argwhere(matrix)
    }
    wrong = [row["num"] for row in found["cells"] if row["wrong"]]
    assert [row["wrong"] for row in found["cells"]] == sorted((row["wrong"] for row in found["cells"]), reverse=True)
    assert wrong == sorted(wrong, reverse=True)
    for row in found["cells"]:
        sure = [card["sure"] for card in row["cards"]]
        assert len(sure) == min(row["num"], pictures.CELL) and sure == sorted(sure, reverse=True)
        for card in row["cards"]:  # by colour the model answers, and the thumbnail is that of the picture
            assert (card["truth"], card["answer"]) == (found["names"][row["truth"]], found["names"][row["said"]])
            assert f"/{card['truth']}/" in card["name"]
            assert pixels(card["picture"]).mean((0, 1)).argmax() == 2 - row["said"]


def test_mistakes_come_with_a_map_and_the_nearest_training_pictures(judged, found):
    outcomes = judged[2].meter.outcomes()
    losses = outcomes.losses[outcomes.wrong]
    assert len(found["worst"]) == min(len(losses), pictures.WORST) and all(card["wrong"] for card in found["worst"])
    order = [judged[2].part.images.name(int(outcomes.positions[i])) for i in np.argsort(-outcomes.losses) if outcomes.wrong[i]]
    assert [card["name"] for card in found["worst"]] == order[: pictures.WORST]
    for card in found["worst"]:
        assert pixels(card["map"]).shape == (16, 16, 3)
        assert len(card["near"]) == pictures.NEAR and all("/train/" in each["name"] for each in card["near"])
        distances = [each["distance"] for each in card["near"]]
        assert distances == sorted(distances) and all(f"/{each['words']}/" in each["name"] for each in card["near"])
    assert found["num_training"] == found["whole_training"] == 18


def test_typical_least_certain_and_plane(judged, found):
    assert [card["sure"] for card in found["unsure"]] == sorted(judged[2].meter.outcomes().sure.tolist())[: pictures.WORST]
    for row in found["typical"]:
        assert row["cards"] and all(not card["wrong"] and card["truth"] == row["name"] for card in row["cards"])
    plane = found["plane_of"]
    assert len(plane["points"]) == 30 and plane["how"] == "two principal components"
    whole, side = pixels(plane["sheet"]["address"]), 32
    assert whole.shape == (side * plane["sheet"]["rows"], side * plane["sheet"]["across"], 3)
    for point, said in zip(plane["points"], judged[2].meter.outcomes().said, strict=True):
        row, column = (point[name] * side for name in ("row", "column"))
        assert whole[row + 12 : row + 20, column + 12 : column + 20].mean((0, 1)).argmax() == 2 - said


def test_the_page_escapes_every_name_and_all_targets_exist(judged, found, tmp_path):
    page = one.write(tmp_path, found).read_text(encoding="utf-8")
    assert "<b>blue" not in page and "&lt;b&gt;blue" in page
    assert {"confusion", "plane", "errors", "unsure", "typical"} <= set(re.findall(r'<section id="(\w+)">', page))
    ids = set(re.findall(r' id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids and {"cell-0-0", "to-0-0"} <= ids
    loads = re.findall(r"""(?:src|href)\s*=\s*["']([^"']{0,16})|url\(["']?([^"')]{0,16})""", page)
    assert all(address.startswith(("data:image/", "#")) for pair in loads for address in pair if address)


def test_a_network_of_another_library_has_no_features_and_says_so(judged, monkeypatch):
    def none(model):
        raise InputError("another library's network has no stages that are known here")

    monkeypatch.setattr(pictures.features, "feature_session", none)
    found = pictures.found(*judged[:3])
    assert found["plane_of"] == {} and found["typical"] == [] and found["num_training"] == 0
    assert found["cells"] and found["worst"] and "another library's network" in found["picture_notes"][0]


def test_a_page_takes_a_small_part_of_the_time_of_a_short_run(judged, monkeypatch):
    network = create_model("resnet20_cifar")
    assert sum(pictures.num_looked_at(network, "cpu")) == 7000 == sum(pictures.num_looked_at(network, "cpu", 600))
    assert sum(pictures.num_looked_at(network, "cpu", 60)) == int(35e9 / 40_551_040)  # multiply-adds, and of an image
    assert sum(pictures.num_looked_at(network, "cpu", 1)) == pictures.LEAST
    asked = []
    monkeypatch.setattr(pictures, "num_looked_at", lambda network, device, seconds: asked.append(seconds) or (5, 5))
    pictures.found(*judged[:3])
    monkeypatch.setitem(judged[0].metadata, "provenance", {"recipe": {"time": "1m30s"}})
    pictures.found(*judged[:3])
    assert asked == [float("inf"), 90.0]


def test_without_the_libraries_of_maps_there_are_none(judged, monkeypatch):
    def none(*of):
        raise InputError("maps need torch-cam and Captum: pip install 'resnets[explain]'")

    monkeypatch.setattr("resnets.verbs.explain_maps.quick_maps", none)
    found = pictures.found(*judged[:3])
    assert all(card["map"] is None for card in found["worst"]) and "resnets[explain]" in found["picture_notes"][0]


def test_pictures_that_vanished_are_left_out(tmp_path):
    folder = made.colours(tmp_path / "data")
    source = open_source(str(folder), "classes", labels=made.LABELS)
    network, seen = made.model(), Seen()
    judged = evaluate.judge(network, source, "test", workers=0, watch=seen)
    for path in (folder / "test" / "green").iterdir():
        path.write_bytes(b"broken")
    found = gather.gathered(RunDir(tmp_path), network, source, judged, seen)
    shown = [card["truth"] for row in found["cells"] for card in row["cards"]]
    assert shown and "green" not in shown
    for path in (folder / "test").rglob("*.png"):
        path.unlink()
    found = gather.gathered(RunDir(tmp_path), network, source, judged, seen)
    assert "No pictures" in found["picture_notes"][0] or not any(row["cards"] for row in found["cells"])
    assert one.render(RunDir(tmp_path), found)


def test_too_little_memory_for_pictures_leaves_a_page_without(judged, tmp_path, monkeypatch):
    def none(*of):
        raise MemoryError

    monkeypatch.setattr(pictures, "features_of", none)
    found = gather.gathered(RunDir(tmp_path), *judged)
    assert list(found) == ["picture_notes"] and one.render(RunDir(tmp_path), found)


def test_slices_are_written_and_the_worst_is_told(judged, tmp_path, monkeypatch):
    monkeypatch.setattr("resnets.measures.slices.LEAST", 5)
    run = RunDir(tmp_path)
    gather.gathered(run, *judged)
    page = one.render(run)
    assert run.slices.exists() and 'id="slices"' in page and "brightness" in page
    found = gather.by_slices(judged[2], judged[3])
    # The pictures with another class's colour are the darkest.
    assert found["worst"]["slice"].startswith("darkest quarter") and found["worst"]["beyond_chance"]
    assert "by more than chance" in page
    found["worst"]["beyond_chance"] = False
    run.slices.write_text(json.dumps(found))
    assert "Of so many slices one may look as bad by chance." in one.render(run)
    assert found["num_images"] == 30 and found["figure"] == "accuracy" and found["split"] == "test"


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (300, 20, 3), (20, 300, 4)])
def test_a_thumbnail_is_small_and_keeps_its_shape(shape):
    image = thumbs.small(np.full(shape, 200, np.uint8))
    assert max(image.size) == min(max(shape[:2]), thumbs.SIDE) and image.mode == "RGB"
    assert pixels(thumbs.address(image)).mean() == pytest.approx(200, abs=3)
