"""The one training loop: resume, step, log, evaluate, save, report.

The start order: a run folder that holds a checkpoint is resumed, otherwise training starts from
the weights that the configuration names, otherwise from scratch. Every random draw is a function of
the seed and the position, so that a resumed run ends with the same parameters as an uninterrupted
one.
"""

import contextlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from tdgan_jax.configuration import Config
from tdgan_jax.data.crops import crop_remarks
from tdgan_jax.evaluation.recognition import predict_answers, recognition_figures
from tdgan_jax.evaluation.yardsticks import ridge_accuracy
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.families.family import Parts, Training
from tdgan_jax.families.known import family_named
from tdgan_jax.files import write_json
from tdgan_jax.processes.membership import is_first, membership, on_first_process
from tdgan_jax.processes.stopping import Interrupted, stop_requests
from tdgan_jax.reports.grids import sample_grid, save_png
from tdgan_jax.reports.report import write_report
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import (
    CHECKPOINTS_FOLDER,
    RESULT_FILE,
    in_use_by_this_process,
    sample_path,
)
from tdgan_jax.steps.parallel import (
    own_copy,
    replicate,
    replicated_shapes,
    rows_of_this_process,
    shard_batch,
)
from tdgan_jax.training.checks import (
    DATA_FIELDS,
    check_finite,
    check_progress,
    check_same_config,
    check_same_data,
)
from tdgan_jax.training.opening import Run, describe_run, finished_result, open_run
from tdgan_jax.training.records import mean_metrics, one_line, records_of
from tdgan_jax.training.selection import (
    is_of_earlier_stage,
    selection_score,
    stage_of,
    stage_slot,
    starts_stage,
)


def train(config: Config, workdir: Path, *, show_progress: bool = True) -> dict[str, Any]:
    """Trains, or goes on with, the run in `workdir`; evaluates and writes the report.

    Args:
        config: A locked configuration; with folds, one that names a fold.
        workdir: The run folder.
        show_progress: Whether to say on stdout what is done, and to show a progress bar on stderr.

    Returns:
        The content of `result.json`; the yardsticks in process 0 alone.

    Raises:
        UserError: If the work cannot be done; the message says why.
        Interrupted: After SIGTERM, when the state is saved.
    """
    on_first_process(partial(check_same_config, config, workdir))
    result = finished_result(workdir)
    if result is None:
        result = complete_run(open_run(config, workdir), show_progress=show_progress)
    return result


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
        on_first_process(lambda: held.enter_context(in_use_by_this_process(run.workdir)))
        # Whoever held it until now may have finished the run.
        if (result := finished_result(run.workdir)) is not None:
            return result
        # Another run may have come into the folder since this one was opened.
        on_first_process(partial(check_same_config, run.config, run.workdir))
        return _complete_run(run, show_progress and is_first())


def _complete_run(run: Run, show_progress: bool) -> dict[str, Any]:
    config, data = run.config, run.data
    say = partial(_say, show_progress)
    say(f"{config.name}: {_describe(run)}")
    for remark in crop_remarks(config):
        say(f"note: {remark}")
    checkpoints = Checkpoints(run.workdir / CHECKPOINTS_FOLDER)
    # Before the folder says what it holds: given weights that do not fit leave nothing behind.
    state, progress = _first_state(run, checkpoints)
    on_first_process(partial(describe_run, run))
    state, progress = _run_epochs(run, checkpoints, state, progress, show_progress)
    result = _result(config, progress)
    if config.data.num_folds:
        result["subjects"] = data.subjects

    def write() -> None:
        if config.evaluation.get("yardsticks"):
            say("yardsticks: ridge regression, head on a frozen random encoder")
            result["yardsticks"] = _yardsticks(run, num_updates=int(state.step))
        write_json(run.workdir / RESULT_FILE, result)
        write_report([run.workdir])

    on_first_process(write)
    return result


def _keys(config: Config) -> jax.Array:
    """The keys of the first state, of the steps and of the sample sheets, `[3]`."""
    return jax.random.split(jax.random.key(config.seed), 3)


def _first_state(run: Run, checkpoints: Checkpoints) -> tuple[Any, dict[str, Any]]:
    """The state and the progress that the loop begins with, in the module's start order."""
    data, program = run.data, run.program
    init_key, _, _ = _keys(run.config)
    state = replicate(program.init_state(init_key), program.mesh)
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
        remembered = checkpoints.latest_progress()
        check_progress(remembered)
        check_same_data(remembered, progress)
        state, restored = checkpoints.restore_latest(state)
        progress |= restored
    elif program.training.with_given_weights or run.beginning:
        state = jax.device_get(state)
        if program.training.with_given_weights:
            load = partial(open_model, mesh=program.mesh)
            state = program.training.with_given_weights(state, load)
        if run.beginning is not None:
            state = run.beginning.change(state)
        state = replicate(state, program.mesh)
    return state, progress


def _run_epochs(
    run: Run,
    checkpoints: Checkpoints,
    state: Any,
    progress: dict[str, Any],
    show_progress: bool,
) -> tuple[Any, dict[str, Any]]:
    config, data, program = run.config, run.data, run.program
    training = program.training
    _, step_key, sample_key = _keys(config)
    if progress["step"]:
        _say(show_progress, f"going on after step {progress['step']}")
    feed, steps_per_epoch = data.feed, data.feed.steps_per_epoch
    last_step = config.training.epochs * steps_per_epoch
    if progress["step"] < last_step:
        _say(show_progress, "compiling the first step; minutes for a large network the first time")
    rows = rows_of_this_process(feed.batch_size, program.mesh)
    sample_batch = next(feed.batches(epoch=0, rows=slice(training.sample_rows)))
    started = time.monotonic() - progress["seconds"]
    window: list[tuple[int, dict[str, jax.Array]]] = []
    window_started = time.monotonic()

    with (
        stop_requests() as stop_requested,
        records_of(run.workdir, last_step=progress["step"]) as write_record,
        tqdm(
            total=last_step,
            initial=progress["step"],
            disable=not show_progress or None,
            unit="step",
            dynamic_ncols=True,
        ) as bar,
    ):
        while progress["step"] < last_step:
            epoch, first_step = divmod(progress["step"], steps_per_epoch)
            if not first_step:
                state = _with_stage_begun(run, checkpoints, state, epoch, show_progress)
            for step_in_epoch, batch in enumerate(
                feed.batches(epoch, first_step, rows), start=first_step
            ):
                step = epoch * steps_per_epoch + step_in_epoch + 1
                updates = training.updates_due(step - 1, step_in_epoch, epoch)
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
                    bar.set_postfix_str(one_line(training, record))
                    if end_of_epoch and bar.disable:  # what a log file gets instead of the bar
                        line = one_line(training, record)
                        _say(show_progress, f"step {step} of {last_step}: {line}")
                    window = []
                draw = step_in_epoch % config.log.samples_every_steps == 0 or step == last_step
                if draw and is_first():
                    jax.block_until_ready(metrics)
                    drawing_started = time.monotonic()
                    columns = program.sample_step(
                        own_copy(state.parameters), sample_batch, sample_key
                    )
                    _save_samples(training, columns, sample_path(run.workdir, epoch, step))
                    window_started += time.monotonic() - drawing_started
                if save:
                    progress = progress | {"step": step, "seconds": time.monotonic() - started}
                    if end_of_epoch:
                        progress = _select(run, checkpoints, state, progress, epoch, record)
                    checkpoints.save_latest(step, state, progress)
                bar.update()
                if not window:  # saving and drawing are not the step's time
                    window_started = time.monotonic()
                if stopping:
                    raise Interrupted(f"stopped after step {step} of {last_step}; state saved")
    return state, progress


def _with_stage_begun(
    run: Run, checkpoints: Checkpoints, state: Any, epoch: int, show_progress: bool
) -> Any:
    """The state with which an epoch begins: where a stage begins, what that makes of it."""
    training, mesh = run.program.training, run.program.mesh
    if not training.stages or not starts_stage(training.stages, epoch):
        return state
    stage = stage_of(training.stages, epoch)
    name = f"{training.stages[stage].name} ({stage + 1} of {len(training.stages)})"
    _say(show_progress, f"stage: {name}")
    if not stage or training.begin_stage is None:
        return state
    shapes = replicated_shapes(jax.eval_shape(lambda: state.parameters), mesh)
    best = checkpoints.restore_best(stage_slot(stage - 1), shapes)
    on_first_process(partial(checkpoints.drop_best, stage_slot(stage - 2)))
    begun = training.begin_stage(jax.device_get(state), stage, jax.device_get(best))
    return replicate(begun, mesh)


def _yardsticks(run: Run, *, num_updates: int) -> dict[str, float]:
    """Test accuracies of simple classifiers by name."""
    parts = Parts(run.data.feed.expressions, run.data.validation, run.data.test)
    of_the_family = family_named(run.config.family).yardsticks(run.config, parts, num_updates)
    return {"ridge_regression_on_pixels": ridge_accuracy(parts.fit, parts.test)} | of_the_family


def _evaluate(run: Run, parameters: Any) -> dict[str, dict[str, Any]]:
    figures = {}
    for split, examples in (("validation", run.data.validation), ("test", run.data.test)):
        if examples is None:
            continue
        answers = predict_answers(
            run.program.eval_step,
            run.program.training.recognisers,
            parameters,
            examples,
            batch_size=run.config.evaluation.batch_size,
            mesh=run.program.mesh,
        )
        figures[split] = recognition_figures(answers, examples, run.data.expression_names)
    return figures


def _select(
    run: Run,
    checkpoints: Checkpoints,
    state: Any,
    progress: dict[str, Any],
    epoch: int,
    record: dict[str, Any],
) -> dict[str, Any]:
    """Keeps this epoch's parameters where a selection prefers them; ties keep the earlier ones.

    Of a training in stages the last one alone counts: before it the model is not whole.
    """
    evaluation, settings = record["evaluation"], run.config.evaluation
    stages = run.program.training.stages
    score = partial(selection_score, chooser=run.program.training.recognisers[0])
    entry = evaluation["test"] | {"step": record["step"], "epoch": epoch}
    if "validation" in evaluation:
        figures = evaluation["validation"]
        entry["validation_accuracy"] = score(figures, selected_by="accuracy")
    chosen = progress["by_selection"] | {"last": entry}
    of_the_data = {field: progress[field] for field in DATA_FIELDS}
    keep = partial(checkpoints.save_best, step=record["step"], parameters=state.parameters)
    if settings.selection == "last":  # otherwise the whole state alone holds them
        keep("last", progress=of_the_data)
    for selection, figures in evaluation.items():
        reached = score(figures, selected_by=settings.selected_by)
        best = chosen.get(selection)
        is_outdated = best is not None and is_of_earlier_stage(stages, best["epoch"], epoch)
        if best is None or is_outdated or reached > best["score"]:
            chosen[selection] = entry | {"score": reached, "optimistic": selection == "test"}
            keep(selection, progress=of_the_data)
    progress = progress | {"by_selection": chosen}
    if stages:
        stage = stage_of(stages, epoch)
        chooser = evaluation.get("validation")
        if chooser is None and settings.selection == "test":
            chooser = evaluation["test"]
        # Without a part to choose by, the last epoch of a stage: equal scores take the later one.
        reached = score(chooser, selected_by=settings.selected_by) if chooser else 0.0
        best = progress.get("best_of_stage")
        # As good as the best so far is better: it has learned longer (spec ESR A.7).
        if best is None or best["stage"] != stage or reached >= best["score"]:
            keep(stage_slot(stage), progress=of_the_data)
            progress["best_of_stage"] = {"stage": stage, "score": reached}
    return progress


def _result(config: Config, progress: dict[str, Any]) -> dict[str, Any]:
    chosen = progress["by_selection"]
    return chosen[config.evaluation.selection] | {
        "selected_on": config.evaluation.selection,
        "seconds": progress["seconds"],
        "steps": progress["step"],
        "seed": config.seed,
        "by_selection": chosen,
    }


def _save_samples(training: Training, columns: dict[str, jax.Array], path: Path) -> None:
    """Saves a sheet of samples."""
    grid = sample_grid(
        [np.asarray(columns[title]) for title in training.sample_columns],
        max_rows=training.sample_rows,
        titles=training.sample_columns,
    )
    save_png(grid, path)


def _describe(run: Run) -> str:
    feed, mesh = run.data.feed, run.program.mesh
    held_out = 0 if run.data.validation is None else len(run.data.validation.files)
    left_out = run.data.num_unlabelled
    without = f" ({left_out} without a label are left out)" if left_out else ""
    return (
        f"{feed.contents}{without}, {held_out} for validation, "
        f"{len(run.data.test.files)} for the test; {feed.steps_per_epoch} steps an epoch; "
        f"batch {feed.batch_size} = {feed.batch_size // mesh.size} x {mesh.size} devices, mesh "
        f"{dict(mesh.shape)} of {membership().num_processes} process(es) on "
        f"{mesh.devices.flat[0].device_kind} ({run.config.parallel.mapping}, "
        f"{run.config.precision})"
    )


def _say(show_progress: bool, text: str) -> None:
    if show_progress:
        tqdm.write(text)
        sys.stdout.flush()  # a log file shows it at once
