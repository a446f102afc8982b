"""The one training loop: resume, step, log, evaluate, save, report.

The start order: a run folder that holds a checkpoint is resumed, otherwise training starts from
scratch. Every random draw is a function of the seed and the position, so that a resumed run ends
with the same parameters as an uninterrupted one.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tensorboardX import SummaryWriter
from tqdm import tqdm

from tdgan_jax.checkpoints import Checkpoints, folder_bytes, state_bytes
from tdgan_jax.configuration import Config, differences, flatten, to_json
from tdgan_jax.data.pipeline import PairBatch, training_batches
from tdgan_jax.data.training_data import TrainingData, load_training_data
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.recognition import predict_logits, recognition_figures
from tdgan_jax.evaluation.yardsticks import yardsticks
from tdgan_jax.run_folder import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    METRICS_FILE,
    REPORT_FILE,
    RESULT_FILE,
    MetricsLog,
    check_writable_with_space,
    environment,
    read_json,
    sample_path,
    write_json,
)
from tdgan_jax.steps.families import make_family
from tdgan_jax.steps.family import Family
from tdgan_jax.steps.parallel import (
    MAPPINGS,
    check_batch_size,
    make_mesh,
    parallel_eval_step,
    parallel_train_step,
    replicate,
    shard_batch,
)
from tdgan_jax.visualisation.grids import sample_grid, save_png
from tdgan_jax.visualisation.report import write_report

SELECTIONS = ("validation", "test")
NAME_FIELDS = ("expression_names", "identity_names")
SAMPLE_ROWS = 3
AT_LEAST_ONE = (
    "training.epochs",
    "training.batch_size",
    "evaluation.batch_size",
    "log.every_steps",
    "log.samples_every_steps",
    "log.checkpoint_every_steps",
)
# Beside the state: the logs, sample sheets and the report.
SMALL_FILES_BYTES = 64 * 2**20


class Interrupted(Exception):
    """The process was asked to stop; the state is saved."""


def train(config: Config, workdir: Path, *, show_progress: bool = True) -> dict[str, Any]:
    """Trains, or goes on with, the run in `workdir`; evaluates and writes the report.

    Args:
        config: A locked configuration.
        workdir: The run folder.
        show_progress: Whether to show a progress bar on stderr.

    Returns:
        The content of `result.json`.

    Raises:
        UserError: If the work cannot be done; the message says why.
        Interrupted: After SIGTERM, when the state is saved.
    """
    check_same_config(config, workdir)
    if (workdir / RESULT_FILE).exists():
        if not (workdir / REPORT_FILE).exists():
            write_report([workdir])
        return read_json(workdir / RESULT_FILE)
    check_values(config)
    mesh = make_mesh()
    check_batch_size(config.training.batch_size, mesh)
    data = load_training_data(config)
    family = make_family(config, data.identity_names, data.expression_names)
    init_key, step_key, sample_key = jax.random.split(jax.random.key(config.seed), 3)
    state = jax.jit(family.init_state)(init_key)
    # The latest state and its successor, and the best parameters of two selections.
    stored = folder_bytes(workdir / CHECKPOINTS_FOLDER)
    needed = max(5 * state_bytes(state) - stored, 2 * state_bytes(state))
    check_writable_with_space(workdir, needed + SMALL_FILES_BYTES)
    write_json(workdir / CONFIG_FILE, to_json(config))
    write_json(workdir / ENVIRONMENT_FILE, environment(list(mesh.devices.flat)))
    _say(f"{config.name}: {_describe(config, mesh, data)}", show_progress)

    state, progress = _run_epochs(
        config,
        workdir,
        mesh,
        data,
        family,
        replicate(state, mesh),
        (step_key, sample_key),
        show_progress,
    )
    result = _result(config, progress)
    if config.evaluation.yardsticks:
        _say("yardsticks: ridge regression, head on a frozen random encoder", show_progress)
        result["yardsticks"] = yardsticks(config, data, num_updates=int(state.step))
    write_json(workdir / RESULT_FILE, result)
    write_report([workdir])
    return result


def check_same_config(config: Config, workdir: Path) -> None:
    """Refuses to resume a run with another configuration.

    Raises:
        UsageError: If the folder holds a run of a different configuration; lists the fields.
    """
    if not (workdir / CONFIG_FILE).exists():
        return
    changed = differences(read_json(workdir / CONFIG_FILE), to_json(config))
    if changed:
        lines = "\n  ".join(changed)
        raise UsageError(
            f"{workdir} holds a run of another configuration (stored -> given):\n  {lines}\n"
            "give another --workdir or the same fields; nothing was changed"
        )


def check_values(config: Config) -> None:
    """Refuses values that no run can have, before anything is written.

    Raises:
        UsageError: If a field is out of range; the message names it.
    """
    fields = flatten(config)
    for field, known in (
        ("evaluation.selection", SELECTIONS),
        ("parallel.mapping", MAPPINGS),
        ("model.image_channels", (1, 3)),
    ):
        value = fields[field]
        if value not in known:
            raise UsageError(f"{field} is {value!r}; known: {', '.join(map(str, known))}")
    for field, value in fields.items():
        if isinstance(value, float) and not np.isfinite(value):
            raise UsageError(f"{field} must be finite, got {value}")
        if field in AT_LEAST_ONE and value < 1:
            raise UsageError(f"{field} must be at least 1, got {value}")
        if field == "seed" and value < 0:
            raise UsageError(f"seed must not be negative, got {value}")
        if field == "model.dropout_rate" and not 0 <= value < 1:
            raise UsageError(f"model.dropout_rate must be in [0, 1), got {value}")


def check_finite(parameters: Any, step: int) -> None:
    """Stops before parameters that are not finite are evaluated or saved.

    Raises:
        UserError: If any of them is not finite.
    """
    if not bool(_all_finite(parameters)):
        raise UserError(
            f"step {step}: the parameters are no longer finite; the last checkpoint is from "
            "before. Lower the learning rates"
        )


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def _run_epochs(
    config: Config,
    workdir: Path,
    mesh: Mesh,
    data: TrainingData,
    family: Family,
    state: Any,
    keys: tuple[jax.Array, jax.Array],
    show_progress: bool,
) -> tuple[Any, dict[str, Any]]:
    checkpoints = Checkpoints(workdir / CHECKPOINTS_FOLDER)
    progress: dict[str, Any] = {
        "step": 0,
        "seconds": 0.0,
        "expression_names": list(data.expression_names),
        "identity_names": list(data.identity_names),
        "by_selection": {},
    }
    if checkpoints.latest_step() is not None:
        state, restored = checkpoints.restore_latest(state)
        check_same_labels(restored, progress)
        progress = restored
    log = MetricsLog(workdir / METRICS_FILE)
    log.truncate_after(progress["step"] if progress["step"] else -1)

    feed, steps_per_epoch = data.feed, data.feed.steps_per_epoch
    last_step = config.training.epochs * steps_per_epoch
    step_key, sample_key = keys
    compiled_step = cache(
        lambda updates: parallel_train_step(
            partial(family.train_step, updates), mesh, mapping=config.parallel.mapping
        )
    )
    eval_step = parallel_eval_step(family.eval_step, mesh)
    sample_step = jax.jit(family.sample_step)
    sample_batch = _first_rows(next(training_batches(feed, epoch=0)))
    started = time.monotonic() - progress["seconds"]
    window: list[tuple[int, dict[str, jax.Array]]] = []
    window_started = time.monotonic()

    with (
        _stop_requests() as stop_requested,
        SummaryWriter(str(workdir), purge_step=progress["step"] + 1) as board,
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
            for step_in_epoch, batch in enumerate(
                training_batches(feed, epoch, first_step), start=first_step
            ):
                step = epoch * steps_per_epoch + step_in_epoch + 1
                updates = family.updates_due(step - 1, step_in_epoch)
                state, metrics = compiled_step(updates)(state, shard_batch(batch, mesh), step_key)
                window.append((step, metrics))
                end_of_epoch = step_in_epoch + 1 == steps_per_epoch
                stopping = bool(stop_requested) and step < last_step
                due = step % config.log.checkpoint_every_steps == 0
                save = end_of_epoch or due or stopping

                if step % config.log.every_steps == 0 or save:
                    record = {"step": step, "epoch": epoch, **_fetch(window)}
                    check_finite(state.parameters, step)
                    seconds = time.monotonic() - window_started
                    record["images_per_second"] = len(window) * feed.batch_size / seconds
                    if end_of_epoch:
                        record["evaluation"] = _evaluate(
                            config, mesh, data, family, eval_step, state.parameters
                        )
                    log.append(record)
                    _log_to_board(board, record)
                    bar.set_postfix_str(_summary(family, record))
                    window = []
                if step_in_epoch % config.log.samples_every_steps == 0 or step == last_step:
                    columns = jax.device_get(
                        sample_step(state.parameters, sample_batch, sample_key)
                    )
                    grid = sample_grid(
                        [columns[title] for title in family.sample_columns],
                        max_rows=SAMPLE_ROWS,
                        titles=family.sample_columns,
                    )
                    save_png(grid, sample_path(workdir, epoch, step))
                if save:
                    progress = progress | {"step": step, "seconds": time.monotonic() - started}
                    if end_of_epoch:
                        progress = _select(family, checkpoints, state, progress, epoch, record)
                    checkpoints.save_latest(step, state, progress)
                bar.update()
                if not window:  # saving and drawing are not the step's time
                    window_started = time.monotonic()
                if stopping:
                    raise Interrupted(f"stopped after step {step} of {last_step}; state saved")
    return state, progress


def check_same_labels(stored: dict[str, Any], current: dict[str, Any]) -> None:
    """Refuses a dataset whose classes or people are not those of the checkpoint.

    Raises:
        UserError: If names or their order differ.
    """
    for field in NAME_FIELDS:
        if stored[field] != current[field]:
            raise UserError(
                f"the checkpoint's {field} {stored[field]} are not the dataset's {current[field]}"
            )


def _fetch(window: list[tuple[int, dict[str, jax.Array]]]) -> dict[str, dict[str, float]]:
    """Means over the steps since the last record of what each step reports."""
    values: dict[str, list[float]] = {}
    for step, metrics in jax.device_get(window):
        for name, value in metrics.items():
            if not np.isfinite(value):
                raise UserError(
                    f"step {step}: {name} is {value}; the last checkpoint is from before. Lower "
                    "the learning rates or look at metrics.jsonl for what grew"
                )
            values.setdefault(name, []).append(float(value))
    return {"losses": {name: float(np.mean(series)) for name, series in sorted(values.items())}}


def _evaluate(
    config: Config,
    mesh: Mesh,
    data: TrainingData,
    family: Family,
    eval_step: Any,
    parameters: Any,
) -> dict[str, dict[str, Any]]:
    figures = {}
    for split, examples in (("validation", data.validation), ("test", data.test)):
        logits = predict_logits(
            eval_step,
            family.recognisers,
            parameters,
            examples,
            batch_size=config.evaluation.batch_size,
            mesh=mesh,
        )
        figures[split] = recognition_figures(logits, examples, data.expression_names)
    return figures


def _select(
    family: Family,
    checkpoints: Checkpoints,
    state: Any,
    progress: dict[str, Any],
    epoch: int,
    record: dict[str, Any],
) -> dict[str, Any]:
    """Keeps this epoch's parameters where a selection prefers them; ties keep the earlier ones."""
    chooser = family.recognisers[0]
    entry = record["evaluation"]["test"] | {
        "step": record["step"],
        "epoch": epoch,
        "validation_accuracy": record["evaluation"]["validation"][chooser]["accuracy"],
    }
    chosen = progress["by_selection"] | {"last": entry}
    for selection in SELECTIONS:
        score = record["evaluation"][selection][chooser]["accuracy"]
        best = chosen.get(selection)
        if best is None or score > best["score"]:
            chosen[selection] = entry | {"score": score, "optimistic": selection == "test"}
            names = {field: progress[field] for field in NAME_FIELDS}
            checkpoints.save_best(selection, record["step"], state.parameters, names)
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


def _first_rows(batch: PairBatch) -> PairBatch:
    return PairBatch(*(values[:SAMPLE_ROWS] for values in batch))


def _describe(config: Config, mesh: Mesh, data: TrainingData) -> str:
    feed = data.feed
    return (
        f"{len(feed.expressions.files)} expression images, {len(feed.faces.files)} faces of "
        f"{len(data.identity_names)} people, {len(data.validation.files)} for validation, "
        f"{len(data.test.files)} for the test; {feed.steps_per_epoch} steps an epoch; "
        f"batch {feed.batch_size} = {mesh.size} x {feed.batch_size // mesh.size} on "
        f"{mesh.devices.flat[0].device_kind} ({config.parallel.mapping}, float32)"
    )


def _summary(family: Family, record: dict[str, Any]) -> str:
    losses = record["losses"]
    parts = [f"{record['images_per_second']:.1f} images/s"]
    parts += [
        f"{name}={losses[name]:.2f}" for name in ("generator", "expression_head") if name in losses
    ]
    if "evaluation" in record:
        figures = record["evaluation"]["validation"][family.recognisers[0]]
        parts.append(f"validation {figures['accuracy']:.3f}")
    return " ".join(parts)


def _log_to_board(board: SummaryWriter, record: dict[str, Any]) -> None:
    step = record["step"]
    board.add_scalar("images_per_second", record["images_per_second"], step)
    for name, value in record["losses"].items():
        board.add_scalar(f"losses/{name}", value, step)
    for split, recognisers in record.get("evaluation", {}).items():
        for recogniser, figures in recognisers.items():
            board.add_scalar(f"{split}/{recogniser}_accuracy", figures["accuracy"], step)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collects SIGTERM instead of dying of it; the loop looks after each step."""
    requests: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: requests.append(number))
    try:
        yield requests
    finally:
        signal.signal(signal.SIGTERM, previous)


def _say(text: str, show_progress: bool) -> None:
    if show_progress:
        tqdm.write(text)
