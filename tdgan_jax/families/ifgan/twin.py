"""IF-GAN's generator and discriminator in plain PyTorch.

A self-contained twin of the networks; the classifier is the ResNet of `resnet_torch` (torchvision's
keys). At test time: `classifier(normalised(torch.cat([image, generator(image)], dim=1)))`.

Images are float tensors (batch, channels, size, size) with values in [-1, 1].

Source: Cai et al., "Identity-Free Facial Expression Recognition using conditional Generative
Adversarial Network", arXiv:1903.08051; layer by layer from sections 3 and 4 of the project's
specification of IF-GAN, which says what the paper leaves open.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class SelfAttention(nn.Module):
    """y = gamma * attention(x) + x, with the whole attention map in memory."""

    def __init__(self, channels: int, reduction: int = 8, has_output_convolution: bool = False):
        """Makes the 1x1 convolutions; gamma starts at 0."""
        super().__init__()
        reduced = max(1, channels // reduction)
        self.query = nn.Conv2d(channels, reduced, 1)
        self.key = nn.Conv2d(channels, reduced, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.output = nn.Conv2d(channels, channels, 1) if has_output_convolution else None
        self.gamma = nn.Parameter(torch.zeros(1))

    def attention(self, x: Tensor) -> Tensor:
        """Attention (batch, h * w, h * w) of (batch, channels, h, w); each row sums to 1."""
        query, key = self.query(x).flatten(2), self.key(x).flatten(2)
        return torch.softmax(query.transpose(1, 2) @ key, dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, channels, h, w) to the same shape."""
        value = self.value(x).flatten(2)  # (batch, channels, h * w)
        attended = (value @ self.attention(x).transpose(1, 2)).view_as(x)
        if self.output is not None:
            attended = self.output(attended)
        return self.gamma * attended + x


class Down(nn.Module):
    """Convolution 4x4 with padding 1, then batch norm unless `has_norm` is false."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, has_norm: bool, bias: bool
    ):
        """Makes the layers."""
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 4, stride, padding=1, bias=bias)
        self.bn = nn.BatchNorm2d(out_channels) if has_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, out_channels, h / 2, w / 2) at stride 2."""
        return self.bn(self.conv(x))


class Up(nn.Module):
    """Transposed convolution 4x4, stride 2, padding 1, then batch norm; the last one has a bias."""

    def __init__(self, in_channels: int, out_channels: int, is_last: bool):
        """Makes the layers."""
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, 2, padding=1, bias=is_last)
        self.bn = nn.Identity() if is_last else nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, out_channels, 2 h, 2 w)."""
        return self.bn(self.conv(x))


class Generator(nn.Module):
    """U-Net with self-attention; level k is the map of size / 2^k pixels."""

    def __init__(
        self,
        image_channels: int = 3,
        width: int = 64,
        num_levels: int = 5,
        encoder_attention_level: int = 2,
        skip_attention_level: int = 2,
        decoder_attention_level: int = 2,
        skip_source: str = "convolution",
        attention_reduction: int = 8,
        attention_has_output_convolution: bool = False,
        dropout_rate: float = 0.0,
    ):
        """Makes the layers.

        Args:
            image_channels: 1 for gray images, 3 for colour.
            width: Channels of level 1; each level has twice as many, at most 8 times.
            num_levels: Number of downsamplings.
            encoder_attention_level: Level whose map goes attended to the next; 0: none.
            skip_attention_level: Level whose copy for the decoder is attended; 0: none.
            decoder_attention_level: Level whose decoded map is attended; 0: none.
            skip_source: What the decoder gets of the level of the encoder's attention: the
                `"convolution"`'s map or the `"attended"` one.
            attention_reduction: Channels over those of queries and keys.
            attention_has_output_convolution: Whether an attention ends in a 1x1 convolution.
            dropout_rate: Of the innermost layer of the decoder, in training.
        """
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(num_levels)]
        self.skip_source = skip_source
        self.levels = (encoder_attention_level, skip_attention_level, decoder_attention_level)
        self.down = nn.ModuleList(
            Down(inputs, outputs, 2, has_norm=0 < i < num_levels - 1, bias=i == 0)
            for i, (inputs, outputs) in enumerate(
                zip([image_channels, *widths[:-1]], widths, strict=True)
            )
        )
        outputs = [*reversed(widths[:-1]), image_channels]
        inputs = [widths[-1], *(2 * w for w in reversed(widths[:-1]))]
        self.up = nn.ModuleList(
            Up(i, o, is_last=index == num_levels - 1)
            for index, (i, o) in enumerate(zip(inputs, outputs, strict=True))
        )
        self.encoder_attention, self.skip_attention, self.decoder_attention = (
            SelfAttention(widths[level - 1], attention_reduction, attention_has_output_convolution)
            if level
            else nn.Identity()
            for level in self.levels
        )
        self.dropout = nn.Dropout(dropout_rate)
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Draws the expression of images (batch, channels, size, size) on an average face."""
        encoder_level, skip_level, decoder_level = self.levels
        skips = []
        x = image
        for level, down in enumerate(self.down, start=1):
            convolved = down(x if level == 1 else functional.leaky_relu(x, 0.2))
            x = self.encoder_attention(convolved) if level == encoder_level else convolved
            skip = x if self.skip_source == "attended" else convolved
            skips.append(self.skip_attention(skip) if level == skip_level else skip)
        skips.pop()  # the bottleneck itself
        for index, up in enumerate(self.up):
            if index > 0:
                x = torch.cat([skips[-index], x], dim=1)
            x = up(torch.relu(x))
            if index == 0:
                x = self.dropout(x)
            if decoder_level and len(skips) - index == decoder_level:
                x = self.decoder_attention(x)
        return torch.tanh(x)


class Discriminator(nn.Module):
    """PatchGAN on pairs of images."""

    def __init__(self, image_channels: int = 3, width: int = 64, num_strided_layers: int = 3):
        """Makes the layers; the first convolution sees both images one on the other."""
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(num_strided_layers + 1)]
        self.layers = nn.ModuleList(
            Down(inputs, outputs, 2 if i < num_strided_layers else 1, has_norm=i > 0, bias=i == 0)
            for i, (inputs, outputs) in enumerate(
                zip([2 * image_channels, *widths[:-1]], widths, strict=True)
            )
        )
        self.to_logits = Down(widths[-1], 1, 1, has_norm=False, bias=True)
        self.apply(initialise)

    def forward(self, condition: Tensor, candidate: Tensor) -> Tensor:
        """Judges candidates for the condition: one logit a patch, positive for a true pair."""
        x = torch.cat([condition, candidate], dim=1)
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
        return self.to_logits(x)


def initialise(module: nn.Module) -> None:
    """Kernels from N(0, 0.02^2), scales of batch norms from N(1, 0.02^2), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)


def normalised(images: Tensor) -> Tensor:
    """Images in [-1, 1] as the classifier expects them, several of them one on the other too.

    Args:
        images: (batch, channels, size, size), channels a multiple of 3 for colour; else gray.
    """
    mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_DEVIATION)
    channels = images.shape[1]
    if channels % 3:
        mean, deviation = mean.mean().reshape(1), deviation.mean().reshape(1)
    mean, deviation = (
        vector.repeat(channels // len(vector)).view(1, -1, 1, 1).to(images)
        for vector in (mean, deviation)
    )
    return ((images + 1) / 2 - mean) / deviation
