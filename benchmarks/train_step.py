"""Times the compiled training step of any configuration on random input, no dataset needed.

    python -m benchmarks.train_step --config configs/tdgan_raf.py --batch-size 16 --torch

Where steps differ, each kind is compiled and timed by itself: TDGAN's with and without the
discriminators' updates, weighted by how often the gaps make them occur after the warm-up; ESR's of
each stage, weighted by its epochs. `README.md` beside this file explains the fields of the JSON
object on stdout; everything else goes to stderr.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from benchmarks import measuring
from benchmarks.random_inputs import names_of, random_batch
from benchmarks.twins import VARIANTS, TwinStep, make_twin_step
from tdgan_jax.cli.train import overrides_from
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.family import Training
from tdgan_jax.families.program import make_training
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.steps.parallel import (
    check_batch_size,
    make_mesh,
    use_cpu_devices,
)

Frequencies = Mapping[Hashable, float]  # of the patterns of updates; they sum to 1


def pattern_frequencies(config: ConfigDict, training: Training) -> dict[Hashable, float]:
    """How often each pattern of updates occurs in a training; all the same steps are one."""
    counts: Counter[Hashable] = Counter()
    gaps = [config.training.get(f"{name}_discriminator_gap", 1) for name in ("face", "expression")]
    warmup = config.training.get("discriminator_warmup_steps", 0)
    for epoch in range(config.training.epochs if training.stages else 1):
        for step in range(math.lcm(*gaps)):
            counts[training.updates_due(warmup + step, step, epoch)] += 1
    return {updates: count / counts.total() for updates, count in counts.items()}


def one_pattern(frequencies: Frequencies, training: Training) -> dict[Hashable, float]:
    """The most frequent pattern alone; of a training in stages the last, which does most."""
    if training.stages and isinstance(next(iter(frequencies)), int):
        return {list(frequencies)[-1]: 1.0}
    return {max(frequencies, key=lambda updates: frequencies[updates]): 1.0}


def pattern_name(updates: Any, training: Training) -> str:
    """What a pattern is called: the networks that it updates, or the stage; else `all`."""
    if isinstance(updates, int):
        return training.stages[updates].name
    if not updates:
        return "all"
    return "+".join(name for name, is_due in updates._asdict().items() if is_due)


def amortised(values: Mapping[Hashable, float], frequencies: Frequencies) -> float:
    """Mean over the patterns, weighted by their frequency."""
    return sum(frequency * values[updates] for updates, frequency in frequencies.items())


def make_twins(
    config: ConfigDict, batch: Any, threads: int, variants: Sequence[str]
) -> tuple[dict[str, TwinStep], dict[str, str]]:
    """Twins by variant, and of those that this machine cannot run the reason.

    Raises:
        UsageError: If the twin cannot do the work of this configuration.
    """
    twins, refused = {}, {}
    for variant in variants:
        try:
            twins[variant] = make_twin_step(config, batch, threads, variant)
        except UsageError:
            raise
        except UserError as error:
            measuring.say(f"{variant}: {error}")
            refused[variant] = str(error)
    return twins, refused


def measure(config: ConfigDict, args: argparse.Namespace) -> dict[str, Any]:
    """Compiles and times the step of a configuration.

    Args:
        config: The configuration.
        args: The command line.

    Returns:
        The object that is printed.

    Raises:
        UserError: If the configuration or the request cannot be measured here.
    """
    batch_size = config.training.batch_size if args.batch_size is None else args.batch_size
    if batch_size < 1 or args.repeats < 1:
        raise UsageError("--batch-size and --repeats must be at least 1")
    threads = measuring.use_threads(args.threads)
    use_cpu_devices(batch_size)
    # A step found on disk would not tell how long compiling takes.
    jax.config.update("jax_enable_compilation_cache", False)
    mesh = make_mesh()
    check_batch_size(batch_size, mesh)
    training = make_training(config, names_of(config))
    frequencies = pattern_frequencies(config, training)
    if args.commonest:
        frequencies = one_pattern(frequencies, training)
    batch = random_batch(config, batch_size)
    twins, refused = make_twins(config, batch, threads, args.torch or ())

    ours = measuring.JaxTraining(config, training, mesh, batch)
    for updates in frequencies:
        compiled = ours.compile(updates)
        name = pattern_name(updates, training)
        measuring.say(f"compiled {name} in {compiled.compile_seconds:.1f} s")
    calls = {}
    for updates in frequencies:
        calls["jax", updates] = partial(ours.step, updates)
        for variant, twin_step in twins.items():
            calls[variant, updates] = partial(twin_step, updates)
    seconds = measuring.fastest_seconds(calls, args.repeats)

    names = {updates: pattern_name(updates, training) for updates in frequencies}
    result = {
        "config": config.name,
        "family": config.family,
        "image_size_px": config.model.image_size_px,
        "batch_size": batch_size,
        **_jax_figures(ours.compiled, _side(seconds, "jax"), frequencies, names, batch_size, mesh),
        "num_devices": mesh.size,
        "threads": threads,
        "mapping": config.parallel.mapping,
        "precision": config.precision,
        "repeats": args.repeats,
    }
    if args.torch:
        result["torch"] = {variant: {"error": reason} for variant, reason in refused.items()}
    for variant in twins:
        figures = _torch_figures(_side(seconds, variant), frequencies, names, batch_size)
        figures["ratio"] = result["images_per_second"] / figures["images_per_second"]
        result["torch"][variant] = figures
    return result


def _side(seconds: Mapping[Any, float], side: str) -> dict[Hashable, float]:
    return {updates: timed for (name, updates), timed in seconds.items() if name == side}


def _jax_figures(
    compiled: Mapping[Hashable, measuring.CompiledStep],
    seconds: Mapping[Hashable, float],
    frequencies: Frequencies,
    names: Mapping[Hashable, str],
    batch_size: int,
    mesh: Mesh,
) -> dict[str, Any]:
    seconds_per_step = amortised(seconds, frequencies)
    flops = {updates: step.flops for updates, step in compiled.items() if step.flops is not None}
    counted = amortised(flops, frequencies) if flops.keys() == compiled.keys() else None
    return {
        "images_per_second": batch_size / seconds_per_step,
        "seconds_per_step": seconds_per_step,
        "per_pattern": {
            names[updates]: {
                "seconds": seconds[updates],
                "frequency": frequency,
                "compile_seconds": compiled[updates].compile_seconds,
                "flops": compiled[updates].flops,
                "memory_bytes": compiled[updates].memory_bytes,
            }
            for updates, frequency in frequencies.items()
        },
        "compile_seconds": sum(step.compile_seconds for step in compiled.values()),
        "peak_memory_bytes": _peak_memory_bytes(compiled, mesh),
        "flops_per_second": None if counted is None else counted / seconds_per_step,
    }


def _peak_memory_bytes(
    compiled: Mapping[Hashable, measuring.CompiledStep], mesh: Mesh
) -> int | None:
    measured = [device.memory_stats() or {} for device in mesh.devices.flat]
    if all("peak_bytes_in_use" in stats for stats in measured):  # accelerators
        return max(stats["peak_bytes_in_use"] for stats in measured)
    planned = [step.memory_bytes for step in compiled.values() if step.memory_bytes is not None]
    return max(planned, default=None)


def _torch_figures(
    seconds: Mapping[Hashable, float],
    frequencies: Frequencies,
    names: Mapping[Hashable, str],
    batch_size: int,
) -> dict[str, Any]:
    import torch

    seconds_per_step = amortised(seconds, frequencies)
    return {
        "images_per_second": batch_size / seconds_per_step,
        "seconds_per_step": seconds_per_step,
        "per_pattern": {names[updates]: timed for updates, timed in seconds.items()},
        "threads": torch.get_num_threads(),
        "version": torch.__version__,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Times the training step of a configuration on random input.",
        epilog="Fields are changed as in training: --config.model.width_multiplier=0.5",
    )
    parser.add_argument(
        "--config", required=True, metavar="FILE[:VARIANT]", help="configuration file"
    )
    parser.add_argument("--batch-size", type=int, help="examples a step (default: the config's)")
    parser.add_argument(
        "--torch",
        nargs="*",
        choices=VARIANTS,
        help="time the torch twin beside it, in these ways (default: eager)",
    )
    parser.add_argument(
        "--commonest",
        action="store_true",
        help="time the most frequent pattern of updates alone, or the last stage",
    )
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps a pattern (default: 3)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    args, unknown = _parser().parse_known_args(arguments)
    if args.torch == []:
        args.torch = ["eager"]
    return measuring.print_measurement(
        "train_step.py",
        lambda: measure(load_config(args.config, overrides_from(unknown)), args),
    )


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
