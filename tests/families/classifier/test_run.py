"""A short run of the plain classifier, and what measures it and a TDGAN: the real program."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import tdgan_jax
from benchmarks.disentanglement import main
from tdgan_jax.cli.main import main as tdgan_jax_command
from tdgan_jax.configuration import load_config
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.calibration import calibration_of
from tdgan_jax.evaluation.runs import evaluate_run
from tdgan_jax.evaluation.training_images import check_unseen, num_training_images
from tdgan_jax.exchange.exporting import averaged
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.exchange.selected_runs import SelectedRun, open_selected_run, read_config
from tdgan_jax.families.tdgan.feed import faces_on_disk
from tdgan_jax.files import read_json, write_json
from tdgan_jax.probing import probes
from tdgan_jax.probing.judges import expression_judge, identity_judge
from tdgan_jax.probing.probed_examples import load_probed_examples
from tdgan_jax.probing.probed_features import probed_features
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.steps.parallel import replicated_shapes
from tdgan_jax.training.data import load_validation
from tdgan_jax.training.loop import train
from tests.tiny_tdgan import make_run

pytestmark = pytest.mark.usefixtures("four_devices")
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


def test_the_averages_are_what_is_kept_and_evaluated(classifier_run, opened):
    shapes = jax.eval_shape(opened.program.init_state, jax.random.key(0))
    checkpoints = Checkpoints(classifier_run / "checkpoints", read_only=True)
    state, _ = checkpoints.restore_latest(replicated_shapes(shapes, opened.program.mesh))
    kept, averages, weights = map(
        jax.tree.leaves, (opened.parameters, state.weight_averages, state.weights)
    )
    assert all(np.array_equal(a, b) for a, b in zip(kept, averages, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(kept, weights, strict=True))
    result = json.loads((classifier_run / "result.json").read_text())
    assert result["classifier"]["num_examples"] == 45
    assert evaluate_run(classifier_run) == {"classifier": result["classifier"]}
    assert (classifier_run / "report.html").exists()


def test_an_evaluation_on_training_images_says_so(classifier_run, tdgan_run, opened, images):
    split = "train[:3]+test[:2]"
    (figures,) = evaluate_run(classifier_run, split=split).values()
    assert figures["holds_training_images"] is True
    assert (figures["num_training_images"], figures["num_examples"]) == (3, 5)
    assert num_training_images(opened.config, images, "synthetic_faces") == 0
    check_unseen(opened.config, images, "synthetic_faces/64", "test[:40]")

    tdgan = read_config(tdgan_run)
    faces = faces_on_disk(tdgan)
    assert num_training_images(tdgan, faces, "synthetic_faces") == len(faces.files)
    assert num_training_images(tdgan, faces, "another") == 0
    # A classifier reads no faces.
    assert num_training_images(opened.config, faces, "synthetic_faces") == 0
    with pytest.raises(UserError, match="show people or pictures that the run"):
        check_unseen(tdgan, faces, "synthetic_faces/64", "faces")


def test_a_damaged_run_is_answered_in_one_line(tdgan_run, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(tdgan_run, damaged)
    Checkpoints(damaged / "checkpoints").save_latest(3, {"a": np.ones(9)}, {"step": 3})
    for path in damaged.glob("checkpoints/*/*/tree/**/*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:20])
    checkpoints = Checkpoints(damaged / "checkpoints", read_only=True)
    assert checkpoints.latest_progress() == {"step": 3}
    for opening in (
        lambda: evaluate_run(damaged),
        lambda: open_selected_run(damaged),
        lambda: checkpoints.restore_latest({"a": np.zeros(9)}),
    ):
        with pytest.raises(UserError, match="the checkpoint in .*damaged cannot be read") as raised:
            opening()
        assert "\n" not in str(raised.value)
    config = read_json(damaged / "config.json")
    del config["data"]["expressions"]
    write_json(damaged / "config.json", config)
    with pytest.raises(UserError, match="it lacks data.expressions.dataset"):
        evaluate_run(damaged)


def test_a_classifier_has_no_face_encoder(opened, images):
    found = probed_features(opened, [images])
    assert set(found) == {"expression", "random"}
    assert found["expression"].shape == (40, 2 * 2 * 8)
    assert not np.allclose(found["expression"], found["random"])


def test_the_expression_judge_answers_in_the_order_of_the_labels(opened, images):
    names = opened.expression_names
    pictures = np.stack(list(images.images)).astype(np.float32) / 255
    straight = expression_judge(opened, names)(pictures)
    answers = opened.program.eval_step(opened.parameters, pictures)["classifier"]
    np.testing.assert_array_equal(straight, np.asarray(answers.scores).argmax(axis=1))
    reverse = expression_judge(opened, names[::-1])(pictures)
    np.testing.assert_array_equal(reverse, len(names) - 1 - straight)
    with pytest.raises(UserError, match="does not know contempt"):
        expression_judge(opened, ("contempt",))


def test_the_features_are_those_of_the_python_interface(tdgan_run, images):
    found = probed_features(open_selected_run(tdgan_run), [images])
    assert set(found) == {"expression", "face", "random"}
    model = tdgan_jax.load(tdgan_run)
    pictures = np.stack(list(images.images))
    for name, theirs in (("expression", model.expression_features), ("face", model.face_features)):
        np.testing.assert_allclose(
            found[name], theirs(pictures).reshape(40, -1), rtol=1e-4, atol=1e-4
        )


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


def test_a_judge_that_knows_the_test_people_is_refused(command, classifier_run, tmp_path, capsys):
    knowing = tmp_path / "knowing"
    shutil.copytree(classifier_run, knowing)
    config = read_json(knowing / "config.json")
    config["name"] = "the_judge"
    config["data"]["expressions"] |= {"train_split": "test[:30]", "test_split": "train[:30]"}
    write_json(knowing / "config.json", config)
    assert main([*command, "--expression-judge", str(knowing)]) == 1
    errors = capsys.readouterr().err.strip()
    assert "show people or pictures that the run the_judge was trained or chosen on" in errors
    assert len(errors.splitlines()) == 1  # before anything was measured


def test_the_script_says_what_is_wrong_in_one_line(command, tmp_path, capsys):
    assert main([*command, "--runs", str(tmp_path / "nothing")]) == 1
    errors = capsys.readouterr().err
    assert "cannot read" in errors and len(errors.strip().splitlines()) == 1
    known = ["--out", str(tmp_path / "known"), "--fit-split", "", "--test-split", "train[:9]"]
    assert main([*command, *known]) == 1
    errors = capsys.readouterr().err
    assert "9 of the 9 images of synthetic_faces/64, split 'train[:9]'" in errors


def test_an_export_is_calibrated_on_the_validation_images(classifier_run, drawn_datasets, tmp_path):
    out = tmp_path / "calibrated"
    options = ("--calibrate", str(classifier_run), "--balance", "0.5", "--quiet")
    export = ("export", str(classifier_run), "--format", "safetensors", "--out", str(out))
    assert tdgan_jax_command([*export, *options]) == 0
    model = tdgan_jax.load(out)
    description = model.description
    assert description.balance == 0.5 and description.temperature != 1
    assert sum(description.class_frequencies) == pytest.approx(1)
    images = np.zeros((1, 32, 32, 1), np.float32)
    unchanged = tdgan_jax.load(classifier_run)
    np.testing.assert_allclose(
        model.expression_logits(images), unchanged.expression_logits(images), rtol=1e-5
    )
    assert not np.allclose(model.predict(images)[1], model.balanced(0).predict(images)[1])
    config = read_config(classifier_run)
    found = calibration_of(model, load_validation(config))  # of the model without its balance
    assert found.temperature == pytest.approx(description.temperature, rel=1e-3)
    np.testing.assert_allclose(found.class_frequencies, description.class_frequencies, rtol=1e-3)
    again = tmp_path / "again"
    export = ("export", str(out), "--format", "safetensors", "--out", str(again))
    assert tdgan_jax_command([*export, "--balance", "0", "--quiet"]) == 0
    assert tdgan_jax.load(again).description == description._replace(balance=0.0)


def test_the_mean_of_two_models_is_written(classifier_run, tmp_path):
    first, second = open_model(classifier_run), open_model("pretrained")
    other = first._replace(parameters=jax.tree.map(lambda x: x + 2, first.parameters))
    mean = averaged(first, other, "other")
    for before, after in zip(*map(jax.tree.leaves, (first, mean)), strict=True):
        if isinstance(before, np.ndarray):
            np.testing.assert_allclose(after, before + 1, rtol=1e-6)
    assert mean.description == first.description
    with pytest.raises(UsageError, match="--average-with: pretrained has other expression names"):
        averaged(first, second, "pretrained")
    narrow = jax.tree.map(lambda x: x[..., :1], first.parameters)
    with pytest.raises(UsageError, match="x has networks of another size"):
        averaged(first, first._replace(parameters=narrow), "x")
    preprocessing = first.description.preprocessing._replace(test_transform="centre_crop")
    cropped = first._replace(description=first.description._replace(preprocessing=preprocessing))
    with pytest.raises(UsageError, match="x has other preprocessing"):
        averaged(first, cropped, "x")
    out = tmp_path / "mean"
    run = str(classifier_run)
    command = ("export", run, "--average-with", run, "--format", "safetensors", "--out", str(out))
    assert tdgan_jax_command([*command, "--calibrate", run]) == 2 and not out.exists()
    assert tdgan_jax_command([*command, "--quiet"]) == 0
    for before, after in zip(
        *(jax.tree.leaves(open_model(path).parameters) for path in (run, out)), strict=True
    ):
        np.testing.assert_array_equal(before, after)
