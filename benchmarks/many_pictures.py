"""Measures throughput and memory of `predict` over many pictures; memory must not grow with them.

    python benchmarks/many_pictures.py --pictures 100000

Draws `--distinct` faces and gives each many names (hard links, a thousand files a folder), then
runs `tdgan-jax predict` over the folder, or with `--list` over a list on the standard input.
`pictures_per_second` includes the start, `steady_pictures_per_second` is that from the first to the
last eleventh of the pictures. `peak_mib` is the largest resident memory of the process, and
`resident_mib` its memory after each eleventh. `listing_seconds` is that of finding the
files of the folder. One JSON object goes to stdout. Needs Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tdgan_jax.data_builders.synthetic_faces.drawing import draw
from tdgan_jax.data_builders.synthetic_faces.factors import sample_expression, sample_identity

from benchmarks.contact_sheet import STUDIO
from tdgan_jax.expressions import BASIC_EXPRESSIONS
from tdgan_jax.inference.inputs import named_files

if __package__:
    from benchmarks.face_detection import drawn_photographs
    from benchmarks.measuring import print_measurement, say
    from benchmarks.video_memory import watched
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from face_detection import drawn_photographs
    from measuring import print_measurement, say
    from video_memory import watched

FACE_PX = 64
FILES_A_FOLDER = 1000


def drawn_faces(number: int) -> list[Image.Image]:
    """Faces of as many people, with all expressions in turn, 64x64 pixels."""
    faces = []
    for person in range(number):
        name = BASIC_EXPRESSIONS[person % len(BASIC_EXPRESSIONS)]
        expression = sample_expression(person, name, 0)
        gray = draw(sample_identity(person), expression, STUDIO, seed=(person,))
        faces.append(Image.fromarray(gray).resize((FACE_PX, FACE_PX)))
    return faces


def write_pictures(folder: Path, images: Sequence[Image.Image], number: int) -> None:
    """Writes pictures under many names.

    Args:
        folder: An empty folder.
        images: What they show, in turn.
        number: How many names there are.
    """
    for picture in range(number):
        path = folder / f"{picture // FILES_A_FOLDER:05d}" / f"{picture:08d}.png"
        path.parent.mkdir(exist_ok=True)
        if picture < len(images):
            images[picture].save(path)
        else:
            first = picture % len(images)
            os.link(folder / f"{first // FILES_A_FOLDER:05d}" / f"{first:08d}.png", path)


class Done:
    """How many files have their rows, and when."""

    def __init__(self, progress: Path):
        """Takes the file in which `predict` writes it down."""
        self._progress = progress
        self.times: list[tuple[float, int]] = []

    def __call__(self) -> int:
        """The number now."""
        try:
            files = json.loads(self._progress.read_text())["files"]
        except (OSError, ValueError):  # not there yet, or no more
            return 0
        if not self.times or files > self.times[-1][1]:
            self.times.append((time.perf_counter(), files))
        return files

    def per_second(self, total: int) -> float | None:
        """From the first to the last eleventh; None if there are too few."""
        inner = [(at, files) for at, files in self.times if total / 11 <= files <= total * 10 / 11]
        if len(inner) < 2:
            return None
        (begun, first), (ended, last) = inner[0], inner[-1]
        return (last - first) / (ended - begun)


def measure(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Makes the pictures and recognises them.

    Args:
        args: The command line.
        work: An empty folder.

    Raises:
        UserError: If the program fails.
    """
    folder, rows, listed = work / "pictures", work / "rows.csv", work / "list.txt"
    folder.mkdir()
    distinct = min(args.distinct, args.pictures)
    say(f"{args.pictures:,} pictures, {distinct:,} of them distinct")
    if args.detect == "none":
        images = drawn_faces(distinct)
    else:
        images = [Image.fromarray(pixels) for pixels in drawn_photographs(distinct).values()]
    write_pictures(folder, images, args.pictures)
    started = time.perf_counter()
    with open(listed, "w") as file:
        file.writelines(f"{found.path}\n" for found in named_files([str(folder)], ()))
    listing_seconds = time.perf_counter() - started
    command = [sys.executable, "-m", "tdgan_jax", "predict", "-" if args.list else str(folder)]
    command += ["--model", args.model, "--detect", args.detect, "--out", str(rows), "--quiet"]
    done = Done(work / "rows.csv.partial.json")
    started = time.perf_counter()
    with (
        open(listed, "rb") as file,
        subprocess.Popen(
            command, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process,
    ):
        memory = watched(process, done, args.pictures)
    seconds = time.perf_counter() - started
    with open(rows, "rb") as file:
        num_rows = sum(1 for _ in file) - 1
    return {
        "pictures": args.pictures,
        "distinct": distinct,
        "rows": num_rows,
        "listing_seconds": listing_seconds,
        "seconds": seconds,
        "pictures_per_second": args.pictures / seconds,
        "steady_pictures_per_second": done.per_second(args.pictures),
        **memory,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Measures predict over many pictures.")
    parser.add_argument("--pictures", type=int, default=100_000, metavar="N")
    parser.add_argument("--distinct", type=int, default=300, metavar="N", help="that are drawn")
    parser.add_argument("--list", action="store_true", help="give a list on the standard input")
    parser.add_argument(
        "--detect",
        choices=("none", "mtcnn"),
        default="none",
        help="none: faces of 64x64 pixels (default); mtcnn: photographs of 320x243 pixels",
    )
    parser.add_argument("--model", default="pretrained", metavar="M")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        return print_measurement("many_pictures.py", lambda: measure(args, Path(work)))


if __name__ == "__main__":
    sys.exit(main())
