"""The Python interface: `tdgan_jax.load(path)` opens a trained model, whatever form it has.

An example::

    model = tdgan_jax.load("runs/tdgan_synthetic/seed_0")
    table = model.analyse(["party.jpg", "street.jpg"]).to_pandas()  # whole photographs
    labels, probabilities = model.predict(["face_a.png", "face_b.png"])  # cropped faces
    images = model.transfer("face.jpg", "expression.jpg")
"""

from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, Protocol

from tdgan_jax.families.capabilities import Attends, Generates, Model

if TYPE_CHECKING:
    from tdgan_jax.inference.analysis import Photos
    from tdgan_jax.inference.records import Records

__all__ = ["Analyses", "Attends", "Generates", "Model", "load"]


class Analyses(Model, Protocol):
    """What `load` gives: a model that also takes whole photographs.

    Attributes:
        digest: SHA-256 of the model as it was loaded; `balanced` and `without` keep it.
    """

    digest: str

    def analyse(
        self,
        photos: "Photos",
        *,
        detect: str = "mtcnn",
        color: str = "rgb",
        smallest_face: float | None = None,
    ) -> "Records":
        """Finds the faces of photographs and recognises them: one record a face.

        See `tdgan_jax.inference.analysis.analyse`.
        """
        ...


def load(path: str | Path) -> Analyses:
    """Opens a trained model.

    Everything that it needs is stored with it: architecture, names of the classes, preprocessing.

    Args:
        path: A run folder, an export (torch or safetensors), an imported folder, or
            a model that comes with the package: `"pretrained"` or `"pretrained_tdgan"`.

    Returns:
        The model, on JAX's default device. Its functions compile at their first call, for a few
        sizes of batch each, and never again however many images they are given.

    Raises:
        UserError: If there is no model, or it is damaged.
    """
    from tdgan_jax.exchange.opening import open_model
    from tdgan_jax.families.known import family_named
    from tdgan_jax.families.stored import digest_of
    from tdgan_jax.inference.analysis import analyse

    stored = open_model(path)
    model: Any = family_named(stored.description.family).model(stored)
    # Bound here: the families know nothing of photographs and of how faces are found in them.
    model.analyse = MethodType(analyse, model)
    model.digest = digest_of(stored)
    return model
