"""Kills a training with SIGKILL, resumes it, and compares it with an uninterrupted one.

    python benchmarks/kill_and_resume.py --config configs/tdgan_synthetic.py --kill-at-step 150 \
        --runs /tmp/kill_and_resume

Prints one JSON object; the exit code is 0 if all parameters are bit-identical and no step stands
twice in `metrics.jsonl`.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

from tdgan_jax.checkpoints import Checkpoints
from tdgan_jax.configuration import load_config
from tdgan_jax.run_folder import CHECKPOINTS_FOLDER, METRICS_FILE, read_metrics
from tdgan_jax.steps.families import make_family

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Trains twice, once with a kill in between."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]")
    parser.add_argument("--kill-at-step", type=int, required=True, metavar="STEP")
    parser.add_argument("--runs", type=Path, required=True, help="parent of both run folders")
    args, overrides = parser.parse_known_args()
    straight, killed = args.runs / "straight", args.runs / "killed"

    def command(workdir: Path) -> list[str]:
        flags = ["--config", args.config, "--workdir", str(workdir), "--quiet", *overrides]
        return [sys.executable, str(ROOT / "launch.py"), *flags]

    subprocess.run(command(straight), check=True)
    process = subprocess.Popen(command(killed))
    while process.poll() is None and last_step(killed) < args.kill_at_step:
        time.sleep(0.1)
    process.kill()
    process.wait()
    killed_at = last_step(killed)
    subprocess.run(command(killed), check=True)

    config = load_config(args.config, [flag.removeprefix("--config.") for flag in overrides])
    pairs = list(zip(final_state(straight, config), final_state(killed, config), strict=True))
    steps = [json.loads(line)["step"] for line in (killed / METRICS_FILE).read_text().splitlines()]
    report = {
        "killed_at_step": killed_at,
        "last_step": last_step(killed),
        "arrays": len(pairs),
        "arrays_bit_identical": sum(np.array_equal(a, b) for a, b in pairs),
        "steps_logged": len(steps),
        "steps_logged_twice": len(steps) - len(set(steps)),
    }
    print(json.dumps(report))
    identical = report["arrays"] == report["arrays_bit_identical"]
    return 0 if identical and not report["steps_logged_twice"] else 1


def last_step(workdir: Path) -> int:
    """The last step in a run's log; 0 without one."""
    records = read_metrics(workdir / METRICS_FILE)
    return records[-1]["step"] if records else 0


def final_state(workdir: Path, config) -> list[np.ndarray]:
    """All arrays of a run's latest checkpoint: parameters, optimiser states, step."""
    checkpoints = Checkpoints(workdir / CHECKPOINTS_FOLDER)
    names = checkpoints.best_progress("validation")
    family = make_family(config, tuple(names["identity_names"]), tuple(names["expression_names"]))
    template = jax.jit(family.init_state)(jax.random.key(0))
    state, _ = checkpoints.restore_latest(template)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


if __name__ == "__main__":
    sys.exit(main())
