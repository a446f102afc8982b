import json
import os

import numpy as np
import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.files import read_json, write_atomically, write_json
from tdgan_jax.runs import folder as run_folder
from tdgan_jax.runs.folder import (
    MetricsLog,
    check_writable_with_space,
    in_use_by_this_process,
    read_metrics,
    read_run,
)


def record(step, **more):
    return {"step": step, "epoch": 0, "images_per_second": 8.0, "losses": {"total": 1.0}} | more


def steps(path):
    return [line["step"] for line in read_metrics(path)]


def test_json_round_trip_with_numpy_values(tmp_path):
    path = tmp_path / "new" / "result.json"
    write_json(
        path, {"accuracy": np.float32(0.5), "matrix": np.eye(2, dtype=int), "n": np.int64(3)}
    )
    assert read_json(path) == {"accuracy": 0.5, "matrix": [[1, 0], [0, 1]], "n": 3}


def test_a_failing_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_json(path, {"accuracy": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"accuracy": float("nan")})

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match="cannot write .*result.json: No space left"):
        write_json(path, {"accuracy": 0.6})
    assert read_json(path) == {"accuracy": 0.5}
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_writing_below_a_file_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(tmp_path / "file" / "a.json", b"")


@pytest.mark.parametrize(("content", "message"), [(None, "cannot read"), ('{"a": ', "damaged")])
def test_unreadable_json_is_named(tmp_path, content, message):
    path = tmp_path / "result.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(
        UserError, match=f"{message}.*" if content is None else f"result.*{message}"
    ):
        read_json(path)


def test_environment():
    found = run_folder.environment(["cpu:0", "cpu:1"])
    assert found["devices"] == ["cpu:0", "cpu:1"]
    assert found["packages"]["numpy"] == np.__version__
    assert found["cpu_count"] >= 1
    assert "git_commit" in found
    json.dumps(found)


def test_environment_without_git(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder.tdgan_jax, "__file__", str(tmp_path / "tdgan_jax" / "x.py"))
    found = run_folder.environment([])
    assert found["git_commit"] is None and found["git_modified"] is None


def test_append_and_read(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    log = MetricsLog(path)
    log.append(record(1, losses={"total": np.float32(0.5), "bad": float("inf")}))
    log.append(record(2, evaluation={"test": {"classifier": {"confusion_matrix": [[1, 0]]}}}))
    first, second = read_metrics(path)
    assert first["losses"] == {"total": 0.5, "bad": None}
    assert second["evaluation"]["test"]["classifier"]["confusion_matrix"] == [[1, 0]]
    assert path.read_bytes().endswith(b"}\n")


def test_no_step_can_stand_twice(tmp_path):
    path = tmp_path / "metrics.jsonl"
    MetricsLog(path).append(record(5))
    with pytest.raises(ValueError, match="step 5 does not follow step 5"):
        MetricsLog(path).append(record(5))


def test_resume_drops_later_steps_and_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in (5, 10, 15, 20):
        log.append(record(step))
    with open(path, "a") as file:
        file.write('{"step": 25, "epo')
    assert steps(path) == [5, 10, 15, 20]

    resumed = MetricsLog(path)
    resumed.truncate_after(12)
    assert steps(path) == [5, 10]
    resumed.append(record(15))
    assert steps(path) == [5, 10, 15]
    resumed.truncate_after(-1)
    assert path.read_bytes() == b""
    resumed.append(record(0))
    assert steps(path) == [0]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_appending_after_a_torn_line_starts_a_new_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(record(5)) + '\n{"step": 10')
    MetricsLog(path).append(record(6))
    assert steps(path) == [5, 6]


def test_a_whole_record_without_its_line_end_is_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(record(5)))
    MetricsLog(path).append(record(6))
    assert steps(path) == [5, 6]


def test_truncating_a_missing_log_creates_nothing(tmp_path):
    MetricsLog(tmp_path / "metrics.jsonl").truncate_after(3)
    assert list(tmp_path.iterdir()) == []


def test_damage_in_the_middle_of_a_log_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"ste\n{"step": 3}\n')
    with pytest.raises(UserError, match="damaged in line 2"):
        read_metrics(path)


def test_space_check_names_both_numbers_and_creates_nothing(tmp_path):
    with pytest.raises(UserError, match=r"needed 1,000,000,000,000,000,000 bytes, free [\d,]+"):
        check_writable_with_space(tmp_path / "run", 10**18)
    assert not (tmp_path / "run").exists()


def test_space_check_creates_the_folder(tmp_path):
    check_writable_with_space(tmp_path / "a" / "run", 1000)
    assert list((tmp_path / "a" / "run").iterdir()) == []


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write into .*file"):
        check_writable_with_space(tmp_path / "file" / "run", 10)


def test_read_run_sorts_by_number(tmp_path):
    write_json(tmp_path / "config.json", {"seed": 1})
    for number in (10, 2, 1):
        (tmp_path / f"fold_{number}").mkdir()
    for epoch, step in ((0, 100), (0, 20), (11, 3)):
        write_atomically(run_folder.sample_path(tmp_path, epoch, step), b"")
    run = read_run(tmp_path)
    assert run.config == {"seed": 1} and run.result is None and run.metrics == []
    assert [fold.name for fold in run.folds] == ["fold_1", "fold_2", "fold_10"]
    assert [sample.stem[-3:] for sample in run.samples] == ["020", "100", "003"]


def test_no_run_folder(tmp_path):
    with pytest.raises(UserError, match="no run folder"):
        read_run(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        read_run(tmp_path / "missing")
    (tmp_path / "result.json").write_text("[1]")
    with pytest.raises(UserError, match="result.json is damaged"):
        read_run(tmp_path)


def test_a_folder_is_trained_in_by_one_process(tmp_path):
    with in_use_by_this_process(tmp_path):
        with pytest.raises(UserError, match="another process trains in .*give another --workdir"):
            with in_use_by_this_process(tmp_path):
                pass
    with in_use_by_this_process(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
