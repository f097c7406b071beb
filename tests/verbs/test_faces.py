"""People are enrolled and named, by a tiny network and a detector that is told where faces are."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from resnets.cli.main import cli
from resnets.data.pictures import faces
from resnets.errors import InputError
from resnets.ship import hub, vectors
from resnets.verbs import chips
from resnets.verbs.embed import embed
from resnets.verbs.faces import enrol, who

COLOURS = {"ann": (200, 40, 40), "bob": (40, 200, 40), "cid": (40, 40, 200)}
STRANGER = (250, 250, 250)


def told(image):
    """A square that is not black is a face; a picture twice as wide as high holds two."""
    num = max(1, image.shape[1] // image.shape[0])
    parts = np.split(image, num, axis=1)
    places = [(n, part) for n, part in enumerate(parts) if part.mean() > 5]
    side = image.shape[0]
    return [faces.Face((n * side, 0, (n + 1) * side, side), 1.0, faces.whole(part).chip) for n, part in places]


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    monkeypatch.setattr(faces, "find", told)


def picture(path, *colours):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path)) + sum(map(sum, colours))).integers(-8, 9, (32, 32 * len(colours), 3))
    flat = np.concatenate([np.full((32, 32, 3), colour) for colour in colours], 1)
    Image.fromarray((flat + noise).clip(0, 255).astype(np.uint8) * (flat.max() > 0)).save(path)
    return path


@pytest.fixture
def people(tmp_path):
    for name, colour in COLOURS.items():
        for number in range(3):
            picture(tmp_path / "people" / name / f"{number}.png", tuple(value - 10 * number for value in colour))
    return tmp_path / "people"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    made = hub.create_model("resnet20_cifar", task="embed", num_classes=0)
    return hub.save(made.eval(), tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def gallery(tmp_path, people, model):
    enrol(people, tmp_path / "g.npz", model=model)
    return tmp_path / "g.npz"


def names(rows):
    return [[each["name"] for each in row["faces"]] for row, _ in rows]


def test_people_are_named_and_strangers_are_not(tmp_path, gallery):
    pictures = [picture(tmp_path / "p" / "a.png", (195, 38, 42)), picture(tmp_path / "p" / "b.png", STRANGER, COLOURS["cid"])]
    said = []
    rows = list(who(pictures, gallery, say=said.append))
    assert names(rows) == [["ann"], ["unknown", "cid"]]
    assert rows[1][0]["faces"][1]["box"] == [32, 0, 64, 32] and rows[0][1].shape == (32, 32, 3)
    assert any("of 9 pictures of 3 people would be taken for someone else" in line for line in said)
    assert names(who(pictures[1:], gallery, threshold=0)) == [["unknown", "unknown"]]


def test_the_gallery_is_an_index_with_its_evidence(gallery):
    found = vectors.open_npz(gallery)
    assert sorted(set(found.labels.tolist())) == [b"ann", b"bob", b"cid"] and len(found) == 9
    known = found.header["faces"]["threshold"]
    assert known["num_people"] == 3 and known["alarms"] == 0 and known["bound"] > 0.6


def test_pictures_without_a_face_or_with_two_are_left_out_by_name(tmp_path, people, model):
    black, two = picture(people / "ann" / "black.png", (0, 0, 0)), picture(people / "bob" / "two.png", COLOURS["bob"], STRANGER)
    broken = people / "cid" / "broken.png"
    broken.write_bytes(b"\x89PNG")
    result = enrol(people, tmp_path / "g.npz", model=model)
    assert {row["path"]: row["error"].split(" found")[0] for row in result["refused"]}.items() >= {
        (str(black), "no face"),
        (str(two), "2 faces"),
    }
    assert (result["num_pictures"], len(result["refused"])) == (9, 3) and str(broken) in result["refused"][2]["path"]
    taken = enrol(people, tmp_path / "more.npz", model=model, whole=True, largest=True)
    assert (taken["num_pictures"], len(taken["refused"])) == (11, 1)


def test_a_person_without_a_face_is_an_error_that_names_them(tmp_path, people, model):
    picture(people / "dan" / "black.png", (0, 0, 0))
    with pytest.raises(InputError, match=r"no picture of dan shows one face \(.*black\.png: no face found"):
        enrol(people, tmp_path / "g.npz", model=model)
    assert not (tmp_path / "g.npz").exists()
    (people / "ann" / "broken.png").write_bytes(b"\x89PNG")  # which comes first, and is not why
    with pytest.raises(InputError, match=r"no picture of dan shows one face \(.*black\.png: no face found"):
        chips.align(people, tmp_path / "chips")


def test_one_person_needs_a_threshold_from_the_user(tmp_path, people, model):
    asked = picture(tmp_path / "a.png", COLOURS["ann"])
    alone = tmp_path / "alone"
    alone.mkdir()
    (people / "ann").rename(alone / "ann")
    assert enrol(alone, tmp_path / "g.npz", model=model)["threshold"] is None
    with pytest.raises(InputError, match=r"one person enrolled no threshold.*--threshold \(0\.6 is what dlib's author"):
        list(who(asked, tmp_path / "g.npz"))
    assert names(who(asked, tmp_path / "g.npz", threshold=1)) == [["ann"]]


def test_galleries_of_another_model_without_faces_or_people_are_refused(tmp_path, people, model, gallery):
    asked = picture(tmp_path / "a.png", COLOURS["ann"])
    other = hub.save(hub.create_model("resnet20_cifar", task="embed", num_classes=0).eval(), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="other weights"):
        list(who(asked, gallery, model=other))
    embed(model, str(people), tmp_path / "index.npz")
    with pytest.raises(InputError, match="no gallery of faces"):
        list(who(asked, tmp_path / "index.npz"))
    found = vectors.open_npz(gallery)
    vectors.write(tmp_path / "empty.npz", dict(found.header), [found], [np.zeros(0, int)])
    with pytest.raises(InputError, match="nobody is enrolled"):
        list(who(asked, tmp_path / "empty.npz"))


@pytest.mark.parametrize(
    ("faces_of", "said"),
    [
        ({"threshold": {"threshold": "x"}}, "threshold='?x"),
        ({"threshold": {"threshold": 0.5}}, "does not say how its threshold was chosen"),
        ({"threshold": {"threshold": -1.0}}, "give a distance of at least 0"),
        ({"size": 160}, "no gallery of faces"),
    ],
)
def test_a_damaged_gallery_is_refused(tmp_path, gallery, faces_of, said):
    found = vectors.open_npz(gallery)
    header = dict(found.header) | {"faces": found.header["faces"] | faces_of}
    vectors.write(tmp_path / "bad.npz", header, [found], [None])
    with pytest.raises(InputError, match=said):
        list(who(picture(tmp_path / "a.png", COLOURS["ann"]), tmp_path / "bad.npz"))


def test_vectors_that_are_no_numbers_are_refused(tmp_path, gallery):
    found = vectors.open_npz(gallery)
    texts = {name: getattr(found, name).tolist() for name in vectors.TEXTS}
    bad = vectors.of_rows(dict(found.header), np.full_like(found.vectors, np.nan), texts)
    vectors.write(tmp_path / "nan.npz", bad.header, [bad], [None])
    with pytest.raises(InputError, match="no numbers"):
        list(who(picture(tmp_path / "a.png", COLOURS["ann"]), tmp_path / "nan.npz"))


def test_what_is_there_is_not_overwritten_and_labels_are_needed(tmp_path, people, model, gallery):
    with pytest.raises(InputError, match="exists already"):
        enrol(people, gallery, model=model)
    with pytest.raises(InputError, match="name it so"):
        enrol(people, tmp_path / "g.csv", model=model)
    with pytest.raises(InputError):
        enrol(people / "ann", tmp_path / "x.npz", model=model)
    (people / "ann").rename(people / "unknown")
    with pytest.raises(InputError, match="'unknown' is the answer for strangers"):
        enrol(people, tmp_path / "x.npz", model=model)


def test_chips_are_a_folder_to_train_on(tmp_path, people):
    picture(people / "ann" / "black.png", (0, 0, 0))
    result = chips.align(people, tmp_path / "chips")
    assert (result["num_chips"], len(result["refused"])) == (9, 1)
    made = sorted(str(path.relative_to(tmp_path / "chips")) for path in (tmp_path / "chips").rglob("*.png"))
    assert made[:3] == [f"ann/{n}.png" for n in range(3)]
    assert Image.open(tmp_path / "chips" / made[0]).size == (150, 150)
    with pytest.raises(InputError, match="is there already"):
        chips.align(people, tmp_path / "chips")


def test_the_commands_print_names_and_draw(tmp_path, people, model):
    def run(*words):
        done = CliRunner().invoke(cli, ["faces", *map(str, words)], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    gallery, drawn = tmp_path / "g.npz", tmp_path / "drawn.png"
    assert "3 people with 9 pictures" in run("enrol", people, "-o", gallery, "--model", model)
    asked = [picture(tmp_path / "p" / f"{name}.png", colour, STRANGER) for name, colour in COLOURS.items()]
    assert "ann.png  ann, nearest ann at 0." in run("who", *asked, "-g", gallery, "--draw", drawn)
    assert Image.open(drawn).size[0] > 500
    rows = json.loads(run("who", tmp_path / "p", "-g", gallery, "--json"))["pictures"]
    assert [each["name"] for each in rows[0]["faces"]] == ["ann", "unknown"]
    assert "9 chips" in run("align", people, "-o", tmp_path / "chips")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    done = CliRunner().invoke(cli, ["faces", "who", str(broken), "-g", str(gallery)])
    assert isinstance(done.exception, InputError) and "no picture could be read" in str(done.exception)
