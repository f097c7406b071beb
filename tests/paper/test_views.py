"""Testing protocols against cases worked by hand: which pixels each crop holds, what is averaged, and what scales come to."""

import numpy as np
import pytest
import torch

from resnets.data.preprocess import Preprocess
from resnets.data.workers import BadImages
from resnets.errors import InputError
from resnets.paper import views
from resnets.paper.views import PROTOCOLS, evaluate_views, judge, open_all, scored
from resnets.ship import hub
from resnets.verbs import evaluate as evaluation
from tests.paper.colours import LABELS, SPEC, folder, model


def numbered(height, width):
    """A grey picture (height, width, 1) whose pixel is 16 times its row and its column."""
    return (16 * np.arange(height)[:, None] + np.arange(width)).astype(np.uint8)[:, :, None]


def grey(**settings):
    return Preprocess(mean=(0.0,), std=(1.0,), **settings)


def shown(picture, preprocess, name="10-crop"):
    """What a network sees, each (h, w), in 255ths."""
    protocol = PROTOCOLS[name]
    found = [protocol.inputs(torch.from_numpy(cut.copy())[None], preprocess) for cut in protocol.cut(picture, preprocess)]
    return [(255 * x[0]).round().int().numpy() for inputs in found for x in inputs]


class Fixed(torch.nn.Module):
    """Gives every picture the same logits."""

    def __init__(self, *logits, labels=LABELS):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))
        self.preprocess, self.labels, self.spec = Preprocess(size=(8, 8), crop_pct=1.0), labels, SPEC
        self.header = hub.create_model(SPEC, labels=labels, preprocess=self.preprocess).header

    def forward(self, x):
        return self.logits.expand(len(x), -1)


# --- crops -----------------------------------------------------------------------------------------------------------


def test_ten_crops_of_a_larger_picture():
    """A picture of 8 x 8 whose input is its middle 4 x 4: the corners begin at 0 and 4, the middle at 2."""
    picture, preprocess = numbered(8, 8), grey(size=(4, 4), crop_pct=0.5)
    found, whole = shown(picture, preprocess), picture[:, :, 0]
    corners = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    for crop, (top, left) in zip(found[:5], corners, strict=True):
        np.testing.assert_array_equal(crop, whole[top : top + 4, left : left + 4])
    mirrored = whole[:, ::-1]
    for crop, (top, left) in zip(found[5:], corners, strict=True):
        np.testing.assert_array_equal(crop, mirrored[top : top + 4, left : left + 4])
    np.testing.assert_array_equal(found[4], shown(picture, preprocess, "1-crop")[0])


def test_ten_crops_of_a_wide_picture_reach_its_ends():
    """4 x 8 at a shorter side of 4 stays as it is: of 2 x 2 the right corners begin at column 6."""
    found = shown(numbered(4, 8), grey(size=(2, 2), crop_pct=0.5))
    np.testing.assert_array_equal(found[1], [[6, 7], [22, 23]])
    np.testing.assert_array_equal(found[3], [[38, 39], [54, 55]])
    np.testing.assert_array_equal(found[4], [[19, 20], [35, 36]])
    np.testing.assert_array_equal(found[5], [[7, 6], [23, 22]])


def test_ten_crops_where_the_input_is_the_whole_picture():
    """8 x 8 has a border of 1 of zeros, which are the mean: the first crop lacks the last row and column."""
    picture, preprocess = numbered(8, 8), grey(size=(8, 8), crop_pct=1.0)
    found, whole = shown(picture, preprocess), picture[:, :, 0]
    assert not found[0][0].any() and not found[0][:, 0].any()
    np.testing.assert_array_equal(found[0][1:, 1:], whole[:7, :7])
    np.testing.assert_array_equal(found[3][:7, :7], whole[1:, 1:])
    np.testing.assert_array_equal(found[4], whole)
    np.testing.assert_array_equal(found[9], whole[:, ::-1])


def test_the_per_pixel_mean_moves_with_the_picture():
    """As in training: it is subtracted before the border is added."""
    picture = numbered(8, 8)
    preprocess = Preprocess(size=(8, 8), crop_pct=1.0, mean=tuple(picture.ravel() / 255), std=(1.0,))
    assert all(not crop.any() for crop in shown(picture, preprocess))


# --- scales ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, expected", [(224, (224, 256, 384, 480, 640)), (32, (32, 37, 55, 69, 91)), (16, (16, 18, 27, 34, 46))]
)
def test_sides(size, expected):
    assert views.sides(grey(size=(size, size))) == expected


def test_scales_keep_the_shape_and_mirror():
    found = shown(numbered(7, 14), grey(size=(7, 7), crop_pct=1.0), "multi-scale")
    assert [x.shape for x in found[::2]] == [(7, 14), (8, 16), (12, 24), (15, 30), (20, 40)]
    np.testing.assert_array_equal(found[0], numbered(7, 14)[:, :, 0])
    for one, other in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_array_equal(one, other[:, ::-1])


@torch.inference_mode()
def test_a_dense_network_is_its_classifier_at_every_position():
    """The head on pooled features equals the mean of the head as a 1x1 convolution over all positions."""
    net, x = model(), torch.randn(2, 3, 20, 28)
    last = net.features(x)["c4"]
    dense = torch.nn.functional.conv2d(last, net.fc.weight[:, :, None, None], net.fc.bias)
    assert dense.shape == (2, 3, 5, 7)
    torch.testing.assert_close(net(x), dense.mean((2, 3)))


# --- averaging -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PROTOCOLS))
@pytest.mark.parametrize("average", list(views.AVERAGES))
@torch.inference_mode()
def test_scores_are_the_mean_over_views(name, average):
    """However many inputs share a batch, and whatever their sizes."""
    net, protocol, random = model(size=(8, 8)), PROTOCOLS[name], np.random.default_rng(0)
    pictures = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((8, 8), (8, 12), (8, 8), (12, 8))]
    cuts = [protocol.cut(picture, net.preprocess) for picture in pictures]
    expected = []
    for cut in cuts:
        inputs = [x[None] for part in cut for x in protocol.inputs(torch.from_numpy(part.copy())[None], net.preprocess)]
        assert len(inputs) == {"1-crop": 1, "10-crop": 10, "multi-scale": 10}[name]
        logits = torch.stack([net(x)[0].double() for x in inputs])
        expected.append((logits.softmax(1) if average == "probabilities" else logits).mean(0))
    for batch_size in (1, 30, 64):
        found = scored(net, cuts, protocol, views.AVERAGES[average], batch_size)
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_one_crop_is_resnets_eval(tmp_path):
    data, net = folder(tmp_path), model()
    usual = evaluation.evaluate(net, data, workers=0)
    found = evaluate_views(net, data, workers=0)
    assert 0 < usual["top1"] < 1
    assert found["top1_error"] == pytest.approx(1 - usual["top1"]) and found["num_images"] == usual["num_images"] == 12
    assert found["split"] == "test" and found["views"] == "1-crop" and found["seconds"] >= 0


def test_an_ensemble_is_the_mean_of_probabilities(tmp_path):
    """(0.7 0.2 0.1) is for blue, (0.1 0.35 0.55) for red; their mean (0.4 0.275 0.325) is for blue."""
    one, other = (Fixed(*torch.tensor(p).log().tolist()) for p in ((0.7, 0.2, 0.1), (0.1, 0.35, 0.55)))
    opened = open_all([one, other], folder(tmp_path), split="test", data_dir=None, device="cpu")
    judged = judge(opened, "10-crop", bad=BadImages(0), workers=0)
    assert judged.members[0].top1.tolist() == [True] * 4 + [False] * 8
    assert judged.members[1].top1.tolist() == [False] * 8 + [True] * 4
    assert judged.together.top1.tolist() == [True] * 4 + [False] * 8
    third = Fixed(*torch.tensor((0.1, 0.1, 0.8)).log().tolist())
    opened = open_all([one, other, third], folder(tmp_path), split=None, data_dir=None, device="cpu")
    assert judge(opened, "1-crop", bad=BadImages(0)).together.top1.tolist() == [False] * 8 + [True] * 4


def test_classes_are_matched_by_name(tmp_path):
    """The other model has the same classes in another order; with logits of a thousandth it decides nothing."""
    one, other = Fixed(5.0, 0.0, 0.0), Fixed(0.0, 0.0, 9.0, labels=("red", "green", "blue"))
    opened = open_all([one, other], folder(tmp_path), split=None, data_dir=None, device="cpu")
    judged = judge(opened, "1-crop", bad=BadImages(0))
    for hits in (*judged.members, judged.together):
        assert hits.top1.tolist() == [True] * 4 + [False] * 8


def test_members_of_other_preprocessing_see_their_own(tmp_path):
    data = folder(tmp_path)
    nets = [model(0), model(1, size=(4, 4), crop_pct=0.5, mean=(0.1,) * 3)]
    alone = [evaluate_views(net, data, "10-crop")["top1_error"] for net in nets]
    together = evaluate_views(nets, data, "10-crop")
    assert [member["top1_error"] for member in together["members"]] == alone


# --- data ------------------------------------------------------------------------------------------------------------


def test_limit_is_spread_over_the_classes(tmp_path):
    opened = open_all([Fixed(1.0, 0.0, 0.0)], folder(tmp_path), split=None, data_dir=None, device="cpu")
    judged = judge(opened, "1-crop", bad=BadImages(0), limit=3)
    assert len(judged.together.top1) == 3 and judged.together.top1.sum() == 1


def test_bad_pictures_are_left_out_and_named(tmp_path):
    data = folder(tmp_path)
    (tmp_path / "test/blue/1.png").write_text("no picture")
    found = evaluate_views(Fixed(1.0, 0.0, 0.0), data, "10-crop")
    assert found["num_images"] == 11 and found["top1_error"] == pytest.approx(8 / 11)
    assert list(found["bad_images"]) == [str(tmp_path / "test/blue/1.png")]
    with pytest.raises(InputError, match="--max-bad allows 0"):
        evaluate_views(Fixed(1.0, 0.0, 0.0), data, max_bad=0)


def test_progress_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(views, "SAY_SECONDS", -1.0)
    said = []
    evaluate_views(model(), folder(tmp_path), say=said.append)
    assert said == ["1-crop: 12 of 12 images"]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_unknown_words_are_refused(tmp_path):
    data = folder(tmp_path)
    with pytest.raises(InputError, match="one of: 1-crop, 10-crop, multi-scale"):
        evaluate_views(model(), data, "12-crop")
    with pytest.raises(InputError, match="one of: probabilities, logits"):
        evaluate_views(model(), data, average="median")
    with pytest.raises(InputError, match="know different classes"):
        evaluate_views([model(), model(labels=("blue", "green", "grey"))], data)
    with pytest.raises(InputError, match="no model"):
        evaluate_views([], data)


def test_a_network_of_one_size_has_no_scales(tmp_path):
    with pytest.raises(InputError, match="one size"):
        evaluate_views(Fixed(1.0, 0.0, 0.0), folder(tmp_path), "multi-scale")


def test_remarks_say_what_differs():
    whole = grey(size=(8, 8), crop_pct=1.0)
    pixel = Preprocess(size=(8, 8), crop_pct=1.0, mean=(0.5,) * 64, std=(1.0,))
    usual = Preprocess(size=(224, 224), crop_pct=0.875)
    assert views.remarks(usual, "1-crop") == views.remarks(usual, "10-crop") == []
    assert ["border" in line for line in views.remarks(whole, "10-crop")] == [True]
    assert len(views.remarks(usual, "multi-scale")) == 1
    assert "8, 9, 14, 17, 23" in views.remarks(whole, "multi-scale")[1]
    assert "enlarged" in views.remarks(whole, "multi-scale")[2]
    assert "mean over positions" in views.remarks(pixel, "multi-scale")[3]
