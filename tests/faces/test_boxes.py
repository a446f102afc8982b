import numpy as np
import pytest

from tdgan_jax.faces import boxes as rules
from tdgan_jax.faces.boxes import best_boxes, make_square, move_boxes, window_boxes


def test_windows_of_p_net():
    places = np.array([[0, 0], [3, 1]])
    offsets = np.array([[0, 0, 0, 0], [0.1, -0.1, 0.2, 0]], np.float32)
    expected = [[1, 1, 12, 12], [7 + 1.1, 3 - 1.1, 18 + 2.2, 14]]
    np.testing.assert_allclose(window_boxes(places, offsets, 0.5), 2 * np.array(expected))


def test_offsets_count_both_end_pixels():
    moved = move_boxes(np.array([[10.0, 20, 29, 59]]), np.array([[0.1, 0, -0.1, 0.5]]))
    np.testing.assert_allclose(moved, [[12, 20, 27, 79]])


def test_squares_keep_their_middle():
    np.testing.assert_allclose(make_square(np.array([[0.0, 0, 10, 30]])), [[-10, 0, 20, 30]])


def test_worse_boxes_that_overlap_are_left_out():
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 0, 60, 10]])
    assert best_boxes(boxes, np.array([0.7, 0.9, 0.8]), max_overlap=0.5).tolist() == [1, 2]


def test_a_box_that_is_left_out_still_drives_out_others():
    # Each overlaps the next by two thirds of either, by half of both together; not the one after.
    boxes = np.array([[0.0, 0, 9, 9], [3, 0, 12, 9], [6, 0, 15, 9]])
    assert best_boxes(boxes, np.array([0.9, 0.8, 0.7]), max_overlap=0.4).tolist() == [0]
    assert best_boxes(boxes, np.array([0.9, 0.8, 0.7]), max_overlap=0.6).tolist() == [0, 1, 2]


def test_overlap_relative_to_the_smaller():
    boxes = np.array([[0.0, 0, 10, 10], [2, 2, 4, 4]])
    scores = np.array([0.9, 0.8])
    assert best_boxes(boxes, scores, max_overlap=0.7).tolist() == [0, 1]
    assert best_boxes(boxes, scores, max_overlap=0.7, relative_to="smaller").tolist() == [0]


@pytest.mark.parametrize("relative_to", ["union", "smaller"])
def test_blocks_change_nothing(monkeypatch, relative_to):
    key = np.random.default_rng(0)
    corners = key.uniform(0, 60, (200, 2))
    boxes = np.concatenate([corners, corners + key.uniform(-1, 30, (200, 2))], axis=1)
    scores = key.uniform(size=200)
    options = {"max_overlap": 0.5, "relative_to": relative_to}
    at_once = best_boxes(boxes, scores, **options)
    monkeypatch.setattr(rules, "_MAX_PAIRS", 1000)
    np.testing.assert_array_equal(best_boxes(boxes, scores, **options), at_once)
    assert 0 < len(at_once) < 200


def test_no_boxes():
    assert best_boxes(np.zeros((0, 4)), np.zeros(0), max_overlap=0.5).tolist() == []
