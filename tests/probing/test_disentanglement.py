import hashlib

import numpy as np
import pytest

from tdgan_jax.probing import probes as probes_module
from tdgan_jax.probing.disentanglement import (
    Labels,
    identity_leakage,
    information,
    probe_matrix,
    summary,
)
from tdgan_jax.probing.disentanglement_tables import disentanglement_tables, spread
from tdgan_jax.probing.probed_examples import recordings

NUM_PEOPLE, NUM_EXPRESSIONS, NUM_PICTURES = 12, 4, 3
SIZES = (NUM_PEOPLE, NUM_EXPRESSIONS, NUM_PICTURES)


def planted_labels(*, num_fitted=6) -> Labels:
    """The first people are fitted on, the others tested; a factor of the person, one of neither."""
    people, expressions, _ = (axis.ravel() for axis in np.indices(SIZES))
    rng = np.random.default_rng(0)
    count = len(people)
    return Labels(
        expressions=expressions,
        identities=people,
        subjects=np.array([f"person_{person}" for person in people]),
        recordings=np.arange(count),
        is_test=people >= num_fitted,
        factors=np.stack([rng.normal(size=count), rng.normal(size=count)], axis=1),
        factor_names=("nuisance/light", "nuisance/noise"),
    )


def planted_features(labels: Labels) -> dict[str, np.ndarray]:
    """`expression` holds the expression and the light, `face` the identity, `random` nothing."""
    rng = np.random.default_rng(1)

    def noise():
        return 0.1 * rng.normal(size=(len(labels.expressions), 10))

    of_expression = rng.normal(size=(NUM_EXPRESSIONS, 10))[labels.expressions]
    of_person = rng.normal(size=(NUM_PEOPLE, 10))[labels.identities]
    light = labels.factors[:, :1] * rng.normal(size=(1, 10))
    return {
        "expression": of_expression + light + noise(),
        "face": of_person + noise(),
        "random": noise(),
    }


@pytest.fixture(scope="module", autouse=True)
def short_training_of_mlps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes_module, "MLP_UPDATES", 30)
        yield


@pytest.fixture(scope="module")
def matrix():
    labels = planted_labels()
    return probe_matrix(planted_features(labels), labels)


def test_the_matrix_finds_what_was_planted_where_it_was_planted(matrix):
    def accuracy(feature, label):
        return matrix[feature][label]["linear"]["accuracy"]

    assert accuracy("expression", "expression") > 0.95
    assert accuracy("face", "identity") > 0.95
    # Four expressions and the six people of the test part.
    assert accuracy("face", "expression") < 0.5
    assert accuracy("expression", "identity") < 0.35
    assert accuracy("random", "expression") < 0.5
    assert matrix["expression"]["factors"]["nuisance/light"] > 0.9
    assert matrix["face"]["factors"]["nuisance/light"] < 0.1
    assert matrix["expression"]["factors"]["nuisance/noise"] < 0.2


def test_identity_is_asked_about_people_of_the_test_part_alone(matrix):
    probe = matrix["face"]["identity"]["linear"]
    assert probe["num_classes"] == NUM_PEOPLE - 6
    assert probe["num_examples"] == (NUM_PEOPLE - 6) * NUM_EXPRESSIONS * NUM_PICTURES
    assert probe["chance"] == pytest.approx(1 / (NUM_PEOPLE - 6))


def test_the_summary_of_planted_features(matrix):
    numbers = summary(matrix)
    assert numbers["information_gap"] > 0.8
    assert numbers["two_branch_information_gap"] > 0.8
    assert abs(numbers["random_information_gap"]) < 0.1
    assert numbers["identity_leakage"] < 0.25


def test_people_without_a_fit_part_are_divided_among_themselves():
    labels = planted_labels(num_fitted=0)
    features = {"expression": planted_features(labels)["expression"]}
    probe = probe_matrix(features, labels)["expression"]["expression"]["linear"]
    assert probe["num_examples"] == len(labels.expressions)
    assert probe["accuracy"] > 0.95


def test_without_names_there_is_no_identity_and_no_summary():
    labels = planted_labels()
    unnamed = labels._replace(
        identities=np.full_like(labels.identities, -1),
        factors=np.zeros((len(labels.expressions), 0)),
        factor_names=(),
    )
    matrix = probe_matrix(planted_features(labels), unnamed)
    assert matrix["face"]["identity"] is None
    assert matrix["face"]["factors"] == {}
    assert set(summary(matrix).values()) == {None}


def probes(accuracy, told, chance=0.1):
    """Linear probe with an accuracy and some information, MLP with a little less of it."""
    figures = {"accuracy": accuracy, "chance": chance}
    return {
        "linear": figures | {"information": told},
        "mlp": figures | {"information": told - 0.05},
    }


def by_hand():
    return {
        "expression": {"expression": probes(0.9, 0.8), "identity": probes(0.5, 0.3)},
        "face": {"expression": probes(0.2, 0.1), "identity": probes(0.9, 0.6)},
        "random": {"expression": probes(0.4, 0.2), "identity": probes(0.7, 0.4)},
    }


def test_the_summary_by_hand():
    numbers = summary(by_hand())
    assert numbers["information_gap"] == pytest.approx(0.8 - 0.3)
    assert numbers["random_information_gap"] == pytest.approx(0.2 - 0.4)
    # Also as the gap of each label: ((0.8 - 0.1) + (0.6 - 0.3)) / 2.
    assert numbers["two_branch_information_gap"] == pytest.approx(0.5)
    assert numbers["identity_leakage"] == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))


def test_a_drawn_face_is_compared_with_its_input():
    matrix = by_hand()
    del matrix["face"]
    assert summary(matrix)["generated_information_gap"] is None
    matrix["generated"] = {"expression": probes(0.6, 0.5), "identity": probes(0.25, 0.125)}
    numbers = summary(matrix)
    assert numbers["generated_information_gap"] == pytest.approx(0.5 - 0.125)
    # The input, as the random encoder sees it, names 0.7 of the people.
    assert numbers["generated_identity_leakage"] == pytest.approx((0.25 - 0.1) / (0.7 - 0.1))


def test_a_classifier_has_no_face_feature():
    matrix = by_hand()
    del matrix["face"]
    numbers = summary(matrix)
    assert numbers["information_gap"] == pytest.approx(0.5)
    assert numbers["two_branch_information_gap"] is None
    assert numbers["identity_leakage"] is None


def test_leakage_has_no_meaning_where_the_face_feature_knows_nobody():
    at_chance = {"accuracy": 0.1, "chance": 0.1}
    assert identity_leakage({"accuracy": 0.5, "chance": 0.1}, at_chance) is None
    assert identity_leakage(at_chance, {"accuracy": 0.5, "chance": 0.1}) == 0.0


def test_the_tighter_bound_counts():
    assert information(probes(0.5, 0.3)) == 0.3


def test_frames_and_copies_are_one_recording():
    pictures = [np.full((4, 4, 1), gray, np.uint8) for gray in range(7)]
    files = [
        "S010/001/S010_001_00000013.png",
        "S010/001/S010_001_00000014.png",
        "S010/002/S010_002_00000014.png",
        "subject04.normal",
        "subject04.sad",
        "subject04.happy",
        "subject05.happy",
    ]
    pictures[4] = pictures[3]  # one picture under two names
    people = ["S010"] * 3 + ["subject04"] * 3 + ["subject05"]
    joined = recordings(files, people, pictures)
    assert joined[0] == joined[1]
    assert joined[3] == joined[4]
    assert len(set(joined)) == 5


def test_a_number_joins_pictures_of_one_known_person_alone():
    pictures = [np.full((4, 4, 1), gray, np.uint8) for gray in range(4)]
    files = [f"happiness/{number:04d}.png" for number in range(4)]
    unknown = [hashlib.sha256(picture).hexdigest() for picture in pictures]
    assert len(set(recordings(files, unknown, pictures))) == 4
    of_two = recordings(files, ["ann", "ann", "ben", unknown[3]], pictures)
    assert of_two[0] == of_two[1] and len(set(of_two)) == 3
    copies = [pictures[0], pictures[1], pictures[1], pictures[2]]
    assert len(set(recordings(files, unknown, copies))) == 3


def test_pictures_without_an_expression_are_asked_for_their_identity_alone():
    labels = planted_labels(num_fitted=0)
    features = {"expression": planted_features(labels)["face"]}
    some = np.where(labels.expressions == 3, -1, labels.expressions)
    found = probe_matrix(features, labels._replace(expressions=some))["expression"]
    assert found["expression"]["linear"]["num_examples"] == (some >= 0).sum()
    assert found["expression"]["linear"]["num_classes"] == NUM_EXPRESSIONS - 1
    assert found["identity"]["linear"]["num_examples"] == len(some)
    assert found["identity"]["linear"]["accuracy"] > 0.95


def test_people_with_one_recording_each_cannot_be_told_apart():
    labels = planted_labels()
    alone = labels._replace(recordings=labels.identities)
    features = {"expression": planted_features(labels)["expression"]}
    assert probe_matrix(features, alone)["expression"]["identity"] is None


def measurement(accuracy, *, transfer=None):
    matrix = by_hand()
    for feature in matrix.values():
        feature["factors"] = {"nuisance/yaw": accuracy, "nuisance/blur": -0.5, "style/a": None}
    return {
        "configuration": "tdgan_drawn",
        "accuracy": accuracy,
        "matrix": matrix,
        "summary": summary(matrix),
        "transfer": transfer,
    }


def test_the_tables_join_the_seeds_of_a_configuration():
    judged = dict.fromkeys(
        (
            "expression_right",
            "identity_right",
            "both_right",
            "face_reconstruction_error",
            "expression_reconstruction_error",
        ),
        0.25,
    )
    transfer = dict.fromkeys(("generator", "copy_face", "copy_expression"), judged)
    transfer |= {"judge_accuracy": {"expression": 0.9, "identity": 0.95}}
    tables = disentanglement_tables([measurement(0.7, transfer=transfer), measurement(0.9)])
    lines = tables.splitlines()
    row = "| tdgan_drawn | 2 | 0.800 ± 0.141 | 0.500 ± 0.000 | -0.200 ± 0.000 |"
    assert any(line.startswith(row) for line in lines)
    assert "| tdgan_drawn | (chance) | 0.100 ± 0.000 |" in tables
    assert "| tdgan_drawn | copy face | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 | - |" in lines
    assert "| tdgan_drawn | (judges on real images) | 0.900 | 0.950 |  |  |  |  |" in lines
    # Mean of yaw and blur, blur counted as 0: 0.35 and 0.45.
    assert any(line.startswith("| nuisance | 0.400 ± 0.071 |") for line in lines)
    assert any(line.startswith("| style/a | - |") for line in lines)


def test_a_single_figure_has_no_deviation():
    assert spread([0.5]) == "0.500"
    assert spread([None]) == "-"
