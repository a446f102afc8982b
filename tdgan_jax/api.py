"""The Python interface: `tdgan_jax.load(path)` opens a trained model, whatever form it has.

model = tdgan_jax.load("runs/tdgan_synthetic/seed_0")
labels, probabilities = model.predict(["a.jpg", "b.jpg"])
images = model.transfer("face.jpg", "expression.jpg")
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tdgan_jax.errors import UserError

if TYPE_CHECKING:
    import jax
    import numpy as np

    from tdgan_jax.families.images import Images


class Model(Protocol):
    """A trained model of any family.

    Images are paths, Pillow images, float arrays `[N, H, W, C]` in [0, 1] or uint8 arrays, one or
    several; they are converted and resized as the model's own recorded preprocessing says. What a
    caller does wrong is a `UserError`, also a function that the model's family does not have.
    """

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
        """Channels of the model's images: 1 (gray) or 3."""
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

    def expression_features(self, images: "Images") -> "np.ndarray":
        """Features of the expression branch, float32 `[N, h, w, channels]`."""
        ...

    def face_features(self, images: "Images") -> "np.ndarray":
        """Features of the face branch, float32 `[N, h, w, channels]`."""
        ...


def load(path: str | Path) -> Model:
    """Opens a trained model.

    Everything that it needs is stored with it: architecture, names of the classes, preprocessing.

    Args:
        path: A run folder, an export (torch or safetensors), an imported folder, or
            `"pretrained"`.

    Returns:
        The model, on JAX's default device. Its functions compile at their first call, for a few
        sizes of batch each, and never again however many images they are given.

    Raises:
        UserError: If there is no model, or it is damaged.
    """
    from tdgan_jax.exchange.opening import open_model

    stored = open_model(path)
    if stored.description.family == "tdgan":
        from tdgan_jax.families.tdgan.model import TdganModel

        return TdganModel(stored)
    if stored.description.family == "ifgan":
        from tdgan_jax.families.ifgan.model import IfganModel

        return IfganModel(stored)
    raise UserError(f"models of the family {stored.description.family!r} cannot be used this way")
