"""MA-Net in plain PyTorch with its program's state-dict keys.

A self-contained twin: copy this file.

    recogniser = load_recogniser("exported")  # made by `tdgan-jax export --format torch`
    logits = mixed_logits(recogniser(images))

Images are float tensors (batch, channels, size, size) with values in [0, 1], red first.

Sources: Zhao, Liu and Wang, IEEE TIP 2021; attention, Woo et al. 2018, arXiv:1807.06521.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Output(NamedTuple):
    """What the network returns.

    Logits 1 and 2 are those of the local and of the global branch; `local_features` (4, batch, F,
    h, w) those of the quadrants, `pooled_features` (2, batch, F) both branches'.
    """

    local_logits: Tensor
    global_logits: Tensor
    local_features: Tensor
    pooled_features: Tensor


class ChannelGate(nn.Module):
    """Attention (batch, channels) of each channel, from its mean and its maximum."""

    def __init__(self, channels: int, reduction: int = 16):
        """Makes the perceptron that both go through."""
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, channels, h, w) to values in [0, 1]."""
        return torch.sigmoid(self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3))))


class SpatialGate(nn.Module):
    """Attention (batch, 1, h, w) of each position, from the channels' maximum and mean."""

    def __init__(self):
        """Makes convolution and norm."""
        super().__init__()
        self.spatial = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(2, 1, 7, padding=3, bias=False),
                bn=nn.BatchNorm2d(1, momentum=0.01),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, channels, h, w) to values in [0, 1]."""
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.spatial(pooled))


class CBAM(nn.Module):
    """Attention over the channels, then over the positions of what they leave."""

    def __init__(self, channels: int, reduction: int = 16):
        """Makes both gates."""
        super().__init__()
        self.ChannelGate = ChannelGate(channels, reduction)
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (batch, channels, h, w) to the same shape; both attentions come with it."""
        by_channel = self.ChannelGate(x)
        x = x * by_channel[:, :, None, None]
        by_position = self.SpatialGate(x)
        return x * by_position, by_channel, by_position


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Makes a 3x3 convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Makes the projection of a block that changes the shape; None for any other block."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, in the attention block with attention before it."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, reduction: int | None = None):
        """Makes the layers; the first one has the stride.

        Args:
            in_channels: Channels of the input.
            width: Channels of the output.
            stride: 1 or 2.
            reduction: Channels over the hidden units of the attention; None: no attention.
        """
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(in_channels, width, stride)
        self.cbam = None if reduction is None else CBAM(width, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, width, h / stride, w / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        if self.cbam is not None:
            x = self.cbam(x)[0]
        return torch.relu(x + identity)


class MultiScaleBlock(nn.Module):
    """A 3x3 convolution, two sub-bodies of four convolutions each, and a shortcut."""

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, second_direction: str = "forward"
    ):
        """Makes the layers; the first one has the stride.

        Args:
            in_channels: Channels of the input.
            width: Channels of the output.
            stride: 1 or 2.
            second_direction: Of the second sub-body: `"forward"` or `"reversed"`.
        """
        super().__init__()
        self.second_direction = second_direction
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        for body in (1, 2):
            for group in (1, 2, 3, 4):
                setattr(self, f"conv{body}_2_{group}", conv3x3(width // 4, width // 4))
                setattr(self, f"bn{body}_2_{group}", nn.BatchNorm2d(width // 4))
        self.downsample = shortcut(in_channels, width, stride)

    def sub_body(self, body: int, x: Tensor, groups: list[int]) -> Tensor:
        """Runs a sub-body's groups in the given order; its results stand in their own order."""
        parts = dict(enumerate(x.chunk(4, dim=1), start=1))
        results: dict[int, Tensor] = {}
        last = None
        for group in groups:
            part = parts[group] if last is None else torch.relu(last) + parts[group]
            unit, norm = (getattr(self, f"{name}{body}_2_{group}") for name in ("conv", "bn"))
            last = results[group] = norm(unit(part))
        return torch.cat([results[group] for group in sorted(groups)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, width, h / stride, w / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        order = [4, 3, 2, 1] if self.second_direction == "reversed" else [1, 2, 3, 4]
        first, second = self.sub_body(1, x, [1, 2, 3, 4]), self.sub_body(2, x, order)
        return torch.relu(first + second + identity)


class MANet(nn.Module):
    """Stem and two residual stages, then four local branches and a global one."""

    def __init__(
        self,
        num_expressions: int,
        width: int = 64,
        image_channels: int = 3,
        reduction: int = 16,
        second_direction: str = "forward",
    ):
        """Makes the layers.

        Args:
            num_expressions: Number of logits of each head.
            width: Channels of the stem.
            image_channels: 1 for gray images, 3 for colour.
            reduction: Channels over the hidden units of the attention.
            second_direction: Of the multi-scale blocks' second sub-body.
        """
        super().__init__()

        def stage(
            in_channels: int, out_channels: int, stride: int, block: Callable[..., nn.Module]
        ) -> nn.Sequential:
            return nn.Sequential(
                block(in_channels, out_channels, stride), block(out_channels, out_channels)
            )

        def attention(*sizes: int) -> nn.Module:
            return BasicBlock(*sizes, reduction=reduction)

        def multi_scale(*sizes: int) -> nn.Module:
            return MultiScaleBlock(*sizes, second_direction=second_direction)

        self.conv1 = nn.Conv2d(image_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(width, width, 1, BasicBlock)
        self.layer2 = stage(width, 2 * width, 2, BasicBlock)
        for patch in (1, 2, 3, 4):
            layer3 = stage(2 * width, 4 * width, 2, attention)
            layer4 = stage(4 * width, 8 * width, 1, attention)
            setattr(self, f"layer3_1_p{patch}", layer3)
            setattr(self, f"layer4_1_p{patch}", layer4)
        self.layer3_2 = stage(2 * width, 4 * width, 2, multi_scale)
        self.layer4_2 = stage(4 * width, 8 * width, 2, multi_scale)
        self.fc_1 = nn.Linear(8 * width, num_expressions)
        self.fc_2 = nn.Linear(8 * width, num_expressions)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Output:
        """Judges images, whose size is a multiple of 16."""
        x = torch.relu(self.bn1(self.conv1(image)))  # (batch, width, size / 2, size / 2)
        x = torch.nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer2(self.layer1(x))  # (batch, 2 width, size / 8, size / 8)
        patches = [part for half in x.chunk(2, dim=2) for part in half.chunk(2, dim=3)]
        local = torch.stack(
            [
                getattr(self, f"layer4_1_p{i}")(getattr(self, f"layer3_1_p{i}")(patch))
                for i, patch in enumerate(patches, start=1)
            ]
        )  # (4, batch, 8 width, size / 32, size / 32)
        whole = self.layer4_2(self.layer3_2(x))  # (batch, 8 width, size / 32, size / 32)
        pooled = torch.stack([local.mean(dim=(0, 3, 4)), whole.mean(dim=(2, 3))])
        return Output(self.fc_1(pooled[0]), self.fc_2(pooled[1]), local, pooled)


def mixed_logits(output: Output, local_share: float = 0.6) -> Tensor:
    """What is predicted with: beta of the local logits, the rest of the global ones."""
    return local_share * output.local_logits + (1 - local_share) * output.global_logits


class Preparation(nn.Module):
    """What happens to images in [0, 1], red first, before the network."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, preprocessing: dict[str, Any]):
        """Takes the field `preprocessing` of an export's `model.json`."""
        super().__init__()
        self.is_reversed = preprocessing["channel_order"] == "bgr"
        for name in ("mean", "deviation"):
            values = torch.tensor(preprocessing[name], dtype=torch.float32)
            self.register_buffer(name, values.reshape(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images to what the network sees."""
        if self.is_reversed:
            image = image.flip(1)
        return (image - self.mean) / self.deviation


class Recogniser(nn.Module):
    """The network, and what happens to images before."""

    def __init__(self, description: dict[str, Any]):
        """Makes the network.

        Args:
            description: The content of an export's `model.json`.
        """
        super().__init__()
        sizes = description["architecture"]
        self.preparation = Preparation(description["preprocessing"])
        self.network = MANet(
            len(description["expression_names"]),
            sizes["width"],
            sizes["image_channels"],
            sizes["attention_reduction"],
            sizes["second_direction"],
        )

    def forward(self, image: Tensor) -> Output:
        """Judges images."""
        return self.network(self.preparation(image))


def load_recogniser(folder: str | Path) -> Recogniser:
    """Loads an export in PyTorch's format, in evaluation mode.

    Args:
        folder: What `tdgan-jax export --format torch` wrote.
    """
    folder = Path(folder)
    recogniser = Recogniser(json.loads((folder / "model.json").read_text(encoding="utf-8")))
    (file,) = (path for path in folder.iterdir() if path.stem == "network")
    recogniser.network.load_state_dict(torch.load(file, weights_only=True))
    return recogniser.eval()
