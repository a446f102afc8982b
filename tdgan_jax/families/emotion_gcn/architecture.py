"""What the state dict of an Emotion-GCN or a baseline tells about its network (spec 2.5)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from tdgan_jax.errors import UserError
from tdgan_jax.families.emotion_gcn.graph import ADJACENCY_FORMS
from tdgan_jax.families.emotion_gcn.networks import NUM_AFFECTS, make_emotion_gcn
from tdgan_jax.families.stored import FoundArchitecture
from tdgan_jax.torch_weights.densenet import deciding_tensor, densenet_sizes, layer_counts
from tdgan_jax.torch_weights.mapping import StateDict

SOURCE = "an Emotion-GCN"
_tensor = partial(deciding_tensor, source=SOURCE)
RELEASED_SIZE_PX = {"densenet": 227, "bregnext": 112}  # of AffectNet
# A key that one of the released models alone has, and where its backbone stands; in this order.
_MODELS = (
    ("features.norm5.weight", "A", "emotion_gcn", "densenet", "features."),
    ("model._conv0.weight", "A", "emotion_gcn", "bregnext", "model."),
    ("features.norm5.weight", "classifier.weight", "single_task", "densenet", "features."),
    ("model_base.norm5.weight", "lin_cat.weight", "multi_task", "densenet", "model_base."),
    ("_conv0.weight", "fc_cat.weight", "multi_task", "bregnext", ""),
    ("_conv0.weight", "_fc0.weight", "single_task", "bregnext", ""),
)
# The arguments of each part, with the released values where weights do not tell them.
_OF_DENSENET = ("block_layers", "growth_rate", "initial_channels", "bottleneck_factor")
_OF_BREGNEXT = ("stage_layers", "stage_widths")
_OF_GRAPH = ("word_vector_size", "graph_channels")


def emotion_gcn_architecture(state_dicts: Mapping[str, StateDict]) -> FoundArchitecture:
    """Reads which model it is, and its sizes, from the keys and shapes of weights.

    Only what decides is looked at; whether all tensors fit is seen when they are mapped.

    Args:
        state_dicts: Part to state dict; only that of the network is looked at.

    Raises:
        UserError: If the weights are not those of such a network; names the first tensor that is
            missing or impossible.
    """
    weights = state_dicts["network"]
    model = next((m for m in _MODELS if m[0] in weights and m[1] in weights), None)
    if model is None:
        raise UserError(
            "these are not the weights of an Emotion-GCN or a baseline of it: there are neither A "
            "nor classifier, lin_cat, fc_cat or _fc0 beside a DenseNet or a BReG-NeXt"
        )
    _, head_key, heads, backbone, prefix = model
    own = {key.removeprefix(prefix): v for key, v in weights.items() if key.startswith(prefix)}
    defaults = dict(make_emotion_gcn.__kwdefaults__ or {})
    usual = {name: defaults[name] for name in (*_OF_DENSENET, *_OF_BREGNEXT, *_OF_GRAPH)}
    found = densenet_sizes(own, source=SOURCE) if backbone == "densenet" else _bregnext_sizes(own)
    if heads == "emotion_gcn":
        num_expressions = _tensor(weights, "A", 2).shape[0] - NUM_AFFECTS
        word_vector_size, graph_channels = _tensor(weights, "gc1.weight", 2).shape
        found |= {"word_vector_size": word_vector_size, "graph_channels": graph_channels}
    else:
        num_expressions = _tensor(weights, head_key, 2).shape[0]
    if num_expressions < 1:
        raise UserError(f"{head_key} is for {num_expressions} expressions; there must be some")
    assumed = {
        "image_size_px": RELEASED_SIZE_PX[backbone],
        "adjacency_form": ADJACENCY_FORMS[0],
        **{name: value for name, value in usual.items() if name not in found},
    }
    return FoundArchitecture(
        architecture={"heads": heads, "backbone": backbone, **assumed, **found},
        num_expressions=num_expressions,
        num_identities=0,
        untold=tuple(assumed),
        rounded=(),
    )


def _bregnext_sizes(weights: StateDict) -> dict[str, Any]:
    layers = layer_counts(weights, r"_model\.(\d+)\._layer_stack\.(\d+)\._conv0\.weight")
    # Between two stages stands a group of the one layer that changes the shape.
    stages = range(0, len(layers), 2)
    if not layers or len(layers) % 2 == 0:
        raise UserError(f"_model has {len(layers)} groups of layers: no BReG-NeXt")
    widths = [
        _tensor(weights, f"_model.{stage}._layer_stack.0._conv0.weight", 4).shape[0]
        for stage in stages
    ]
    return {
        "image_channels": _tensor(weights, "_conv0.weight", 4).shape[1],
        "stage_layers": layers[::2],
        "stage_widths": tuple(widths),
    }
