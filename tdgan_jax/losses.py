"""Losses as pure functions; each `*_loss` returns a float32 scalar, reduced in float32.

`weight` is a float32 `[N]` whose mean over the whole batch is 1: ones, or zeros at padded examples
and correspondingly more elsewhere. Images are `[N, H, W, C]`, features likewise, labels int `[N]`,
logits `[N, classes]`.
"""

from functools import cache
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


def cross_entropy_loss(
    logits: jax.Array, labels: jax.Array, weight: jax.Array, *, label_smoothing: float = 0.0
) -> jax.Array:
    """Mean softmax cross-entropy (CE of spec TDGAN 3).

    Args:
        logits: `[N, classes]`.
        labels: `[N]`.
        weight: `[N]`.
        label_smoothing: Share of the target that all classes get in equal parts, in [0, 1)
            (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    """
    logits = logits.astype(jnp.float32)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if label_smoothing:
        of_all_classes = -jax.nn.log_softmax(logits).mean(axis=-1)
        each = (1 - label_smoothing) * each + label_smoothing * of_all_classes
    return jnp.mean(weight * each)


def distribution_loss(
    logits: jax.Array, target: jax.Array, weight: jax.Array, *, label_smoothing: float = 0.0
) -> jax.Array:
    """Mean softmax cross-entropy with a target distribution, such as the votes of raters.

    Args:
        logits: `[N, classes]`.
        target: `[N, classes]`, sums to 1; zeros where the example says nothing of the classes.
        weight: `[N]`.
        label_smoothing: As for `cross_entropy_loss`.
    """
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    each = -(target * log_probabilities).sum(axis=-1)
    if label_smoothing:
        of_all_classes = -log_probabilities.mean(axis=-1) * target.sum(axis=-1)
        each = (1 - label_smoothing) * each + label_smoothing * of_all_classes
    return jnp.mean(weight * each)


def absolute_error_loss(prediction: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean absolute difference over all elements (L1 of spec TDGAN 3, Eq. 7)."""
    difference = _difference(prediction, target)
    return jnp.mean(weight * jnp.abs(difference).mean(axis=(1, 2, 3)))


def squared_error_loss(prediction: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean squared difference over all elements (MSE of spec TDGAN 3, Eq. 8)."""
    difference = _difference(prediction, target)
    return jnp.mean(weight * jnp.square(difference).mean(axis=(1, 2, 3)))


def _difference(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return prediction.astype(jnp.float32) - target.astype(jnp.float32)


def accuracy(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """Fraction of right answers in [0, 1]; not a loss, but weighted like one."""
    return jnp.mean(weight * (logits.argmax(axis=-1) == labels))


def patch_judgement_loss(logits: jax.Array, weight: jax.Array, *, is_true: bool) -> jax.Array:
    """-log D of pairs called true, -log(1 - D) of others (cGAN of spec IF-GAN 6).

    Args:
        logits: `[N, P, P, 1]`; the loss is their mean over the patches.
        weight: `[N]`.
        is_true: What the pairs are called; the non-saturating generator calls its own true.
    """
    logits = logits.astype(jnp.float32)
    signed = -logits if is_true else logits
    return jnp.mean(weight * jax.nn.softplus(signed).mean(axis=(1, 2, 3)))


def centre_distance_loss(
    features: jax.Array, centres: jax.Array, labels: jax.Array, weight: jax.Array
) -> jax.Array:
    """Mean squared distance to the own class's centre (first term of L_IL, spec IF-GAN 6).

    Args:
        features: `[N, F]`.
        centres: `[classes, F]`; no gradient goes to them.
        labels: int `[N]`.
        weight: `[N]`.
    """
    difference = features - jax.lax.stop_gradient(centres)[labels]
    return jnp.mean(weight * jnp.square(difference).sum(axis=-1))


def centre_similarity_loss(centres: jax.Array) -> jax.Array:
    """Sum of cosine + 1 over all ordered pairs of centres `[classes, F]` (second term of L_IL)."""
    cosines = _unit_vectors(centres) @ _unit_vectors(centres).T
    num_centres = centres.shape[0]
    return jnp.sum(cosines) - jnp.trace(cosines) + num_centres * (num_centres - 1)


def class_sums(
    features: jax.Array, labels: jax.Array, weight: jax.Array, *, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """Sum of the features of each class and number of its examples, padding left out.

    Returns:
        `[num_classes, F]` and `[num_classes]`.
    """
    present = (weight > 0).astype(features.dtype)[:, None]
    membership = present * jax.nn.one_hot(labels, num_classes, dtype=features.dtype)
    return membership.T @ features, membership.sum(axis=0)


def moved_centres(
    centres: jax.Array,
    sums: jax.Array,
    counts: jax.Array,
    *,
    rate: float,
    pairwise_weight: float,
    distance_reduction: str,
    pairwise_reduction: str,
) -> jax.Array:
    """Centres after one batch: the island loss's update (spec IF-GAN 6.1).

    Args:
        centres: `[classes, F]`.
        sums: Sum of each class's features over the batch, `[classes, F]`.
        counts: Examples of each class in the batch, `[classes]`.
        rate: a, in [0, 1].
        pairwise_weight: alpha, of the cosine between centres.
        distance_reduction: The sum of c - x over a class is divided by 1 plus its count
            (`"one_plus_count"`), by the count (`"count"`) or not at all (`"sum"`).
        pairwise_reduction: `"mean"` or `"sum"` over the other centres.
    """
    divisor = {
        "one_plus_count": 1 + counts,
        "count": jnp.maximum(counts, 1),
        "sum": jnp.ones_like(counts),
    }[distance_reduction]
    to_centre = (counts[:, None] * centres - sums) / divisor[:, None]
    # Of each cosine with another centre k: (u_k - cosine * u_j) / |c_j|, u the unit vectors.
    units = _unit_vectors(centres)
    cosines = units @ units.T
    others = units.sum(axis=0, keepdims=True) - units
    own_part = (cosines.sum(axis=1) - jnp.diagonal(cosines))[:, None]
    pairwise = (others - own_part * units) / _lengths(centres)
    if pairwise_reduction == "mean":
        pairwise = pairwise / max(centres.shape[0] - 1, 1)
    return centres - rate * (to_centre + pairwise_weight * pairwise)


def _lengths(vectors: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.square(vectors).sum(axis=-1, keepdims=True) + 1e-12)


def _unit_vectors(vectors: jax.Array) -> jax.Array:
    return vectors / _lengths(vectors)


def concordance_loss(
    prediction: jax.Array, target: jax.Array, weight: jax.Array, *, axis_name: str | None = None
) -> jax.Array:
    """1 - mean of Lin's concordance correlations of the columns (spec Emotion-GCN 3).

    2 cov / (var_prediction + var_target + (difference of means)^2), of the whole batch, as the
    released program computes it: the covariance with 1/n, the variances with 1/(n - 1). A perfect
    batch of n examples therefore has a loss of 1/n, not 0: 0.25 of 4, 0.029 of 35. Where the
    denominator is 0 (a constant that is met exactly, or one example), the correlation counts as 0,
    without a gradient.

    Args:
        prediction: `[N, columns]`, e.g. valence and arousal.
        target: `[N, columns]`; examples with NaN among them count nowhere.
        weight: `[N]`; only whether it is above 0 matters.
        axis_name: Mapped axis whose devices hold parts of the batch; None: the batch is here. The
            result is the same on all of them, and the mean of the devices' gradients is its
            gradient.
    """
    present = ((weight > 0) & jnp.isfinite(target).all(axis=-1))[:, None]
    count = _summed(present.astype(jnp.float32), axis_name)  # [1]
    centred, means = [], []
    for values in (prediction, target):
        # What is left out must be harmless even in the gradient.
        values = jnp.where(present, values.astype(jnp.float32), 0.0)
        mean = _summed(values, axis_name) / jnp.maximum(count, 1)
        means.append(mean)
        centred.append(jnp.where(present, values - mean[None], 0.0))
    covariance = _summed(centred[0] * centred[1], axis_name) / jnp.maximum(count, 1)
    squares = _summed(jnp.square(centred[0]) + jnp.square(centred[1]), axis_name)
    denominator = squares / jnp.maximum(count - 1, 1) + jnp.square(means[0] - means[1])
    is_defined = denominator > 0
    concordance = jnp.where(
        is_defined, 2 * covariance / jnp.where(is_defined, denominator, 1.0), 0.0
    )
    return 1 - jnp.mean(concordance)


def root_mean_square_error_loss(
    prediction: jax.Array, target: jax.Array, weight: jax.Array, *, axis_name: str | None = None
) -> jax.Array:
    """Sum over the columns of the root of the mean squared error (spec ESR and MA-Net, A.9).

    Args:
        prediction: `[N, columns]`, e.g. valence and arousal.
        target: `[N, columns]`; NaN where unknown, which counts nowhere.
        weight: `[N]`; only whether it is above 0 matters.
        axis_name: As in `concordance_loss`.
    """
    present = (weight > 0)[:, None] & jnp.isfinite(target)
    # What is left out must be harmless even in the gradient.
    error = jnp.where(present, prediction.astype(jnp.float32) - target.astype(jnp.float32), 0.0)
    count = _summed(present.astype(jnp.float32), axis_name)
    mean = _summed(jnp.square(error), axis_name) / jnp.maximum(count, 1)  # [columns]
    is_defined = mean > 0  # a root has no gradient at 0
    return jnp.sum(jnp.where(is_defined, jnp.sqrt(jnp.where(is_defined, mean, 1.0)), 0.0))


def _summed(values: jax.Array, axis_name: str | None) -> jax.Array:
    """Sum over the examples of the whole batch."""
    total = values.sum(axis=0)
    return total if axis_name is None else jax.lax.psum(total, axis_name)


DIVERSITY_CHOICES = {
    "diagonal": ("zero", "unit"),
    "term": ("det", "direct", "logdet"),
    "reduction": ("sum", "mean"),
}
# 2^R products a row: 16 features take half a million.
MOST_DIVERSE_FEATURES = 16
# Below it a float32 determinant of similarities, which are at most 1, is rounding alone.
SMALLEST_DETERMINANT = 1e-6


class Diversity(NamedTuple):
    """How alike features of several branches may be; the defaults are the released program's.

    Source: Heidari and Iosifidis 2022, arXiv:2210.09381; spec ESR and MA-Net, Part B. Released,
    the similarity of features to themselves is 0, and minimising the loss of three or nine branches
    draws these together; a diagonal of 1 pushes them apart for any number. Summed over the
    positions, the differences of freshly initialised networks leave similarities of 1e-8 to 1e-46,
    at which no term acts. Meaned, the logarithm with a diagonal of 1 acts from the start: for nine
    new branches the gradient of its spatial term has the length 1.5, that of the determinant 0.01.

    Attributes:
        diagonal: Similarity of a feature to itself: `"zero"` or `"unit"`.
        term: `"det"`: minus the determinant of the similarities; `"direct"`: their sum; `"logdet"`:
            minus the logarithm of the determinant, which has no gradient where it is below
            `SMALLEST_DETERMINANT`.
        gamma: Factor of the squared differences.
        reduction: `"sum"` or `"mean"` of the squared differences over the positions.
    """

    diagonal: str = "zero"
    term: str = "det"
    gamma: float = 10.0
    reduction: str = "sum"


def diversity_loss(
    features: jax.Array,
    weight: jax.Array,
    options: Diversity,
    *,
    axis_name: str | None = None,
) -> jax.Array:
    """What alike features of several branches cost (spec ESR and MA-Net, Part B).

    Its gradient is finite for similarities of any size: no determinant is divided by.

    Args:
        features: `[R, N, ...]`, one feature a branch and example.
        weight: `[N]`.
        options: What is computed.
        axis_name: Mapped axis whose devices hold parts of one batch, over which similarities are
            meaned before the determinant is taken; None: this device's examples are the batch.

    Raises:
        ValueError: If an option is unknown, or there are more features than a determinant takes.
    """
    similarities = feature_similarities(features, weight, options, axis_name=axis_name)
    if options.term == "direct":
        return jnp.sum(similarities)
    value = determinant(similarities)
    if options.term == "det":
        return -value
    return -jnp.log(jnp.maximum(value, SMALLEST_DETERMINANT))


def feature_similarities(
    features: jax.Array,
    weight: jax.Array,
    options: Diversity,
    *,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean similarity in [0, 1] of each two branches' features, S of spec Part B.

    Args:
        features: As in `diversity_loss`, as for the other arguments.
        weight: `[N]`.
        options: All but the term counts.
        axis_name: As in `diversity_loss`.

    Returns:
        float32 `[R, R]`, symmetric, the diagonal as the options say.

    Raises:
        ValueError: If an option is unknown.
    """
    for name, known in DIVERSITY_CHOICES.items():
        if getattr(options, name) not in known:
            raise ValueError(f"{name} is {getattr(options, name)!r}; known: {', '.join(known)}")
    count, batch = features.shape[:2]
    flat = features.reshape(count, batch, -1).astype(jnp.float32)
    squares = jnp.square(flat[:, None] - flat[None])  # [R, R, N, positions]
    distances = squares.sum(axis=-1) if options.reduction == "sum" else squares.mean(axis=-1)
    similarities = jnp.mean(weight.reshape(1, 1, -1) * jnp.exp(-options.gamma * distances), axis=-1)
    if axis_name is not None:
        similarities = jax.lax.pmean(similarities, axis_name)
    itself = 1.0 if options.diagonal == "unit" else 0.0
    return jnp.where(jnp.eye(count, dtype=bool), itself, similarities)


def determinant(matrix: jax.Array) -> jax.Array:
    """Determinant without a division, so that its gradient is finite where there is no inverse.

    Expanded along the rows: minors of the first k rows and each k columns are made of those of the
    first k - 1. Float32 loses a few of its last bits at nine rows (1e-6 of the value).

    Args:
        matrix: `[R, R]`.

    Raises:
        ValueError: If R is above `MOST_DIVERSE_FEATURES`.
    """
    size = matrix.shape[0]
    if size > MOST_DIVERSE_FEATURES:
        raise ValueError(
            f"a determinant of {size} features takes too long; {MOST_DIVERSE_FEATURES} are the "
            "most, the term 'direct' takes any number"
        )
    minors = jnp.ones((1,), matrix.dtype)
    for row, (columns, rests) in enumerate(_expansion(size)):
        signs = (-1.0) ** (row + np.arange(row + 1))
        minors = (matrix[row][columns] * minors[rests]) @ jnp.asarray(signs, matrix.dtype)
    return minors[0]


@cache
def _expansion(size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each number k of rows: each choice of k columns, and the choices without one of them."""
    steps = []
    places: dict[tuple[int, ...], int] = {(): 0}
    for count in range(1, size + 1):
        choices = list(combinations(range(size), count))
        rests = [[places[c[:i] + c[i + 1 :]] for i in range(count)] for c in choices]
        steps.append((np.array(choices), np.array(rests)))
        places = {choice: place for place, choice in enumerate(choices)}
    return steps
