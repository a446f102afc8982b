"""A trained IF-GAN at test time in plain PyTorch: image -> average face -> expression.

Built of `ifgan_torch` and `resnet_torch` beside it, of which a copy works without this package (the
two imports are to be shortened then). Images are float tensors (batch, channels, size, size) with
values in [0, 1].

    recogniser = load_recogniser("exported")  # a folder made by `tdgan-jax export --format torch`
    logits = recogniser(images)
    faces = recogniser.average_faces(images)
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tdgan_jax.families.ifgan.twin import Generator, normalised
from tdgan_jax.torch_weights.resnet_torch import ResNet

GENERATOR_FIELDS = {
    "image_channels": "image_channels",
    "generator_width": "width",
    "generator_levels": "num_levels",
    "encoder_attention_level": "encoder_attention_level",
    "skip_attention_level": "skip_attention_level",
    "decoder_attention_level": "decoder_attention_level",
    "skip_source": "skip_source",
    "attention_reduction": "attention_reduction",
    "attention_has_output_convolution": "attention_has_output_convolution",
}


class Recogniser(nn.Module):
    """Generator and classifier; the baseline has no generator."""

    def __init__(self, architecture: dict[str, Any], num_expressions: int):
        """Makes the networks.

        Args:
            architecture: The field `architecture` of an export's `model.json`.
            num_expressions: Number of logits.
        """
        super().__init__()
        sizes = architecture
        self.generator = None
        self.tuple_form = "first_image"
        if sizes["has_generator"]:
            fields = {theirs: sizes[ours] for ours, theirs in GENERATOR_FIELDS.items()}
            self.generator = Generator(**fields)
            self.tuple_form = sizes["tuple_form"]
        self.is_normalised = sizes["input_normalisation"] == "imagenet"
        self.classifier = ResNet(
            num_expressions,
            depth=sizes["classifier_depth"],
            width=sizes["classifier_width"],
            image_channels=sizes["image_channels"]
            * (2 if self.tuple_form == "concatenation" else 1),
            images_per_example=2 if self.tuple_form == "shared_concatenated" else 1,
        )

    def average_faces(self, image: Tensor) -> Tensor:
        """Draws the expressions of images on the face of an average person, in [0, 1]."""
        assert self.generator is not None, "the baseline draws nothing"
        return (self.generator(2 * image - 1) + 1) / 2

    def forward(self, image: Tensor) -> Tensor:
        """Maps images to logits (batch, expressions)."""
        first = 2 * image - 1
        if self.generator is None:
            return self.classifier(self._prepared(first))
        second = self._prepared(self.generator(first))
        first = self._prepared(first)
        if self.tuple_form == "concatenation":
            return self.classifier(torch.cat([first, second], dim=1))
        if self.tuple_form == "second_image":
            return self.classifier(second)
        features = [self.classifier.features(one) for one in (first, second)]
        if self.tuple_form == "shared_averaged":
            return self.classifier.fc((features[0] + features[1]) / 2)
        return self.classifier.fc(torch.cat(features, dim=1))

    def _prepared(self, image: Tensor) -> Tensor:
        return normalised(image) if self.is_normalised else image


def load_recogniser(folder: str | Path) -> Recogniser:
    """Loads an export in PyTorch's format, in evaluation mode.

    Args:
        folder: What `tdgan-jax export --format torch` wrote.
    """
    folder = Path(folder)
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    recogniser = Recogniser(described["architecture"], len(described["expression_names"]))
    networks = {"generator": recogniser.generator, "classifier": recogniser.classifier}
    for name, network in networks.items():
        if network is not None:
            network.load_state_dict(torch.load(folder / f"{name}.pkl", weights_only=True))
    return recogniser.eval()
