"""The training step of TDGAN in eager PyTorch: what the JAX step's speed is compared with.

It computes what section 4 of the specification states and nothing twice: passes through the same
network with the same weights share a batch (instance norm is per sample, so that is exact), M_ER
runs in the first generator pass only, D_e sees real images only when it is updated, D_f's head sees
them only when it is updated, and the discriminators' weight gradients are not computed for the
generator's update. Adam is PyTorch's fused one.

    python -m benchmarks.torch_tdgan_step --batch_size 4 --threads 2
"""

import argparse
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.torch_weights.tdgan_torch import Discriminator, Generator

LEARNING_RATE = 1e-4
FACE_ADVERSARIAL_WEIGHT = 0.2  # lambda_G_f
EXPRESSION_ADVERSARIAL_WEIGHT = 0.8  # lambda_G_e
PERCEPTUAL_WEIGHT = 1.0  # lambda_per_f
CONSISTENCY_WEIGHT = 5.0  # lambda_DIC


class FirstPass(NamedTuple):
    """The first generator pass, and the features of the real images for the other two."""

    generated_image: Tensor  # I_g
    expression_feature: Tensor  # E_e(I_e)
    expression_feature_of_face: Tensor  # E_e(I_f)
    face_feature_of_expression: Tensor  # E_f(I_e)


class TorchTdganStep:
    """The networks, their four Adam optimisers and the training step."""

    def __init__(
        self,
        generator: Generator,
        face_discriminator: Discriminator,
        expression_discriminator: Discriminator,
        label_gradient_weight: float = 0.0,
    ):
        """Holds the networks and makes the optimisers.

        Args:
            generator: G.
            face_discriminator: D_f; its last class is "fake".
            expression_discriminator: D_e.
            label_gradient_weight: Of M_ER's loss in E_e's gradient; 0: M_ER alone learns from it.
        """
        self.generator = generator
        self.face_discriminator = face_discriminator
        self.expression_discriminator = expression_discriminator
        self.label_gradient_weight = label_gradient_weight
        self.generator_parameters = [
            parameter
            for network in (generator.dec, generator.enc_FR, generator.enc_ER)
            for parameter in network.parameters()
        ]
        self.generator_optimizer = _adam(self.generator_parameters)
        self.head_optimizer = _adam(generator.fc_ER.parameters())
        self.face_optimizer = _adam(face_discriminator.parameters())
        self.expression_optimizer = _adam(expression_discriminator.parameters())

    @property
    def networks(self) -> list[torch.nn.Module]:
        """The modules that a step calls."""
        generator, face = self.generator, self.face_discriminator
        parts = [generator.enc_FR, generator.enc_ER, generator.fc_ER, generator.dec]
        return [*parts, face, face.enc, self.expression_discriminator]

    def train(self, mode: bool = True) -> None:
        """Sets dropout on (`mode` true) or off in all networks."""
        for network in (self.generator, self.face_discriminator, self.expression_discriminator):
            network.train(mode)

    def step(
        self,
        face_image: Tensor,
        face_identity: Tensor,
        expression_image: Tensor,
        expression_label: Tensor,
        update_face_discriminator: bool,
        update_expression_discriminator: bool,
        noises: Sequence[Tensor] | None = None,
        gradient_norms: bool = False,
    ) -> dict[str, Tensor]:
        """Trains on one batch; the order and the gradients' routes are section 4's.

        Args:
            face_image: I_f, (batch, channels, size, size), values in [0, 1].
            face_identity: y_F, (batch,) int64.
            expression_image: I_e, shaped as the face image.
            expression_label: y_E, (batch,) int64.
            update_face_discriminator: Whether D_f is due in this step.
            update_expression_discriminator: Whether D_e is due.
            noises: Noise of the three decoder calls, each (batch, N_z, size / 16, size / 16);
                drawn if None.
            gradient_norms: Whether to compute the norms of the generator's gradients.

        Returns:
            The unweighted losses, scalars: those of a discriminator only when it is due.
        """
        first = self._first_pass(face_image, expression_image, noises)
        seen_by_head = first.expression_feature.detach()
        seen_by_head.requires_grad_(bool(self.label_gradient_weight))
        losses = self._update_head(seen_by_head, expression_label)
        if update_face_discriminator:
            perceptual_target = self._update_face_discriminator(
                face_image, face_identity, first.generated_image, losses
            )
        else:
            with torch.no_grad():
                perceptual_target = self.face_discriminator.enc(face_image)
        if update_expression_discriminator:
            logits = self.expression_discriminator(expression_image).logits
            loss = functional.cross_entropy(logits, expression_label)
            _update(self.expression_optimizer, loss)
            losses["expression_discriminator_loss"] = loss
        losses |= self._adversarial_losses(
            first.generated_image, face_identity, expression_label, perceptual_target
        )
        losses |= self._consistency_losses(first, face_image, expression_image, noises)
        losses["generator_loss"] = (
            FACE_ADVERSARIAL_WEIGHT * losses["face_adversarial_loss"]
            + EXPRESSION_ADVERSARIAL_WEIGHT * losses["expression_adversarial_loss"]
            + PERCEPTUAL_WEIGHT * losses["perceptual_loss"]
            + CONSISTENCY_WEIGHT * losses["face_consistency_loss"]
            + CONSISTENCY_WEIGHT * losses["expression_consistency_loss"]
        )
        minimised = losses["generator_loss"]
        if seen_by_head.grad is not None:
            # A term whose gradient at the feature is that of the head before its update.
            into_encoder = self.label_gradient_weight * seen_by_head.grad
            minimised = minimised + (first.expression_feature * into_encoder).sum()
        # With `inputs`, the discriminators' weight gradients are neither stored nor computed.
        _update(self.generator_optimizer, minimised, self.generator_parameters)
        if gradient_norms:
            losses |= self._gradient_norms()
        return {name: loss.detach() for name, loss in losses.items()}

    def _first_pass(
        self, face_image: Tensor, expression_image: Tensor, noises: Sequence[Tensor] | None
    ) -> FirstPass:
        """Encodes both real images with both encoders and makes I_g."""
        images = torch.cat([face_image, expression_image])  # (2 batch, channels, size, size)
        face_feature, face_feature_of_expression = self.generator.enc_FR(images).chunk(2)
        expression_feature_of_face, expression_feature = self.generator.enc_ER(images).chunk(2)
        noise = None if noises is None else noises[0]
        return FirstPass(
            self.generator.dec(expression_feature, face_feature, noise, face_image),
            expression_feature,
            expression_feature_of_face,
            face_feature_of_expression,
        )

    def _update_head(
        self, expression_feature: Tensor, expression_label: Tensor
    ) -> dict[str, Tensor]:
        """Updates M_ER, and it alone: the released code discards E_e's gradient of this loss."""
        logits = self.generator.fc_ER(expression_feature)
        loss = functional.cross_entropy(logits, expression_label)
        _update(self.head_optimizer, loss)
        return {"expression_classification_loss": loss}

    def _update_face_discriminator(
        self,
        face_image: Tensor,
        face_identity: Tensor,
        generated_image: Tensor,
        losses: dict[str, Tensor],
    ) -> Tensor:
        """Updates D_f, adds its losses and returns D_f's feature of I_f from before the update."""
        feature, logits = self.face_discriminator(torch.cat([face_image, generated_image.detach()]))
        real_logits, fake_logits = logits.chunk(2)
        fake_class = torch.full_like(face_identity, logits.shape[1] - 1)
        real_loss = functional.cross_entropy(real_logits, face_identity)
        fake_loss = functional.cross_entropy(fake_logits, fake_class)
        _update(self.face_optimizer, real_loss + fake_loss)
        losses["face_discriminator_real_loss"] = real_loss
        losses["face_discriminator_fake_loss"] = fake_loss
        return feature.detach()[: face_image.shape[0]]

    def _adversarial_losses(
        self,
        generated_image: Tensor,
        face_identity: Tensor,
        expression_label: Tensor,
        perceptual_target: Tensor,
    ) -> dict[str, Tensor]:
        """The generated image's losses, by the discriminators as updated in this step."""
        feature, face_logits = self.face_discriminator(generated_image)
        expression_logits = self.expression_discriminator(generated_image).logits
        return {
            "face_adversarial_loss": functional.cross_entropy(face_logits, face_identity),
            "expression_adversarial_loss": functional.cross_entropy(
                expression_logits, expression_label
            ),
            "perceptual_loss": functional.mse_loss(feature, perceptual_target),
        }

    def _consistency_losses(
        self,
        first: FirstPass,
        face_image: Tensor,
        expression_image: Tensor,
        noises: Sequence[Tensor] | None,
    ) -> dict[str, Tensor]:
        """Generator passes 2, G(face I_g, expression I_f), and 3, G(face I_e, expression I_g)."""
        face_feature = self.generator.enc_FR(first.generated_image)
        expression_feature = self.generator.enc_ER(first.generated_image)
        images = self.generator.dec(
            torch.cat([first.expression_feature_of_face, expression_feature]),
            torch.cat([face_feature, first.face_feature_of_expression]),
            None if noises is None else torch.cat([noises[1], noises[2]]),
            torch.cat([first.generated_image, expression_image]),
        )  # (2 batch, channels, size, size)
        again_face, again_expression = images.chunk(2)
        return {
            "face_consistency_loss": functional.l1_loss(again_face, face_image),
            "expression_consistency_loss": functional.l1_loss(again_expression, expression_image),
        }

    def _gradient_norms(self) -> dict[str, Tensor]:
        """The L2 norm of the gradient of L_G for each network that it updates."""
        networks = {
            "decoder": self.generator.dec,
            "face_encoder": self.generator.enc_FR,
            "expression_encoder": self.generator.enc_ER,
        }
        return {
            f"{name}_gradient_norm": torch.nn.utils.get_total_norm(
                [parameter.grad for parameter in network.parameters()]
            )
            for name, network in networks.items()
        }


def _adam(parameters) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)


def _update(
    optimizer: torch.optim.Optimizer, loss: Tensor, inputs: Sequence[Tensor] | None = None
) -> None:
    """One step down the gradient of `loss`; it stays in `.grad` until the next."""
    optimizer.zero_grad()
    loss.backward(inputs=inputs)
    optimizer.step()


def make_torch_step(
    num_identities: int = 20,
    num_expressions: int = 7,
    image_size_px: int = 128,
    width_multiplier: float = 1.0,
    decoder_sees_face: bool = False,
) -> TorchTdganStep:
    """Makes gray-image networks in training mode, freshly initialised, with their optimisers.

    Args:
        num_identities: K; D_f gets one class more.
        num_expressions: C.
        image_size_px: Side of the images, a multiple of 16.
        width_multiplier: Scales the widths of all networks.
        decoder_sees_face: See `Generator`.

    Raises:
        ValueError: If the images' side is not a positive multiple of 16.
    """
    sizes = {"image_size_px": image_size_px, "width_multiplier": width_multiplier}
    return TorchTdganStep(
        Generator(num_expressions, decoder_sees_face=decoder_sees_face, **sizes),
        Discriminator(num_identities + 1, **sizes),
        Discriminator(num_expressions, **sizes),
    )


def update_pattern_frequencies(gaps: tuple[int, int]) -> dict[tuple[bool, bool], float]:
    """How often each pattern of due discriminators (D_f, D_e) occurs; the parts sum to 1.

    Args:
        gaps: Steps between the updates of D_f and of D_e.
    """
    face_gap, expression_gap = gaps
    period = math.lcm(*gaps)
    counts = Counter((s % face_gap == 0, s % expression_gap == 0) for s in range(period))
    return {pattern: count / period for pattern, count in counts.items()}


def time_torch_step(
    batch_size: int = 32,
    image_size_px: int = 128,
    width_multiplier: float = 1.0,
    num_identities: int = 20,
    num_expressions: int = 7,
    gaps: tuple[int, int] = (5, 10),
    threads: int = 2,
    steps: int = 3,
) -> dict:
    """Measures the training step on the CPU, the discriminators' updates spread over their gaps.

    Each pattern of updates is timed by itself. The patterns take turns, so that another load on the
    machine meets all of them alike; the first round warms up.

    Args:
        batch_size: Pairs of a face and an expression image a step.
        image_size_px: Side of the images, a multiple of 16.
        width_multiplier: Scales the widths of all networks.
        num_identities: K.
        num_expressions: C.
        gaps: Steps between the updates of D_f and of D_e.
        threads: Threads of torch; set for the whole process.
        steps: Timed steps a pattern.

    Returns:
        `images_per_second` (pairs of images: `batch_size` over the mean seconds of a step),
        `seconds_per_step` (that mean, of the patterns' medians weighted by their frequency), and
        for each pattern `seconds_<pattern>` (the median), `seconds_<pattern>_fastest` and
        `frequency_<pattern>`, with `<pattern>` one of both, face, expression and none.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    training = make_torch_step(num_identities, num_expressions, image_size_px, width_multiplier)
    batch = (
        torch.rand(batch_size, 1, image_size_px, image_size_px),
        torch.randint(num_identities, (batch_size,)),
        torch.rand(batch_size, 1, image_size_px, image_size_px),
        torch.randint(num_expressions, (batch_size,)),
    )
    names = {
        (True, True): "both",
        (True, False): "face",
        (False, True): "expression",
        (False, False): "none",
    }
    frequencies = update_pattern_frequencies(gaps)
    seconds = _seconds_by_pattern(training, batch, list(frequencies), steps)
    seconds_per_step = sum(
        frequency * statistics.median(seconds[pattern])
        for pattern, frequency in frequencies.items()
    )
    result = {
        "images_per_second": batch_size / seconds_per_step,
        "seconds_per_step": seconds_per_step,
    }
    for pattern, frequency in frequencies.items():
        result[f"seconds_{names[pattern]}"] = statistics.median(seconds[pattern])
        result[f"seconds_{names[pattern]}_fastest"] = min(seconds[pattern])
        result[f"frequency_{names[pattern]}"] = frequency
    return result


def _seconds_by_pattern(
    training: TorchTdganStep,
    batch: tuple[Tensor, Tensor, Tensor, Tensor],
    patterns: list[tuple[bool, bool]],
    steps: int,
) -> dict[tuple[bool, bool], list[float]]:
    """Seconds of `steps` steps with each pattern of updates, after one each to warm up."""
    seconds: dict[tuple[bool, bool], list[float]] = {pattern: [] for pattern in patterns}
    for _ in range(steps + 1):
        for pattern in patterns:
            start = time.perf_counter()
            training.step(*batch, *pattern)
            seconds[pattern].append(time.perf_counter() - start)
    return {pattern: timed[1:] for pattern, timed in seconds.items()}


def main() -> None:
    """Prints one measurement as JSON."""
    parser = argparse.ArgumentParser(
        description="Times the training step of TDGAN in eager PyTorch."
    )
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size_px", type=int, default=128)
    parser.add_argument("--width_multiplier", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    print(json.dumps(time_torch_step(**vars(parser.parse_args())), indent=1))


if __name__ == "__main__":
    restart_with_huge_pages()  # as what it is compared to
    main()
