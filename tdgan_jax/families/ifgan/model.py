"""A trained IF-GAN, ready to use: recognition, average faces, attention."""

from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx

from tdgan_jax.errors import UsageError
from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.compiled import Definition, compiled
from tdgan_jax.families.ifgan.networks import Definitions
from tdgan_jax.families.ifgan.objective import to_symmetric_range, to_unit_range
from tdgan_jax.families.ifgan.step import draw_average_faces, eval_step
from tdgan_jax.families.images import Images
from tdgan_jax.families.recogniser import Recogniser
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.steps.state import Answers

Parameters = Any


@compiled
def _classify(networks: Definitions, parameters: Parameters, images: jax.Array) -> Answers:
    return eval_step(networks, parameters, images)["classifier"]


@compiled
def _draw(networks: Definitions, parameters: Parameters, images: jax.Array) -> jax.Array:
    return to_unit_range(draw_average_faces(networks, parameters, to_symmetric_range(images)))


@compiled
def _pooled(networks: Definitions, parameters: Parameters, images: jax.Array) -> jax.Array:
    images = to_symmetric_range(images)
    drawn = None
    if networks.generator is not None:
        drawn = draw_average_faces(networks, parameters, images)
    features = nnx.merge(networks.classifier, parameters["classifier"])(images, drawn).feature
    return features[:, None, None]


@compiled
def _judge(
    networks: Definitions, parameters: Parameters, images: jax.Array, candidates: jax.Array
) -> jax.Array:
    assert networks.discriminator is not None
    discriminator = nnx.merge(networks.discriminator, parameters["discriminator"])
    return discriminator(to_symmetric_range(images), to_symmetric_range(candidates))


@compiled
def _attend(
    networks: Definitions, parameters: Parameters, image: jax.Array, positions: jax.Array
) -> jax.Array:
    assert networks.generator is not None
    generator = nnx.merge(networks.generator, parameters["generator"])
    return generator.attention_maps(to_symmetric_range(image), positions)


class IfganModel(Recogniser):
    """A trained IF-GAN or its baseline.

    Images are given as `tdgan_jax.families.images.as_model_images` says. What is returned is
    made of numpy arrays.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        self._networks: Definitions = stored.definitions
        self._definition = Definition(stored.definitions)
        self._parameters = jax.device_put(stored.parameters)
        super().__init__(stored.description, partial(map_batches, self._function(_classify)))

    def average_faces(self, images: Images) -> np.ndarray:
        """The expressions of images on the face of an average person.

        Returns:
            float32 `[N, S, S, C]` in [0, 1].

        Raises:
            UsageError: If the model is the baseline, which draws nothing.
        """
        self._check_generator()
        return map_batches(self._function(_draw), self.prepared(images))

    def expression_features(self, images: Images) -> np.ndarray:
        """Pooled features of the classifier, float32 `[N, 1, 1, F]`."""
        return map_batches(self._function(_pooled), self.prepared(images))

    def discriminator_logits(self, images: Images, candidates: Images) -> np.ndarray:
        """Logits of the discriminator on pairs, float32 `[N, P, P, 1]`, one a patch."""
        self._check_generator()
        pairs = (self.prepared(images), self.prepared(candidates))
        return map_batches(self._function(_judge), *pairs)

    def attention_maps(self, image: Images, points: np.ndarray) -> np.ndarray:
        """What points attend to in the generator's last attention module (spec IF-GAN 12).

        Args:
            image: One image.
            points: float `[Q, 2]`, x and y of each point as fractions of the model's image, in
                [0, 1] from its upper left corner.

        Returns:
            float32 `[Q, h, w]`; each map sums to 1.

        Raises:
            UsageError: If the model has no such attention, or a point lies outside.
        """
        self._check_generator()
        level = self.description.architecture["decoder_attention_level"]
        if not level:
            raise UsageError("this model has no attention in its decoding path")
        points = np.asarray(points, np.float64)
        if not ((points >= 0) & (points <= 1)).all():
            raise UsageError("points are fractions from 0 to 1 of the face's width and height")
        size = self.image_size_px // 2**level
        cells = np.minimum((points[:, ::-1] * size).astype(np.int32), size - 1)
        (prepared,) = self.prepared(image)
        return np.asarray(_attend(self._definition, self._parameters, prepared[None], cells))[0]

    def _check_generator(self) -> None:
        if self._networks.generator is None:
            raise UsageError("this model is IF-GAN's baseline: it has a classifier and draws none")

    def _function(self, function: Any) -> Any:
        return partial(function, self._definition, self._parameters)
