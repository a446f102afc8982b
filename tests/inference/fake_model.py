"""A model without networks: what it answers can be computed by hand."""

from typing import NamedTuple

import numpy as np
from PIL import Image


class Answers(NamedTuple):
    """As that of `tdgan_jax.steps.state`, without its imports."""

    scores: np.ndarray
    probabilities: np.ndarray
    affect: np.ndarray | None


class FakeModel:
    """Tells pictures by their brightness; mixes faces and expressions by averaging them.

    Attributes:
        batches: Number of images of every call of `recognise`.
        affect: None, or what gives valence and arousal `[N, 2]` of brightnesses `[N]`.
        keys: The keys that `transfer` and `interpolate` were given.
    """

    expression_names = ("dark", "middle", "bright")
    image_size_px = 16
    image_channels = 1
    digest = "fake"
    face_crop = None
    affect = None

    def __init__(self):
        self.batches = []
        self.keys = []

    def recognise(self, images):
        self.batches.append(len(images))
        levels = np.array([np.asarray(image.convert("L")).mean() / 255 for image in images])
        distances = -np.abs(levels[:, None] - np.array([0.0, 0.5, 1.0])) * 8
        odds = np.exp(distances)
        probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
        return Answers(distances, probabilities, self.affect and self.affect(levels))

    def transfer(self, faces, expressions, *, noise=None, key=None):
        self.keys.append(key)
        return (self._arrays(faces) + self._arrays(expressions)) / 2

    def interpolate(self, faces, expressions, *, num_frames, noise=None, key=None):
        self.keys.append(key)
        part = np.linspace(0, 1, num_frames, dtype=np.float32)[:, None, None, None]

        def mixed(images):
            arrays = self._arrays(images)
            return arrays[0] * (1 - part) + arrays[-1] * part

        return (mixed(faces) + mixed(expressions)) / 2

    def _arrays(self, images):
        size = (self.image_size_px, self.image_size_px)
        resized = [np.asarray(image.convert("L").resize(size), np.float32) for image in images]
        return np.stack(resized)[..., None] / 255


def gray(level, size=(20, 20)):
    """A picture of one level of gray."""
    return Image.new("L", size, level)
