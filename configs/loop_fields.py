"""Fields that the configurations of all systems share: what the loop and the folds read."""

from ml_collections import ConfigDict


def log_fields() -> ConfigDict:
    """How often a run writes what."""
    log = ConfigDict()
    log.every_steps = 5
    log.samples_every_steps = 100  # within each epoch, from its step 0
    log.checkpoint_every_steps = 500
    return log


def parallel_fields() -> ConfigDict:
    """How the devices share the work."""
    parallel = ConfigDict()
    parallel.mapping = "shard_map"  # or "pmap"
    parallel.devices_per_process = 0  # that must be there; 0: not checked
    # Of a cross-validation: "sequential": one fold after the other, each on all devices;
    # "per_device": one fold on each device at the same time; "auto": that where one process has
    # several devices and several folds to train.
    parallel.folds = "auto"
    # Of several processes: how long they may take to meet, and to find out that one is lost.
    parallel.initialization_timeout_s = 300
    parallel.heartbeat_timeout_s = 30
    return parallel


def ten_folds(config: ConfigDict) -> None:
    """Ten folds by subject take the place of both splits."""
    config.data.expressions.train_split = ""
    config.data.expressions.test_split = ""
    config.data.num_folds = 10


def log_of_tiny(config: ConfigDict) -> None:
    """Everything is written within a few steps."""
    config.log.every_steps = 3
    config.log.samples_every_steps = 20
    config.log.checkpoint_every_steps = 7
    config.evaluation.batch_size = 8
