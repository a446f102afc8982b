"""IF-GAN in ONNX, through the torch twin: `recogniser.onnx` and `generator.onnx`.

Images are `[batch, channels, S, S]` in [0, 1], the batch is free.

    recogniser.onnx   image -> logits [batch, expressions]
    generator.onnx    image -> average_face; not for the baseline
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from tdgan_jax.families.ifgan.recogniser_twin import Recogniser
from tdgan_jax.torch_weights.onnx_files import (
    GENERATOR_FILE,
    RECOGNISER_FILE,
    write_onnx_network,
)


class Drawing(nn.Module):
    """The generator with images in [0, 1]."""

    def __init__(self, recogniser: Recogniser):
        """Takes the generator out of a recogniser."""
        super().__init__()
        self.recogniser = recogniser

    def forward(self, image: Tensor) -> Tensor:
        """Draws average faces."""
        return self.recogniser.average_faces(image)


def write_onnx_files(
    folder: Path, recogniser: Recogniser, *, image_shape: tuple[int, int, int]
) -> None:
    """Writes the files.

    Args:
        folder: An existing folder.
        recogniser: In evaluation mode.
        image_shape: Channels, height and width of its images.
    """
    # Two examples: a batch of one would be taken for a constant.
    inputs = {"image": torch.zeros(2, *image_shape)}
    write_onnx_network(recogniser, inputs, "logits", folder / RECOGNISER_FILE)
    if recogniser.generator is not None:
        write_onnx_network(Drawing(recogniser), inputs, "average_face", folder / GENERATOR_FILE)
