"""A full disk or a loss that grows without bound in mid-training: one line, nothing lost."""

from pathlib import Path

import jax
import numpy as np
import pytest
from tensorboardX.event_file_writer import EventsWriter

from tdgan_jax.configuration import load_config, to_json
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.exchange.selected_runs import open_selected_run
from tdgan_jax.files import write_json
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.training import loop
from tdgan_jax.training.checks import check_same_config
from tdgan_jax.training.opening import open_run
from tdgan_jax.training.records import records_of

pytestmark = pytest.mark.usefixtures("four_devices")
CONFIG = "configs/classifier_synthetic.py:tiny"


@pytest.fixture(scope="module")
def config(drawn_datasets):
    return load_config(
        CONFIG,
        [f"data.directory={drawn_datasets}", "training.epochs=2", "evaluation.selection=last"],
    )


@pytest.fixture(scope="module")
def straight_end(config, tmp_path_factory) -> list[np.ndarray]:
    workdir = tmp_path_factory.mktemp("straight")
    loop.train(config, workdir, show_progress=False)
    return latest_parameters(workdir)


def latest_parameters(workdir: Path) -> list[np.ndarray]:
    """The weights of the last epoch as the run keeps them."""
    parameters = open_selected_run(workdir).parameters
    return [np.asarray(leaf) for leaf in jax.tree.leaves(parameters)]


def test_a_full_disk_leaves_the_last_checkpoint(config, straight_end, tmp_path, monkeypatch):
    log = tmp_path / "metrics.jsonl"
    save = Checkpoints.save_latest

    def save_and_fill(self, step, state, progress):
        save(self, step, state, progress)
        log.rename(tmp_path / "kept")
        log.symlink_to("/dev/full")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_latest", save_and_fill)
        with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl: No space left"):
            loop.train(config, tmp_path, show_progress=False)
    log.unlink()
    (tmp_path / "kept").rename(log)
    loop.train(config, tmp_path, show_progress=False)
    for found, expected in zip(latest_parameters(tmp_path), straight_end, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_loss_without_bound_leaves_the_last_checkpoint(
    config, straight_end, tmp_path, monkeypatch
):
    saved = []
    save, shard = Checkpoints.save_latest, loop.shard_batch

    def save_and_note(self, step, state, progress):
        save(self, step, state, progress)
        saved.append(step)

    def shard_damaged(batch, mesh):
        if saved:
            nan = np.float32(np.nan)
            batch = jax.tree.map(lambda x: x * nan if x.dtype == np.float32 else x, batch)
        return shard(batch, mesh)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_latest", save_and_note)
        patch.setattr(loop, "shard_batch", shard_damaged)
        with pytest.raises(UserError, match="is nan; the last checkpoint is from before"):
            loop.train(config, tmp_path, show_progress=False)
    assert Checkpoints(tmp_path / "checkpoints").latest_step() == saved[-1]
    loop.train(config, tmp_path, show_progress=False)
    for found, expected in zip(latest_parameters(tmp_path), straight_end, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_events_on_a_full_disk_are_an_error_and_no_wait(tmp_path, monkeypatch):
    record = {"epoch": 0, "losses": {"classifier": 1.0}, "images_per_second": 2.0}

    def flush(self):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with (
        pytest.raises(UserError, match="TensorBoard's events .*No space left on device"),
        records_of(tmp_path, last_step=0) as write,
        monkeypatch.context() as patch,
    ):
        write(record | {"step": 1})
        patch.setattr(EventsWriter, "flush", flush)
        write(record | {"step": 2})


def test_weights_that_cannot_be_begun_with_leave_the_folder_free(config, tmp_path):
    given = config.copy_and_resolve_references()
    given.training.initial_model = str(tmp_path / "misspelt")
    run = open_run(given, tmp_path / "run")
    with pytest.raises(UserError, match="there is no folder .*misspelt"):
        loop.complete_run(run, show_progress=False)
    assert not (tmp_path / "run" / "config.json").exists()
    check_same_config(config, tmp_path / "run")


def test_a_run_of_another_system_is_told_by_its_name_alone(config, tmp_path):
    other = load_config("configs/tdgan_synthetic.py:tiny")
    write_json(tmp_path / "config.json", to_json(other))
    with pytest.raises(UsageError) as raised:
        check_same_config(config, tmp_path)
    assert str(raised.value).splitlines()[1:-1] == ['  family: "tdgan" -> "classifier"']
