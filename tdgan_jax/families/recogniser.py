"""What the trained models of all families have in common: the description, and recognition."""

from typing import Any

import numpy as np

from tdgan_jax.exchange.description import ModelDescription
from tdgan_jax.families.images import Images


class Recogniser:
    """Tells expressions apart; a family's model says how its logits are computed.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, description: ModelDescription):
        """Takes what is known of the model."""
        self.description = description

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the expressions, in the order of the probabilities."""
        return self.description.expression_names

    @property
    def image_size_px(self) -> int:
        """Height and width of the model's images, S."""
        return self.description.preprocessing.image_size_px

    @property
    def image_channels(self) -> int:
        """Channels of the model's images: 1 (gray) or 3."""
        return self.description.preprocessing.image_channels

    @property
    def face_crop(self) -> dict[str, Any] | None:
        """How faces are cut out of photographs for the model; None: as their owner gives them."""
        return self.description.preprocessing.crop

    def expression_logits(self, images: Images) -> np.ndarray:
        """Logits of the expressions, float32 `[N, C]`."""
        raise NotImplementedError

    def predict(self, images: Images) -> tuple[list[str], np.ndarray]:
        """Recognises expressions.

        Args:
            images: N images.

        Returns:
            The most probable expression of each, and probabilities float32 `[N, C]` in the order
            of `expression_names`.
        """
        logits = self.expression_logits(images)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return [self.expression_names[i] for i in probabilities.argmax(axis=1)], probabilities
