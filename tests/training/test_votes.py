"""Training on raters' votes: who teaches, and who is measured on."""

import numpy as np
import pytest
from tdgan_jax.data_builders.ferplus import ferplus_test

from tdgan_jax.configuration import load_config
from tdgan_jax.expressions import EXPRESSIONS
from tdgan_jax.preparation.preparing import prepare_dataset
from tdgan_jax.training.data import load_training_data
from tests.owners_files import write_tree


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """FER+ with six images a part, of which two have no majority."""
    folder = tmp_path_factory.mktemp("rated")
    source = write_tree(folder / "source", ferplus_test.owners_files())
    prepare_dataset(
        "ferplus", source, config="without_test", data_dir=folder / "data", partial=True
    )
    return folder / "data"


def load(directory, *overrides: str):
    given = {
        "data.directory": directory,
        "data.expressions.dataset": "ferplus",
        "data.expressions.builder_config": "without_test",
        "data.validation": "none",
        "evaluation.selection": "last",
        "training.batch_size": 2,
    }
    fields = [f"{field}={value}" for field, value in given.items()]
    return load_training_data(
        load_config("configs/classifier_fer2013.py:tiny", [*fields, *overrides])
    )


def test_votes_teach_without_a_majority_and_figures_need_one(directory):
    by_label, by_votes = load(directory), load(directory, "data.targets=votes")
    assert by_label.expression_names == EXPRESSIONS
    assert len(by_label.feed.expressions.files) == len(by_label.test.files) == 4
    assert (by_label.num_unlabelled, by_votes.num_unlabelled) == (2, 0)
    fit = by_votes.feed.expressions
    assert len(fit.files) == 6
    assert np.count_nonzero(fit.expressions < 0) == 2
    assert (by_votes.test.expressions >= 0).all() and len(by_votes.test.files) == 4
    batch = next(iter(by_votes.feed.batches(0)))
    np.testing.assert_allclose(batch.target.sum(axis=1), 1, rtol=1e-6)


def test_other_votes_are_other_data(directory):
    data = load(directory, "data.targets=votes")
    test = data.test
    assert test.votes is not None
    changed = test._replace(votes=test.votes[::-1])
    assert data._replace(test=changed).fingerprint != data.fingerprint
    assert load(directory, "data.targets=votes").fingerprint == data.fingerprint
