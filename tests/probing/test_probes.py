import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.probing.divisions import Division, divide_by, divide_once
from tdgan_jax.probing.probes import PROBES, classification_probe, regression_probe

NUM_CLASSES = 4
PEOPLE = np.repeat(np.arange(20), 16)
CLASSES = np.tile(np.arange(NUM_CLASSES), 80)


def planted(targets, *, noise=0.3, dimensions=12, seed=0):
    """Features that hold the class along a random direction of each, and noise."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(targets.max() + 1, dimensions))
    return directions[targets] + noise * rng.normal(size=(len(targets), dimensions))


def probe(features, targets, kind="linear"):
    divisions = divide_by(PEOPLE, PEOPLE, num_parts=2)
    return classification_probe(
        features, targets, divisions, groups=PEOPLE, subjects=PEOPLE, kind=kind
    )


@pytest.mark.parametrize("kind", PROBES)
def test_a_planted_class_is_found(kind):
    result = probe(planted(CLASSES), CLASSES, kind)
    assert result.accuracy > 0.98
    assert result.information > 0.9
    assert result.chance == pytest.approx(1 / NUM_CLASSES)
    assert result.num_classes == NUM_CLASSES
    assert result.num_examples == len(CLASSES)
    assert result.interval[0] <= result.accuracy <= result.interval[1]


@pytest.mark.parametrize("kind", PROBES)
def test_shuffled_labels_leave_chance(kind):
    shuffled = np.random.default_rng(1).permutation(CLASSES)
    result = probe(planted(CLASSES), shuffled, kind)
    assert result.interval[0] - 0.03 < result.chance < result.interval[1] + 0.03
    assert result.information < 0.02


def test_only_the_mlp_sees_what_is_not_linear():
    features = np.random.default_rng(0).choice([-1.0, 1.0], size=(320, 2))
    either_or = (features[:, 0] * features[:, 1] > 0).astype(int)
    assert probe(features, either_or, "linear").accuracy < 0.65
    assert probe(features, either_or, "mlp").accuracy == 1.0


def test_chance_is_that_of_the_most_frequent_class():
    targets = (np.arange(320) % 4 == 0).astype(int)
    assert probe(np.zeros((320, 3)), targets).chance == 0.75


def test_classes_that_the_fit_part_lacks_are_not_asked_about():
    targets = np.where(PEOPLE == 19, 9, CLASSES)
    is_test = PEOPLE >= 15
    result = classification_probe(
        planted(targets),
        targets,
        divide_once(is_test, PEOPLE, PEOPLE),
        groups=PEOPLE,
        subjects=PEOPLE,
    )
    assert result.num_examples == 4 * 16
    assert result.num_classes == NUM_CLASSES


def test_probes_refuse_a_group_on_both_sides():
    divided = [Division(np.arange(200), np.arange(8), np.arange(190, 320))]
    features = planted(CLASSES)
    with pytest.raises(ValueError, match="stands in the fit and in the test part"):
        classification_probe(features, CLASSES, divided, groups=PEOPLE, subjects=PEOPLE)
    with pytest.raises(ValueError, match="stands in the fit and in the test part"):
        regression_probe(features, features, divided, groups=PEOPLE)


def test_nothing_to_ask_about_is_an_error():
    divisions = divide_by(PEOPLE, PEOPLE)
    with pytest.raises(UserError, match="no class of the test part occurs in the fit part"):
        # Every person is a class of its own: nobody in a test part was ever fitted.
        classification_probe(planted(PEOPLE), PEOPLE, divisions, groups=PEOPLE, subjects=PEOPLE)


def test_variance_explained_of_planted_factors():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(320, 3))
    mixing = rng.normal(size=(2, 12))
    features = factors[:, :2] @ mixing + 0.01 * rng.normal(size=(320, 12))
    constant = np.ones((320, 1))
    explained = regression_probe(
        features, np.hstack([factors, constant]), divide_by(PEOPLE, PEOPLE), groups=PEOPLE
    )
    assert (explained[:2] > 0.99).all()
    assert -0.1 < explained[2] < 0.1  # not among the features
    assert np.isnan(explained[3])


def test_each_factor_has_its_own_regularisation():
    rng = np.random.default_rng(0)
    strong, noise = rng.normal(size=(320, 1)), rng.normal(size=(320, 1))
    features = np.hstack([strong, rng.normal(size=(320, 80))])
    together = regression_probe(
        features, np.hstack([strong, noise]), divide_by(PEOPLE, PEOPLE), groups=PEOPLE
    )
    alone = regression_probe(features, strong, divide_by(PEOPLE, PEOPLE), groups=PEOPLE)
    assert together[0] == pytest.approx(alone[0])
    assert together[0] > 0.95
