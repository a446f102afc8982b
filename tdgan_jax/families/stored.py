"""What opening, exporting and importing have to know of a system; each family gives one."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tdgan_jax.files import plain
from tdgan_jax.networks.normalisation import Normalisation
from tdgan_jax.torch_weights.mapping import StateDict

Parameters = dict[str, Any]


class Preprocessing(NamedTuple):
    """How pictures are prepared for a model (spec TDGAN 6.2).

    Attributes:
        image_size_px: Height and width of the model's images.
        image_channels: 1: gray, 3: colour. Values are in [0, 1].
        test_transform: `"resize"`: the whole picture; `"centre_crop"`: its middle, scaled as in
            training; `"square_centre_crop"`: that of IF-GAN, whose scale makes squares.
        crop: How faces are cut out of photographs, `faces.alignment.CropSettings` as JSON; None:
            the model was trained on images as their owner gives them.
        normalisation: What images in [0, 1], red first, become before the network.
    """

    image_size_px: int
    image_channels: int
    test_transform: str
    crop: dict[str, Any] | None = None
    normalisation: Normalisation = Normalisation()


class ModelDescription(NamedTuple):
    """What inference needs besides definitions and parameters.

    Attributes:
        family: Name of the system.
        architecture: Arguments of the family's networks, the fields of `config.model`.
        expression_names: Names of the classes in the order of the logits.
        num_identities: People that the face branch was trained with; 0 without one.
        identity_names: Their names in the order of the face discriminator's logits; None where
            they are not known.
        preprocessing: How pictures are prepared.
        temperature: What scores are divided by before the softmax, so that probabilities are
            calibrated; 1 where nothing was fitted.
        class_frequencies: How often the model answers each class on images like those that it
            learned from, its mean probabilities; None where that was not measured.
        balance: To which power of its frequency a class's probability is divided by: 0: not at
            all; 1: as if all classes were equally frequent.
    """

    family: str
    architecture: dict[str, Any]
    expression_names: tuple[str, ...]
    num_identities: int
    identity_names: tuple[str, ...] | None
    preprocessing: Preprocessing
    temperature: float = 1.0
    class_frequencies: tuple[float, ...] | None = None
    balance: float = 0.0


def describe_as_json(description: ModelDescription) -> dict[str, Any]:
    """A description as `model.json` holds it."""
    preprocessing = description.preprocessing._asdict()
    preprocessing |= preprocessing.pop("normalisation")._asdict()
    return description._asdict() | {"preprocessing": preprocessing}


class NetworkShapes(NamedTuple):
    """The networks of an architecture, without values.

    Attributes:
        definitions: What is merged with parameters to be called; hashable.
        parameters: Network name to tree of shapes: all that a checkpoint's parameters hold.
    """

    definitions: Any
    parameters: Parameters


class StoredModel(NamedTuple):
    """A model, read but not yet on a device.

    Attributes:
        description: What it is.
        definitions: Its networks without values.
        parameters: Network name to tree of float32 numpy arrays.
    """

    description: ModelDescription
    definitions: Any
    parameters: Parameters


def digest_of(model: StoredModel) -> str:
    """SHA-256 of a description and parameters: models that answer differently have others."""
    total = hashlib.sha256(json.dumps(describe_as_json(model.description), default=plain).encode())
    for path, array in jax.tree.leaves_with_path(model.parameters):
        total.update(f"{jax.tree_util.keystr(path)}{array.shape}".encode())
        total.update(np.asarray(array).tobytes())
    return total.hexdigest()


class FoundArchitecture(NamedTuple):
    """What state dicts tell about the networks that they belong to.

    Attributes:
        architecture: As in `ModelDescription`.
        num_expressions: Number of classes.
        num_identities: People that the face branch was trained with.
        untold: Fields of `architecture` that the weights do not tell; a usual value stands there.
        rounded: Fields of which other values near the one here give the same weights.
    """

    architecture: dict[str, Any]
    num_expressions: int
    num_identities: int
    untold: tuple[str, ...]
    rounded: tuple[str, ...]


class Difference(NamedTuple):
    """How far a reloaded model is from the one that was exported.

    Attributes:
        largest: Largest absolute difference of an output.
        scale: Largest absolute value of the output.
    """

    largest: float
    scale: float


class StoredFamily(NamedTuple):
    """The functions of one system for its stored forms.

    Attributes:
        stems: Network name to the stem of its own file of weights.
        prefixes: Network name to its module prefix in a file for all networks.
        released_names: Expressions of the published weights, in their order.
        shapes: Networks of a description.
        find_architecture: What the weights tell.
        from_torch: `(state_dicts, shapes) -> parameters`; fails if they do not fit exactly.
        to_torch: The inverse: `parameters -> state_dicts`.
        compare_with_twin: `(model, folder) -> differences`: reloads an export in PyTorch's format
            into the torch twin; the largest difference of each output, and its scale.
        write_onnx: `(model, folder)`: writes the model's ONNX files.
        compare_with_onnx: `(model, folder) -> differences`: the same with onnxruntime.
        optional: Networks that a model of the family may lack.
        test_transform: How its paper or released program tests, see `Preprocessing`.
        normalisation: What becomes of images there.
        suffix: Of the files in PyTorch's format.
        readers: Network name to what reads its own file of an import, where that is no state dict.
    """

    stems: Mapping[str, str]
    prefixes: Mapping[str, str]
    released_names: tuple[str, ...]
    shapes: Callable[[ModelDescription], NetworkShapes]
    find_architecture: Callable[[Mapping[str, StateDict]], FoundArchitecture]
    from_torch: Callable[[Mapping[str, StateDict], Parameters], Parameters]
    to_torch: Callable[[Parameters], dict[str, dict[str, Any]]]
    compare_with_twin: Callable[[StoredModel, Path], dict[str, Difference]]
    write_onnx: Callable[[StoredModel, Path], None]
    compare_with_onnx: Callable[[StoredModel, Path], dict[str, Difference]]
    optional: tuple[str, ...] = ()
    test_transform: str = "resize"
    normalisation: Normalisation = Normalisation()
    suffix: str = ".pkl"
    readers: Mapping[str, Callable[[Path], StateDict]] = {}


def differences(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> dict[str, Difference]:
    """The largest difference of each output that both sides have."""
    return {
        name: Difference(float(np.abs(ours[name] - value).max()), float(np.abs(ours[name]).max()))
        for name, value in theirs.items()
    }
