"""Times the compiled training step of an IF-GAN configuration on random input.

    python benchmarks/ifgan_step.py --config configs/ifgan_ck_plus.py --batch-size 2 --torch

The fields of the JSON object on stdout are those of `train_step.py`; there is one pattern of
updates. The torch twin has the step that the specification describes, with all its choices.
"""

import argparse
import sys
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from tdgan_jax.cli.train import overrides_from
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.families.family import Names
from tdgan_jax.families.ifgan.objective import Batch
from tdgan_jax.families.ifgan.training import ifgan_training
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.steps.parallel import check_batch_size, make_mesh, use_cpu_devices
from tdgan_jax.torch_weights.optional_packages import require_torch

if __package__:
    from benchmarks.measuring import JaxTraining, fastest_seconds, print_measurement, use_threads
    from benchmarks.train_step import TORCH_VARIANTS
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from measuring import JaxTraining, fastest_seconds, print_measurement, use_threads
    from train_step import TORCH_VARIANTS

NUM_EXPRESSIONS = 7
UPDATES = ()  # what every step of the family updates: all


def random_batch(config: ConfigDict, batch_size: int) -> Batch:
    """Noise in the place of the images, with random labels."""
    random = np.random.default_rng(0)
    side = config.model.image_size_px
    shape = (2, batch_size, side, side, config.model.image_channels)
    images = random.integers(256, size=shape, dtype=np.uint8)
    return Batch(
        image=images[0],
        average_image=images[1],
        expression_label=random.integers(NUM_EXPRESSIONS, size=batch_size, dtype=np.int32),
        weight=np.ones(batch_size, np.float32),
        position=np.arange(batch_size, dtype=np.int32),
        epoch=np.zeros(batch_size, np.int32),
    )


def make_twin_step(config: ConfigDict, batch: Batch, threads: int, variant: str) -> Callable:
    """Makes the same training in PyTorch, on the CPU.

    Raises:
        UserError: If torch is missing, or what the variant needs.
        UsageError: If the twin cannot do the work of this configuration.
    """
    if jax.default_backend() != "cpu":
        raise UsageError("--torch times PyTorch on the CPU; set JAX_PLATFORMS=cpu for a ratio")
    if not config.model.has_generator or config.model.tuple_form != "concatenation":
        raise UsageError("--torch: the twin knows pairs by concatenation only")
    torch = require_torch("--torch")

    if __package__:
        from benchmarks.torch_ifgan_step import make_torch_step
        from benchmarks.torch_variants import use_variant
    else:
        from torch_ifgan_step import make_torch_step
        from torch_variants import use_variant

    torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    training = make_torch_step(config.model.to_dict(), NUM_EXPRESSIONS)

    def images(values: np.ndarray) -> Any:
        return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1

    labels = torch.from_numpy(batch.expression_label).long()
    step = use_variant(variant, training.networks, training.step)
    return partial(step, images(batch.image), images(batch.average_image), labels)


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
    threads = use_threads(args.threads)
    use_cpu_devices(batch_size)
    jax.config.update("jax_enable_compilation_cache", False)
    mesh = make_mesh()
    check_batch_size(batch_size, mesh)
    batch = random_batch(config, batch_size)
    variants = args.torch if args.torch != [] else ["eager"]
    calls: dict[Hashable, Callable[[], Any]] = {
        variant: make_twin_step(config, batch, threads, variant) for variant in variants or ()
    }
    family = ifgan_training(config, Names((), tuple("abcdefgh"[:NUM_EXPRESSIONS])))
    training = JaxTraining(config, family, mesh, batch)
    compiled = training.compile(UPDATES)
    print(f"compiled in {compiled.compile_seconds:.1f} s", file=sys.stderr, flush=True)
    calls["jax"] = partial(training.step, UPDATES)
    seconds = fastest_seconds(calls, args.repeats)
    ours = seconds.pop("jax")
    result = {
        "config": config.name,
        "batch_size": batch_size,
        "images_per_second": batch_size / ours,
        "seconds_per_step": ours,
        "compile_seconds": compiled.compile_seconds,
        "peak_memory_bytes": compiled.memory_bytes,
        "flops_per_second": None if compiled.flops is None else compiled.flops / ours,
        "num_devices": mesh.size,
        "threads": threads,
        "precision": config.precision,
    }
    if seconds:
        result["torch"] = {
            variant: {
                "images_per_second": batch_size / theirs,
                "seconds_per_step": theirs,
                "ratio": theirs / ours,
            }
            for variant, theirs in seconds.items()
        }
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Times IF-GAN's training step on random input.")
    parser.add_argument("--config", default="configs/ifgan_ck_plus.py", metavar="FILE[:VARIANT]")
    parser.add_argument("--batch-size", type=int, help="images a step (default: the config's)")
    parser.add_argument(
        "--torch",
        nargs="*",
        choices=TORCH_VARIANTS,
        help="time the torch twin beside it, in these ways (default: eager)",
    )
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps (default: 3)")
    args, fields = parser.parse_known_args(arguments)
    return print_measurement(
        "ifgan_step.py", lambda: measure(load_config(args.config, overrides_from(fields)), args)
    )


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
