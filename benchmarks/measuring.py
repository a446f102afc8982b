"""What the benchmarks share: cores, compiled trainings, timing, and how a result is printed."""

import json
import os
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from benchmarks.random_inputs import first_state
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.family import Training
from tdgan_jax.runs.folder import environment
from tdgan_jax.steps.parallel import parallel_train_step, replicate, shard_batch


class CompiledStep(NamedTuple):
    """One pattern's step, ready to run.

    Attributes:
        call: `(state, batch, key) -> (state, metrics)`; consumes the state.
        compile_seconds: Tracing, lowering and compiling; with `pmap` its first run as well.
        flops: Floating-point operations on all devices as XLA counts them; None if it does not.
        memory_bytes: Arguments, results and temporaries of one device; None if unknown.
    """

    call: Callable[..., Any]
    compile_seconds: float
    flops: float | None
    memory_bytes: int | None


class JaxTraining:
    """The state of a training and its compiled steps."""

    def __init__(self, config: ConfigDict, family: Training, mesh: Mesh, batch: Any):
        """Initialises the parameters and puts the batch on the devices."""
        self._mapping = config.parallel.mapping
        self._train_step = family.train_step
        self._mesh = mesh
        self._state = replicate(first_state(config, family), mesh)
        self._batch = shard_batch(batch, mesh)
        self._key = replicate(jax.random.key(config.seed), mesh)
        self.compiled: dict[Hashable, CompiledStep] = {}

    def compile(self, updates: Hashable) -> CompiledStep:
        """Compiles the step of one pattern of updates and keeps it."""
        start = time.perf_counter()
        step = parallel_train_step(
            partial(self._train_step, updates), self._mesh, mapping=self._mapping
        )
        if hasattr(step, "lower"):
            executable = step.lower(self._state, self._batch, self._key).compile()
            seconds = time.perf_counter() - start
            compiled = CompiledStep(
                executable, seconds, _flops(executable, self._mesh.size), _memory_bytes(executable)
            )
        else:  # The pmap mapping is a plain function, which compiles at its first call.
            self._state, _ = jax.block_until_ready(step(self._state, self._batch, self._key))
            compiled = CompiledStep(step, time.perf_counter() - start, None, None)
        self.compiled[updates] = compiled
        return compiled

    def step(self, updates: Hashable) -> None:
        """Takes one step and waits for its end."""
        self._state, _ = jax.block_until_ready(
            self.compiled[updates].call(self._state, self._batch, self._key)
        )


def _flops(executable: Any, num_devices: int) -> float | None:
    flops = (executable.cost_analysis() or {}).get("flops", 0.0)
    return flops * num_devices if flops > 0 else None  # -1: this backend cannot tell


def _memory_bytes(executable: Any) -> int | None:
    memory = executable.memory_analysis()
    if memory is None:
        return None
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes  # The new state stands where the consumed one stood.
    )


def fastest_seconds(calls: Mapping[Hashable, Callable[[], None]], repeats: int) -> dict:
    """The shortest time of each call.

    The calls take turns, so that another load on the machine meets all of them alike. In its turn
    each is made twice and the second is timed: the first warms up, and gets back from the system
    the memory that the others' turns have used meanwhile, which a training does not meet.

    Args:
        calls: Each waits for the end of its work.
        repeats: Turns of each.

    Returns:
        Seconds by the name of the call.
    """
    seconds: dict[Hashable, list[float]] = {name: [] for name in calls}
    for number in range(repeats):
        say(f"round {number + 1} of {repeats}")
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(timed) for name, timed in seconds.items()}


def use_threads(threads: int | None) -> int:
    """Limits this process to that many CPU cores; must come before JAX makes its client.

    JAX sizes its pool by the cores that the process may use and has no setting of its own.

    Args:
        threads: Threads of either side; None for one on each usable core.

    Returns:
        The number in force.

    Raises:
        UsageError: If there are not as many cores, or the system cannot set them.
    """
    can_set = hasattr(os, "sched_setaffinity")  # Linux alone
    usable = sorted(os.sched_getaffinity(0)) if can_set else range(os.cpu_count() or 1)
    if threads is None or threads == len(usable):
        return len(usable)
    if not 1 <= threads <= len(usable):
        raise UsageError(f"--threads is {threads}; this process may use 1 to {len(usable)} cores")
    if not can_set:
        raise UsageError("--threads needs Linux: elsewhere JAX uses all cores")
    os.sched_setaffinity(0, usable[:threads])
    return threads


def print_measurement(script: str, measured: Callable[[], dict[str, Any]]) -> int:
    """Prints what a benchmark measures as JSON, or why it cannot, as one line on stderr.

    After the figures stand the devices, versions and commit that they were measured with.

    Args:
        script: Name of the script, for the line.
        measured: Does the work; a `UserError` says why it cannot be done.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    try:
        print(json.dumps(measured() | _measured_with(), indent=1))
    except UserError as error:
        print(f"{script}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _measured_with() -> dict[str, Any]:
    known = environment(jax.devices())
    return {
        "device": ", ".join(known["device_kinds"]),
        "glibc_settings": known["glibc_settings"],
        "versions": {"python": known["python"], **known["packages"]},
        "git_commit": known["git_commit"],
        "git_modified": known["git_modified"],
    }


def say(line: str) -> None:
    """A line of progress, on stderr."""
    print(line, file=sys.stderr, flush=True)
