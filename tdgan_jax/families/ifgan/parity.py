"""Compares IF-GAN's exports with the model that they come from, by running both."""

import contextlib
from pathlib import Path

import jax
import numpy as np

from tdgan_jax.families.ifgan.model import IfganModel
from tdgan_jax.families.ifgan.weights import FILE_STEMS, torch_from_ifgan
from tdgan_jax.families.stored import Difference, StoredModel, differences
from tdgan_jax.torch_weights.state_files import to_tensors

NUM_PROBES = 3


def make_probe(model: IfganModel) -> np.ndarray:
    """Random images float32 `[NUM_PROBES, S, S, C]` in [0, 1], the same for every export."""
    size, channels = model.image_size_px, model.image_channels
    return np.random.default_rng(0).random((NUM_PROBES, size, size, channels), np.float32)


def outputs(stored: StoredModel, probe: np.ndarray) -> dict[str, np.ndarray]:
    """What the model itself computes, in full precision on every kind of device."""
    model = IfganModel(stored)
    # CPUs know no other; asking for it would compile all functions a second time.
    is_exact = jax.default_backend() == "cpu"
    with contextlib.nullcontext() if is_exact else jax.default_matmul_precision("highest"):
        computed = {"expression_logits": model.expression_logits(probe)}
        if "generator" in stored.parameters:
            computed["average_face"] = model.average_faces(probe)
            computed["discriminator_logits"] = model.discriminator_logits(probe, probe[::-1])
    return computed


def compare_with_twin(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Loads an export strictly into the torch twins and compares all outputs."""
    import torch

    from tdgan_jax.families.ifgan.recogniser_twin import load_recogniser
    from tdgan_jax.families.ifgan.twin import Discriminator

    ours = outputs(stored, probe := make_probe(IfganModel(stored)))
    images = torch.from_numpy(_channels_first(probe))
    recogniser = load_recogniser(folder)
    with torch.no_grad():
        theirs = {"expression_logits": recogniser(images).numpy()}
        if recogniser.generator is not None:
            theirs["average_face"] = _channels_last(recogniser.average_faces(images).numpy())
            sizes = stored.description.architecture
            discriminator = Discriminator(
                sizes["image_channels"],
                sizes["discriminator_width"],
                sizes["discriminator_strided_layers"],
            ).eval()
            file = folder / f"{FILE_STEMS['discriminator']}.pkl"
            discriminator.load_state_dict(torch.load(file, weights_only=True))
            candidates = 2 * torch.flip(images, (0,)) - 1
            logits = discriminator(2 * images - 1, candidates)
            theirs["discriminator_logits"] = _channels_last(logits.numpy())
    return differences(ours, theirs)


def write_onnx(stored: StoredModel, folder: Path) -> None:
    """Writes `recogniser.onnx` and, unless it is the baseline, `generator.onnx`."""
    from tdgan_jax.families.ifgan.onnx import write_onnx_files
    from tdgan_jax.families.ifgan.recogniser_twin import Recogniser

    sizes = stored.description.architecture
    recogniser = Recogniser(sizes, len(stored.description.expression_names))
    state_dicts = torch_from_ifgan(stored.parameters)
    recogniser.classifier.load_state_dict(to_tensors(state_dicts["classifier"]))
    if recogniser.generator is not None:
        recogniser.generator.load_state_dict(to_tensors(state_dicts["generator"]))
    shape = (sizes["image_channels"], sizes["image_size_px"], sizes["image_size_px"])
    write_onnx_files(folder, recogniser.eval(), image_shape=shape)


def compare_with_onnx(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Runs the ONNX files with onnxruntime, in a batch and alone, and compares their outputs."""
    from tdgan_jax.torch_weights.onnx_files import GENERATOR_FILE, RECOGNISER_FILE, run_onnx

    ours = outputs(stored, probe := make_probe(IfganModel(stored)))
    inputs = {"image": _channels_first(probe)}
    theirs = {"expression_logits": run_onnx(folder / RECOGNISER_FILE, inputs)}
    if "average_face" in ours:
        theirs["average_face"] = _channels_last(run_onnx(folder / GENERATOR_FILE, inputs))
    return differences(ours, theirs)


def _channels_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def _channels_last(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 2, 3, 1)
