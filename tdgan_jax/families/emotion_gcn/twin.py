"""Emotion-GCN and its baselines in plain PyTorch, with the released state-dict keys.

A twin for copying, with `densenet_torch.py` beside it (the import is to be shortened then). Images
are float tensors (batch, channels, size, size), normalised with ImageNet's mean and deviation; word
vectors are (labels, length), the labels being the expressions, valence and arousal.

Sources: Antoniadis, Filntisis, Maragos, arXiv:2106.03487; Hasani et al., "BReG-NeXt",
arXiv:2004.08495; layer by layer from the project's specification of Emotion-GCN.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tdgan_jax.torch_weights.densenet_torch import DenseNetFeatures, average_features

NUM_AFFECTS = 2  # valence and arousal


class BoundedShortcut(nn.Module):
    """atan(a x / sqrt(c^2 + 1)) / (a sqrt(c^2 + 1)), pooled and padded to the layer's output."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        """Makes a and c, both 1."""
        super().__init__()
        self._a = nn.Parameter(torch.ones(1))
        self._c = nn.Parameter(torch.ones(1))
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, out_channels, h / stride, w / stride)."""
        root = torch.sqrt(self._c**2 + 1)
        x = torch.atan(self._a * x / root) / (self._a * root)
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, self.stride)
        return functional.pad(x, (0, 0, 0, 0, self.padding, self.padding))


class ResidualLayer(nn.Module):
    """Norm, ELU, convolution, norm, ELU, convolution, plus the shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        """Makes the layers; the first convolution has the stride."""
        super().__init__()
        self._conv0 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self._conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self._shortcut = BoundedShortcut(in_channels, out_channels, stride)
        self._batchnorm_conv0 = nn.BatchNorm2d(in_channels)
        self._batchnorm_conv1 = nn.BatchNorm2d(out_channels)
        for conv in (self._conv0, self._conv1):
            nn.init.kaiming_uniform_(conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, out_channels, h / stride, w / stride)."""
        shortcut = self._shortcut(x)
        x = self._conv0(functional.elu(self._batchnorm_conv0(x)))
        x = self._conv1(functional.elu(self._batchnorm_conv1(x)))
        return x + shortcut


class ResidualGroup(nn.Module):
    """Residual layers one after the other, the first with the change of shape."""

    def __init__(self, in_channels: int, out_channels: int, count: int, stride: int = 1):
        """Makes the layers."""
        super().__init__()
        self._layer_stack = nn.Sequential(
            *(
                ResidualLayer(out_channels if i else in_channels, out_channels, 1 if i else stride)
                for i in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, out_channels, h / stride, w / stride)."""
        return self._layer_stack(x)


class BregNext(nn.Module):
    """BReG-NeXt; with a linear layer `_fc0` if `num_classes` is given."""

    def __init__(
        self,
        num_classes: int | None = 8,
        stage_layers: tuple[int, ...] = (7, 8, 7),
        stage_widths: tuple[int, ...] = (32, 64, 128),
        image_channels: int = 3,
    ):
        """Makes the layers."""
        super().__init__()
        self._conv0 = nn.Conv2d(image_channels, stage_widths[0], 3, padding=1)
        groups: list[nn.Module] = [ResidualGroup(stage_widths[0], stage_widths[0], stage_layers[0])]
        for before, width, count in zip(
            stage_widths, stage_widths[1:], stage_layers[1:], strict=False
        ):
            groups.append(ResidualGroup(before, width, 1, stride=2))
            groups.append(ResidualGroup(width, width, count))
        self.num_features = stage_widths[-1]
        self._model = nn.Sequential(
            *groups, nn.BatchNorm2d(self.num_features), nn.ELU(), nn.AdaptiveAvgPool2d(1)
        )
        if num_classes is not None:
            self._fc0 = nn.Linear(self.num_features, num_classes)

    def features(self, image: Tensor) -> Tensor:
        """Maps images to pooled features (batch, num_features)."""
        return self._model(self._conv0(image)).flatten(1)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images to logits (batch, num_classes)."""
        return self._fc0(self.features(image))


class GraphConvolution(nn.Module):
    """H' = Ahat (H W)."""

    def __init__(self, in_channels: int, out_channels: int):
        """Makes W."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))
        nn.init.uniform_(self.weight, -(out_channels**-0.5), out_channels**-0.5)

    def forward(self, nodes: Tensor, propagation: Tensor) -> Tensor:
        """Maps (labels, in_channels) to (labels, out_channels)."""
        return propagation @ (nodes @ self.weight)


class EmotionGCN(nn.Module):
    """A backbone whose feature is multiplied with what the graph network makes of word vectors."""

    def __init__(
        self,
        backbone: DenseNetFeatures | BregNext,
        adjacency: Tensor,
        word_vector_size: int = 300,
        graph_channels: int = 512,
        is_transposed: bool = True,
    ):
        """Makes the graph network.

        Args:
            backbone: Stands under `features` (DenseNet) or `model` (BReG-NeXt).
            adjacency: A, (labels, labels); a parameter in name only.
            word_vector_size: Length of the word vectors.
            graph_channels: Between the layers of the graph network.
            is_transposed: Whether messages go along A transposed, as released.
        """
        super().__init__()
        self.A = nn.Parameter(adjacency.clone())
        self.is_transposed = is_transposed
        if isinstance(backbone, BregNext):
            self.model = backbone
        else:
            self.features = backbone
        self.gc1 = GraphConvolution(word_vector_size, graph_channels)
        self.gc2 = GraphConvolution(graph_channels, backbone.num_features)

    def label_vectors(self, word_vectors: Tensor) -> Tensor:
        """Maps word vectors (labels, length) to (labels, num_features)."""
        adjacency = self.A.detach()
        scale = torch.diag(adjacency.sum(dim=1) ** -0.5)
        propagation = scale @ (adjacency.T if self.is_transposed else adjacency) @ scale
        hidden = functional.leaky_relu(self.gc1(word_vectors, propagation), 0.2)
        return self.gc2(hidden, propagation)

    def image_features(self, image: Tensor) -> Tensor:
        """Maps images to what the label vectors are multiplied with, (batch, num_features)."""
        if hasattr(self, "model"):
            return self.model.features(image)
        return self.features(image).amax(dim=(2, 3))

    def forward(self, image: Tensor, word_vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images to logits (batch, expressions) and valence and arousal (batch, 2)."""
        outputs = self.image_features(image) @ self.label_vectors(word_vectors).T
        return outputs[:, :-NUM_AFFECTS], outputs[:, -NUM_AFFECTS:]


class DenseNetSingleTask(nn.Module):
    """A DenseNet that names expressions."""

    def __init__(self, features: DenseNetFeatures, num_expressions: int):
        """Makes the classifier."""
        super().__init__()
        self.features = features
        self.classifier = nn.Linear(features.num_features, num_expressions)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images to logits (batch, expressions)."""
        return self.classifier(average_features(self.features(image)))


class DenseNetMultiTask(nn.Module):
    """A DenseNet with two linear layers."""

    def __init__(self, features: DenseNetFeatures, num_expressions: int):
        """Makes the linear layers."""
        super().__init__()
        self.model_base = features
        self.lin_cat = nn.Linear(features.num_features, num_expressions)
        self.lin_cont = nn.Linear(features.num_features, NUM_AFFECTS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images to logits and to valence and arousal."""
        feature = average_features(self.model_base(image))
        return self.lin_cat(feature), self.lin_cont(feature)


class BregNextMultiTask(BregNext):
    """A BReG-NeXt with two linear layers."""

    def __init__(
        self,
        num_expressions: int,
        stage_layers: tuple[int, ...] = (7, 8, 7),
        stage_widths: tuple[int, ...] = (32, 64, 128),
        image_channels: int = 3,
    ):
        """Makes the layers."""
        super().__init__(None, stage_layers, stage_widths, image_channels)
        self.fc_cont = nn.Linear(self.num_features, NUM_AFFECTS)
        self.fc_cat = nn.Linear(self.num_features, num_expressions)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images to logits and to valence and arousal."""
        feature = self.features(image)
        return self.fc_cat(feature), self.fc_cont(feature)
