"""Features of images: from models of any task, of any stage, from splits and files."""

import numpy as np
import pytest
import torch
from PIL import Image

from resnets import create_model, save
from resnets.data.pictures.stored import FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.data.workers import BadImages
from resnets.errors import InputError
from resnets.ship import formats
from resnets.ship.graph import program
from resnets.ship.sessions import Session, open_session
from resnets.tasks import TASKS
from resnets.verbs import features
from resnets.verbs.features import feature_session, of_files, of_split

SMALL = {"depths": (1, 1, 1), "width": 8, "num_classes": 3}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model("resnet20_cifar", **SMALL, preprocess=Preprocess(size=(16, 16), crop_pct=1.0)).eval()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for number in range(7):
        path = tmp_path / "data" / ("train" if number < 5 else "val") / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    return tmp_path / "data"


def test_they_are_what_the_classifier_reads(model, pixels):
    seen = []
    handle = model.fc.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].numpy()))
    open_session(model).run(pixels)
    handle.remove()
    found = feature_session(model).run(pixels)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, seen[0])


@pytest.mark.parametrize(("stage", "width"), [("c1", 8), ("c2", 8), ("c3", 16), ("c4", 32), (None, 32)])
def test_a_stage_by_its_name(model, pixels, stage, width):
    session = feature_session(model, stage=stage)
    found = session.run(pixels)
    level = model.features(model.inputs(pixels.transpose(0, 2, 3, 1)))[stage or "c4"]
    np.testing.assert_allclose(found, level.mean((2, 3)).detach(), rtol=1e-5, atol=1e-6)
    assert found.shape == (5, width) and session.header.head == {"stage": stage or "c4"} and not session.header.labels


def test_a_stage_that_is_not_there(model):
    with pytest.raises(InputError, match="has c1, c2, c3, c4; give one of these"):
        feature_session(model, stage="c5")


@pytest.mark.parametrize("task", list(TASKS))
def test_models_of_any_task(task):
    torch.manual_seed(0)
    model = create_model("resnet18", depths=(1, 1, 1, 1), width=8, task=task, num_classes=3).eval()
    if model.task.embeds:
        pytest.skip("it has an embedding of its own")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 96, 64), dtype=np.uint8)
    with torch.no_grad():
        x = (torch.from_numpy(pixels) / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
            [0.229, 0.224, 0.225]
        ).view(3, 1, 1)
        expected = model.features(x)["c5"].mean((2, 3))
    np.testing.assert_allclose(feature_session(model).run(pixels), expected, rtol=1e-4, atol=1e-5)


def test_volumes_and_series():
    for dims, shape in ((3, (1, 1, 24, 20, 16)), (1, (2, 1, 64))):
        model = create_model("resnet18", depths=(1, 1), width=8, dims=dims, in_chans=1, num_classes=2, stem="small").eval()
        x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
        if dims == 3:
            assert feature_session(model).run(x).shape == (1, 16)
        from resnets.models.pooled import Pooled

        assert Pooled(model)(torch.from_numpy(x)).shape == (shape[0], 16)


def test_a_model_in_training_stays_so(model, pixels):
    model.train()
    try:
        found = feature_session(model).run(pixels)
        assert model.training and model.bn1.num_batches_tracked == 0
    finally:
        model.eval()
    np.testing.assert_array_equal(found, feature_session(model).run(pixels))


@pytest.mark.slow
def test_of_a_file_and_of_an_exported_one(model, pixels, tmp_path):
    path = save(model, tmp_path / "m.safetensors")
    session = feature_session(path)
    np.testing.assert_array_equal(session.run(pixels), feature_session(model).run(pixels))
    from resnets.models.pooled import Pooled

    trunk = Pooled(model, "c3")
    formats.FORMATS["torch"].write(program(trunk), tmp_path / "f.pt2", trunk.header, None)
    exported = feature_session(tmp_path / "f.pt2")
    np.testing.assert_allclose(exported.run(pixels), feature_session(path, stage="c3").run(pixels), rtol=1e-4, atol=1e-5)
    assert exported.header.head == {"stage": "c3"}
    with pytest.raises(InputError, match=r"gives features of c3; leave it out"):
        feature_session(tmp_path / "f.pt2", stage="c4")
    formats.FORMATS["torch"].write(program(model), tmp_path / "c.pt2", model.header, None)
    with pytest.raises(InputError, match="answers with 3 classes, not features; give the model that it came from"):
        feature_session(tmp_path / "c.pt2")
    with pytest.raises(InputError, match="the session answers with 3 classes"):
        feature_session(open_session(model))


def test_another_librarys_network_has_no_stages():
    from resnets.ship import external

    spec = external.named("torchvision/alexnet")
    model = external.create(spec, task="classify", preprocess=Preprocess(), labels=[str(n) for n in range(1000)])
    with pytest.raises(InputError, match="give a network of this package"):
        feature_session(model)


def test_of_a_split(model, folder):
    (folder / "train" / "a" / "broken.png").write_bytes(b"none")
    split = open_source(str(folder), "classes").splits["train"]
    said, bad = [], BadImages(3)
    session = feature_session(model)
    found = of_split(session, split, bad=bad, batch_size=2, say=lambda *num: said.append(num))
    assert len(found.values) == 5 and len(bad.reasons) == 1 and said == []
    names = [split.images.name(position) for position in found.positions]
    assert [name[-7:-6] for name in names] == ["ab"[target] for target in found.targets]
    expected = np.concatenate([session.run(model_pixels(name)) for name in names])
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)


def model_pixels(name):
    return np.asarray(Image.open(name)).transpose(2, 0, 1)[None]


def test_mirrored_and_said(model, folder, monkeypatch):
    monkeypatch.setattr(features, "SAY_SECONDS", 0.0)
    split = open_source(str(folder), "classes").splits["val"]
    session, said = feature_session(model), []
    found = of_split(session, split, bad=BadImages(0), batch_size=1, mirrored=True, say=lambda *num: said.append(num))
    flipped = [session.run(model_pixels(split.images.name(n))[..., ::-1].copy())[0] for n in found.positions]
    np.testing.assert_allclose(found.values, flipped, rtol=1e-4, atol=1e-5)
    assert said == [(1, 2), (2, 2)]


def test_a_split_that_cannot_be_read(model, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        (tmp_path / "d" / name / "x.png").write_bytes(b"none")
    split = next(iter(open_source(str(tmp_path / "d"), "classes").splits.values()))
    with pytest.raises(InputError, match="no picture of the split can be read"):
        of_split(feature_session(model), split, bad=BadImages(5))


def test_of_files(model, folder):
    files = sorted(folder.rglob("*.png"))
    (folder / "broken.png").write_bytes(b"none")
    found = list(of_files(feature_session(model), FileImages([*files, folder / "broken.png"], 3), batch_size=2))
    assert [each.row["path"] for each in found] == [str(path) for path in [*files, folder / "broken.png"]]
    assert "error" in found[-1].row and found[-1].answer is None
    assert all(isinstance(each.answer, np.ndarray) and each.answer.shape == (32,) for each in found[:-1])


def test_of_files_of_a_detector(folder):
    model = create_model("resnet18", depths=(1, 1, 1, 1), width=8, task="detect", num_classes=2).eval()
    session = feature_session(model)
    assert isinstance(session, Session)
    found = list(of_files(session, FileImages(sorted(folder.rglob("*.png")), 3)))
    assert all(each.answer.shape == (64,) for each in found)
