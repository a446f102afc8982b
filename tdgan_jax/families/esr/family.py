"""ESR's record."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.configuration import Config
from tdgan_jax.families.esr.fields import LIMITS, esr_config
from tdgan_jax.families.family import Family, Names, Parts, Training
from tdgan_jax.families.image_record import image_transform, other_examples_read

if TYPE_CHECKING:
    import numpy as np

    from tdgan_jax.data.examples import Examples
    from tdgan_jax.data.feeds import Feed
    from tdgan_jax.families.stored import StoredFamily, StoredModel


def _training(config: Config, names: Names) -> Training:
    from tdgan_jax.families.esr.training import esr_training

    return esr_training(config, names)


def _feed(config: Config, parts: Parts, cache: Path | None) -> "Feed":
    from tdgan_jax.families.image_feeds import image_feed
    from tdgan_jax.families.image_training import sampling_of

    del cache
    first, later = config.training.first_stage_epochs, config.training.later_stage_epochs
    starts = (0, *range(first, config.training.epochs, later))
    return image_feed(config, parts, **sampling_of(config, stage_starts=starts))


def _stored() -> "StoredFamily":
    from tdgan_jax.families.esr.storage import ESR_STORAGE

    return ESR_STORAGE


def _model(stored: "StoredModel") -> Any:
    from tdgan_jax.families.esr.model import EsrModel

    return EsrModel(stored)


def _features(
    config: Config, parameters: Any, parts: "Sequence[Examples]", names: Names
) -> "dict[str, np.ndarray]":
    from tdgan_jax.families.esr.features import esr_features

    return esr_features(config, parameters, parts, names)


def _check_given_weights(config: Config, read_config: Callable[[Path], Config]) -> None:
    from tdgan_jax.families.image_training import check_start_weights

    del read_config
    check_start_weights(config)


ESR = Family(
    fields=esr_config,
    limits=LIMITS,
    training=_training,
    transform=image_transform,
    feed=_feed,
    stored=_stored,
    model=_model,
    features=_features,
    check_given_weights=_check_given_weights,
    examples_read=other_examples_read,
    titles={"ensemble": "Ensemble"},
    loss_groups={"branches": "Expression module", "diversity": "Diversity"},
)
