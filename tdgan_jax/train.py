"""The one training loop: resume, step, log, evaluate, save, report.

The start order: a run folder that holds a checkpoint is resumed, otherwise training starts from
the weights that the configuration names, otherwise from scratch. Every random draw is a function of
the seed and the position, so that a resumed run ends with the same parameters as an uninterrupted
one.
"""

import contextlib
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from tdgan_jax.checkpoints import Checkpoints, folder_bytes, state_bytes
from tdgan_jax.configuration import Config, to_json
from tdgan_jax.data.average_feed import AverageFaceFeed
from tdgan_jax.data.average_identity import AverageFaces, save_average_faces
from tdgan_jax.data.crops import crop_remarks
from tdgan_jax.data.training_data import TrainingData, load_training_data
from tdgan_jax.evaluation.recognition import predict_logits, recognition_figures
from tdgan_jax.evaluation.yardsticks import yardsticks
from tdgan_jax.first_weights import check_classifier_run, with_classifier_weights
from tdgan_jax.processes.membership import (
    all_or_none,
    from_first,
    in_turn,
    is_first,
    membership,
)
from tdgan_jax.processes.start_checks import check_devices, check_same_content, check_shared
from tdgan_jax.processes.stopping import Interrupted
from tdgan_jax.run_checks import (
    DATA_FIELDS,
    check_finite,
    check_given_weights,
    check_same_config,
    check_same_data,
    check_values,
)
from tdgan_jax.run_folder import (
    AVERAGE_FACES_FILE,
    AVERAGE_FACES_SHEET,
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    REPORT_FILE,
    RESULT_FILE,
    check_writable_with_space,
    environment,
    in_use_by_this_process,
    read_json,
    sample_path,
    write_json,
)
from tdgan_jax.run_place import Place, alone_on
from tdgan_jax.step_records import mean_metrics, one_line, records_of
from tdgan_jax.steps.family import Family
from tdgan_jax.steps.parallel import (
    check_batch_size,
    connect,
    make_mesh,
    own_copy,
    own_rows,
    replicate,
    shard_batch,
)
from tdgan_jax.steps.program import Program, make_program
from tdgan_jax.visualisation.grids import sample_grid, save_png
from tdgan_jax.visualisation.report import write_report

# Beside the state: the logs, sample sheets and the report.
SMALL_FILES_BYTES = 64 * 2**20


class Run(NamedTuple):
    """A run that may start: its values are checked, its data loaded.

    Attributes:
        config: The configuration.
        workdir: The run folder; it holds `config.json` and `environment.json`.
        data: What it reads.
        program: Its compiled functions.
        place: What it has of its process.
    """

    config: Config
    workdir: Path
    data: TrainingData
    program: Program
    place: Place


def train(config: Config, workdir: Path, *, show_progress: bool = True) -> dict[str, Any]:
    """Trains, or goes on with, the run in `workdir`; evaluates and writes the report.

    Args:
        config: A locked configuration; with folds, one that names a fold.
        workdir: The run folder.
        show_progress: Whether to show a progress bar on stderr.

    Returns:
        The content of `result.json`.

    Raises:
        UserError: If the work cannot be done; the message says why.
        Interrupted: After SIGTERM, when the state is saved.
    """
    from_first(partial(check_same_config, config, workdir))
    result = finished_result(workdir)
    if result is None:
        result = complete_run(open_run(config, workdir), show_progress=show_progress)
    return result


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
    """Checks the values, loads the data, and writes down what is to be trained where.

    Args:
        config: A locked configuration; with folds, one that names a fold.
        workdir: The run folder, made if need be.
        place: What it has of its process; everything by default.
        program: Compiled functions of a run with the same settings; taken over if they fit.
        folds_after_it: Runs of the same size that will stay beside this one, for the disk space.
        folds_beside_it: Folders of such runs that train at the same time, for the same.

    Raises:
        UserError: If the run cannot be trained; nothing is written then.
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
    write_json(workdir / CONFIG_FILE, to_json(config))
    write_json(workdir / ENVIRONMENT_FILE, environment(list(place.mesh.devices.flat)))
    if isinstance(data.feed, AverageFaceFeed):
        _write_average_faces(data.feed.average_faces, workdir)
    return run


def _bytes_to_come(state: Any, workdir: Path) -> int:
    """What a run with this state will write beside what it has saved."""
    # The latest state and its successor, and the best parameters of two selections.
    stored = folder_bytes(workdir / CHECKPOINTS_FOLDER)
    return max(5 * state_bytes(state) - stored, 2 * state_bytes(state)) + SMALL_FILES_BYTES


def complete_run(run: Run, *, show_progress: bool = True) -> dict[str, Any]:
    """Trains to the end, from the latest checkpoint if there is one; writes result and report.

    Returns:
        The content of `result.json`.

    Raises:
        UserError: If another process trains in the folder, or the work cannot be done; the message
            says why.
        Interrupted: After SIGTERM, when the state is saved.
    """
    with contextlib.ExitStack() as held:
        from_first(lambda: held.enter_context(in_use_by_this_process(run.workdir)))
        return _complete_run(run, show_progress and is_first())


def _complete_run(run: Run, show_progress: bool) -> dict[str, Any]:
    config, data = run.config, run.data
    say = partial(_say, run.place, show_progress)
    say(f"{config.name}: {_describe(run)}")
    for remark in crop_remarks(config):
        say(f"note: {remark}")
    state, progress = _run_epochs(run, show_progress)
    result = _result(config, progress)
    if config.data.num_folds:
        result["subjects"] = data.subjects

    def write() -> None:
        if config.evaluation.get("yardsticks"):
            say("yardsticks: ridge regression, head on a frozen random encoder")
            result["yardsticks"] = yardsticks(config, data, num_updates=int(state.step))
        write_json(run.workdir / RESULT_FILE, result)
        write_report([run.workdir])

    from_first(write)
    return result


def _run_epochs(run: Run, show_progress: bool) -> tuple[Any, dict[str, Any]]:
    config, data, program = run.config, run.data, run.program
    family = program.family
    init_key, *keys = jax.random.split(jax.random.key(config.seed), 3)
    state = replicate(program.init_state(init_key), program.mesh)
    checkpoints = Checkpoints(run.workdir / CHECKPOINTS_FOLDER)
    progress: dict[str, Any] = {
        "step": 0,
        "seconds": 0.0,
        "expression_names": list(data.expression_names),
        "identity_names": list(data.identity_names),
        "crop": None if data.crop is None else data.crop.as_json(),
        "data_fingerprint": data.fingerprint,
        "by_selection": {},
    }
    if checkpoints.latest_step() is not None:
        # Before the state, which would not have the shapes of another dataset's people.
        check_same_data(checkpoints.latest_progress(), progress)
        state, restored = checkpoints.restore_latest(state)
        progress |= restored
        _say(run.place, show_progress, f"going on after step {progress['step']}")
    elif family.with_given_weights is not None:
        state = replicate(family.with_given_weights(jax.device_get(state)), program.mesh)
    elif config.training.get("classifier_run"):
        taken = with_classifier_weights(
            config, data.expression_names, jax.device_get(state), program.mesh
        )
        state = replicate(taken, program.mesh)

    feed, steps_per_epoch = data.feed, data.feed.steps_per_epoch
    last_step = config.training.epochs * steps_per_epoch
    step_key, sample_key = keys
    rows = own_rows(feed.batch_size, program.mesh)
    sample_batch = next(feed.batches(epoch=0, rows=slice(family.sample_rows)))
    started = time.monotonic() - progress["seconds"]
    window: list[tuple[int, dict[str, jax.Array]]] = []
    window_started = time.monotonic()

    with (
        run.place.stop_requests() as stop_requested,
        records_of(run.workdir, last_step=progress["step"]) as write_record,
        tqdm(
            total=last_step,
            initial=progress["step"],
            disable=not show_progress or None,
            desc=run.place.name or None,
            position=run.place.bar_row,
            unit="step",
            dynamic_ncols=True,
        ) as bar,
    ):
        while progress["step"] < last_step:
            epoch, first_step = divmod(progress["step"], steps_per_epoch)
            for step_in_epoch, batch in enumerate(
                feed.batches(epoch, first_step, rows), start=first_step
            ):
                step = epoch * steps_per_epoch + step_in_epoch + 1
                updates = family.updates_due(step - 1, step_in_epoch)
                state, metrics = program.train_step(updates)(
                    state, shard_batch(batch, program.mesh), step_key
                )
                window.append((step, metrics))
                end_of_epoch = step_in_epoch + 1 == steps_per_epoch
                stopping = stop_requested() and step < last_step
                due = step % config.log.checkpoint_every_steps == 0
                save = end_of_epoch or due or stopping

                if step % config.log.every_steps == 0 or save:
                    record = {"step": step, "epoch": epoch, **mean_metrics(window)}
                    check_finite(state.parameters, step)
                    seconds = time.monotonic() - window_started
                    record["images_per_second"] = len(window) * feed.batch_size / seconds
                    if end_of_epoch:
                        record["evaluation"] = _evaluate(run, state.parameters)
                    write_record(record)
                    bar.set_postfix_str(one_line(family, record))
                    if end_of_epoch and bar.disable:  # what a log file gets instead of the bar
                        line = one_line(family, record)
                        _say(run.place, show_progress, f"step {step} of {last_step}: {line}")
                    window = []
                draw = step_in_epoch % config.log.samples_every_steps == 0 or step == last_step
                if draw and is_first():
                    jax.block_until_ready(metrics)
                    drawing_started = time.monotonic()
                    columns = jax.device_get(
                        program.sample_step(own_copy(state.parameters), sample_batch, sample_key)
                    )
                    grid = sample_grid(
                        [columns[title] for title in family.sample_columns],
                        max_rows=family.sample_rows,
                        titles=family.sample_columns,
                    )
                    save_png(grid, sample_path(run.workdir, epoch, step))
                    window_started += time.monotonic() - drawing_started
                if save:
                    progress = progress | {"step": step, "seconds": time.monotonic() - started}
                    if end_of_epoch:
                        progress = _select(
                            family,
                            checkpoints,
                            state,
                            progress,
                            epoch,
                            record,
                            selected_on=config.evaluation.selection,
                        )
                    checkpoints.save_latest(step, state, progress)
                bar.update()
                if not window:  # saving and drawing are not the step's time
                    window_started = time.monotonic()
                if stopping:
                    raise Interrupted(f"stopped after step {step} of {last_step}; state saved")
    return state, progress


def _evaluate(run: Run, parameters: Any) -> dict[str, dict[str, Any]]:
    figures = {}
    for split, examples in (("validation", run.data.validation), ("test", run.data.test)):
        if examples is None:
            continue
        logits = predict_logits(
            run.program.eval_step,
            run.program.family.recognisers,
            parameters,
            examples,
            batch_size=run.config.evaluation.batch_size,
            mesh=run.program.mesh,
        )
        figures[split] = recognition_figures(logits, examples, run.data.expression_names)
    return figures


def _select(
    family: Family,
    checkpoints: Checkpoints,
    state: Any,
    progress: dict[str, Any],
    epoch: int,
    record: dict[str, Any],
    *,
    selected_on: str,
) -> dict[str, Any]:
    """Keeps this epoch's parameters where a selection prefers them; ties keep the earlier ones."""
    evaluation, chooser = record["evaluation"], family.recognisers[0]
    entry = evaluation["test"] | {"step": record["step"], "epoch": epoch}
    if "validation" in evaluation:
        entry["validation_accuracy"] = evaluation["validation"][chooser]["accuracy"]
    chosen = progress["by_selection"] | {"last": entry}
    of_the_data = {field: progress[field] for field in DATA_FIELDS}
    if selected_on == "last":  # otherwise the whole state alone holds them
        checkpoints.save_best("last", record["step"], state.parameters, of_the_data)
    for selection, figures in evaluation.items():
        score = figures[chooser]["accuracy"]
        best = chosen.get(selection)
        if best is None or score > best["score"]:
            chosen[selection] = entry | {"score": score, "optimistic": selection == "test"}
            checkpoints.save_best(selection, record["step"], state.parameters, of_the_data)
    return progress | {"by_selection": chosen}


def _result(config: Config, progress: dict[str, Any]) -> dict[str, Any]:
    chosen = progress["by_selection"]
    return chosen[config.evaluation.selection] | {
        "selected_on": config.evaluation.selection,
        "seconds": progress["seconds"],
        "steps": progress["step"],
        "seed": config.seed,
        "by_selection": chosen,
    }


def _write_average_faces(faces: AverageFaces, workdir: Path) -> None:
    """Keeps IF-GAN's targets, and a picture of them for the report."""
    save_average_faces(faces, workdir / AVERAGE_FACES_FILE)
    present = [i for i, count in enumerate(faces.counts) if count]
    tiles = [faces.images[i : i + 1].astype(np.float32) / 255 for i in present]
    sheet = sample_grid(tiles, titles=[faces.names[i] for i in present])
    save_png(sheet, workdir / AVERAGE_FACES_SHEET)


def _describe(run: Run) -> str:
    feed, mesh = run.data.feed, run.program.mesh
    held_out = 0 if run.data.validation is None else len(run.data.validation.files)
    return (
        f"{feed.contents}, {held_out} for validation, "
        f"{len(run.data.test.files)} for the test; {feed.steps_per_epoch} steps an epoch; "
        f"batch {feed.batch_size} = {feed.batch_size // mesh.size} x {mesh.size} devices, mesh "
        f"{dict(mesh.shape)} of {membership().num_processes} process(es) on "
        f"{mesh.devices.flat[0].device_kind} ({run.config.parallel.mapping}, "
        f"{run.config.precision})"
    )


def _say(place: Place, show_progress: bool, text: str) -> None:
    if show_progress:
        tqdm.write(f"{place.name}: {text}" if place.name else text)
        sys.stdout.flush()  # a log file shows it at once
