"""ESR, an ensemble of branches on a shared base, in plain PyTorch with its program's keys.

A self-contained twin: copy this file. Base and branches are stored one file each,
`Net-Base-Shared_Representations.pt` and `Net-Branch_1.pt`, `Net-Branch_2.pt` ...

    ensemble = load_ensemble("exported")  # a folder made by `tdgan-jax export --format torch`
    logits = ensemble(images).logits  # (branches, batch, expressions)

Images are float tensors (batch, channels, size, size) with values in [0, 1], red first.

Sources: Siqueira, Magg and Wermter, AAAI 2020, arXiv:2001.06338; with attention (Woo et al. 2018,
arXiv:1807.06521) after every block, Heidari and Iosifidis 2022, arXiv:2210.09381.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Output(NamedTuple):
    """Of a branch; of an ensemble each stacked along a new first dimension.

    Without the head for valence and arousal, or without attention, these are None.
    """

    logits: Tensor
    feature: Tensor
    affect: Tensor | None
    channel_attention: Tensor | None
    spatial_attention: Tensor | None


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


class Blocks(nn.Module):
    """Convolutions, each with batch norm, ReLU, a pool in places, and attention."""

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        pooled_layers: Sequence[int],
        padded_layers: Sequence[int],
        reduction: int | None,
        first_kernel_size: int,
    ):
        """Makes the layers.

        Args:
            in_channels: Channels of the input.
            widths: Channels of each layer.
            pooled_layers: Layers, counted from 1, that a 2x2 max-pool follows.
            padded_layers: Layers, counted from 1, that keep height and width.
            reduction: Channels over the hidden units of the attention; None: no attention.
            first_kernel_size: Of the first convolution; the others have 3x3.
        """
        super().__init__()
        self.num_layers = len(widths)
        self.pooled_layers = tuple(pooled_layers)
        self.has_attention = reduction is not None
        channels = (in_channels, *widths)
        for layer, width in enumerate(widths, start=1):
            size = first_kernel_size if layer == 1 else 3
            padding = size // 2 if layer in padded_layers else 0
            convolution = nn.Conv2d(channels[layer - 1], width, size, padding=padding)
            setattr(self, f"conv{layer}", convolution)
        for layer, width in enumerate(widths, start=1):
            setattr(self, f"bn{layer}", nn.BatchNorm2d(width))
        if reduction is not None:
            for layer, width in enumerate(widths, start=1):
                setattr(self, f"cbam{layer}", CBAM(width, reduction))

    def run(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Maps (batch, in_channels, h, w) to the last map and its attentions."""
        by_channel = by_position = None
        for layer in range(1, self.num_layers + 1):
            x = torch.relu(getattr(self, f"bn{layer}")(getattr(self, f"conv{layer}")(x)))
            if layer in self.pooled_layers:
                x = torch.max_pool2d(x, 2)
            if self.has_attention:
                x, by_channel, by_position = getattr(self, f"cbam{layer}")(x)
        return x, by_channel, by_position


class Base(Blocks):
    """The layers that all branches share."""

    def __init__(
        self,
        image_channels: int = 3,
        widths: Sequence[int] = (64, 128, 128, 128),
        pooled_layers: Sequence[int] = (2, 4),
        padded_layers: Sequence[int] = (),
        reduction: int | None = 16,
    ):
        """Makes the layers, see `Blocks`."""
        super().__init__(image_channels, widths, pooled_layers, padded_layers, reduction, 5)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images to shared features."""
        return self.run(image)[0]


class Branch(Blocks):
    """One member of the ensemble."""

    def __init__(
        self,
        num_expressions: int,
        in_channels: int = 128,
        widths: Sequence[int] = (128, 256, 256, 512),
        pooled_layers: Sequence[int] = (2,),
        padded_layers: Sequence[int] = (4,),
        reduction: int | None = 16,
        has_affect: bool = False,
    ):
        """Makes the layers, see `Blocks`, and one head or two."""
        super().__init__(in_channels, widths, pooled_layers, padded_layers, reduction, 3)
        self.fc = nn.Linear(widths[-1], num_expressions)
        self.has_affect = has_affect
        if has_affect:
            self.fc_dimensional = nn.Linear(num_expressions, 2)

    def forward(self, shared: Tensor) -> Output:
        """Judges shared features."""
        x, by_channel, by_position = self.run(shared)
        feature = x.mean(dim=(2, 3))
        logits = self.fc(feature)
        affect = self.fc_dimensional(torch.relu(logits)) if self.has_affect else None
        maps = None if by_position is None else by_position[:, 0]
        return Output(logits, feature, affect, by_channel, maps)


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


class Ensemble(nn.Module):
    """Base and branches, and what happens to images before."""

    def __init__(self, description: dict[str, Any]):
        """Makes the networks.

        Args:
            description: The content of an export's `model.json`.
        """
        super().__init__()
        sizes, num_expressions = description["architecture"], len(description["expression_names"])
        self.preparation = Preparation(description["preprocessing"])
        reduction = sizes["attention_reduction"] if sizes["has_attention"] else None
        self.base = Base(
            sizes["image_channels"],
            sizes["base_widths"],
            sizes["base_pooled_layers"],
            sizes["base_padded_layers"],
            reduction,
        )
        self.branches = nn.ModuleList(
            Branch(
                num_expressions,
                sizes["base_widths"][-1],
                sizes["branch_widths"],
                sizes["branch_pooled_layers"],
                sizes["branch_padded_layers"],
                reduction,
                sizes["has_affect"],
            )
            for _ in range(sizes["num_branches"])
        )

    def forward(self, image: Tensor) -> Output:
        """Judges images with every branch."""
        shared = self.base(self.preparation(image))
        outputs = [branch(shared) for branch in self.branches]

        def stacked(name: str) -> Any:
            parts = [getattr(output, name) for output in outputs]
            return None if parts[0] is None else torch.stack(parts)

        return Output(**{name: stacked(name) for name in Output._fields})


def vote(logits: Tensor) -> Tensor:
    """The class (batch,) that most branches vote for; the lowest of equal ones."""
    votes = torch.nn.functional.one_hot(logits.argmax(dim=-1), logits.shape[-1])
    return votes.sum(dim=0).argmax(dim=-1)


def load_ensemble(folder: str | Path) -> Ensemble:
    """Loads an export in PyTorch's format, in evaluation mode.

    Args:
        folder: What `tdgan-jax export --format torch` wrote.
    """
    folder = Path(folder)
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    ensemble = Ensemble(described)
    parts = {"Net-Base-Shared_Representations": ensemble.base}
    parts |= {f"Net-Branch_{i}": branch for i, branch in enumerate(ensemble.branches, start=1)}
    for stem, network in parts.items():
        (file,) = (path for path in folder.iterdir() if path.stem == stem)
        network.load_state_dict(torch.load(file, weights_only=True))
    return ensemble.eval()
