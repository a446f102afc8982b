"""What is wrong with the start of several processes is said in one line, in time."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from benchmarks.faults import ROOT, environment, free_port, meeting_flags
from tdgan_jax.configuration import load_config, to_json
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.files import write_json
from tdgan_jax.processes.meeting import meeting_from
from tdgan_jax.processes.membership import Membership
from tdgan_jax.processes.start_checks import check_devices, check_seen_alike
from tdgan_jax.processes.watching import has_lost_another
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.training.checks import check_same_config
from tests.processes.launching import CONFIG, command, outcomes, start

MPIRUN = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:1"}
SRUN = {"SLURM_STEP_NODELIST": "node[1-2]", "SLURM_NTASKS": "2"}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}


@pytest.mark.parametrize(
    "variables, launcher",
    [
        ({}, None),
        (MPIRUN, "Open MPI"),
        (MPIRUN | {"OMPI_COMM_WORLD_SIZE": "1"}, None),
        (MPIRUN | SRUN, "Open MPI"),
        (SRUN, "Slurm"),
        (SRUN | {"SLURM_NTASKS": "1"}, None),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, None),  # a batch script without srun
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "a TPU pod"),
        ({"TPU_WORKER_HOSTNAMES": "a"}, None),
        ({"TPU_PROCESS_ADDRESSES": "a:1,b:1"}, "a TPU pod"),
    ],
)
def test_a_launcher_is_found_out_where_it_started_several(variables, launcher):
    meeting = meeting_from(None, None, None, variables)
    assert (meeting and meeting.launcher) == launcher
    assert meeting_from(None, 1, None, variables) is None


@pytest.mark.parametrize("installed", [False, True])
def test_kubernetes_is_asked_where_its_client_is_installed(monkeypatch, installed):
    found = "importlib.util.find_spec"
    monkeypatch.setattr(found, lambda name: installed if name == "kubernetes" else None)
    meeting = meeting_from(None, None, None, KUBERNETES)
    assert (meeting and meeting.launcher) == ("Kubernetes" if installed else None)
    assert meeting_from(None, None, None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None


def test_an_open_mpi_that_jax_does_not_know_is_refused():
    with pytest.raises(UsageError, match="--coordinator_address, --num_processes and --process_id"):
        meeting_from(None, None, None, {"OMPI_COMM_WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    "flags, message",
    [
        (("host:1", None, None), "give all of"),
        ((None, 2, 0), "give all of"),
        (("host:1", 2, 2), "from 0 to --num_processes - 1 = 1"),
        (("host", 2, 0), "HOST:PORT"),
        (("host:x", 2, 0), "HOST:PORT"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused(flags, message):
    with pytest.raises(UsageError, match=message):
        meeting_from(*flags, {})


def test_a_wrong_coordinator_address_is_an_error_within_the_timeout(tmp_path):
    started = time.monotonic()
    flags = meeting_flags(free_port(), process_id=1)
    short = "--config.parallel.initialization_timeout_s=3"
    process = start(command(tmp_path / "run", *flags, short), environment(devices=1))
    [(code, _, errors)] = outcomes([process])
    assert code == 1
    [line] = errors.splitlines()
    assert "process 1 of 2: no coordinator answers at 127.0.0.1:" in line
    assert "within 3 s" in line
    assert time.monotonic() - started < 60
    assert not (tmp_path / "run").exists()


def test_a_process_whose_others_never_come_says_so(tmp_path):
    flags = meeting_flags(free_port(), process_id=0)
    short = "--config.parallel.initialization_timeout_s=1"
    process = start(command(tmp_path / "run", *flags, short), environment(devices=1))
    [(code, _, errors)] = outcomes([process], timeout_s=60)
    assert code == 1
    [line] = [line for line in errors.splitlines() if line.startswith("tdgan-jax:")]
    assert "process 0 of 2 was ended by JAX: not all processes met" in line


def test_different_configurations_are_refused_with_the_field(tmp_path):
    port = free_port()
    sizes = (4, 8)
    processes = [
        start(
            command(
                tmp_path / "run",
                *meeting_flags(port, process_id),
                f"--config.training.batch_size={size}",
            ),
            environment(devices=1),
        )
        for process_id, size in enumerate(sizes)
    ]
    for code, _, errors in outcomes(processes):
        assert code == 2, errors
        assert "process 1 was started with another configuration" in errors
        assert "training.batch_size: 4 -> 8" in errors
    assert not (tmp_path / "run").exists()


def test_another_number_of_devices_than_wanted_is_refused_with_both():
    count = jax.local_device_count()
    config = load_config(CONFIG, [f"parallel.devices_per_process={count + 1}"])
    message = f"{count} devices are seen here.*devices_per_process is {count + 1}"
    with pytest.raises(UserError, match=message):
        check_devices(config)
    check_devices(load_config(CONFIG, [f"parallel.devices_per_process={count}"]))


def test_a_run_may_go_on_on_other_machines_but_not_with_another_batch(tmp_path):
    config = load_config(CONFIG).unlock()
    for field in ("devices_per_process", "heartbeat_timeout_s", "initialization_timeout_s"):
        del config.parallel[field]  # as in folders from before there were several processes
    write_json(tmp_path / "config.json", to_json(config))
    elsewhere = ["parallel.devices_per_process=2", "parallel.heartbeat_timeout_s=99"]
    elsewhere += ["data.memory_limit_bytes=1", "data.num_workers=2"]
    check_same_config(load_config(CONFIG, elsewhere), tmp_path)
    with pytest.raises(UsageError, match="training.batch_size: 4 -> 8"):
        check_same_config(load_config(CONFIG, ["training.batch_size=8"]), tmp_path)


class Client:
    """Answers of JAX's coordinator to process 1 of 2, whose process 0 sees a file or does not."""

    def __init__(self, is_seen_by_first: bool):
        self.is_seen_by_first = is_seen_by_first
        self.values: dict[str, str] = {}

    def key_value_set(self, key: str, value: str) -> None:
        self.values[key] = value

    def blocking_key_value_get(self, key: str, timeout_ms: int) -> str:
        # Of `gathered`, which has nothing to complain of, or of `on_first_process`.
        of_first = {} if key.count("/") > 1 else {"value": self.is_seen_by_first}
        return self.values.get(key, json.dumps(of_first))


@pytest.mark.parametrize("is_here, is_seen_by_first", [(False, True), (True, False), (True, True)])
def test_a_run_that_some_do_not_see_is_refused(monkeypatch, tmp_path, is_here, is_seen_by_first):
    member = Membership(1, 2, Client(is_seen_by_first))
    monkeypatch.setattr("tdgan_jax.processes.membership._membership", member)
    monkeypatch.setattr("tdgan_jax.processes.start_checks.SEEN_WITHIN_S", 0)
    if is_here:
        (tmp_path / "config.json").touch()
    if is_here == is_seen_by_first:
        check_seen_alike(tmp_path / "config.json")
        return
    message = f"^process 1 of 2: {tmp_path} is not the run folder of process 0"
    with pytest.raises(UserError, match=message):
        check_seen_alike(tmp_path / "config.json")


PAIR = "[external/gloo/gloo/transport/tcp/pair.cc:547]"


@pytest.mark.parametrize(
    "error, is_lost",
    [
        (
            JaxRuntimeError(f"UNKNOWN: Gloo AllGather failed: {PAIR} Connection closed by peer"),
            True,
        ),
        (JaxRuntimeError("UNAVAILABLE: failed to connect to all addresses"), True),
        (JaxRuntimeError("INTERNAL: Barrier failed because a task has disconnected."), True),
        (JaxRuntimeError("INVALID_ARGUMENT: Gloo AllGather of 3 bytes, expected 4"), False),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"), False),
        (ConnectionResetError("Connection reset by peer"), False),
        (ValueError("UNAVAILABLE: no barrier, no connection, no heartbeat"), False),
    ],
)
def test_only_an_error_of_jax_is_that_of_a_lost_process(error, is_lost):
    assert has_lost_another(error) is is_lost


FAILING = """
import sys
from tdgan_jax.errors import UserError
from tdgan_jax.processes.watching import run_watched

def work(report_met):
    raise {error}

sys.exit(run_watched("process 0 of 2", work))
"""


@pytest.mark.parametrize(
    "error, lines",
    [
        (
            "KeyError('connection of a barrier')",
            ("Traceback", "KeyError: ", "tdgan-jax: process 0"),
        ),
        ("UserError('process 1 of 2: no')", ("tdgan-jax: process 1 of 2: no",)),
        ("UserError('process the file')", ("tdgan-jax: process 0 of 2: process the file",)),
    ],
)
def test_an_error_of_another_kind_is_shown_in_full(error, lines):
    program = [sys.executable, "-c", FAILING.format(error=error)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith(" ")]
    assert done.returncode == 1
    assert len(said) == len(lines), done.stderr
    assert all(line.startswith(start) for line, start in zip(said, lines, strict=True))


SAVING = """
import sys
from pathlib import Path

import numpy as np

from tdgan_jax.runs.checkpoints import Checkpoints

checkpoints = Checkpoints(Path(sys.argv[1]))
for step in range(1, 1000):
    checkpoints.save_latest(step, {"x": np.full(10_000_000, step, np.float32)}, {"step": step})
"""


def test_a_checkpoint_cut_short_by_a_kill_is_never_taken_for_a_good_one(tmp_path):
    folder = tmp_path / "checkpoints"
    process = subprocess.Popen(
        [sys.executable, "-c", SAVING, str(folder)], cwd=ROOT, env=environment(devices=1)
    )
    partial = None
    while partial is None or not partial.exists():  # it may have been completed meanwhile
        process.send_signal(signal.SIGCONT)
        while not (partial := unfinished(folder / "latest", after_step=2)):
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
    process.kill()
    process.wait()

    checkpoints = Checkpoints(folder)
    step = checkpoints.latest_step()
    assert step is not None and step >= 2
    state, progress = checkpoints.restore_latest({"x": jnp.zeros(10_000_000)})
    assert progress == {"step": step}
    np.testing.assert_array_equal(state["x"], np.full(10_000_000, step, np.float32))
    checkpoints.save_latest(step + 1, {"x": jnp.zeros(3)}, {"step": step + 1})
    assert not partial.exists()


def unfinished(folder: Path, *, after_step: int) -> Path | None:
    """A save that is under way, once an earlier one is complete."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    done = [int(name) for name in names if name.isdecimal()]
    begun = [name for name in names if "tmp" in name]
    return folder / begun[0] if begun and done and max(done) >= after_step else None
