"""Files of state dicts: PyTorch's (`.pkl`, `.pth`, `.pt`) and safetensors.

A folder holds either one file a network, named by its stem, or one file for all networks, whose
keys begin with the network's module prefix. Reading is safe whatever a file holds: tensors only,
nothing in a pickle is run.

Checkpoints of training programs are read too: the state dict that one holds under one of
`WRAPPERS` is taken, whatever stands beside it, and the `module.` before the keys of a network that
was trained on several devices is left out.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ml_dtypes  # noqa: F401  makes numpy know bfloat16, which safetensors may hold
import numpy as np
import safetensors
import safetensors.numpy

from tdgan_jax.errors import UserError
from tdgan_jax.torch_weights.mapping import StateDict
from tdgan_jax.torch_weights.optional_packages import require_torch
from tdgan_jax.torch_weights.skipping import Skipped, load_skipping, refers_to
from tdgan_jax.torch_weights.weight_files import check_weights_file

TORCH_SUFFIXES = (".pkl", ".pth", ".pt", ".tar")  # .pth.tar, too
SAFETENSORS_SUFFIX = ".safetensors"
SUFFIXES = (*TORCH_SUFFIXES, SAFETENSORS_SUFFIX)
COMBINED_STEM = "weights"  # of the one file that we write
WRAPPERS = ("state_dict", "model_state_dict", "model")
DATA_PARALLEL_PREFIX = "module."

Say = Callable[[str], None]


def _say_nothing(note: str) -> None:
    del note


def read_networks(
    source: Path,
    *,
    stems: Mapping[str, str],
    prefixes: Mapping[str, str],
    optional: Collection[str] = (),
    readers: Mapping[str, Callable[[Path], StateDict]] = MappingProxyType({}),
    say: Say = _say_nothing,
) -> Mapping[str, StateDict]:
    """Reads the state dicts of all networks.

    Args:
        source: A folder with a file for each network or one for all, or that one file.
        stems: Network name to the stem of its own file.
        prefixes: Network name to its module prefix in a file for all.
        optional: Networks that a model need not have.
        readers: Network name to what reads its own file; `read_state_dict` where there is none.
        say: As of `read_state_dict`.

    Returns:
        Network name to state dict, without the optional ones that are not there.

    Raises:
        UserError: If files are missing, ambiguous, unreadable or hold something else.
    """
    read = partial(read_state_dict, say=say)
    if source.exists() and not source.is_dir():
        return _divided(source, prefixes, optional, read)
    if not source.is_dir():
        raise UserError(f"there is no file or folder {source}")
    files = sorted(path for path in source.iterdir() if path.suffix in SUFFIXES)
    own = {name: [path for path in files if _stem(path) == stem] for name, stem in stems.items()}
    twice = [paths for paths in own.values() if len(paths) > 1]
    if twice:
        raise UserError(f"{source} holds {' and '.join(p.name for p in twice[0])}; keep one")
    absent = [name for name, paths in own.items() if not paths and name not in optional]
    if not absent:
        return {name: readers.get(name, read)(paths[0]) for name, paths in own.items() if paths}
    if len(files) == 1 and not any(own.values()):
        return _divided(files[0], prefixes, optional, read)
    missing = ", ".join(f"{stems[name]}.pkl" for name in absent)
    raise UserError(
        f"{source} holds no {missing} (nor .pth, .pt or .safetensors) and no single file for all "
        "networks"
    )


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".tar")).stem


def _divided(
    path: Path,
    prefixes: Mapping[str, str],
    optional: Collection[str],
    read: Callable[[Path], StateDict],
) -> Mapping[str, StateDict]:
    divided: dict[str, dict[str, np.ndarray]] = {name: {} for name in prefixes}
    for key, value in read(path).items():
        owner = next((name for name, prefix in prefixes.items() if key.startswith(prefix)), None)
        if owner is None:
            raise UserError(
                f"{path}: key {key!r} belongs to no network; keys begin with "
                f"{', '.join(prefixes.values())}"
            )
        divided[owner][key.removeprefix(prefixes[owner])] = value
    return {name: found for name, found in divided.items() if found or name not in optional}


def read_state_dict(path: Path, *, say: Say = _say_nothing) -> dict[str, np.ndarray]:
    """Reads one file of tensors.

    Args:
        path: The file; of a checkpoint that holds the state dict below one of `WRAPPERS` that alone
            is read.
        say: Told in a sentence each what was left out: the rest of a checkpoint, a prefix.

    Raises:
        UserError: If it is unreadable, damaged, or holds anything but tensors of numbers.
    """
    if path.suffix != SAFETENSORS_SUFFIX:
        require_torch(f"reading {path.name}")
    check_weights_file(path)
    try:
        if path.suffix == SAFETENSORS_SUFFIX:
            with safetensors.safe_open(path, framework="numpy") as file:
                state_dict = {key: file.get_tensor(key) for key in file.keys()}
        else:
            state_dict = _read_torch(path, say)
    except UserError:
        raise
    except Exception as error:  # Both readers raise almost anything on damaged data.
        raise UserError(f"{path} is damaged or no file of weights") from error
    while state_dict and all(key.startswith(DATA_PARALLEL_PREFIX) for key in state_dict):
        say(f"{path.name}: the {DATA_PARALLEL_PREFIX!r} before each key is left out")
        state_dict = {
            key.removeprefix(DATA_PARALLEL_PREFIX): value for key, value in state_dict.items()
        }
    return state_dict


def read_tensor(path: Path) -> np.ndarray:
    """Reads a file in PyTorch's format that holds one tensor.

    Raises:
        UserError: If it is unreadable, damaged, or holds anything else.
    """
    require_torch(f"reading {path.name}")
    check_weights_file(path)
    try:
        tensor = load_skipping(path)
    except UserError:
        raise
    except Exception as error:  # as of read_state_dict
        raise UserError(f"{path} is damaged or no file of a tensor") from error
    array = _plain_array(tensor)
    if array is None:
        raise UserError(f"{path} does not hold one tensor of numbers")
    return array


def _read_torch(path: Path, say: Say) -> dict[str, np.ndarray]:
    loaded = load_skipping(path)
    if isinstance(loaded, Mapping):
        loaded = _unwrapped(path, loaded, say)
    if isinstance(loaded, Skipped):
        raise refers_to(path, loaded.path)
    if not isinstance(loaded, Mapping) or not loaded:
        raise UserError(f"{path} holds no state dict; save it as torch.save(network.state_dict())")
    return {_checked_key(path, key): _array(path, key, value) for key, value in loaded.items()}


def _unwrapped(path: Path, loaded: Mapping, say: Say) -> Any:
    """The state dict of a checkpoint; anything else as it is."""
    for wrapper in WRAPPERS:
        inner = loaded.get(wrapper)
        if isinstance(inner, Mapping | Skipped):
            beside = ", ".join(str(key) for key in loaded if key != wrapper)
            say(
                f"{path.name}: the weights are its {wrapper!r}"
                + (f"; left out: {beside}" if beside else "")
            )
            return inner
    return loaded


def _checked_key(path: Path, key: Any) -> str:
    if not isinstance(key, str):
        raise UserError(f"{path} holds no state dict: {key!r} is not the name of a tensor")
    return key


def _array(path: Path, key: str, tensor: Any) -> np.ndarray:
    if isinstance(tensor, Skipped):
        raise refers_to(path, tensor.path)
    array = _plain_array(tensor)
    if array is None:
        raise UserError(f"{path} holds no state dict: {key!r} is not a plain tensor of numbers")
    return array


def _plain_array(tensor: Any) -> np.ndarray | None:
    """A tensor of numbers as an array; None of anything else."""
    import torch

    is_plain = (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and not tensor.is_quantized
        and not tensor.is_complex()
        # A view can be far larger than what the file holds.
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )
    if not is_plain:
        return None
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)  # numpy knows no bfloat16
    return tensor.detach().numpy()


def to_tensors(state_dict: StateDict) -> dict[str, Any]:
    """A state dict of PyTorch's own tensors.

    Raises:
        UserError: If PyTorch is missing.
    """
    torch = require_torch("PyTorch's format")
    return {key: torch.from_numpy(np.array(value)) for key, value in state_dict.items()}


def write_torch_files(
    folder: Path,
    state_dicts: Mapping[str, StateDict],
    stems: Mapping[str, str],
    *,
    suffix: str = ".pkl",
) -> None:
    """Writes one file a network, as `torch.save(network.state_dict(), ...)` does.

    Args:
        folder: An existing folder.
        state_dicts: Network name to state dict.
        stems: Network name to the stem of its file.
        suffix: Of the files, one of `TORCH_SUFFIXES`.

    Raises:
        UserError: If PyTorch is missing or a file cannot be written.
    """
    torch = require_torch("PyTorch's format")
    for name, state_dict in state_dicts.items():
        path = folder / f"{stems[name]}{suffix}"
        try:
            torch.save(to_tensors(state_dict), path)
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot write {path.name}: {str(error).splitlines()[0]}") from error


def write_safetensors_file(
    folder: Path, state_dicts: Mapping[str, StateDict], prefixes: Mapping[str, str]
) -> None:
    """Writes `weights.safetensors` with the keys of all networks, each under its prefix.

    Raises:
        UserError: If it cannot be written.
    """
    combined = {
        prefixes[name] + key: np.ascontiguousarray(value)
        for name, state_dict in state_dicts.items()
        for key, value in state_dict.items()
    }
    path = folder / f"{COMBINED_STEM}{SAFETENSORS_SUFFIX}"
    try:
        # Not save_file, which makes a file that others on the machine cannot read.
        path.write_bytes(safetensors.numpy.save(combined))
    except OSError as error:
        raise UserError(f"cannot write {path.name}: {error.strerror}") from error
