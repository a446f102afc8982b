"""What happens when something goes wrong with a run of two processes, with the seconds it takes.

    python benchmarks/faults.py --runs /tmp/faults

Two processes of two CPU devices each train the tiny configuration over loopback; each fault is a
run of its own. Prints one JSON object a fault: exit codes, seconds from the fault to the end of the
last process (of those at the start: to the end of the program, imports included), what each process
says, and whether the same command goes on from an intact checkpoint afterwards. `frozen` is a
process that is stopped and answers nothing, as one on a machine that has lost its network. The exit
code is 0 if all ended within `--limit` seconds with a word and a code that is not 0, and every
restart finished.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import CHECKPOINTS_FOLDER, METRICS_FILE, RESULT_FILE, read_metrics

ROOT = Path(__file__).parent.parent
FIELDS = (  # five steps an epoch
    "data.pad_last_batch=true",
    "data.expressions.train_split=train[:24]",
    "data.expressions.test_split=test[:9]",
    "evaluation.yardsticks=false",
    "log.every_steps=1",
    "log.checkpoint_every_steps=2",
)
FAULT_AT_STEP = 5
PATIENCE_S = 900


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries each fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs", type=Path, required=True, help="parent of the run folders, new or empty"
    )
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--limit", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--config", default="configs/classifier_synthetic.py:tiny")
    args = parser.parse_args(arguments)
    if not is_new(args.runs):
        return 2
    good = True
    for name in args.only:
        report = {"fault": name, **FAULTS[name](args.config, args.runs / name)}
        report["seconds"] = round(report["seconds"], 1)
        print(json.dumps(report), flush=True)
        good = good and report["seconds"] <= args.limit and all(report["exit_codes"])
        good = good and any(report["said"]) and report.get("went_on", True)
    return 0 if good else 1


def is_new(runs: Path) -> bool:
    """Whether a folder is new or empty: old runs would go on, in other seconds; else says so."""
    if runs.exists() and not (runs.is_dir() and not any(runs.iterdir())):
        print(f"--runs {runs} holds something already; give a new folder", file=sys.stderr)
        return False
    return True


def environment(devices: int, **more: str) -> dict[str, str]:
    """The variables of a process with so many CPU devices, whose steps are compiled quickly."""
    flags = (
        "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
        f"--xla_cpu_parallel_codegen_split_count=1 --xla_force_host_platform_device_count={devices}"
    )
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags} | more


def command(config: str, workdir: Path, *flags: str) -> list[str]:
    """The command of a process that trains alone, or under a launcher."""
    program = [sys.executable, str(ROOT / "launch.py")]
    return [*program, "--config", config, "--workdir", str(workdir), *flags]


def meeting_flags(port: int, process_id: int, num_processes: int = 2) -> list[str]:
    """How a process finds the others over loopback."""
    if num_processes == 1:
        return ["--num_processes=1"]
    return [
        f"--coordinator_address=127.0.0.1:{port}",
        f"--num_processes={num_processes}",
        f"--process_id={process_id}",
    ]


def launch(
    config: str,
    workdir: Path,
    process_id: int,
    num_processes: int,
    port: int,
    devices: int,
    *flags: str,
) -> subprocess.Popen:
    """Starts one process of a run over loopback, with so many CPU devices."""
    meeting = meeting_flags(port, process_id, num_processes)
    return subprocess.Popen(
        command(config, workdir, "--quiet", *flags, *meeting),
        env=environment(devices),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def start(config: str, workdir: Path, process_id: int, port: int, *more: str) -> subprocess.Popen:
    """Starts one of two processes."""
    flags = [f"--config.{field}" for field in (*FIELDS, "training.epochs=8")]
    return launch(config, workdir, process_id, 2, port, 2, *flags, *more)


def start_two(config: str, workdir: Path) -> list[subprocess.Popen]:
    """Starts both processes of a run."""
    port = free_port()
    return [start(config, workdir, process_id, port) for process_id in range(2)]


def free_port() -> int:
    """A port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ends(processes: list[subprocess.Popen], since: float) -> dict[str, Any]:
    """Exit codes, seconds and what was said."""
    errors = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    seconds = time.monotonic() - since
    codes = [process.returncode for process in processes]
    return {"exit_codes": codes, "seconds": seconds, "said": list(map(own_lines, errors))}


def own_lines(text: str) -> str:
    """What the program says, without JAX's log."""
    marks = ("tdgan-jax:", "state saved", " -> ")
    return " | ".join(line for line in text.splitlines() if any(mark in line for mark in marks))


def wait_for_step(workdir: Path, step: int, processes: list[subprocess.Popen]) -> None:
    """Returns when a step stands in the run's log.

    Raises:
        RuntimeError: If a process ends before, or it takes too long.
    """
    started = time.monotonic()
    while last_step(workdir) < step:
        ended = any(process.poll() is not None for process in processes)
        if ended or time.monotonic() > started + PATIENCE_S:
            for process in processes:
                process.kill()
            how = "the run ended early" if ended else f"step {step} does not come"
            raise RuntimeError(f"{how}: {ends(processes, started)}")
        time.sleep(0.02)


def last_step(workdir: Path) -> int:
    """The last step in a run's log; 0 without one."""
    records = read_metrics(workdir / METRICS_FILE)
    return records[-1]["step"] if records else 0


def goes_on(config: str, workdir: Path) -> dict[str, Any]:
    """Starts the run again; it must begin at a checkpoint and end with a result."""
    saved = Checkpoints(workdir / CHECKPOINTS_FOLDER, read_only=True).latest_step()
    done = ends(start_two(config, workdir), time.monotonic())
    finished = done["exit_codes"] == [0, 0] and (workdir / RESULT_FILE).exists()
    return {"intact_checkpoint": saved, "went_on": bool(saved) and finished}


def during_training(strike: Callable[[list[subprocess.Popen]], list[subprocess.Popen]]):
    """A fault of running processes; `strike` gives those whose end is waited for."""

    def fault(config: str, workdir: Path) -> dict[str, Any]:
        processes = start_two(config, workdir)
        wait_for_step(workdir, FAULT_AT_STEP, processes)
        struck = time.monotonic()
        report = ends(strike(processes), struck)
        for process in processes:
            process.kill()
            process.wait()
        return report | goes_on(config, workdir)

    return fault


def kill(victim: int, *, whole: bool):
    """Kills the process that trains, or the one that waits for it as well."""

    def strike(processes: list[subprocess.Popen]) -> list[subprocess.Popen]:
        process = processes[victim]
        if whole:
            process.kill()
            return [processes[1 - victim]]
        os.kill(trainer_of(process), signal.SIGKILL)
        return processes

    return during_training(strike)


def freeze(processes: list[subprocess.Popen]) -> list[subprocess.Popen]:
    """Stops process 1 without a word."""
    os.kill(trainer_of(processes[1]), signal.SIGSTOP)
    return [processes[0]]


def terminate(processes: list[subprocess.Popen]) -> list[subprocess.Popen]:
    """Asks one process to stop."""
    processes[1].terminate()
    return processes


def trainer_of(process: subprocess.Popen) -> int:
    """The child that trains (Linux)."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def wrong_address(config: str, workdir: Path) -> dict[str, Any]:
    """Process 1 is sent to a port without a listener."""
    started = time.monotonic()
    short = "--config.parallel.initialization_timeout_s=10"
    return ends([start(config, workdir, 1, free_port(), short)], started)


def missing_process(config: str, workdir: Path) -> dict[str, Any]:
    """Process 1 is never started."""
    started = time.monotonic()
    short = "--config.parallel.initialization_timeout_s=10"
    return ends([start(config, workdir, 0, free_port(), short)], started)


def different_configs(config: str, workdir: Path) -> dict[str, Any]:
    """The processes are given batches of different sizes."""
    started, port = time.monotonic(), free_port()
    sizes = (f"--config.training.batch_size={size}" for size in (4, 8))
    return ends(
        [start(config, workdir, number, port, size) for number, size in enumerate(sizes)], started
    )


FAULTS: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "process_1_killed": kill(1, whole=True),
    "process_0_killed": kill(0, whole=True),
    "training_child_killed": kill(1, whole=False),
    "process_1_frozen": during_training(freeze),
    "sigterm_to_process_1": during_training(terminate),
    "wrong_address": wrong_address,
    "missing_process": missing_process,
    "different_configs": different_configs,
}


if __name__ == "__main__":
    sys.exit(main())
