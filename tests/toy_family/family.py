"""The record of softmax regression."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from tdgan_jax.data.feeds import evaluation_batches
from tdgan_jax.data.loading import training_transform
from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.classifier.fields import classifier_config
from tdgan_jax.families.compiled import Definition, compiled
from tdgan_jax.families.family import Family, Stage, Training
from tdgan_jax.families.image_feeds import image_feed
from tdgan_jax.families.recogniser import Recogniser
from tdgan_jax.families.stored import FoundArchitecture, NetworkShapes, StoredFamily
from tdgan_jax.losses import distribution_loss
from tdgan_jax.networks.layers import to_unit_range
from tdgan_jax.steps.parallel import BATCH_AXIS
from tdgan_jax.steps.state import Answers, TrainState, average_over_devices, init_state
from tdgan_jax.torch_weights.mapping import (
    LINEAR,
    SAME,
    Entry,
    parameters_from_torch,
    torch_from_parameters,
)

TABLE = [Entry("weight", ("kernel",), LINEAR), Entry("bias", ("bias",), SAME)]
NAME = "regression"


def fields():
    """The plain classifier's data and loop, and a network without choices."""
    config = classifier_config()
    config.model = ConfigDict({"image_size_px": 32, "image_channels": 1})
    for section in ("optimizer", "loss"):
        del config[section]
    return config


def make_network(image_size_px, image_channels, num_expressions, rngs):
    """One linear layer."""
    return nnx.Linear(image_size_px**2 * image_channels, num_expressions, rngs=rngs)


def logits(definition, parameters, images):
    """Of images uint8 or in [0, 1], `[N, S, S, C]`."""
    flat = to_unit_range(images).reshape(len(images), -1)
    return nnx.merge(definition, parameters[NAME])(flat)


def evaluate(definition, parameters, images):
    """Answers of the one recogniser."""
    return {NAME: Answers(logits(definition, parameters, images))}


def training(config, names):
    """Gradient descent on the cross-entropy."""
    make = partial(make_network, **config.model.to_dict(), num_expressions=len(names.expressions))
    definition, _ = nnx.split(nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0))))
    optimizer = optax.sgd(config.schedule.learning_rate)

    def initialise(key):
        _, state = nnx.split(make(rngs=nnx.Rngs(key)))
        return init_state({NAME: nnx.to_pure_dict(state)}, {NAME: optimizer})

    def step(updates, state: TrainState, batch, key):
        del updates, key

        def loss(parameters):
            return distribution_loss(
                logits(definition, parameters, batch.image), batch.target, batch.weight
            )

        value, gradient = jax.value_and_grad(loss)(state.parameters)
        gradient = average_over_devices(gradient, BATCH_AXIS)
        change, _ = optimizer.update(gradient[NAME], state.optimizer_states[NAME])
        moved = {NAME: optax.apply_updates(state.parameters[NAME], change)}
        metrics = average_over_devices({NAME: value}, BATCH_AXIS)
        return state._replace(parameters=moved, step=state.step + 1), metrics

    return Training(
        recognisers=(NAME,),
        init_state=initialise,
        updates_due=lambda *_: (),
        train_step=step,
        eval_step=partial(evaluate, definition),
        sample_columns=("input",),
        sample_step=lambda parameters, batch, key: {"input": to_unit_range(batch.image)},
        shown_losses=(NAME,),
        stages=(Stage("coarse", 1), Stage("fine", config.training.epochs - 1)),
        begin_stage=begin_stage,
    )


def begin_stage(state, stage, best):
    """Goes on from the best parameters of the stage before, a little shrunk."""
    return state._replace(parameters=jax.tree.map(lambda x: x * 0.5**stage, best))


def shapes(description):
    """The network of a description, without values."""
    classes = len(description.expression_names)
    make = partial(make_network, **description.architecture, num_expressions=classes)
    definition, state = nnx.split(nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0))))
    return NetworkShapes(definition, {NAME: nnx.to_pure_dict(state)})


def found_architecture(state_dicts):
    """What the weights tell: square gray images."""
    classes, pixels = state_dicts[NAME]["weight"].shape
    sizes = {"image_size_px": round(pixels**0.5), "image_channels": 1}
    return FoundArchitecture(sizes, classes, 0, untold=(), rounded=())


@compiled
def _answer(definition, parameters, images):
    return evaluate(definition, parameters, images)[NAME]


@compiled
def _pixels(definition, images):
    return images


class Regression(Recogniser):
    """What a user calls."""

    def __init__(self, stored):
        """Takes a model from the disk."""
        self._definition = Definition(stored.definitions)
        answer = partial(_answer, self._definition, jax.device_put(stored.parameters))
        super().__init__(stored.description, partial(map_batches, answer))

    def expression_features(self, images):
        """The pixels."""
        return map_batches(partial(_pixels, self._definition), self.prepared(images))


def features(config, parameters, parts, names):
    """Pixels, as there is nothing else."""
    rows = [
        images[:count].reshape(count, -1).astype(np.float32)
        for part in parts
        for images, count in evaluation_batches(part, 16)
    ]
    pixels = np.concatenate(rows)
    return {"expression": pixels, "random": np.asarray(jnp.asarray(pixels)[:, ::-1])}


STORAGE = StoredFamily(
    stems={NAME: NAME},
    prefixes={NAME: f"{NAME}."},
    released_names=(),
    shapes=shapes,
    find_architecture=found_architecture,
    from_torch=lambda dicts, template: {
        NAME: parameters_from_torch(TABLE, dicts[NAME], template[NAME])
    },
    to_torch=lambda parameters: {NAME: torch_from_parameters(TABLE, parameters[NAME])},
    compare_with_twin=lambda stored, folder: {},
    write_onnx=lambda stored, folder: None,
    compare_with_onnx=lambda stored, folder: {},
)
TOY = Family(
    fields=fields,
    training=training,
    transform=training_transform,
    feed=lambda config, parts, cache: image_feed(config, parts),
    stored=lambda: STORAGE,
    model=Regression,
    features=features,
    titles={NAME: "Softmax regression"},
)
