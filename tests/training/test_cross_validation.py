"""The real program on three small folds: killed, resumed, one fold alone, evaluated."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from tdgan_jax.cli.evaluate import folds_table
from tdgan_jax.configuration import load_config, to_json
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.metrics import cross_validation_summary
from tdgan_jax.evaluation.runs import evaluate_folds
from tdgan_jax.families.family import Names
from tdgan_jax.families.program import make_training
from tdgan_jax.files import read_json, write_json
from tdgan_jax.processes.stopping import Interrupted
from tdgan_jax.runs.checkpoints import Checkpoints, state_bytes
from tdgan_jax.runs.folder import in_use_by_this_process, read_metrics
from tdgan_jax.training import cross_validation
from tdgan_jax.training import opening as run_opening
from tdgan_jax.training.cross_validation import (
    check_unchanged_folds,
    summarise_folds,
    unfinished_folds,
)
from tdgan_jax.training.loop import complete_run
from tests import small_folds
from tests.small_folds import FOLDS

pytestmark = pytest.mark.usefixtures("four_devices")

ROOT = Path(__file__).parents[2]
CONFIG = "configs/tdgan_yale.py:tiny"
# Without updates of the generator a step compiles in a third of the time; what it does to the
# generator when it is resumed is tested with the single run.
FIELDS = (
    *small_folds.FIELDS,
    "training.discriminator_warmup_steps=1000",
)
STEPS_A_FOLD = 12
# The program with the test's dataset among the known ones; runs the commands in a JSON list.
PROGRAM = """
import json, sys
import tdgan_jax.data_builders as data_builders
data_builders.__path__.append(sys.argv[1])
from tdgan_jax.cli.main import main
for command in json.loads(sys.argv[2]):
    if code := main(command):
        sys.exit(code)
"""


@pytest.fixture(scope="module")
def environment(drawn_folds, tmp_path_factory) -> dict[str, str]:
    """One device; compiled steps are shared by the processes of this module."""
    return os.environ | {
        "TFDS_DATA_DIR": str(drawn_folds),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }


def train(workdir: Path, *more: str) -> list[str]:
    fields = [f"--config.{field}" for field in (*FIELDS, *more)]
    return ["train", "--config", CONFIG, "--workdir", str(workdir), *fields]


def start(environment, *commands: list[str]) -> subprocess.Popen:
    builders = str(ROOT / "tests" / "datasets")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, builders, json.dumps(commands)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(process: subprocess.Popen, fold: Path, step: int) -> None:
    deadline = time.monotonic() + 1200  # against hanging only: machines differ
    while time.monotonic() < deadline and process.poll() is None:
        records = read_metrics(fold / "metrics.jsonl")
        if records and records[-1]["step"] >= step:
            return
        time.sleep(0.005)
    process.kill()
    raise AssertionError(f"step {step} of {fold} never came: {process.communicate()[1]}")


class Killed(NamedTuple):
    """A cross-validation that was killed in fold 1 and brought to its end by the same command."""

    workdir: Path
    untouched: bool  # fold 0, by the process that finished the others
    printed: str
    evaluated: dict[str, Any]
    fold_alone: Path  # a folder with fold 1 only, without a stop


@pytest.fixture(scope="module")
def killed(environment, tmp_path_factory) -> Killed:
    workdir, alone = (tmp_path_factory.mktemp("runs") / name for name in ("killed", "alone"))
    process = start(environment, train(workdir))
    wait_for_step(process, workdir / "fold_1", 9)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed_from = Checkpoints(workdir / "fold_1/checkpoints", read_only=True).latest_step()
    assert resumed_from and resumed_from < STEPS_A_FOLD, "the kill was to come within fold_1"
    assert not (workdir / "fold_2").exists() and not (workdir / "cross_validation.json").exists()
    before = modification_times(workdir / "fold_0")

    process = start(
        environment,
        train(workdir),
        ["evaluate", str(workdir), "--json"],
        train(alone, "data.fold=1"),
        train(workdir, "seed=1"),
    )
    out, errors = process.communicate()
    assert process.returncode == 2, errors
    assert "holds a run of another configuration" in errors and "seed: 0 -> 1" in errors
    assert "finished: fold_1; the other folds are still to be run" in out
    printed, _, rest = out.partition("report: ")
    untouched = modification_times(workdir / "fold_0") == before
    return Killed(workdir, untouched, printed, json.loads(rest.splitlines()[1]), alone)


def modification_times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def best_parameters(fold: Path, selection: str) -> list[np.ndarray]:
    checkpoints = Checkpoints(fold / "checkpoints", read_only=True)
    names = checkpoints.best_progress(selection)
    family = make_training(
        load_config(CONFIG),
        Names(tuple(names["identity_names"]), tuple(names["expression_names"])),
    )
    template = jax.eval_shape(family.init_state, jax.random.key(0)).parameters
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    template = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), template
    )
    tree = checkpoints.restore_best(selection, template)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_each_fold_is_a_run_and_all_together_have_a_summary_and_a_report(killed):
    workdir = killed.workdir
    documented = "config.json environment.json cross_validation.json report.html"
    assert {path.name for path in workdir.iterdir()} == {*FOLDS, *documented.split()}
    assert read_json(workdir / "config.json")["data"]["fold"] == -1
    results = {name: read_json(workdir / name / "result.json") for name in FOLDS}
    summary = read_json(workdir / "cross_validation.json")
    assert summary["selected_on"] == "validation" and summary["subjects_disjoint"] is True
    assert set(summary["by_selection"]) == {"last", "validation", "test"}
    for name, figures in cross_validation_summary(results).items():
        assert summary[name] == figures
    assert summary["expression_module"]["pooled"]["num_examples"] == 42
    for index, name in enumerate(FOLDS):
        assert read_json(workdir / name / "config.json")["data"]["fold"] == index
        assert results[name]["steps"] == STEPS_A_FOLD
        assert summary["subjects"][name]["test"] == [f"p{2 * index}", f"p{2 * index + 1}"]
        # The optimiser state is gone.
        kept = {path.name for path in (workdir / name / "checkpoints").iterdir()}
        assert kept == {"best_validation", "best_test"}


def test_the_result_is_printed(killed):
    mean = read_json(killed.workdir / "cross_validation.json")["expression_module"]["accuracy"]
    assert "3 folds, 36 steps" in killed.printed
    assert "selected on validation; no subject in two folds" in killed.printed
    assert f"{mean['mean']:.3f} ± {mean['standard_deviation']:.3f}, pooled" in killed.printed


def test_evaluate_recomputes_exactly_the_figures_of_all_folds(killed):
    summary = read_json(killed.workdir / "cross_validation.json")
    evaluated = killed.evaluated
    assert set(evaluated) == {"folds", "expression_module", "expression_discriminator"}
    for name, figures in evaluated.items():
        assert figures == summary[name]
    table = folds_table(evaluated).splitlines()
    assert len(table) == 2 * (1 + 3 + 3)
    assert table[6].split()[1] == f"{summary['expression_module']['accuracy']['pooled']:.4f}"


def test_evaluate_refuses_a_split_that_most_folds_were_trained_on(killed):
    with pytest.raises(UsageError, match="each fold of .* is evaluated on its own test part"):
        evaluate_folds(killed.workdir, split="fold_0")
    for name in ("drawn_folds", "drawn_folds/shared"):
        with pytest.raises(UsageError, match="is evaluated on its own test part"):
            evaluate_folds(killed.workdir, dataset=name, split="fold_0")


def test_evaluate_names_the_folds_that_are_not_there(killed, tmp_path):
    for part in ("config.json", "fold_1"):
        (tmp_path / part).symlink_to(killed.workdir / part)
    with pytest.raises(UserError, match=": fold_0, fold_2 not yet trained; train with"):
        evaluate_folds(tmp_path)


def test_a_killed_fold_goes_on_to_bit_identical_parameters(killed):
    assert killed.untouched, "fold_0 was finished"
    folders = [killed.workdir / "fold_1", killed.fold_alone / "fold_1"]
    for selection in ("validation", "test"):
        for ours, theirs in zip(*(best_parameters(f, selection) for f in folders), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    results = [read_json(folder / "result.json") | {"seconds": None} for folder in folders]
    assert results[0] == results[1]
    steps = [[r["step"] for r in read_metrics(folder / "metrics.jsonl")] for folder in folders]
    assert steps[0] == steps[1]


def test_sigterm_in_a_fold_names_it(monkeypatch, tmp_path):
    config = load_config(CONFIG, FIELDS)

    def stop(*_, **__):
        raise Interrupted("stopped after step 3 of 12; state saved")

    monkeypatch.setattr(cross_validation, "load_fold_subjects", lambda _: {})
    monkeypatch.setattr(cross_validation, "open_run", stop)
    with pytest.raises(Interrupted, match="fold_0: stopped after step 3 of 12"):
        cross_validation.cross_validate(config, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def test_the_report_of_some_folds_gives_way_to_that_of_all(monkeypatch, tmp_path):
    written = []

    def write_report(folders):
        # The process that finished the last fold is faster.
        write_json(tmp_path / "cross_validation.json", {})
        written.append(folders)

    monkeypatch.setattr(cross_validation, "load_fold_subjects", lambda _: {})
    monkeypatch.setattr(cross_validation, "_train_in_turn", lambda *_, **__: None)
    monkeypatch.setattr(cross_validation, "write_report", write_report)
    config = load_config(CONFIG, [*FIELDS, "data.fold=0"])
    assert cross_validation.cross_validate(config, tmp_path, show_progress=False) is None
    assert written == [[tmp_path], [tmp_path]]


def test_the_disk_must_hold_the_folds_that_are_still_to_come(drawn_folds, monkeypatch, tmp_path):
    needed = []
    monkeypatch.setattr(run_opening, "check_writable_with_space", lambda _, n: needed.append(n))
    config = load_config(CONFIG, [*FIELDS, f"data.directory={drawn_folds}", "data.fold=0"])
    run = run_opening.open_run(config, tmp_path / "run")
    again = run_opening.open_run(config, tmp_path / "run", program=run.program, folds_after_it=2)
    assert again.program is run.program
    shapes = jax.eval_shape(run.program.init_state, jax.random.key(0))
    best = 2 * state_bytes(shapes.parameters)
    assert needed[1] - needed[0] == 2 * (best + run_opening.SMALL_FILES_BYTES)


def test_who_does_not_hold_the_folder_writes_nothing_about_a_run(drawn_folds, tmp_path):
    config = load_config(CONFIG, [*FIELDS, f"data.directory={drawn_folds}", "data.fold=0"])
    run = run_opening.open_run(config, tmp_path)
    assert list(tmp_path.iterdir()) == []
    other = load_config(CONFIG, [*FIELDS, f"data.directory={drawn_folds}", "data.fold=1"])
    with in_use_by_this_process(tmp_path), pytest.raises(UserError, match="another process"):
        complete_run(run)
    assert list(tmp_path.iterdir()) == []
    # Another run has come in between opening and training.
    write_json(tmp_path / "config.json", to_json(other))
    with pytest.raises(UsageError, match="data.fold: 1 -> 0"):
        complete_run(run)
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    assert read_json(tmp_path / "config.json")["data"]["fold"] == 1


def test_a_dataset_that_was_divided_anew_is_noticed(killed, drawn_folds, tmp_path):
    config = load_config(CONFIG, [*FIELDS, f"data.directory={drawn_folds}"])
    assert unfinished_folds(config, killed.fold_alone) == [0, 2]
    check_unchanged_folds(config, killed.fold_alone)
    result = read_json(killed.fold_alone / "fold_1" / "result.json")
    result["subjects"]["test"] = ["p3", "p4"]
    write_json(tmp_path / "fold_1" / "result.json", result)
    with pytest.raises(UserError, match="the dataset was built anew"):
        check_unchanged_folds(config, tmp_path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"test": ["p1"], "training": ["p0"]}, "p1 stands in fold_0/test and in fold_1/test"),
        ({"training": ["p3"]}, "p3 stands in fold_1/training and in fold_1/test"),
        ({"validation": ["p2"]}, "p2 stands in fold_1/validation and in fold_1/test"),
    ],
)
def test_folds_that_share_a_subject_have_no_summary(killed, tmp_path, changed, words):
    config = load_config(CONFIG, FIELDS)
    for name in FOLDS:
        result = read_json(killed.workdir / name / "result.json")
        write_json(tmp_path / name / "result.json", result)
    assert summarise_folds(config, tmp_path)["subjects_disjoint"]
    result = read_json(tmp_path / "fold_1" / "result.json")
    result["subjects"] |= changed
    write_json(tmp_path / "fold_1" / "result.json", result)
    with pytest.raises(UserError, match=words):
        summarise_folds(config, tmp_path)
