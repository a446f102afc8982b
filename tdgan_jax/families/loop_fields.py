"""Fields that the configurations of all systems share: what the loop and the folds read."""

from collections.abc import Mapping
from typing import TypeAlias

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config

# Runs of before chose how folds share a process's devices.
RETIRED = ("parallel.folds",)
Limits: TypeAlias = Mapping[str, tuple[float, float]]
# Smallest and largest value of the numbers that several systems have. Larger ones are slips of the
# keyboard that would take the machine's memory or its day.
SHARED_LIMITS: Limits = {
    "seed": (0, 2**32 - 1),  # a key of JAX would be that of the rest
    "model.image_size_px": (4, 1024),
    "model.image_channels": (1, 3),  # not 2: see `check_values`
    "model.dropout_rate": (0, 0.99),
    "data.num_folds": (0, 1000),
    "data.fold": (-1, 999),
    "data.validation_fraction": (0, 0.99),
    "data.memory_limit_bytes": (0, 2**50),
    "data.num_workers": (0, 256),
    "training.epochs": (1, 10**6),
    "training.batch_size": (1, 2**14),
    "evaluation.batch_size": (1, 2**14),
    "log.every_steps": (1, 10**9),
    "log.samples_every_steps": (1, 10**9),
    "log.checkpoint_every_steps": (1, 10**9),
    "parallel.devices_per_process": (0, 2**10),
    "parallel.initialization_timeout_s": (1, 10**6),
    "parallel.heartbeat_timeout_s": (1, 10**6),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.beta1": (0, 0.9999),
    "optimizer.beta2": (0, 0.999999),
    "optimizer.epsilon": (1e-30, 1),
    "optimizer.weight_decay": (0, 1),
    "optimizer.clip_norm": (0, 1e9),
    "schedule.learning_rate": (0, 100),
    "schedule.warmup_epochs": (0, 10**6),
    "schedule.warmup_start": (0, 1),
    "schedule.decay": (0, 1),
    "schedule.decay_epochs": (1, 10**6),
    "schedule.final_part": (0, 1),
    "schedule.rise": (0, 1),
    "schedule.initial_divisor": (1, 1e9),
    "schedule.final_divisor": (1, 1e12),
}


def general_fields() -> Config:
    """A configuration with what stands before the sections; the system adds these."""
    config: Config = ConfigDict()
    config.name = ""  # name of the run folder; set by each file
    config.family = ""  # set by `new_config`
    config.seed = 0
    # Of a training step's convolutions and matrix products; or "bfloat16". Weights, optimiser, norm
    # statistics and losses stay float32, and so does all that is evaluated.
    config.precision = "float32"
    return config


def log_fields() -> Config:
    """How often a run writes what."""
    log: Config = ConfigDict()
    log.every_steps = 5
    log.samples_every_steps = 100  # within each epoch, from its step 0
    log.checkpoint_every_steps = 500
    return log


def parallel_fields() -> Config:
    """How the devices share the work."""
    parallel: Config = ConfigDict()
    parallel.mapping = "shard_map"  # or "pmap"
    parallel.devices_per_process = 0  # that must be there; 0: not checked
    # Of several processes: how long they may take to meet, and to find out that one is lost.
    parallel.initialization_timeout_s = 300
    parallel.heartbeat_timeout_s = 30
    return parallel


def ten_folds(config: Config) -> None:
    """Ten folds by subject take the place of both splits."""
    config.data.expressions.train_split = ""
    config.data.expressions.test_split = ""
    config.data.num_folds = 10


def log_of_tiny(config: Config) -> None:
    """Everything is written within a few steps."""
    config.log.every_steps = 3
    config.log.samples_every_steps = 20
    config.log.checkpoint_every_steps = 7
    config.evaluation.batch_size = 8


def expressions_fields() -> Config:
    """The dataset that is learned from and tested on."""
    source: Config = ConfigDict()
    source.dataset = ""
    source.builder_config = ""  # "": the dataset's first one
    source.train_split = "train"
    source.test_split = "test"
    return source


def evaluation_fields(*, batch_size: int) -> Config:
    """What chooses an epoch's parameters.

    Args:
        batch_size: Images that are evaluated at once.
    """
    evaluation: Config = ConfigDict()
    # What chooses the epoch; or "test": optimistic, or "last": nothing does.
    evaluation.selection = "validation"
    # The figure that it is chosen by, of the first recogniser: accuracy, mean_class_accuracy,
    # macro_f1, or of valence and arousal ccc.
    evaluation.selected_by = "accuracy"
    evaluation.batch_size = batch_size
    return evaluation


def optimizer_fields() -> Config:
    """The optimiser of the systems that have one for all networks; PyTorch's Adam."""
    optimizer: Config = ConfigDict()
    optimizer.kind = "adam"  # or "adamw" or "sgd"
    optimizer.momentum = 0.0  # of "sgd"
    optimizer.nesterov = False
    optimizer.beta1 = 0.9  # of "adam" and "adamw"
    optimizer.beta2 = 0.999
    optimizer.epsilon = 1e-8
    optimizer.weight_decay = 0.0  # added to the gradient; of "adamw" apart from it
    optimizer.decays_vectors = True  # biases and scales of norms too
    optimizer.clip_norm = 0.0  # largest norm of the whole gradient; 0: any
    return optimizer


def schedule_fields(*, learning_rate: float) -> Config:
    """How the learning rate goes over a training (`steps.schedules.Schedule`).

    Args:
        learning_rate: The rate; of "one_cycle" the highest one.
    """
    schedule: Config = ConfigDict()
    schedule.kind = "constant"  # or "step", "cosine" or "one_cycle"
    schedule.learning_rate = learning_rate
    schedule.warmup_epochs = 0.0
    schedule.warmup_start = 0.01  # part of the rate
    schedule.decay = 0.1  # of "step": factor
    schedule.decay_epochs = 10  # of "step": after so many epochs
    schedule.final_part = 0.0  # of "cosine": part of the rate at the end
    schedule.rise = 0.3  # of "one_cycle": part of the steps
    schedule.initial_divisor = 25.0
    schedule.final_divisor = 1e4
    return schedule


def with_people_to_probe(config: Config, probed_folds: range = range(3)) -> None:
    """One division instead of folds: the people of some folds are left to probes.

    Args:
        config: With folds; changed in place.
        probed_folds: Those that test.
    """
    folds = range(config.data.num_folds)
    config.data.num_folds = 0
    config.data.expressions.test_split = "+".join(f"fold_{fold}" for fold in probed_folds)
    config.data.expressions.train_split = "+".join(
        f"fold_{fold}" for fold in folds if fold not in probed_folds
    )
    # Two people's eight images would choose an epoch by chance, often one that is hardly trained.
    config.data.validation = "none"
    config.evaluation.selection = "last"
