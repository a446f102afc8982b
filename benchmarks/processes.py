"""Compares runs of one system on other numbers of devices and processes.

    python -m benchmarks.processes --config configs/tdgan_synthetic.py:tiny --runs /tmp/processes \
        --config.data.faces.split=faces[:20] --config.data.expressions.train_split=train[:25] \
        --config.training.face_discriminator_gap=1 --config.training.expression_discriminator_gap=1
    python -m benchmarks.processes --config configs/ifgan_synthetic.py:tiny --runs /tmp/ifgan \
        --config.data.expressions.train_split=train[:24]

The reference is one process with four CPU devices. Against it: two processes of two devices; the
same stopped by a SIGTERM to one of them, and gone on by one process with two devices; one process
with four stopped, and gone on by two. Noise and dropout are on, as the configuration says. Prints
one JSON object a comparison: the exit codes, where it was stopped, the largest difference of the
losses of any step, relative, and of the last parameters, absolute. The exit code is 0 if all runs
finished and no loss differs by more than `--tolerance`.

Compare some ten steps: afterwards adversarial training makes large differences of the roundings'
small ones (TDGAN's losses, tiny configuration: 1e-6 after nine steps, 0.1 after fifty).
"""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.faults import free_port, is_new, launch, wait_for_step
from tdgan_jax.configuration import load_config
from tdgan_jax.families.family import Names
from tdgan_jax.families.program import make_training
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import CHECKPOINTS_FOLDER, METRICS_FILE, read_metrics

Layout = tuple[int, int]  # processes, devices of each
REFERENCE: Layout = (1, 4)
COMPARISONS: dict[str, list[Layout]] = {
    "two_processes": [(2, 2)],
    "two_processes_then_one": [(2, 2), (1, 2)],
    "four_devices_then_two": [(1, 4), (1, 2)],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the reference and each comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]")
    parser.add_argument(
        "--runs", type=Path, required=True, help="parent of the run folders, new or empty"
    )
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument("--stop-at-step", type=int, default=3, metavar="STEP")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args, overrides = parser.parse_known_args(arguments)
    if not is_new(args.runs):
        return 2
    start = Launch(args.config, overrides)
    reference = args.runs / "reference"
    good = start.to_the_end(reference, REFERENCE) == [0]
    for name in args.only:
        workdir = args.runs / name
        report: dict[str, Any] = {"comparison": name, "processes_x_devices": COMPARISONS[name]}
        *before, last = COMPARISONS[name]
        for layout in before:
            report["stopped"] = start.until_stopped(workdir, layout, args.stop_at_step)
        report["exit_codes"] = start.to_the_end(workdir, last)
        report |= differences(workdir, reference, start.config())
        print(json.dumps(report), flush=True)
        good = good and not any(report["exit_codes"])
        good = good and report["largest_relative_loss_difference"] <= args.tolerance
    return 0 if good else 1


class Launch:
    """Starts runs of one configuration."""

    def __init__(self, config: str, overrides: list[str]):
        """Takes the configuration and its overrides as `launch.py` does."""
        self._config = config
        self._overrides = [*overrides, "--config.log.every_steps=1"]

    def config(self) -> Any:
        """The configuration of all runs."""
        fields = [flag.removeprefix("--config.") for flag in self._overrides]
        return load_config(self._config, fields)

    def start(self, workdir: Path, layout: Layout) -> list[subprocess.Popen]:
        """Starts all processes of a run."""
        processes, devices = layout
        port = free_port()
        return [
            launch(self._config, workdir, number, processes, port, devices, *self._overrides)
            for number in range(processes)
        ]

    def to_the_end(self, workdir: Path, layout: Layout) -> list[int]:
        """Runs to the end; gives the exit codes."""
        return [process.wait() for process in self.start(workdir, layout)]

    def until_stopped(self, workdir: Path, layout: Layout, step: int) -> dict[str, Any]:
        """Runs until a step is logged, then asks the last process to stop."""
        processes = self.start(workdir, layout)
        wait_for_step(workdir, step, processes)
        processes[-1].send_signal(signal.SIGTERM)
        codes = [process.wait() for process in processes]
        saved = Checkpoints(workdir / CHECKPOINTS_FOLDER, read_only=True).latest_step()
        return {"exit_codes": codes, "after_step": saved}


def differences(workdir: Path, reference: Path, config: Any) -> dict[str, float]:
    """The largest differences between two finished runs."""
    pairs = zip(*(read_metrics(run / METRICS_FILE) for run in (workdir, reference)), strict=True)
    loss = max(
        abs(ours["losses"][name] - value) / max(abs(value), 1e-2)
        for ours, theirs in pairs
        for name, value in theirs["losses"].items()
    )
    ours, theirs = (last_parameters(run, config) for run in (workdir, reference))
    parameter = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    return {
        "largest_relative_loss_difference": loss,
        "largest_parameter_difference": parameter,
    }


def last_parameters(workdir: Path, config: Any) -> list[np.ndarray]:
    """All parameters and running statistics of the latest checkpoint."""
    checkpoints = Checkpoints(workdir / CHECKPOINTS_FOLDER, read_only=True)
    progress = checkpoints.latest_progress()
    names = (tuple(progress[field]) for field in ("identity_names", "expression_names"))
    template = jax.jit(make_training(config, Names(*names)).init_state)(jax.random.key(0))
    state, _ = checkpoints.restore_latest(template)
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(state.parameters)]


if __name__ == "__main__":
    sys.exit(main())
