"""A trained Emotion-GCN or a baseline, ready to use."""

from typing import Any

import jax
import numpy as np

from tdgan_jax.families.compiled import compiled
from tdgan_jax.families.emotion_gcn.networks import Definitions
from tdgan_jax.families.emotion_gcn.step import RECOGNISER, eval_step, features
from tdgan_jax.families.image_recogniser import ImageRecogniser
from tdgan_jax.families.images import Images
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


class EmotionModel(ImageRecogniser):
    """A trained Emotion-GCN or a baseline; valence and arousal are not bounded."""

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        super().__init__(stored, _recognise)

    def expression_features(self, images: Images) -> np.ndarray:
        """The image feature, float32 `[N, 1, 1, F]`."""
        return self._computed(_encode, images)
