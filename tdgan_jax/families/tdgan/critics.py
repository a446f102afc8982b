"""Networks that a training of TDGAN may add to the six: none is part of the model.

The expression discriminator of the paper learns from real images alone, so that a texture that no
viewer sees can satisfy it. The realism critic learns from generated images too and judges an image
together with its expression; the identity adversary names the person from the expression feature,
and the encoder learns to keep it from doing so. Both are off in the papers' configurations.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.losses import (
    accuracy,
    cross_entropy_loss,
    distribution_loss,
    patch_judgement_loss,
)
from tdgan_jax.networks.inception import Encoder
from tdgan_jax.networks.layers import uniform_fan_in
from tdgan_jax.steps.state import Metrics, Parameters, split


class RealismCritic(nnx.Module):
    """An image and its expression: real or generated.

    An encoder of the same form as the discriminators', and at each of its positions a linear score
    plus the product with the vector of the expression there (Miyato and Koyama 2018,
    arXiv:1802.05637, Eq. 3; patches as Isola et al. 2017, arXiv:1611.07004).
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        feature_shape: tuple[int, int, int],
        num_expressions: int,
        rngs: nnx.Rngs,
    ):
        """Adds the scores to an encoder that belongs to no other network.

        Args:
            encoder: Maps images to features.
            feature_shape: Height, width and channels of the features.
            num_expressions: C.
            rngs: Initialises the scores.
        """
        init = uniform_fan_in(feature_shape[-1])
        self.encoder = encoder
        self.score = nnx.Linear(feature_shape[-1], 1, kernel_init=init, bias_init=init, rngs=rngs)
        self.expressions = nnx.Param(init(rngs.params(), (num_expressions, *feature_shape)))

    def __call__(self, image: jax.Array, expression_label: jax.Array) -> jax.Array:
        """Judges images `[N, S, S, channels]` in [0, 1] with labels `[N]`: logits `[N, h, w]`."""
        feature = self.encoder(image)  # [N, h, w, F]
        of_label = self.expressions[...][expression_label]  # [N, h, w, F]
        score = self.score(feature)[..., 0] + (feature * of_label).sum(axis=-1)
        return score.astype(jnp.float32)


class IdentityAdversary(nnx.Module):
    """The person, from an expression feature."""

    def __init__(self, *, feature_shape: tuple[int, int, int], num_identities: int, rngs: nnx.Rngs):
        """Makes two linear layers.

        Args:
            feature_shape: Height, width and channels of the feature.
            num_identities: K.
            rngs: Initialises the parameters.
        """
        num_features, hidden = math.prod(feature_shape), 128
        self.fc1, self.fc2 = (
            nnx.Linear(
                inputs,
                outputs,
                kernel_init=uniform_fan_in(inputs),
                bias_init=uniform_fan_in(inputs),
                rngs=rngs,
            )
            for inputs, outputs in ((num_features, hidden), (hidden, num_identities))
        )

    def __call__(self, feature: jax.Array) -> jax.Array:
        """Maps features `[N, h, w, C]` to logits `[N, K]`."""
        flat = feature.reshape(feature.shape[0], -1).astype(jnp.float32)
        return self.fc2(nnx.relu(self.fc1(flat)))


class Critics(NamedTuple):
    """The networks, or their definitions; None for one that a training does without."""

    realism_critic: Any = None
    identity_adversary: Any = None


def split_critics(critics: Critics) -> tuple[Critics, dict[str, Parameters]]:
    """Separates the networks into definitions and parameter trees by network name."""
    return split(critics, Critics)


def realism_critic_loss(
    critic: RealismCritic,
    real: jax.Array,
    generated: jax.Array,
    expression_label: jax.Array,
    wrong_label: jax.Array,
    weight: jax.Array,
    *,
    gradient_penalty: float,
) -> tuple[jax.Array, Metrics]:
    """What the critic learns: real images from generated ones and from those with a wrong label.

    Without the wrong labels it could leave the expression aside for as long as the generated images
    look generated. Source: Reed et al. 2016, arXiv:1605.05396, Algorithm 1.

    Args:
        critic: The network.
        real: Expression images in [0, 1], `[N, S, S, channels]`.
        generated: Generated images of the same shape; no gradient goes to them.
        expression_label: `[N]`, of both.
        wrong_label: `[N]`, other expressions for the real images.
        weight: `[N]`, mean 1 over the whole batch.
        gradient_penalty: gamma of R1 (Mescheder et al. 2018, arXiv:1801.04406, Eq. 9); 0: none.

    Returns:
        The loss, and metrics: itself without the penalty, the mean squared gradient, and the shares
        of patches judged rightly.
    """
    images = jnp.concatenate([real, jax.lax.stop_gradient(generated), real])
    labels = jnp.concatenate([expression_label, expression_label, wrong_label])
    of_real, of_generated, of_mismatched = jnp.split(critic(images, labels), 3)
    loss = patch_judgement_loss(of_real[..., None], weight, is_true=True)
    for logits in (of_generated, of_mismatched):
        loss += patch_judgement_loss(logits[..., None], weight, is_true=False) / 2
    metrics = {"realism_critic": loss}
    if gradient_penalty:

        def total(image: jax.Array) -> jax.Array:
            return critic(image, expression_label).mean(axis=(1, 2)).sum()

        slope = jnp.square(jax.grad(total)(real)).sum(axis=(1, 2, 3))
        metrics["realism_critic_slope"] = jnp.mean(weight * slope)
        loss += gradient_penalty / 2 * metrics["realism_critic_slope"]
    metrics["realism_critic_real_accuracy"] = _share_above_zero(of_real, weight)
    metrics["realism_critic_generated_accuracy"] = _share_above_zero(-of_generated, weight)
    metrics["realism_critic_mismatch_accuracy"] = _share_above_zero(-of_mismatched, weight)
    return loss, metrics


def other_labels(label: jax.Array, position: jax.Array, num_classes: int) -> jax.Array:
    """Labels that differ from the given ones.

    By how much follows from the row of the batch: it is the same on any number of devices.

    Args:
        label: int32 `[N]`.
        position: int32 `[N]`, index in the global batch.
        num_classes: At least 2.

    Returns:
        int32 `[N]`.
    """
    return (label + 1 + position % (num_classes - 1)) % num_classes


def _share_above_zero(logits: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.mean(weight * (logits > 0).mean(axis=(1, 2), dtype=jnp.float32))


def identity_adversary_loss(
    adversary: IdentityAdversary, feature: jax.Array, identity: jax.Array, weight: jax.Array
) -> tuple[jax.Array, Metrics]:
    """What the adversary learns: the people of features `[N, h, w, C]`, which stay as they are.

    Returns:
        The cross-entropy, and metrics: itself and the share of right answers.
    """
    logits = adversary(jax.lax.stop_gradient(feature))
    loss = cross_entropy_loss(logits, identity, weight)
    right = accuracy(logits, identity, weight)
    return loss, {"identity_adversary": loss, "identity_adversary_accuracy": right}


def identity_confusion_loss(logits: jax.Array, weight: jax.Array) -> jax.Array:
    """Cross-entropy of the adversary's answer with equal chances for all people.

    What an encoder learns against the adversary: at least log K, reached where nothing of the
    person is left. Source: Tzeng et al. 2015, arXiv:1510.02192, Eq. 4.

    Args:
        logits: `[N, K]`.
        weight: `[N]`.
    """
    return distribution_loss(logits, jnp.full(logits.shape, 1 / logits.shape[-1]), weight)
