"""A trained MA-Net, ready to use."""

from functools import partial
from typing import Any

import jax
import numpy as np

from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.compiled import Definition, compiled
from tdgan_jax.families.images import Images
from tdgan_jax.families.ma_net.networks import Definitions, MaNetOutput
from tdgan_jax.families.ma_net.step import eval_step, look
from tdgan_jax.families.recogniser import Recogniser
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.steps.state import Answers

Fixed = tuple[Definitions, Normalisation]


@compiled
def _classify(fixed: Fixed, parameters: Any, images: jax.Array) -> Answers:
    return eval_step(*fixed, parameters, images)["classifier"]


@compiled
def _features(fixed: Fixed, parameters: Any, images: jax.Array) -> jax.Array:
    pooled = look(*fixed, parameters, images).pooled_features  # [2, N, F]
    return pooled.transpose(1, 0, 2).reshape(len(images), 1, 1, -1)


@compiled
def _judge(fixed: Fixed, parameters: Any, images: jax.Array) -> MaNetOutput:
    output = look(*fixed, parameters, images)
    # Rows are the images'.
    return output._replace(
        local_features=output.local_features.swapaxes(0, 1),
        pooled_features=output.pooled_features.swapaxes(0, 1),
    )


class MaNetModel(Recogniser):
    """A trained MA-Net.

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
        """The pooled features of the local, then of the global branch, float32 `[N, 1, 1, 2 F]`."""
        return map_batches(partial(_features, *self._arguments), self.prepared(images))

    def judge(self, images: Images) -> MaNetOutput:
        """All that the network makes of images, the rows of each array those of the images.

        So `local_features` are `[N, 4, h, w, F]` and `pooled_features` `[N, 2, F]`.
        """
        return map_batches(partial(_judge, *self._arguments), self.prepared(images))
