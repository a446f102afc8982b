"""The parameters that a run's selection chose, ready to be called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tdgan_jax.configuration import Config, check_known_fields, flatten
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.pipeline import evaluation_batches
from tdgan_jax.errors import UserError
from tdgan_jax.families.program import Program, make_program
from tdgan_jax.families.tdgan.networks import Encoder, make_tdgan
from tdgan_jax.families.tdgan.objective import to_unit_range
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import CHECKPOINTS_FOLDER, CONFIG_FILE, read_run
from tdgan_jax.steps.parallel import compiler_options, make_mesh, replicated_shapes

ENCODERS = {"expression": "expression_encoder", "face": "face_encoder"}
BATCH_SIZE = 64
# Without these a JSON object is no configuration of a run.
REQUIRED_FIELDS = ("family", "data.expressions.dataset", "evaluation.selection")

Encode = Callable[[np.ndarray], jax.Array]


class SelectedRun(NamedTuple):
    """A run with the parameters that its configured selection chose.

    Attributes:
        config: The configuration as it was stored.
        expression_names: Names of the classes in the model's order.
        program: Its functions.
        parameters: Network name to parameter tree, on the devices of the program.
        crop: How the faces of its training images were cut out, as JSON; None: as their owner
            gives them.
    """

    config: Config
    expression_names: tuple[str, ...]
    program: Program
    parameters: dict[str, Any]
    crop: dict[str, Any] | None


def open_selected_run(
    folder: Path,
    *,
    data_dir: str = "",
    mesh: Mesh | None = None,
    program: Program | None = None,
) -> SelectedRun:
    """Reads a run's configuration and selected parameters.

    Args:
        folder: A run folder with at least one finished epoch.
        data_dir: Where prepared datasets are kept; the run's setting if empty.
        mesh: The devices; one by default.
        program: Compiled functions of a run with the same settings; taken over if they fit.

    Raises:
        UserError: If the folder holds no such run, or a damaged one.
    """
    config = read_config(folder)
    if data_dir:
        config.data.directory = data_dir
    selection = config.evaluation.selection
    checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER, read_only=True)
    progress = checkpoints.best_progress(selection)
    identity_names = tuple(progress["identity_names"])
    expression_names = tuple(progress["expression_names"])
    if program is None or not program.fits(identity_names, expression_names):
        mesh = mesh or make_mesh(jax.devices()[:1])
        program = make_program(config, mesh, identity_names, expression_names)
    shapes = jax.eval_shape(program.init_state, jax.random.key(0)).parameters
    parameters = checkpoints.restore_best(selection, replicated_shapes(shapes, program.mesh))
    return SelectedRun(config, expression_names, program, parameters, progress.get("crop"))


def read_config(folder: Path) -> Config:
    """Reads the configuration of a run or a cross-validation as it was stored.

    Raises:
        UserError: If the folder holds none, one that lacks what a run needs, or one with fields
            that are unknown today.
    """
    stored = read_run(folder).config
    if stored is None:
        raise UserError(f"{folder} holds no {CONFIG_FILE}; give the folder of a run")
    config: Config = ConfigDict(stored)
    fields = flatten(config)
    if missing := [field for field in REQUIRED_FIELDS if not fields.get(field)]:
        raise UserError(
            f"{folder / CONFIG_FILE} is no configuration of a run: it lacks {', '.join(missing)}"
        )
    check_known_fields(stored, folder / CONFIG_FILE)
    return config


def encoders(run: SelectedRun) -> dict[str, Encode]:
    """The encoders of a run, and one of the same architecture that never learned.

    Returns:
        `expression`, `face` where the family has one, and `random`, initialised with the seed of
        the run: images uint8 `[N, S, S, C]` to features `[N, S/16, S/16, channels]`.

    Raises:
        UserError: If the family has no expression encoder.
    """
    if ENCODERS["expression"] not in run.parameters:
        raise UserError(f"runs of the family {run.config.family!r} have no encoders to probe")

    def draw(key: jax.Array) -> Encoder:
        networks = make_tdgan(
            num_identities=1,
            num_expressions=1,
            rngs=nnx.Rngs(key),
            **run.config.model.to_dict(),
        )
        return networks.expression_encoder

    key = jax.random.key(run.config.seed)
    definition, _ = nnx.split(nnx.eval_shape(lambda: draw(key)))

    @jax.jit
    def initial(key: jax.Array) -> Any:
        return nnx.to_pure_dict(nnx.split(draw(key))[1])

    # One program for all encoders: they have one architecture.
    encode = jax.jit(
        lambda parameters, images: nnx.merge(definition, parameters)(to_unit_range(images)),
        compiler_options=compiler_options(num_devices=1),
    )
    trees = {name: run.parameters.get(network) for name, network in ENCODERS.items()}
    trees["random"] = initial(key)
    return {
        name: lambda images, tree=tree: encode(tree, jnp.asarray(images))
        for name, tree in trees.items()
        if tree is not None
    }


def encode_examples(encode: Encode, examples: Examples) -> np.ndarray:
    """Flattened features of all examples, float32 `[N, D]`."""
    parts = [
        np.asarray(encode(images))[:count].reshape(count, -1)
        for images, count in evaluation_batches(examples, BATCH_SIZE)
    ]
    return np.concatenate(parts)
