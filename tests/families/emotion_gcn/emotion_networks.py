"""Emotion-GCN's networks with filled weights for tests, beside their torch twins."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.families.emotion_gcn.adjacency import adjacency_matrix, affectnet_correlations
from tdgan_jax.families.emotion_gcn.networks import (
    Definitions,
    EmotionNetwork,
    make_emotion_gcn,
    split_networks,
)
from tdgan_jax.families.emotion_gcn.weights import emotion_gcn_from_torch, network_table
from tdgan_jax.torch_weights.mapping import Parameters, torch_from_parameters
from tdgan_jax.torch_weights.resnet import with_counters
from tests import golden_emotion_gcn as golden

MODELS = [
    (heads, backbone)
    for heads in ("emotion_gcn", "multi_task", "single_task")
    for backbone in ("densenet", "bregnext")
]
SMALL = {
    "image_size_px": 20,
    "block_layers": (2, 3),
    "growth_rate": 4,
    "initial_channels": 6,
    "bottleneck_factor": 2,
    "stage_layers": (1, 2),
    "stage_widths": (4, 8),
    "word_vector_size": 6,
    "graph_channels": 5,
}
NUM_EXPRESSIONS = 7


class Model(NamedTuple):
    """A model with filled weights."""

    definitions: Definitions
    parameters: Parameters  # of the network
    state_dict: dict[str, np.ndarray]

    def network(self) -> EmotionNetwork:
        return nnx.merge(self.definitions.network, jax.tree.map(jnp.asarray, self.parameters))


@cache
def adjacency() -> np.ndarray:
    return adjacency_matrix(affectnet_correlations(golden.EXPRESSIONS), golden.EXPRESSIONS)


def shapes_of(**fields) -> tuple[Definitions, dict[str, Parameters]]:
    return split_networks(
        nnx.eval_shape(
            lambda: make_emotion_gcn(num_expressions=NUM_EXPRESSIONS, rngs=nnx.Rngs(0), **fields)
        )
    )


def state_dict_shapes(parameters: Parameters) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a network's state dict, counters included, in its order."""
    table = network_table(parameters)
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), parameters)
    state_dict = with_counters(torch_from_parameters(table, zeros))
    return {key: value.shape for key, value in state_dict.items()}


def filled_model(**fields) -> Model:
    definitions, trees = shapes_of(**fields)
    tree = trees["network"]
    state_dict = golden.filled_state_dict(state_dict_shapes(tree), adjacency())
    filled = emotion_gcn_from_torch({"network": state_dict}, {"network": tree})
    return Model(definitions, filled["network"], state_dict)


def filled_twin(state_dict: dict[str, np.ndarray], heads: str, backbone: str, **sizes) -> Any:
    """The torch twin with the same weights, in evaluation mode."""
    import torch

    from tdgan_jax.families.emotion_gcn import twin
    from tdgan_jax.torch_weights.densenet_torch import DenseNetFeatures

    def chosen(*names):
        return {name: sizes[name] for name in names if name in sizes}

    of_bregnext = chosen("stage_layers", "stage_widths")
    if backbone == "densenet":
        made = DenseNetFeatures(
            **chosen("block_layers", "growth_rate", "initial_channels", "bottleneck_factor")
        )
    else:
        made = twin.BregNext(NUM_EXPRESSIONS, **of_bregnext)
    if heads == "emotion_gcn":
        module = twin.EmotionGCN(
            made,
            torch.zeros(adjacency().shape),
            **chosen("word_vector_size", "graph_channels"),
        )
    elif backbone == "densenet":
        kinds = {"single_task": twin.DenseNetSingleTask, "multi_task": twin.DenseNetMultiTask}
        module = kinds[heads](made, NUM_EXPRESSIONS)
    elif heads == "multi_task":
        module = twin.BregNextMultiTask(NUM_EXPRESSIONS, **of_bregnext)
    else:
        module = made
    assert list(module.state_dict()) == list(state_dict)
    module.load_state_dict({key: torch.tensor(value) for key, value in state_dict.items()})
    return module.eval()


def small_word_vectors() -> np.ndarray:
    return golden.word_vectors()[:, : SMALL["word_vector_size"]]


def nchw(array) -> np.ndarray:
    return np.asarray(array).transpose(0, 3, 1, 2).copy()


def nhwc(array) -> np.ndarray:
    return np.asarray(array).transpose(0, 2, 3, 1)


def small_images(seed: int = 0) -> np.ndarray:
    size = SMALL["image_size_px"]
    return np.random.default_rng(seed).uniform(-1, 1, (3, size, size, 3)).astype(np.float32)
