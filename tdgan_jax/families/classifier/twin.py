"""The plain classifier in PyTorch: image -> logits.

Built of `tdgan_torch`, `resnet_torch` and `densenet_torch`, of which copies work without this
package (the imports are to be shortened then). Images are float tensors (batch, channels, size,
size) in [0, 1], red first.

    classifier = load_classifier("exported")  # made by `tdgan-jax export --format torch`
    probabilities = classifier(images).softmax(dim=1)
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tdgan_jax.torch_weights.densenet_torch import DenseNetFeatures, average_features
from tdgan_jax.torch_weights.resnet_torch import ResNet
from tdgan_jax.torch_weights.tdgan_torch import Encoder, Head


class DenseNetEncoder(DenseNetFeatures):
    """A DenseNet up to its pooled feature."""

    def forward(self, image: Tensor) -> Tensor:
        """Maps images to features (batch, F)."""
        return average_features(super().forward(image))


class LinearHead(nn.Module):
    """One linear layer."""

    def __init__(self, num_features: int, num_classes: int):
        """Makes the layer."""
        super().__init__()
        self.fc = nn.Linear(num_features, num_classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Maps features (batch, F) to logits."""
        return self.fc(feature)


class Classifier(nn.Module):
    """Encoder and head, and what happens to images before."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, description: dict[str, Any]):
        """Makes the networks.

        Args:
            description: The content of an export's `model.json`.
        """
        super().__init__()
        sizes, preprocessing = description["architecture"], description["preprocessing"]
        num_classes = len(description["expression_names"])
        if sizes["encoder"] == "resnet":
            self.encoder: nn.Module = ResNet(
                None,
                depth=sizes["resnet_depth"],
                width=sizes["resnet_width"],
                image_channels=sizes["image_channels"],
                stem=sizes["resnet_stem"],
                reduction=sizes["squeeze_reduction"],
            )
            self.head: nn.Module = LinearHead(self.encoder.num_features, num_classes)
        elif sizes["encoder"] == "densenet":
            self.encoder = DenseNetEncoder(
                tuple(sizes["densenet_block_layers"]),
                sizes["densenet_growth_rate"],
                sizes["densenet_initial_channels"],
                image_channels=sizes["image_channels"],
            )
            self.head = LinearHead(self.encoder.num_features, num_classes)
        else:
            self.encoder, self.head = _inception(sizes, num_classes)
        self.is_reversed = preprocessing["channel_order"] == "bgr"
        self.register_buffer("mean", _per_channel(preprocessing["mean"]), persistent=False)
        self.register_buffer(
            "deviation", _per_channel(preprocessing["deviation"]), persistent=False
        )

    def forward(self, image: Tensor) -> Tensor:
        """Maps images in [0, 1] to logits (batch, classes)."""
        if self.is_reversed:
            image = image.flip(1)
        return self.head(self.encoder((image - self.mean) / self.deviation))


def _inception(sizes: dict[str, Any], num_classes: int) -> tuple[nn.Module, nn.Module]:
    width = sizes["width_multiplier"]
    encoder = Encoder(sizes["image_channels"], width, sizes["num_inception_blocks"])
    return encoder, Head(num_classes, sizes["image_size_px"], width, sizes["dropout_rate"])


def _per_channel(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)


def load_classifier(folder: str | Path) -> Classifier:
    """Loads an export in PyTorch's format, in evaluation mode."""
    folder = Path(folder)
    classifier = Classifier(json.loads((folder / "model.json").read_text()))
    for stem in ("encoder", "head"):
        weights = torch.load(folder / f"{stem}.pkl", weights_only=True)
        getattr(classifier, stem).load_state_dict(weights)
    return classifier.eval()
