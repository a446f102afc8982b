"""Compares TDGAN's exports with the model that they come from, by running both."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdgan_jax.families.probe_images import NUM_PROBES, channels_first, in_full_precision
from tdgan_jax.families.stored import Difference, StoredModel, differences
from tdgan_jax.families.tdgan.model import TdganModel
from tdgan_jax.families.tdgan.weights import FILE_STEMS, torch_from_tdgan
from tdgan_jax.torch_weights.state_files import to_tensors


class Probe(NamedTuple):
    """Inputs on which both sides are run; random, the same for every export.

    Attributes:
        faces: float32 `[NUM_PROBES, S, S, C]` in [0, 1].
        expressions: The same.
        noise: `[NUM_PROBES, S/16, S/16, N_z]`; without channels for networks without noise.
    """

    faces: np.ndarray
    expressions: np.ndarray
    noise: np.ndarray


def make_probe(model: TdganModel) -> Probe:
    """Draws inputs of a model's sizes."""
    random = np.random.default_rng(0)
    image_shape = (NUM_PROBES, model.image_size_px, model.image_size_px, model.image_channels)
    shapes = (image_shape, image_shape, (NUM_PROBES, *model.noise_shape))
    return Probe(*(random.random(shape, np.float32) for shape in shapes))


def compare_with_twin(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Loads an export strictly into the torch twin and compares all outputs."""
    import torch

    from tdgan_jax.torch_weights.tdgan_torch import load_networks

    model = TdganModel(stored)
    probe = make_probe(model)
    faces, expressions, noise = (torch.from_numpy(channels_first(x)) for x in probe)
    networks = load_networks(folder)
    with torch.no_grad():
        generated = networks.generator(faces, expressions, noise if noise.numel() else None)
        theirs = {
            "expression_logits": generated.expression_logits.numpy(),
            "generated_image": generated.image.numpy().transpose(0, 2, 3, 1),
            "face_discriminator_logits": networks.face_discriminator(faces).logits.numpy(),
            "expression_discriminator_logits": networks.expression_discriminator(
                expressions
            ).logits.numpy(),
        }
    return differences(outputs(model, probe), theirs)


def write_onnx(stored: StoredModel, folder: Path) -> None:
    """Writes `recogniser.onnx` and `generator.onnx`."""
    from tdgan_jax.families.tdgan.onnx import write_onnx_files
    from tdgan_jax.torch_weights.tdgan_torch import make_networks

    sizes = stored.description.architecture
    weights = {
        FILE_STEMS[name]: to_tensors(state_dict)
        for name, state_dict in torch_from_tdgan(stored.parameters).items()
    }
    write_onnx_files(
        folder,
        make_networks(weights, {"architecture": sizes}).generator,
        image_shape=(sizes["image_channels"], sizes["image_size_px"], sizes["image_size_px"]),
        noise_channels=sizes["noise_channels"],
    )


def compare_with_onnx(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Runs both ONNX files with onnxruntime, in a batch and alone, and compares their outputs."""
    from tdgan_jax.torch_weights.onnx_files import GENERATOR_FILE, RECOGNISER_FILE, run_onnx

    model = TdganModel(stored)
    probe = make_probe(model)
    faces, expressions, noise = map(channels_first, probe)
    inputs = {"face": faces, "expression": expressions}
    if noise.size:
        inputs["noise"] = noise
    theirs = {
        "expression_logits": run_onnx(folder / RECOGNISER_FILE, {"image": expressions}),
        "generated_image": run_onnx(folder / GENERATOR_FILE, inputs).transpose(0, 2, 3, 1),
    }
    return differences(outputs(model, probe), theirs)


def outputs(model: TdganModel, probe: Probe) -> dict[str, np.ndarray]:
    """What the model itself computes."""
    with in_full_precision():
        noise = probe.noise if probe.noise.size else None
        return {
            "expression_logits": model.expression_logits(probe.expressions),
            "generated_image": model.transfer(probe.faces, probe.expressions, noise=noise),
            "face_discriminator_logits": model.face_discriminator_logits(probe.faces),
            "expression_discriminator_logits": model.expression_discriminator_logits(
                probe.expressions
            ),
        }
