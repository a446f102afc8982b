"""A trained plain classifier, ready to use."""

from functools import partial
from typing import Any

import jax
import numpy as np

from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.classifier.networks import Definitions
from tdgan_jax.families.classifier.step import eval_step, features
from tdgan_jax.families.compiled import Definition, compiled
from tdgan_jax.families.images import Images
from tdgan_jax.families.recogniser import Recogniser
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


class ClassifierModel(Recogniser):
    """A trained plain classifier.

    Images are given as `tdgan_jax.families.images.as_model_images` says. What is returned is made
    of numpy arrays.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        normalisation = stored.description.preprocessing.normalisation
        fixed = Definition((stored.definitions, normalisation))
        self._arguments = (fixed, jax.device_put(stored.parameters))
        super().__init__(
            stored.description, partial(map_batches, partial(_classify, *self._arguments))
        )

    def expression_features(self, images: Images) -> np.ndarray:
        """What the head sees, float32 `[N, h, w, C]`; of a residual network `[N, 1, 1, F]`."""
        return map_batches(partial(_encode, *self._arguments), self.prepared(images))
