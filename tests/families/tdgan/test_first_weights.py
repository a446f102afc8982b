"""A TDGAN that begins with the weights of a classifier's run."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tdgan_jax.configuration import load_config, to_json
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.selected_runs import open_run, read_config
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.tdgan.first_weights import check_classifier_run, with_classifier_weights
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.steps.parallel import make_mesh
from tests.tiny_tdgan import random_parameters, tiny_config


@pytest.fixture(scope="module")
def classifier_run(tmp_path_factory) -> Path:
    """What a finished epoch of the plain classifier leaves, with random parameters."""
    folder = tmp_path_factory.mktemp("classifier") / "run"
    folder.mkdir()
    config = load_config("configs/classifier_synthetic.py:tiny")
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    parameters = random_parameters(config)
    taken = {name: parameters[name] for name in ("expression_encoder", "expression_head")}
    names = {"expression_names": list(BASIC_EXPRESSIONS), "identity_names": ["a"], "crop": None}
    Checkpoints(folder / "checkpoints").save_best("validation", 1, taken, names)
    return folder


class State(SimpleNamespace):
    def _replace(self, **changes):
        return State(**(vars(self) | changes))


def started(folder: Path, *overrides: str):
    options = [f"training.classifier_run={folder}", *overrides]
    return load_config("configs/tdgan_synthetic.py:tiny", options)


def test_expression_branch_and_judge_begin_with_the_classifiers_weights(classifier_run):
    config = started(classifier_run)
    check_classifier_run(config, read_config)
    fresh = jax.tree.map(np.zeros_like, random_parameters(tiny_config()))
    state = with_classifier_weights(
        config.training.classifier_run,
        BASIC_EXPRESSIONS,
        State(parameters=fresh),
        partial(open_run, mesh=make_mesh(jax.devices()[:2])),
    )
    found = state.parameters
    assert jax.tree.structure(found) == jax.tree.structure(fresh)
    expected = random_parameters(load_config("configs/classifier_synthetic.py:tiny"))
    judge = found["expression_discriminator"]
    for name, pairs in {
        "expression_encoder": (found["expression_encoder"], judge["encoder"]),
        "expression_head": (found["expression_head"], judge["head"]),
    }.items():
        for taken in pairs:
            jax.tree.map(np.testing.assert_array_equal, taken, expected[name])
    # The step gives every buffer away once: none may stand in two networks.
    buffers = [leaf.ctypes.data for leaf in jax.tree.leaves(found)]
    assert len(set(buffers)) == len(buffers)
    for name in ("face_encoder", "decoder", "face_discriminator"):
        assert found[name] is fresh[name]


def test_a_run_that_does_not_fit_is_refused_before_anything_is_trained(classifier_run, tmp_path):
    with pytest.raises(UsageError, match="model.width_multiplier is 0.0625 in .* and 0.125 here"):
        check_classifier_run(started(classifier_run, "model.width_multiplier=0.125"), read_config)
    with pytest.raises(UserError, match="absent is not a folder"):
        check_classifier_run(started(tmp_path / "absent"), read_config)
    (tmp_path / "config.json").write_text(json.dumps(to_json(tiny_config())))
    with pytest.raises(UsageError, match="family 'tdgan'; give one of the plain classifier"):
        check_classifier_run(started(tmp_path), read_config)
    with pytest.raises(UsageError, match="those of the data happiness, sadness"):
        with_classifier_weights(
            str(classifier_run), ("happiness", "sadness"), State(parameters={}), open_run
        )
