"""`launch.py` and `tdgan-jax train`: trains or resumes a run, evaluates, writes the report."""

import argparse
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tdgan_jax.cli.affect_lines import affect_lines
from tdgan_jax.cli.interruption import sigterm_cleans_up
from tdgan_jax.errors import UsageError
from tdgan_jax.printing import print_text
from tdgan_jax.processes.membership import in_turn, is_first, on_first_process, several

EXIT_STOPPED = 143  # 128 + SIGTERM
CACHE_FOLDER = "tdgan_jax"


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "train",
        help="train or resume a run, evaluate it, write the report",
        description="Trains what a configuration describes, or goes on with an unfinished run; of "
        "a configuration with folds all of them, or one.",
        epilog="example: tdgan-jax train --config configs/tdgan_synthetic.py "
        "--config.training.epochs=3\n"
        "one fold: tdgan-jax train --config configs/tdgan_yale.py --config.data.fold=3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `launch.py` and the command share."""
    parser.add_argument(
        "--config", required=True, metavar="FILE[:VARIANT]", help="configuration file"
    )
    parser.add_argument(
        "--workdir", type=Path, metavar="DIR", help="run folder (default: runs/NAME/seed_S)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, errors only")
    processes = parser.add_argument_group(
        "several processes",
        "found out under Slurm, Open MPI 4, Kubernetes and on TPU pods; otherwise give all three "
        "to each process (docs/clusters.md)",
    )
    processes.add_argument("--coordinator_address", metavar="HOST:PORT", help="of process 0")
    processes.add_argument(
        "--num_processes", type=int, metavar="N", help="how many; 1: this one alone, anywhere"
    )
    processes.add_argument("--process_id", type=int, metavar="I", help="which one, from 0")
    parser.set_defaults(takes_overrides=True, overrides=[])


def overrides_from(unknown: list[str]) -> list[str]:
    """Turns leftover arguments `--config.section.field=value` into overrides.

    Raises:
        UsageError: If one of them is something else.
    """
    prefix = "--config."
    for argument in unknown:
        if not argument.startswith(prefix):
            raise UsageError(f"unrecognized argument {argument}; see --help")
    return [argument.removeprefix(prefix) for argument in unknown]


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0 when the run is finished, 143 when it was asked to stop."""
    from tdgan_jax.configuration import load_config
    from tdgan_jax.processes.meeting import meet, meeting_from

    config = load_config(args.config, args.overrides)
    workdir = args.workdir or Path("runs") / config.name / f"seed_{config.seed}"
    meeting = meeting_from(args.coordinator_address, args.num_processes, args.process_id)
    if meeting is None:
        return _train(config, workdir, show_progress=not args.quiet)

    from tdgan_jax.processes.watching import run_watched

    def train_with_others(report_met: Callable[[], None]) -> int:
        meet(meeting, config.parallel)
        report_met()

        from tdgan_jax.processes.start_checks import check_alike, check_seen_alike
        from tdgan_jax.runs.folder import CONFIG_FILE

        check_alike(config)
        check_seen_alike(workdir / CONFIG_FILE)
        return _train(config, workdir, show_progress=not args.quiet and is_first())

    return run_watched(str(meeting), train_with_others)


def _train(config: Any, workdir: Path, *, show_progress: bool) -> int:
    from tdgan_jax.steps.parallel import use_cpu_devices

    use_compilation_cache()
    if not several() and not config.parallel.devices_per_process:
        use_cpu_devices(config.training.batch_size)

    # What is wrong with a configuration is said before the slow imports.
    from tdgan_jax.data.splits import ALL_FOLDS, with_fold
    from tdgan_jax.training.checks import check_same_config, check_values

    folds = config.data.num_folds
    check_values(config)
    on_first_process(
        lambda: check_same_config(with_fold(config, ALL_FOLDS) if folds else config, workdir)
    )

    from tdgan_jax.preparation.preparing import ensure_drawn_datasets
    from tdgan_jax.processes.stopping import Interrupted
    from tdgan_jax.training.cross_validation import cross_validate
    from tdgan_jax.training.loop import train

    try:
        # Of several processes JAX takes the signal, see `stop_requests`.
        with contextlib.nullcontext() if several() else sigterm_cleans_up():
            in_turn(lambda: ensure_drawn_datasets(config.data, show_progress=show_progress))
            if folds:
                joined = cross_validate(config, workdir, show_progress=show_progress)
                text = folds_summary(joined, workdir)
            else:
                text = summary(train(config, workdir, show_progress=show_progress), workdir)
    except Interrupted as stop:
        if is_first():
            print_text(f"{stop}; the same command goes on", aside=True)
        return EXIT_STOPPED
    except KeyboardInterrupt:
        if is_first():
            print_text("the same command goes on from the last checkpoint", aside=True)
        raise
    if show_progress:
        print_text(text)
    return 0


def use_compilation_cache() -> None:
    """Keeps compiled steps on disk, so that only the first run of a configuration compiles."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(base / CACHE_FOLDER / "compiled"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # The many small programs of a start take as long as a large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def summary(result: dict[str, Any], workdir: Path) -> str:
    """The result of a run in a few lines: accuracies with their intervals, and warnings."""
    from tdgan_jax.runs.folder import recognisers

    lines = [
        f"{result['steps']} steps in {result['seconds']:.0f} s; parameters of epoch "
        f"{result['epoch']} (the first is 0; selected on {_chooser(result)}); test accuracy:"
    ]
    named = recognisers(result)
    for name, figures in named.items():
        lines.append(_accuracy_line(name, f"{figures['accuracy']:.3f}{_interval(figures)}"))
        lines += [f"  {line}" for line in affect_lines(figures)]
    for name, accuracy in result.get("yardsticks", {}).items():
        lines.append(_accuracy_line(name, f"{accuracy:.3f}"))
    return "\n".join([*lines, *_warnings(named), f"report: {workdir / 'report.html'}"])


def folds_summary(joined: dict[str, Any] | None, workdir: Path) -> str:
    """The result of a cross-validation in a few lines; `joined` is None while folds are missing."""
    from tdgan_jax.runs.folder import RESULT_FILE, recognisers, sorted_by_number
    from tdgan_jax.runs.small_files import read_small_file

    report = f"report: {workdir / 'report.html'}"
    if joined is None:
        finished = sorted_by_number(path.parent for path in workdir.glob(f"fold_*/{RESULT_FILE}"))
        names = ", ".join(path.name for path in finished)
        figures = []
        for path in finished:
            result = read_small_file(path / RESULT_FILE, "result of a fold")
            for name, of_one in recognisers(result).items():
                accuracy = f"{of_one['accuracy']:.3f}{_interval(of_one)}"
                figures.append(_accuracy_line(f"{path.name}, {name}", accuracy))
        first = f"finished: {names}; the other folds are still to be run; test accuracy:"
        return "\n".join([first, *figures, report])
    lines = [
        f"{len(joined['folds'])} folds, {joined['steps']} steps in {joined['seconds']:.0f} s "
        f"(all folds added); parameters selected on {_chooser(joined)}; no subject in two folds; "
        "test accuracy:"
    ]
    pooled = {name: figures["pooled"] for name, figures in recognisers(joined).items()}
    for name, of_all in pooled.items():
        accuracy = joined[name]["accuracy"]
        spread = f"{accuracy['mean']:.3f} ± {accuracy['standard_deviation']:.3f}"
        lines.append(
            _accuracy_line(name, f"{spread}, pooled {accuracy['pooled']:.3f}{_interval(of_all)}")
        )
    return "\n".join([*lines, *_warnings(pooled), report])


def _accuracy_line(name: str, text: str) -> str:
    return f"  {name.replace('_', ' '):28s} {text}"


def _chooser(result: dict[str, Any]) -> str:
    optimistic = ", optimistic" if result["selected_on"] == "test" else ""
    return f"{result['selected_on']}{optimistic}"


def _interval(figures: dict[str, Any]) -> str:
    """The interval of an accuracy in brackets; empty where there is none."""
    interval = figures.get("accuracy_interval")
    if interval is None:
        return ""
    return (
        f" ({interval['low']:.3f} to {interval['high']:.3f}, {interval['confidence']:.0%} over "
        f"{interval['num_units']} {interval['unit']}s)"
    )


def _warnings(named: dict[str, dict[str, Any]]) -> list[str]:
    from tdgan_jax.evaluation.metrics import chance_warning

    return [
        f"warning: {name.replace('_', ' ')}: {text}"
        for name, figures in named.items()
        if (text := chance_warning(figures))
    ]
