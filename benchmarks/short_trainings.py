"""Times whole trainings on drawn faces: one, or several one after the other and at once.

    python -m benchmarks.short_trainings --config configs/tdgan_synthetic.py --together 2
    python -m benchmarks.short_trainings --config configs/recogniser_ferplus.py:votes \
        --config.data.expressions.dataset=synthetic_faces --config.training.epochs=2

Every training is a process of its own with a share of the cores, as the folds of a
cross-validation are shared out (`docs/clusters.md`); they share the accelerator. The first run
draws the faces, compiles, and is not counted. One JSON object goes to stdout.
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

from benchmarks.measuring import print_measurement, say
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.machine import usable_cores
from tdgan_jax.runs.folder import recognisers

ROOT = Path(__file__).parent.parent


def run_trainings(command: Sequence[str], folder: Path, count: int, at_once: bool) -> float:
    """Seconds that so many trainings take.

    Args:
        command: Of one, without its folder and its seed.
        folder: Where their folders are made.
        count: How many; each has a seed of its own.
        at_once: Whether they run at once, each on its share of the cores.

    Raises:
        UserError: If one fails.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    start, running = time.perf_counter(), []
    for number in range(count):
        flags = ["--workdir", str(folder / f"run_{number}"), f"--config.seed={number}"]
        share: Any = cores[number::count] if at_once and len(cores) >= count else cores
        running.append(
            subprocess.Popen(
                [*command, *flags],
                stdout=subprocess.DEVNULL,
                preexec_fn=(lambda share=share: os.sched_setaffinity(0, share)) if share else None,
            )
        )
        if not at_once:
            running[-1].wait()
    codes = [process.wait() for process in running]
    if any(codes):
        raise UserError(f"a training ended with status {max(codes)}")
    return time.perf_counter() - start


def measure(args: argparse.Namespace, overrides: Sequence[str]) -> dict[str, Any]:
    """Runs and times the trainings.

    Raises:
        UserError: If one fails.
    """
    if args.together < 1:
        raise UsageError("--together must be at least 1")
    command = [sys.executable, str(ROOT / "launch.py"), "--config", args.config, "--quiet"]
    command += overrides
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "one").mkdir()
        say("one training")
        first = run_trainings(command, folder / "one", 1, at_once=False)
        stored = json.loads((folder / "one" / "run_0" / "result.json").read_text())
        result = {
            "config": args.config,
            "seconds_with_compiling": first,
            "accuracy": next(iter(recognisers(stored).values()))["accuracy"],
            "cores": usable_cores(),
        }
        if args.together > 1:
            seconds = {}
            for way, at_once in (("one_after_the_other", False), ("at_once", True)):
                say(f"{args.together} trainings {way}")
                seconds[way] = run_trainings(command, folder / way, args.together, at_once)
            result |= {"trainings": args.together, "seconds": seconds}
            result["ratio"] = seconds["one_after_the_other"] / seconds["at_once"]
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one measurement as JSON.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code: 0 done, 1 impossible here, 2 wrong use.
    """
    parser = argparse.ArgumentParser(description="Times whole trainings on drawn faces.")
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]")
    parser.add_argument(
        "--together", type=int, default=1, metavar="N", help="compare N at once with N in turn"
    )
    args, overrides = parser.parse_known_args(arguments)
    return print_measurement("short_trainings.py", lambda: measure(args, overrides))


if __name__ == "__main__":
    sys.exit(main())
