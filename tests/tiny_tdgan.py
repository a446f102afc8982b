"""A run folder of the smallest TDGAN, with random parameters: made in a moment, not trained."""

import functools
import json
from pathlib import Path

import jax
import numpy as np

from tdgan_jax.configuration import load_config, to_json
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.known import family_named
from tdgan_jax.families.stored import ModelDescription, Preprocessing
from tdgan_jax.runs.checkpoints import Checkpoints

IDENTITIES = ("anna", "ben", "carla")
IMAGE_SIZE_PX = 32
NOISE_SHAPE = (2, 2, 4)


def tiny_config(**model):
    """The tiny configuration with other fields of `config.model`."""
    overrides = [f"model.{field}={value}" for field, value in model.items()]
    return load_config("configs/tdgan_synthetic.py:tiny", overrides)


@functools.cache  # tracing the networks takes a second
def _shapes(family, model, num_identities, num_expressions):
    description = ModelDescription(
        family=family,
        architecture=dict(model),
        expression_names=tuple(map(str, range(num_expressions))),
        num_identities=num_identities,
        identity_names=None,
        preprocessing=Preprocessing(IMAGE_SIZE_PX, 1, "resize"),
    )
    return family_named(family).stored().shapes(description).parameters


def random_parameters(config, *, num_identities=3, num_expressions=7):
    """Parameters of a configuration's networks, large enough to make all outputs differ."""
    random = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: random.normal(0.0, 0.3, leaf.shape).astype(np.float32),
        _shapes(config.family, tuple(config.model.items()), num_identities, num_expressions),
    )


def make_run(folder: Path, config=None) -> Path:
    """Writes what a finished epoch of a run leaves for inference."""
    config = config or tiny_config()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    names = {
        "expression_names": list(BASIC_EXPRESSIONS),
        "identity_names": list(IDENTITIES),
        "crop": None,
    }
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save_best("validation", 1, random_parameters(config), names)
    return folder
