"""What is compared when the processes of a run have met, so that none computes something else."""

import os
import time
from pathlib import Path

import jax

from tdgan_jax.configuration import Config, differences, to_json
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.processes.membership import (
    all_or_none,
    gathered,
    is_first,
    on_first_process,
    several,
)

PROBE = ".seen_by_all"  # a file in the run folder, for a moment
SEEN_WITHIN_S = 10  # a network file system may show it late


def check_alike(config: Config) -> None:
    """Refuses processes that were started with different configurations.

    Raises:
        UsageError: Names the fields.
    """
    first, *others = gathered(to_json(config))
    for process, theirs in enumerate(others, start=1):
        if changed := differences(first, theirs):
            lines = "\n  ".join(changed)
            raise UsageError(
                f"process {process} was started with another configuration (process 0 -> process "
                f"{process}):\n  {lines}\ngive all processes the same; nothing was changed"
            )


def check_devices(config: Config) -> None:
    """Refuses processes that see fewer or more devices than they should.

    Raises:
        UserError: If a process has another number of devices than `parallel.devices_per_process`,
            where that is set, or than process 0; names both numbers.
    """
    count, wanted = jax.local_device_count(), config.parallel.devices_per_process

    def check_own() -> None:
        if wanted and count != wanted:
            raise UserError(
                f"{count} devices are seen here, parallel.devices_per_process is {wanted}. Slurm "
                "and Open MPI show one GPU to each process: start a process for each, or set "
                "JAX_LOCAL_DEVICE_IDS"
            )

    all_or_none(check_own)
    counts = gathered(count)
    if len(set(counts)) > 1:
        raise UserError(
            f"the processes see different numbers of devices: {', '.join(map(str, counts))}; give "
            "all of them as many"
        )


def check_same_content(fingerprint: str) -> None:
    """Refuses processes whose copies of the datasets differ.

    Args:
        fingerprint: What a process reads, `TrainingData.fingerprint`.

    Raises:
        UserError: Names the first process that reads something else than process 0.
    """
    prints = gathered(fingerprint)
    for process, theirs in enumerate(prints):
        if theirs != prints[0]:
            raise UserError(
                f"process {process} reads other images, labels or people than process 0; prepare "
                "the same dataset on all machines, or give all the same data.directory"
            )


def check_shared(workdir: Path) -> None:
    """Makes sure that the run folder, which is there, is the same for all processes.

    Raises:
        UserError: Names the first process that sees another one.
    """
    if not several():
        return

    def make_probe() -> str:
        probe = workdir / f"{PROBE}.{os.getpid()}.{time.time_ns()}.tmp"
        probe.touch()
        return probe.name

    name = on_first_process(make_probe)
    try:
        check_seen_alike(workdir / name)
    finally:
        if is_first():
            (workdir / name).unlink(missing_ok=True)


def check_seen_alike(path: Path) -> None:
    """Makes sure that a file of the run folder is there for all processes or for none.

    Where only some see a run, these would wait for the others to open its checkpoints.

    Args:
        path: The file.

    Raises:
        UserError: Names the first process that does not see what process 0 sees.
    """
    is_there = on_first_process(path.exists)

    def look() -> None:
        deadline = time.monotonic() + SEEN_WITHIN_S
        while path.exists() != is_there:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path.parent.absolute()} is not the run folder of process 0; give all "
                    "processes the same --workdir on a file system that their machines share"
                )
            time.sleep(0.1)

    all_or_none(look)
