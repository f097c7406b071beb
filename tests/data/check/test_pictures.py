import io
import json
import threading
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from resnets.data.check.findings import LEVELS, Findings, lines
from resnets.data.check.pictures import check_pictures, near_groups, perceptual_hash
from resnets.data.pictures.stored import ArrayImages
from resnets.data.sources import open_source
from resnets.data.types import Source, Split


def picture(seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Image.Image:
    """Soft blobs, (width, height), unlike those of any other seed."""
    rough = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train and test, two classes, 12 and 3 pictures of each: nothing is wrong with them."""
    for split, num in (("train", 12), ("test", 3)):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for index in range(num):
                save(picture(len(list(tmp_path.rglob("*.png")))), tmp_path, f"{split}/{label}/{index}.png")
    return tmp_path


def save(image: Image.Image, folder: Path, name: str) -> None:
    image.save(folder / name)


def look(folder: Path, **changes: int) -> Findings:
    return check_pictures(open_source(folder), **changes)


def kinds(findings: Findings) -> dict[str, str]:
    """kind -> level, of errors and warnings."""
    return {finding.kind: finding.level for finding in findings.findings if finding.level != "note"}


def items(findings: Findings, kind: str) -> list:
    (finding,) = [finding for finding in findings.findings if finding.kind == kind]
    return finding.items


def names(group: list[dict[str, str]], folder: Path) -> list[str]:
    return [Path(one["name"]).relative_to(folder).as_posix() for one in group]


def test_a_clean_set_yields_notes_only(folder: Path) -> None:
    findings = look(folder)
    assert kinds(findings) == {}
    assert items(findings, "classes") == [{"label": "cat", "train": 12, "test": 3}, {"label": "dog", "train": 12, "test": 3}]
    (files,) = [finding.text for finding in findings.findings if finding.kind == "files"]
    assert files.startswith("PNG 30; RGB 30; 48x40 pixels; ")
    assert list(lines(findings))[-1] == f"{folder.name}: 30 pictures, 0 errors, 0 warnings"


def test_unreadable_files_are_named_with_the_reason(folder: Path) -> None:
    path = folder / "train/cat/0.png"
    path.write_bytes(path.read_bytes()[:200])
    (folder / "train/dog/0.png").write_text("no picture")
    findings = look(folder)
    assert kinds(findings) == {"unreadable": "error"}
    cut_off, no_picture = items(findings, "unreadable")
    assert names([cut_off, no_picture], folder) == ["train/cat/0.png", "train/dog/0.png"]
    assert "truncated" in cut_off["what"] and "not an image" in no_picture["what"]
    assert f"    {path}: truncated" in "\n".join(lines(findings))
    assert items(findings, "classes")[0]["train"] == 11


def test_exact_duplicates_are_found_across_formats(folder: Path) -> None:
    save(Image.open(folder / "train/cat/3.png"), folder, "train/cat/copy.bmp")
    findings = look(folder)
    assert kinds(findings) == {"duplicates": "warning"}
    (group,) = items(findings, "duplicates")
    assert names(group, folder) == ["train/cat/3.png", "train/cat/copy.bmp"]


def test_duplicates_with_different_labels_are_errors(folder: Path) -> None:
    save(Image.open(folder / "train/cat/3.png"), folder, "train/dog/copy.png")
    findings = look(folder)
    assert kinds(findings) == {"disputed": "error"}
    assert [one["label"] for one in items(findings, "disputed")[0]] == ["cat", "dog"]


def test_duplicates_across_splits_are_leakage(folder: Path) -> None:
    save(Image.open(folder / "train/cat/3.png"), folder, "test/cat/copy.png")
    findings = look(folder)
    assert kinds(findings) == {"leakage": "error"}
    (group,) = items(findings, "leakage")
    assert sorted(one["split"] for one in group) == ["test", "train"]


def test_a_group_may_be_disputed_and_leak(folder: Path) -> None:
    for name in ("train/dog/copy.png", "test/cat/copy.png"):
        save(Image.open(folder / "train/cat/3.png"), folder, name)
    assert kinds(look(folder)) == {"disputed": "error", "leakage": "error"}


@pytest.mark.parametrize(
    ("place", "kind", "level"), [("train/cat", "near_duplicates", "warning"), ("test/cat", "near_leakage", "error")]
)
def test_near_duplicates(folder: Path, place: str, kind: str, level: str) -> None:
    original = Image.open(folder / "train/cat/3.png")
    lossy = io.BytesIO()
    original.resize((60, 50)).save(lossy, "JPEG", quality=60)  # saved anew, at another size
    save(Image.open(lossy), folder, f"{place}/again.png")
    findings = look(folder)
    assert kinds(findings) == {kind: level}
    (group,) = items(findings, kind)
    assert sorted(names(group, folder)) == sorted(["train/cat/3.png", f"{place}/again.png"])


def test_flat_and_tiny_pictures_are_not_near_duplicates() -> None:
    random = np.random.default_rng(0)
    flat = random.integers(200, 210, (20, 1, 1, 3)) + random.integers(-2, 3, (20, 40, 40, 3))
    small = np.stack([np.asarray(picture(0, (31, 31)))] * 10) + np.arange(10, dtype=np.uint8)[:, None, None, None] % 3
    for pixels in (flat.astype(np.uint8), small):
        source = arrays(train=(pixels, np.arange(len(pixels)) % 2))
        findings = check_pictures(source)
        assert not {"near_duplicates", "near_leakage"} & kinds(findings).keys()
        assert any(finding.kind == "not_compared" for finding in findings.findings)
        assert {perceptual_hash(one) for one in pixels} == {b""}


@pytest.mark.parametrize("size", [(48, 40), (200, 150), (900, 301)])
def test_the_hash_is_nearly_that_of_imagehash(size: tuple[int, int]) -> None:
    for seed in range(8):
        whole = picture(seed, size)
        theirs = np.packbits(imagehash.phash(whole).hash).tobytes()
        ours = perceptual_hash(np.asarray(whole))
        assert (int.from_bytes(theirs) ^ int.from_bytes(ours)).bit_count() <= 2


def arrays(**splits: tuple[np.ndarray, np.ndarray]) -> Source:
    values = {split: Split(ArrayImages(pixels, split), targets) for split, (pixels, targets) in splits.items()}
    return Source("arrays", ("a", "b"), values, 3)


def test_arrays_have_no_questions_of_format() -> None:
    pixels = np.stack([np.asarray(picture(seed, (32, 32))) for seed in range(40)])
    findings = check_pictures(arrays(train=(pixels[:30], np.arange(30) % 2), test=(pixels[30:], np.arange(10) % 2)))
    assert [finding.kind for finding in findings.findings] == ["classes"]
    leaking = arrays(train=(pixels[:30], np.arange(30) % 2), test=(pixels[29:], np.arange(11) % 2))
    (group,) = items(check_pictures(leaking), "leakage")
    assert group == [
        {"name": "train[29]", "split": "train", "label": "b"}, {"name": "test[0]", "split": "test", "label": "a"},
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(channels: int) -> None:
    mode = {1: "L", 4: "RGBA"}[channels]
    pixels = np.stack([np.asarray(picture(seed, (32, 32), mode)).reshape(32, 32, channels) for seed in range(20)])
    findings = check_pictures(arrays(train=(pixels, np.arange(20) % 2)))
    assert kinds(findings) == {}


def test_missing_tiny_and_skewed_classes(folder: Path) -> None:
    for path in (folder / "test/dog").iterdir():
        path.unlink()
    assert items(look(folder), "missing_classes") == [{"label": "dog", "missing in": "test", "pictures elsewhere": 12}]
    for index in range(2, 12):
        (folder / f"train/dog/{index}.png").unlink()
    findings = look(folder)
    assert kinds(findings) == dict.fromkeys(("missing_classes", "tiny_classes", "skewed_classes"), "warning")
    assert items(findings, "tiny_classes") == [{"label": "dog", "train": 2}]
    (skewed,) = [finding for finding in findings.findings if finding.kind == "skewed_classes"]
    assert "'cat' has 6 times" in skewed.text and "--balance" in skewed.text


def test_five_times_is_not_yet_skewed() -> None:
    pixels = np.stack([np.asarray(picture(seed, (32, 32))) for seed in range(60)])
    assert kinds(check_pictures(arrays(train=(pixels, np.repeat([0, 1], [50, 10]))))) == {}


def in_one_way(folder: Path, label: str, suffix: str, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> None:
    for number, path in enumerate(sorted((folder / "train" / label).iterdir())):
        path.unlink()
        picture(1000 + number, size, mode).save(path.with_suffix(suffix))


@pytest.mark.parametrize(
    ("field", "changes", "shown"),
    [
        ("format", {"suffix": ".jpg"}, {"cat": "JPEG", "dog": "PNG"}),
        ("size", {"suffix": ".png", "size": (40, 48)}, {"cat": "40x48", "dog": "48x40"}),
        ("mode", {"suffix": ".png", "mode": "L"}, {"cat": "L", "dog": "RGB"}),
    ],
)
def test_one_sided_classes(folder: Path, field: str, changes: dict, shown: dict[str, str]) -> None:
    in_one_way(folder, "cat", **changes)
    findings = look(folder)
    assert kinds(findings) == {f"one_sided_{field}": "error"}  # every class: nothing else need be learnt
    assert {item["label"]: item[field] for item in items(findings, f"one_sided_{field}")} == shown
    (folder / "train/bird").mkdir()
    for index in range(12):
        save(picture(2000 + index), folder, f"train/bird/{index}.png")
    findings = look(folder)
    assert kinds(findings)[f"one_sided_{field}"] == "warning"
    assert [item["label"] for item in items(findings, f"one_sided_{field}")] == ["cat"]


def test_sizes_that_all_differ_are_no_class_of_their_own(folder: Path) -> None:
    for label, longer in (("cat", 0), ("dog", 1)):
        for number, path in enumerate(sorted((folder / "train" / label).iterdir())):
            picture(1000 + number + 100 * longer, (48 + 2 * number + longer, 40)).save(path)
    assert kinds(look(folder)) == {}


def test_odd_sizes(folder: Path) -> None:
    for number, size in enumerate([(1, 40), (130, 40), (19, 19), (116, 40)]):
        save(picture(1000 + number, size), folder, f"train/cat/odd{number}.png")
    findings = look(folder)
    assert kinds(findings) == dict.fromkeys(("one_pixel", "long", "small"), "warning")
    found = {kind: [(Path(item["name"]).stem, item["what"]) for item in items(findings, kind)] for kind in kinds(findings)}
    assert found == {"one_pixel": [("odd0", "1x40")], "long": [("odd1", "130x40")], "small": [("odd2", "19x19")]}


def test_many_small_pictures_are_how_the_data_are(folder: Path) -> None:
    for number in range(10):
        save(picture(1000 + number, (19, 19)), folder, f"train/{('cat', 'dog')[number % 2]}/small{number}.png")
    assert kinds(look(folder)) == {}


def test_modes_that_few_pictures_have(folder: Path) -> None:
    deep = np.asarray(picture(1000, mode="L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "train/cat/deep.png")
    picture(1001, mode="CMYK").save(folder / "train/dog/print.jpg")
    picture(1002, mode="L").save(folder / "train/dog/grey.png")  # nothing to warn of
    findings = look(folder)
    assert kinds(findings) == {"rare_modes": "warning"}
    assert [item["what"] for item in items(findings, "rare_modes")] == [
        "I;16, 16 bits become 8, by --bit-depth", "CMYK, converted without its colour profile",
    ]  # fmt: skip


def test_json_holds_all_and_text_the_first(folder: Path) -> None:
    for index in range(8):
        (folder / f"train/cat/bad{index}.png").write_text("")
    findings = look(folder)
    told = json.loads(json.dumps(findings.to_json()))
    assert (told["name"], told["num_images"], told["num_errors"], told["num_warnings"]) == (folder.name, 38, 1, 0)
    assert len(told["findings"][0]["items"]) == 8
    text = list(lines(findings))
    assert text[0].startswith("error: 8 pictures cannot be read") and text[6] == "    ... and 3 more"
    levels = [LEVELS.index(finding.level) for finding in findings.findings]
    assert levels == sorted(levels)


def test_workers_change_nothing_and_progress_is_told(folder: Path) -> None:
    save(Image.open(folder / "train/cat/3.png"), folder, "test/cat/copy.png")
    told: list[tuple[int, int]] = []
    alone = check_pictures(open_source(folder), workers=1, progress=lambda *done: told.append(done))
    assert alone == look(folder, workers=4) == look(folder)
    assert told == [(24, 31), (31, 31)]


def test_an_interruption_ends_the_threads(folder: Path) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        check_pictures(open_source(folder), progress=stop)
    assert threading.active_count() == before


def test_near_groups_are_those_of_comparing_all_with_all() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, 300, dtype=np.uint64)
    for bits in range(1, 8):  # neighbours at every distance, of which those up to 4 count
        flips = [random.choice(64, bits, replace=False) for _ in range(40)]
        moved = [int(one) ^ sum(1 << int(bit) for bit in flip) for one, flip in zip(hashes[:40], flips, strict=True)]
        hashes = np.concatenate([hashes, np.array(moved, dtype=np.uint64)])
    root = list(range(len(hashes)))
    for one in range(len(hashes)):
        for other in range(one):
            if (int(hashes[one]) ^ int(hashes[other])).bit_count() <= 4 and root[one] != root[other]:
                root = [root[other] if node == root[one] else node for node in root]
    groups = {node: [index for index, each in enumerate(root) if each == node] for node in root}
    assert near_groups(hashes) == [group for group in groups.values() if len(group) > 1]
    assert near_groups(hashes[:0]) == []
    assert near_groups(np.zeros(1000, dtype=np.uint64)) == [list(range(1000))]
