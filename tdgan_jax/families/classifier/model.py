"""A trained plain classifier, ready to use."""

from typing import Any

import jax
import numpy as np

from tdgan_jax.families.classifier.networks import Definitions
from tdgan_jax.families.classifier.step import eval_step, features
from tdgan_jax.families.compiled import compiled
from tdgan_jax.families.image_recogniser import ImageRecogniser
from tdgan_jax.families.images import Images
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.steps.state import Answers

Fixed = tuple[Definitions, Normalisation]


@compiled
def _classify(fixed: Fixed, parameters: Any, images: jax.Array) -> Answers:
    return eval_step(*fixed, parameters, images)["classifier"]


@compiled
def _encode(fixed: Fixed, parameters: Any, images: jax.Array) -> jax.Array:
    found = features(*fixed, parameters, images)
    return found if found.ndim == 4 else found[:, None, None]


class ClassifierModel(ImageRecogniser):
    """A trained plain classifier."""

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        super().__init__(stored, _classify)

    def expression_features(self, images: Images) -> np.ndarray:
        """What the head sees, float32 `[N, h, w, C]`; of a residual network `[N, 1, 1, F]`."""
        return self._computed(_encode, images)
