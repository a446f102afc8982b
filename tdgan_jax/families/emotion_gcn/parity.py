"""Compares Emotion-GCN's exports with the model that they come from, by running both."""

from pathlib import Path

import numpy as np

from tdgan_jax.families.emotion_gcn.model import EmotionModel
from tdgan_jax.families.emotion_gcn.weights import torch_from_emotion_gcn
from tdgan_jax.families.probe_images import channels_first, in_full_precision, make_probe
from tdgan_jax.families.stored import Difference, StoredModel, describe_as_json, differences
from tdgan_jax.torch_weights.state_files import to_tensors


def outputs(stored: StoredModel, probe: np.ndarray) -> dict[str, np.ndarray]:
    """What the model itself computes."""
    with in_full_precision():
        answers = EmotionModel(stored).recognise(probe)
    found = {"logits": answers.scores}
    return found if answers.affect is None else found | {"affect": answers.affect}


def compare_with_twin(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Loads an export strictly into the torch twin and compares the outputs."""
    import torch

    from tdgan_jax.families.emotion_gcn.recogniser_twin import load_recogniser

    ours = outputs(stored, probe := make_probe(stored))
    with torch.no_grad():
        found = load_recogniser(folder)(torch.from_numpy(channels_first(probe)))
    return differences(ours, dict(zip(ours, (part.numpy() for part in found), strict=True)))


def write_onnx(stored: StoredModel, folder: Path) -> None:
    """Writes `recogniser.onnx`: image `[batch, channels, S, S]` in [0, 1] to logits and affect.

    Of the graph network the file holds what it gives: one vector for each label.
    """
    import torch

    from tdgan_jax.families.emotion_gcn.recogniser_twin import make_recogniser
    from tdgan_jax.torch_weights.onnx_files import RECOGNISER_FILE, write_onnx_network

    recogniser = make_recogniser(
        describe_as_json(stored.description),
        {
            name: to_tensors(state_dict)
            for name, state_dict in torch_from_emotion_gcn(stored.parameters).items()
        },
    )
    # Two examples: a batch of one would be taken for a constant.
    example = torch.zeros(*channels_first(make_probe(stored)[:2]).shape)
    names = ("logits", "affect")[: 1 if recogniser.is_single_task else 2]
    write_onnx_network(recogniser, {"image": example}, names, folder / RECOGNISER_FILE)


def compare_with_onnx(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Runs the ONNX file with onnxruntime, in a batch and alone, and compares the outputs."""
    from tdgan_jax.torch_weights.onnx_files import RECOGNISER_FILE, run_onnx_outputs

    ours = outputs(stored, probe := make_probe(stored))
    theirs = run_onnx_outputs(folder / RECOGNISER_FILE, {"image": channels_first(probe)})
    return differences(ours, {name: theirs[name] for name in ours})
