"""The plain classifier's record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tdgan_jax.configuration import Config
from tdgan_jax.families.classifier.fields import LIMITS, classifier_config
from tdgan_jax.families.family import Family, Names, Parts, Training
from tdgan_jax.families.image_record import image_transform, other_examples_read, plain_image_feed
from tdgan_jax.families.loop_fields import RETIRED

if TYPE_CHECKING:
    import numpy as np

    from tdgan_jax.data.examples import Examples
    from tdgan_jax.families.stored import StoredFamily, StoredModel


def _training(config: Config, names: Names) -> Training:
    from tdgan_jax.families.classifier.training import classifier_training

    return classifier_training(config, names)


def _stored() -> "StoredFamily":
    from tdgan_jax.families.classifier.storage import CLASSIFIER_STORAGE

    return CLASSIFIER_STORAGE


def _model(stored: "StoredModel") -> Any:
    from tdgan_jax.families.classifier.model import ClassifierModel

    return ClassifierModel(stored)


def _features(
    config: Config, parameters: Any, parts: "Sequence[Examples]", names: Names
) -> "dict[str, np.ndarray]":
    from tdgan_jax.families.classifier.features import classifier_features

    return classifier_features(config, parameters, parts, names)


def _yardsticks(config: Config, parts: Parts, num_updates: int) -> dict[str, float]:
    from tdgan_jax.families.classifier.features import yardsticks

    return yardsticks(config, parts, num_updates=num_updates)


CLASSIFIER = Family(
    fields=classifier_config,
    limits=LIMITS,
    training=_training,
    transform=image_transform,
    feed=plain_image_feed,
    stored=_stored,
    model=_model,
    features=_features,
    yardsticks=_yardsticks,
    examples_read=other_examples_read,
    titles={"classifier": "Classifier"},
    loss_groups={"classifier": "Expression module"},
    # Runs of before were fed TDGAN's pairs, whose faces they ignored.
    retired=(
        *RETIRED,
        "data.faces",
        "data.pairing",
        "data.augmentation",
        "data.augment_faces",
        "learning_rate",
    ),
)
