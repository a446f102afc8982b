"""IF-GAN's record."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdgan_jax.configuration import Config
from tdgan_jax.families.family import Family, Names, Parts, Training
from tdgan_jax.families.ifgan.fields import LIMITS, ifgan_config
from tdgan_jax.families.loop_fields import RETIRED

if TYPE_CHECKING:
    from tdgan_jax.data.examples import Examples, Transform
    from tdgan_jax.data.feeds import Feed
    from tdgan_jax.families.stored import StoredFamily, StoredModel


def _training(config: Config, names: Names) -> Training:
    from tdgan_jax.families.ifgan.training import ifgan_training

    return ifgan_training(config, names)


def _transform(config: Config) -> "Transform":
    from tdgan_jax.data.loading import square_transform

    return square_transform(config)


def _feed(config: Config, parts: Parts, cache: Path | None) -> "Feed":
    from tdgan_jax.families.ifgan.feed import average_face_feed

    return average_face_feed(config, parts, cache)


def _stored() -> "StoredFamily":
    from tdgan_jax.families.ifgan.storage import IFGAN_STORAGE

    return IFGAN_STORAGE


def _model(stored: "StoredModel") -> Any:
    from tdgan_jax.families.ifgan.model import IfganModel

    return IfganModel(stored)


def _features(
    config: Config, parameters: Any, parts: "Sequence[Examples]", names: Names
) -> "dict[str, np.ndarray]":
    from tdgan_jax.families.ifgan.features import ifgan_features

    of_parts = [
        ifgan_features(config, parameters, part, num_expressions=len(names.expressions))
        for part in parts
    ]
    return {name: np.concatenate([one[name] for one in of_parts]) for name in of_parts[0]}


def _check_given_weights(config: Config, read_config: Callable[[Path], Config]) -> None:
    from tdgan_jax.families.ifgan.training import check_given_weights

    del read_config
    check_given_weights(config)


def _examples_read(config: Config, dataset: str, examples: "Examples") -> "Iterable[Examples]":
    from tdgan_jax.families.ifgan.feed import examples_read

    return examples_read(config, dataset, examples)


IFGAN = Family(
    fields=ifgan_config,
    limits=LIMITS,
    training=_training,
    transform=_transform,
    feed=_feed,
    stored=_stored,
    model=_model,
    features=_features,
    check_given_weights=_check_given_weights,
    examples_read=_examples_read,
    titles={"classifier": "Classifier"},
    loss_groups={"discriminator": "Discriminators", "classifier": "Expression module"},
    retired=RETIRED,
)
