"""Starts the real program in several processes over loopback, small enough for tests.

The plain classifier stands for all systems: it is compiled in a tenth of the time. The others are
tried by `benchmarks/processes.py`.
"""

import json
import subprocess
from pathlib import Path

import jax
import numpy as np

from benchmarks.faults import FIELDS, ROOT, free_port, meeting_flags
from benchmarks.faults import command as launch_command
from tdgan_jax.configuration import load_config
from tdgan_jax.families.family import Names
from tdgan_jax.families.program import make_training
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import METRICS_FILE

CONFIG = "configs/classifier_synthetic.py:tiny"
OVERRIDES = (*FIELDS, "training.epochs=4", "parallel.heartbeat_timeout_s=20")
LAST_STEP = 20


def command(workdir: Path, *more: str) -> list[str]:
    """The command of a process that trains alone, or under a launcher."""
    return launch_command(CONFIG, workdir, *(f"--config.{field}" for field in OVERRIDES), *more)


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen:
    """Starts a process whose output can be read afterwards."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)


def start_two(workdir: Path, environment: dict[str, str], *more: str) -> list[subprocess.Popen]:
    """Starts both processes of a run."""
    port = free_port()
    flags = (meeting_flags(port, process_id) for process_id in range(2))
    return [start(command(workdir, *each, *more), environment) for each in flags]


def outcomes(
    processes: list[subprocess.Popen], timeout_s: float = 400
) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each process; none outlives this."""
    try:
        done = [process.communicate(timeout=timeout_s) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(processes, done, strict=True)]


def last_state(workdir: Path) -> tuple[dict, list[np.ndarray]]:
    """The progress and the arrays of the latest checkpoint."""
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    progress = checkpoints.latest_progress()
    names = (tuple(progress[field]) for field in ("identity_names", "expression_names"))
    family = make_training(load_config(CONFIG, list(OVERRIDES)), Names(*names))
    template = jax.jit(family.init_state)(jax.random.key(0))
    state, _ = checkpoints.restore_latest(template)
    return progress, [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def logged(workdir: Path) -> list[dict]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (workdir / METRICS_FILE).read_text().splitlines()]
