"""Labels beside the records: the same examples as from the records, and no image read."""

import io
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import tdgan_jax.data_builders as data_builders
from tdgan_jax.configuration import load_config
from tdgan_jax.data.builders import open_dataset
from tdgan_jax.data.examples import Examples, load_examples
from tdgan_jax.data.label_columns import FILE_NAME
from tdgan_jax.errors import UserError
from tdgan_jax.preparation import image_builder
from tdgan_jax.preparation.preparing import prepare_dataset
from tdgan_jax.training.data import load_training_data
from tests.small_folds import FIELDS

RATED_FACES = '''
"""Faces with everything that may be known of them."""
import math
import tensorflow_datasets as tfds
from etils import epath
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.listing import ListedImage

class Builder(ImageBuilder):
    pkg_dir_path = epath.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Draw them."
    HAS_TEST_SPLIT = True
    HAS_VOTES = True
    OTHER_VOTES = ("unknown",)
    HAS_AFFECT = True

    @property
    def expression_names(self):
        return ("fear", "anger", "neutral")

    def list_images(self, tree):
        return [
            ListedImage(
                file=name.replace("face", "visage \\u00e9t\\u00e9 "),
                name=name,
                split="test" if i % 4 == 0 else "train",
                expression=None if i % 5 == 0 else self.expression_names[i % 3],
                identity=f"p{i % 7}",
                subject=f"p{i % 7}" if i % 6 else "",
                votes=(float(i), 2.0, 0.5),
                other_votes=(float(i % 3),),
                affect=None if i % 5 == 1 else (i / 40, math.nan),
            )
            for i, name in enumerate(tree.names)
        ]
'''
SPLITS = ("train", "test", "test+train", "train[:3]", "test[1:]+train[25%:75%]+test[:1]")


@pytest.fixture(scope="module")
def rated_faces(tmp_path_factory):
    """A dataset directory with `rated_faces`, in several shards, a known dataset meanwhile."""
    folder = tmp_path_factory.mktemp("rated")
    builder = folder / "builders" / "rated_faces"
    builder.mkdir(parents=True)
    (builder / "__init__.py").touch()
    (builder / "rated_faces_dataset_builder.py").write_text(RATED_FACES, encoding="utf-8")
    source = folder / "source"
    source.mkdir()
    for number in range(24):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(source / f"face{number:02d}.png")
    data_builders.__path__.append(str(folder / "builders"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_builder, "_SHARD_BYTES", 256)
        prepare_dataset("rated_faces", source, data_dir=folder / "data")
    yield folder / "data"
    data_builders.__path__.remove(str(folder / "builders"))


@pytest.fixture
def opened(rated_faces):
    """The dataset with its labels beside it as they were written."""
    builder = open_dataset("rated_faces", data_dir=rated_faces)
    labels = builder.data_path / FILE_NAME
    written = labels.read_bytes()
    yield builder
    labels.write_bytes(written)


def assert_equal(first: Examples, second: Examples) -> None:
    for field, one, other in zip(Examples._fields, first, second, strict=True):
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field
            np.testing.assert_array_equal(one, other, err_msg=field)
        elif field != "images":
            assert one == other, field
    for one, other in zip(first.images, second.images, strict=True):
        np.testing.assert_array_equal(one, other)


def test_everything_that_is_listed_is_read(opened):
    assert opened.info.splits["train"].num_shards > 2
    examples = load_examples(opened, "test", np.asarray)
    assert examples.files.tolist() == [f"visage été {i:02d}.png" for i in range(0, 24, 4)]
    assert examples.expressions.tolist() == [-1, 1, 2, 0, 1, -1]
    assert examples.expression_names == ("fear", "anger", "neutral")
    assert examples.votes is not None and examples.other_votes is not None
    assert examples.votes[1].tolist() == [4, 2, 0.5]
    assert examples.other_votes[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert examples.affect is not None and examples.digests is not None
    np.testing.assert_array_equal(
        examples.affect[:, 0], np.float32([0, 0.1, 0.2, 0.3, np.nan, 0.5])
    )
    assert np.isnan(examples.affect[:, 1]).all()
    for known in (examples.votes, examples.other_votes, examples.affect):
        assert known.dtype == np.float32
    # Without a subject the picture is a group of its own.
    assert examples.groups.tolist() == [
        *(examples.digests[0], "p4", "p1", examples.digests[3], "p2", "p6")
    ]
    assert [int(image[0, 0, 0]) for image in examples.images] == list(range(0, 24, 4))


@pytest.mark.parametrize("split", SPLITS)
def test_labels_of_the_file_are_those_of_the_records(split, opened):
    from_file = load_examples(opened, split, np.asarray)
    (opened.data_path / FILE_NAME).unlink()
    assert_equal(from_file, load_examples(opened, split, np.asarray))


def test_no_image_is_read(opened, monkeypatch):
    def unreadable(source, position):
        raise AssertionError("a record is read")

    kind = type(opened.as_data_source("train"))
    monkeypatch.setattr(kind, "__getitem__", unreadable)
    monkeypatch.setattr(kind, "__getitems__", unreadable)
    examples = load_examples(opened, "train+test", np.asarray)
    assert len(examples.files) == 24
    with pytest.raises(AssertionError, match="a record is read"):
        examples.images[0]
    (opened.data_path / FILE_NAME).unlink()
    with pytest.raises(AssertionError, match="a record is read"):
        load_examples(opened, "train", np.asarray)


def test_labels_of_other_records_are_not_taken(opened):
    expected = load_examples(opened, "train", np.asarray)
    path = opened.data_path / FILE_NAME
    with np.load(path) as stored:
        arrays = {name: stored[name][::2] for name in stored}
    np.savez(path, **arrays)
    assert_equal(expected, load_examples(opened, "train", np.asarray))


@pytest.mark.parametrize("damage", ["cut", "pickled", "lost"])
def test_damaged_labels_are_named(damage, opened):
    path = opened.data_path / FILE_NAME
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "pickled":
        np.savez(path, **{"train/digest": np.array([{}], object)})
    else:
        with zipfile.ZipFile(path, "w"):
            pass
    with pytest.raises(UserError, match=rf"{FILE_NAME} is damaged .*remove it, and the labels"):
        load_examples(opened, "train", np.asarray)


def test_unknown_split_is_named(opened):
    with pytest.raises(UserError, match="has no split 'valid'; known: "):
        load_examples(opened, "valid", np.asarray)


def test_fingerprint_of_a_run_is_the_same_with_and_without_the_file(drawn_folds):
    given = [f"data.directory={drawn_folds}", "data.fold=1", *FIELDS]
    config = load_config("configs/tdgan_yale.py:tiny", given)
    files = list(drawn_folds.rglob(FILE_NAME))
    assert len(files) == 2
    with_file = load_training_data(config).fingerprint
    for file in files:
        file.rename(file.with_suffix(".away"))
    try:
        assert load_training_data(config).fingerprint == with_file
    finally:
        for file in files:
            file.with_suffix(".away").rename(file)


def test_records_without_names_keep_their_order(tmp_path):
    class Nameless(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 1))
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"image": image})
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(12):
                file = io.BytesIO()
                Image.new("L", (2, 2), number).save(file, "PNG")
                yield number, {"image": file.getvalue()}

    builder = Nameless(data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    examples = load_examples(builder, "train", np.asarray)
    assert examples.files.tolist() == [f"{number:09d}" for number in range(12)]
    assert examples.votes is None and examples.affect is None
    levels = [int(image[0, 0, 0]) for image in examples.images]
    assert levels == [int(e["image"][0, 0, 0]) for e in builder.as_data_source("train")]
