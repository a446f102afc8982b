"""The one place that makes the mesh, compiles steps and puts data on devices.

A step is a per-device function `step(state, batch, key)` whose collectives use the axis `"batch"`:
the state and the key are replicated, every array of the batch is cut along its first axis.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.machine import usable_cores
from tdgan_jax.processes.membership import gathered, several

BATCH_AXIS = "batch"
MAPPINGS = ("shard_map", "pmap")
# Two cores are measured, three and four are taken to be alike, more are not known.
MAX_CPU_DEVICES = 4
CPU_DEVICES = "jax_num_cpu_devices"
HOST_DEVICES_FLAG = "xla_force_host_platform_device_count"

Step = Callable[..., Any]


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A one-dimensional mesh over all devices of all processes, or the given ones.

    The devices of a process stand together: so do its rows of a batch.
    """
    chosen = sorted(jax.devices() if devices is None else devices, key=lambda d: d.process_index)
    return Mesh(np.asarray(chosen), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def rows_of_this_process(batch_size: int, mesh: Mesh) -> slice:
    """The rows of a batch that lie on this process's devices."""
    per_device = batch_size // mesh.size
    own = [i for i, d in enumerate(mesh.devices.flat) if d.process_index == jax.process_index()]
    return slice(own[0] * per_device, (own[-1] + 1) * per_device)


def connect(mesh: Mesh) -> None:
    """Lets the devices of several processes find each other while all processes are there.

    The CPU's devices wait 30 s for each other when they first compute something together, which is
    too short where one process has compiled its first step earlier than another.
    """
    if not several():
        return
    axes = ("process", "device")
    grid = Mesh(mesh.devices.reshape(jax.process_count(), -1), axes)
    sharding = NamedSharding(grid, PartitionSpec(axes))

    def sums(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        # All devices, as in a step; and those of one place, as where processes wait for each other.
        return jax.lax.psum(x, axes), jax.lax.psum(x, "process")

    mapped = jax.shard_map(
        sums,
        mesh=grid,
        in_specs=PartitionSpec(axes),
        out_specs=(PartitionSpec(), PartitionSpec("device")),
    )
    ones = np.ones(jax.local_device_count(), np.float32)
    given = jax.make_array_from_process_local_data(sharding, ones)
    compiled = jax.jit(mapped).lower(given).compile()
    gathered("compiled")
    jax.block_until_ready(compiled(given))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Refuses a batch that the devices cannot share equally.

    Raises:
        UserError: If the devices do not divide the batch.
    """
    if batch_size % mesh.size:
        raise UserError(
            f"a batch of {batch_size} cannot be divided among {mesh.size} devices; "
            f"choose a multiple of {mesh.size}"
        )


def use_cpu_devices(batch_size: int) -> None:
    """Gives the CPU a device for each core, as many as share the batch equally.

    Each device then computes its part of the batch on a core of its own, instead of one device that
    divides each operation among the cores: faster for large networks and those of IF-GAN, much the
    same for small ones (`benchmarks/README.md`).

    Every device holds a copy of the state: with more than `MAX_CPU_DEVICES` cores there is one
    device, as JAX makes it. `make_cpu_devices` says what takes precedence.
    """
    cores = usable_cores()
    if cores <= MAX_CPU_DEVICES:
        make_cpu_devices(max(n for n in range(1, cores + 1) if batch_size % n == 0))


def make_cpu_devices(count: int) -> None:
    """Gives the CPU a number of devices.

    `JAX_NUM_CPU_DEVICES` and the flag of XLA take precedence. Must come before the first look at a
    device; afterwards it changes nothing.
    """
    if getattr(jax.config, CPU_DEVICES) > 0 or HOST_DEVICES_FLAG in os.environ.get("XLA_FLAGS", ""):
        return
    with contextlib.suppress(RuntimeError):  # the devices are there already
        jax.config.update(CPU_DEVICES, count)


def compiler_options(num_devices: int) -> dict[str, str]:
    """Options of XLA for the backend in use, for `jax.jit`.

    On the CPU many of XLA's YNNPACK convolutions run on one core only; without them Eigen's take
    their place and use all. On a single core YNNPACK is the faster one, and stays where no device
    has more than one (both measured in `benchmarks/README.md`).

    Args:
        num_devices: Devices of this process that compute at once.
    """
    if jax.default_backend() != "cpu" or usable_cores() <= num_devices:
        return {}
    return _without_ynnpack()


@cache
def _without_ynnpack() -> dict[str, str]:
    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:  # a release of XLA that does not know the option
        return {}
    return options


def parallel_train_step(step: Step, mesh: Mesh, *, mapping: str) -> Step:
    """Compiles `step(state, batch, key) -> (state, metrics)`.

    With `shard_map` the state given to it is consumed (its buffers are donated).

    The outputs must be equal on all devices: the step averages its gradients and metrics itself.
    Variance tracking is off, so that gradients stay each device's own until that average.

    Args:
        step: The per-device function.
        mesh: The devices.
        mapping: `"shard_map"` or `"pmap"`.

    Raises:
        UsageError: If the mapping is unknown.
    """
    replicated, sharded = PartitionSpec(), PartitionSpec(BATCH_AXIS)
    if mapping == "shard_map":
        mapped = jax.shard_map(
            step,
            mesh=mesh,
            in_specs=(replicated, sharded, replicated),
            out_specs=(replicated, replicated),
            check_vma=False,
        )
        options = compiler_options(len(mesh.local_devices))
        return jax.jit(mapped, donate_argnums=0, compiler_options=options)
    if mapping == "pmap":
        return _pmapped(step, mesh)
    raise UsageError(f"parallel.mapping is {mapping!r}; known: {', '.join(MAPPINGS)}")


def _pmapped(step: Step, mesh: Mesh) -> Step:
    mapped = jax.pmap(
        step,
        axis_name=BATCH_AXIS,
        in_axes=(None, 0, None),
        out_axes=(None, None),
        devices=list(mesh.devices.flat),
    )

    def call(state, batch, key):
        per_device = jax.tree.map(lambda x: x.reshape(mesh.size, -1, *x.shape[1:]), batch)
        return mapped(state, per_device, key)

    return call


def parallel_eval_step(step: Step, mesh: Mesh) -> Step:
    """Compiles `step(state, batch) -> outputs`, both cut along the first axis of the batch.

    Args:
        step: The per-device function.
        mesh: The devices.
    """
    replicated, sharded = PartitionSpec(), PartitionSpec(BATCH_AXIS)
    mapped = jax.shard_map(
        step, mesh=mesh, in_specs=(replicated, sharded), out_specs=sharded, check_vma=False
    )
    options = compiler_options(len(mesh.local_devices))
    return jax.jit(mapped, compiler_options=options)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts a copy of every array on every device; all processes give the same arrays."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.make_array_from_process_local_data(sharding, tree)


def replicated_shapes(shapes: Any, mesh: Mesh) -> Any:
    """Shape structs placed as `replicate` places arrays: a template to restore into."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts host arrays on the devices, cut along their first axis.

    Args:
        batch: This process's rows of each array, `rows_of_this_process`.
        mesh: The devices.
    """
    sharding = NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
    return jax.make_array_from_process_local_data(sharding, batch)


def on_host(tree: Any) -> Any:
    """Arrays on the devices as numpy arrays, whole in every process."""
    if several():
        return multihost_utils.process_allgather(tree, tiled=True)
    return jax.device_get(tree)


def own_copy(tree: Any) -> Any:
    """Replicated arrays as one device of this process holds them, to compute without the others."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
