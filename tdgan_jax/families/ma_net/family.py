"""MA-Net's record."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.configuration import Config
from tdgan_jax.families.family import Family, Names, Parts, Training
from tdgan_jax.families.image_record import image_transform, other_examples_read
from tdgan_jax.families.ma_net.fields import LIMITS, ma_net_config

if TYPE_CHECKING:
    import numpy as np

    from tdgan_jax.data.examples import Examples
    from tdgan_jax.data.feeds import Feed
    from tdgan_jax.families.stored import StoredFamily, StoredModel


def _training(config: Config, names: Names) -> Training:
    from tdgan_jax.families.ma_net.training import ma_net_training

    return ma_net_training(config, names)


def _feed(config: Config, parts: Parts, cache: Path | None) -> "Feed":
    from tdgan_jax.families.image_feeds import image_feed
    from tdgan_jax.families.image_training import sampling_of

    del cache
    return image_feed(config, parts, **sampling_of(config))


def _stored() -> "StoredFamily":
    from tdgan_jax.families.ma_net.storage import MA_NET_STORAGE

    return MA_NET_STORAGE


def _model(stored: "StoredModel") -> Any:
    from tdgan_jax.families.ma_net.model import MaNetModel

    return MaNetModel(stored)


def _features(
    config: Config, parameters: Any, parts: "Sequence[Examples]", names: Names
) -> "dict[str, np.ndarray]":
    from tdgan_jax.families.ma_net.features import ma_net_features

    return ma_net_features(config, parameters, parts, names)


def _check_given_weights(config: Config, read_config: Callable[[Path], Config]) -> None:
    from tdgan_jax.families.image_training import check_start_weights

    del read_config
    check_start_weights(config)


MA_NET = Family(
    fields=ma_net_config,
    limits=LIMITS,
    training=_training,
    transform=image_transform,
    feed=_feed,
    stored=_stored,
    model=_model,
    features=_features,
    check_given_weights=_check_given_weights,
    examples_read=other_examples_read,
    titles={
        "classifier": "Classifier",
        "local_branch": "Local branch",
        "global_branch": "Global branch",
    },
    loss_groups={"classifier": "Expression module", "diversity": "Diversity"},
)
