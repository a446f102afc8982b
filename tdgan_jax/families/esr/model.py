"""A trained ESR, ready to use."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tdgan_jax.families.compiled import compiled
from tdgan_jax.families.esr.branches import BranchOutput
from tdgan_jax.families.esr.networks import Definitions
from tdgan_jax.families.esr.step import ENSEMBLE, eval_step, look
from tdgan_jax.families.image_recogniser import ImageRecogniser
from tdgan_jax.families.images import Images
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.steps.state import Answers

Fixed = tuple[Definitions, Normalisation, str]


@compiled
def _classify(fixed: Fixed, parameters: Any, images: jax.Array) -> Answers:
    return eval_step(*fixed, parameters, images)[ENSEMBLE]


@compiled
def _judge(fixed: Fixed, parameters: Any, images: jax.Array) -> BranchOutput:
    networks, normalisation, _ = fixed
    output = look(networks, normalisation, parameters, images)
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), output)  # rows are the images'


class EsrModel(ImageRecogniser):
    """A trained ESR."""

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        super().__init__(stored, _classify, stored.description.architecture["prediction"])

    def expression_features(self, images: Images) -> np.ndarray:
        """The pooled features of one branch after the other, float32 `[N, 1, 1, R * F]`."""
        feature = self.judge(images).feature
        return np.asarray(feature).reshape(len(feature), 1, 1, -1)

    def judge(self, images: Images) -> BranchOutput:
        """What each branch makes of images; every array begins with `[N, R]`."""
        return self._computed(_judge, images)
