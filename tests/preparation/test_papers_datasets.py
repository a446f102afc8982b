"""The papers' configurations read what the builders make of the owners' files."""

import pytest
from tdgan_jax.data_builders.baum2i import baum2i_test
from tdgan_jax.data_builders.ck_plus import ck_plus_test
from tdgan_jax.data_builders.raf_db import raf_db_test
from tdgan_jax.data_builders.rafd import rafd_test
from tdgan_jax.data_builders.tfeid import tfeid_test

from tdgan_jax.configuration import load_config
from tdgan_jax.data.folds import assert_disjoint
from tdgan_jax.expressions import BASIC_EXPRESSIONS, SIX_EXPRESSIONS
from tdgan_jax.families.tdgan.pair_feed import training_batches
from tdgan_jax.preparation.preparing import prepare_dataset
from tdgan_jax.training.data import load_training_data
from tests.owners_files import picture, write_tree


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A dataset directory with twenty people of CASIA-WebFace for the face branch."""
    folder = tmp_path_factory.mktemp("papers")
    files = {
        f"{person:07d}/{number:03d}.jpg": picture(10 * person + number, size_px=(40, 48))
        for person in range(45, 68)
        for number in (1, 2)
    }
    source = write_tree(folder / "casia", files)
    prepare_dataset("casia_webface", source, data_dir=folder / "data", partial=True)
    return folder / "data"


def ck_plus_files() -> dict:
    files = {}
    for seed in range(24):
        subject = f"S{10 + seed % 12:03d}"
        files |= ck_plus_test.sequence(subject, f"{seed:03d}", SIX_EXPRESSIONS[seed % 6], seed)
    return files


def baum2i_files() -> dict:
    rows = baum2i_test.rows(69)
    files = {name: picture(seed) for seed, (name, _, _) in enumerate(rows)}
    return files | {"peaks.csv": baum2i_test.table(rows)}


FILES = {
    "ck_plus": ck_plus_files,
    "tfeid": lambda: tfeid_test.owners_files(tfeid_test.PEOPLE[:14]),
    "rafd": lambda: rafd_test.owners_files(rafd_test.MODELS[:12]),
    "baum2i": baum2i_files,
    "raf_db": raf_db_test.owners_archive,
}


@pytest.mark.parametrize("dataset", FILES)
def test_configuration_of_the_paper(dataset, directory, tmp_path):
    source = write_tree(tmp_path, FILES[dataset]())
    prepare_dataset(dataset, source, data_dir=directory, partial=True)
    name = dataset.removesuffix("_db")
    fold = [] if dataset == "raf_db" else ["data.fold=3"]
    fields = [f"data.directory={directory}", "data.validation_fraction=0.5", *fold]
    config = load_config(f"configs/tdgan_{name}.py:tiny", fields)
    data = load_training_data(config)
    assert data.expression_names == BASIC_EXPRESSIONS
    assert len(data.identity_names) >= 10
    assert data.validation is not None
    parts = {
        "training": data.feed.expressions.groups,
        "validation": data.validation.groups,
        "test": data.test.groups,
    }
    assert all(len(groups) for groups in parts.values())
    assert_disjoint(parts)
    batch = next(iter(training_batches(data.feed, epoch=0)))
    assert batch.face_image.shape == batch.expression_image.shape == (4, 32, 32, 1)
