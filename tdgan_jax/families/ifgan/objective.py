"""Forward passes and losses of IF-GAN's training step (spec IF-GAN 6).

Images are float32 `[N, S, S, C]` in [-1, 1]. True and drawn tuples go through a network in one pass
as two groups, each with batch statistics of its own: the numbers of two calls.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tdgan_jax.families.ifgan.networks import Classification, Classifier, Definitions
from tdgan_jax.losses import (
    absolute_error_loss,
    accuracy,
    centre_distance_loss,
    centre_similarity_loss,
    class_sums,
    cross_entropy_loss,
    moved_centres,
    patch_judgement_loss,
)
from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.steps.state import Metrics, Parameters, running_averages

TRUE, DRAWN = 0, 1  # groups of a pass over both tuples
CHOICES = {
    "adversarial_form": ("printed", "non_saturating"),
    "discriminator_order": ("first", "simultaneous"),
    "classifier_statistics": ("drawn", "both"),
    "island_feature": ("pooled", "logits"),
    "island_tuples": ("both", "drawn", "true"),
    "island_reduction": ("sum", "mean"),
    "centre_initialisation": ("first_batch", "normal"),
    "centre_distance_reduction": ("one_plus_count", "count", "sum"),
    "centre_pairwise_reduction": ("mean", "sum"),
}


class Batch(NamedTuple):
    """Images with the average face of their expression.

    Attributes:
        image: I_SE, uint8 or float32 in [0, 1], `[N, S, S, C]`.
        average_image: I_AE of the label, cropped and flipped as it shall be drawn; likewise.
        expression_label: int32 `[N]`.
        weight: float32 `[N]`, mean 1 over the global batch, 0 for padding.
        position: int32 `[N]`, index in the global batch.
        epoch: int32 `[N]`, the current epoch from 0 at each example; decides the learning rate.
    """

    image: Any
    average_image: Any
    expression_label: Any
    weight: Any
    position: Any
    epoch: Any


class Objective(NamedTuple):
    """Weights of the losses and what the paper leaves open; the defaults are the spec's choices.

    Attributes:
        adversarial_weight: lambda_1.
        absolute_error_weight: lambda_2.
        softmax_weight: lambda_3.
        island_weight: lambda_4.
        adversarial_form: The generator's: `"printed"` minimises log(1 - D), `"non_saturating"`
            -log D as pix2pix does.
        discriminator_scale: Factor of the discriminator's loss; pix2pix has 0.5.
        discriminator_order: Who judges the generator: the discriminator as just updated
            (`"first"`), or that of before the step (`"simultaneous"`).
        classifier_gradient_weight: Weight of the classifier's losses in the generator's gradient; 0
            leaves it to the adversarial loss and the distance to the average face.
        classifier_statistics: Tuples that move the classifier's running averages: the `"drawn"`
            ones, which it sees at test time, or `"both"` as with a call each.
        island_feature: x_i, the `"pooled"` feature or the `"logits"`.
        island_tuples: Tuples of the island loss and of the centres' update: `"both"`, `"drawn"`
            or `"true"`.
        island_reduction: `"sum"` over the images as printed, or `"mean"`.
        island_distance_scale: Factor of the squared distances; the center loss has 0.5.
        island_pairwise_weight: alpha, of the cosines between the centres.
        centre_rate: Part of the way that a batch moves the centres.
        centre_initialisation: `"first_batch"`'s class means, or small `"normal"` values.
        centre_distance_reduction: See `moved_centres`.
        centre_pairwise_reduction: See `moved_centres`.
    """

    adversarial_weight: float = 1.0
    absolute_error_weight: float = 20.0
    softmax_weight: float = 10.0
    island_weight: float = 1.0
    adversarial_form: str = "printed"
    discriminator_scale: float = 1.0
    discriminator_order: str = "first"
    classifier_gradient_weight: float = 1.0
    classifier_statistics: str = "drawn"
    island_feature: str = "pooled"
    island_tuples: str = "both"
    island_reduction: str = "sum"
    island_distance_scale: float = 1.0
    island_pairwise_weight: float = 0.03
    centre_rate: float = 0.5
    centre_initialisation: str = "first_batch"
    centre_distance_reduction: str = "one_plus_count"
    centre_pairwise_reduction: str = "mean"


class Island(NamedTuple):
    """The island loss's surroundings in one step.

    Attributes:
        centres: float32 `[classes, F]`.
        is_first_step: Boolean scalar.
        num_images: float32 scalar, images of the global batch without padding.
        axis_name: Mapped axis over which the batch is divided; None without one.
    """

    centres: jax.Array
    is_first_step: jax.Array
    num_images: jax.Array
    axis_name: str | None


def to_symmetric_range(image: jax.Array) -> jax.Array:
    """uint8 images, or float ones in [0, 1], as float32 in [-1, 1]."""
    if image.dtype == jnp.uint8:
        return image.astype(jnp.float32) / 127.5 - 1.0
    return 2.0 * image - 1.0


def to_unit_range(image: jax.Array) -> jax.Array:
    """Images in [-1, 1] as such in [0, 1]."""
    return (image + 1.0) / 2.0


def discriminator_loss(
    networks: Definitions,
    weights: Parameters,
    averages: Parameters,
    batch: Batch,
    drawn: jax.Array,
    statistics: BatchStatistics,
) -> tuple[jax.Array, tuple[Parameters, Metrics]]:
    """-log D of true pairs and -log(1 - D) of drawn ones, each meaned over the patches.

    Returns:
        The loss, the running averages after it, and metrics.
    """
    assert networks.discriminator is not None
    discriminator = nnx.merge(networks.discriminator, weights, averages)
    logits = discriminator(
        jnp.concatenate([batch.image, batch.image]),
        jnp.concatenate([batch.average_image, jax.lax.stop_gradient(drawn)]),
        statistics._replace(num_groups=2, remembered_groups=(TRUE, DRAWN)),
    )
    true_logits, drawn_logits = jnp.split(logits, 2)
    true_loss = patch_judgement_loss(true_logits, batch.weight, is_true=True)
    drawn_loss = patch_judgement_loss(drawn_logits, batch.weight, is_true=False)
    metrics = {
        "discriminator_true": true_loss,
        "discriminator_drawn": drawn_loss,
        "discriminator_true_accuracy": _patch_accuracy(true_logits > 0, batch.weight),
        "discriminator_drawn_accuracy": _patch_accuracy(drawn_logits < 0, batch.weight),
    }
    return true_loss + drawn_loss, (running_averages(discriminator), metrics)


def _patch_accuracy(right: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.mean(weight * right.mean(axis=(1, 2, 3)))


def adversarial_loss(
    networks: Definitions,
    objective: Objective,
    discriminator: Parameters,
    batch: Batch,
    drawn: jax.Array,
    statistics: BatchStatistics,
) -> jax.Array:
    """The generator's part of L_cGAN; the discriminator keeps weights and running averages."""
    assert networks.discriminator is not None
    network = nnx.merge(networks.discriminator, discriminator)
    logits = network(batch.image, drawn, statistics._replace(remembered_groups=()))
    if objective.adversarial_form == "non_saturating":
        return patch_judgement_loss(logits, batch.weight, is_true=True)
    return -patch_judgement_loss(logits, batch.weight, is_true=False)


def drawing_loss(
    networks: Definitions,
    objective: Objective,
    discriminator: Parameters,
    batch: Batch,
    drawn: jax.Array,
    statistics: BatchStatistics,
) -> tuple[jax.Array, Metrics]:
    """lambda_1 L_cGAN + lambda_2 L_L1 as the generator sees them."""
    metrics = {
        "adversarial": adversarial_loss(
            networks, objective, discriminator, batch, drawn, statistics
        ),
        "absolute_error": absolute_error_loss(drawn, batch.average_image, batch.weight),
    }
    total = (
        objective.adversarial_weight * metrics["adversarial"]
        + objective.absolute_error_weight * metrics["absolute_error"]
    )
    return total, metrics | {"generator": total}


def classification_loss(
    networks: Definitions,
    objective: Objective,
    weights: Parameters,
    averages: Parameters,
    island: Island,
    batch: Batch,
    drawn: jax.Array | None,
    statistics: BatchStatistics,
) -> tuple[jax.Array, tuple[Parameters, jax.Array, Metrics]]:
    """lambda_3 L_softmax + lambda_4 L_IL on both tuples, or on single images in the baseline.

    Args:
        networks: Definitions of the networks.
        objective: Weights and options.
        weights: The classifier's weights.
        averages: Its running averages.
        island: Centres and what their loss needs.
        batch: Images in [-1, 1].
        drawn: I~_AE; None in the baseline.
        statistics: What the batch norms take as a batch.

    Returns:
        The loss, the running averages after it, the centres after it, and metrics.
    """
    classifier = nnx.merge(networks.classifier, weights, averages)
    answers = _answers(classifier, objective, batch, drawn, statistics)
    metrics = {}
    for prefix, answer in answers.items():
        labels = batch.expression_label
        metrics[f"{prefix}softmax"] = cross_entropy_loss(answer.logits, labels, batch.weight)
        metrics[f"{prefix}accuracy"] = accuracy(answer.logits, labels, batch.weight)
    total = objective.softmax_weight * sum(metrics[f"{prefix}softmax"] for prefix in answers)
    island_total, centres, reported = island_loss(objective, island, answers, batch)
    total = total + objective.island_weight * island_total
    metrics = metrics | reported | {"classifier": total}
    return total, (running_averages(classifier), centres, metrics)


def _answers(
    classifier: Classifier,
    objective: Objective,
    batch: Batch,
    drawn: jax.Array | None,
    statistics: BatchStatistics,
) -> dict[str, Classification]:
    """The classifier's answers to the batch's tuples, by prefix of their metrics."""
    if drawn is None:
        return {"": classifier(batch.image, statistics=statistics)}
    both = objective.classifier_statistics == "both"
    answer = classifier(
        jnp.concatenate([batch.image, batch.image]),
        jnp.concatenate([batch.average_image, drawn]),
        statistics._replace(num_groups=2, remembered_groups=(TRUE, DRAWN) if both else (DRAWN,)),
    )
    features, logits = jnp.split(answer.feature, 2), jnp.split(answer.logits, 2)
    return {
        "true_": Classification(features[TRUE], logits[TRUE]),
        "drawn_": Classification(features[DRAWN], logits[DRAWN]),
    }


def island_loss(
    objective: Objective, island: Island, answers: dict[str, Classification], batch: Batch
) -> tuple[jax.Array, jax.Array, Metrics]:
    """L_IL: squared distances to the centres and cosines between these (spec IF-GAN 6).

    Returns:
        The loss, the centres after the batch, and metrics.
    """
    chosen = list(answers.values())
    if objective.island_tuples != "both" and len(answers) > 1:
        chosen = [answers[f"{objective.island_tuples}_"]]
    features = jnp.concatenate(
        [a.logits if objective.island_feature == "logits" else a.feature for a in chosen]
    ).astype(jnp.float32)
    labels = jnp.tile(batch.expression_label, len(chosen))
    weight = jnp.tile(batch.weight, len(chosen))

    sums, counts = class_sums(
        jax.lax.stop_gradient(features), labels, weight, num_classes=island.centres.shape[0]
    )
    if island.axis_name is not None:
        sums, counts = jax.lax.psum((sums, counts), island.axis_name)
    centres = island.centres
    if objective.centre_initialisation == "first_batch":
        is_set = island.is_first_step & (counts > 0)
        means = sums / jnp.maximum(counts, 1)[:, None]
        centres = jnp.where(is_set[:, None], means, centres)

    distance = centre_distance_loss(features, centres, labels, weight)
    similarity = centre_similarity_loss(centres)
    num_terms = len(chosen) * island.num_images if objective.island_reduction == "sum" else 1.0
    total = (
        objective.island_distance_scale * num_terms * distance
        + objective.island_pairwise_weight * similarity
    )
    after = moved_centres(
        centres,
        sums,
        counts,
        rate=objective.centre_rate,
        pairwise_weight=objective.island_pairwise_weight,
        distance_reduction=objective.centre_distance_reduction,
        pairwise_reduction=objective.centre_pairwise_reduction,
    )
    return total, after, {"centre_distance": distance, "centre_similarity": similarity}
