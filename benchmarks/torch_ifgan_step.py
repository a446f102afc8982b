"""IF-GAN's training step in PyTorch: what JAX's is timed against.

Losses and updates of `tdgan_jax/families/ifgan/step.py` with the specification's choices: the
discriminator learns first; then generator and classifier learn together, from its judgement, the
distance to the average face, the cross-entropy of both tuples and the island loss. Images are float
tensors (batch, channels, size, size) in [-1, 1].
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tdgan_jax.families.ifgan.twin import Discriminator, Generator, normalised
from tdgan_jax.torch_weights.resnet_torch import ResNet

LEARNING_RATE = 1e-4
ABSOLUTE_ERROR_WEIGHT = 20.0  # lambda_2
SOFTMAX_WEIGHT = 10.0  # lambda_3
PAIRWISE_WEIGHT = 0.03  # alpha
CENTRE_RATE = 0.5


class Classifier(nn.Module):
    """A ResNet that gives its pooled features too."""

    def __init__(self, resnet: ResNet):
        """Holds the network."""
        super().__init__()
        self.resnet = resnet

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features (batch, F) and logits (batch, classes)."""
        features = self.resnet.features(image)
        return features, self.resnet.fc(features)


class TorchIfganStep:
    """The networks, their Adam optimisers, the centres and the training step."""

    def __init__(self, generator: Generator, discriminator: Discriminator, classifier: ResNet):
        """Holds the networks and makes the optimisers.

        Args:
            generator: G.
            discriminator: D.
            classifier: E, on both images of a pair one on the other.
        """
        self.generator = generator
        self.discriminator = discriminator
        self.classifier = Classifier(classifier)
        self.networks: list[nn.Module] = [generator, discriminator, self.classifier]
        self.centres = torch.zeros(classifier.fc.out_features, classifier.fc.in_features)
        self._has_centres = False
        self._discriminator_optimizer = _adam(discriminator)
        self._joint_optimizers = [_adam(generator), _adam(classifier)]
        self._joint_parameters = [*generator.parameters(), *classifier.parameters()]

    def step(self, image: Tensor, average_image: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Trains on one batch.

        Args:
            image: I_SE.
            average_image: I_AE, of the same shape.
            label: (batch,) int64.

        Returns:
            The losses, scalars, by the names that they have in JAX.
        """
        drawn = self.generator(image)
        true_loss = functional.softplus(-self.discriminator(image, average_image)).mean()
        drawn_loss = functional.softplus(self.discriminator(image, drawn.detach())).mean()
        self._discriminator_optimizer.zero_grad()
        (true_loss + drawn_loss).backward()
        self._discriminator_optimizer.step()

        judged = self.discriminator(image, drawn)
        losses = {
            "discriminator_true": true_loss,
            "discriminator_drawn": drawn_loss,
            "adversarial": -functional.softplus(judged).mean(),  # log(1 - D), as printed
            "absolute_error": functional.l1_loss(drawn, average_image),
        }
        features = []
        for name, second in (("true", average_image), ("drawn", drawn)):
            pair = normalised(torch.cat([image, second], dim=1))
            feature, logits = self.classifier(pair)
            features.append(feature)
            losses[f"{name}_softmax"] = functional.cross_entropy(logits, label)
        island = self._island_loss(torch.cat(features), label.repeat(2))
        softmax = losses["true_softmax"] + losses["drawn_softmax"]
        losses["classifier"] = SOFTMAX_WEIGHT * softmax + island
        losses["generator"] = (
            losses["adversarial"] + ABSOLUTE_ERROR_WEIGHT * losses["absolute_error"]
        )
        for optimizer in self._joint_optimizers:
            optimizer.zero_grad()
        total = losses["classifier"] + losses["generator"]
        # With `inputs`, the discriminator's weight gradients are neither stored nor computed.
        total.backward(inputs=self._joint_parameters)
        for optimizer in self._joint_optimizers:
            optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _island_loss(self, features: Tensor, label: Tensor) -> Tensor:
        """L_IL summed over the images; moves the centres, which the first batch's means begin."""
        features = features.float()
        self.centres = self.centres.to(features.device)
        member = functional.one_hot(label, len(self.centres)).float()  # (batch, classes)
        counts = member.sum(dim=0)[:, None]
        with torch.no_grad():
            sums = member.T @ features
            if not self._has_centres:
                self.centres = torch.where(counts > 0, sums / counts.clamp(min=1), self.centres)
                self._has_centres = True
            centres = self.centres
            units = functional.normalize(centres, dim=1)
            cosines = units @ units.T
            similarity = (cosines + 1).sum() - (cosines.diagonal() + 1).sum()
            own = (cosines.sum(dim=1) - cosines.diagonal())[:, None]
            pairwise = (units.sum(dim=0) - units - own * units) / centres.norm(
                dim=1, keepdim=True
            ).clamp(min=1e-6)
            to_centre = (counts * centres - sums) / (1 + counts)
            moved = to_centre + PAIRWISE_WEIGHT * pairwise / max(len(centres) - 1, 1)
            self.centres = centres - CENTRE_RATE * moved
        distance = (features - centres[label]).square().sum()
        return distance + PAIRWISE_WEIGHT * similarity


def _adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(
        network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
    )


def make_torch_step(architecture: dict[str, Any], num_expressions: int) -> TorchIfganStep:
    """Makes the networks of a configuration's `model` section in training mode.

    Args:
        architecture: The section's fields; pairs are concatenated, as is the default.
        num_expressions: Number of classes.
    """
    generator_fields = {
        "width": "generator_width",
        "num_levels": "generator_levels",
        "dropout_rate": "generator_dropout_rate",
        **{
            name: name
            for name in (
                "image_channels",
                "encoder_attention_level",
                "skip_attention_level",
                "decoder_attention_level",
                "skip_source",
                "attention_reduction",
                "attention_has_output_convolution",
            )
        },
    }
    channels = architecture["image_channels"]
    return TorchIfganStep(
        Generator(**{name: architecture[field] for name, field in generator_fields.items()}),
        Discriminator(
            channels,
            architecture["discriminator_width"],
            architecture["discriminator_strided_layers"],
        ),
        ResNet(
            depth=architecture["classifier_depth"],
            width=architecture["classifier_width"],
            image_channels=2 * channels,
            num_classes=num_expressions,
        ),
    )
