"""How the processes of a run find one another.

JAX knows the environments of Slurm, Open MPI 4, Kubernetes and TPU pods; here it is only decided
whether to ask it, so that a process that is alone starts without a coordinator.
"""

import importlib.metadata
import importlib.util
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tdgan_jax.configuration import Config
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.processes.membership import Membership, enter

FLAGS = "--coordinator_address, --num_processes and --process_id"


class Meeting(NamedTuple):
    """How the processes of a run meet.

    Attributes:
        launcher: What started them, in words.
        coordinator_address: `HOST:PORT` of process 0; None: JAX finds all three out.
        num_processes: How many there are.
        process_id: Which one this is, from 0.
    """

    launcher: str
    coordinator_address: str | None = None
    num_processes: int | None = None
    process_id: int | None = None

    def __str__(self) -> str:
        """In words, for messages."""
        if self.coordinator_address is None:
            return f"a process started by {self.launcher}"
        return f"process {self.process_id} of {self.num_processes}"


def meeting_from(
    coordinator_address: str | None,
    num_processes: int | None,
    process_id: int | None,
    environment: Mapping[str, str] = os.environ,
) -> Meeting | None:
    """Says how the processes meet; None for a process that is alone.

    Args:
        coordinator_address: The flag's value, if it was given; likewise the others. One process
            alone is started by `num_processes=1` in any environment.
        num_processes: How many there are.
        process_id: Which one this is.
        environment: Variables that launchers set.

    Raises:
        UsageError: If the flags do not fit together, or the launcher is one that JAX does not know.
    """
    if num_processes == 1:
        return None
    given = (coordinator_address, num_processes, process_id)
    if coordinator_address is None or num_processes is None or process_id is None:
        if given != (None, None, None):
            raise UsageError(f"give all of {FLAGS}, or none of them where JAX finds them out")
        launcher = _launcher(environment)
        return None if launcher is None else Meeting(launcher)
    if not 0 <= process_id < num_processes:
        raise UsageError(
            f"--process_id is {process_id}; it must be from 0 to --num_processes - 1 = "
            f"{num_processes - 1}"
        )
    _host_and_port(coordinator_address)
    return Meeting("these flags", coordinator_address, num_processes, process_id)


def _launcher(environment: Mapping[str, str]) -> str | None:
    """The launcher whose variables stand in the environment of one of several processes."""

    def number(name: str) -> int:
        text = environment.get(name, "")
        return int(text) if text.isdecimal() else 0

    if number("OMPI_COMM_WORLD_SIZE") > 1:
        if "OMPI_MCA_orte_hnp_uri" not in environment:
            raise UsageError(
                f"this Open MPI is not one that JAX {_jax_version()} recognises (version 4 is); "
                f"give {FLAGS} $OMPI_COMM_WORLD_RANK"
            )
        return "Open MPI"
    # A batch script outside of srun has no step; srun -n 1 in a larger job counts one task.
    tasks = number("SLURM_STEP_NUM_TASKS") or number("SLURM_NTASKS")
    if "SLURM_STEP_NODELIST" in environment and tasks > 1:
        return "Slurm"
    workers = environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES", ""))
    if "," in workers or _is_tpu_machine():
        return "a TPU pod"
    indexed_job = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environment.keys()
    if indexed_job and importlib.util.find_spec("kubernetes"):
        return "Kubernetes"
    return None


def _jax_version() -> str:
    return importlib.metadata.version("jax")


def _is_tpu_machine() -> bool:
    """Whether there are TPUs; JAX asks the machine's metadata then whether others belong to it."""
    devices = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]
    return bool(devices) and importlib.util.find_spec("libtpu") is not None


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--coordinator_address is {address!r}; write HOST:PORT")
    return host.strip("[]"), int(port)


def meet(meeting: Meeting, timeouts: Config) -> None:
    """Joins the processes of a run; must be called before JAX is used for anything else.

    Args:
        meeting: How they meet.
        timeouts: The section `parallel` of the configuration.

    Raises:
        UserError: If they cannot meet.
    """
    timeout_s = timeouts.initialization_timeout_s
    explicit = meeting.coordinator_address is not None
    if explicit and meeting.process_id:
        timeout_s = _wait_for_coordinator(meeting, timeout_s)

    import jax
    from jax._src import distributed

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            meeting.coordinator_address,
            meeting.num_processes,
            meeting.process_id,
            cluster_detection_method="deactivate" if explicit else None,
            initialization_timeout=timeout_s,
            heartbeat_timeout_seconds=timeouts.heartbeat_timeout_s,
        )
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        advice = "give another port" if explicit else f"give {FLAGS}"
        raise UserError(f"it cannot join the others: {reason}; {advice}") from error
    state = distributed.global_state
    enter(Membership(state.process_id, state.num_processes, state.client))


def _wait_for_coordinator(meeting: Meeting, timeout_s: int) -> int:
    """Waits until process 0 listens, since JAX would abort; gives the seconds that are left."""
    address = str(meeting.coordinator_address)
    host, port = _host_and_port(address)
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            socket.create_connection((host, port), timeout=max(left_s, 0.1)).close()
            return max(int(left_s), 1)
        except OSError as error:
            if time.monotonic() + 1 > deadline:
                reason = error.strerror or error
                raise UserError(
                    f"no coordinator answers at {address} within {timeout_s} s: {reason}. "
                    "Start process 0 there, or give its address to --coordinator_address"
                ) from error
        time.sleep(0.5)
