"""Times recognition against the torch twin, and `predict` as a whole: speed and peak memory.

    python -m benchmarks.recognition --config configs/esr_affectnet.py --torch
    python -m benchmarks.recognition --model runs/tdgan_synthetic/seed_0 --pictures photos --files

`images_per_second` is that of `Model.predict` on pictures that are already decoded and scaled;
`torch` holds those of the twin with the same weights, batches and threads, by variant. All take
turns in one run; the shortest of `--repeats` passes over all pictures counts. `--files` reads the
files, scales them and makes the rows, as the command does. `peak_memory_bytes` is that of whole
processes `tdgan-jax predict - --detect none`, by the number of inputs: the pictures, as often as
needed. A configuration's networks have random weights; without `--pictures` they are drawn faces.
One JSON object goes to stdout.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image
from tdgan_jax.data_builders.synthetic_faces.drawing import draw
from tdgan_jax.data_builders.synthetic_faces.factors import sample_expression, sample_identity

from benchmarks.contact_sheet import STUDIO
from benchmarks.measuring import fastest_seconds, print_measurement, say, use_threads
from benchmarks.random_inputs import random_model
from benchmarks.twins import VARIANTS
from tdgan_jax.cli.train import overrides_from
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.images import as_model_images
from tdgan_jax.families.known import family_named
from tdgan_jax.families.stored import StoredModel
from tdgan_jax.inference.faces import face_search
from tdgan_jax.inference.inputs import check_named, named_files, read_pictures
from tdgan_jax.inference.recognition import recognise
from tdgan_jax.inference.records import row_of
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.torch_weights.optional_packages import require_torch

# A process starts with the peak of the one that it is forked from, so a small one stands between.
MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(status != 0)
"""
Recogniser = Callable[[np.ndarray], np.ndarray]  # images [N, S, S, C] to probabilities [N, C]


def make_twin(stored: StoredModel, threads: int, batch_size: int, variant: str) -> Recogniser:
    """The torch twin of a model's recogniser.

    Args:
        stored: The model, of any system.
        threads: Threads of torch on the CPU; set for the whole process.
        batch_size: Images at a time.
        variant: One of `twins.VARIANTS`.

    Raises:
        UserError: If PyTorch is missing, or what the variant needs.
    """
    torch = require_torch("--torch")
    from benchmarks.torch_networks import TwinRecogniser
    from benchmarks.torch_variants import use_variant

    torch.set_num_threads(threads)
    network = TwinRecogniser(stored)
    apply = use_variant(variant, [network], network)

    def recognise_batch(images: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        return apply(tensor).float().cpu().numpy()

    def recognise_all(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return _in_batches(recognise_batch, images, batch_size)

    return recognise_all


def _in_batches(function: Recogniser, images: np.ndarray, batch_size: int) -> np.ndarray:
    starts = range(0, len(images), batch_size)
    return np.concatenate([function(images[start : start + batch_size]) for start in starts])


def rows_from_files(model: Any, files: Sequence[str], batch_size: int) -> None:
    """Does what `predict --detect none` does, up to writing the rows."""
    search = face_search("none", None)
    recognised = recognise(
        lambda reader: read_pictures(named_files(files, ()), reader),
        model,
        search,
        batch_size=batch_size,
    )
    for result in recognised:
        for record in result.records:
            row_of(record, model.expression_names)


def peak_memory_bytes(model: str, files: Sequence[str], count: int, batch_size: int) -> int:
    """Peak resident memory of a process that recognises that many inputs.

    Raises:
        UserError: If the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rows.csv")
        options = f"predict - --detect none --quiet --batch-size {batch_size}".split()
        command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "tdgan_jax", *options]
        command += ["--model", model, "--out", str(out)]
        with open(Path(folder, "list"), "w") as listed:
            listed.writelines(f"{files[number % len(files)]}\n" for number in range(count))
        with open(Path(folder, "list")) as listed:
            done = subprocess.run(command, stdin=listed, stdout=subprocess.PIPE, text=True)
        if done.returncode or out.read_bytes().count(b"\n") != count + 1:
            raise UserError(f"predict failed with {count} inputs")
    return int(done.stdout.splitlines()[-1]) * 1024  # Linux counts KiB


def draw_faces(folder: Path, count: int) -> None:
    """Draws faces with all expressions in turn into PNG files."""
    for person in range(count):
        name = BASIC_EXPRESSIONS[person % len(BASIC_EXPRESSIONS)]
        pixels = draw(
            sample_identity(person), sample_expression(person, name, 0), STUDIO, seed=(person,)
        )
        Image.fromarray(pixels).save(folder / f"{person:04d}_{name}.png")


def measure(args: argparse.Namespace, fields: Sequence[str], folder: str) -> dict[str, Any]:
    """Times everything that the command line asks for.

    Args:
        args: The command line.
        fields: Changes of the configuration.
        folder: Where the pictures are.

    Returns:
        The object that is printed.

    Raises:
        UserError: If the request cannot be measured here.
    """
    if args.batch_size < 1 or args.repeats < 1:
        raise UsageError("--batch-size and --repeats must be at least 1")
    if args.memory and args.model is None:
        raise UsageError("--memory needs --model: the processes that are measured open it")
    check_named([folder])
    threads = use_threads(args.threads)
    jax.config.update("jax_enable_compilation_cache", False)
    overrides = overrides_from(list(fields))
    if args.model is None:
        config = load_config(args.config, overrides)
        name, stored = config.name, random_model(config)
    else:
        name, stored = args.model, open_model(args.model)
    model = family_named(stored.description.family).model(stored)
    files = [str(file.path) for file in named_files([folder], ())]
    images = as_model_images(files, stored.description.preprocessing)

    def recognise_all(images: np.ndarray) -> np.ndarray:
        return _in_batches(lambda batch: model.predict(batch)[1], images, args.batch_size)

    start = time.perf_counter()
    probabilities = recognise_all(images)
    first_seconds = time.perf_counter() - start
    calls: dict[Hashable, Callable[[], Any]] = {"jax": lambda: recognise_all(images)}
    if args.files:
        calls["reading_too"] = lambda: rows_from_files(model, files, args.batch_size)
    twins: dict[str, Any] = {}
    for variant in args.torch or ():
        try:
            twin = make_twin(stored, threads, args.batch_size, variant)
        except UserError as error:
            say(f"{variant}: {error}")
            twins[variant] = {"error": str(error)}
            continue
        calls[variant] = lambda twin=twin: twin(images)
        largest = float(np.abs(probabilities - twin(images)).max())
        twins[variant] = {"largest_difference": largest}
    seconds = fastest_seconds(calls, args.repeats)
    speed = {name: len(files) / timed for name, timed in seconds.items()}

    result = {
        "model": name,
        "family": stored.description.family,
        "image_size_px": model.image_size_px,
        "pictures": len(files),
        "batch_size": args.batch_size,
        "threads": threads,
        "images_per_second": speed["jax"],
        "compile_seconds": first_seconds - seconds["jax"],
    }
    if args.files:
        result["reading_too"] = speed["reading_too"]
    for variant in twins.keys() & speed.keys():
        ratio = speed["jax"] / speed[variant]
        twins[variant] |= {"images_per_second": speed[variant], "ratio": ratio}
    if twins:
        result["torch"] = twins
    if args.memory and args.model:
        result["peak_memory_bytes"] = {
            count: peak_memory_bytes(args.model, files, count, args.batch_size)
            for count in args.memory
        }
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Times recognition and measures its memory.")
    parser.add_argument(
        "--config",
        default="configs/tdgan_raf.py",
        metavar="FILE[:VARIANT]",
        help="networks with random weights, of any system (default: TDGAN of the paper's sizes)",
    )
    parser.add_argument("--model", metavar="M", help="a run, an export or an imported folder")
    parser.add_argument("--pictures", metavar="FOLDER", help="faces that have been cut out")
    parser.add_argument(
        "--count", type=int, default=256, help="faces that are drawn without them (default: 256)"
    )
    parser.add_argument("--batch-size", type=int, default=32, help="default: 32")
    parser.add_argument(
        "--torch",
        nargs="*",
        choices=VARIANTS,
        help="time the torch twin beside it, in these ways (default: eager)",
    )
    parser.add_argument("--files", action="store_true", help="time reading the files too")
    parser.add_argument("--threads", type=int, help="CPU cores to use (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes (default: 3)")
    parser.add_argument(
        "--memory", type=int, nargs="+", metavar="N", help="measure memory for N inputs"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    args, fields = _parser().parse_known_args(arguments)
    if args.torch == []:
        args.torch = ["eager"]
    with tempfile.TemporaryDirectory() as drawn:
        if args.pictures is None:
            draw_faces(Path(drawn), args.count)
        return print_measurement(
            "recognition.py", lambda: measure(args, fields, args.pictures or drawn)
        )


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
