"""Real runs of two processes: as one of one, stopped, killed, and gone on with by fewer devices."""

import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults import environment, wait_for_step
from tdgan_jax.files import read_json
from tdgan_jax.runs.checkpoints import Checkpoints
from tests.processes.launching import (
    LAST_STEP,
    command,
    last_state,
    logged,
    outcomes,
    start,
    start_two,
)

MPIRUN = shutil.which("mpirun")


@pytest.fixture(scope="module")
def variables(drawn_datasets, tmp_path_factory) -> dict[str, str]:
    """What all processes of this module share, compiled steps among it."""
    cache = tmp_path_factory.mktemp("compiled")
    return {"TFDS_DATA_DIR": str(drawn_datasets), "JAX_COMPILATION_CACHE_DIR": str(cache)}


@pytest.fixture(scope="module")
def of_one_process(variables, tmp_path_factory) -> Path:
    """A run of one process with four devices."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    started = start(command(workdir), environment(devices=4, **variables))
    [(code, output, errors)] = outcomes([started])
    assert code == 0, errors
    assert "batch 4 = 1 x 4 devices, mesh {'batch': 4} of 1 process(es)" in output
    return workdir


@pytest.fixture(scope="module")
def of_two_processes(variables, tmp_path_factory) -> tuple[Path, list, list, int]:
    """A run of two processes with two devices each, of which the second is asked to stop.

    It goes on under mpirun where that is installed.

    Returns:
        Its folder, the outcomes before and after the stop, and the step of the stop.
    """
    workdir = tmp_path_factory.mktemp("two") / "run"
    processes = start_two(workdir, environment(devices=2, **variables))
    wait_for_step(workdir, 3, processes)
    processes[1].send_signal(signal.SIGTERM)
    stopped = outcomes(processes)
    stopped_after = Checkpoints(workdir / "checkpoints", read_only=True).latest_step()
    assert stopped_after is not None
    again = environment(devices=2, **variables)
    if MPIRUN is None:
        resumed = outcomes(start_two(workdir, again))
    else:
        mpirun = [MPIRUN, "-n", "2", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
        resumed = outcomes([start([*mpirun, *command(workdir)], again)])
    return workdir, stopped, resumed, stopped_after


def assert_same_results(ours: Path, theirs: Path) -> None:
    """The same up to float32 rounding: sums over the devices have another order."""
    for our, their in zip(logged(ours), logged(theirs), strict=True):
        assert (our["step"], our["epoch"]) == (their["step"], their["epoch"])
        assert our["losses"].keys() == their["losses"].keys()
        for name, loss in their["losses"].items():
            np.testing.assert_allclose(
                our["losses"][name], loss, rtol=1e-3, atol=1e-4, err_msg=f"{our['step']} {name}"
            )
    (progress, arrays), (expected_progress, expected) = last_state(ours), last_state(theirs)
    assert progress["step"] == expected_progress["step"] == LAST_STEP
    for field in ("data_fingerprint", "identity_names", "expression_names"):
        assert progress[field] == expected_progress[field]
    for value, reference in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-3, atol=2e-4)
    our, their = (read_json(run / "result.json")["by_selection"]["last"] for run in (ours, theirs))
    assert our.keys() == their.keys()
    assert our["classifier"]["confusion_matrix"] == their["classifier"]["confusion_matrix"]


def test_two_processes_of_two_devices_give_what_one_of_four_gives(of_one_process, of_two_processes):
    workdir, _, resumed, _ = of_two_processes
    for code, _, errors in resumed:
        assert code == 0, errors
    assert "mesh {'batch': 4} of 2 process(es)" in resumed[0][1]
    assert_same_results(workdir, of_one_process)


def test_process_0_alone_speaks_and_writes(of_one_process, of_two_processes):
    workdir, ((_, output, _), (_, other_output, _)), resumed, _ = of_two_processes
    assert output.count("5 steps an epoch") == 1
    assert [line for line in other_output.splitlines() if "[Gloo]" not in line] == []
    assert sum(text.count("report:") for _, text, _ in resumed) == 1
    names = {path.name.split(".")[0] for path in workdir.iterdir()}
    assert names == {path.name.split(".")[0] for path in of_one_process.iterdir()}
    assert len(list(workdir.glob("events.*"))) == 2  # one before the stop, one after it
    steps = [record["step"] for record in logged(workdir)]
    assert steps == list(range(1, LAST_STEP + 1))


def test_sigterm_to_one_process_stops_both_after_the_same_step(of_two_processes):
    _, stopped, _, stopped_after = of_two_processes
    (code, _, errors), (other_code, _, _) = stopped
    assert (code, other_code) == (143, 143), errors
    assert f"stopped after step {stopped_after} of {LAST_STEP}; state saved" in errors


def test_a_killed_process_ends_the_other_and_one_process_with_half_the_devices_goes_on(
    of_one_process, variables, tmp_path
):
    workdir = tmp_path / "killed"
    processes = start_two(workdir, environment(devices=2, **variables))
    wait_for_step(workdir, 4, processes)
    processes[1].kill()
    killed = time.monotonic()
    (code, _, errors), _ = outcomes(processes)
    assert time.monotonic() - killed < 60
    assert code == 1
    [line] = [line for line in errors.splitlines() if line.startswith("tdgan-jax:")]
    assert "process 0 of 2" in line
    assert "the same command goes on" in line
    saved = Checkpoints(workdir / "checkpoints", read_only=True).latest_step()
    assert saved and saved % 2 == 0
    assert not (workdir / "result.json").exists()

    [(code, output, errors)] = outcomes(
        [start(command(workdir), environment(devices=2, **variables))]
    )
    assert code == 0, errors
    assert f"going on after step {saved}" in output
    assert "batch 4 = 2 x 2 devices, mesh {'batch': 2} of 1 process(es)" in output
    assert_same_results(workdir, of_one_process)


@pytest.mark.skipif(MPIRUN is None, reason="Open MPI's mpirun is not installed")
def test_mpirun_needs_no_flags(of_two_processes):
    _, _, [(code, output, errors)], _ = of_two_processes
    assert code == 0, errors
    assert "of 2 process(es)" in output
    assert output.count("report:") == 1
