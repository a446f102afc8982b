"""A simple classifier that a training must beat, on the same training and test images."""

import numpy as np
from PIL import Image
from sklearn.linear_model import RidgeClassifier

from tdgan_jax.data.examples import Examples

RIDGE_SIZE_PX = 24
RIDGE_PENALTY = 10.0


def ridge_accuracy(train: Examples, test: Examples) -> float:
    """Test accuracy of ridge regression to one-hot labels on 24x24 gray pixels in [0, 1]."""

    def pixels(examples: Examples) -> np.ndarray:
        size = (RIDGE_SIZE_PX, RIDGE_SIZE_PX)
        rows = [
            np.asarray(Image.fromarray(image.mean(axis=-1).astype(np.uint8)).resize(size))
            for image in examples.images
        ]
        return np.stack(rows).reshape(len(rows), -1) / 255.0

    classifier = RidgeClassifier(alpha=RIDGE_PENALTY).fit(pixels(train), train.expressions)
    return float(classifier.score(pixels(test), test.expressions))
