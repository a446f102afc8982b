"""What opening, exporting and importing have to know of a system; each family gives one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tdgan_jax.errors import UserError
from tdgan_jax.exchange.description import ModelDescription
from tdgan_jax.torch_weights.mapping import StateDict

Parameters = dict[str, Any]


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


def stored_family(name: str) -> StoredFamily:
    """The functions of a family.

    Raises:
        UserError: If it is unknown.
    """
    if name == "tdgan":
        from tdgan_jax.families.tdgan.storage import TDGAN_STORAGE

        return TDGAN_STORAGE
    if name == "ifgan":
        from tdgan_jax.families.ifgan.storage import IFGAN_STORAGE

        return IFGAN_STORAGE
    raise UserError(f"the model is of the family {name!r}; this version knows tdgan and ifgan")
