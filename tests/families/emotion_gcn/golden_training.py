"""Two training steps of the released program, on golden weights (section 9.3 of the spec)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from tdgan_jax.losses import concordance_loss, cross_entropy_loss
from tdgan_jax.networks.batch_norm import batch_statistics
from tests import golden_emotion_gcn as golden
from tests.families.emotion_gcn.emotion_networks import Model, filled_twin, nhwc

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.001, 0.9, 0.001


class Figures(NamedTuple):
    """What the spec's table says of one step; parts are backbone, gc1, gc2."""

    categorical: float
    continuous: float
    total: float
    gradient_norms: tuple[float, ...]
    sums_before: tuple[float, ...]  # of the parameters
    changes: tuple[float, ...]  # of these sums by the step
    mean_sums: tuple[float, float]  # of the running means before and after the forward pass
    variance_sums: tuple[float, float]


def our_steps(model: Model, size_px: int) -> Iterator[Figures]:
    """Our networks and losses with SGD, float32."""
    definition, *parts = nnx.split(model.network(), nnx.Param, nnx.BatchStat, ...)
    weights, averages, constants = map(nnx.to_pure_dict, parts)
    image = jnp.asarray(nhwc(golden.images(size_px)))
    words = jnp.asarray(golden.word_vectors())
    labels, affect = jnp.asarray(golden.LABELS), jnp.asarray(golden.affect())
    class_weight = jnp.asarray(golden.CLASS_WEIGHTS)[labels]
    class_weight = class_weight / class_weight.mean()  # PyTorch's weighted mean
    statistics = batch_statistics(jnp.ones(4), axis_name=None)
    optimizer = optax.chain(
        optax.add_decayed_weights(WEIGHT_DECAY),
        optax.trace(MOMENTUM),
        optax.scale(-LEARNING_RATE),
    )

    def loss(weights, averages):
        network = nnx.merge(definition, weights, averages, constants)
        prediction = network(image, words, statistics)
        losses = (
            cross_entropy_loss(prediction.logits, labels, class_weight),
            concordance_loss(prediction.affect, affect, jnp.ones(4)),
        )
        return sum(losses), (losses, nnx.to_pure_dict(nnx.state(network, nnx.BatchStat)))

    @jax.jit
    def step(weights, averages, state):
        (total, (losses, averages)), gradient = jax.value_and_grad(loss, has_aux=True)(
            weights, averages
        )
        change, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, change), averages, state, (*losses, total), gradient

    state = optimizer.init(weights)
    for _ in range(2):
        # The unused layer of a BReG-NeXt counts among the released program's parameters.
        unused = total_of(constants.get("unused_head", {}))
        before = [total_of(part) for part in _parts(weights)]
        averages_before = averages
        weights, averages, state, losses, gradient = step(weights, averages, state)
        yield Figures(
            *map(float, losses),
            gradient_norms=tuple(float(optax.tree.norm(part)) for part in _parts(gradient)),
            sums_before=(before[0] + unused, *before[1:]),
            changes=tuple(
                total_of(part) - old for part, old in zip(_parts(weights), before, strict=True)
            ),
            mean_sums=(total_of(averages_before, "mean"), total_of(averages, "mean")),
            variance_sums=(total_of(averages_before, "variance"), total_of(averages, "variance")),
        )


def _parts(tree: Any) -> list[Any]:
    return [tree["backbone"], tree["graph"]["gc1"], tree["graph"]["gc2"]]


def total_of(tree: Any, name: str | None = None) -> float:
    """Sum of all values, or of those of one name, in float64."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    chosen = [leaf for path, leaf in leaves if name is None or path[-1].key == name]
    return float(sum(np.asarray(leaf, np.float64).sum() for leaf in chosen))


def twin_steps(model: Model, backbone: str, size_px: int, dtype: str) -> Iterator[Figures]:
    """The torch twin with PyTorch's own SGD."""
    import torch

    kind = getattr(torch, dtype)
    twin = filled_twin(model.state_dict, "emotion_gcn", backbone).to(kind).train()
    image = torch.tensor(golden.images(size_px)).to(kind)
    words = torch.tensor(golden.word_vectors()).to(kind)
    labels, affect = torch.tensor(golden.LABELS), torch.tensor(golden.affect()).double()
    class_weights = torch.tensor(golden.CLASS_WEIGHTS).to(kind)
    optimizer = torch.optim.SGD(
        twin.parameters(), LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    own = twin.features if backbone == "densenet" else twin.model
    parts = [list(own.parameters()), [twin.gc1.weight], [twin.gc2.weight]]

    def sums():
        return [sum(p.detach().double().sum().item() for p in part) for part in parts]

    def running(name):
        return sum(v.double().sum().item() for k, v in twin.state_dict().items() if name in k)

    for _ in range(2):
        before = sums(), running("running_mean"), running("running_var")
        logits, predicted = twin(image, words)
        categorical = torch.nn.functional.cross_entropy(logits, labels, class_weights)
        continuous = twin_concordance_loss(predicted.double(), affect)
        after = running("running_mean"), running("running_var")
        optimizer.zero_grad()
        (categorical + continuous).backward()
        norms = tuple(
            sum(p.grad.double().square().sum().item() for p in part if p.grad is not None) ** 0.5
            for part in parts
        )
        optimizer.step()
        yield Figures(
            categorical.item(),
            continuous.item(),
            categorical.item() + continuous.item(),
            norms,
            tuple(before[0]),
            tuple(new - old for new, old in zip(sums(), before[0], strict=True)),
            (before[1], after[0]),
            (before[2], after[1]),
        )


def twin_concordance_loss(predicted, target):
    """1 minus the mean concordance, with the released program's denominators."""
    centred = predicted - predicted.mean(0), target - target.mean(0)
    covariance = (centred[0] * centred[1]).mean(0)
    distance = (predicted.mean(0) - target.mean(0)).square()
    return 1 - (2 * covariance / (predicted.var(0) + target.var(0) + distance)).mean()
