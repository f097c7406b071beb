"""A threshold chosen on the pictures of those who are enrolled, worked out by hand."""

import numpy as np
import pytest

from resnets.measures.enrolment import chosen, judged, nearest
from resnets.measures.intervals import clopper_pearson_upper

# On a line: Ann at 0 and 1, Bob at 10 and 13, Cid at 20.
POINTS, PEOPLE = np.array([[0.0], [1.0], [10.0], [13.0], [20.0]]), np.array(["ann", "ann", "bob", "bob", "cid"])


def test_each_picture_is_compared_with_its_persons_and_with_everyone_elses():
    near = nearest(POINTS, PEOPLE, "euclidean")
    assert near.own.tolist() == [1, 1, 3, 3, np.inf]
    assert near.others.tolist() == [10, 9, 9, 7, 7]


def test_blocks_change_nothing(monkeypatch):
    whole = nearest(POINTS, PEOPLE, "cosine")
    monkeypatch.setattr("resnets.measures.enrolment.ROWS", 2)
    parts = nearest(POINTS, PEOPLE, "cosine")
    assert (whole.own == parts.own).all() and (whole.others == parts.others).all()


def test_the_threshold_lies_between_the_people_and_their_own_pictures():
    found = chosen(nearest(POINTS, PEOPLE, "euclidean"), PEOPLE, 0.01)
    assert found.threshold == 5  # midway from 3, of Bob's two, to 7, of Bob and Cid
    assert (found.num_people, found.num_pictures, found.alarms, found.alarmed) == (3, 5, 0, 0)
    assert found.bound == pytest.approx(clopper_pearson_upper(0, 3)) and found.bound > 0.6
    assert (found.num_again, found.misses) == (4, 0)


def test_a_rate_allows_so_many_pictures_to_be_taken_for_others():
    found = chosen(nearest(POINTS, PEOPLE, "euclidean"), PEOPLE, 0.4)
    assert found.threshold == 8 and (found.alarms, found.alarmed) == (2, 2)


def test_a_threshold_below_ones_own_pictures_misses_them():
    assert judged(nearest(POINTS, PEOPLE, "euclidean"), PEOPLE, 2, 0.01).misses == 2


def test_one_person_has_no_threshold_and_single_pictures_have_one():
    one = PEOPLE[:2]
    assert chosen(nearest(POINTS[:2], one, "euclidean"), one, 0.01) is None
    apart = chosen(nearest(POINTS[[0, 2]], PEOPLE[[0, 2]], "euclidean"), PEOPLE[[0, 2]], 0.01)
    assert apart.threshold == 5 and apart.num_again == 0
