"""All that the program knows of a system: one record, which each family's `family.py` fills.

Importing a record is light; its functions import networks and losses when they are called.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError

if TYPE_CHECKING:
    import jax
    import numpy as np
    from flax import nnx

    from tdgan_jax.data.examples import Examples, Transform
    from tdgan_jax.data.feeds import Feed
    from tdgan_jax.families.loop_fields import Limits
    from tdgan_jax.families.stored import StoredFamily, StoredModel
    from tdgan_jax.steps.state import Answers

Tree = Any


class Names(NamedTuple):
    """The classes of a model: people and expressions.

    Attributes:
        identities: People of the face branch in the order of its logits; empty without one.
        expressions: Classes in the order of the logits.
    """

    identities: tuple[str, ...]
    expressions: tuple[str, ...]


class Parts(NamedTuple):
    """The labelled examples that a run reads.

    Attributes:
        fit: Those to learn from, their images on disk.
        validation: Those that choose the model; None without.
        test: Those of the test split.
    """

    fit: "Examples"
    validation: "Examples | None"
    test: "Examples"


class Stage(NamedTuple):
    """A part of a training that begins where the best of the one before it was.

    Attributes:
        name: In a word or two, for the log.
        epochs: Epochs in it.
    """

    name: str
    epochs: int


class Beginning(NamedTuple):
    """What the training examples say before anything is learned from them.

    Attributes:
        change: `state -> state`, both on the host: puts it into the state of a new run.
        record: The same for people, as JSON.
    """

    change: Callable[[Any], Any]
    record: dict[str, Any]


class Training(NamedTuple):
    """The functions of one system for the loop, all of them for one device's part of a batch.

    Attributes:
        recognisers: Names of what classifies expressions; the first one chooses the best epoch.
        init_state: `key -> state`; the state has the fields `parameters` and `step`.
        updates_due: `(step, step_in_epoch, epoch) -> updates`, which networks a step updates.
        train_step: `(updates, state, batch, key) -> (state, metrics)`; `updates` is static, the
            key is that of the run.
        eval_step: `(parameters, images) -> {recogniser: Answers}`.
        sample_columns: Titles of the sample sheet's columns, in their order.
        sample_step: `(parameters, batch, key) -> {column title: images}`.
        sample_rows: Examples on a sample sheet.
        shown_losses: Losses that the progress bar names.
        stages: The parts of the training in their order; none: it has one.
        begin_stage: `(state, stage, best) -> state`, called where a stage after the first one
            begins, with its number and the parameters that were best in the one before. Shapes do
            not change.
        with_given_weights: `(state, load) -> state`, both on the host: puts weights of the user's
            into the state of a new run; `load` opens a model on disk. None without such.
        beginning: What a new run takes from its training examples, which the checkpoints then
            hold; called before the run's folder is made. None: nothing.
    """

    recognisers: tuple[str, ...]
    init_state: "Callable[[jax.Array], Any]"
    updates_due: Callable[[int, int, int], Hashable]
    train_step: "Callable[[Any, Any, Any, jax.Array], tuple[Any, dict[str, jax.Array]]]"
    eval_step: "Callable[[Tree, jax.Array], dict[str, Answers]]"
    sample_columns: tuple[str, ...]
    sample_step: "Callable[[Tree, Any, jax.Array], dict[str, jax.Array]]"
    sample_rows: int = 3
    shown_losses: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    begin_stage: Callable[[Any, int, Tree], Any] | None = None
    with_given_weights: "Callable[[Any, Callable[[Path], StoredModel]], Any] | None" = None
    beginning: "Callable[[Examples], Beginning] | None" = None


class Family(NamedTuple):
    """One system; `known.py` knows its name.

    Attributes:
        fields: Everything that a configuration may say, with the values that it has where nothing
            says otherwise; `family` is empty.
        limits: Smallest and largest value of the numbers among them, by dotted name; those of
            `loop_fields.SHARED_LIMITS` need not be there.
        training: `(config, names) -> Training`.
        transform: `config -> transform` of the training images when they are read, to uint8
            `[H, W, C]`; they are cropped or changed later.
        feed: `(config, parts, cache) -> Feed`: where the training batches come from; `cache` is a
            run folder that may hold what the feed has computed before, or None.
        stored: Weights in PyTorch's layout, architecture, parity.
        model: What a user calls.
        features: `(config, parameters, parts, names) -> {name: float32 [N, D]}`, what is probed:
            features of the examples of all parts, one after the other. `expression`: from which
            the expression is read, and `random`: of a network that never learned.
        yardsticks: `(config, data, num_updates) -> {name: test accuracy}` of what a training must
            beat; `data` has what `Parts` has.
        check_given_weights: `(config, read_config)`: refuses weights of the user's that a new run
            cannot begin with, before any data are read; `read_config` reads that of a run folder.
        examples_read: `(config, dataset, examples) -> other examples of that dataset` which the
            feed reads beside the splits of the expressions; for `examples`, whose classes they
            must share.
        titles: Recogniser to its name in a report.
        loss_groups: Beginning of a loss's name to the heading below which a report draws it; equal
            beginnings mean the same in all systems.
        retired: Fields, or whole sections, that runs of before have and nothing reads any more.
    """

    fields: Callable[[], Config]
    training: Callable[[Config, Names], Training]
    transform: "Callable[[Config], Transform]"
    feed: "Callable[[Config, Parts, Path | None], Feed]"
    stored: "Callable[[], StoredFamily]"
    model: "Callable[[StoredModel], Any]"
    features: "Callable[[Config, Tree, Sequence[Examples], Names], dict[str, np.ndarray]]"
    limits: "Limits" = {}
    yardsticks: "Callable[[Config, Parts, int], dict[str, float]]" = lambda *_: {}
    check_given_weights: Callable[[Config, Callable[[Path], Config]], None] = lambda *_: None
    examples_read: "Callable[[Config, str, Examples], Iterable[Examples]]" = lambda *_: ()
    titles: Mapping[str, str] = {}
    loss_groups: Mapping[str, str] = {}
    retired: tuple[str, ...] = ()


def set_configured_execution(config: Config, networks: "Iterable[nnx.Module | None]") -> None:
    """Makes networks compute as the configuration wants it of training steps.

    Raises:
        UsageError: If the precision is unknown.
    """
    from tdgan_jax.networks.execution import set_execution

    try:
        set_execution(
            networks,
            precision=config.precision,
            rematerialise=config.parallel.get("rematerialise", False),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
