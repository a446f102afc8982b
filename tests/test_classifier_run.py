"""A short run of the plain classifier, and what measures it and a TDGAN: the real program."""

import json
from pathlib import Path

import numpy as np
import pytest

import tdgan_jax
from benchmarks.disentanglement import main
from tdgan_jax.configuration import load_config
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation import probes
from tdgan_jax.evaluation.judges import expression_judge, identity_judge
from tdgan_jax.evaluation.probed_examples import load_probed_examples
from tdgan_jax.evaluation.runs import evaluate_run
from tdgan_jax.evaluation.selected_runs import (
    SelectedRun,
    encode_examples,
    encoders,
    open_selected_run,
)
from tdgan_jax.run_folder import read_json, write_json
from tdgan_jax.train import train
from tests.tiny_tdgan import make_run

OPTIONS = (
    "training.epochs=1",
    "training.parameter_average_decay=0.9",
    "loss.label_smoothing=0.1",
    "loss.class_weighting_exponent=0.5",
    "evaluation.yardsticks=false",
)


@pytest.fixture(scope="module")
def classifier_run(drawn_datasets, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    overrides = [*OPTIONS, f"data.directory={drawn_datasets}"]
    train(load_config("configs/classifier_synthetic.py:tiny", overrides), folder)
    return folder


@pytest.fixture(scope="module")
def opened(classifier_run) -> SelectedRun:
    return open_selected_run(classifier_run)


@pytest.fixture(scope="module")
def tdgan_run(drawn_datasets, tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("tdgan") / "seed_0")
    config = json.loads((folder / "config.json").read_text())
    config["data"]["directory"] = str(drawn_datasets)
    write_json(folder / "config.json", config)
    result = {"expression_module": {"accuracy": 0.2}, "step": 1, "seconds": 1.0}
    write_json(folder / "result.json", result)
    return folder


@pytest.fixture(scope="module")
def images(opened):
    return load_test_examples(opened.config, "synthetic_faces", "64", "test[:40]")


def test_the_averages_are_what_is_kept_and_evaluated(classifier_run):
    result = json.loads((classifier_run / "result.json").read_text())
    assert result["classifier"]["num_examples"] == 45
    assert evaluate_run(classifier_run) == {"classifier": result["classifier"]}
    assert (classifier_run / "report.html").exists()


def test_a_classifier_has_no_face_encoder(opened, images):
    available = encoders(opened)
    assert set(available) == {"expression", "random"}
    features = encode_examples(available["expression"], images)
    assert features.shape == (40, 2 * 2 * 8)
    assert not np.allclose(features, encode_examples(available["random"], images))


def test_the_expression_judge_answers_in_the_order_of_the_labels(opened, images):
    names = opened.expression_names
    pictures = np.stack(list(images.images)).astype(np.float32) / 255
    straight = expression_judge(opened, names)(pictures)
    logits = opened.program.eval_step(opened.parameters, pictures)["classifier"]
    np.testing.assert_array_equal(straight, np.asarray(logits).argmax(axis=1))
    reverse = expression_judge(opened, names[::-1])(pictures)
    np.testing.assert_array_equal(reverse, len(names) - 1 - straight)
    with pytest.raises(UserError, match="does not know contempt"):
        expression_judge(opened, ("contempt",))


def test_the_features_are_those_of_the_python_interface(tdgan_run, images):
    available = encoders(open_selected_run(tdgan_run))
    assert set(available) == {"expression", "face", "random"}
    model = tdgan_jax.load(tdgan_run)
    pictures = np.stack(list(images.images))
    for name, theirs in (("expression", model.expression_features), ("face", model.face_features)):
        ours = encode_examples(available[name], images)
        np.testing.assert_allclose(ours, theirs(pictures).reshape(40, -1), rtol=1e-4, atol=1e-4)


def test_drawn_examples_come_with_their_factors(opened):
    examples = load_probed_examples(
        opened.config, "synthetic_faces/64", fit_split="train[:50]", test_split="test[:30]"
    )
    labels = examples.labels
    assert labels.is_test.sum() == 30
    intensity = labels.factors[:, labels.factor_names.index("expression/intensity")]
    is_neutral = labels.expressions == examples.test.expression_names.index("neutral")
    np.testing.assert_array_equal(intensity == 0, is_neutral)
    tone = labels.factors[:, labels.factor_names.index("identity/skin_tone")]
    for person in np.unique(labels.identities):
        assert len(np.unique(tone[labels.identities == person])) == 1


def test_the_identity_judge_knows_people_by_what_varies_between_people():
    rng = np.random.default_rng(0)
    looks = rng.random((30, 4, 4)).repeat(8, axis=1).repeat(8, axis=2)

    def photographs(people):
        light = rng.uniform(0.5, 1.0, (len(people), 1, 1))
        noise = rng.normal(0, 0.05, (len(people), 32, 32))
        return np.clip(light * looks[people] + noise, 0, 1)[..., None].astype(np.float32)

    background, known = np.repeat(np.arange(20), 6), np.repeat(np.arange(20, 30), 4)
    judge = identity_judge(photographs(background), background, photographs(known), known)
    asked = np.repeat(np.arange(20, 30), 5)
    assert (judge(photographs(asked)) == asked).mean() > 0.9


@pytest.fixture
def command(classifier_run, tdgan_run, tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "MLP_UPDATES", 10)
    arguments = ["--runs", str(tdgan_run), str(classifier_run), "--out", str(tmp_path / "out")]
    arguments += ["--fit-split", "train[:280]", "--expression-judge", str(classifier_run)]
    return [*arguments, "--grid-people", "2"]


def test_the_script_measures_once_and_tabulates(command, tdgan_run, tmp_path, capsys):
    assert main(command) == 0
    tables = capsys.readouterr().out
    assert (tmp_path / "out/disentanglement.md").read_text() == tables
    stored = json.loads((tmp_path / "out/disentanglement.json").read_text())
    assert [one["family"] for one in stored] == ["tdgan", "classifier"]
    tdgan, classifier = stored
    assert set(tdgan["matrix"]) == {"expression", "face", "random"}
    assert len(tdgan["matrix"]["face"]["factors"]) == 101
    # Two people with seven expressions each; six others for every face of the one person.
    assert tdgan["transfer"]["generator"]["num_pairs"] == 2 * 7 * 6
    assert tdgan["transfer"]["copy_face"]["face_reconstruction_error"] == 0
    assert read_json(tdgan_run / "disentanglement.json") == tdgan  # for its report
    assert classifier["transfer"] is None

    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*_*.json")}
    assert len(files) == 2
    assert main(command) == 0
    assert capsys.readouterr().out == tables
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_the_script_says_what_is_wrong_in_one_line(command, tmp_path, capsys):
    assert main([*command, "--runs", str(tmp_path / "nothing")]) == 1
    errors = capsys.readouterr().err
    assert "cannot read" in errors and len(errors.strip().splitlines()) == 1
