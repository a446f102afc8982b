"""Small files of a run: what is damaged is named with its field."""

import json

import pytest

from tdgan_jax.errors import UserError
from tdgan_jax.runs.folder import environment, read_metrics, read_run
from tdgan_jax.runs.small_files import MAX_DEVICES, damage, read_if_there, read_small_file

FIGURES = {
    "accuracy": 0.5,
    "labels": ["a", "b"],
    "confusion_matrix": [[1, 0], [1, 0]],
    "per_class": {
        name: {"precision": None, "recall": 0.5, "num_examples": 1} for name in ("a", "b")
    },
}
RESULT = {
    "classifier": FIGURES,
    "step": 3,
    "steps": 3,
    "epoch": 0,
    "seconds": 1.5,
    "seed": 0,
    "selected_on": "last",
    "by_selection": {"last": {"classifier": FIGURES, "step": 3, "epoch": 0}},
}


def changed(value, place, new):
    copy = json.loads(json.dumps(value))
    *holders, last = place
    holder = copy
    for part in holders:
        holder = holder[part]
    if new is None:
        del holder[last]
    else:
        holder[last] = new
    return copy


def test_whole_files_are_taken():
    assert damage(RESULT, "finished result") == ""
    assert damage(environment(["TFRT_CPU_0"]), "environment") == ""
    assert damage({"field_of_tomorrow": 1, "step": 1}, "record") == ""


@pytest.mark.parametrize(
    ("place", "new", "message"),
    [
        (("classifier", "accuracy"), "half", "classifier.accuracy must be number"),
        (("classifier", "accuracy"), 1.5, "classifier.accuracy must be smaller"),
        (("classifier", "labels"), ["a"], "classifier.confusion_matrix is not of its 1 labels"),
        (("classifier", "confusion_matrix"), [[1], [0]], "confusion_matrix is not of its 2"),
        (("classifier", "per_class", "a"), None, "classifier.per_class is not of its labels"),
        (("by_selection", "last", "step"), -1, "by_selection.last.step must be bigger"),
        (("by_selection",), [], "by_selection must be object"),
        (("seconds",), None, "seconds"),
        (("classifier", "calibration_bins"), [], "expected_calibration_error"),
    ],
)
def test_a_damaged_result_is_named_with_its_field(place, new, message, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(changed(RESULT, place, new)))
    with pytest.raises(UserError, match="result.json is damaged: ") as raised:
        read_small_file(path, "finished result")
    assert message in str(raised.value)


def test_more_devices_than_any_run_has_are_refused(tmp_path):
    few, many = ({"devices": ["d"] * number} for number in (MAX_DEVICES, MAX_DEVICES + 1))
    assert damage(few, "environment") == ""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "environment.json").write_text(json.dumps(many))
    with pytest.raises(UserError, match="environment.json is damaged: devices must contain less"):
        read_run(tmp_path)


def test_a_file_that_is_not_there_is_none_and_one_that_is_no_object_is_damaged(tmp_path):
    path = tmp_path / "result.json"
    assert read_if_there(path, "result") is None
    path.write_text("[1]")
    with pytest.raises(UserError, match="it holds no JSON object"):
        read_if_there(path, "result")


def test_a_record_of_the_log_has_numbers(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "losses": {"a": "b"}}\n{"step": 2}\n')
    with pytest.raises(UserError, match=r"damaged in line 1: losses\.a must be number or null"):
        read_metrics(path)
