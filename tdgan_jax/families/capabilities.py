"""What a trained model of any family can do for those who use it."""

from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import jax
    import numpy as np

    from tdgan_jax.families.images import Images
    from tdgan_jax.steps.state import Answers


class Model(Protocol):
    """A trained model of any family: it recognises expressions.

    Images are paths, Pillow images, float arrays `[N, H, W, C]` in [0, 1] or uint8 arrays, one or
    several; they are converted and resized as the model's own recorded preprocessing says. What a
    caller does wrong is a `UserError`. What only some models can do is asked for:
    `isinstance(model, tdgan_jax.api.Generates)`.
    """

    def without(self, *names: str) -> Self:
        """The same model without some of its answers (`families.recogniser`)."""
        ...

    def balanced(self, balance: float) -> Self:
        """The same model, answering rare expressions more often (`families.recogniser`)."""
        ...

    @property
    def expression_names(self) -> "tuple[str, ...]":
        """Names of the expressions, in the order of the probabilities."""
        ...

    @property
    def image_size_px(self) -> int:
        """Height and width of the model's images, S."""
        ...

    @property
    def image_channels(self) -> int:
        """Number of channels of the model's images, 1 (gray) or 3."""
        ...

    @property
    def face_crop(self) -> "dict[str, Any] | None":
        """How faces were cut out of photographs for the training, `faces.alignment.CropSettings`.

        None where the training images are as their owner gives them.
        """
        ...

    def predict(self, images: "Images") -> "tuple[list[str], np.ndarray]":
        """Recognises the expression of N images: labels, probabilities float32 `[N, C]`."""
        ...

    def recognise(self, images: "Images") -> "Answers":
        """Scores and probabilities of N images; valence and arousal where they are known."""
        ...

    def expression_features(self, images: "Images") -> "np.ndarray":
        """What the expression is read from, float32 `[N, h, w, channels]`."""
        ...


@runtime_checkable
class Generates(Protocol):
    """A model that puts the expression of one image on the face of another."""

    def transfer(
        self,
        faces: "Images",
        expressions: "Images",
        *,
        noise: "np.ndarray | None" = None,
        key: "jax.Array | None" = None,
    ) -> "np.ndarray":
        """Puts N expressions on N faces: images float32 `[N, S, S, C]` in [0, 1]."""
        ...

    def interpolate(
        self,
        faces: "Images",
        expressions: "Images",
        *,
        num_frames: int,
        noise: "np.ndarray | None" = None,
        key: "jax.Array | None" = None,
    ) -> "np.ndarray":
        """Moves between two faces or two expressions: float32 `[num_frames, S, S, C]`."""
        ...


@runtime_checkable
class Attends(Protocol):
    """A model whose generator attends to parts of an image when it draws."""

    def prepared(self, images: "Images") -> "np.ndarray":
        """Images as the networks see them, float32 `[N, S, S, C]` in [0, 1]."""
        ...

    def average_faces(self, images: "Images") -> "np.ndarray":
        """The expressions of images on another face, float32 `[N, S, S, C]` in [0, 1]."""
        ...

    def attention_maps(self, image: "Images", points: "np.ndarray") -> "np.ndarray":
        """What points `[Q, 2]` of one image attend to, float32 `[Q, h, w]`."""
        ...
