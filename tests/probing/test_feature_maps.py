import numpy as np

from tdgan_jax.probing.feature_maps import confident_errors, feature_map, spread_positions


def test_groups_that_lie_apart_stay_apart():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 40)
    features = rng.normal(size=(3, 20))[groups] * 10 + rng.normal(size=(120, 20))
    for rows in (slice(None), slice(0, 120, 4)):  # t-SNE, and too few for it
        places = feature_map(features[rows])
        assert places.shape == (len(features[rows]), 2) and np.abs(places).max() == 1
        distances = np.linalg.norm(places[:, None] - places[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        np.testing.assert_array_equal(groups[rows][distances.argmin(axis=1)], groups[rows])
    np.testing.assert_array_equal(feature_map(features), feature_map(features))


def test_a_single_feature_is_a_line():
    places = feature_map(np.arange(5.0)[:, None])
    assert (places[:, 1] == 0).all() and len(np.unique(places[:, 0])) == 5


def test_the_surest_errors_come_first():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    errors = confident_errors(np.array([1, 1, 1, 0]), probabilities, limit=2)
    assert [error.position for error in errors] == [0, 3]
    assert errors[0][1:] == (0, 1, 0.9)


def test_positions_are_spread():
    assert spread_positions(3).tolist() == [0, 1, 2]
    assert spread_positions(101, 5).tolist() == [0, 25, 50, 75, 100]
