"""Times drawing: the expressions of some faces put on others, by TDGAN at the paper's size.

    python -m benchmarks.generation --torch

Both encoders, the noise and the decoder, as `Model.transfer` runs them on decoded faces; the torch
twin has the same weights, batches and threads, and both take turns. The weights are random, unless
`--model` names a trained one. One JSON object goes to stdout.
"""

import argparse
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from benchmarks.measuring import fastest_seconds, print_measurement, use_threads
from benchmarks.random_inputs import random_model
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.families.tdgan.model import TdganModel
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.torch_weights.optional_packages import require_torch

PAPERS = "configs/tdgan_raf.py"
Transfer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def make_twin(stored: StoredModel, threads: int) -> Transfer:
    """The torch twin with a model's weights: faces, expressions and noise `[N, ...]` to images.

    Raises:
        UserError: If PyTorch is missing.
    """
    torch = require_torch("--torch")
    from benchmarks.torch_networks import tdgan_generator

    torch.set_num_threads(threads)
    generator = tdgan_generator(stored)

    def transfer(*arrays: np.ndarray) -> np.ndarray:
        face, expression, noise = (
            torch.from_numpy(array).permute(0, 3, 1, 2).contiguous() for array in arrays
        )
        with torch.inference_mode():
            features = generator.enc_ER(expression), generator.enc_FR(face)
            return generator.dec(*features, noise, face).permute(0, 2, 3, 1).numpy()

    return transfer


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Times everything that the command line asks for.

    Raises:
        UserError: If the request cannot be measured here.
    """
    if args.batch_size < 1 or args.repeats < 1:
        raise UsageError("--batch-size and --repeats must be at least 1")
    threads = use_threads(args.threads)
    stored = open_model(args.model) if args.model else random_model(load_config(PAPERS))
    if stored.description.family != "tdgan":
        raise UsageError(f"{args.model} holds no TDGAN, which alone puts expressions on faces")
    model: Any = TdganModel(stored)
    random = np.random.default_rng(0)
    side, channels = model.image_size_px, stored.description.architecture["image_channels"]
    size = (args.batch_size, side, side, channels)
    faces, expressions = random.random((2, *size), np.float32)
    noise = random.random((args.batch_size, *model.noise_shape), np.float32)
    calls: dict[Hashable, Callable[[], Any]] = {
        "jax": lambda: model.transfer(faces, expressions, noise=noise)
    }
    twin = make_twin(stored, threads) if args.torch else None
    if twin is not None:
        calls["torch"] = lambda: twin(faces, expressions, noise)
    seconds = fastest_seconds(calls, args.repeats)
    result = {
        "model": args.model or "the paper's sizes, random weights",
        "image_size_px": side,
        "batch_size": args.batch_size,
        "threads": threads,
        "images_per_second": args.batch_size / seconds["jax"],
    }
    if twin is not None:
        drawn = model.transfer(faces, expressions, noise=noise)
        result["torch"] = {
            "eager": {
                "images_per_second": args.batch_size / seconds["torch"],
                "ratio": seconds["torch"] / seconds["jax"],
                "largest_difference": float(np.abs(drawn - twin(faces, expressions, noise)).max()),
            }
        }
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Times drawing faces with other expressions.")
    parser.add_argument("--model", metavar="M", help="a run, an export or an imported folder")
    parser.add_argument("--batch-size", type=int, default=32, help="pictures (default: 32)")
    parser.add_argument("--torch", action="store_true", help="time the torch twin beside it")
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes (default: 3)")
    args = parser.parse_args(arguments)
    return print_measurement("generation.py", lambda: measure(args))


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
