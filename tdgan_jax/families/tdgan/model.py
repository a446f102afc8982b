"""A trained TDGAN, ready to use: recognition, transfer, interpolation, features."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.errors import UsageError
from tdgan_jax.families.batches import map_batches
from tdgan_jax.families.compiled import Definition, compiled
from tdgan_jax.families.images import Images
from tdgan_jax.families.recogniser import Recogniser
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.families.tdgan.networks import Definitions
from tdgan_jax.networks.inception import ENCODER_STRIDE
from tdgan_jax.steps.state import Answers

RECOGNISER = ("expression_encoder", "expression_head")
Network = Any  # nnx.GraphDef
Tree = Any  # the parameters of a network


@compiled
def _encode(encoder: Network, parameters: Tree, images: jax.Array) -> jax.Array:
    return nnx.merge(encoder, parameters)(images)


@compiled
def _classify(
    encoder_and_head: tuple[Network, Network], parameters: tuple[Tree, Tree], images: Any
) -> Answers:
    encoder, head = map(nnx.merge, encoder_and_head, parameters)
    return Answers(head(encoder(images)))


@compiled
def _judge(discriminator: Network, parameters: Tree, images: jax.Array) -> jax.Array:
    return nnx.merge(discriminator, parameters)(images).logits


@compiled
def _decode(
    decoder: Network,
    parameters: Tree,
    expression_features: jax.Array,
    face_features: jax.Array,
    noise: jax.Array | None,
    face_images: jax.Array | None,
) -> jax.Array:
    return nnx.merge(decoder, parameters)(expression_features, face_features, noise, face_images)


@partial(jax.jit, static_argnums=0)
def _draw_noise(shape: tuple[int, int, int], key: jax.Array, positions: jax.Array) -> jax.Array:
    # A key for each position: a picture's noise does not depend on the batch that it stands in.
    keys = jax.vmap(partial(jax.random.fold_in, key))(positions)
    return jax.vmap(lambda one: jax.random.uniform(one, shape, jnp.float32))(keys)


class TdganModel(Recogniser):
    """A trained TDGAN.

    Images are given as `tdgan_jax.families.images.as_model_images` says: paths, Pillow
    images, or float arrays `[N, H, W, C]` in [0, 1], one or several. Errors in them are a
    `UserError`. What is returned is made of numpy arrays.

    Attributes:
        description: Architecture, names of the classes, preprocessing.
    """

    def __init__(self, stored: StoredModel):
        """Puts a model's parameters on the default device."""
        definitions: Definitions = stored.definitions
        self._networks = {
            name: Definition(network) for name, network in definitions._asdict().items()
        }
        self._parameters = jax.device_put(stored.parameters)
        recogniser = Definition((definitions.expression_encoder, definitions.expression_head))
        parameters = tuple(self._parameters[name] for name in RECOGNISER)
        classify = partial(_classify, recogniser, parameters)
        super().__init__(stored.description, partial(map_batches, classify))

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one draw of noise; without channels there is none."""
        feature_size = self.image_size_px // ENCODER_STRIDE
        return feature_size, feature_size, self.description.architecture["noise_channels"]

    def expression_features(self, images: Images) -> np.ndarray:
        """Features d_e of the expression encoder, float32 `[N, S/16, S/16, 128]` at full width."""
        return map_batches(self._network("expression_encoder", _encode), self.prepared(images))

    def face_features(self, images: Images) -> np.ndarray:
        """Features d_f of the face encoder, float32 `[N, S/16, S/16, 128]` at full width."""
        return map_batches(self._network("face_encoder", _encode), self.prepared(images))

    def face_discriminator_logits(self, images: Images) -> np.ndarray:
        """Logits of the face discriminator, float32 `[N, identities + 1]`, the last one "fake"."""
        return map_batches(self._network("face_discriminator", _judge), self.prepared(images))

    def expression_discriminator_logits(self, images: Images) -> np.ndarray:
        """Logits of the expression discriminator, float32 `[N, C]`."""
        judge = self._network("expression_discriminator", _judge)
        return map_batches(judge, self.prepared(images))

    def transfer(
        self,
        faces: Images,
        expressions: Images,
        *,
        noise: np.ndarray | None = None,
        key: jax.Array | None = None,
    ) -> np.ndarray:
        """Puts expressions on faces, the first on the first and so on.

        Args:
            faces: N images.
            expressions: N images.
            noise: `[N, S/16, S/16, N_z]`, uniform in [0, 1); drawn if None.
            key: Random key of the noise; `jax.random.key(0)` if None.

        Returns:
            float32 `[N, S, S, C]` in [0, 1].

        Raises:
            UsageError: If the numbers of images differ or the noise has another shape.
        """
        faces = self.prepared(faces)
        face_features = self.face_features(faces)
        expression_features = self.expression_features(expressions)
        if len(face_features) != len(expression_features):
            raise UsageError(
                f"{len(face_features)} faces and {len(expression_features)} expressions; give as "
                "many of the one as of the other"
            )
        drawn = self._noise(len(face_features), noise, key)
        return map_batches(
            self._network("decoder", _decode),
            expression_features,
            face_features,
            drawn,
            self._seen(faces),
        )

    def interpolate(
        self,
        faces: Images,
        expressions: Images,
        *,
        num_frames: int,
        noise: np.ndarray | None = None,
        key: jax.Array | None = None,
    ) -> np.ndarray:
        """Moves from one expression to another on one face, or from one face to another.

        Features are mixed linearly, and the faces where the decoder sees them; the noise is the
        same in all frames: nothing else moves.

        Args:
            faces: One image or two.
            expressions: Two images if there is one face, one if there are two.
            num_frames: At least 2; the first and the last frame are those of the given images.
            noise: `[1, S/16, S/16, N_z]`, uniform in [0, 1); drawn if None.
            key: Random key of the noise; `jax.random.key(0)` if None.

        Returns:
            float32 `[num_frames, S, S, C]` in [0, 1].

        Raises:
            UsageError: If the numbers are others or the noise has another shape.
        """
        if num_frames < 2:
            raise UsageError(f"an animation has at least 2 frames, not {num_frames}")
        faces = self.prepared(faces)
        features = [self.expression_features(expressions), self.face_features(faces)]
        if sorted(map(len, features)) != [1, 2]:
            raise UsageError(
                f"{len(features[1])} faces and {len(features[0])} expressions; give two of the one "
                "and one of the other"
            )
        drawn = self._noise(1, noise, key)
        position = np.linspace(0, 1, num_frames, dtype=np.float32)[:, None, None, None]
        *mixed, mixed_faces = (
            (1 - position) * ends[0] + position * ends[-1] for ends in (*features, faces)
        )
        repeated = None if drawn is None else np.repeat(drawn, num_frames, axis=0)
        return map_batches(
            self._network("decoder", _decode), *mixed, repeated, self._seen(mixed_faces)
        )

    def _seen(self, faces: np.ndarray) -> np.ndarray | None:
        """The faces for a decoder that sees them."""
        return faces if self.description.architecture.get("decoder_sees_face") else None

    def _network(self, name: str, function: Any) -> Any:
        """One of the compiled functions above with a network's definition and parameters."""
        return partial(function, self._networks[name], self._parameters[name])

    def _noise(
        self, count: int, noise: np.ndarray | None, key: jax.Array | None
    ) -> np.ndarray | None:
        """The given noise, checked, or a draw of it; None for networks without noise."""
        shape = self.noise_shape
        if noise is not None:
            given = np.asarray(noise, np.float32)
            if given.shape != (count, *shape):
                raise UsageError(f"noise of shape {given.shape}; this needs {(count, *shape)}")
        if not shape[-1]:
            return None
        if noise is not None:
            return given
        drawing = partial(_draw_noise, shape, jax.random.key(0) if key is None else key)
        return map_batches(drawing, np.arange(count, dtype=np.int32))
