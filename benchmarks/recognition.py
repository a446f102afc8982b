"""Times recognition against the torch twin, and `predict` as a whole: speed and peak memory.

    python benchmarks/recognition.py --model runs/tdgan_synthetic/seed_0 --pictures photos --torch

`images_per_second` is that of `Model.predict` on pictures that are already decoded and scaled;
`torch` that of the twin with the same weights, batches and threads. Both take turns in one run; the
shortest of `--repeats` passes over all pictures counts. `largest_difference` is that of their
probabilities. `reading_too` reads the files, scales them and makes the rows, as the command does.
`peak_memory_bytes` is that of whole processes `tdgan-jax predict - --detect none`, by the number of
inputs: the pictures, as often as needed. Without `--model` the networks have the paper's sizes and
random weights; without `--pictures` they are 256 drawn faces. One JSON object goes to stdout.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from PIL import Image
from tdgan_jax.data_builders.synthetic_faces.drawing import draw
from tdgan_jax.data_builders.synthetic_faces.factors import sample_expression, sample_identity

from benchmarks.contact_sheet import STUDIO
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.families.images import as_model_images
from tdgan_jax.families.stored import ModelDescription, Preprocessing, StoredModel
from tdgan_jax.families.tdgan.model import TdganModel
from tdgan_jax.families.tdgan.networks import make_tdgan, split_networks
from tdgan_jax.families.tdgan.weights import FILE_STEMS, torch_from_tdgan
from tdgan_jax.inference.faces import face_search
from tdgan_jax.inference.inputs import check_named, named_files, read_pictures
from tdgan_jax.inference.recognition import recognise
from tdgan_jax.inference.records import row_of
from tdgan_jax.machine import restart_with_huge_pages
from tdgan_jax.torch_weights.optional_packages import require_torch
from tdgan_jax.torch_weights.state_files import to_tensors

if __package__:
    from benchmarks.measuring import fastest_seconds, print_measurement, use_threads
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from measuring import fastest_seconds, print_measurement, use_threads

DRAWN_FACES = 256
# A process starts with the peak of the one that it is forked from, so a small one stands between.
MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(status != 0)
"""
Recogniser = Callable[[np.ndarray], np.ndarray]  # images [N, S, S, C] to probabilities [N, C]


def paper_sized_model() -> StoredModel:
    """TDGAN of the paper's sizes with random weights."""
    architecture = {
        "image_size_px": 128,
        "image_channels": 1,
        "width_multiplier": 1.0,
        "num_inception_blocks": 4,
        "noise_channels": 256,
        "num_residual_convolutions": 6,
        "dropout_rate": 0.5,
    }
    names = BASIC_EXPRESSIONS
    networks = make_tdgan(
        num_identities=20, num_expressions=len(names), rngs=nnx.Rngs(0), **architecture
    )
    definitions, parameters = split_networks(networks)
    description = ModelDescription(
        "tdgan", architecture, names, 20, None, Preprocessing(128, 1, "resize")
    )
    return StoredModel(description, definitions, jax.tree.map(np.asarray, parameters))


def twin_generator(stored: StoredModel, threads: int) -> Any:
    """The torch twin's generator with a model's weights.

    Raises:
        UserError: If PyTorch is missing.
    """
    torch = require_torch("--torch")
    from tdgan_jax.torch_weights.tdgan_torch import make_networks

    torch.set_num_threads(threads)
    state_dicts = torch_from_tdgan(stored.parameters).items()
    weights = {FILE_STEMS[name]: to_tensors(state_dict) for name, state_dict in state_dicts}
    return make_networks(weights, {"architecture": stored.description.architecture}).generator


def make_twin(stored: StoredModel, threads: int, batch_size: int) -> Recogniser:
    """The torch twin of a model's recogniser.

    Raises:
        UserError: If PyTorch is missing.
    """
    generator = twin_generator(stored, threads)
    import torch

    def recognise_batch(images: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        return torch.softmax(generator.fc_ER(generator.enc_ER(tensor)), dim=1).numpy()

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


def measure(args: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Times everything that the command line asks for.

    Args:
        args: The command line.
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
    stored = paper_sized_model() if args.model is None else open_model(args.model)
    model: Any = TdganModel(stored)
    files = [str(file.path) for file in named_files([folder], ())]
    images = as_model_images(files, stored.description.preprocessing)

    def recognise_all(images: np.ndarray) -> np.ndarray:
        return _in_batches(lambda batch: model.predict(batch)[1], images, args.batch_size)

    calls: dict[Hashable, Callable[[], Any]] = {
        "jax": lambda: recognise_all(images),
        "reading_too": lambda: rows_from_files(model, files, args.batch_size),
    }
    twin = make_twin(stored, threads, args.batch_size) if args.torch else None
    if twin is not None:
        calls["torch"] = lambda: twin(images)
    seconds = fastest_seconds(calls, args.repeats)
    speed = {name: len(files) / timed for name, timed in seconds.items()}

    result = {
        "model": args.model or "the paper's sizes, random weights",
        "image_size_px": model.image_size_px,
        "pictures": len(files),
        "batch_size": args.batch_size,
        "threads": threads,
        "images_per_second": speed["jax"],
        "reading_too": speed["reading_too"],
    }
    if twin is not None:
        result["torch"] = speed["torch"]
        result["ratio"] = speed["jax"] / speed["torch"]
        result["largest_difference"] = float(np.abs(recognise_all(images) - twin(images)).max())
    if args.memory and args.model:
        result["peak_memory_bytes"] = {
            count: peak_memory_bytes(args.model, files, count, args.batch_size)
            for count in args.memory
        }
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Times recognition and measures its memory.")
    parser.add_argument("--model", metavar="M", help="a run, an export or an imported folder")
    parser.add_argument("--pictures", metavar="FOLDER", help="faces that have been cut out")
    parser.add_argument("--batch-size", type=int, default=32, help="default: 32")
    parser.add_argument("--torch", action="store_true", help="time the torch twin beside it")
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
    args = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as drawn:
        if args.pictures is None:
            draw_faces(Path(drawn), DRAWN_FACES)
        return print_measurement("recognition.py", lambda: measure(args, args.pictures or drawn))


if __name__ == "__main__":
    restart_with_huge_pages()  # as the program does
    sys.exit(main())
