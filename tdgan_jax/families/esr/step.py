"""One training step of ESR, as a per-device function; each stage has its own.

The loss is the sum of the cross-entropies of the branches that there are so far, and the diversity
terms (spec ESR and MA-Net, A.7, A.8, Part B); or the sum of the errors of their valence and
arousal, from which nothing but the heads for these learns (A.9).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from tdgan_jax.data.image_feed import ImageBatch
from tdgan_jax.families.esr.branches import BranchOutput
from tdgan_jax.families.esr.diversity import diversity_terms
from tdgan_jax.families.esr.networks import (
    ESR,
    Definitions,
    definitions_by_name,
    ensemble_output,
    mean_affect,
    mean_probability,
    merge_networks,
    network_names,
    vote_counts,
)
from tdgan_jax.families.esr.voters import voters_of, voters_tree, without_voters
from tdgan_jax.losses import (
    Diversity,
    accuracy,
    distribution_loss,
    root_mean_square_error_loss,
)
from tdgan_jax.networks.batch_norm import BatchStatistics
from tdgan_jax.networks.normalisation import Normalisation, normalised
from tdgan_jax.steps.learning import separate_all, updated
from tdgan_jax.steps.parallel import BATCH_AXIS
from tdgan_jax.steps.state import Answers, Metrics, Parameters

ENSEMBLE = "ensemble"
PREDICTIONS = ("vote", "mean_probability")
LEARNT = ("expressions", "affect")


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
        weights: Network name (`network_names`) to tree of weights and running averages.
        optimizer_state: Of the weights of all networks together, new in each stage.
        is_voter: float32 `[R]`, 1 for the branches that answer in this stage, else 0.
        step: int32 scalar, steps done since the start.
    """

    weights: dict[str, Parameters]
    optimizer_state: optax.OptState
    is_voter: jax.Array
    step: jax.Array

    @property
    def parameters(self) -> dict[str, Parameters]:
        """What is evaluated and kept: the networks, and which branches answer."""
        return self.weights | voters_tree(self.is_voter)


class StageSetup(NamedTuple):
    """What differs between the stages.

    Attributes:
        num_learning: Branches that have a cross-entropy, the first ones.
        num_compared: Branches whose attentions the diversity terms compare; at least as many.
        optimizer: Of the weights of all networks.
    """

    num_learning: int
    num_compared: int
    optimizer: optax.GradientTransformationExtraArgs


class Setup(NamedTuple):
    """What stays the same over a training.

    Attributes:
        networks: Definitions of the networks.
        stages: What differs between the stages.
        diversity: Options of the diversity terms; None: there are none.
        diversity_weight: Of their sum.
        channel_source: See `diversity_terms`.
        normalisation: Of the images.
        prediction: One of `PREDICTIONS`.
        learns: One of `LEARNT`.
        has_global_statistics: Whether the batch norms see the whole batch or each device's part.
        axis_name: Mapped axis to average gradients and metrics over; None without one.
    """

    networks: Definitions
    stages: tuple[StageSetup, ...]
    diversity: Diversity | None = None
    diversity_weight: float = 1.0
    channel_source: str = "channel_attention"
    normalisation: Normalisation = Normalisation()
    prediction: str = PREDICTIONS[0]
    learns: str = LEARNT[0]
    has_global_statistics: bool = True
    axis_name: str | None = BATCH_AXIS


def init_state(setup: Setup, weights: dict[str, Parameters]) -> TrainState:
    """State at step 0."""
    return TrainState(
        weights=weights,
        optimizer_state=first_optimizer_state(setup, weights, stage=0),
        is_voter=first_voters(len(setup.stages), stage=0),
        step=jnp.zeros((), jnp.int32),
    )


def first_voters(num_branches: int, *, stage: int) -> jax.Array:
    """Which branches answer in a stage, float32 `[num_branches]`."""
    return (jnp.arange(num_branches) <= stage).astype(jnp.float32)


def first_optimizer_state(setup: Setup, weights: dict[str, Parameters], *, stage: int) -> Any:
    """The state of a stage's optimiser before its first step."""
    trained, _ = separate_all(definitions_by_name(setup.networks), weights)
    return setup.stages[stage].optimizer.init(trained)


def ensemble_loss(
    output: BranchOutput, batch: ImageBatch, setup: Setup, stage: StageSetup
) -> tuple[jax.Array, Metrics]:
    """The loss of this device's part of a batch, and the metrics.

    Args:
        output: Of the branches that the stage runs.
        batch: This device's part.
        setup: What stays the same over the training.
        stage: What is the stage's own.
    """
    logits = output.logits[: stage.num_learning]
    each = [distribution_loss(one, batch.target, batch.weight) for one in logits]
    total = sum(each, start=jnp.zeros(()))
    metrics = {
        "branches": total,
        "branches_newest": each[-1],
        f"{ENSEMBLE}_accuracy": accuracy(
            scores(logits, None, prediction=setup.prediction),
            batch.expression_label,
            batch.weight,
        ),
    }
    if setup.diversity is None or stage.num_compared < 2:
        return total, metrics
    terms = diversity_terms(
        jax.tree.map(lambda leaf: leaf[: stage.num_compared], output),
        batch.weight,
        setup.diversity,
        channel_source=setup.channel_source,
        axis_name=setup.axis_name,
    )
    metrics |= {f"diversity_{name}": term for name, term in terms.items()}
    return total + setup.diversity_weight * sum(terms.values(), start=jnp.zeros(())), metrics


def affect_loss(
    output: BranchOutput, batch: ImageBatch, setup: Setup, stage: StageSetup
) -> tuple[jax.Array, Metrics]:
    """The same for valence and arousal."""
    if output.affect is None:
        raise ValueError("the branches have no head for valence and arousal")
    each = [
        root_mean_square_error_loss(one, batch.affect, batch.weight, axis_name=setup.axis_name)
        for one in output.affect[: stage.num_learning]
    ]
    total = sum(each, start=jnp.zeros(()))
    return total, {"branches": total, "branches_newest": each[-1]}


def train_step(
    setup: Setup, stage: int, state: TrainState, batch: ImageBatch
) -> tuple[TrainState, Metrics]:
    """Runs one whole step.

    Args:
        setup: What stays the same over the training (static).
        stage: Number of the stage (static).
        state: State before the step.
        batch: This device's part of the batch.

    Returns:
        The new state and the metrics, float32 scalars averaged over the devices.
    """
    of_stage = setup.stages[stage]
    images = normalised(batch.image, setup.normalisation)
    num_run = of_stage.num_learning
    learns_affect = setup.learns == LEARNT[1]
    if setup.diversity is not None and not learns_affect:
        num_run = max(num_run, of_stage.num_compared)

    def loss(networks: dict[str, Any], statistics: BatchStatistics) -> tuple[jax.Array, Metrics]:
        base, *branches = networks.values()
        # What does not learn is as it is when it is used.
        taken = None if learns_affect else statistics
        output = ensemble_output(
            ESR(base, tuple(branches)),
            images,
            base_statistics=taken,
            branch_statistics=taken,
            num_branches=num_run,
        )
        loss_of = affect_loss if learns_affect else ensemble_loss
        return loss_of(output, batch, setup, of_stage)

    names = network_names(len(setup.networks.branches))
    learned = updated(
        definitions_by_name(setup.networks),
        of_stage.optimizer,
        {name: state.weights[name] for name in names},
        state.optimizer_state,
        loss,
        example_weight=batch.weight,
        steps_per_epoch=batch.steps_per_epoch[0],
        axis_name=setup.axis_name,
        has_global_statistics=setup.has_global_statistics,
    )
    state = state._replace(
        weights=learned.weights, optimizer_state=learned.optimizer_state, step=state.step + 1
    )
    return state, learned.metrics


def scores(logits: jax.Array, voters: jax.Array | None, *, prediction: str) -> jax.Array:
    """What an ensemble decides by, `[N, E]`: counts of votes, or mean probabilities.

    Args:
        logits: The branches', `[R, N, E]`.
        voters: See `vote_counts`.
        prediction: One of `PREDICTIONS`.
    """
    count = vote_counts if prediction == PREDICTIONS[0] else mean_probability
    return count(logits, voters)


def look(
    networks: Definitions,
    normalisation: Normalisation,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> BranchOutput:
    """What all branches make of images in evaluation mode.

    Args:
        networks: Definitions of the networks.
        normalisation: Of the images.
        parameters: Network name to tree.
        images: uint8 or float32 in [0, 1], `[N, S, S, channels]`.
    """
    ensemble = merge_networks(networks, without_voters(parameters))
    return ensemble_output(ensemble, normalised(images, normalisation))


def eval_step(
    networks: Definitions,
    normalisation: Normalisation,
    prediction: str,
    parameters: Mapping[str, Parameters],
    images: jax.Array,
) -> dict[str, Answers]:
    """Answers of the `ensemble` and of each branch alone, those too that do not vote yet.

    Arguments as of `look`, and the prediction, one of `PREDICTIONS`. The ensemble's probabilities
    are shares of votes, or the mean ones.
    """
    output, voters = look(networks, normalisation, parameters, images), voters_of(parameters)
    decided = scores(output.logits, voters, prediction=prediction)
    shares = decided / jnp.sum(decided, axis=-1, keepdims=True)
    affect = None if output.affect is None else mean_affect(output.affect, voters)
    answers = {ENSEMBLE: Answers(decided, shares, affect)}
    for i, name in enumerate(network_names(len(networks.branches))[1:]):
        own = None if output.affect is None else output.affect[i]
        answers[name] = Answers(output.logits[i], affect=own)
    return answers
