"""MA-Net as the loop sees it: network and loss from a configuration."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.diversity_options import diversity_of
from tdgan_jax.families.family import Names, Training, set_configured_execution
from tdgan_jax.families.image_training import (
    ATTENTION_COLUMN,
    INPUT_COLUMN,
    as_picture,
    configured_optimizer,
    has_global_statistics,
    input_images,
    normalisation_of,
)
from tdgan_jax.families.ma_net.networks import MANet, make_ma_net, split_networks
from tdgan_jax.families.ma_net.step import (
    RECOGNISERS,
    Setup,
    eval_step,
    init_state,
    look,
    train_step,
)
from tdgan_jax.families.ma_net.weights import (
    read_start_weights,
    torch_from_ma_net,
    without_heads,
)
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.steps.learning import TrainState
from tdgan_jax.steps.state import quickly_compiled_key


def ma_net_network(config: Config, *, num_expressions: int, rngs: nnx.Rngs) -> MANet:
    """The network of a configuration.

    Raises:
        UsageError: If a size is impossible or an option unknown.
    """
    try:
        return make_ma_net(num_expressions=num_expressions, rngs=rngs, **config.model.to_dict())
    except ValueError as error:
        raise UsageError(f"config.model: {error}") from error


def with_start_weights(
    path: Path, state: TrainState, load: Callable[[Path], StoredModel]
) -> TrainState:
    """A new run's state whose network has the weights of another one, except for the heads.

    The optimiser's state is that of all weights: zeros.

    Args:
        path: File of a MA-Net, or folder of a run.
        state: The state of a new run.
        load: Opens a run.

    Raises:
        UserError: If it is unreadable or belongs to another network.
    """
    own = state.parameters["network"]
    if path.is_dir():
        stored = load(path)
        if "local_branches" not in stored.parameters.get("network", {}):
            raise UserError(
                f"training.start_weights: {path} is a run of the family "
                f"{stored.description.family!r}; give one of a MA-Net"
            )
        state_dict = torch_from_ma_net(stored.parameters)["network"]
        taken = without_heads(state_dict, own, source=str(path)).parameters
    else:
        taken = read_start_weights(path, own)
    return state._replace(parameters={"network": taken})


def ma_net_training(config: Config, names: Names) -> Training:
    """Makes MA-Net's functions for the loop.

    Args:
        config: The configuration.
        names: The expressions; there are no identities.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    make = partial(ma_net_network, config, num_expressions=len(names.expressions))
    shapes = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    set_configured_execution(config, [shapes])
    networks, _ = split_networks(shapes)
    setup = Setup(
        networks,
        configured_optimizer(config, epochs=config.training.epochs),
        diversity_of(config.loss),
        config.loss.diversity_weight,
        normalisation_of(config),
        has_global_statistics(config),
    )
    given = config.training.start_weights

    def initialise(key: jax.Array) -> TrainState:
        return init_state(setup, split_networks(make(rngs=nnx.Rngs(quickly_compiled_key(key))))[1])

    def step(updates: Any, state: TrainState, batch: ImageBatch, key: jax.Array):
        del updates, key
        return train_step(setup, state, batch)

    def sample(parameters: Any, batch: ImageBatch, key: jax.Array) -> dict[str, jax.Array]:
        del key
        images = input_images(batch)
        seen = look(networks, setup.normalisation, parameters, batch.image)
        return {INPUT_COLUMN: images, ATTENTION_COLUMN: as_picture(seen.spatial_attention, images)}

    return Training(
        recognisers=RECOGNISERS,
        init_state=initialise,
        # Every step updates the whole network.
        updates_due=lambda *_: (),
        train_step=step,
        eval_step=partial(eval_step, networks, setup.normalisation),
        sample_columns=(INPUT_COLUMN, ATTENTION_COLUMN),
        sample_step=sample,
        shown_losses=("classifier",),
        with_given_weights=partial(with_start_weights, Path(given)) if given else None,
    )
