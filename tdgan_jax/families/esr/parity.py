"""Compares ESR's exports with the model that they come from, by running both."""

from pathlib import Path
from typing import Any

import numpy as np

from tdgan_jax.families.esr.model import EsrModel
from tdgan_jax.families.esr.networks import network_names
from tdgan_jax.families.esr.voters import without_voters
from tdgan_jax.families.esr.weights import torch_from_esr
from tdgan_jax.families.probe_images import channels_first, in_full_precision, make_probe
from tdgan_jax.families.stored import Difference, StoredModel, describe_as_json, differences
from tdgan_jax.torch_weights.state_files import to_tensors


def outputs(stored: StoredModel, probe: np.ndarray) -> dict[str, np.ndarray]:
    """What the branches of the model itself compute, a row an image."""
    with in_full_precision():
        output = EsrModel(stored).judge(probe)
    found = {"branch_logits": output.logits, "branch_affect": output.affect}
    return {name: value for name, value in found.items() if value is not None}


def compare_with_twin(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Loads an export strictly into the torch twin and compares what the branches say."""
    import torch

    from tdgan_jax.families.esr.twin import load_ensemble

    ours = outputs(stored, probe := make_probe(stored))
    with torch.no_grad():
        output = load_ensemble(folder)(torch.from_numpy(channels_first(probe)))
    theirs = {"branch_logits": output.logits, "branch_affect": output.affect}
    return differences(ours, {name: theirs[name].transpose(0, 1).numpy() for name in ours})


def write_onnx(stored: StoredModel, folder: Path) -> None:
    """Writes `recogniser.onnx`: image `[batch, channels, S, S]` in [0, 1] -> branch_logits.

    These are `[batch, branches, classes]`; what they vote for is left to who reads them.
    """
    import torch

    from tdgan_jax.families.esr.twin import Ensemble
    from tdgan_jax.torch_weights.onnx_files import RECOGNISER_FILE, write_onnx_network

    class BranchLogits(torch.nn.Module):
        """The logits of all branches alone."""

        def __init__(self) -> None:
            super().__init__()
            self.ensemble = Ensemble(describe_as_json(stored.description))

        def forward(self, image: Any) -> Any:
            return self.ensemble(image).logits.transpose(0, 1)

    network = BranchLogits()
    state_dicts = torch_from_esr(without_voters(stored.parameters))
    parts = (network.ensemble.base, *network.ensemble.branches)
    for name, part in zip(network_names(len(parts) - 1), parts, strict=True):
        part.load_state_dict(to_tensors(state_dicts[name]))
    # Two examples: a batch of one would be taken for a constant.
    example = torch.zeros(*channels_first(make_probe(stored)[:2]).shape)
    write_onnx_network(network, {"image": example}, "branch_logits", folder / RECOGNISER_FILE)


def compare_with_onnx(stored: StoredModel, folder: Path) -> dict[str, Difference]:
    """Runs the ONNX file with onnxruntime, in a batch and alone, and compares the logits."""
    from tdgan_jax.torch_weights.onnx_files import RECOGNISER_FILE, run_onnx

    ours = outputs(stored, probe := make_probe(stored))
    theirs = run_onnx(folder / RECOGNISER_FILE, {"image": channels_first(probe)})
    return differences(ours, {"branch_logits": theirs})
