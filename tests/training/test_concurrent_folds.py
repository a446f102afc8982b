"""Folds at the same time, one on each of two devices: stopped, resumed, against one at a time."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.families.program import Program
from tdgan_jax.processes.stopping import Interrupted
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import read_json, read_metrics, write_json
from tdgan_jax.steps.parallel import make_mesh
from tdgan_jax.training import checks as run_checks
from tdgan_jax.training import concurrent_folds, cross_validation
from tdgan_jax.training import loop as train_module
from tdgan_jax.training import opening as run_opening
from tdgan_jax.training.checks import check_same_config, check_values
from tdgan_jax.training.concurrent_folds import Turn, devices_for_folds, train_at_once
from tdgan_jax.training.cross_validation import cross_validate, describe_folds
from tests.small_folds import FIELDS, FOLDS

CONFIG = "configs/classifier_yale.py:tiny"  # the family that compiles fastest
STOP_AFTER = 4


def config_of(*fields: str) -> Any:
    return load_config(CONFIG, [*FIELDS, *fields])


class Trained(NamedTuple):
    """A cross-validation on two devices at once, stopped and resumed, and one fold by fold."""

    at_once: Path
    in_turn: Path
    stop: str
    programs: list[Program]  # as they were asked for


@pytest.fixture(scope="module")
def trained(drawn_folds, tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("runs")
    config = config_of(f"data.directory={drawn_folds}")
    programs: list[Program] = []
    made: dict[Any, Program] = {}
    make_program = run_opening.make_program

    def make_once(config: Any, mesh: Any, *names: Any) -> Program:
        # Compiling once for the same devices is enough for this test.
        devices = tuple(mesh.devices)
        if devices not in made:
            made[devices] = make_program(config, mesh, *names)
        programs.append(made[devices])
        return made[devices]

    with pytest.MonkeyPatch.context() as patch:
        two = jax.devices()[:2]
        patch.setattr(run_opening, "make_mesh", lambda: make_mesh(two))
        patch.setattr(
            cross_validation, "devices_for_folds", lambda *given: devices_for_folds(*given)[:2]
        )
        patch.setattr(run_opening, "make_program", make_once)
        with pytest.MonkeyPatch.context() as once:
            stop_in_both_folds(once)
            with pytest.raises(Interrupted) as stop:
                cross_validate(config, folder / "at_once", show_progress=False)
        assert not (folder / "at_once/fold_2").exists()
        assert cross_validate(config, folder / "at_once", show_progress=False)
        in_turn = config_of(f"data.directory={drawn_folds}", "parallel.folds=sequential")
        assert cross_validate(in_turn, folder / "in_turn", show_progress=False)
    return Trained(folder / "at_once", folder / "in_turn", str(stop.value), programs)


def stop_in_both_folds(patch: pytest.MonkeyPatch) -> None:
    """Sends SIGTERM when both folds have looked at their parameters, and lets them see it."""
    both = threading.Barrier(2, action=lambda: os.kill(os.getpid(), signal.SIGTERM))
    came: list[Callable[[], bool]] = []
    stop_requests = concurrent_folds.stop_requests
    check_finite = train_module.check_finite

    @contextmanager
    def remembered():
        with stop_requests() as sigterm_came:
            came.append(sigterm_came)
            yield sigterm_came

    def check(parameters: Any, step: int) -> None:
        check_finite(parameters, step)
        if step < STOP_AFTER:
            both.wait()
            wait_until(came[0])

    patch.setattr(concurrent_folds, "stop_requests", remembered)
    patch.setattr(train_module, "check_finite", check)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300  # against hanging only
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_sigterm_stops_both_folds_with_their_states_saved(trained):
    last_step = read_json(trained.in_turn / "fold_0/result.json")["steps"]
    stopped = f"stopped after step {STOP_AFTER} of {last_step}; state saved"
    assert trained.stop == f"fold_0: {stopped}; fold_1: {stopped}"


def test_each_fold_ends_as_on_its_own(trained):
    for fold in FOLDS:
        ours, alone = (folder / fold for folder in (trained.at_once, trained.in_turn))
        records = [read_metrics(folder / "metrics.jsonl") for folder in (ours, alone)]
        losses = {
            record["step"]: record["losses"]["classifier"]
            for record in records[0]
            # The two records around a stop are means over other steps.
            if fold == "fold_2" or record["step"] > STOP_AFTER + 3
        }
        expected = {record["step"]: record["losses"]["classifier"] for record in records[1]}
        assert losses and losses == pytest.approx({step: expected[step] for step in losses}, 1e-4)
        results = [read_json(folder / "result.json") for folder in (ours, alone)]
        assert results[0]["steps"] == results[1]["steps"]
        assert results[0]["subjects"] == results[1]["subjects"]
        shapes = jax.eval_shape(trained.programs[0].init_state, jax.random.key(0)).parameters
        on_host = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
        parameters = [
            Checkpoints(folder / "checkpoints", read_only=True).restore_best("test", on_host)
            for folder in (ours, alone)
        ]
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *parameters
        )


def test_a_device_keeps_its_program_for_its_later_folds(trained):
    # Two until the stop, two after it, and one on both devices.
    assert [len(program.mesh.devices) for program in trained.programs] == [1, 1, 1, 1, 2]


def test_all_folds_together_tell_of_both_devices(trained):
    devices = [str(device) for device in jax.devices()[:2]]
    assert read_json(trained.at_once / "environment.json")["devices"] == devices
    used = {read_json(trained.at_once / fold / "environment.json")["devices"][0] for fold in FOLDS}
    assert used == set(devices)
    summaries = [
        read_json(folder / "cross_validation.json") for folder in (trained.at_once, trained.in_turn)
    ]
    assert summaries[0]["subjects"] == summaries[1]["subjects"]
    assert summaries[0]["classifier"]["pooled"]["num_examples"] == 42


@pytest.mark.parametrize(
    ("way", "num_unfinished", "count"),
    [
        ("auto", 3, 3),
        ("auto", 10, 8),
        ("auto", 1, 0),
        ("auto", 0, 0),
        ("sequential", 10, 0),
        ("per_device", 10, 8),
        ("per_device", 1, 1),
    ],
)
def test_auto_takes_a_device_for_each_of_several_folds(way, num_unfinished, count):
    config = config_of(f"parallel.folds={way}")
    assert devices_for_folds(config, num_unfinished) == jax.local_devices()[:count]


def test_auto_takes_one_fold_after_the_other_on_one_device(monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    assert devices_for_folds(config_of(), 10) == []


def test_several_processes_train_one_fold_after_the_other(monkeypatch):
    monkeypatch.setattr(concurrent_folds, "several", lambda: True)
    monkeypatch.setattr(run_checks, "several", lambda: True)
    assert devices_for_folds(config_of(), 10) == []
    check_values(config_of())
    with pytest.raises(UsageError, match="'per_device', which is for one process; take 'auto' or"):
        check_values(config_of("parallel.folds=per_device"))


def test_an_unknown_way_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="'stacked'; known: auto, sequential, per_device"):
        check_values(config_of("parallel.folds=stacked"))


def test_folds_may_go_on_in_another_way(tmp_path):
    write_json(tmp_path / "config.json", config_of().to_dict())
    check_same_config(config_of("parallel.folds=sequential"), tmp_path)


def test_the_first_line_says_how_the_folds_are_trained():
    config = config_of("data.num_folds=10")
    assert describe_folds(config, 10, 2) == "10 folds, 2 at a time, one on each of 2 devices"
    assert describe_folds(config, 10, 0) == "10 folds, one after the other"
    expected = "10 folds, 1 of them unfinished, 1 at a time, one on 1 device"
    assert describe_folds(config, 1, 1) == expected


class Steps:
    """Folds that count steps in the place of training, until they are to stop."""

    def __init__(self, act: Callable[[int], None]):
        """Takes what a fold does first."""
        self.act = act
        self.begun: list[int] = []
        self.finished: list[int] = []
        self.turns: dict[int, Turn] = {}
        self._both = threading.Barrier(2)

    def open(self, turn: Turn) -> Any:
        self.turns[turn.fold] = turn
        return SimpleNamespace(program=f"program of {turn.fold}")

    def complete(self, fold: int, run: Any) -> None:
        self.begun.append(fold)
        place = self.turns[fold].place
        assert place is not None and run.program == f"program of {fold}"
        with place.stop_requests() as is_stopping:
            if len(self.turns) <= 2:
                self._both.wait()
            self.act(fold)
            wait_until(is_stopping)
        raise Interrupted(f"{place.name}: stopped")

    def train(self, num_folds: int = 4) -> None:
        train_at_once(range(num_folds), jax.devices()[:2], self.open, self.complete)


def test_an_error_in_a_fold_stops_the_others_after_their_step():
    def fail(fold: int) -> None:
        if fold == 1:
            raise UserError("fold_1: step 3: loss is nan")

    steps = Steps(fail)
    with pytest.raises(UserError, match="^fold_1: step 3: loss is nan$"):
        steps.train()
    assert sorted(steps.begun) == [0, 1]


def test_ctrl_c_leaves_no_fold_training():
    steps = Steps(lambda fold: os.kill(os.getpid(), signal.SIGINT) if fold == 0 else None)
    before = threading.active_count()
    # A shell's background job ignores Ctrl-C.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            steps.train()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert threading.active_count() == before
    assert sorted(steps.begun) == [0, 1]


def test_sigterm_at_the_end_of_all_folds_in_training_names_the_next(monkeypatch):
    steps = Steps(lambda fold: os.kill(os.getpid(), signal.SIGTERM) if fold == 0 else None)

    def complete(fold: int, run: Any) -> None:
        with pytest.raises(Interrupted):  # told to stop, but this was the last step
            Steps.complete(steps, fold, run)

    monkeypatch.setattr(steps, "complete", complete)
    with pytest.raises(Interrupted, match="^stopped before fold_2$"):
        steps.train()


def test_a_fold_knows_those_beside_and_after_it_and_takes_over_the_program():
    finished = threading.Event()
    turns: dict[int, Turn] = {}

    def open_fold(turn: Turn) -> Any:
        turns[turn.fold] = turn
        # Fold 1 is finished already, as is fold 3.
        return None if turn.fold in (1, 3) else SimpleNamespace(program=turn.fold)

    def complete(fold: int, run: Any) -> None:
        if fold == 0:  # until the other device has done everything else
            finished.wait(300)
        if fold == 4:
            finished.set()

    train_at_once(range(5), jax.devices()[:2], open_fold, complete)
    assert [turns[fold].beside for fold in range(1, 5)] == [(0,)] * 4
    assert [turns[fold].after for fold in (0, 4)] == [(1, 2, 3, 4), ()]
    assert [turns[fold].program for fold in range(5)] == [None, None, None, 2, 2]
    assert turns[4].place is not None and turns[4].place.name == "fold_4"


def test_an_error_begins_with_the_name_of_its_fold(monkeypatch, tmp_path):
    def refuse(config: Any, folder: Path, **_: Any) -> Any:
        raise UserError("too little disk space")

    monkeypatch.setattr(cross_validation, "load_fold_subjects", lambda _: {})
    monkeypatch.setattr(cross_validation, "open_run", refuse)
    with pytest.raises(UserError, match="^fold_0: too little disk space$"):
        cross_validate(config_of(), tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()
