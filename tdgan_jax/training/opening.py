"""Before the first step: the checks of a run, its data, and what is to be trained where.

What can be refused is refused by `open_run`. Who trains then holds the folder, and `describe_run`
writes what and where.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tdgan_jax.configuration import Config, to_json
from tdgan_jax.data.training_data import TrainingData, load_training_data
from tdgan_jax.families.ifgan.average_feed import AverageFaceFeed
from tdgan_jax.families.ifgan.average_identity import AverageFaces, save_average_faces
from tdgan_jax.families.program import Program, make_program
from tdgan_jax.families.tdgan.first_weights import check_classifier_run
from tdgan_jax.processes.membership import all_or_none, from_first, in_turn, is_first
from tdgan_jax.processes.start_checks import check_devices, check_same_content, check_shared
from tdgan_jax.reports.grids import sample_grid, save_png
from tdgan_jax.reports.report import write_report
from tdgan_jax.runs.checkpoints import Checkpoints, folder_bytes, state_bytes
from tdgan_jax.runs.folder import (
    AVERAGE_FACES_FILE,
    AVERAGE_FACES_SHEET,
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    REPORT_FILE,
    RESULT_FILE,
    check_writable_with_space,
    environment,
    read_json,
    write_json,
)
from tdgan_jax.steps.parallel import check_batch_size, connect, make_mesh
from tdgan_jax.training.checks import check_given_weights, check_same_config, check_values
from tdgan_jax.training.run_place import Place, alone_on

# Beside the state: the logs, sample sheets and the report.
SMALL_FILES_BYTES = 64 * 2**20


class Run(NamedTuple):
    """A run that may start: its values are checked, its data loaded.

    Attributes:
        config: The configuration.
        workdir: The run folder, which is there.
        data: What it reads.
        program: Its compiled functions.
        place: What it has of its process.
    """

    config: Config
    workdir: Path
    data: TrainingData
    program: Program
    place: Place


def finished_result(workdir: Path) -> dict[str, Any] | None:
    """The result of a finished run, whose report is written if it is missing; else None."""

    def read() -> dict[str, Any] | None:
        if not (workdir / RESULT_FILE).exists():
            return None
        if not (workdir / REPORT_FILE).exists():
            write_report([workdir])
        return read_json(workdir / RESULT_FILE)

    return from_first(read)


def open_run(
    config: Config,
    workdir: Path,
    *,
    place: Place | None = None,
    program: Program | None = None,
    folds_after_it: int = 0,
    folds_beside_it: Sequence[Path] = (),
) -> Run:
    """Checks the values, loads the data and makes the folder.

    Of IF-GAN the average faces are written too, which the other processes read.

    Args:
        config: A locked configuration; with folds, one that names a fold.
        workdir: The run folder, made if need be.
        place: What it has of its process; everything by default.
        program: Compiled functions of a run with the same settings; taken over if they fit.
        folds_after_it: Runs of the same size that will stay beside this one, for the disk space.
        folds_beside_it: Folders of such runs that train at the same time, for the same.

    Raises:
        UserError: If the run cannot be trained.
    """
    check_values(config)
    check_devices(config)
    place = place or alone_on(make_mesh())
    check_batch_size(config.training.batch_size, place.mesh)
    connect(place.mesh)
    if Checkpoints(workdir / CHECKPOINTS_FOLDER, read_only=True).latest_step() is None:
        all_or_none(partial(check_given_weights, config))
        all_or_none(partial(check_classifier_run, config))
    # The others read the average faces that process 0 has made.
    run = in_turn(
        lambda: _open_run(config, workdir, place, program, folds_after_it, folds_beside_it)
    )
    check_same_content(run.data.fingerprint)
    check_shared(workdir)
    return run


def _open_run(
    config: Config,
    workdir: Path,
    place: Place,
    program: Program | None,
    folds_after_it: int,
    folds_beside_it: Sequence[Path],
) -> Run:
    data = load_training_data(config, cache=workdir)
    if program is None or not program.fits(data.identity_names, data.expression_names):
        program = make_program(
            config,
            place.mesh,
            data.identity_names,
            data.expression_names,
            place.devices_at_once,
        )
    run = Run(config, workdir, data, program, place)
    if not is_first():
        return run
    state = jax.eval_shape(program.init_state, jax.random.key(0))
    needed = sum(_bytes_to_come(state, folder) for folder in (workdir, *folds_beside_it))
    needed += folds_after_it * (2 * state_bytes(state.parameters) + SMALL_FILES_BYTES)
    check_writable_with_space(workdir, needed)
    if isinstance(data.feed, AverageFaceFeed):
        save_average_faces(data.feed.average_faces, workdir / AVERAGE_FACES_FILE)
    return run


def describe_run(run: Run) -> None:
    """Writes what is trained where; whoever calls it holds the folder.

    Raises:
        UsageError: If another configuration has come into the folder since the run was opened.
    """
    check_same_config(run.config, run.workdir)
    write_json(run.workdir / CONFIG_FILE, to_json(run.config))
    write_json(run.workdir / ENVIRONMENT_FILE, environment(list(run.program.mesh.devices.flat)))
    if isinstance(run.data.feed, AverageFaceFeed):
        _draw_average_faces(run.data.feed.average_faces, run.workdir / AVERAGE_FACES_SHEET)


def _bytes_to_come(state: Any, workdir: Path) -> int:
    """What a run with this state will write beside what it has saved."""
    stored = folder_bytes(workdir / CHECKPOINTS_FOLDER)
    # The latest state and the best parameters of two selections, each beside its successor: a
    # whole state is two to three times its parameters.
    return max(5 * state_bytes(state) - stored, 2 * state_bytes(state)) + SMALL_FILES_BYTES


def _draw_average_faces(faces: AverageFaces, path: Path) -> None:
    """Saves a picture of IF-GAN's targets for the report."""
    present = [i for i, count in enumerate(faces.counts) if count]
    tiles = [faces.images[i : i + 1].astype(np.float32) / 255 for i in present]
    sheet = sample_grid(tiles, titles=[faces.names[i] for i in present])
    save_png(sheet, path)
