"""Starts the real program in several processes over loopback, small enough for tests.

The plain classifier stands for all systems: it is compiled in a tenth of the time. The others are
tried by `benchmarks/processes.py`.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

from tdgan_jax.checkpoints import Checkpoints
from tdgan_jax.configuration import load_config
from tdgan_jax.run_folder import METRICS_FILE, read_metrics
from tdgan_jax.steps.families import make_family

ROOT = Path(__file__).parent.parent.parent
CONFIG = "configs/classifier_synthetic.py:tiny"
# Five steps an epoch.
OVERRIDES = (
    "data.faces.split=faces[:20]",
    "data.expressions.train_split=train[:24]",
    "data.expressions.test_split=test[:9]",
    "evaluation.yardsticks=false",
    "training.epochs=4",
    "log.every_steps=1",
    "log.checkpoint_every_steps=2",
    "parallel.heartbeat_timeout_s=20",
)
LAST_STEP = 20


def environment(*, devices: int, **more: str) -> dict[str, str]:
    """The variables of a process with so many devices."""
    flags = (
        "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
        f"--xla_cpu_parallel_codegen_split_count=1 --xla_force_host_platform_device_count={devices}"
    )
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags} | more


def command(workdir: Path, *more: str, config: str = CONFIG) -> list[str]:
    """The command of a process that trains alone, or under a launcher."""
    flags = [f"--config.{field}" for field in OVERRIDES]
    start = [sys.executable, "launch.py", "--config", config, "--workdir", str(workdir)]
    return [*start, *flags, *more]


def meeting_flags(port: int, process_id: int, num_processes: int = 2) -> list[str]:
    """How a process on this machine finds the others."""
    return [
        f"--coordinator_address=127.0.0.1:{port}",
        f"--num_processes={num_processes}",
        f"--process_id={process_id}",
    ]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


def wait_for_step(workdir: Path, step: int, processes: list[subprocess.Popen]) -> None:
    """Returns when a step stands in the log."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and all(each.poll() is None for each in processes):
        records = read_metrics(workdir / METRICS_FILE)
        if records and records[-1]["step"] >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} never came: {outcomes(processes, timeout_s=1)}")


def last_state(workdir: Path) -> tuple[dict, list[np.ndarray]]:
    """The progress and the arrays of the latest checkpoint."""
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    progress = checkpoints.latest_progress()
    names = (tuple(progress[field]) for field in ("identity_names", "expression_names"))
    family = make_family(load_config(CONFIG, list(OVERRIDES)), *names)
    template = jax.jit(family.init_state)(jax.random.key(0))
    state, _ = checkpoints.restore_latest(template)
    return progress, [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def logged(workdir: Path) -> list[dict]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (workdir / METRICS_FILE).read_text().splitlines()]
