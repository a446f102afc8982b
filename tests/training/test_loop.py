"""The real program on the tiny configuration: straight, killed, stopped, resumed, evaluated."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UserError
from tdgan_jax.families.family import Names
from tdgan_jax.families.program import make_training
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import read_metrics
from tdgan_jax.training.checks import DATA_FIELDS
from tdgan_jax.training.loop import _select
from tdgan_jax.training.records import mean_metrics

ROOT = Path(__file__).parents[2]
CONFIG = "configs/tdgan_synthetic.py:tiny"


@pytest.fixture(scope="module")
def environment(drawn_datasets, tmp_path_factory) -> dict[str, str]:
    """As many devices as a user has; compiled steps are shared by the processes of this module."""
    cache = tmp_path_factory.mktemp("compiled")
    return os.environ | {
        "TFDS_DATA_DIR": str(drawn_datasets),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }


def launch(workdir: Path, *more: str, config: str = CONFIG) -> list[str]:
    return [sys.executable, "launch.py", "--config", config, "--workdir", str(workdir), *more]


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def straight_run(environment, tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    done = run(launch(workdir), environment)
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout
    return workdir


def last_parameters(workdir: Path) -> list[np.ndarray]:
    checkpoints = Checkpoints(workdir / "checkpoints")
    result = json.loads((workdir / "result.json").read_text())
    names = checkpoints.best_progress("validation")
    family = make_training(
        load_config(CONFIG),
        Names(tuple(names["identity_names"]), tuple(names["expression_names"])),
    )
    template = jax.jit(family.init_state)(jax.random.key(0))
    state, progress = checkpoints.restore_latest(template)
    assert progress["step"] == int(state.step) == result["steps"]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def test_a_run_leaves_the_documented_files(straight_run):
    files = {path.name for path in straight_run.iterdir()}
    documented = "config.json environment.json metrics.jsonl samples checkpoints result.json"
    assert {*documented.split(), "report.html"} <= files
    result = json.loads((straight_run / "result.json").read_text())
    for recogniser in ("expression_module", "expression_discriminator"):
        assert 0 <= result[recogniser]["accuracy"] <= 1
        assert result[recogniser]["num_examples"] == 45
        assert len(result[recogniser]["labels"]) == 7
    assert result["selected_on"] == "validation"
    assert set(result["by_selection"]) == {"last", "validation", "test"}
    assert result["by_selection"]["test"]["optimistic"]
    assert set(result["yardsticks"]) == {"ridge_regression_on_pixels", "frozen_random_encoder"}
    records = read_metrics(straight_run / "metrics.jsonl")
    assert [r["epoch"] for r in records if "evaluation" in r] == [0, 1]
    assert records[-1]["step"] == result["steps"]


def test_a_finished_run_prints_its_result_and_does_nothing_else(straight_run, environment):
    before = {path: path.stat().st_mtime_ns for path in straight_run.rglob("*")}
    done = run(launch(straight_run), environment)
    assert done.returncode == 0
    assert "expression module" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in straight_run.rglob("*")} == before


def start_and_wait_for_step(workdir: Path, step: int, environment) -> subprocess.Popen:
    process = subprocess.Popen(
        launch(workdir), cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        records = read_metrics(workdir / "metrics.jsonl")
        if records and records[-1]["step"] >= step:
            return process
        time.sleep(0.005)
    process.kill()
    raise AssertionError(f"step {step} never came: {process.communicate()[1]}")


def test_a_killed_run_goes_on_to_bit_identical_parameters(straight_run, environment, tmp_path):
    workdir = tmp_path / "killed"
    process = start_and_wait_for_step(workdir, 9, environment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (workdir / "result.json").exists()
    # What a write that the kill cut short would leave.
    with open(workdir / "metrics.jsonl", "a") as file:
        file.write('{"step": 1000, "los')
    resumed_from = Checkpoints(workdir / "checkpoints", read_only=True).latest_step()
    assert resumed_from and resumed_from % 28, "the kill was to come in the middle of an epoch"
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    kept = [line for line in lines[:-1] if json.loads(line)["step"] <= resumed_from]
    done = run(launch(workdir), environment)
    assert done.returncode == 0, done.stderr
    # Their speeds would differ if the run had begun anew.
    assert (workdir / "metrics.jsonl").read_text().splitlines()[: len(kept)] == kept
    for ours, theirs in zip(last_parameters(workdir), last_parameters(straight_run), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    steps = [
        json.loads(line)["step"] for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(set(steps))
    assert steps == [r["step"] for r in read_metrics(straight_run / "metrics.jsonl")]


def test_sigterm_saves_the_state_and_exits_with_143(environment, tmp_path):
    workdir = tmp_path / "stopped"
    process = start_and_wait_for_step(workdir, 3, environment)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "state saved" in errors
    stopped_after = int(errors.split("stopped after step ")[1].split()[0])
    assert Checkpoints(workdir / "checkpoints").latest_step() == stopped_after

    config = (workdir / "config.json").read_text()
    done = run(launch(workdir, "--config.training.epochs=7"), environment)
    assert done.returncode == 2
    assert "training.epochs: 2 -> 7" in done.stderr
    assert "Traceback" not in done.stderr
    assert (workdir / "config.json").read_text() == config
    assert Checkpoints(workdir / "checkpoints").latest_step() == stopped_after


def test_evaluate_recomputes_exactly_the_figures_of_the_result(straight_run, environment):
    command = [sys.executable, "-m", "tdgan_jax", "evaluate", str(straight_run), "--json"]
    done = run(command, environment)
    assert done.returncode == 0, done.stderr
    result = json.loads((straight_run / "result.json").read_text())
    recomputed = json.loads(done.stdout)
    assert set(recomputed) == {"expression_module", "expression_discriminator"}
    for recogniser, figures in recomputed.items():
        assert figures == result[recogniser]


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_name():
    window = [(11, {"generator": np.float32(1.0)}), (12, {"generator": np.float32(np.nan)})]
    with pytest.raises(UserError, match="step 12: generator is nan"):
        mean_metrics(window)


def test_without_a_validation_part_the_test_split_alone_chooses():
    saved = []
    checkpoints = SimpleNamespace(save_best=lambda selection, **_: saved.append(selection))
    training = SimpleNamespace(recognisers=("expression_module",), stages=())
    state = SimpleNamespace(parameters={})
    progress = {"by_selection": {}, **dict.fromkeys(DATA_FIELDS)}

    def run_selected_on(selection):
        config = load_config(CONFIG, [f"evaluation.selection={selection}"])
        return SimpleNamespace(config=config, program=SimpleNamespace(training=training))

    for step, accuracy in ((5, 0.4), (10, 0.3)):
        figures = {"expression_module": {"accuracy": accuracy}}
        record = {"step": step, "evaluation": {"test": figures}}
        progress = _select(
            run_selected_on("test"), checkpoints, state, progress, step // 5 - 1, record
        )
    assert saved == ["test"]
    chosen = progress["by_selection"]
    assert {name: entry["step"] for name, entry in chosen.items()} == {"last": 10, "test": 5}
    assert chosen["test"]["optimistic"]
    _select(run_selected_on("last"), checkpoints, state, progress, 2, record)
    assert saved == ["test", "last"]  # though it is worse than what the test split chose


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--config.training.epoch=3"], 2, "did you mean 'training.epochs'"),
        (["--config.training.epochs=many"], 2, "'training.epochs' is a int (2), got 'many'"),
        (["--config.training.epochs=2.5"], 2, "'training.epochs' is a int (2), got '2.5'"),
        (["--confg.seed=1"], 2, "unrecognized argument --confg.seed=1"),
        (["--config.parallel.mapping=xmap"], 2, "known: shard_map, pmap"),
        (["--config.evaluation.selection=train"], 2, "known: validation, test"),
        (["--config.model.image_size_px=40"], 2, "multiple of 16"),
        (["--config.training.batch_size=0"], 2, "training.batch_size must be at least 1, got 0"),
        (["--config.learning_rate.decoder=NaN"], 2, "learning_rate.decoder must be finite"),
        (["--config.seed=-1"], 2, "seed must not be negative"),
        (["--config.data.fold=2"], 2, "data.fold=2 is not one of the 0 folds"),
        (["--config.data.num_folds=10"], 2, "train_split and test_split must be empty"),
        (["--config.data.faces.split=nobody"], 1, "has no split 'nobody'"),
    ],
)
def test_a_wrong_command_is_answered_in_one_line(environment, tmp_path, arguments, code, words):
    done = run(launch(tmp_path / "run", *arguments), environment)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("configs/tdgan_sintetic.py", "did you mean configs/tdgan_synthetic.py?"),
        ("configs/tdgan_synthetic.py:tiney", "unknown variant 'tiney'; did you mean 'tiny'?"),
    ],
)
def test_an_unknown_configuration_names_the_nearest(environment, tmp_path, config, words):
    done = run(launch(tmp_path / "run", config=config), environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_dataset_that_is_not_prepared_says_how_to_prepare_it(environment, tmp_path):
    command = launch(tmp_path / "run", config="configs/tdgan_fer2013.py:tiny")
    done = run(command, environment | {"TFDS_DATA_DIR": str(tmp_path / "empty")})
    assert done.returncode == 1
    assert "tdgan-jax prepare" in done.stderr
    assert len(done.stderr.strip().splitlines()) < 10
    assert "Traceback" not in done.stderr


def test_a_batch_that_the_devices_do_not_divide_names_both_numbers(environment, tmp_path):
    four = environment | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = run(launch(tmp_path / "run", "--config.training.batch_size=6"), four)
    assert done.returncode == 1
    assert "a batch of 6 cannot be divided among 4 devices" in done.stderr
