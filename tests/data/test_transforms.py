"""Normalising is its formula, and augmentation does what it says, seeded."""

from random import Random

import numpy as np
import pytest
import torch

from resnets.data import transforms
from resnets.data.pictures.resize import fit_picture
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import mix_seed, seeded
from resnets.data.transforms import AUTO_AUGMENT, Augment, normalise, random_part, replace_size, windows
from tests.data.made import FILTERS, image_of, noise, planes, rule


@pytest.mark.parametrize("chans", [1, 3])
def test_normalise_is_its_formula(chans):
    preprocess = Preprocess(size=(4, 6), mean=(0.1, 0.5, 0.9)[:chans], std=(0.2, 1.0, 0.25)[:chans])
    pixels = torch.randint(256, (2, chans, 4, 6), dtype=torch.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
    found = normalise(pixels, preprocess)
    assert found.dtype == torch.float32
    assert torch.allclose(found, (pixels / 255 - mean) / std, atol=1e-6)


def test_a_mean_for_each_pixel_is_subtracted_pixel_by_pixel():
    mean = torch.rand(3, 4, 6)
    preprocess = Preprocess(size=(4, 6), mean=tuple(mean.flatten().tolist()), std=(1.0, 1.0, 1.0))
    pixels = torch.randint(256, (2, 3, 4, 6), dtype=torch.uint8)
    assert torch.allclose(normalise(pixels, preprocess), pixels / 255 - mean, atol=1e-6)
    larger = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)  # as with train_size: there the mean holds a channel
    assert torch.allclose(normalise(larger, preprocess), larger / 255 - mean.mean((1, 2))[:, None, None], atol=1e-6)
    assert len(replace_size(preprocess, (8, 8)).mean) == 3


# --- augmentation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrors", [False, True])
@pytest.mark.parametrize("shape", [(6, 3, 8, 8), (6, 1, 5, 9)], ids=str)
def test_windows_are_those_of_the_padded_picture(shape, mirrors):
    x = torch.arange(1, 1 + np.prod(shape), dtype=torch.float32).reshape(shape)
    top, left = torch.tensor([-2, 2, 0, -1, 1, 0]), torch.tensor([0, 1, -2, 2, -1, 0])
    mirrored = torch.tensor([True, False, True, True, False, False]) if mirrors else None
    found = windows(x, top, left, mirrored)
    for number, picture in enumerate(torch.nn.functional.pad(x, (2,) * 4)):
        first, second = 2 + top[number], 2 + left[number]
        window = picture[:, first : first + shape[2], second : second + shape[3]]
        assert torch.equal(found[number], window.flip(-1) if mirrors and mirrored[number] else window)


@pytest.mark.parametrize("far", [1, 7, 30])
def test_windows_are_cut_as_they_are_gathered(far):
    random = torch.Generator().manual_seed(0)
    x = torch.rand(40, 3, 4, 9, generator=random)
    top, left = torch.randint(-far, far + 1, (2, 40), generator=random)
    mirrored = torch.rand(40, generator=random) < 0.5
    assert torch.equal(transforms._cut(x, top, left, mirrored), transforms._gathered(x, top, left, mirrored))


def test_random_crops_reach_every_offset():
    found = Augment(crop="pad", pad=0.5).batch(torch.ones(2000, 1, 2, 2), torch.zeros(2000), 2)[0][:, 0]
    assert len({tuple(window.flatten().tolist()) for window in found}) == 9


def picture_rows(num=64):
    return torch.arange(num * 12, dtype=torch.float32).reshape(num, 1, 3, 4)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (1.0, 64, 64), (0.5, 10, 54)])
def test_mirrored_only_if_asked(share, least, most):
    torch.manual_seed(0)
    x, targets = picture_rows(), torch.zeros(64, dtype=torch.int64)
    found, same = Augment(hflip=share).batch(x, targets, 2)
    is_mirrored = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(found, x, strict=True)])
    is_same = torch.tensor([torch.equal(a, b) for a, b in zip(found, x, strict=True)])
    assert (is_mirrored ^ is_same).all() and least <= int(is_mirrored.sum()) <= most
    assert same is targets


def test_without_augmentation_nothing_happens():
    x, targets = picture_rows(), torch.zeros(64, dtype=torch.int64)
    found, _ = Augment().batch(x, targets, 2)
    assert torch.equal(found, x)


@pytest.mark.parametrize("size", [(100, 50), (10, 200), (1, 1), (3, 1000)], ids=str)
def test_random_part_lies_within_the_picture(size):
    random = Random(0)
    parts = [random_part(random, size, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(100)]
    assert all(0 <= left < right <= size[0] and 0 <= top < bottom <= size[1] for left, top, right, bottom in parts)


def test_random_part_keeps_to_scale_and_ratio():
    random = Random(0)
    for _ in range(200):
        left, top, right, bottom = random_part(random, (200, 200), (0.25, 0.5), (3 / 4, 4 / 3))
        share, ratio = (right - left) * (bottom - top) / 200**2, (right - left) / (bottom - top)
        assert 0.24 <= share <= 0.51 and 0.74 <= ratio <= 1.35


@pytest.mark.parametrize("crop", ["none", "pad", "resized"])
@pytest.mark.parametrize("chans", [1, 3])
def test_a_training_picture_has_the_size_of_training(chans, crop):
    found = Augment(crop=crop).picture(noise(30, 20, chans), rule((16, 16), chans), (12, 10), Random(0))
    assert found.permute(1, 2, 0).is_contiguous()
    assert found.shape == (chans, 12, 10) and found.dtype == torch.uint8


def test_without_a_resized_crop_a_training_picture_is_as_evaluated():
    picture = noise(30, 20)
    assert np.array_equal(Augment(crop="pad").picture(picture, rule(), (16, 16), Random(0)), fit_picture(picture, rule()))


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("chans", [1, 3, 4])
def test_resized_crop_is_pillows_of_the_part_but_for_rounding(chans, interpolation):
    pixels = noise(60, 40, chans)
    left, top, right, bottom = random_part(Random(3), (60, 40), (0.08, 1.0), (3 / 4, 4 / 3))
    augment, preprocess = Augment(crop="resized"), rule((16, 16), chans, interpolation=interpolation)
    found = augment.picture(pixels, preprocess, (16, 16), Random(3)).numpy().astype(int)
    expected = planes(image_of(pixels[top:bottom, left:right]).resize((16, 16), FILTERS[interpolation]))
    assert np.abs(found - expected).max() <= (chans != 4) and (found != expected).mean() < 0.05


def test_every_other_resized_crop_is_mirrored():
    pixels = noise(60, 40)
    plain, always, often = (Augment(crop="resized", hflip=share) for share in (0.0, 1.0, 0.5))
    views = [[each.picture(pixels, rule(), (16, 16), Random(n)) for n in range(100)] for each in (plain, always, often)]
    assert all(torch.equal(one.flip(-1), two) for one, two in zip(*views[:2], strict=True))
    assert 30 < sum(torch.equal(one, two) for one, two in zip(views[0], views[2], strict=True)) < 70
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(always.batch(x, torch.arange(4), 4)[0], x), "and not again with the batch"


@pytest.mark.parametrize("chans", [1, 3])
@pytest.mark.parametrize("each_pixel", [False, True])
def test_normalise_is_the_same_in_either_order_of_memory(chans, each_pixel):
    values = np.random.default_rng(0).uniform(0.1, 0.9, (chans * 30 if each_pixel else chans))
    preprocess = Preprocess(size=(5, 6), mean=tuple(values), std=(0.3, 0.21, 0.17)[:chans])
    pixels = torch.randint(0, 256, (4, chans, 5, 6), dtype=torch.uint8)
    first, last = pixels, pixels.contiguous(memory_format=torch.channels_last)
    mean = np.reshape(np.float32(values), (chans, *((5, 6) if each_pixel else (1, 1)))) * np.float32(255)
    std = np.float32(preprocess.std).reshape(-1, 1, 1) * np.float32(255)
    expected = torch.from_numpy((pixels.numpy().astype(np.float32) - mean) / std)
    assert torch.equal(normalise(first, preprocess), expected) and torch.equal(normalise(last, preprocess), expected)
    assert normalise(last, preprocess).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("settings", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 1.0}], ids=str)
def test_mixed_targets_sum_to_one_and_name_two_classes(settings):
    torch.manual_seed(0)
    x, targets = torch.randn(8, 3, 8, 8), torch.arange(8)
    for _ in range(10):
        mixed, soft = Augment(**settings).batch(x, targets, 11)
        assert soft.shape == (8, 11) and soft.dtype == torch.float32
        assert torch.allclose(soft.sum(1), torch.ones(8)) and ((soft > 0).sum(1) <= 2).all()
        assert mixed.shape == x.shape and mixed.dtype == x.dtype


def test_mixup_mixes_pictures_as_it_mixes_targets():
    torch.manual_seed(0)
    x = torch.eye(8).reshape(8, 1, 1, 8)
    mixed, soft = Augment(mixup=1.0).batch(x, torch.arange(8), 8)
    assert torch.allclose(mixed[:, 0, 0], soft, atol=1e-6)


def test_cutmix_pastes_as_large_a_share_as_it_says():
    torch.manual_seed(0)
    x = torch.arange(8.0)[:, None, None, None].expand(8, 1, 16, 16).clone()
    mixed, soft = Augment(cutmix=1.0).batch(x, torch.arange(8), 8)
    shares = torch.stack([(mixed[:, 0] == value).float().mean((1, 2)) for value in range(8)], dim=1)
    assert torch.allclose(shares, soft, atol=1e-6)


def test_both_mixes_take_turns():
    x = torch.arange(8.0)[:, None, None, None].expand(8, 1, 16, 16).clone()
    whole = []
    for seed in range(20):
        with seeded(seed):
            mixed, _ = Augment(mixup=1.0, cutmix=1.0).batch(x, torch.arange(8), 8)
        whole.append(torch.equal(mixed, mixed.round()))  # cutmix makes no new values
    assert {True, False} == set(whole)


def test_erasing_blanks_rectangles_with_the_mean():
    torch.manual_seed(0)
    x, targets = torch.ones(50, 3, 16, 16), torch.zeros(50, dtype=torch.int64)
    found, _ = Augment(random_erase=1.0).batch(x, targets, 2)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    shares = (found == 0).float().mean((1, 2, 3))
    assert (shares > 0).float().mean() > 0.9 and shares.max() < 0.4
    assert len({round(float(share), 4) for share in shares}) > 5, "each picture for itself"
    never, _ = Augment(random_erase=0.0).batch(x, targets, 2)
    assert torch.equal(never, x)


@pytest.mark.parametrize("policy", AUTO_AUGMENT)
@pytest.mark.parametrize("chans", [1, 3])
def test_auto_augment_changes_grey_and_colour_pictures(chans, policy):
    pixels = torch.from_numpy(planes(image_of(noise(16, 16, chans))))
    views = []
    for seed in range(30):
        with seeded(seed):
            views.append(Augment(auto_augment=policy).colours(pixels))
    assert all(view.shape == pixels.shape and view.dtype == torch.uint8 for view in views)
    assert sum(not torch.equal(view, pixels) for view in views) > 15
    with seeded(0):
        assert torch.equal(Augment(auto_augment=policy).colours(pixels), views[0])


def test_seeded_is_a_function_of_its_parts_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1, 2, "batch"):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with pytest.raises(KeyError), seeded(1, 2, "batch"):
        assert torch.equal(torch.rand(2), inside)
        raise KeyError
    with seeded(1, 3, "batch"):
        assert not torch.equal(torch.rand(2), inside)


def test_mixed_seeds_differ_and_never_change():
    seeds = {
        mix_seed(*parts) for parts in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, "a"), ("0",), (0, 0, "order"), (10,), (1, "0")]
    }
    assert len(seeds) == 10 and all(0 <= seed < 2**63 for seed in seeds)
    assert mix_seed(0, 1, "order") == 4365688119967752521  # golden: another value would end the exactness of runs under way
