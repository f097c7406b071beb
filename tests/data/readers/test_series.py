"""Layouts of series: what is recognised, how labels are found, what is refused."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from resnets.data.sources import open_source, recognised
from resnets.errors import InputError
from tests.data.series.made import bumps, save_npz, save_wav, ts


def lists(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_npz(tmp_path):
    source = open_source(save_npz(tmp_path / "a.npz", chans=2))
    assert (source.kind, source.dims, source.in_chans, source.labels, source.hflip) == ("series", 1, 2, ("0", "1"), False)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 12, "test": 6}
    image, target = source.splits["train"][1]
    np.testing.assert_array_equal(image, bumps(12, chans=2)[0][1])
    assert target == 1


def test_npz_of_one_split_has_columns_and_classes_in_order_of_their_numbers(tmp_path):
    x, _ = bumps(22)
    np.savez(tmp_path / "a.npz", x=x[:, 0], labels=np.arange(22) % 11, subject=np.array(list("abcdefghijk") * 2))
    source = open_source(tmp_path / "a.npz")
    assert source.labels == tuple(map(str, range(11))) and source.splits["train"].columns["subject"][3] == "d"


def test_npz_is_no_archive_of_pictures(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros((4, 8, 8), np.uint8), train_labels=np.array([0, 1, 0, 1]))
    assert open_source(tmp_path / "a.npz").kind == "classes"


def test_objects_in_an_archive_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([[1.0], [2.0, 3.0]], object), y=np.array([0, 1]))
    with pytest.raises(InputError, match=r"a\.npz"):
        open_source(tmp_path / "a.npz")


def test_ts_train_and_test_of_one_file_or_their_folder(tmp_path):
    (x, y), (x_test, y_test) = bumps(6, chans=2), bumps(4, chans=2, seed=1)
    x[0, 0, 3] = np.nan
    series = [x[0], x[1][:, :20], *x[2:]]
    ts(tmp_path / "Bumps_TRAIN.ts", series, y, "@univariate false", ("1", "0"))
    ts(tmp_path / "Bumps_TEST.ts", x_test, y_test, "@univariate false", ("1", "0"))
    for path in (tmp_path, tmp_path / "Bumps_TRAIN.ts", tmp_path / "Bumps_TEST.ts"):
        source = open_source(path)
        assert (source.labels, source.in_chans) == (("1", "0"), 2)  # in the order of the header
        assert {name: len(split) for name, split in source.splits.items()} == {"train": 6, "test": 4}
    train = source.splits["train"]
    assert train.images.lengths().tolist() == [32, 20, 32, 32, 32, 32] and train.targets.values.tolist() == [1, 0] * 3
    assert np.isnan(train.images[0][0, 3]) and "missing values: 0.28% of train" in source.told[0].text
    np.testing.assert_allclose(source.splits["test"].images[0], x_test[0], atol=1e-5)
    ts(tmp_path / "Other_TRAIN.ts", x, y)
    with pytest.raises(InputError, match="several sets, 'Bumps', 'Other'"):
        open_source(tmp_path)


def test_text_of_ucr_has_its_label_first_and_ends_where_values_are_missing(tmp_path):
    lists(tmp_path / "A_TRAIN.tsv", ["-1\t1.0\t2.0\t3.0\t4.0", "1\t1.0\tNaN\t3.0\tNaN", "-1\t5\t6\t7\t8"])
    lists(tmp_path / "A_TEST.txt", ["1.0000e+00  1  2  3"])
    source = open_source(tmp_path / "A_TRAIN.tsv")
    assert source.labels == ("-1", "1") and source.splits["train"].images.lengths().tolist() == [4, 3, 4]
    assert [note.kind for note in source.notes] == ["label_column", "shortened", "missing"]
    lists(tmp_path / "B_TRAIN.txt", ["1.0000e+00  1  2  3", "2.0000e+00  1  2  3"])
    assert open_source(tmp_path / "B_TRAIN.txt").labels == ("1", "2")


WIDE = [f"{n},{n + 1},{n + 2}.5,{'ab'[n % 2]}" for n in range(4)]


def test_wide_csv_has_its_label_in_the_named_or_the_last_column(tmp_path):
    source = open_source(lists(tmp_path / "a.csv", ["t0,t1,t2,kind", *WIDE]))
    assert source.labels == ("a", "b") and "labels are in the last column, 'kind'" in source.told[0].text
    np.testing.assert_array_equal(source.splits["train"].images[1], [[1, 2, 3.5]])
    assert open_source(lists(tmp_path / "b.csv", WIDE)).labels == ("a", "b")
    rows = [f"{'xy'[n % 2]},{n % 2},{n},{n},{n},{['train', 'test'][n // 4]}" for n in range(6)]
    source = open_source(lists(tmp_path / "c.csv", ["who,class,t0,t1,t2,split", *rows]))
    assert source.labels == ("0", "1") and source.splits["train"].columns["who"].tolist() == list("xyxy")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 4, "test": 2}


def test_a_list_of_pictures_is_no_table_of_series(tmp_path):
    path = lists(tmp_path / "a.csv", ["path,label,x,y,z", "a.png,cat,1,2,3"])
    assert recognised(path, "classes")[1].form.startswith("a list")
    assert recognised(lists(tmp_path / "b.csv", ["path,cat,dog,cow", "a.png,1,0,1"]), "tags")[1].form.startswith("a list")


def test_a_table_without_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"8 labels, in the last column, 't3', of 8 series are no classes"):
        open_source(lists(tmp_path / "a.csv", ["t0,t1,t2,t3", *(f"1,2,3,{n}.5" for n in range(8))]))


def test_folders_of_classes(tmp_path):
    for split in ("train", "test"):
        for number in range(4):
            save_wav(tmp_path / "wav" / split / "ab"[number % 2] / f"{number}.wav", np.arange(number + 3, dtype=np.int16))
    source = open_source(tmp_path / "wav")
    assert (source.kind, source.labels, source.in_chans) == ("series", ("a", "b"), 1)
    images = source.splits["train"].images
    assert (images.rate, images.lengths().tolist(), images.relative(0)) == (8000, [3, 5, 4, 6], "train/a/0.wav")
    for label in "ab":
        (tmp_path / "csv" / label).mkdir(parents=True)
        lists(tmp_path / "csv" / label / "1.csv", ["x,y", "1,2", "3,4"])
    assert open_source(tmp_path / "csv").in_chans == 2
    save_wav(tmp_path / "wav" / "train" / "a" / "9.wav", np.zeros(5, np.int16), rate=16000)
    with pytest.raises(InputError, match="several sampling rates"):
        open_source(tmp_path / "wav")


BROKEN = {
    "no data": (["@classLabel true a b", "1,2,3:a"], "line 2"),
    "no @data": (["@classLabel true a b"], "no line @data"),
    "time stamps": (["@timeStamps true", "@classLabel true a b", "@data", "(0,1),(1,2):a"], "time stamps"),
    "a strange label": (["@classLabel true a b", "@data", "1,2,3:c"], "'c' is not among"),
    "a word": (["@classLabel true a b", "@data", "1,x,3:a"], "line 3"),
    "no label": (["@classLabel true a b", "@data", "1,2,3:"], "no label"),
    "other channels": (["@classLabel true a b", "@data", "1,2,3:a", "1,2,3:4,5,6:b"], "1, 2 channels"),
    "no series": (["@classLabel true a b", "@data"], "no series"),
    "all missing": (["@classLabel true a b", "@data", "?,?,?:a"], "missing"),
    "infinite": (["@classLabel true a b", "@data", "1,inf,2:a"], "infinite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_ts_files_are_said(name, tmp_path):
    lines, words = BROKEN[name]
    with pytest.raises(InputError, match=words):
        open_source(lists(tmp_path / "a.ts", lines))


def test_series_in_memory():
    x, y = bumps(6, chans=2)
    source = open_source({"train": (x, y), "test": (list(x), y.astype(str))}, dims=1)
    assert (source.kind, source.in_chans, source.labels) == ("series", 2, ("0", "1"))
    assert open_source((x[:, 0], y)).in_chans == 1  # (N, L) are no pictures
    ragged = [series[:, : 20 + number] for number, series in enumerate(x)]
    assert open_source((ragged, y), dims=1).splits["train"].images.lengths().tolist() == list(range(20, 26))
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    assert open_source(tensors, dims=1).fingerprint() == open_source((x, y), dims=1).fingerprint()
    for pair in ((x, y), (ragged, y)):
        with pytest.raises(InputError, match=r"series are given as \(X, y\) with dims=1"):
            open_source(pair)


def test_other_forms_in_memory_are_refused_by_name():
    x, y = bumps(6, chans=2)
    dataset = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    table = pytest.importorskip("pandas").DataFrame({"path": ["a.png", "b.png"], "label": ["0", "1"]})
    for data, name in ((dataset, "Dataset"), (DataLoader(dataset), "DataLoader"), ({"train": table}, "DataFrame")):
        with pytest.raises(InputError, match=f"train: a {name} is read as pictures; series are"):
            open_source(data, dims=1)
    with pytest.raises(InputError, match=r"item 0: .*; series are given as \(X, y\) with dims=1"):
        open_source(dataset)


def test_several_labels_each(tmp_path):
    x, y = bumps(6)
    np.savez(tmp_path / "a.npz", X=x, y=np.stack([y, 1 - y, y * 0], 1), names=np.array(["up", "down", "other"]))
    source = open_source(tmp_path / "a.npz", "tags")
    assert (source.kind, source.labels) == ("series_tags", ("up", "down", "other")) and source.splits[
        "train"
    ].targets.values.shape == (6, 3)
    with pytest.raises(InputError, match="--task tag"):
        open_source(tmp_path / "a.npz", "classes")
