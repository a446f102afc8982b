"""Forward passes and losses of TDGAN's training step (spec TDGAN 3).

Images are float32 `[N, S, S, C]` in [0, 1]. Calls of one network with the same weights are
batched; instance norm is per example, so the numbers stay the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.families.tdgan.critics import Critics, identity_confusion_loss
from tdgan_jax.families.tdgan.networks import Definitions, Judgement
from tdgan_jax.losses import (
    absolute_error_loss,
    accuracy,
    cross_entropy_loss,
    patch_judgement_loss,
    squared_error_loss,
)
from tdgan_jax.networks.layers import average_pool_2x2
from tdgan_jax.steps.state import Metrics, Parameters


class Batch(NamedTuple):
    """Pairs of a face and an expression image.

    Attributes:
        face_image: uint8 `[N, S, S, C]`.
        face_identity: int32 `[N]`, 0 to K - 1.
        expression_image: uint8 `[N, S, S, C]`.
        expression_label: int32 `[N]`.
        weight: float32 `[N]`, mean 1 over the global batch, 0 for padding.
        position: int32 `[N]`, index in the global batch.
    """

    face_image: Any
    face_identity: Any
    expression_image: Any
    expression_label: Any
    weight: Any
    position: Any


class Randomness(NamedTuple):
    """What one step draws, example by example.

    Attributes:
        noises: Noise of the three decoder calls, each `[N, S/16, S/16, N_z]` uniform in [0, 1);
            None without noise.
        dropout_keys: Use of a head (see `DROPOUT_USES`) to `[N]` keys; None switches dropout off.
    """

    noises: tuple[jax.Array | None, ...]
    dropout_keys: Mapping[str, jax.Array | None]


DROPOUT_USES = (
    "expression_head",
    "face_discriminator_real",
    "face_discriminator_fake",
    "expression_discriminator",
    "adversarial_face",
    "adversarial_expression",
)


class Objective(NamedTuple):
    """Weights of the generator's losses and its options; the defaults are the released program's.

    Attributes:
        adversarial_face_weight: lambda_G_f.
        adversarial_expression_weight: lambda_G_e.
        perceptual_weight: lambda_per_f.
        consistency_weight: lambda_DIC, of both passes.
        label_gradient_weight: Weight of the expression head's loss in the expression encoder's
            gradient; 0 trains the head alone.
        perceptual_network: `"face_discriminator"` or `"face_encoder"`.
        realism_weight: Of the realism critic's judgement, see `critics.py`.
        realism_gradient_penalty: gamma of that critic's own loss.
        identity_confusion_weight: Of the identity adversary's, in the expression encoder.
        coarse_share: Share of the images that the expression discriminator sees at half the
            resolution, real and generated ones: what it sees then is no fine texture.
    """

    adversarial_face_weight: float = 0.2
    adversarial_expression_weight: float = 0.8
    perceptual_weight: float = 1.0
    consistency_weight: float = 5.0
    label_gradient_weight: float = 0.0
    perceptual_network: str = "face_discriminator"
    realism_weight: float = 0.0
    realism_gradient_penalty: float = 0.0
    identity_confusion_weight: float = 0.0
    coarse_share: float = 0.0


class FirstPass(NamedTuple):
    """Results of generator pass 1, and the features of both images from both encoders.

    Attributes:
        generated: I_g, `[N, S, S, C]`.
        expression_feature: E_e(I_e).
        expression_feature_of_face: E_e(I_f), for the second pass.
        face_feature: E_f(I_f).
        face_feature_of_expression: E_f(I_e), for the third pass.
    """

    generated: jax.Array
    expression_feature: jax.Array
    expression_feature_of_face: jax.Array
    face_feature: jax.Array
    face_feature_of_expression: jax.Array


def draw_randomness(
    key: jax.Array, position: jax.Array, noise_shape: tuple[int, int, int]
) -> Randomness:
    """Draws noise and dropout keys that depend on the key and on each example's position alone.

    Args:
        key: Key of this step.
        position: int32 `[N]`, index in the global batch.
        noise_shape: Height, width and channels of the noise; 0 channels: no noise.
    """
    keys = jax.vmap(lambda index: jax.random.split(jax.random.fold_in(key, index), 9))(position)

    def uniform(column: int) -> jax.Array:
        return jax.vmap(lambda k: jax.random.uniform(k, noise_shape))(keys[:, column])

    noises = tuple(uniform(i) if noise_shape[-1] else None for i in range(3))
    dropout_keys = {use: keys[:, 3 + i] for i, use in enumerate(DROPOUT_USES)}
    return Randomness(noises, dropout_keys)


def generate(
    networks: Definitions,
    generator: Mapping[str, Parameters],
    batch: Batch,
    noise: jax.Array | None,
) -> FirstPass:
    """Generator pass 1: the face of one image with the expression of the other."""
    face_encoder = nnx.merge(networks.face_encoder, generator["face_encoder"])
    expression_encoder = nnx.merge(networks.expression_encoder, generator["expression_encoder"])
    decoder = nnx.merge(networks.decoder, generator["decoder"])
    images = jnp.concatenate([batch.face_image, batch.expression_image])
    face_feature, face_feature_of_expression = jnp.split(face_encoder(images), 2)
    expression_feature_of_face, expression_feature = jnp.split(expression_encoder(images), 2)
    generated = decoder(expression_feature, face_feature, noise, batch.face_image)
    return FirstPass(
        generated,
        expression_feature,
        expression_feature_of_face,
        face_feature,
        face_feature_of_expression,
    )


def reconstruct(
    networks: Definitions,
    generator: Mapping[str, Parameters],
    batch: Batch,
    first: FirstPass,
    noises: Sequence[jax.Array | None],
) -> list[jax.Array]:
    """Generator passes 2 and 3, which must give back the face and the expression image (Eq. 7).

    Args:
        networks: Definitions of the six networks.
        generator: Network name to tree.
        batch: Images in [0, 1].
        first: Results of pass 1.
        noises: Of passes 2 and 3.

    Returns:
        G(face = I_g, expression = I_f) and G(face = I_e, expression = I_g).
    """
    face_encoder = nnx.merge(networks.face_encoder, generator["face_encoder"])
    expression_encoder = nnx.merge(networks.expression_encoder, generator["expression_encoder"])
    decoder = nnx.merge(networks.decoder, generator["decoder"])
    face_feature_of_generated = face_encoder(first.generated)
    expression_feature_of_generated = expression_encoder(first.generated)
    expression_features = [first.expression_feature_of_face, expression_feature_of_generated]
    face_features = [face_feature_of_generated, first.face_feature_of_expression]
    face_images = [first.generated, batch.expression_image]
    drawn = decoder(
        jnp.concatenate(expression_features),
        jnp.concatenate(face_features),
        _joined(noises),
        jnp.concatenate(face_images),
    )
    return jnp.split(drawn, 2)


def _joined(parts: Sequence[jax.Array | None]) -> jax.Array | None:
    """Concatenates noise or keys of two passes; None when they are switched off."""
    present = [part for part in parts if part is not None]
    return jnp.concatenate(present) if present else None


def expression_head_loss(
    networks: Definitions,
    head: Parameters,
    feature: jax.Array,
    batch: Batch,
    dropout_keys: jax.Array | None,
) -> tuple[jax.Array, Metrics]:
    """L_MER, cross-entropy of the expression head on features of the expression encoder."""
    logits = nnx.merge(networks.expression_head, head)(feature, dropout_keys=dropout_keys)
    loss = cross_entropy_loss(logits, batch.expression_label, batch.weight)
    right = accuracy(logits, batch.expression_label, batch.weight)
    return loss, {"expression_head": loss, "expression_head_accuracy": right}


def face_discriminator_loss(
    networks: Definitions,
    face_discriminator: Parameters,
    generated: jax.Array,
    batch: Batch,
    randomness: Randomness,
) -> tuple[jax.Array, tuple[jax.Array, Metrics]]:
    """L_Df_real + L_Df_fake: people by name, generated faces as the extra class.

    Returns:
        The loss, the feature of the real faces, and metrics.
    """
    discriminator = nnx.merge(networks.face_discriminator, face_discriminator)
    images = jnp.concatenate([batch.face_image, jax.lax.stop_gradient(generated)])
    real_keys = randomness.dropout_keys["face_discriminator_real"]
    fake_keys = randomness.dropout_keys["face_discriminator_fake"]
    judgement = discriminator(images, dropout_keys=_joined([real_keys, fake_keys]))
    real_logits, fake_logits = jnp.split(judgement.logits, 2)
    fake_class = jnp.full_like(batch.face_identity, fake_logits.shape[-1] - 1)
    real = cross_entropy_loss(real_logits, batch.face_identity, batch.weight)
    fake = cross_entropy_loss(fake_logits, fake_class, batch.weight)
    metrics = {
        "face_discriminator_real": real,
        "face_discriminator_fake": fake,
        "face_discriminator_real_accuracy": accuracy(
            real_logits, batch.face_identity, batch.weight
        ),
        "face_discriminator_fake_accuracy": accuracy(fake_logits, fake_class, batch.weight),
    }
    return real + fake, (jnp.split(judgement.feature, 2)[0], metrics)


_OF_COARSENESS = 2  # the head's dropout takes the keys 0 and 1 of an example


def sometimes_coarse(image: jax.Array, keys: jax.Array | None, *, share: float) -> jax.Array:
    """Some of the images, drawn by chance, at half the resolution.

    Args:
        image: `[N, S, S, channels]`, S even.
        keys: `[N]`, a key for each image; None leaves all as they are.
        share: Of the images that become coarse.
    """
    if keys is None or not share:
        return image
    coarse = average_pool_2x2(image).repeat(2, axis=1).repeat(2, axis=2)
    is_coarse = jax.vmap(
        lambda key: jax.random.bernoulli(jax.random.fold_in(key, _OF_COARSENESS), share)
    )(keys)
    return jnp.where(is_coarse[:, None, None, None], coarse, image)


def expression_discriminator_loss(
    networks: Definitions,
    objective: Objective,
    expression_discriminator: Parameters,
    batch: Batch,
    randomness: Randomness,
) -> tuple[jax.Array, Metrics]:
    """L_De: expressions of real images; this discriminator never learns from generated ones."""
    discriminator = nnx.merge(networks.expression_discriminator, expression_discriminator)
    dropout_keys = randomness.dropout_keys["expression_discriminator"]
    seen = sometimes_coarse(batch.expression_image, dropout_keys, share=objective.coarse_share)
    logits = discriminator(seen, dropout_keys=dropout_keys).logits
    loss = cross_entropy_loss(logits, batch.expression_label, batch.weight)
    right = accuracy(logits, batch.expression_label, batch.weight)
    return loss, {"expression_discriminator": loss, "expression_discriminator_accuracy": right}


def generator_loss(
    networks: Definitions,
    objective: Objective,
    generator: Mapping[str, Parameters],
    first: FirstPass,
    discriminators: Mapping[str, Parameters],
    perceptual_target: jax.Array,
    batch: Batch,
    randomness: Randomness,
    *,
    critics: Critics,
) -> tuple[jax.Array, Metrics]:
    """L_G: adversarial (Eq. 6), perceptual (Eq. 8) and consistency losses (Eq. 7).

    The gradient with respect to `first` goes on through generator pass 1: I_g is not detached
    anywhere.

    Args:
        networks: Definitions of the six networks.
        objective: Weights of the losses.
        generator: Network name to tree: decoder and both encoders.
        first: Results of pass 1.
        discriminators: Trees of the discriminators.
        perceptual_target: Feature of the real faces.
        batch: Images in [0, 1].
        randomness: Noise and dropout keys.
        critics: The critics that judge too; those of `critics.py` that the training has.
    """
    face_again, expression_again = reconstruct(
        networks, generator, batch, first, randomness.noises[1:]
    )
    by_face: Judgement = nnx.merge(
        networks.face_discriminator, discriminators["face_discriminator"]
    )(first.generated, dropout_keys=randomness.dropout_keys["adversarial_face"])
    expression_keys = randomness.dropout_keys["adversarial_expression"]
    by_expression: Judgement = nnx.merge(
        networks.expression_discriminator, discriminators["expression_discriminator"]
    )(
        sometimes_coarse(first.generated, expression_keys, share=objective.coarse_share),
        dropout_keys=expression_keys,
    )
    perceptual_feature = by_face.feature
    if objective.perceptual_network == "face_encoder":
        # Through fixed weights: the loss shapes the image, not the encoder that measures it.
        fixed = jax.lax.stop_gradient(generator["face_encoder"])
        perceptual_feature = nnx.merge(networks.face_encoder, fixed)(first.generated)

    metrics = {
        "adversarial_face": cross_entropy_loss(by_face.logits, batch.face_identity, batch.weight),
        "adversarial_expression": cross_entropy_loss(
            by_expression.logits, batch.expression_label, batch.weight
        ),
        "perceptual": squared_error_loss(perceptual_feature, perceptual_target, batch.weight),
        "consistency_face": absolute_error_loss(face_again, batch.face_image, batch.weight),
        "consistency_expression": absolute_error_loss(
            expression_again, batch.expression_image, batch.weight
        ),
    }
    total = (
        objective.adversarial_face_weight * metrics["adversarial_face"]
        + objective.adversarial_expression_weight * metrics["adversarial_expression"]
        + objective.perceptual_weight * metrics["perceptual"]
        + objective.consistency_weight
        * (metrics["consistency_face"] + metrics["consistency_expression"])
    )
    if critics.realism_critic is not None:
        judged = critics.realism_critic(first.generated, batch.expression_label)
        metrics["realism"] = patch_judgement_loss(judged[..., None], batch.weight, is_true=True)
        total += objective.realism_weight * metrics["realism"]
    if critics.identity_adversary is not None:
        logits = critics.identity_adversary(first.expression_feature_of_face)
        metrics["identity_confusion"] = identity_confusion_loss(logits, batch.weight)
        total += objective.identity_confusion_weight * metrics["identity_confusion"]
    generated_right = accuracy(by_expression.logits, batch.expression_label, batch.weight)
    return total, metrics | {"generator": total, "generated_expression_accuracy": generated_right}
