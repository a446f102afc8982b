"""Kills a training with SIGKILL, resumes it, and compares it with an uninterrupted one.

    python benchmarks/kill_and_resume.py --config configs/tdgan_synthetic.py --kill-at-step 150 \
        --runs /tmp/kill_and_resume
    python benchmarks/kill_and_resume.py --config configs/tdgan_yale.py:tiny --kill-in-fold 4 \
        --kill-at-step 10 --runs /tmp/kill_and_resume_folds

Prints one JSON object; the exit code is 0 if all parameters are bit-identical, no step stands twice
in `metrics.jsonl` and, of a cross-validation, all figures are equal.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

from tdgan_jax.configuration import load_config
from tdgan_jax.families.family import Names
from tdgan_jax.families.program import make_training
from tdgan_jax.files import read_json
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import (
    CHECKPOINTS_FOLDER,
    CROSS_VALIDATION_FILE,
    METRICS_FILE,
    read_metrics,
    read_run,
)
from tdgan_jax.training.checks import SELECTIONS

if __package__:
    from benchmarks.faults import is_new
else:  # Run as a script: this folder is on the path, the repository's root need not be.
    from faults import is_new

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Trains twice, once with a kill in between."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]")
    parser.add_argument("--kill-at-step", type=int, required=True, metavar="STEP")
    parser.add_argument("--kill-in-fold", type=int, metavar="FOLD", help="of a cross-validation")
    parser.add_argument("--runs", type=Path, required=True, help="parent of both run folders")
    args, overrides = parser.parse_known_args()
    if not is_new(args.runs):
        return 2
    straight, killed = args.runs / "straight", args.runs / "killed"
    has_folds = args.kill_in_fold is not None
    watched = killed / f"fold_{args.kill_in_fold}" if has_folds else killed

    def command(workdir: Path) -> list[str]:
        flags = ["--config", args.config, "--workdir", str(workdir), "--quiet", *overrides]
        return [sys.executable, str(ROOT / "launch.py"), *flags]

    started = time.monotonic()
    subprocess.run(command(straight), check=True)
    seconds = time.monotonic() - started
    process = subprocess.Popen(command(killed))
    while process.poll() is None and last_step(watched) < args.kill_at_step:
        time.sleep(0.1)
    process.kill()
    process.wait()
    killed_at = last_step(watched)
    subprocess.run(command(killed), check=True)

    config = load_config(args.config, [flag.removeprefix("--config.") for flag in overrides])
    folders = [run.folds if has_folds else [run.path] for run in map(read_run, (straight, killed))]
    pairs = [
        pair
        for left, right in zip(*folders, strict=True)
        for pair in zip(final_arrays(left, config), final_arrays(right, config), strict=True)
    ]
    logged = [steps_logged(folder) for folder in folders[1]]
    report = {
        "killed_at_step": killed_at,
        "last_step": last_step(watched),
        "arrays": len(pairs),
        "arrays_bit_identical": sum(np.array_equal(a, b) for a, b in pairs),
        "steps_logged": sum(map(len, logged)),
        "steps_logged_twice": sum(len(steps) - len(set(steps)) for steps in logged),
        "seconds_without_a_kill": round(seconds, 1),
    }
    identical = report["arrays"] == report["arrays_bit_identical"]
    if has_folds:
        first, second = (
            read_json(run / CROSS_VALIDATION_FILE) | {"seconds": None} for run in (straight, killed)
        )
        report |= {"figures_equal": first == second, "disjoint": second["subjects_disjoint"]}
        identical = identical and first == second
    print(json.dumps(report))
    return 0 if identical and not report["steps_logged_twice"] else 1


def last_step(workdir: Path) -> int:
    """The last step in a run's log; 0 without one."""
    records = read_metrics(workdir / METRICS_FILE)
    return records[-1]["step"] if records else 0


def steps_logged(workdir: Path) -> list[int]:
    """The step of each line in a run's log."""
    lines = (workdir / METRICS_FILE).read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def final_arrays(workdir: Path, config) -> list[np.ndarray]:
    """All arrays of a run's checkpoints: of the whole state if it is there, else the best ones."""
    checkpoints = Checkpoints(workdir / CHECKPOINTS_FOLDER)
    names = checkpoints.best_progress(config.evaluation.selection)
    family = make_training(
        config, Names(tuple(names["identity_names"]), tuple(names["expression_names"]))
    )
    template = jax.jit(family.init_state)(jax.random.key(0))
    if checkpoints.latest_step() is not None:
        trees = [checkpoints.restore_latest(template)[0]]
    else:
        stored = [selection for selection in SELECTIONS if checkpoints.has_best(selection)]
        trees = [checkpoints.restore_best(selection, template.parameters) for selection in stored]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(trees)]


if __name__ == "__main__":
    sys.exit(main())
