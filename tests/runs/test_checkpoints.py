"""Checkpoints that would be lost are refused before the first step."""

import os
import signal

import numpy as np
import pytest

from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UserError
from tdgan_jax.runs.checkpoints import Checkpoints, check_place
from tdgan_jax.training.checks import check_progress
from tdgan_jax.training.opening import open_run


@pytest.mark.parametrize("name", ["run[b]", "a[0]/run", "run\\[b]"])
def test_a_folder_in_which_checkpoints_are_lost_is_refused(tmp_path, name):
    config = load_config("configs/tdgan_synthetic.py:tiny")
    with pytest.raises(UserError, match="its name has .; give a --workdir without it"):
        open_run(config, tmp_path / name)
    assert not any(tmp_path.iterdir())
    with pytest.raises(UserError, match="its manifest is missing"):
        Checkpoints(tmp_path / name).save_latest(3, {"a": np.ones(3)}, {})


@pytest.mark.parametrize("name", ["run*", "run?x", "run{b}", "run]", "run 1", "rün"])
def test_checkpoints_can_be_read_again_in_other_folders(tmp_path, name):
    check_place(tmp_path / name)
    checkpoints = Checkpoints(tmp_path / name)
    checkpoints.save_latest(3, {"a": np.ones(3)}, {"step": 3})
    state, progress = checkpoints.restore_latest({"a": np.zeros(3)})
    assert state["a"].tolist() == [1, 1, 1] and progress == {"step": 3}


@pytest.mark.parametrize("lost", ["step", "seconds", "expression_names", "by_selection"])
def test_a_checkpoint_without_its_progress_is_refused(lost):
    whole = {"step": 3, "seconds": 1.0, "expression_names": ["a"], "by_selection": {}}
    check_progress(whole)
    with pytest.raises(UserError, match=f"damaged: its progress lacks {lost}"):
        check_progress({key: value for key, value in whole.items() if key != lost})


def test_ctrl_c_in_a_save_waits_for_its_end(tmp_path, monkeypatch, capfd):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(1, {"a": np.zeros(3)}, {"step": 1})
    manager = checkpoints._manager("latest")
    save = manager.save

    def interrupted_save(*args, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return save(*args, **options)

    monkeypatch.setattr(manager, "save", interrupted_save)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save_latest(2, {"a": np.ones(3)}, {"step": 2})
    state, progress = Checkpoints(tmp_path).restore_latest({"a": np.zeros(3)})
    assert progress["step"] == 2 and state["a"].tolist() == [1.0, 1.0, 1.0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capfd.readouterr().err == ""
