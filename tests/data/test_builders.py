import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tdgan_jax.data_builders as data_builders
from tdgan_jax.data import builders
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.preparation import contents, preparing
from tdgan_jax.preparation.source_tree import SourceTree
from tdgan_jax.preparation.staging import staging_folder

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"

# A dataset without a source, as `synthetic_faces` is.
DRAWN_BUILDER = """
import io
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image

class Builder(tfds.core.GeneratorBasedBuilder):
    pkg_dir_path = epath.Path(__file__).parent
    VERSION = tfds.core.Version("1.2.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="8", description="8x8"),
        tfds.core.BuilderConfig(name="4", description="4x4"),
    ]

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(None, None, 1)),
                "expression": tfds.features.ClassLabel(names=["fear", "anger"]),
            })
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(2)}

    def _generate_examples(self, count):
        size = int(self.builder_config.name)
        for index in range(count):
            image = io.BytesIO()
            Image.new("L", (size, size), index).save(image, "PNG")
            label = -1 if index == 3 else index % 2
            yield index, {"image": image.getvalue(), "expression": label}
"""


@pytest.fixture(scope="module", autouse=True)
def drawn_dots(tmp_path_factory):
    """Adds the dataset `drawn_dots` to the known ones."""
    folder = tmp_path_factory.mktemp("more_builders")
    (folder / "drawn_dots").mkdir()
    (folder / "drawn_dots" / "__init__.py").touch()
    (folder / "drawn_dots" / "drawn_dots_dataset_builder.py").write_text(DRAWN_BUILDER)
    (folder / "no_builder").mkdir()
    (folder / "no_builder" / "__init__.py").touch()
    data_builders.__path__.append(str(folder))
    yield
    data_builders.__path__.remove(str(folder))


@pytest.fixture
def one_person(tmp_path):
    """A folder with the ten files of s1."""
    folder = tmp_path / "faces" / "s1"
    folder.mkdir(parents=True)
    for number in range(1, 11):
        pixels = np.full((112, 92), number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.pgm")
    return folder.parent


def test_datasets_are_the_folders_with_a_builder():
    known = builders.known_datasets()
    assert {"att_faces", "drawn_dots", "fer2013"} <= set(known)
    assert "no_builder" not in known
    assert list(known) == sorted(known)


def test_unknown_names_come_with_the_nearest_known_one():
    with pytest.raises(UsageError, match="unknown dataset 'fer2031'; did you mean 'fer2013'"):
        builders.builder_class("fer2031")
    with pytest.raises(UsageError, match="no configuration 'ful'; did you mean 'full'"):
        builders.open_dataset("fer2013", config="ful")
    with pytest.raises(UsageError, match="att_faces has no configurations; leave 'big' out"):
        builders.open_dataset("att_faces", config="big")


def test_dataset_that_is_not_prepared_says_what_to_do(tmp_path):
    with pytest.raises(UserError) as raised:
        builders.open_dataset("fer2013", "without_private_test", tmp_path)
    message = str(raised.value)
    assert raised.value.exit_code == 1
    command = "tdgan-jax prepare fer2013 --source PATH --config without_private_test"
    assert f"{command} --data-dir {tmp_path}" in message
    assert "https://www.kaggle.com/datasets/msambare/fer2013" in message
    assert len(message.splitlines()) < 10
    assert not list(tmp_path.iterdir())


def test_default_directory_needs_no_option(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    with pytest.raises(UserError) as raised:
        builders.open_dataset("drawn_dots")
    assert str(raised.value).splitlines() == [
        f"the dataset drawn_dots/8 is not prepared in {tmp_path}.",
        "Prepare it with",
        "  tdgan-jax prepare drawn_dots",
    ]
    preparing.prepare_dataset("drawn_dots")
    assert builders.open_dataset("drawn_dots").data_path == tmp_path / "drawn_dots" / "8" / "1.2.0"


def test_another_version_is_mentioned(tmp_path):
    (tmp_path / "drawn_dots" / "8" / "1.1.0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"Version 1\.1\.0 is there; this release needs 1\.2\.0"):
        builders.open_dataset("drawn_dots", data_dir=tmp_path)


def test_drawn_dataset_is_prepared_without_a_source(tmp_path, capfd):
    builder = preparing.prepare_dataset("drawn_dots", config="4", data_dir=tmp_path)
    assert builder.as_data_source("test")[0]["image"].shape == (4, 4, 1)
    assert contents.label_names(builder) == {"expression": ("fear", "anger")}
    assert contents.class_counts(builder, "expression") == {
        "train": Counter({"fear": 2, "anger": 1, "-1": 1}),
        "test": Counter({"fear": 1, "anger": 1}),
    }
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UsageError, match="drawn by a program and takes no --source"):
        preparing.prepare_dataset("drawn_dots", tmp_path, data_dir=tmp_path)


def test_source_is_needed_and_must_exist(tmp_path):
    with pytest.raises(UsageError, match="add --source PATH\nThe AT&T"):
        preparing.prepare_dataset("att_faces", data_dir=tmp_path / "data")
    with pytest.raises(UserError, match=r"the source .*nowhere\.zip does not exist"):
        preparing.prepare_dataset("att_faces", tmp_path / "nowhere.zip", data_dir=tmp_path / "data")
    (tmp_path / "faces.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match="neither a folder nor an intact zip file; unpack"):
        preparing.prepare_dataset("att_faces", tmp_path / "faces.rar", data_dir=tmp_path / "data")


def test_prepared_dataset_is_kept_unless_overwritten(one_person, tmp_path):
    def prepare(**options):
        return preparing.prepare_dataset(
            "att_faces", one_person, data_dir=tmp_path / "data", partial=True, **options
        )

    assert len(prepare().as_data_source("train")) == 10
    (one_person / "s1" / "10.pgm").unlink()
    with pytest.raises(preparing.AlreadyPrepared, match="already prepared in .*--overwrite"):
        prepare()
    assert len(prepare(overwrite=True).as_data_source("train")) == 9
    (one_person / "s1" / "9.pgm").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"s1/9\.pgm"):
        prepare(overwrite=True)
    # The failed build has not cost the old one.
    kept = builders.open_dataset("att_faces", data_dir=tmp_path / "data")
    assert len(kept.as_data_source("train")) == 9
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["att_faces"]


def test_lost_record_file_is_named(tmp_path):
    builder = preparing.prepare_dataset("drawn_dots", data_dir=tmp_path)
    lost = builder.info.splits["test"].filepaths[0]
    lost.unlink()
    with pytest.raises(UserError, match=rf"lacks {lost.name}; build it again:\n .*--overwrite"):
        builders.open_dataset("drawn_dots", data_dir=tmp_path)


def test_interrupted_build_leaves_nothing(one_person, tmp_path, monkeypatch):
    def interrupted(tree, name):
        if name.endswith("5.pgm"):
            raise KeyboardInterrupt
        return (one_person / name).read_bytes()

    monkeypatch.setattr(SourceTree, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        preparing.prepare_dataset("att_faces", one_person, data_dir=tmp_path / "data", partial=True)
    assert not list((tmp_path / "data").iterdir())


# Reading a file lasts until the process is stopped.
ENDLESS_READING = """
import sys, time
from tdgan_jax.cli.main import main
from tdgan_jax.preparation.source_tree import SourceTree

SourceTree.read = lambda self, name: time.sleep(1000)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_process_leaves_nothing_or_is_cleaned_up_after(signal_number, one_person, tmp_path):
    data_dir = tmp_path / "data"
    command = [sys.executable, "-c", ENDLESS_READING, "prepare", "att_faces", "--partial"]
    with subprocess.Popen([*command, "--source", one_person, "--data-dir", data_dir]) as process:
        try:
            deadline = time.monotonic() + 60
            while not list(data_dir.glob(".preparing_*/att_faces/*incomplete*")):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal_number)
            code = process.wait(timeout=30)
        finally:
            process.kill()
    if signal_number == signal.SIGTERM:
        assert code == 143
        assert not list(data_dir.iterdir())
        return
    assert list(data_dir.glob(".preparing_*"))
    preparing.prepare_dataset("att_faces", one_person, data_dir=data_dir, partial=True)
    assert [path.name for path in data_dir.iterdir()] == ["att_faces"]


def test_running_build_is_not_taken_for_an_abandoned_one(tmp_path):
    with staging_folder(tmp_path, "drawn_dots") as running:
        preparing.prepare_dataset("drawn_dots", data_dir=tmp_path)
        assert running.exists()
    assert not running.exists()


def test_unwritable_directory_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write drawn_dots/8 to ") as raised:
        preparing.prepare_dataset("drawn_dots", data_dir=tmp_path / "file")
    assert "\n" not in str(raised.value)


def test_class_order_of_a_prepared_dataset_does_not_depend_on_the_code(tmp_path):
    builder = preparing.prepare_dataset("drawn_dots", data_dir=tmp_path)
    labels = builder.data_path / "expression.labels.txt"
    assert labels.read_text().split() == ["fear", "anger"]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the development data are not there")
def test_real_att_faces(tmp_path):
    builder = preparing.prepare_dataset("att_faces", REAL_DATA / "att_faces.zip", data_dir=tmp_path)
    counts = contents.class_counts(builder, "identity")["train"]
    assert dict(counts) == {f"s{number}": 10 for number in range(1, 41)}
