"""A trained ESR, ready to use."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.compiled import Definition, compiled
from tdgan_jax.families.esr.branches import BranchOutput
from tdgan_jax.families.esr.networks import Definitions
from tdgan_jax.families.esr.step import ENSEMBLE, eval_step, look
from tdgan_jax.families.images import Images
from tdgan_jax.families.recogniser import Recogniser
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


class EsrModel(Recogniser):
    """A trained ESR.

    Images are given as `tdgan_jax.families.images.as_model_images` says. What is returned is made
    of numpy arrays.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        description = stored.description
        normalisation = description.preprocessing.normalisation
        prediction = description.architecture["prediction"]
        fixed = Definition((stored.definitions, normalisation, prediction))
        self._arguments = (fixed, jax.device_put(stored.parameters))
        super().__init__(description, partial(map_batches, partial(_classify, *self._arguments)))

    def expression_features(self, images: Images) -> np.ndarray:
        """The pooled features of one branch after the other, float32 `[N, 1, 1, R * F]`."""
        feature = self.judge(images).feature
        return np.asarray(feature).reshape(len(feature), 1, 1, -1)

    def judge(self, images: Images) -> BranchOutput:
        """What each branch makes of images; every array begins with `[N, R]`."""
        return map_batches(partial(_judge, *self._arguments), self.prepared(images))
