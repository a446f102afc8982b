"""Times `predict` on whole photographs, detection included, against another checkout.

    python benchmarks/photographs.py --source yalefaces.zip --against ../old_checkout

Both sides run in one go and take turns, each in processes of its own with the compiled programs of
its own. `photographs_per_second` is that of a process whose programs are compiled: the model is
loaded, all photographs were gone through once, and the shortest of `--repeats` passes over them
counts. A pass is the command as a user runs it, from the files to the csv. `first_start_seconds` is
that of a whole process for one photograph with nothing compiled before, `later_start_seconds` with
the compiled programs of the one before. `ratio` is this checkout over the other, above 1 it is
faster; `same_labels` says of how many photographs both name the same expression of the first face.

`--smallest-face SIZE` is passed on to this checkout (the other takes its own default). One JSON
object goes to stdout. Without `--source` there are 40 drawn photographs of 320x243 pixels. On a
machine that does other work the figures mean nothing.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from tdgan_jax.errors import UserError

if __package__:
    from benchmarks.face_detection import drawn_photographs, read_photographs
    from benchmarks.measuring import print_measurement, say
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from face_detection import drawn_photographs, read_photographs
    from measuring import print_measurement, say

ROOT = Path(__file__).resolve().parent.parent
DRAWN = 40

# Runs in either checkout: nothing but the command line, and the name of what opens the model.
SIDE = """
import os, sys, time
import tdgan_jax
from tdgan_jax.cli import main, predict
root = sys.argv.pop(1)
assert os.path.commonpath([tdgan_jax.__file__, root]) == root, tdgan_jax.__file__
opened = predict.open_model
models = []
def open_once(args):
    if not models:
        models.append(opened(args))
    return models[0]
predict.open_model = open_once
for line in sys.stdin:
    started = time.perf_counter()
    code = main.main(["predict", *sys.argv[1:], "--overwrite", "--quiet"])
    print(code, time.perf_counter() - started, file=sys.stderr, flush=True)
"""


class Side(NamedTuple):
    """One checkout.

    Attributes:
        root: Where it is.
        options: Further arguments of its command.
        cache: Where it keeps compiled programs.
    """

    root: Path
    options: tuple[str, ...]
    cache: Path

    def environment(self) -> dict[str, str]:
        """The variables of its processes."""
        return os.environ | {
            "PYTHONPATH": str(self.root),
            "XDG_CACHE_HOME": str(self.cache),
            "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        }


def start_seconds(side: Side, photograph: Path, out: Path) -> float:
    """Seconds of a process that recognises one photograph.

    Raises:
        UserError: If it fails.
    """
    # -P: not what lies in the current folder.
    command = [sys.executable, "-P", "-m", "tdgan_jax", "predict", str(photograph), *side.options]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(out), "--overwrite"], env=side.environment(), capture_output=True
    )
    if done.returncode:
        raise UserError(f"{side.root}: {done.stderr.decode(errors='replace').strip()}")
    return time.perf_counter() - started


class Passes:
    """A process that goes through all photographs whenever it is asked to."""

    def __init__(self, side: Side, folder: Path, out: Path):
        """Starts the process and lets it compile."""
        self._root = side.root
        command = [sys.executable, "-P", "-c", SIDE, str(side.root), str(folder), *side.options]
        command += ["--out", str(out)]
        self._process = subprocess.Popen(
            command,
            env=side.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def seconds(self) -> float:
        """Seconds of one pass.

        Raises:
            UserError: If it fails.
        """
        assert self._process.stdin is not None and self._process.stderr is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stderr.readline().split()
        if len(answer) != 2 or answer[0] != "0":
            raise UserError(f"{self._root}: {' '.join(answer)}{self._process.stderr.read()}")
        return float(answer[1])

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def labels_of(rows: Path) -> dict[str, str]:
    """The label of the first face of each photograph."""
    with open(rows, newline="") as file:
        return {row["file"]: row["label"] for row in reversed(list(csv.DictReader(file)))}


def time_sides(
    sides: dict[str, Side], folder: Path, first: Path, work: Path, repeats: int
) -> dict[str, dict[str, float]]:
    """Times starts and passes of all sides, which take turns.

    Args:
        sides: The checkouts by name.
        folder: The photographs.
        first: The one that starts are timed with.
        work: Where the rows of each side stay, in `NAME.csv`.
        repeats: Timed turns of each.

    Raises:
        UserError: If a side cannot be run.
    """
    starts: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        say(f"start {number + 1} of {repeats + 1}")
        for name, side in sides.items():
            starts[name].append(start_seconds(side, first, work / f"{name}.csv"))
    passes = {name: Passes(side, folder, work / f"{name}.csv") for name, side in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        say(f"pass {number + 1} of {repeats + 1}")
        for name, process in passes.items():
            seconds[name].append(process.seconds())
    for process in passes.values():
        process.close()
    count = len(list(folder.iterdir()))
    return {
        name: {
            "photographs_per_second": count / min(seconds[name][1:]),
            "first_start_seconds": starts[name][0],
            "later_start_seconds": min(starts[name][1:]),
        }
        for name in sides
    }


def measure(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Times this checkout, and the other one.

    Args:
        args: The command line.
        work: An empty folder.

    Raises:
        UserError: If a side cannot be run.
    """
    smallest = () if args.smallest_face is None else ("--smallest-face", str(args.smallest_face))
    sides = {"this": Side(ROOT, smallest, work / "cache_this")}
    if args.against is not None:
        if not (args.against / "tdgan_jax").is_dir():
            raise UserError(f"--against: {args.against} is no checkout of this project")
        sides["against"] = Side(args.against.resolve(), (), work / "cache_against")
    photographs = read_photographs(args.source) if args.source else drawn_photographs(DRAWN)
    folder = work / "photographs"
    folder.mkdir()
    for number, pixels in enumerate(photographs.values()):
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")
    timed = time_sides(sides, folder, folder / "00000.png", work, args.repeats)
    result: dict[str, Any] = {"photographs": len(photographs), **timed}
    if args.against is not None:
        ours, theirs = timed["this"], timed["against"]
        result["ratio"] = {
            "photographs_per_second": (
                ours["photographs_per_second"] / theirs["photographs_per_second"]
            ),
            "first_start": theirs["first_start_seconds"] / ours["first_start_seconds"],
            "later_start": theirs["later_start_seconds"] / ours["later_start_seconds"],
        }
        labels = [labels_of(work / f"{name}.csv") for name in sides]
        result["same_labels"] = sum(labels[0][file] == labels[1][file] for file in labels[0])
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Times predict on whole photographs.")
    parser.add_argument("--source", metavar="PATH", help="folder or zip file of photographs")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout")
    parser.add_argument("--smallest-face", metavar="SIZE", help="of this checkout")
    parser.add_argument("--repeats", type=int, default=3, help="timed turns (default: 3)")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        return print_measurement("photographs.py", lambda: measure(args, Path(work)))


if __name__ == "__main__":
    sys.exit(main())
