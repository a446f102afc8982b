"""ResNet 18, 34, 50 and 101 in plain PyTorch, with torchvision's state-dict keys.

A self-contained twin of the classifier's network: copy this file, or load its state dict into
`torchvision.models.resnet101(num_classes=...)`, whose keys and shapes are the same (the first
convolution has as many input channels as an exported `conv1.weight`).

Source: He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, with the
stride of a bottleneck on its 3x3 convolution.
"""

import torch
from torch import Tensor, nn

EXPANSION = 4  # output channels of a bottleneck over its width
STEMS = {"7x7": (7, 2), "3x3": (3, 1)}  # kernel size and stride
DEPTHS = {
    10: ((1, 1, 1, 1), False),
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
) -> nn.Conv2d:
    """Makes a convolution without bias whose padding keeps the size at stride 1."""
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Makes the projection of a block that changes the shape; None for any other block."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        convolution(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
    )


class SqueezeExcitation(nn.Module):
    """Weighs the channels by what is in the whole map."""

    def __init__(self, channels: int, hidden: int):
        """Makes the two linear layers."""
        super().__init__()
        self.fc1 = nn.Linear(channels, max(hidden, 1))
        self.fc2 = nn.Linear(max(hidden, 1), channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, channels, h, w) to the same shape."""
        weight = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3))))))
        return x * weight[:, :, None, None]


def squeeze(channels: int, reduction: int) -> nn.Module:
    """Makes the squeeze-and-excitation of a block; the identity for a reduction of 0."""
    return SqueezeExcitation(channels, channels // reduction) if reduction else nn.Identity()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, reduction: int = 0):
        """Makes the layers; the first one has the stride."""
        super().__init__()
        self.squeeze = squeeze(width, reduction)
        self.conv1 = convolution(in_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, width, h / stride, w / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.squeeze(self.bn2(self.conv2(x)))
        return torch.relu(x + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; four times as many channels come out."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, reduction: int = 0):
        """Makes the layers; the 3x3 one has the stride."""
        super().__init__()
        out_channels = width * EXPANSION
        self.squeeze = squeeze(out_channels, reduction)
        self.conv1 = convolution(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = convolution(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, 4 width, h / stride, w / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.squeeze(self.bn3(self.conv3(x)))
        return torch.relu(x + identity)


class ResNet(nn.Module):
    """Stem, four stages, average pool, linear layer."""

    def __init__(
        self,
        num_classes: int | None,
        depth: int = 101,
        width: int = 64,
        image_channels: int = 3,
        images_per_example: int = 1,
        stem: str = "7x7",
        reduction: int = 0,
    ):
        """Makes the layers.

        Args:
            num_classes: Number of logits; None leaves the linear layer out.
            depth: 18, 34, 50 or 101.
            width: Channels of the stem.
            image_channels: Channels of the input; 6 for two colour images one on the other.
            images_per_example: Images whose features the linear layer sees side by side.
            stem: "7x7", torchvision's with stride 2, or "3x3" with stride 1.
            reduction: Of a squeeze-and-excitation in each block; 0: none.
        """
        super().__init__()
        blocks, is_bottleneck = DEPTHS[depth]
        block = Bottleneck if is_bottleneck else BasicBlock
        expansion = EXPANSION if is_bottleneck else 1
        kernel_size, stem_stride = STEMS[stem]
        self.conv1 = convolution(image_channels, width, kernel_size, stem_stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        stages = []
        for stage, count in enumerate(blocks):
            layers = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(block(channels, width * 2**stage, stride, reduction))
                channels = width * 2**stage * expansion
            stages.append(nn.Sequential(*layers))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.num_features = channels * images_per_example
        self.fc = nn.Identity()
        if num_classes is not None:
            self.fc = nn.Linear(self.num_features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, image: Tensor) -> Tensor:
        """Maps normalised images (batch, channels, size, size) to pooled features."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(image))))  # (batch, 64, size / 4, size / 4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (batch, 2048, size / 32, ...)
        return x.mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Maps normalised images to logits (batch, num_classes)."""
        return self.fc(self.features(image))
