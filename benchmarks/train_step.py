"""Times the compiled training step of a TDGAN configuration on random input, no dataset needed.

    python benchmarks/train_step.py --config configs/tdgan_raf.py --batch-size 16 --torch

A step with the discriminators' updates costs more than one without, so each pattern of updates is
compiled and timed by itself; the figures weight the patterns by how often the gaps make them occur
after the warm-up. `README.md` beside this file explains the fields of the JSON object on stdout;
everything else goes to stderr.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from tdgan_jax.cli.train import overrides_from
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.family import Names, Training
from tdgan_jax.families.program import make_training
from tdgan_jax.families.tdgan.objective import Batch
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.steps.parallel import (
    check_batch_size,
    make_mesh,
    use_cpu_devices,
)

if __package__:
    from benchmarks import measuring
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    import measuring

TORCH_VARIANTS = ("eager", "channels_last", "compiled", "bfloat16")  # see torch_variants.py
TWIN_INCEPTION_BLOCKS = 4  # fixed in the torch twin, whose keys are those of the weight files

Frequencies = Mapping[Hashable, float]  # of the patterns of updates; they sum to 1
TwinStep = Callable[[Any], None]  # takes one torch step with a pattern of updates


def pattern_frequencies(config: ConfigDict, family: Training) -> dict[Hashable, float]:
    """How often each pattern of updates occurs over one period of the gaps, after the warm-up."""
    period = math.lcm(
        config.training.face_discriminator_gap, config.training.expression_discriminator_gap
    )
    warmup_steps = config.training.discriminator_warmup_steps
    counts = Counter(family.updates_due(warmup_steps + step, step) for step in range(period))
    return {updates: count / period for updates, count in counts.items()}


def pattern_name(updates: Any) -> str:
    """The networks that a pattern updates, e.g. `generator+face_discriminator`."""
    return "+".join(name for name, is_due in updates._asdict().items() if is_due)


def random_batch(
    config: ConfigDict, batch_size: int, num_identities: int, num_expressions: int
) -> Batch:
    """Noise in the place of the images, with random labels."""
    rng = np.random.default_rng(0)
    side = config.model.image_size_px
    shape = (batch_size, side, side, config.model.image_channels)
    return Batch(
        face_image=rng.integers(256, size=shape, dtype=np.uint8),
        face_identity=rng.integers(num_identities, size=batch_size, dtype=np.int32),
        expression_image=rng.integers(256, size=shape, dtype=np.uint8),
        expression_label=rng.integers(num_expressions, size=batch_size, dtype=np.int32),
        weight=np.ones(batch_size, np.float32),
        position=np.arange(batch_size, dtype=np.int32),
    )


def amortised(values: Mapping[Hashable, float], frequencies: Frequencies) -> float:
    """Mean over the patterns, weighted by their frequency."""
    return sum(frequency * values[updates] for updates, frequency in frequencies.items())


def make_twin_step(
    config: ConfigDict,
    batch: Batch,
    num_identities: int,
    num_expressions: int,
    threads: int,
    variant: str = "eager",
) -> TwinStep:
    """Makes the same training in PyTorch, on the CPU.

    Args:
        config: The configuration.
        batch: What the JAX side trains on.
        num_identities: K.
        num_expressions: C.
        threads: Threads of torch; set for the whole process.
        variant: One of `TORCH_VARIANTS`.

    Raises:
        UserError: If torch is missing, or what the variant needs.
        UsageError: If the twin cannot do the work of this configuration.
    """
    _check_twin_can(config)
    try:
        import torch
    except ModuleNotFoundError as error:
        raise UserError(
            "--torch needs PyTorch, which is not installed: pip install -e '.[torch]'"
        ) from error

    if __package__:
        from benchmarks.torch_tdgan_step import TorchTdganStep
        from benchmarks.torch_variants import use_variant
    else:  # Run as a script: this folder is on the path, the repository's root need not be.
        from torch_tdgan_step import TorchTdganStep
        from torch_variants import use_variant
    from tdgan_jax.torch_weights.tdgan_torch import Discriminator, Generator

    torch.set_num_threads(threads)
    torch.manual_seed(config.seed)
    sizes = {
        "channels": config.model.image_channels,
        "image_size_px": config.model.image_size_px,
        "width_multiplier": config.model.width_multiplier,
        "dropout_rate": config.model.dropout_rate,
    }
    generator = Generator(
        num_expressions,
        noise_channels=config.model.noise_channels,
        num_residual_blocks=config.model.num_residual_convolutions,
        **sizes,
    )
    training = TorchTdganStep(
        generator,
        Discriminator(num_identities + 1, **sizes),
        Discriminator(num_expressions, **sizes),
    )

    def images(values: np.ndarray) -> Any:
        return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous().float() / 255

    inputs = (
        images(batch.face_image),
        torch.from_numpy(batch.face_identity).long(),
        images(batch.expression_image),
        torch.from_numpy(batch.expression_label).long(),
    )

    take_step = use_variant(variant, training.networks, training.step)

    def step(updates: Any) -> None:
        take_step(*inputs, updates.face_discriminator, updates.expression_discriminator)

    return step


def _check_twin_can(config: ConfigDict) -> None:
    if jax.default_backend() != "cpu":
        raise UsageError(
            f"--torch times PyTorch on the CPU and JAX runs on {jax.default_backend()}; "
            "set JAX_PLATFORMS=cpu for a ratio"
        )
    for field, value, twins in (
        ("num_inception_blocks", config.model.num_inception_blocks, TWIN_INCEPTION_BLOCKS),
        ("perceptual_network", config.loss.perceptual_network, "face_discriminator"),
    ):
        if value != twins:
            raise UsageError(f"--torch: {field} is {value!r}; the torch twin knows only {twins!r}")


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
    classes = (args.num_identities, args.num_expressions)
    names = (tuple(map(str, range(count))) for count in classes)
    family = make_training(config, Names(*names))
    frequencies = pattern_frequencies(config, family)
    if args.commonest:
        frequencies = {max(frequencies, key=lambda updates: frequencies[updates]): 1.0}
    batch = random_batch(config, batch_size, *classes)
    twins = {
        variant: make_twin_step(config, batch, *classes, threads, variant)
        for variant in args.torch or ()
    }

    training = measuring.JaxTraining(config, family, mesh, batch)
    for updates in frequencies:
        compiled = training.compile(updates)
        measuring.say(f"compiled {pattern_name(updates)} in {compiled.compile_seconds:.1f} s")
    calls = {}
    for updates in frequencies:
        calls["jax", updates] = partial(training.step, updates)
        for variant, twin_step in twins.items():
            calls[variant, updates] = partial(twin_step, updates)
    seconds = measuring.fastest_seconds(calls, args.repeats)

    result = {
        "config": config.name,
        "batch_size": batch_size,
        **_jax_figures(training.compiled, _side(seconds, "jax"), frequencies, batch_size, mesh),
        "num_devices": mesh.size,
        "threads": threads,
        "mapping": config.parallel.mapping,
        "precision": config.precision,
        "repeats": args.repeats,
    }
    for variant in twins:
        figures = _torch_figures(config, _side(seconds, variant), frequencies, batch_size)
        figures["ratio"] = result["images_per_second"] / figures["images_per_second"]
        result.setdefault("torch", {})[variant] = figures
    return result


def _side(seconds: Mapping[Any, float], side: str) -> dict[Hashable, float]:
    return {updates: timed for (name, updates), timed in seconds.items() if name == side}


def _jax_figures(
    compiled: Mapping[Hashable, measuring.CompiledStep],
    seconds: Mapping[Hashable, float],
    frequencies: Frequencies,
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
            pattern_name(updates): {
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
    config: ConfigDict,
    seconds: Mapping[Hashable, float],
    frequencies: Frequencies,
    batch_size: int,
) -> dict[str, Any]:
    import torch

    seconds_per_step = amortised(seconds, frequencies)
    return {
        "images_per_second": batch_size / seconds_per_step,
        "seconds_per_step": seconds_per_step,
        "per_pattern": {pattern_name(updates): timed for updates, timed in seconds.items()},
        "threads": torch.get_num_threads(),
        "version": torch.__version__,
        # A small part of what JAX does; a ratio with it is slightly unfair to JAX.
        "leaves_out_label_gradient": bool(config.loss.label_gradient_weight),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Times the training step of a configuration on random input.",
        epilog="Fields are changed as in training: --config.model.width_multiplier=0.5",
    )
    parser.add_argument(
        "--config", required=True, metavar="FILE[:VARIANT]", help="configuration file"
    )
    parser.add_argument("--batch-size", type=int, help="pairs a step (default: the config's)")
    parser.add_argument(
        "--torch",
        nargs="*",
        choices=TORCH_VARIANTS,
        help="time the torch twin beside it, in these ways (default: eager)",
    )
    parser.add_argument(
        "--commonest", action="store_true", help="time the most frequent pattern of updates alone"
    )
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps a pattern (default: 3)")
    parser.add_argument("--num-identities", type=int, default=20, help="default: 20")
    parser.add_argument("--num-expressions", type=int, default=7, help="default: 7")
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
