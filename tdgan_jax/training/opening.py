"""Before the first step: the checks of a run, its data, and what is to be trained where.

What can be refused is refused by `open_run`. Who trains then holds the folder, and `describe_run`
writes what and where.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from tdgan_jax.configuration import Config, to_json
from tdgan_jax.exchange.selected_runs import read_config
from tdgan_jax.families.family import Beginning
from tdgan_jax.families.known import family_named
from tdgan_jax.families.program import Program, make_program
from tdgan_jax.files import write_json
from tdgan_jax.processes.membership import all_or_none, in_turn, is_first, on_first_process
from tdgan_jax.processes.start_checks import check_devices, check_same_content, check_shared
from tdgan_jax.reports.grids import sample_grid, save_png
from tdgan_jax.reports.report import write_report
from tdgan_jax.runs.checkpoints import Checkpoints, check_place, folder_bytes, state_bytes
from tdgan_jax.runs.folder import (
    BEGINNING_FILE,
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    REPORT_FILE,
    RESULT_FILE,
    check_writable_with_space,
    environment,
)
from tdgan_jax.runs.small_files import read_small_file
from tdgan_jax.steps.parallel import check_batch_size, connect, make_mesh
from tdgan_jax.training.checks import check_values
from tdgan_jax.training.data import TrainingData, load_training_data

# Beside the state: the logs, sample sheets and the report.
SMALL_FILES_BYTES = 64 * 2**20


class Run(NamedTuple):
    """A run that may start: its values are checked, its data loaded.

    Attributes:
        config: The configuration.
        workdir: The run folder, which is there.
        data: What it reads.
        program: Its compiled functions.
        beginning: What a new run takes from its training examples; None: nothing, or it goes on.
    """

    config: Config
    workdir: Path
    data: TrainingData
    program: Program
    beginning: Beginning | None = None

    @property
    def mesh(self) -> Mesh:
        """The devices that it trains on."""
        return self.program.mesh


def finished_result(workdir: Path) -> dict[str, Any] | None:
    """The result of a finished run, whose report is written if it is missing; else None."""

    def read() -> dict[str, Any] | None:
        if not (workdir / RESULT_FILE).exists():
            return None
        result = read_small_file(workdir / RESULT_FILE, "finished result")
        if not (workdir / REPORT_FILE).exists():
            write_report([workdir])
        return result

    return on_first_process(read)


def open_run(
    config: Config, workdir: Path, *, program: Program | None = None, folds_after_it: int = 0
) -> Run:
    """Checks the values, loads the data and makes the folder.

    What the feed keeps is written too; the other processes read it.

    Args:
        config: A locked configuration; with folds, one that names a fold.
        workdir: The run folder, made if need be.
        program: Compiled functions of a run with the same settings; taken over if they fit.
        folds_after_it: Runs of the same size that will stay beside this one, for the disk space.

    Raises:
        UserError: If the run cannot be trained.
    """
    check_values(config)
    check_place(workdir)
    check_devices(config)
    mesh = make_mesh()
    check_batch_size(config.training.batch_size, mesh)
    connect(mesh)
    is_new = Checkpoints(workdir / CHECKPOINTS_FOLDER, read_only=True).latest_step() is None
    if is_new:
        check = family_named(config.family).check_given_weights
        all_or_none(partial(check, config, read_config))
    # The others read what the feed of process 0 has kept.
    run = in_turn(lambda: _open_run(config, workdir, mesh, program, folds_after_it, is_new))
    check_same_content(run.data.fingerprint)
    check_shared(workdir)
    return run


def _open_run(
    config: Config,
    workdir: Path,
    mesh: Mesh,
    program: Program | None,
    folds_after_it: int,
    is_new: bool,
) -> Run:
    data = load_training_data(config, cache=workdir)
    if program is None or not program.fits(data.names):
        program = make_program(config, mesh, data.names)
    begin = program.training.beginning
    beginning = begin(data.feed.expressions) if begin and is_new else None
    run = Run(config, workdir, data, program, beginning)
    if not is_first():
        return run
    state = jax.eval_shape(program.init_state, jax.random.key(0))
    needed = _bytes_to_come(state, workdir)
    needed += folds_after_it * (2 * state_bytes(state.parameters) + SMALL_FILES_BYTES)
    check_writable_with_space(workdir, needed)
    data.feed.save(workdir)
    return run


def describe_run(run: Run) -> None:
    """Writes what is trained where; the caller holds the lock of the folder."""
    write_json(run.workdir / CONFIG_FILE, to_json(run.config))
    write_json(run.workdir / ENVIRONMENT_FILE, environment(list(run.mesh.devices.flat)))
    if run.beginning is not None:
        write_json(run.workdir / BEGINNING_FILE, run.beginning.record)
    for name, (tiles, titles) in run.data.feed.pictures().items():
        save_png(sample_grid(tiles, titles=titles), run.workdir / f"{name}.png")


def _bytes_to_come(state: Any, workdir: Path) -> int:
    """What a run with this state will write beside what it has saved."""
    stored = folder_bytes(workdir / CHECKPOINTS_FOLDER)
    # The latest state and the best parameters of two selections, each beside its successor: a
    # whole state is two to three times its parameters.
    return max(5 * state_bytes(state) - stored, 2 * state_bytes(state)) + SMALL_FILES_BYTES
