"""A whole Emotion-GCN or a baseline in PyTorch: photographs of faces in, answers out.

Needs `twin.py` beside it and `densenet_torch.py`; copy the three (the imports are to be shortened
then). Images are float tensors (batch, channels, size, size) in [0, 1], red first.

    recogniser = load_recogniser("exported")  # made by `tdgan-jax export --format torch`
    logits, affect = recogniser(images)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tdgan_jax.families.emotion_gcn.twin import (
    NUM_AFFECTS,
    BregNext,
    BregNextMultiTask,
    DenseNetMultiTask,
    DenseNetSingleTask,
    EmotionGCN,
)
from tdgan_jax.torch_weights.densenet_torch import DenseNetFeatures

StateDicts = Mapping[str, Mapping[str, Tensor]]


class Recogniser(nn.Module):
    """A network with what happens to images before; the graph is computed once."""

    label_vectors: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: nn.Module, preprocessing: dict[str, Any], word_vectors: Tensor | None
    ):
        """Takes a network with its weights.

        Args:
            network: The network.
            preprocessing: That of an export's `model.json`.
            word_vectors: (labels, length); None for a baseline.
        """
        super().__init__()
        self.is_single_task = isinstance(network, DenseNetSingleTask) or type(network) is BregNext
        self.is_reversed = preprocessing["channel_order"] == "bgr"
        for name in ("mean", "deviation"):
            values = torch.tensor(preprocessing[name], dtype=torch.float32).reshape(1, -1, 1, 1)
            self.register_buffer(name, values)
        self.network = network
        if isinstance(network, EmotionGCN):
            assert word_vectors is not None
            self.register_buffer("label_vectors", network.label_vectors(word_vectors).detach())

    def forward(self, image: Tensor) -> Any:
        """Maps images to logits (batch, expressions), and valence and arousal (batch, 2)."""
        if self.is_reversed:
            image = image.flip(1)
        image = (image - self.mean) / self.deviation
        if isinstance(self.network, EmotionGCN):
            outputs = self.network.image_features(image) @ self.label_vectors.T
            return outputs[:, :-NUM_AFFECTS], outputs[:, -NUM_AFFECTS:]
        found = self.network(image)
        return (found,) if self.is_single_task else found


def make_network(description: dict[str, Any]) -> nn.Module:
    """The network of an export's `model.json`."""
    sizes, num_expressions = description["architecture"], len(description["expression_names"])
    heads, channels = sizes["heads"], sizes["image_channels"]
    layers, widths = tuple(sizes["stage_layers"]), tuple(sizes["stage_widths"])
    if sizes["backbone"] == "densenet":
        backbone: Any = DenseNetFeatures(
            tuple(sizes["block_layers"]),
            sizes["growth_rate"],
            sizes["initial_channels"],
            sizes["bottleneck_factor"],
            channels,
        )
        if heads != "emotion_gcn":
            kinds = {"single_task": DenseNetSingleTask, "multi_task": DenseNetMultiTask}
            return kinds[heads](backbone, num_expressions)
    elif heads == "multi_task":
        return BregNextMultiTask(num_expressions, layers, widths, channels)
    else:
        backbone = BregNext(num_expressions, layers, widths, channels)
        if heads == "single_task":
            return backbone
    num_labels = num_expressions + NUM_AFFECTS
    return EmotionGCN(
        backbone,
        torch.zeros(num_labels, num_labels),
        sizes["word_vector_size"],
        sizes["graph_channels"],
        sizes["adjacency_form"] == "transposed",
    )


def make_recogniser(description: dict[str, Any], state_dicts: StateDicts) -> Recogniser:
    """A recogniser in evaluation mode.

    Args:
        description: The content of an export's `model.json`.
        state_dicts: `network`, and of an Emotion-GCN `word_vectors`, to its state dict.
    """
    network = make_network(description)
    network.load_state_dict(state_dicts["network"])
    words = state_dicts["word_vectors"]["vectors"] if "word_vectors" in state_dicts else None
    return Recogniser(network.eval(), description["preprocessing"], words).eval()


def load_recogniser(folder: str | Path) -> Recogniser:
    """Loads an export in PyTorch's format, in evaluation mode."""
    folder = Path(folder)
    files = {"network": "emotion_gcn.pkl", "word_vectors": "word_vectors.pkl"}
    state_dicts = {
        name: torch.load(folder / file, weights_only=True)
        for name, file in files.items()
        if (folder / file).exists()
    }
    return make_recogniser(json.loads((folder / "model.json").read_text()), state_dicts)
