"""Exports a model: weights for other programs, `model.json`, and how well they agree."""

import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.description import DROPOUT_RATE, write_description
from tdgan_jax.exchange.new_folder import check_new_folder, new_folder
from tdgan_jax.exchange.opening import as_in_json, open_model
from tdgan_jax.families.known import family_named
from tdgan_jax.families.stored import Difference, ModelDescription, StoredFamily, StoredModel
from tdgan_jax.torch_weights.mapping import StateDict
from tdgan_jax.torch_weights.optional_packages import require_onnx, require_torch
from tdgan_jax.torch_weights.resnet import COUNTER
from tdgan_jax.torch_weights.state_files import (
    read_networks,
    write_safetensors_file,
    write_torch_files,
)

# Of safetensors files; the others are float32.
PRECISIONS = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16)}
PRECISIONS["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
# Of an output's largest value, or of 1 if that is less. Float32 leaves a hundredth of it.
TOLERANCE = 1e-3
STAGES = 3


def export_model(
    source: str | Path,
    weights: str,
    out: Path,
    *,
    precision: str = "float32",
    crop: Mapping[str, Any] | None = None,
    described: Mapping[str, Any] | None = None,
    average_with: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Writes a model for other programs.

    Args:
        source: What `open_model` opens.
        weights: One of `WEIGHT_FORMATS`.
        out: The folder to make.
        precision: One of `PRECISIONS`, in which the weights are stored; others than float32 for
            safetensors alone. A model is opened in float32 whatever its file holds.
        crop: How faces shall be cut out for the model, `faces.alignment.CropSettings` as JSON,
            where its training images were cut out by their owner; None: as the model has it.
        described: Other values for fields of the description: temperature, class_frequencies,
            balance, see `evaluation.calibration`; the rest stays as the model has it.
        average_with: Another model, of the same networks and classes: the mean of the weights of
            both is written (Wortsman et al. 2022, arXiv:2109.01903, section 3).
        overwrite: Whether an export that is there is replaced.
        say: Told at the begin of each of `STAGES` stages what is being done.

    Returns:
        The parity figure, as `model.json` holds it.

    Raises:
        UserError: If there is no model, an optional package is missing, the files cannot be
            written, or they compute something else than the model.
        UsageError: If the format has no such precision, or the model's faces were cut out in
            another way.
    """
    check_precision(weights, precision)
    check_new_folder(out, overwrite=overwrite)
    if weights == "torch":
        require_torch("PyTorch's format")
    if weights == "onnx":
        require_onnx()
    say("reading")
    stored = open_model(source)
    if average_with is not None:
        stored = averaged(stored, open_model(average_with), str(average_with))
    check_finite(stored)
    if crop is not None:
        stored = stored._replace(description=with_crop(stored.description, crop))
    stored = stored._replace(description=stored.description._replace(**(described or {})))
    family = family_named(stored.description.family).stored()
    with new_folder(out, overwrite=overwrite) as folder:
        say("writing")
        # First without a figure: what reloads the files reads the architecture in it.
        write_description(folder, stored.description, weights=weights, parity={})
        state_dicts = rounded(family.to_torch(stored.parameters), precision)
        if weights == "onnx":
            family.write_onnx(stored, folder)
        elif weights == "torch":
            write_torch_files(folder, state_dicts, family.stems, suffix=family.suffix)
        else:
            write_safetensors_file(folder, state_dicts, family.prefixes)
        say("comparing")
        parity = measure_parity(folder, stored, family, weights, state_dicts)
        if precision != "float32":
            parity["precision"] = precision
        write_description(folder, stored.description, weights=weights, parity=parity)
    return parity


def averaged(first: StoredModel, second: StoredModel, name: str) -> StoredModel:
    """The first model with the mean of the weights and running averages of both.

    Args:
        first: Gives the description.
        second: The other model.
        name: What the second one is called.

    Raises:
        UsageError: If they are not of the same system, networks and classes.
    """
    for field in ("family", "expression_names", "identity_names", "preprocessing"):
        if getattr(first.description, field) != getattr(second.description, field):
            what = field.replace("_", " ")
            raise UsageError(f"--average-with: {name} has other {what}")
    one, other = (without_dropout(model.description.architecture) for model in (first, second))
    differing = [f for f in one | other if as_in_json(one.get(f)) != as_in_json(other.get(f))]
    if differing:
        raise UsageError(f"--average-with: {name} has another {differing[0]}")
    shapes = [jax.tree.map(np.shape, model.parameters) for model in (first, second)]
    if shapes[0] != shapes[1]:
        raise UsageError(f"--average-with: {name} has networks of another size")
    means = jax.tree.map(lambda a, b: (a + b) / 2, first.parameters, second.parameters)
    return first._replace(parameters=means)


def without_dropout(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that change what a model computes after its training."""
    return {name: value for name, value in architecture.items() if not name.endswith(DROPOUT_RATE)}


def with_crop(description: ModelDescription, crop: Mapping[str, Any]) -> ModelDescription:
    """A description that says how faces are to be cut out.

    Raises:
        UsageError: If the model has learned from faces that were cut out in another way.
    """
    known = description.preprocessing.crop
    if known not in (None, crop):
        raise UsageError(
            "the model has learned from faces that prepare cut out, and keeps the way in which it "
            "did; leave out --crop and --crop-margin"
        )
    preprocessing = description.preprocessing._replace(crop=dict(crop))
    return description._replace(preprocessing=preprocessing)


def check_precision(weights: str, precision: str) -> None:
    """Refuses a precision that a format of weights does not have.

    Raises:
        UsageError: Names the formats and precisions.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision is {precision!r}; known: {', '.join(PRECISIONS)}")
    if precision != "float32" and weights != "safetensors":
        raise UsageError(f"{precision} is for --format safetensors; {weights} is float32")


def rounded(
    state_dicts: Mapping[str, StateDict], precision: str
) -> dict[str, dict[str, np.ndarray]]:
    """State dicts whose floats are of a precision.

    Raises:
        UserError: If a value is too large for it.
    """
    dtype = PRECISIONS[precision]
    with np.errstate(over="ignore"):
        found = {
            network: {
                key: value.astype(dtype) if value.dtype == np.float32 else value
                for key, value in state_dict.items()
            }
            for network, state_dict in state_dicts.items()
        }
    for network, state_dict in found.items():
        for key, value in state_dict.items():
            if not np.isfinite(value.astype(np.float32)).all():
                raise UserError(f"{network}'s {key} is too large for {precision}; use bfloat16")
    return found


def check_finite(stored: StoredModel) -> None:
    """Refuses a model that is broken.

    Raises:
        UserError: If a parameter is not finite.
    """
    family = family_named(stored.description.family).stored()
    for network, state_dict in family.to_torch(stored.parameters).items():
        for key, value in state_dict.items():
            if not np.isfinite(value).all():
                raise UserError(f"the model is broken: {network}'s {key} is not finite")


def measure_parity(
    folder: Path,
    stored: StoredModel,
    family: StoredFamily,
    weights: str,
    state_dicts: Mapping[str, StateDict],
) -> dict[str, Any]:
    """Reloads what was written and compares it with the model.

    Raises:
        UserError: If they differ.
    """
    if weights == "onnx":
        parity: dict[str, Any] = {"reloaded_with": _versions("onnxruntime")}
        compared = family.compare_with_onnx(stored, folder)
    else:
        package = "torch" if weights == "torch" else "safetensors"
        read = read_networks(
            folder, stems=family.stems, prefixes=family.prefixes, optional=family.optional
        )
        parity = {"reloaded_with": _versions(package)} | compare_tensors(state_dicts, read)
        if parity["different_tensors"]:
            raise UserError(
                f"{parity['different_tensors']} tensors changed on the way to the disk and back; "
                "nothing was written"
            )
        compared = family.compare_with_twin(stored, folder) if weights == "torch" else {}
    check_differences(compared)
    if compared:
        parity["largest_differences"] = {name: value.largest for name, value in compared.items()}
    return parity


def compare_tensors(
    written: Mapping[str, StateDict], read: Mapping[str, StateDict]
) -> dict[str, int]:
    """Counts tensors, and those that are not bit-identical on both sides.

    Args:
        written: Network name to state dict.
        read: The same; keys that `written` does not have are not counted, nor are the counters of
            batch norms, which nothing reads.
    """
    equal = [
        np.asarray(read[network][key], np.float32).tobytes() == value.astype(np.float32).tobytes()
        for network, state_dict in written.items()
        for key, value in state_dict.items()
        if not key.endswith(COUNTER)
    ]
    return {"tensors": len(equal), "different_tensors": equal.count(False)}


def check_differences(compared: Mapping[str, Difference]) -> None:
    """Refuses files that compute something else.

    Raises:
        UserError: Names the output and both numbers.
    """
    for name, difference in compared.items():
        # Not "greater": a difference may be no number.
        if not difference.largest <= TOLERANCE * max(1.0, difference.scale):
            raise UserError(
                f"the exported files compute another {name}: off by {difference.largest:.2g} of "
                f"{difference.scale:.2g}; nothing was written"
            )


def _versions(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"
