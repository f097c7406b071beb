"""Clusters of vectors, whose number is not given."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist

from resnets import cluster
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.ship import vectors
from resnets.ship.vectors import of_rows, write
from resnets.verbs import cluster as clustering
from resnets.verbs.cluster import by_size, condensed


@pytest.fixture
def made(tmp_path):
    """A file of vectors: five groups of 9, 8, ..., 5 around centres, and three images far from all."""
    random = np.random.default_rng(0)
    centres = np.eye(8, 16)
    values = [centres[group] + 0.05 * random.normal(size=16) for group in range(5) for _ in range(9 - group)]
    values = np.array([*values, *centres[5:]], np.float32) * random.uniform(0.5, 4, (38, 1))
    labels = [f"g{group}".encode() for group in range(5) for _ in range(9 - group)] + [b"x", b"y", b"z"]

    def file(metric="cosine", labels=labels, name="v.npz", values=values):
        (tmp_path / "p").mkdir(exist_ok=True)
        paths = [str(tmp_path / "p" / f"{n}.png").encode() for n in range(len(values))]
        for path in paths:
            Image.fromarray(np.full((4, 4, 3), 99, np.uint8)).save(path.decode())
        header = {"format": vectors.FORMAT, "model": {}, "preprocess": Preprocess().to_json(), "metric": metric}
        rows = {"paths": paths, "splits": [b""] * len(paths), "labels": labels or [b""] * len(paths)}
        write(tmp_path / name, header, [of_rows(header, np.asarray(values, np.float32), rows)], [None])
        return tmp_path / name

    return file


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_the_groups_are_found(made, tmp_path, threshold):
    result = cluster(made(), tmp_path / "c.csv", threshold=threshold, draw=tmp_path / "c.png")
    assert (result["num_clusters"], result["num_alone"], result["largest"]) == (5, 3, [9, 8, 7, 6, 5])
    assert result["agreement"]["pairwise_f"] == result["agreement"]["bcubed_f"] == 1
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = np.repeat([0, 1, 2, 3, 4, -1], [9, 8, 7, 6, 5, 3]).tolist()
    assert [int(row["cluster"]) for row in rows] == expected
    assert {row["label"] for row in rows if row["cluster"] == "0"} == {"g0"}
    assert Image.open(tmp_path / "c.png").width > 500


def test_larger_clusters_only(made, tmp_path):
    result = cluster(made(), tmp_path / "c.csv", threshold=0.3, min_size=7)
    assert (result["num_clusters"], result["num_alone"]) == (3, 14)


def test_without_labels_nothing_is_said_of_them(made, tmp_path):
    assert "agreement" not in cluster(made(labels=None), tmp_path / "c.csv")


def test_parquet_and_euclidean_distances(made, tmp_path):
    pytest.importorskip("pyarrow")
    values = np.repeat(np.arange(4.0), 5)[:, None] * 10 + np.random.default_rng(0).normal(size=(20, 3)) / 10
    labels = [str(n // 5).encode() for n in range(20)]
    result = cluster(made("euclidean", labels, "v.parquet", values), tmp_path / "c.csv", threshold=2)
    assert result["largest"] == [5, 5, 5, 5] and result["agreement"]["bcubed_f"] == 1


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_distances_are_scipys(metric, monkeypatch):
    monkeypatch.setattr(clustering, "BLOCK", 7)
    values = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    np.testing.assert_allclose(condensed(values, metric), pdist(values, metric), atol=1e-6)


def test_numbers_by_size():
    assert by_size(np.array([4, 4, 7, -1, 9, 9, 9, 3]), 2).tolist() == [1, 1, -1, -1, 0, 0, 0, -1]


def test_bad_input(made, tmp_path, monkeypatch):
    path = made()
    with pytest.raises(InputError, match="give a distance above 0"):
        cluster(path, tmp_path / "c.csv", threshold=0.0)
    with pytest.raises(InputError, match="at least 2"):
        cluster(path, tmp_path / "c.csv", min_size=1)
    (tmp_path / "there.csv").write_text("")
    with pytest.raises(InputError, match="exists already"):
        cluster(path, tmp_path / "there.csv")
    with pytest.raises(InputError, match="nothing to cluster"):
        cluster(made(values=np.ones((1, 3)), labels=[b"a"], name="one.npz"), tmp_path / "c.csv")
    bad = np.ones((4, 3))
    bad[2] = np.nan
    with pytest.raises(InputError, match=r"vector 2 \(.*2\.png\) is not finite"):
        cluster(made(values=bad, labels=[b"a"] * 4, name="nan.npz"), tmp_path / "c.csv")
    far = made(values=np.eye(5), labels=None, name="far.npz")
    with pytest.raises(InputError, match="no cluster was found, so there is none to draw"):
        cluster(far, tmp_path / "f.csv", threshold=0.1, draw=tmp_path / "f.png")
    monkeypatch.setattr(clustering, "MOST_TREE", 10)
    with pytest.raises(InputError, match="leave out --threshold, which is for fewer"):
        cluster(path, tmp_path / "c.csv", threshold=0.3)
    assert not (tmp_path / "c.csv").exists()
