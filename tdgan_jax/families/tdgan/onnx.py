"""TDGAN in ONNX, through the torch twin: `recogniser.onnx` and `generator.onnx`.

Images are `[batch, channels, S, S]` in [0, 1], the batch is free.

    recogniser.onnx   image -> logits [batch, expressions]
    generator.onnx    face, expression, noise [batch, N_z, S/16, S/16] in [0, 1) -> image

A network without noise has no input `noise`.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from tdgan_jax.torch_weights.onnx_files import (
    GENERATOR_FILE,
    RECOGNISER_FILE,
    write_onnx_network,
)
from tdgan_jax.torch_weights.tdgan_torch import Generator, encoded_size_px


class Recogniser(nn.Module):
    """The expression module alone: encoder and head."""

    def __init__(self, generator: Generator):
        """Takes the two networks out of a generator."""
        super().__init__()
        self.enc_ER = generator.enc_ER
        self.fc_ER = generator.fc_ER

    def forward(self, image: Tensor) -> Tensor:
        """Maps images to logits."""
        return self.fc_ER(self.enc_ER(image))


class Transfer(nn.Module):
    """The generator without the head."""

    def __init__(self, generator: Generator):
        """Takes encoders and decoder out of a generator."""
        super().__init__()
        self.enc_FR = generator.enc_FR
        self.enc_ER = generator.enc_ER
        self.dec = generator.dec

    def forward(self, face: Tensor, expression: Tensor, *noise: Tensor) -> Tensor:
        """Puts expressions on faces."""
        drawn = noise[0] if noise else None
        return self.dec(self.enc_ER(expression), self.enc_FR(face), drawn, face)


def write_onnx_files(
    folder: Path, generator: Generator, *, image_shape: tuple[int, int, int], noise_channels: int
) -> None:
    """Writes both files.

    Args:
        folder: An existing folder.
        generator: In evaluation mode.
        image_shape: Channels, height and width of its images.
        noise_channels: N_z.
    """
    # Two examples: a batch of one would be taken for a constant. Two tensors: one given twice
    # would become one input.
    face, expression = torch.zeros(2, 2, *image_shape)
    inputs = {"face": face, "expression": expression}
    if noise_channels:
        feature_size = encoded_size_px(image_shape[-1])
        inputs["noise"] = torch.zeros(2, noise_channels, feature_size, feature_size)
    write_onnx_network(Recogniser(generator), {"image": face}, "logits", folder / RECOGNISER_FILE)
    write_onnx_network(Transfer(generator), inputs, "image", folder / GENERATOR_FILE)
