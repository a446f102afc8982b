"""IF-GAN as the loop sees it: networks, losses and schedule from a configuration."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.family import Names, Training, set_configured_execution
from tdgan_jax.families.ifgan.networks import IFGAN, make_ifgan, split_networks
from tdgan_jax.families.ifgan.objective import CHOICES, Batch, Objective
from tdgan_jax.families.ifgan.step import (
    BASELINE_SAMPLE_COLUMNS,
    SAMPLE_COLUMNS,
    LearningRate,
    Setup,
    TrainState,
    eval_step,
    init_state,
    make_optimizer,
    sample_step,
    train_step,
)
from tdgan_jax.steps.state import quickly_compiled_key
from tdgan_jax.torch_weights.resnet import read_imagenet_weights

# Standard deviation of the centres where no class mean is taken.
CENTRE_DEVIATION = 0.01
STATISTICS = ("global", "device")
SAMPLE_ROWS = 7


def ifgan_networks(config: Config, *, num_expressions: int, rngs: nnx.Rngs) -> IFGAN:
    """The networks of a configuration.

    Raises:
        UsageError: If a size is impossible or an option unknown.
    """
    try:
        return make_ifgan(num_expressions=num_expressions, rngs=rngs, **config.model.to_dict())
    except ValueError as error:
        raise UsageError(f"config.model: {error}") from error


def ifgan_objective(config: Config) -> Objective:
    """Weights and options of the losses.

    Raises:
        UsageError: If an option is unknown.
    """
    objective = Objective(**config.loss.to_dict())
    for field, known in CHOICES.items():
        value = getattr(objective, field)
        if value not in known:
            raise UsageError(f"loss.{field} is {value!r}; known: {', '.join(known)}")
    return objective


def ifgan_setup(config: Config, networks: IFGAN) -> Setup:
    """What stays the same over a training.

    Raises:
        UsageError: If a value is impossible.
    """
    optimizer = config.optimizer
    if optimizer.learning_rate_decay_epochs < 1:
        raise UsageError("optimizer.learning_rate_decay_epochs must be at least 1")
    if config.parallel.batch_statistics not in STATISTICS:
        raise UsageError(
            f"parallel.batch_statistics is {config.parallel.batch_statistics!r}; "
            f"known: {', '.join(STATISTICS)}"
        )
    definitions, trees = split_networks(networks)
    make = partial(
        make_optimizer,
        beta1=optimizer.adam_beta1,
        beta2=optimizer.adam_beta2,
        weight_decay=optimizer.weight_decay,
    )
    rates = {
        name: LearningRate(
            config.learning_rate[name],
            optimizer.learning_rate_decay,
            optimizer.learning_rate_decay_epochs,
        )
        for name in trees
    }
    return Setup(
        definitions,
        ifgan_objective(config),
        {name: make() for name in trees},
        rates,
        has_global_statistics=config.parallel.batch_statistics == "global",
    )


def with_imagenet_weights(path: Path, state: TrainState, load: Any) -> TrainState:
    """A new run's state whose classifier has the weights of a torchvision ResNet.

    The optimiser's state is that of all weights: zeros.

    Args:
        path: File of a torchvision ResNet.
        state: The state of a new run.
        load: Opens models on disk; the file is none.

    Raises:
        UserError: If the file is unreadable or belongs to another network.
    """
    classifier = state.parameters["classifier"]
    del load
    resnet = read_imagenet_weights(path, classifier["resnet"])
    return state._replace(
        parameters=state.parameters | {"classifier": classifier | {"resnet": resnet}}
    )


def ifgan_training(config: Config, names: Names) -> Training:
    """Makes IF-GAN's functions for the loop, or those of the baseline.

    Args:
        config: The configuration.
        names: The expressions; there are no identities.

    Raises:
        UsageError: If a value of the configuration is impossible.
    """
    num_expressions = len(names.expressions)
    given = config.training.imagenet_weights
    make = partial(ifgan_networks, config, num_expressions=num_expressions)
    shapes: IFGAN = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    networks, _ = split_networks(shapes)
    set_configured_execution(config, shapes)
    setup = ifgan_setup(config, shapes)
    fc = shapes.classifier.resnet.fc
    num_features = fc.out_features if setup.objective.island_feature == "logits" else fc.in_features

    def initialise(key: jax.Array) -> TrainState:
        network_key, centre_key = jax.random.split(key)
        _, parameters = split_networks(make(rngs=nnx.Rngs(quickly_compiled_key(network_key))))
        centres = jax.random.normal(centre_key, (num_expressions, num_features))
        return init_state(setup, parameters, CENTRE_DEVIATION * centres)

    def step(updates: Any, state: TrainState, batch: Batch, key: jax.Array):
        del updates
        keys = None
        if config.model.generator_dropout_rate:
            step_key = jax.random.fold_in(key, state.step)
            keys = jax.vmap(partial(jax.random.fold_in, step_key))(batch.position)
        return train_step(setup, state, batch, keys)

    def sample(parameters: Any, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        del key
        return sample_step(networks, parameters, batch)

    has_generator = config.model.has_generator
    return Training(
        recognisers=("classifier",),
        init_state=initialise,
        # Every step updates all networks.
        updates_due=lambda *_: (),
        train_step=step,
        eval_step=partial(eval_step, networks),
        sample_columns=SAMPLE_COLUMNS if has_generator else BASELINE_SAMPLE_COLUMNS,
        sample_step=sample,
        sample_rows=SAMPLE_ROWS,
        shown_losses=("generator", "classifier"),
        with_given_weights=partial(with_imagenet_weights, Path(given)) if given else None,
    )


def check_given_weights(config: Config) -> None:
    """Makes sure that the weights that a new run starts from are there.

    Raises:
        UserError: Names the missing file.
    """
    given = config.training.imagenet_weights
    if given and not Path(given).is_file():
        raise UserError(f"training.imagenet_weights: there is no file {given}")
