"""What the benchmarks train and recognise: noise in the place of images, random labels and weights.

One function for each thing that differs between the systems; everything has a fixed seed.
"""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tdgan_jax.data.examples import Examples
from tdgan_jax.data.image_feed import ImageBatch, one_hot
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.esr.voters import VOTERS, all_voters, voters_of
from tdgan_jax.families.family import Names, Training
from tdgan_jax.families.ifgan.objective import Batch as AverageFaceBatch
from tdgan_jax.families.image_training import normalisation_of
from tdgan_jax.families.known import family_named
from tdgan_jax.families.program import make_training
from tdgan_jax.families.stored import ModelDescription, Preprocessing, StoredModel
from tdgan_jax.families.tdgan.objective import Batch as PairBatch
from tdgan_jax.networks.normalisation import Normalisation

NUM_IDENTITIES = 20
NUM_EXPRESSIONS = len(BASIC_EXPRESSIONS)
STEPS_PER_EPOCH = 100


def names_of(config: ConfigDict) -> Names:
    """The seven basic expressions, and of TDGAN twenty people."""
    people = NUM_IDENTITIES if config.family == "tdgan" else 0
    return Names(tuple(map(str, range(people))), BASIC_EXPRESSIONS)


def random_batch(config: ConfigDict, batch_size: int) -> Any:
    """A batch of a configuration's system on the host.

    Args:
        config: Says the system and the images' size.
        batch_size: N.
    """
    random = np.random.default_rng(0)
    side = config.model.image_size_px
    shape = (batch_size, side, side, config.model.image_channels)
    images = random.integers(256, size=(2, *shape), dtype=np.uint8)
    labels = random.integers(NUM_EXPRESSIONS, size=batch_size, dtype=np.int32)
    alike = {
        "weight": np.ones(batch_size, np.float32),
        "position": np.arange(batch_size, dtype=np.int32),
    }
    if config.family == "tdgan":
        people = random.integers(NUM_IDENTITIES, size=batch_size, dtype=np.int32)
        return PairBatch(images[0], people, images[1], labels, **alike)
    alike["epoch"] = np.zeros(batch_size, np.int32)
    if config.family == "ifgan":
        return AverageFaceBatch(images[0], images[1], labels, **alike)
    return ImageBatch(
        image=images[0],
        expression_label=labels,
        target=one_hot(labels, NUM_EXPRESSIONS),
        affect=random.uniform(-1, 1, (batch_size, 2)).astype(np.float32),
        steps_per_epoch=np.full(batch_size, STEPS_PER_EPOCH, np.int32),
        **alike,
    )


def random_examples(count: int, side_px: int, channels: int) -> Examples:
    """Images `[side_px, side_px, channels]` in memory with all labels, one person an image.

    Valence and arousal go round a circle with the expressions, so that each correlates with one.
    """
    random = np.random.default_rng(0)
    names = tuple(f"{i:07d}" for i in range(count))
    angles = 2 * np.pi * np.arange(count) / NUM_EXPRESSIONS
    return Examples(
        images=list(random.integers(256, size=(count, side_px, side_px, channels), dtype=np.uint8)),
        expressions=np.arange(count, dtype=np.int32) % NUM_EXPRESSIONS,
        expression_names=BASIC_EXPRESSIONS,
        identities=np.arange(count, dtype=np.int32),
        identity_names=names,
        groups=np.array(names),
        files=np.array(names),
        duplicated_in_train=None,
        affect=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
    )


def first_state(config: ConfigDict, training: Training) -> Any:
    """The state of a new training, with what it takes from its (here random) examples.

    Not compiled: as one program the hundreds of random tensors take several times as long.
    """
    state = training.init_state(jax.random.key(config.seed))
    if training.beginning is None:
        return state
    examples = random_examples(10 * NUM_EXPRESSIONS, side_px=1, channels=1)
    return training.beginning(examples).change(jax.device_get(state))


def as_model(config: ConfigDict, parameters: Any) -> StoredModel:
    """A configuration's model with parameters of its training; all branches of an ESR vote."""
    names = names_of(config)
    is_normalised = "mean" in config.data
    description = ModelDescription(
        family=config.family,
        architecture=config.model.to_dict(),
        expression_names=names.expressions,
        num_identities=len(names.identities),
        identity_names=names.identities or None,
        preprocessing=Preprocessing(
            config.model.image_size_px,
            config.model.image_channels,
            config.data.test_transform,
            normalisation=normalisation_of(config) if is_normalised else Normalisation(),
        ),
    )
    parameters = jax.tree.map(np.asarray, jax.device_get(parameters))
    if VOTERS in parameters:
        parameters |= all_voters(len(voters_of(parameters)))
    shapes = family_named(config.family).stored().shapes(description)
    return StoredModel(description, shapes.definitions, parameters)


def random_model(config: ConfigDict) -> StoredModel:
    """The model of a configuration whose training has not begun."""
    training = make_training(config, names_of(config))
    return as_model(config, first_state(config, training).parameters)
