"""TDGAN's record."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.configuration import Config
from tdgan_jax.families.family import Family, Names, Parts, Training
from tdgan_jax.families.loop_fields import RETIRED
from tdgan_jax.families.tdgan.fields import LIMITS, tdgan_config

if TYPE_CHECKING:
    import numpy as np

    from tdgan_jax.data.examples import Examples, Transform
    from tdgan_jax.data.feeds import Feed
    from tdgan_jax.families.stored import StoredFamily, StoredModel


def _training(config: Config, names: Names) -> Training:
    from tdgan_jax.families.tdgan.training import tdgan_training

    return tdgan_training(config, names)


def _transform(config: Config) -> "Transform":
    from tdgan_jax.data.loading import shorter_side_transform

    return shorter_side_transform(config)


def _feed(config: Config, parts: Parts, cache: Path | None) -> "Feed":
    from tdgan_jax.families.tdgan.feed import pair_feed

    del cache
    return pair_feed(config, parts)


def _stored() -> "StoredFamily":
    from tdgan_jax.families.tdgan.storage import TDGAN_STORAGE

    return TDGAN_STORAGE


def _model(stored: "StoredModel") -> Any:
    from tdgan_jax.families.tdgan.model import TdganModel

    return TdganModel(stored)


def _features(
    config: Config, parameters: Any, parts: "Sequence[Examples]", names: Names
) -> "dict[str, np.ndarray]":
    from tdgan_jax.families.encoders import encoder_features
    from tdgan_jax.families.tdgan.features import draw_encoder

    del names
    return encoder_features(parameters, draw_encoder(config), parts, seed=config.seed)


def _yardsticks(config: Config, parts: Parts, num_updates: int) -> dict[str, float]:
    from tdgan_jax.families.tdgan.features import yardsticks

    return yardsticks(config, parts, num_updates=num_updates)


def _check_given_weights(config: Config, read_config: Callable[[Path], Config]) -> None:
    from tdgan_jax.families.tdgan.first_weights import check_classifier_run

    check_classifier_run(config, read_config)


def _examples_read(config: Config, dataset: str, examples: "Examples") -> "Iterable[Examples]":
    from tdgan_jax.families.tdgan.feed import examples_read

    return examples_read(config, dataset, examples)


TDGAN = Family(
    fields=tdgan_config,
    limits=LIMITS,
    training=_training,
    transform=_transform,
    feed=_feed,
    stored=_stored,
    model=_model,
    features=_features,
    yardsticks=_yardsticks,
    check_given_weights=_check_given_weights,
    examples_read=_examples_read,
    titles={
        "expression_module": "Expression module",
        "expression_discriminator": "Expression discriminator",
    },
    loss_groups={
        "face_discriminator": "Discriminators",
        "expression_discriminator": "Discriminators",
        "generator": "Generator terms",
        "adversarial": "Generator terms",
        "perceptual": "Generator terms",
        "consistency": "Generator terms",
        "expression_head": "Expression module",
        "expression_module": "Expression module",
    },
    retired=(*RETIRED, "training.autoencoding_steps", "loss.own_reconstruction_weight"),
)
