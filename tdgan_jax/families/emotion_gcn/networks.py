"""Emotion-GCN (Antoniadis, Filntisis, Maragos, FG 2021, arXiv:2106.03487; spec Emotion-GCN 2).

An image feature of a DenseNet or a BReG-NeXt is multiplied with one vector for each label: the
expressions, then valence and arousal. A graph network of two layers makes these vectors out of word
vectors of the labels. The two baselines have linear layers in the graph's place.

Images are `[N, S, S, C]`, normalised with ImageNet's mean and deviation. A network in training mode
is given the `BatchStatistics` of its batch norms, one in evaluation mode None.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tdgan_jax.families.emotion_gcn.bregnext import STAGE_LAYERS, STAGE_WIDTHS, BregNext
from tdgan_jax.families.emotion_gcn.graph import (
    ADJACENCY_FORMS,
    Constant,
    LabelGraph,
    WordVectors,
)
from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.networks.densenet import (
    DEPTHS,
    DenseNet,
    average_features,
    check_image_size,
    densenet_channels,
)
from tdgan_jax.networks.layers import global_max_pool, uniform_fan_in

HEADS = (
    "single_task",  # a linear layer for the expressions alone
    "multi_task",  # two linear layers
    "emotion_gcn",  # vectors out of the graph network
)
BACKBONES = ("densenet", "bregnext")
NUM_AFFECTS = 2  # valence and arousal, the last two labels of the graph

Parameters = dict[str, Any]


class Prediction(NamedTuple):
    """What a network says of images.

    Attributes:
        logits: Of the expressions, `[N, num_expressions]`.
        affect: Valence and arousal, not bounded, `[N, 2]`; None where these are not learned.
    """

    logits: jax.Array
    affect: jax.Array | None


class UnusedHead(nnx.Module):
    """The linear layer that a released BReG-NeXt brings along and its graph never asks."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        """Makes kernel and bias as of a linear layer, as constants."""
        init = uniform_fan_in(in_channels)
        self.kernel = Constant(init(rngs.params(), (in_channels, out_channels)))
        self.bias = Constant(init(rngs.params(), (out_channels,)))


def _linear(in_channels: int, out_channels: int, rngs: nnx.Rngs) -> nnx.Linear:
    init = uniform_fan_in(in_channels)
    return nnx.Linear(in_channels, out_channels, kernel_init=init, bias_init=init, rngs=rngs)


class EmotionNetwork(nnx.Module):
    """A backbone with the heads of one of the three models (spec Emotion-GCN 2)."""

    def __init__(
        self,
        backbone: DenseNet | BregNext,
        *,
        num_features: int,
        num_expressions: int,
        graph: LabelGraph | None,
        has_affect: bool,
        rngs: nnx.Rngs,
    ):
        """Makes the heads.

        Args:
            backbone: Made already.
            num_features: Length of its feature.
            num_expressions: Number of logits.
            graph: Made already; None for a baseline.
            has_affect: Whether a baseline learns valence and arousal.
            rngs: Initialises the linear layers.
        """
        self.backbone = backbone
        self.graph = graph
        expression_head = affect_head = unused_head = None
        if graph is None:
            expression_head = _linear(num_features, num_expressions, rngs)
            if has_affect:
                affect_head = _linear(num_features, NUM_AFFECTS, rngs)
        elif isinstance(backbone, BregNext):
            unused_head = UnusedHead(num_features, num_expressions, rngs=rngs)
        self.expression_head = expression_head
        self.affect_head = affect_head
        self.unused_head = unused_head

    def features(self, image: jax.Array, statistics: BatchStatistics | None = None) -> jax.Array:
        """Pooled features of images, float32 `[N, F]`.

        Those of a DenseNet under the graph are maxima of both signs, those under linear layers
        means of the positive part (spec Emotion-GCN 8, quirk 2).
        """
        if isinstance(self.backbone, BregNext):
            return self.backbone(image, statistics)
        feature_map = self.backbone(image, statistics)  # [N, M, M, F]
        if self.graph is None:
            return average_features(feature_map)
        return global_max_pool(feature_map).astype(jnp.float32)

    def label_vectors(self, word_vectors: jax.Array) -> jax.Array:
        """The graph's `[num_expressions + 2, F]`: all that inference needs of it."""
        assert self.graph is not None, "a baseline has no graph"
        return self.graph(word_vectors)

    def __call__(
        self,
        image: jax.Array,
        word_vectors: jax.Array | None = None,
        statistics: BatchStatistics | None = None,
    ) -> Prediction:
        """Predicts expressions, valence and arousal.

        Args:
            image: `[N, S, S, channels]`, normalised.
            word_vectors: `[num_expressions + 2, word_vector_size]`; None for a baseline.
            statistics: What training takes as a batch; None for evaluation.
        """
        feature = self.features(image, statistics)
        if self.graph is not None:
            assert word_vectors is not None, "the graph begins with word vectors"
            outputs = feature @ self.label_vectors(word_vectors).T  # [N, num_expressions + 2]
            return Prediction(outputs[:, :-NUM_AFFECTS], outputs[:, -NUM_AFFECTS:])
        assert self.expression_head is not None
        affect = None if self.affect_head is None else self.affect_head(feature)
        return Prediction(self.expression_head(feature), affect)


class EmotionGCN(NamedTuple):
    """The parts of a model.

    Attributes:
        network: Backbone and heads.
        word_vectors: What the graph begins with; None in a baseline.
    """

    network: EmotionNetwork
    word_vectors: WordVectors | None


class Definitions(NamedTuple):
    """The parts without their values: hashable, merged with these to be called."""

    network: nnx.GraphDef[EmotionNetwork]
    word_vectors: nnx.GraphDef[WordVectors] | None


def split_networks(networks: EmotionGCN) -> tuple[Definitions, dict[str, Parameters]]:
    """Separates a model into definitions (hashable) and trees by the names of the parts."""
    definitions: dict[str, Any] = {name: None for name in EmotionGCN._fields}
    trees = {}
    for name, part in networks._asdict().items():
        if part is not None:
            definitions[name], state = nnx.split(part)
            trees[name] = nnx.to_pure_dict(state)
    return Definitions(**definitions), trees


def make_emotion_gcn(
    *,
    num_expressions: int,
    image_size_px: int = 227,
    image_channels: int = 3,
    heads: str = "emotion_gcn",
    backbone: str = "densenet",
    block_layers: Sequence[int] = DEPTHS[121],
    growth_rate: int = 32,
    initial_channels: int = 64,
    bottleneck_factor: int = 4,
    stage_layers: Sequence[int] = STAGE_LAYERS,
    stage_widths: Sequence[int] = STAGE_WIDTHS,
    word_vector_size: int = 300,
    graph_channels: int = 512,
    adjacency_form: str = "transposed",
    adjacency: np.ndarray | None = None,
    word_vectors: np.ndarray | None = None,
    rngs: nnx.Rngs,
) -> EmotionGCN:
    """Makes a model; the defaults are the released sizes of the one for AffectNet.

    Args:
        num_expressions: Number of logits.
        image_size_px: Height and width of the images: 227 for AffectNet with a DenseNet, 112 for
            all else in the released program.
        image_channels: 1 for gray images, 3 for colour.
        heads: One of `HEADS`.
        backbone: One of `BACKBONES`.
        block_layers: See `DenseNet`, as for the next three; unused by a BReG-NeXt.
        growth_rate: See `DenseNet`.
        initial_channels: See `DenseNet`.
        bottleneck_factor: See `DenseNet`.
        stage_layers: See `BregNext`; unused by a DenseNet.
        stage_widths: See `BregNext`.
        word_vector_size: Length of the word vectors; unused by the baselines, as all that follow.
        graph_channels: Between the two layers of the graph network.
        adjacency_form: See `LabelGraph`.
        adjacency: A, `[num_expressions + 2, num_expressions + 2]`. None leaves NaN in its place:
            for shapes alone, or for values that are filled in.
        word_vectors: `[num_expressions + 2, word_vector_size]`; None as of `adjacency`.
        rngs: Initialises the parameters.

    Raises:
        ValueError: If a size is impossible or an option unknown; begins with the argument's name.
    """
    _check_choices(heads=heads, backbone=backbone, adjacency_form=adjacency_form)
    _check_positive(
        num_expressions=num_expressions,
        image_channels=image_channels,
        word_vector_size=word_vector_size,
        graph_channels=graph_channels,
    )
    if backbone == "densenet":
        check_image_size(image_size_px, len(block_layers))
        sizes = {"growth_rate": growth_rate, "initial_channels": initial_channels}
        made = DenseNet(
            block_layers=block_layers,
            bottleneck_factor=bottleneck_factor,
            image_channels=image_channels,
            rngs=rngs,
            **sizes,
        )
        num_features = densenet_channels(block_layers, **sizes)[-1]
    else:
        _check_bregnext_image(image_size_px, len(stage_layers))
        made = BregNext(
            stage_layers=stage_layers,
            stage_widths=stage_widths,
            image_channels=image_channels,
            rngs=rngs,
        )
        num_features = stage_widths[-1]
    graph = words = None
    if heads == "emotion_gcn":
        nodes = num_expressions + NUM_AFFECTS
        graph = LabelGraph(
            adjacency=_filled("adjacency", adjacency, (nodes, nodes)),
            adjacency_form=adjacency_form,
            word_vector_size=word_vector_size,
            hidden_channels=graph_channels,
            out_channels=num_features,
            rngs=rngs,
        )
        words = WordVectors(_filled("word_vectors", word_vectors, (nodes, word_vector_size)))
    network = EmotionNetwork(
        made,
        num_features=num_features,
        num_expressions=num_expressions,
        graph=graph,
        has_affect=heads == "multi_task",
        rngs=rngs,
    )
    return EmotionGCN(network, words)


def _check_choices(*, heads: str, backbone: str, adjacency_form: str) -> None:
    for name, value, known in (
        ("heads", heads, HEADS),
        ("backbone", backbone, BACKBONES),
        ("adjacency_form", adjacency_form, ADJACENCY_FORMS),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}")


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _check_bregnext_image(image_size_px: int, num_stages: int) -> None:
    divisor = 2 ** max(num_stages - 1, 0)
    if image_size_px < 1 or image_size_px % divisor:
        raise ValueError(
            f"image_size_px must be a multiple of {divisor} for a BReG-NeXt of {num_stages} "
            f"stages, got {image_size_px}"
        )


def _filled(name: str, values: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    if values is None:
        return np.full(shape, np.nan, np.float32)
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {values.shape}")
    return values
