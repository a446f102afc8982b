"""A trained MA-Net, ready to use."""

from typing import Any

import jax
import numpy as np

from tdgan_jax.families.compiled import compiled
from tdgan_jax.families.image_recogniser import ImageRecogniser
from tdgan_jax.families.images import Images
from tdgan_jax.families.ma_net.networks import Definitions, MaNetOutput
from tdgan_jax.families.ma_net.step import eval_step, look
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


class MaNetModel(ImageRecogniser):
    """A trained MA-Net."""

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        super().__init__(stored, _classify)

    def expression_features(self, images: Images) -> np.ndarray:
        """The pooled features of the local, then of the global branch, float32 `[N, 1, 1, 2 F]`."""
        return self._computed(_features, images)

    def judge(self, images: Images) -> MaNetOutput:
        """All that the network makes of images, the rows of each array those of the images.

        So `local_features` are `[N, 4, h, w, F]` and `pooled_features` `[N, 2, F]`.
        """
        return self._computed(_judge, images)
