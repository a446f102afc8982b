"""The record of Emotion-GCN and its baselines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.configuration import Config
from tdgan_jax.families.emotion_gcn.fields import LIMITS, emotion_gcn_config
from tdgan_jax.families.family import Family, Names, Training
from tdgan_jax.families.image_record import image_transform, other_examples_read, plain_image_feed

if TYPE_CHECKING:
    import numpy as np

    from tdgan_jax.data.examples import Examples
    from tdgan_jax.families.stored import StoredFamily, StoredModel


def _training(config: Config, names: Names) -> Training:
    from tdgan_jax.families.emotion_gcn.training import emotion_gcn_training

    return emotion_gcn_training(config, names)


def _stored() -> "StoredFamily":
    from tdgan_jax.families.emotion_gcn.storage import EMOTION_GCN_STORAGE

    return EMOTION_GCN_STORAGE


def _model(stored: "StoredModel") -> Any:
    from tdgan_jax.families.emotion_gcn.model import EmotionModel

    return EmotionModel(stored)


def _features(
    config: Config, parameters: Any, parts: "Sequence[Examples]", names: Names
) -> "dict[str, np.ndarray]":
    from tdgan_jax.families.emotion_gcn.features import emotion_features

    return emotion_features(config, parameters, parts, names)


def _check_given_weights(config: Config, read_config: Callable[[Path], Config]) -> None:
    from tdgan_jax.families.emotion_gcn.training import check_given_weights

    del read_config
    check_given_weights(config)


EMOTION_GCN = Family(
    fields=emotion_gcn_config,
    limits=LIMITS,
    training=_training,
    transform=image_transform,
    feed=plain_image_feed,
    stored=_stored,
    model=_model,
    features=_features,
    check_given_weights=_check_given_weights,
    examples_read=other_examples_read,
    titles={"emotion_recogniser": "Emotion recogniser"},
    loss_groups={"categorical": "Expression module", "continuous": "Valence and arousal"},
)
