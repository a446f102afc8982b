"""Figures of a split as results hold them, and of a dataset with other classes than the model's."""

import hashlib

import numpy as np
import pytest

from tdgan_jax.cli.evaluate import classes_table, remarks, unfinished
from tdgan_jax.data.examples import Examples
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.intervals import accuracy_interval
from tdgan_jax.evaluation.recognition import predict_answers, recognition_figures
from tdgan_jax.evaluation.runs import shared_classes
from tdgan_jax.runs.folder import read_run
from tdgan_jax.steps.parallel import make_mesh
from tdgan_jax.steps.state import Answers

NAMES = ("anger", "fear", "happiness")


def examples_of(groups, names=NAMES, duplicated=None):
    count = len(groups)
    return Examples(
        images=[np.zeros((2, 2, 1), np.uint8)] * count,
        expressions=np.arange(count, dtype=np.int32) % len(names),
        expression_names=tuple(names),
        identities=np.full(count, -1, np.int32),
        identity_names=(),
        groups=np.array(groups),
        files=np.array([f"{index}.png" for index in range(count)]),
        duplicated_in_train=duplicated,
    )


def hashes(count):
    return [hashlib.sha256(bytes([index])).hexdigest() for index in range(count)]


def test_intervals_resample_subjects_where_they_are_known():
    logits = np.random.default_rng(0).normal(size=(60, 3))
    known = examples_of(np.repeat([f"S{index}" for index in range(6)], 10))
    figures = recognition_figures({"classifier": Answers(logits)}, known, NAMES)["classifier"]
    correct = logits.argmax(axis=1) == known.expressions
    interval = figures["accuracy_interval"]
    assert (interval["low"], interval["high"]) == accuracy_interval(correct, known.groups)
    assert (interval["unit"], interval["num_units"]) == ("subject", 6)
    assert sum(right for right, _ in figures["per_subject"].values()) == correct.sum()

    unknown = examples_of(hashes(60), duplicated=np.arange(60) < 20)
    figures = recognition_figures({"classifier": Answers(logits)}, unknown, NAMES)["classifier"]
    assert figures["accuracy_interval"]["unit"] == "image"
    assert figures["without_duplicates"]["accuracy_interval"]["num_units"] == 40
    assert "per_subject" not in figures


@pytest.mark.parametrize(("title", "seconds"), [("seed_0", 3), ("seed_0", 0), (None, 3)])
def test_a_bar_shows_how_many_images_are_done_after_two_seconds(
    title, seconds, monkeypatch, capsys
):
    now = iter(range(0, 1000, max(seconds, 1)))
    monkeypatch.setattr("tqdm.std.time", lambda: next(now) if seconds else 0)
    logits = predict_answers(
        lambda _, images: {"one": Answers(np.zeros((len(images), 3), np.float32))},
        ("one",),
        None,
        examples_of(hashes(20)),
        batch_size=4,
        mesh=make_mesh(),
        progress_title=title,
    )
    assert logits["one"].scores.shape == (20, 3)
    assert ("seed_0: " in capsys.readouterr().err) is (title is not None and seconds > 0)


def test_what_evaluate_prints_beside_the_table():
    labels = examples_of(np.repeat(["a", "b", "c"], 10))
    right = np.eye(3)[labels.expressions]
    figures = recognition_figures(
        {"one": Answers(right), "two": Answers(right[:, [2, 0, 1]])}, labels, NAMES
    )
    assert [line.split() for line in classes_table(figures).splitlines()[2:]] == [
        [name, "1.0000", "1.0000", "0.0000", "0.0000"] for name in NAMES
    ]
    lines = remarks(figures, {"evaluation": {"selection": "test"}})
    assert "interval 1.0000 to 1.0000 (bootstrap over 3 subjects, 2000 resamples)" in lines[0]
    assert "parameters chosen on: test, which is optimistic on that split" in lines
    assert [line for line in lines if line.startswith("warning: two: 0.000")]
    assert not [line for line in lines if line.startswith("warning: one")]


def test_a_run_that_is_unfinished_says_so(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    run = read_run(tmp_path)._replace(metrics=[{"step": 231}])
    (line,) = unfinished(run)
    assert line.startswith("warning: this run is unfinished (step 231 is the last in its log)")
    assert unfinished(run._replace(result={"step": 320})) == []


def test_only_classes_of_the_same_name_are_compared():
    theirs = examples_of(hashes(8), names=("happiness", "contempt", "anger", "neutral"))
    shared = shared_classes(theirs, NAMES)
    assert shared.examples.expression_names == ("anger", "happiness") and shared.columns == [0, 2]
    assert shared.left_out == {"model": ["fear"], "dataset": ["contempt", "neutral"]}
    assert shared.examples.expressions.tolist() == [1, 0, 1, 0]
    assert shared.examples.files.tolist() == ["0.png", "2.png", "4.png", "6.png"]
    with pytest.raises(UserError, match="fewer than two names in common"):
        shared_classes(theirs, ("surprise", "anger"))


def test_equal_classes_in_another_order_are_renumbered():
    shared = shared_classes(examples_of(hashes(3)), NAMES[::-1])
    assert shared.examples.expressions.tolist() == [2, 1, 0]
    assert shared.columns == [0, 1, 2] and not any(shared.left_out.values())
