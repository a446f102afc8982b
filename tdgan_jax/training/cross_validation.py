"""Cross-validation: a run for each fold, and what they give together.

The folds stand in `WORKDIR/fold_0`, `fold_1`, ..., each a run folder; `cross_validation.json` and
the report join them when all are finished. One process trains them one after the other, each on all
devices; single folds (`data.fold`) may run in several processes at once, and the last one to finish
joins them. A fold that was stopped goes on where it stood, finished ones are left alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tdgan_jax.configuration import Config, to_json
from tdgan_jax.data.folds import assert_disjoint, fold_name
from tdgan_jax.data.splits import ALL_FOLDS, with_fold
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.metrics import cross_validation_summary
from tdgan_jax.families.program import Program
from tdgan_jax.files import write_json
from tdgan_jax.processes.membership import on_first_process
from tdgan_jax.processes.stopping import Interrupted
from tdgan_jax.reports.report import write_report
from tdgan_jax.runs.checkpoints import Checkpoints, check_place
from tdgan_jax.runs.folder import (
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    CROSS_VALIDATION_FILE,
    ENVIRONMENT_FILE,
    REPORT_FILE,
    RESULT_FILE,
    environment,
)
from tdgan_jax.runs.small_files import read_small_file
from tdgan_jax.training.checks import check_same_config, check_values
from tdgan_jax.training.data import load_fold_subjects
from tdgan_jax.training.loop import complete_run
from tdgan_jax.training.opening import Run, finished_result, open_run


def cross_validate(
    config: Config, workdir: Path, *, show_progress: bool = True
) -> dict[str, Any] | None:
    """Trains, or goes on with, the folds of a configuration and summarises them.

    Args:
        config: A locked configuration with folds; `data.fold` names one of them or, with -1, all.
        workdir: The folder of the cross-validation.
        show_progress: Whether to show progress on stderr.

    Returns:
        The content of `cross_validation.json`; None as long as other folds are unfinished.

    Raises:
        UserError: If the work cannot be done, or the folds share a subject; the message says why.
        Interrupted: After SIGTERM, when the state is saved.
    """
    on_first_process(lambda: check_same_config(with_fold(config, ALL_FOLDS), workdir))
    check_values(config)
    check_place(workdir)
    if finished := on_first_process(lambda: _finished_summary(workdir)):
        return finished
    on_first_process(lambda: check_unchanged_folds(config, workdir))
    chosen = range(config.data.num_folds) if config.data.fold == ALL_FOLDS else [config.data.fold]
    unfinished = [fold for fold in unfinished_folds(config, workdir) if fold in chosen]
    if show_progress and len(chosen) > 1:
        tqdm.write(describe_folds(config, len(unfinished)))
    _train_in_turn(config, workdir, chosen, show_progress=show_progress)
    return on_first_process(lambda: _summary_so_far(config, workdir))


def describe_folds(config: Config, num_unfinished: int) -> str:
    """How many folds are trained, in words.

    Args:
        config: The configuration.
        num_unfinished: Folds without a result.
    """
    text = f"{config.data.num_folds} folds"
    if not num_unfinished:
        return f"{text}, all of them finished"
    if num_unfinished < config.data.num_folds:
        text += f", {num_unfinished} of them unfinished"
    return f"{text}, one after the other"


def _train_in_turn(
    config: Config, workdir: Path, folds: Sequence[int], *, show_progress: bool
) -> None:
    """Trains one fold after the other, each on all devices."""
    program = None
    for fold in folds:
        if show_progress:
            tqdm.write(f"{fold_name(fold)} ({fold + 1} of {config.data.num_folds})")
        run = _open_fold(config, workdir, fold, program, folds)
        program = run.program if run else program
        _complete_fold(workdir / fold_name(fold), run, show_progress=show_progress)
        del run  # with its data, before those of the next one are loaded


def _finished_summary(workdir: Path) -> dict[str, Any] | None:
    if not (workdir / CROSS_VALIDATION_FILE).exists():
        return None
    if not (workdir / REPORT_FILE).exists():
        write_report([workdir])
    return read_small_file(workdir / CROSS_VALIDATION_FILE, "finished cross-validation")


def _summary_so_far(config: Config, workdir: Path) -> dict[str, Any] | None:
    """Writes the report, and the summary if no fold is missing."""
    summary = None
    if not unfinished_folds(config, workdir):
        summary = summarise_folds(config, workdir)
        # That of some folds must not pass for the whole one if this process dies in between.
        (workdir / REPORT_FILE).unlink(missing_ok=True)
        write_json(workdir / CROSS_VALIDATION_FILE, summary)
    write_report([workdir])
    if summary is None and (workdir / CROSS_VALIDATION_FILE).exists():
        # Another process has finished the last fold meanwhile; its report may be overwritten.
        write_report([workdir])
    return summary


def unfinished_folds(config: Config, workdir: Path) -> list[int]:
    """The folds that have no result yet."""
    return [
        fold
        for fold in range(config.data.num_folds)
        if not (workdir / fold_name(fold) / RESULT_FILE).exists()
    ]


def check_unchanged_folds(config: Config, workdir: Path) -> None:
    """Makes sure that the folds share no subject and are those of the folds finished before.

    Raises:
        UserError: If the dataset was divided anew since, or a subject stands in two folds.
    """
    for name, subjects in load_fold_subjects(config).items():
        path = workdir / name / RESULT_FILE
        if (
            path.exists()
            and read_small_file(path, "result of a fold")["subjects"]["test"] != subjects
        ):
            raise UserError(
                f"{workdir / name} was tested on other subjects than {name} of the dataset "
                f"{config.data.expressions.dataset} has now: the dataset was built anew. Start "
                "over with another --workdir"
            )


def summarise_folds(config: Config, workdir: Path) -> dict[str, Any]:
    """Joins the results of all folds, as `cross_validation.json` holds them.

    Returns:
        `cross_validation_summary` of the configured selection and, below `by_selection`, of every
        one; `selected_on`, `validation` (the rule), `subjects` (by fold and part),
        `subjects_disjoint` (always true: otherwise there is no summary), `steps` and `seconds` of
        all folds together, and `seed`.

    Raises:
        UserError: If a subject stands in the test parts of two folds, or in two parts of one.
    """
    results = {
        name: read_small_file(workdir / name / RESULT_FILE, "result of a fold")
        for name in map(fold_name, range(config.data.num_folds))
    }
    subjects = {name: result["subjects"] for name, result in results.items()}
    for name, parts in subjects.items():
        assert_disjoint({f"{name}/{part}": people for part, people in parts.items()})
    assert_disjoint({f"{name}/test": parts["test"] for name, parts in subjects.items()})
    selections = next(iter(results.values()))["by_selection"]
    return cross_validation_summary(results) | {
        "selected_on": config.evaluation.selection,
        "by_selection": {
            selection: cross_validation_summary(
                {name: result["by_selection"][selection] for name, result in results.items()}
            )
            for selection in selections
        },
        "validation": config.data.validation,
        "subjects_disjoint": True,
        "subjects": subjects,
        "steps": sum(result["steps"] for result in results.values()),
        "seconds": sum(result["seconds"] for result in results.values()),
        "seed": config.seed,
    }


def _open_fold(
    config: Config, workdir: Path, fold: int, program: Program | None, chosen: Sequence[int]
) -> Run | None:
    """Opens the run of a fold; None if it is finished.

    Args:
        config: The configuration.
        workdir: The folder of the cross-validation.
        fold: Its number.
        program: Compiled functions of the fold before it, if there was one.
        chosen: The folds that this process trains.
    """
    of_fold, folder = with_fold(config, fold), workdir / fold_name(fold)
    on_first_process(lambda: check_same_config(of_fold, folder))
    if finished_result(folder) is not None:
        return None
    after = [other for other in unfinished_folds(config, workdir) if other > fold]
    with _naming(folder.name):
        run = open_run(
            of_fold, folder, program=program, folds_after_it=len(set(after).intersection(chosen))
        )
        on_first_process(lambda: _describe_all(of_fold, workdir, list(run.mesh.devices.flat)))
    return run


def _complete_fold(folder: Path, run: Run | None, *, show_progress: bool) -> None:
    """Brings the run of a fold to its end and drops its optimiser state."""
    if run is not None:
        with _naming(folder.name):
            complete_run(run, show_progress=show_progress)
    on_first_process(Checkpoints(folder / CHECKPOINTS_FOLDER).drop_latest)


@contextmanager
def _naming(fold: str) -> Iterator[None]:
    """Lets what ends a fold's run begin with its name."""
    try:
        yield
    except (UserError, Interrupted) as stop:
        raise type(stop)(f"{fold}: {stop}") from stop


def _describe_all(config: Config, workdir: Path, devices: Sequence[Any]) -> None:
    """Writes what is trained where for all folds.

    Args:
        config: Of one of them.
        workdir: The folder of the cross-validation.
        devices: Those that train.
    """
    if not (workdir / CONFIG_FILE).exists():
        write_json(workdir / CONFIG_FILE, to_json(with_fold(config, ALL_FOLDS)))
    write_json(workdir / ENVIRONMENT_FILE, environment(devices))
