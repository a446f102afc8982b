"""TDGAN in plain PyTorch, with the state-dict keys of the published weight files.

For users of PyTorch: copy this file, which needs nothing but PyTorch, or import it. It loads what
`tdgan-jax export MODEL --format torch --out FOLDER` wrote, and the published files as well::

    networks = load_networks("FOLDER")
    image, logits = networks.generator(face_image, expression_image)

By hand: `Enc_FR_G.pkl`, `Enc_ER_G.pkl`, `fc_ER_G.pkl` and `dec.pkl` are the state dicts of
`Generator`'s `enc_FR`, `enc_ER`, `fc_ER` and `dec`, `Dis_FR.pkl` and `Dis_ER.pkl` those of a
`Discriminator` each; `model.json` beside them holds the architecture and the names of the classes.

Images are float tensors (batch, channels, image_size_px, image_size_px) with values in [0, 1];
features are (batch, width of 128, image_size_px / 16, image_size_px / 16). All widths named below
are those of the paper; `width_multiplier` scales each to `max(1, round(width * multiplier))`.

Source: Xie, Hu, Chen, "Facial Expression Recognition with Two-branch Disentangled Generative
Adversarial Network", IEEE TCSVT 31(6); layer by layer from section 2 of the project's
specification of TDGAN.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


def scaled_width(width: int, width_multiplier: float) -> int:
    """Returns the paper's `width` of a layer times the multiplier, rounded, at least 1."""
    return max(1, round(width * width_multiplier))


def encoded_size_px(image_size_px: int) -> int:
    """Returns the side of a feature map of an encoder, 1/16 of the image's.

    Raises:
        ValueError: If the image's side is not a positive multiple of 16.
    """
    if image_size_px <= 0 or image_size_px % 16:
        raise ValueError(f"image_size_px must be a positive multiple of 16, not {image_size_px}")
    return image_size_px // 16


class ConvIN(nn.Module):
    """Convolution without bias, affine instance norm (eps 1e-3), ReLU; the size is kept."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        """Makes the layers; `kernel_size` is odd."""
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        )
        # Called "bn" in the weight files although it normalises each sample by itself.
        self.bn = nn.InstanceNorm2d(out_channels, eps=1e-3, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, in_channels, h, w) to (batch, out_channels, h, w), values >= 0."""
        return torch.relu(self.bn(self.conv(x)))


class InceptionResidualBlock(nn.Module):
    """Three convolutional branches of `branch_width` channels, merged and added to the input."""

    def __init__(self, width: int, branch_width: int, residual_scale: float = 0.17):
        """Makes the layers; the merged branches are scaled by `residual_scale` before the sum."""
        super().__init__()
        self.residual_scale = residual_scale
        self.branch0 = nn.Sequential(ConvIN(width, branch_width, 1))
        self.branch1 = nn.Sequential(
            ConvIN(width, branch_width, 1),
            ConvIN(branch_width, branch_width, 3),
        )
        self.branch2 = nn.Sequential(
            ConvIN(width, branch_width, 1),
            ConvIN(branch_width, branch_width, 3),
            ConvIN(branch_width, branch_width, 3),
        )
        self.conv2d = nn.Conv2d(3 * branch_width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, width, h, w) to the same shape, values >= 0."""
        branches = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], dim=1)
        return torch.relu(torch.add(x, self.conv2d(branches), alpha=self.residual_scale))


class Encoder(nn.Module):
    """Encoder E_f, E_e and that of both discriminators: an image to a feature map."""

    def __init__(
        self, channels: int = 1, width_multiplier: float = 1.0, num_inception_blocks: int = 4
    ):
        """Makes the layers with PyTorch's default initialisation.

        Args:
            channels: Channels of the image: 1 (gray) or 3.
            width_multiplier: Scales the widths 32, 64, 128 and the inception branches' 16.
            num_inception_blocks: Inception-residual blocks.
        """
        super().__init__()
        width32, width64, width128, branch_width = (
            scaled_width(width, width_multiplier) for width in (32, 64, 128, 16)
        )
        self.conv1 = nn.Sequential(ConvIN(channels, width32, 5))
        self.conv2 = nn.Sequential(ConvIN(width32, width64, 5))
        self.repeat = nn.Sequential(
            *(InceptionResidualBlock(width64, branch_width) for _ in range(num_inception_blocks))
        )
        self.conv3 = nn.Sequential(ConvIN(width64, width128, 5))
        self.conv4 = nn.Sequential(ConvIN(width128, width128, 5))
        # In ceil mode the last window hangs over the right and lower edge: the side is halved.
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)

    def forward(self, image: Tensor) -> Tensor:
        """Encodes images.

        Args:
            image: (batch, channels, size, size), values in [0, 1], size a multiple of 16.

        Returns:
            The feature (batch, 128, size / 16, size / 16), values >= 0.
        """
        x = self.pool(self.conv1(image))  # (batch, 32, size / 2, size / 2)
        x = self.pool(self.conv2(x))  # (batch, 64, size / 4, size / 4)
        x = self.repeat(x)
        x = self.pool(self.conv3(x))  # (batch, 128, size / 8, size / 8)
        return self.pool(self.conv4(x))  # (batch, 128, size / 16, size / 16)


class Head(nn.Module):
    """Fully connected head: the expression classifier M_ER and that of both discriminators."""

    def __init__(
        self,
        num_classes: int,
        image_size_px: int = 128,
        width_multiplier: float = 1.0,
        dropout_rate: float = 0.5,
    ):
        """Makes the layers: weights from N(0, 0.02^2), biases 0.

        Args:
            num_classes: Number of logits.
            image_size_px: Side of the encoded image, a multiple of 16.
            width_multiplier: Scales the feature's width of 128 and the hidden width of 1024.
            dropout_rate: Part of the inputs of the first two layers dropped in training.

        Raises:
            ValueError: If the image's side is not a positive multiple of 16.
        """
        super().__init__()
        width128, hidden_width = (scaled_width(w, width_multiplier) for w in (128, 1024))
        self.fc1 = nn.Linear(width128 * encoded_size_px(image_size_px) ** 2, hidden_width)
        self.fc2 = nn.Linear(hidden_width, hidden_width)
        self.fc3 = nn.Linear(hidden_width, num_classes)
        self.dropout = nn.Dropout(dropout_rate)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """Maps an encoder's feature (batch, 128, h, w) to logits (batch, num_classes)."""
        x = feature.flatten(1)  # (batch, 128 * h * w), in the order channel, row, column
        x = torch.relu(self.fc1(self.dropout(x)))
        x = torch.relu(self.fc2(self.dropout(x)))
        return self.fc3(x)


class ResidualBlock(nn.Module):
    """The decoder's residual block x + ReLU(Conv(x)), without a norm."""

    def __init__(self, width: int):
        """Makes a 3x3 convolution of `width` channels with bias."""
        super().__init__()
        self.infer = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, width, h, w) to the same shape."""
        return x + self.infer(x)


class ResizeConvolution(nn.Conv2d):
    """Repeats pixels, then convolves: doubles the side."""

    def forward(self, input: Tensor) -> Tensor:  # as the base class names it
        """Maps (batch, in, h, w) to (batch, out, 2 h, 2 w)."""
        return super().forward(nn.functional.interpolate(input, scale_factor=2))


class PixelNorm(nn.Module):
    """Divides each pixel's vector of channels by the root of its mean square."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, channels, h, w) to the same shape."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class Decoder(nn.Module):
    """Decoder D_g: the embedding of both features and noise, and five transposed convolutions."""

    def __init__(
        self,
        channels: int = 1,
        width_multiplier: float = 1.0,
        noise_channels: int = 256,
        num_residual_blocks: int = 6,
        upsampling: str = "transposed",
        norm: str = "instance",
        sees_face: bool = False,
    ):
        """Makes the layers: weights from N(0, 0.02^2), biases with PyTorch's default.

        Args:
            channels: Channels of the image: 1 (gray) or 3.
            width_multiplier: Scales the features' width of 128 and the widths 512, 256, 128, 64.
            noise_channels: Channels of the noise, N_z; not scaled, 0 for a decoder without noise.
            num_residual_blocks: Residual blocks of the embedding, N_b.
            upsampling: "transposed", as released, or "resize".
            norm: "instance", as released, or "pixel".
            sees_face: Whether it changes the face image; False, as released: it draws a new one.
        """
        super().__init__()
        self.noise_channels = noise_channels
        self.sees_face = sees_face
        seen = channels if sees_face else 0
        width64, width128, width256, width512 = (
            scaled_width(width, width_multiplier) for width in (64, 128, 256, 512)
        )
        self.emb1 = nn.Sequential(
            nn.Conv2d(2 * width128 + noise_channels, width128, 3, padding=1), nn.ReLU()
        )
        self.emb2 = nn.Sequential(*(ResidualBlock(width128) for _ in range(num_residual_blocks)))
        widths = (width128, width512, width256, width128, width64)
        self.us1, self.us2, self.us3, self.us4 = (
            self._upsampling(inputs + seen, outputs, upsampling, norm)
            for inputs, outputs in pairwise(widths)
        )
        self.us5 = nn.Sequential(
            nn.ConvTranspose2d(width64 + seen, channels, 3, padding=1, bias=False), nn.Sigmoid()
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.02)

    @staticmethod
    def _upsampling(
        in_channels: int, out_channels: int, upsampling: str, norm: str
    ) -> nn.Sequential:
        """Makes a layer that doubles the side; its norm has no parameters."""
        if upsampling not in ("transposed", "resize") or norm not in ("instance", "pixel"):
            raise ValueError(f"unknown decoder: upsampling {upsampling!r}, norm {norm!r}")
        if upsampling == "transposed":
            convolution: nn.Module = nn.ConvTranspose2d(
                in_channels, out_channels, 4, stride=2, padding=1, bias=False
            )
        else:
            convolution = ResizeConvolution(in_channels, out_channels, 3, padding=1, bias=False)
        normalisation = nn.InstanceNorm2d(out_channels, eps=1e-5)
        return nn.Sequential(
            convolution, normalisation if norm == "instance" else PixelNorm(), nn.ReLU()
        )

    def forward(
        self,
        expression_feature: Tensor,
        face_feature: Tensor,
        noise: Tensor | None = None,
        face_image: Tensor | None = None,
    ) -> Tensor:
        """Makes an image with the given face and expression.

        Args:
            expression_feature: d_e, (batch, 128, h, w).
            face_feature: d_f, (batch, 128, h, w).
            noise: d_n, (batch, noise_channels, h, w), values in [0, 1); drawn uniformly if None.
            face_image: I_f, (batch, channels, 16 h, 16 w), for a decoder that sees it.

        Returns:
            Images (batch, channels, 16 h, 16 w), values in (0, 1).
        """
        # The order of the released code; the paper's figure draws the face feature first.
        inputs = [expression_feature, face_feature]
        if noise is not None:
            inputs.append(noise)
        elif self.noise_channels:
            inputs.append(draw_noise(face_feature, self.noise_channels))
        x = torch.cat(inputs, dim=1)  # (batch, 128 + 128 + noise_channels, h, w)
        x = self.emb2(self.emb1(x))  # (batch, 128, h, w)
        if self.sees_face:
            return self._change(x, face_image)
        x = self.us1(x)  # (batch, 512, 2 h, 2 w)
        x = self.us2(x)  # (batch, 256, 4 h, 4 w)
        x = self.us3(x)  # (batch, 128, 8 h, 8 w)
        x = self.us4(x)  # (batch, 64, 16 h, 16 w)
        return self.us5(x)  # (batch, channels, 16 h, 16 w)

    def _change(self, x: Tensor, face_image: Tensor | None) -> Tensor:
        """The face image, changed by what the layers add to its logits."""
        if face_image is None:
            raise ValueError("this decoder changes a face image; give face_image")
        levels = [face_image - 0.5]
        for _ in range(4):
            levels.append(nn.functional.avg_pool2d(levels[-1], 2))
        for layer in (self.us1, self.us2, self.us3, self.us4, self.us5[0]):
            x = layer(torch.cat([x, levels.pop()], dim=1))
        # Clipped to [0.02, 0.98], so that the logits are finite.
        return torch.sigmoid(x + torch.logit(face_image, eps=0.02))


def draw_noise(feature: Tensor, noise_channels: int) -> Tensor:
    """Draws noise d_n, uniform on [0, 1), with the batch, spatial size and device of `feature`."""
    batch_size, _, height, width = feature.shape
    return torch.rand(
        batch_size, noise_channels, height, width, dtype=feature.dtype, device=feature.device
    )


class GeneratorOutput(NamedTuple):
    """What the generator returns."""

    image: Tensor  # I_g, (batch, channels, size, size), values in (0, 1)
    expression_logits: Tensor  # M_ER's, (batch, num_classes)


class Generator(nn.Module):
    """Generator G: both encoders, the expression classifier M_ER and the decoder."""

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        image_size_px: int = 128,
        width_multiplier: float = 1.0,
        noise_channels: int = 256,
        num_residual_blocks: int = 6,
        dropout_rate: float = 0.5,
        num_inception_blocks: int = 4,
        upsampling: str = "transposed",
        decoder_norm: str = "instance",
        decoder_sees_face: bool = False,
    ):
        """Makes the four networks.

        Args:
            num_classes: Number of expressions, C.
            channels: Channels of the images: 1 (gray) or 3.
            image_size_px: Side of the images, a multiple of 16.
            width_multiplier: Scales all widths but `noise_channels`.
            noise_channels: Channels of the decoder's noise, N_z.
            num_residual_blocks: Residual blocks of the decoder's embedding, N_b.
            dropout_rate: Dropout of the expression classifier in training.
            num_inception_blocks: Inception-residual blocks of each encoder.
            upsampling: See `Decoder`.
            decoder_norm: `norm` of `Decoder`.
            decoder_sees_face: `sees_face` of `Decoder`.

        Raises:
            ValueError: If the images' side is not a positive multiple of 16.
        """
        super().__init__()
        self.enc_FR = Encoder(channels, width_multiplier, num_inception_blocks)
        self.enc_ER = Encoder(channels, width_multiplier, num_inception_blocks)
        self.fc_ER = Head(num_classes, image_size_px, width_multiplier, dropout_rate)
        self.dec = Decoder(
            channels,
            width_multiplier,
            noise_channels,
            num_residual_blocks,
            upsampling,
            decoder_norm,
            decoder_sees_face,
        )

    def forward(
        self, face_image: Tensor, expression_image: Tensor, noise: Tensor | None = None
    ) -> GeneratorOutput:
        """Puts the expression of `expression_image` on the face of `face_image`.

        Args:
            face_image: I_f, (batch, channels, size, size), values in [0, 1].
            expression_image: I_e, the same shape and range.
            noise: See `Decoder`; drawn if None.

        Returns:
            The generated image and M_ER's logits of `expression_image`.
        """
        expression_feature = self.enc_ER(expression_image)
        image = self.dec(expression_feature, self.enc_FR(face_image), noise, face_image)
        return GeneratorOutput(image, self.fc_ER(expression_feature))


class DiscriminatorOutput(NamedTuple):
    """What a discriminator returns."""

    feature: Tensor  # (batch, 128, size / 16, size / 16), values >= 0
    logits: Tensor  # (batch, num_classes)


class Discriminator(nn.Module):
    """Discriminator D_f (identities and one more class, "fake", the last) or D_e (expressions)."""

    def __init__(
        self,
        num_classes: int,
        channels: int = 1,
        image_size_px: int = 128,
        width_multiplier: float = 1.0,
        dropout_rate: float = 0.5,
        num_inception_blocks: int = 4,
    ):
        """Makes an encoder and a head.

        Args:
            num_classes: Number of logits: identities + 1 for D_f, expressions for D_e.
            channels: Channels of the images: 1 (gray) or 3.
            image_size_px: Side of the images, a multiple of 16.
            width_multiplier: Scales all widths.
            dropout_rate: Dropout of the head in training.
            num_inception_blocks: Inception-residual blocks of the encoder.

        Raises:
            ValueError: If the images' side is not a positive multiple of 16.
        """
        super().__init__()
        self.enc = Encoder(channels, width_multiplier, num_inception_blocks)
        self.fc = Head(num_classes, image_size_px, width_multiplier, dropout_rate)

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        """Encodes and classifies images (batch, channels, size, size) with values in [0, 1]."""
        feature = self.enc(image)
        return DiscriminatorOutput(feature, self.fc(feature))


class Networks(NamedTuple):
    """All networks, as an export holds them, in evaluation mode."""

    generator: Generator
    face_discriminator: Discriminator
    expression_discriminator: Discriminator
    description: Mapping[str, Any]  # the content of model.json; empty where there is none


def load_networks(folder: str | Path) -> Networks:
    """Loads an export, or the six published files.

    Args:
        folder: Holds the six `.pkl` files and, unless the networks have the paper's sizes,
            `model.json`.

    Raises:
        RuntimeError: If the weights do not fit the architecture (PyTorch's own message).
    """
    folder = Path(folder)
    stored = folder / "model.json"
    description = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    names = ("Enc_FR_G", "Enc_ER_G", "fc_ER_G", "dec", "Dis_FR", "Dis_ER")
    # Tensors only, never other pickles.
    weights = {
        name: torch.load(folder / f"{name}.pkl", map_location="cpu", weights_only=True)
        for name in names
    }
    return make_networks(weights, description)


def make_networks(
    weights: Mapping[str, Mapping[str, Tensor]], description: Mapping[str, Any]
) -> Networks:
    """Makes the networks and fills them.

    Args:
        weights: The state dicts by the stem of their file; entries of old files for instance norms
            are left out.
        description: The content of `model.json`; the paper's sizes where its `architecture` lacks
            a field.

    Raises:
        RuntimeError: If the weights do not fit the architecture (PyTorch's own message).
    """
    architecture = description.get("architecture", {})
    shared = {
        "channels": architecture.get("image_channels", 1),
        "image_size_px": architecture.get("image_size_px", 128),
        "width_multiplier": architecture.get("width_multiplier", 1.0),
        "dropout_rate": architecture.get("dropout_rate", 0.5),
        "num_inception_blocks": architecture.get("num_inception_blocks", 4),
    }
    generator = Generator(
        len(weights["fc_ER_G"]["fc3.bias"]),
        noise_channels=architecture.get("noise_channels", 256),
        num_residual_blocks=architecture.get("num_residual_convolutions", 6),
        upsampling=architecture.get("upsampling", "transposed"),
        decoder_norm=architecture.get("decoder_norm", "instance"),
        decoder_sees_face=architecture.get("decoder_sees_face", False),
        **shared,
    )
    face_discriminator = Discriminator(len(weights["Dis_FR"]["fc.fc3.bias"]), **shared)
    expression_discriminator = Discriminator(len(weights["Dis_ER"]["fc.fc3.bias"]), **shared)
    unused = (".running_mean", ".running_var", ".num_batches_tracked")
    for network, name in (
        (generator.enc_FR, "Enc_FR_G"),
        (generator.enc_ER, "Enc_ER_G"),
        (generator.fc_ER, "fc_ER_G"),
        (generator.dec, "dec"),
        (face_discriminator, "Dis_FR"),
        (expression_discriminator, "Dis_ER"),
    ):
        used = {key: value for key, value in weights[name].items() if not key.endswith(unused)}
        network.load_state_dict(used, strict=True)
    return Networks(
        generator.eval(), face_discriminator.eval(), expression_discriminator.eval(), description
    )
