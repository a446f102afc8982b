"""DenseNets in plain PyTorch, with torchvision's state-dict keys below `features.`.

A self-contained twin: copy this file. Images are float tensors (batch, channels, size, size),
normalised as the caller wants.

Source: Huang et al., "Densely Connected Convolutional Networks", arXiv:1608.06993, in
torchvision's form.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution."""

    def __init__(self, in_channels: int, growth_rate: int, bottleneck_factor: int):
        """Makes the layers."""
        super().__init__()
        bottleneck = bottleneck_factor * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, bottleneck, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck)
        self.conv2 = nn.Conv2d(bottleneck, growth_rate, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Puts (batch, growth_rate, h, w) behind (batch, in_channels, h, w)."""
        new = self.conv1(torch.relu(self.norm1(x)))
        new = self.conv2(torch.relu(self.norm2(new)))
        return torch.cat([x, new], dim=1)


def transition(in_channels: int) -> nn.Sequential:
    """Norm, ReLU, 1x1 convolution to half the channels, average pool."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(in_channels),
            relu=nn.ReLU(),
            conv=nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, stride=2),
        )
    )


class DenseNetFeatures(nn.Sequential):
    """All of a DenseNet but its classifier: images to the last norm's feature map."""

    def __init__(
        self,
        block_layers: tuple[int, ...] = (6, 12, 24, 16),
        growth_rate: int = 32,
        initial_channels: int = 64,
        bottleneck_factor: int = 4,
        image_channels: int = 3,
    ):
        """Makes the layers; `num_features` is then the number of channels of the map."""
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(image_channels, initial_channels, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(initial_channels),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = initial_channels
        for block, count in enumerate(block_layers, start=1):
            if block > 1:
                layers[f"transition{block - 1}"] = transition(channels)
                channels //= 2
            dense = OrderedDict()
            for layer in range(1, count + 1):
                dense[f"denselayer{layer}"] = DenseLayer(channels, growth_rate, bottleneck_factor)
                channels += growth_rate
            layers[f"denseblock{block}"] = nn.Sequential(dense)
        layers["norm5"] = nn.BatchNorm2d(channels)
        super().__init__(layers)
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)


def average_features(feature_map: Tensor) -> Tensor:
    """Mean of the positive part of a DenseNet's map over height and width."""
    return torch.relu(feature_map).mean(dim=(2, 3))
