"""The examples of a fold: nobody stands in two parts, nor among the faces of another part."""

import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.tdgan.feed import check_faces_apart
from tdgan_jax.training.checks import check_same_data
from tdgan_jax.training.data import load_fold_subjects, load_training_data
from tests.data.test_feeds import examples

PEOPLE = {f"fold_{fold}": [f"p{2 * fold}", f"p{2 * fold + 1}"] for fold in range(3)}


@pytest.fixture
def folded(drawn_folds):
    def load(*overrides: str):
        fields = {
            "directory": str(drawn_folds),
            "expressions.dataset": "drawn_folds",
            "num_folds": "3",
            "fold": "1",
            "validation_fraction": "0.25",
            "faces.dataset": "drawn_folds",
            "faces.follow_folds": "true",
            "faces.split": "",
        }
        given = [f"data.{field}={value}" for field, value in fields.items()]
        return load_config("configs/tdgan_yale.py:tiny", [*given, *overrides])

    return load


def test_every_part_has_people_of_its_own_and_faces_are_those_who_train(folded):
    data = load_training_data(folded())
    assert data.subjects["test"] == PEOPLE["fold_1"]
    (validating,) = data.subjects["validation"]
    assert sorted([*data.subjects["training"], validating]) == ["p0", "p1", "p4", "p5"]
    assert list(data.identity_names) == data.subjects["training"]
    # The pictures without an expression are faces too.
    assert len(data.feed.faces.files) == 8 * len(data.identity_names)
    assert len(data.feed.expressions.files) == 21 and len(data.test.files) == 14


def test_the_next_fold_validates_and_is_not_among_the_faces(folded):
    data = load_training_data(folded("data.validation=next_fold"))
    assert data.subjects == {
        "training": PEOPLE["fold_0"],
        "validation": PEOPLE["fold_2"],
        "test": PEOPLE["fold_1"],
    }
    assert list(data.identity_names) == PEOPLE["fold_0"]
    # Looked at as the test images are, not enlarged for cropping.
    assert data.validation is not None
    assert data.validation.images[0].shape == data.test.images[0].shape == (32, 32, 1)


def test_without_a_validation_part_everybody_else_trains(folded):
    data = load_training_data(folded("data.validation=none", "evaluation.selection=test"))
    assert data.validation is None
    assert data.subjects == {"training": ["p0", "p1", "p4", "p5"], "test": PEOPLE["fold_1"]}


@pytest.mark.parametrize(("split", "part"), [("fold_1", "test"), ("fold_0+fold_2", "validation")])
def test_faces_of_held_out_people_are_refused(folded, split, part):
    leaking = folded("data.faces.follow_folds=false", f"data.faces.split={split}")
    with pytest.raises(UserError, match=f"subject p[0-9] of the {part} part is among the faces"):
        load_training_data(leaking)


def test_without_folds_the_faces_are_those_of_the_people_who_train(folded):
    splits = ["data.expressions.train_split=fold_0+fold_2", "data.expressions.test_split=fold_1"]
    data = load_training_data(folded("data.num_folds=0", "data.fold=-1", *splits))
    assert data.subjects["test"] == PEOPLE["fold_1"]
    (validating,) = data.subjects["validation"]
    assert sorted([*data.subjects["training"], validating]) == ["p0", "p1", "p4", "p5"]
    assert list(data.identity_names) == data.subjects["training"]


@pytest.mark.parametrize("test_split", ["fold_1+fold_2", "fold_0[:1]"])
def test_splits_that_share_images_are_refused(folded, test_split):
    splits = ["data.expressions.train_split=fold_0+fold_2", "data.faces.follow_folds=false"]
    splits += ["data.faces.split=fold_0", f"data.expressions.test_split={test_split}"]
    with pytest.raises(UsageError, match="test images are training images too, such as .*overlap"):
        load_training_data(folded("data.num_folds=0", "data.fold=-1", *splits))


def test_a_split_without_an_image_is_named(folded):
    splits = ["data.expressions.train_split=fold_0[:0]", "data.expressions.test_split=fold_1"]
    with pytest.raises(UserError, match=r"split 'fold_0\[:0\]' of drawn_folds holds no image"):
        load_training_data(folded("data.num_folds=0", "data.fold=-1", *splits))


def test_faces_of_other_people_of_the_same_dataset_are_fine():
    def people(*names: str):
        return examples(len(names), 2)._replace(groups=np.array(names))

    check_faces_apart(people("a", "b"), None, people("c"))
    with pytest.raises(UserError, match="subject b of the validation part"):
        check_faces_apart(people("a", "b"), people("b"), people("c"))


def test_a_person_in_two_folds_is_refused(folded):
    assert load_fold_subjects(folded()) == PEOPLE
    shared = "data.expressions.builder_config=shared"
    with pytest.raises(UserError, match="subject p0 stands in fold_0 and in fold_1"):
        load_fold_subjects(folded(shared))
    faces = "data.faces.builder_config=shared"
    with pytest.raises(UserError, match="subject p0 "):
        load_training_data(folded(shared, faces, "data.validation=next_fold"))


def test_another_number_of_folds_is_refused(folded):
    with pytest.raises(UserError, match="drawn_folds has 3 folds, data.num_folds is 5"):
        load_training_data(folded("data.num_folds=5"))


def test_a_dataset_that_was_built_anew_does_not_go_on_training(folded):
    data = load_training_data(folded())
    before = {"data_fingerprint": data.fingerprint}
    assert load_training_data(folded()).fingerprint == data.fingerprint
    feed, test = data.feed, data.test
    faces, relabelled = feed.faces, test.expressions[::-1]
    others = (
        load_training_data(folded("data.fold=2")),  # as if the folds were dealt anew
        data._replace(test=test._replace(expressions=relabelled)),
        data._replace(test=test._replace(groups=np.roll(test.groups, 1))),
        data._replace(validation=None),
        data._replace(feed=feed._replace(faces=faces._replace(digests=faces.digests[::-1]))),
    )
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 6
    current = dict.fromkeys(("expression_names", "identity_names", "crop"))
    with pytest.raises(UserError, match="built anew since the run began") as refused:
        check_same_data(before, current | {"data_fingerprint": others[0].fingerprint})
    assert "\n" not in str(refused.value)
    check_same_data(before, current | before)
    check_same_data({}, current | before)  # a checkpoint of before the field


@pytest.mark.parametrize(
    ("stored", "current", "said"),
    [
        ([*"abc"], [*"abd"], "3, now 3; number 3 was c, now d"),
        ([*"abc"], [*"ab"], "3, now 2; number 3 was c, now nothing"),
        ([*"ab"], [*"abc"], "2, now 3; number 3 was nothing, now c"),
    ],
)
def test_other_people_are_named_in_one_line(stored, current, said):
    with pytest.raises(UserError, match=f"identity_names are not those of the dataset: {said}$"):
        check_same_data({"identity_names": stored}, {"identity_names": current})
