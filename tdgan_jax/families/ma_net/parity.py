"""Compares MA-Net's exports with the model that they come from, by running both."""

from pathlib import Path
from typing import Any

import numpy as np

from tdgan_jax.families.ma_net.model import MaNetModel
from tdgan_jax.families.ma_net.weights import torch_from_ma_net
from tdgan_jax.families.probe_images import channels_first, in_full_precision, make_probe
from tdgan_jax.families.stored import Difference, StoredModel, describe_as_json, differences
from tdgan_jax.torch_weights.state_files import to_tensors


def outputs(stored: StoredModel, probe: np.ndarray) -> dict[str, np.ndarray]:
    """What the model itself computes."""
    with in_full_precision():
        return {"expression_logits": MaNetModel(stored).expression_logits(probe)}


def compare_with_twin(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Loads an export strictly into the torch twin and compares the logits."""
    import torch

    from tdgan_jax.families.ma_net.twin import load_recogniser, mixed_logits

    ours = outputs(stored, probe := make_probe(stored))
    with torch.no_grad():
        output = load_recogniser(folder)(torch.from_numpy(channels_first(probe)))
    return differences(ours, {"expression_logits": mixed_logits(output).numpy()})


def write_onnx(stored: StoredModel, folder: Path) -> None:
    """Writes `recogniser.onnx`: image `[batch, channels, S, S]` in [0, 1] -> logits."""
    import torch

    from tdgan_jax.families.ma_net.twin import Recogniser, mixed_logits
    from tdgan_jax.torch_weights.onnx_files import RECOGNISER_FILE, write_onnx_network

    class Logits(torch.nn.Module):
        """The mixed logits alone."""

        def __init__(self) -> None:
            super().__init__()
            self.recogniser = Recogniser(describe_as_json(stored.description))

        def forward(self, image: Any) -> Any:
            return mixed_logits(self.recogniser(image))

    network = Logits()
    weights = to_tensors(torch_from_ma_net(stored.parameters)["network"])
    network.recogniser.network.load_state_dict(weights)
    # Two examples: a batch of one would be taken for a constant.
    example = torch.zeros(*channels_first(make_probe(stored)[:2]).shape)
    write_onnx_network(network, {"image": example}, "logits", folder / RECOGNISER_FILE)


def compare_with_onnx(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Runs the ONNX file with onnxruntime, in a batch and alone, and compares the logits."""
    from tdgan_jax.torch_weights.onnx_files import RECOGNISER_FILE, run_onnx

    ours = outputs(stored, probe := make_probe(stored))
    theirs = run_onnx(folder / RECOGNISER_FILE, {"image": channels_first(probe)})
    return differences(ours, {"expression_logits": theirs})
