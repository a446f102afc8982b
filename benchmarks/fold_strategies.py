"""Times three ways to train the folds of a cross-validation, by their steps alone.

    python benchmarks/fold_strategies.py --config configs/tdgan_yale.py --folds 4

`sequential` takes a step of one fold after the other, each on all devices; of a CPU
with up to four cores each is one, as for `launch.py`. `per_device` puts one fold on each device.
`stacked` puts all folds into one step under `vmap`, which all devices share: kernels that differ
from fold to fold turn convolutions into grouped ones. The input is random, the step the one that
updates the generator alone. One JSON object goes to stdout: steps of a fold a second, their ratio
to those of the first way, and how far the losses of a fold's first step are from those of that.

Folds also run as processes of their own, which `launch.py --config.data.fold=K` does. To measure
that, start this once for each core with `--ways sequential --threads 1` under `taskset -c CORE`.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from tdgan_jax.cli.train import overrides_from
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.family import Family
from tdgan_jax.families.known import make_family
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.steps.parallel import BATCH_AXIS, compiler_options, use_cpu_devices

if __package__:
    from benchmarks.measuring import fastest_seconds, print_measurement, use_threads
    from benchmarks.train_step import random_batch
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from measuring import fastest_seconds, print_measurement, use_threads
    from train_step import random_batch

FOLD_AXIS = "fold"
WAYS = ("sequential", "per_device", "stacked")
NUM_IDENTITIES, NUM_EXPRESSIONS = 20, 7


def folds_step(step: Callable[[Any, Any], Any], mesh: Mesh, way: str) -> Callable[..., Any]:
    """Compiles a step of as many folds as a way takes at once.

    Args:
        step: `(state, batch) -> (state, metrics)` of one fold, collectives over the axis `"batch"`.
        mesh: Axes `"fold"` and `"batch"`; one of them has all devices.
        way: One of `WAYS`.

    Returns:
        The same of states and batches whose first axis is the fold; the states are consumed.
    """
    of_folds = PartitionSpec(FOLD_AXIS)

    def one_fold(states, batches):
        state, batch = jax.tree.map(lambda x: x[0], (states, batches))
        return jax.tree.map(lambda x: x[None], step(state, batch))

    mapped = jax.shard_map(
        jax.vmap(step) if way == "stacked" else one_fold,
        mesh=mesh,
        in_specs=(of_folds, PartitionSpec(FOLD_AXIS, BATCH_AXIS)),
        out_specs=of_folds,
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=0, compiler_options=compiler_options(mesh.size))


class Folds:
    """The states of all folds and the compiled step of one way to train them."""

    def __init__(self, family: Family, batches: Sequence[Any], way: str):
        """Compiles the step and initialises every fold with a seed of its own."""
        devices = np.asarray(jax.devices())
        at_once = {"sequential": 1, "per_device": len(devices), "stacked": len(batches)}[way]
        shape = (-1, 1) if way == "per_device" else (1, -1)
        axes = (AxisType.Auto, AxisType.Auto)
        mesh = Mesh(devices.reshape(shape), (FOLD_AXIS, BATCH_AXIS), axis_types=axes)
        init, key = jax.jit(family.init_state), jax.random.key(0)
        updates = family.updates_due(1, 1)

        def joined(trees: Sequence[Any], *cut_along: str) -> Any:
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(trees))
            return jax.device_put(stacked, NamedSharding(mesh, PartitionSpec(*cut_along)))

        groups = [range(i, i + at_once) for i in range(0, len(batches), at_once)]
        self._states = [
            joined([init(jax.random.key(i)) for i in group], FOLD_AXIS) for group in groups
        ]
        self._batches = [
            joined([batches[i] for i in group], FOLD_AXIS, BATCH_AXIS) for group in groups
        ]
        start = time.perf_counter()
        step = folds_step(
            lambda state, batch: family.train_step(updates, state, batch, key), mesh, way
        )
        self._step = step.lower(self._states[0], self._batches[0]).compile()
        self.compile_seconds = time.perf_counter() - start
        self.first_losses = self.step()

    def step(self) -> np.ndarray:
        """Takes a step of every fold, waits for the end of all, and gives `[metrics, folds]`."""
        pairs = zip(self._states, self._batches, strict=True)
        done = jax.block_until_ready([self._step(*pair) for pair in pairs])
        self._states = [states for states, _ in done]
        metrics = jax.device_get([metrics for _, metrics in done])
        return np.stack([np.concatenate([m[name] for m in metrics]) for name in metrics[0]])


def measure(config: ConfigDict, args: argparse.Namespace) -> dict[str, Any]:
    """Compiles and times the ways.

    Args:
        config: The configuration of one fold.
        args: The command line.

    Returns:
        The object that is printed.

    Raises:
        UserError: If the request cannot be measured here.
    """
    threads = use_threads(args.threads)
    # Before the first look at a device: the CPU has one unless more are asked for. As many as the
    # folds, and the rows of a batch, can share equally.
    shared = math.gcd(max(args.folds, 1), config.training.batch_size)
    use_cpu_devices(shared)
    if args.folds % len(jax.devices()) or args.repeats < 1:
        raise UsageError(
            f"--folds must be a multiple of the {len(jax.devices())} devices, "
            "and --repeats at least 1"
        )
    jax.config.update("jax_enable_compilation_cache", False)
    names = (tuple(map(str, range(count))) for count in (NUM_IDENTITIES, NUM_EXPRESSIONS))
    family = make_family(config, *names)
    one = random_batch(config, config.training.batch_size, NUM_IDENTITIES, NUM_EXPRESSIONS)
    # Other pictures for each fold, of the same kind.
    batches = [
        one._replace(face_image=np.roll(one.face_image, fold, axis=2)) for fold in range(args.folds)
    ]
    folds = {}
    for way in args.ways:
        folds[way] = Folds(family, batches, way)
        print(f"compiled {way} in {folds[way].compile_seconds:.1f} s", file=sys.stderr)
    seconds = fastest_seconds({way: folds[way].step for way in args.ways}, args.repeats)
    first = args.ways[0]
    speed: dict[Hashable, float] = {way: args.folds / seconds[way] for way in args.ways}
    return {
        "config": config.name,
        "batch_size": config.training.batch_size,
        "folds": args.folds,
        "threads": threads,
        "num_devices": len(jax.devices()),
        "fold_steps_per_second": speed,
        "ratio": {way: speed[way] / speed[first] for way in args.ways},
        "largest_difference": {
            way: float(np.abs(folds[way].first_losses - folds[first].first_losses).max())
            for way in args.ways
        },
        "compile_seconds": {way: folds[way].compile_seconds for way in args.ways},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Times three ways to train folds.")
    parser.add_argument("--config", default="configs/tdgan_yale.py", metavar="FILE[:VARIANT]")
    parser.add_argument("--folds", type=int, default=4, help="trained together (default: 4)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="default: all")
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds (default: 3)")
    args, fields = parser.parse_known_args(arguments)
    return print_measurement(
        "fold_strategies.py",
        lambda: measure(load_config(args.config, overrides_from(fields)), args),
    )


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
