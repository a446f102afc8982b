"""Average faces come from training images alone, and are made again only for other images."""

import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.data import loading
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.ifgan.average_feed import AverageFaceFeed
from tdgan_jax.families.ifgan.average_identity import (
    AverageFaces,
    average_faces,
    read_average_faces,
    save_average_faces,
)
from tdgan_jax.training.data import load_training_data
from tests.data.test_feeds import examples

LOADED_PX = 18  # of models of 16 pixels


def load(directory, *overrides: str, cache=None) -> AverageFaceFeed:
    fields = ["expressions.dataset=drawn_folds", "num_folds=3", f"directory={directory}"]
    given = [f"data.{field}" for field in (*fields, "fold=1", *overrides)]
    feed = load_training_data(load_config("configs/ifgan_yale.py:tiny", given), cache).feed
    assert isinstance(feed, AverageFaceFeed)
    return feed


@pytest.fixture
def with_inverted_images(monkeypatch):
    """Inverts all pictures of one person in whatever is loaded."""
    original = loading.load_examples

    def invert(subject: str) -> None:
        def load_examples(builder, split, transform):
            found = original(builder, split, transform)
            pairs = zip(found.images, found.groups, strict=True)
            images = [255 - image if group == subject else image for image, group in pairs]
            return found._replace(images=images)

        monkeypatch.setattr(loading, "load_examples", load_examples)

    return invert


@pytest.mark.parametrize(("person", "changes"), [("p2", False), ("p4", False), ("p0", True)])
def test_no_image_of_a_test_or_validation_subject_can_change_the_targets(
    drawn_folds, with_inverted_images, person, changes
):
    # Fold 1 (p2, p3) tests, fold 2 (p4, p5) validates, fold 0 (p0, p1) trains.
    before = load(drawn_folds).average_faces.images
    with_inverted_images(person)
    after = load(drawn_folds).average_faces.images
    assert np.array_equal(before, after) != changes


def test_each_fold_has_targets_of_its_own(drawn_folds):
    faces = [load(drawn_folds, f"fold={fold}").average_faces for fold in range(3)]
    assert len({face.checksum for face in faces}) == 3
    assert faces[0].images.shape == (7, LOADED_PX, LOADED_PX, 1)
    # The people's grays are 40 + 30 * number: those of p4 and p5 train with fold 0 as the test.
    assert [int(face.images[0][-1, 0, 0]) for face in faces] == [175, 55, 115]


def test_the_mean_is_that_of_each_class_and_a_class_without_images_is_gray():
    some = examples(5, 4)._replace(expressions=np.array([0, 2, 0, 2, 2], np.int32))
    faces = average_faces(some, image_shape=(4, 4, 1))
    assert faces.images[:, 0, 0, 0].tolist() == [1, 128, 3, 128, 128, 128, 128]  # 8 / 3 is 2.67
    assert faces.counts.tolist() == [2, 0, 3, 0, 0, 0, 0]


def test_the_cache_serves_the_same_pictures_only(tmp_path):
    some, path = examples(5, 4), tmp_path / "average_faces.npz"
    made = average_faces(some, image_shape=(4, 4, 1), cached=path)
    save_average_faces(made, path)
    # Without images: nothing is computed.
    cached = average_faces(some._replace(images=[]), image_shape=(4, 4, 1), cached=path)
    assert cached.names == made.names and np.array_equal(cached.images, made.images)
    others = some._replace(digests=np.array(list("abcde")))
    assert average_faces(others, image_shape=(4, 4, 1), cached=path).checksum != made.checksum
    path.write_bytes(path.read_bytes()[:100])
    assert read_average_faces(path) is None
    assert average_faces(some, image_shape=(4, 4, 1), cached=path).checksum == made.checksum


def test_a_run_takes_its_cached_targets(drawn_folds, tmp_path):
    made: AverageFaces = load(drawn_folds).average_faces
    marked = made._replace(images=np.zeros_like(made.images))
    save_average_faces(marked, tmp_path / "average_faces.npz")
    assert not load(drawn_folds, cache=tmp_path).average_faces.images.any()
    assert load(drawn_folds, "fold=0", cache=tmp_path).average_faces.images.any()


@pytest.fixture
def both(drawn_folds, drawn_datasets, monkeypatch):
    """A directory with `drawn_folds` and the first 70 images of `synthetic_faces/64`."""
    link = drawn_folds / "synthetic_faces"
    if not link.exists():
        link.symlink_to(drawn_datasets / "synthetic_faces")
    original = loading.load_examples

    def load_examples(builder, split, transform):
        few = "[:70]" if builder.name == "synthetic_faces" else ""
        return original(builder, split + few, transform)

    monkeypatch.setattr(loading, "load_examples", load_examples)
    return drawn_folds


def test_additional_datasets_train_but_are_no_targets_unless_wanted(both):
    alone = load(both)
    additional = "additional_training_datasets=synthetic_faces/64"
    more = load(both, additional)
    assert len(more.expressions.files) == len(alone.expressions.files) + 70
    assert set(more.expressions.groups) == {"p0", "p1", "all of synthetic_faces/64"}
    assert np.array_equal(more.average_faces.images, alone.average_faces.images)
    assert more.expressions.images[14].shape == (LOADED_PX, LOADED_PX, 1)
    averaged = load(both, additional, "average_additional_datasets=true").average_faces
    assert averaged.counts.sum() == len(more.expressions.files)


def test_targets_from_other_datasets_have_none_of_the_training_images(both):
    posed = "average_identity_datasets=synthetic_faces/64"
    counts = load(both, posed).average_faces.counts
    assert counts.sum() == 70 and counts.all()


def test_the_dataset_of_the_folds_is_refused_as_an_additional_one(drawn_folds):
    with pytest.raises(UsageError, match="as a whole it holds those who validate or test"):
        load(drawn_folds, "additional_training_datasets=drawn_folds/shared")


def test_a_missing_target_is_named(both, monkeypatch):
    original = loading.load_examples

    def without_surprise(builder, split, transform):
        found = original(builder, split, transform)
        if builder.name == "synthetic_faces":
            found = found.select(np.flatnonzero(found.expressions != 0))
        return found

    monkeypatch.setattr(loading, "load_examples", without_surprise)
    with pytest.raises(UserError, match="no average face of 'surprise'"):
        load(both, "average_identity_datasets=synthetic_faces/64")
