"""What the models have in common whose networks see normalised single images."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import jax

from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.compiled import Definition
from tdgan_jax.families.images import Images
from tdgan_jax.families.recogniser import Recogniser
from tdgan_jax.families.stored import StoredModel


class ImageRecogniser(Recogniser):
    """A trained model of which everything is computed from `(definitions, normalisation)`.

    Images are given as `tdgan_jax.families.images.as_model_images` says. What is returned is made
    of numpy arrays.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, stored: StoredModel, answer: Callable[..., Any], *more: Hashable):
        """Puts a model's parameters on the default device.

        Args:
            stored: The model.
            answer: A `compiled` function `(fixed, parameters, images) -> Answers`.
            *more: What `fixed` holds besides the definitions and the normalisation.
        """
        normalisation = stored.description.preprocessing.normalisation
        fixed = Definition((stored.definitions, normalisation, *more))
        self._arguments = (fixed, jax.device_put(stored.parameters))
        super().__init__(
            stored.description, partial(map_batches, partial(answer, *self._arguments))
        )

    def _computed(self, function: Callable[..., Any], images: Images) -> Any:
        """What another `compiled` function of the same arguments makes of N images."""
        return map_batches(partial(function, *self._arguments), self.prepared(images))
