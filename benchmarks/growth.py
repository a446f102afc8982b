"""How a training step's time and memory grow with batch, image size and number of devices.

    python -m benchmarks.growth --config configs/tdgan_fer2013.py:cpu

One of the three is changed at a time, the others stay at the first value of their list. On the CPU
there is a device for every core, so that two devices share what one has alone. The step is the most
frequent one, or that of the last stage, the input random. One JSON object goes to stdout; memory is
what a device's compiled step plans.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from benchmarks.measuring import JaxTraining, fastest_seconds, print_measurement, use_threads
from benchmarks.random_inputs import names_of, random_batch
from benchmarks.train_step import one_pattern, pattern_frequencies
from tdgan_jax.cli.train import overrides_from
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.program import make_training
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.steps.parallel import check_batch_size, make_cpu_devices, make_mesh


def measure_point(
    config: ConfigDict, batch_size: int, image_size_px: int, num_devices: int, repeats: int
) -> dict[str, Any]:
    """Time and memory of the step at one point.

    Raises:
        UserError: If the batch cannot be divided among the devices.
    """
    with config.unlocked():
        config.model.image_size_px = image_size_px
    mesh = make_mesh(jax.devices()[:num_devices])
    check_batch_size(batch_size, mesh)
    family = make_training(config, names_of(config))
    training = JaxTraining(config, family, mesh, random_batch(config, batch_size))
    (updates,) = one_pattern(pattern_frequencies(config, family), family)
    compiled = training.compile(updates)
    seconds = fastest_seconds({"step": lambda: training.step(updates)}, repeats)["step"]
    return {
        "batch_size": batch_size,
        "image_size_px": image_size_px,
        "num_devices": num_devices,
        "seconds_per_step": seconds,
        "images_per_second": batch_size / seconds,
        "memory_bytes": compiled.memory_bytes,
        "compile_seconds": compiled.compile_seconds,
    }


def points(config: ConfigDict, args: argparse.Namespace) -> list[tuple[int, int, int]]:
    """Batch size, image size and number of devices of each measurement, the common one once."""
    batch_size, side_px = config.training.batch_size, config.model.image_size_px
    lists = (
        args.batch_sizes or [batch_size, 4 * batch_size],
        args.image_sizes or [side_px, 2 * side_px],
        args.devices,
    )
    first = tuple(values[0] for values in lists)
    varied = [
        (*first[:place], value, *first[place + 1 :])
        for place, values in enumerate(lists)
        for value in values
    ]
    return list(dict.fromkeys(varied))


def measure(config: ConfigDict, args: argparse.Namespace) -> dict[str, Any]:
    """Compiles and times the step at every point.

    Raises:
        UserError: If a point cannot be measured here.
    """
    if args.repeats < 1:
        raise UsageError("--repeats must be at least 1")
    threads = use_threads(args.threads)
    # Before the first look at a device: the CPU has one unless more are asked for.
    make_cpu_devices(threads)
    jax.config.update("jax_enable_compilation_cache", False)
    available = len(jax.devices())
    return {
        "config": config.name,
        "threads": threads,
        "precision": config.precision,
        "points": [
            measure_point(config, *point, args.repeats)
            for point in points(config, args)
            if point[2] <= available
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Measures how a step grows.")
    parser.add_argument(
        "--config", default="configs/tdgan_fer2013.py:cpu", metavar="FILE[:VARIANT]"
    )
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", help="default: the config's and four times that"
    )
    parser.add_argument(
        "--image-sizes", type=int, nargs="+", metavar="PX", help="default: the config's, and twice"
    )
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps (default: 3)")
    args, fields = parser.parse_known_args(arguments)
    return print_measurement(
        "growth.py", lambda: measure(load_config(args.config, overrides_from(fields)), args)
    )


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
