"""Compares IF-GAN's exports with the model that they come from, by running both."""

from pathlib import Path

import numpy as np

from tdgan_jax.families.ifgan.model import IfganModel
from tdgan_jax.families.ifgan.weights import FILE_STEMS, torch_from_ifgan
from tdgan_jax.families.probe_images import channels_first, in_full_precision, make_probe
from tdgan_jax.families.stored import Difference, StoredModel, differences
from tdgan_jax.torch_weights.state_files import to_tensors


def outputs(stored: StoredModel, probe: np.ndarray) -> dict[str, np.ndarray]:
    """What the model itself computes."""
    model = IfganModel(stored)
    with in_full_precision():
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

    ours = outputs(stored, probe := make_probe(stored))
    images = torch.from_numpy(channels_first(probe))
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

    ours = outputs(stored, probe := make_probe(stored))
    inputs = {"image": channels_first(probe)}
    theirs = {"expression_logits": run_onnx(folder / RECOGNISER_FILE, inputs)}
    if "average_face" in ours:
        theirs["average_face"] = _channels_last(run_onnx(folder / GENERATOR_FILE, inputs))
    return differences(ours, theirs)


def _channels_last(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 2, 3, 1)
