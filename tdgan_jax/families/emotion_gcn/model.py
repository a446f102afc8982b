"""A trained Emotion-GCN or a baseline, ready to use."""

from functools import partial
from typing import Any

import jax
import numpy as np

from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.compiled import Definition, compiled
from tdgan_jax.families.emotion_gcn.networks import Definitions
from tdgan_jax.families.emotion_gcn.step import RECOGNISER, eval_step, features
from tdgan_jax.families.images import Images
from tdgan_jax.families.recogniser import Recogniser
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.steps.state import Answers

Fixed = tuple[Definitions, Normalisation]


@compiled
def _recognise(fixed: Fixed, parameters: Any, images: jax.Array) -> Answers:
    return eval_step(*fixed, parameters, images)[RECOGNISER]


@compiled
def _encode(fixed: Fixed, parameters: Any, images: jax.Array) -> jax.Array:
    return features(*fixed, parameters, images)[:, None, None]


class EmotionModel(Recogniser):
    """A trained Emotion-GCN or a baseline.

    Images are given as `tdgan_jax.families.images.as_model_images` says. What is returned is made
    of numpy arrays. Valence and arousal are not bounded.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        normalisation = stored.description.preprocessing.normalisation
        fixed = Definition((stored.definitions, normalisation))
        self._arguments = (fixed, jax.device_put(stored.parameters))
        super().__init__(
            stored.description, partial(map_batches, partial(_recognise, *self._arguments))
        )

    def expression_features(self, images: Images) -> np.ndarray:
        """The image feature, float32 `[N, 1, 1, F]`."""
        return map_batches(partial(_encode, *self._arguments), self.prepared(images))
