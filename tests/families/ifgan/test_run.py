"""IF-GAN through the whole program: folds, a stop, resuming, evaluation, and all trained forms."""

import importlib
import importlib.util
import json
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import tdgan_jax
from benchmarks import disentanglement
from tdgan_jax.api import Attends, Generates
from tdgan_jax.cli.main import main
from tdgan_jax.configuration import load_config
from tdgan_jax.data.examples import Examples
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.data.splits import with_fold
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.recognition import predict_answers
from tdgan_jax.evaluation.runs import evaluate_folds, evaluate_run
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.exchange.selected_runs import open_selected_run
from tdgan_jax.families.ifgan.average_identity import read_average_faces
from tdgan_jax.families.ifgan.features import ifgan_features
from tdgan_jax.families.ifgan.model import IfganModel
from tdgan_jax.families.ifgan.tuple_reliance import tuple_accuracies
from tdgan_jax.families.program import Program
from tdgan_jax.files import read_json
from tdgan_jax.networks import resnet
from tdgan_jax.probing import probes
from tdgan_jax.processes.stopping import Interrupted
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.runs.folder import read_metrics
from tdgan_jax.training import loop as train_module
from tdgan_jax.training import opening as run_opening
from tdgan_jax.training.cross_validation import cross_validate
from tdgan_jax.training.loop import complete_run
from tdgan_jax.training.opening import open_run
from tests.families.ifgan.ifgan_networks import SHALLOW, random_tree

pytestmark = pytest.mark.usefixtures("four_devices")
FIELDS = (
    "data.expressions.dataset=drawn_folds",
    "data.num_folds=3",
    "log.every_steps=1",
    f"model.classifier_depth={SHALLOW}",
)
STOP_AFTER = 4  # of the six steps of fold 1
FOLDS = ("fold_0", "fold_1", "fold_2")


@pytest.fixture(autouse=True, scope="module")
def shallow_depth():
    """Half the time to compile the classifier."""
    tables = [resnet.DEPTHS]
    if importlib.util.find_spec("torch") is not None:
        tables.append(importlib.import_module("tdgan_jax.torch_weights.resnet_torch").DEPTHS)
    with pytest.MonkeyPatch.context() as patch:
        for table in tables:
            patch.setitem(table, SHALLOW, ((1, 1, 0, 0), False))
        yield


class Trained(NamedTuple):
    """A cross-validation that was stopped in fold 1 and went on, and fold 1 without a stop."""

    workdir: Path
    alone: Path
    program: Program
    num_programs: int


@pytest.fixture(scope="module")
def trained(drawn_folds, tmp_path_factory) -> Trained:
    overrides = [*FIELDS, f"data.directory={drawn_folds}"]
    config = load_config("configs/ifgan_yale.py:tiny", overrides)
    folder = tmp_path_factory.mktemp("runs")
    workdir, alone = folder / "stopped", folder / "alone"
    made: list[Program] = []
    make_program, check_finite = run_opening.make_program, train_module.check_finite

    def stop_once(parameters, step):
        check_finite(parameters, step)
        if step == STOP_AFTER and (workdir / "fold_0/result.json").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            run_opening,
            "make_program",
            lambda *args: made.append(make_program(*args)) or made[-1],
        )
        patch.setattr(train_module, "check_finite", stop_once)
        with pytest.raises(Interrupted, match=f"fold_1: stopped after step {STOP_AFTER + 1}"):
            cross_validate(config, workdir, show_progress=False)
        num_programs = len(made)
        patch.setattr(train_module, "check_finite", check_finite)
        # Compiling once is enough for this test; resuming does not depend on it.
        patch.setattr(run_opening, "make_program", lambda *args: made[0])
        assert cross_validate(config, workdir, show_progress=False)
    run = open_run(with_fold(config, 1), alone / "fold_1", program=made[0])
    complete_run(run, show_progress=False)
    return Trained(workdir, alone, made[0], num_programs)


def test_targets_differ_from_fold_to_fold_and_the_compiled_program_does_not(trained):
    faces = [read_average_faces(trained.workdir / fold / "average_faces.npz") for fold in FOLDS]
    assert len({found.checksum for found in faces if found is not None}) == 3
    assert trained.num_programs == 1


def test_a_fold_that_was_stopped_ends_as_if_it_was_not(trained):
    folders = [folder / "fold_1" for folder in (trained.workdir, trained.alone)]
    results = [read_json(folder / "result.json") | {"seconds": None} for folder in folders]
    assert results[0] == results[1]
    shapes = jax.eval_shape(trained.program.init_state, jax.random.key(0)).parameters
    on_one = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    best = [
        Checkpoints(folder / "checkpoints", read_only=True).restore_best("validation", on_one)
        for folder in folders
    ]
    jax.tree.map(np.testing.assert_array_equal, *best)
    steps = [record["step"] for record in read_metrics(folders[0] / "metrics.jsonl")]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert sorted(path.name for path in (folders[0] / "samples").iterdir())


def test_evaluation_repeats_the_figures_and_the_report_shows_the_targets(trained):
    joined = read_json(trained.workdir / "cross_validation.json")
    figures = evaluate_folds(trained.workdir)
    assert figures["classifier"] == joined["classifier"]
    assert joined["subjects"]["fold_1"]["validation"] == ["p4", "p5"]
    html = (trained.workdir / "report.html").read_text()
    assert "Average faces" in html and html.count("average_faces, fold_") == 3


@pytest.fixture(scope="module")
def tested(trained) -> tuple[Any, Examples]:
    """Configuration and test examples of fold 1."""
    config = load_config("configs/ifgan_yale.py:tiny", FIELDS)
    stored = read_json(trained.workdir / "fold_1/config.json")
    config.data.directory, config.data.fold = stored["data"]["directory"], 1
    return config, load_test_examples(config, "drawn_folds", "", "fold_1")


@pytest.fixture(scope="module")
def random_parameters(trained) -> dict[str, Any]:
    shapes = jax.eval_shape(trained.program.init_state, jax.random.key(0)).parameters
    return random_tree(shapes)


def test_labels_play_no_part_in_the_predictions(trained, tested, random_parameters):
    _, examples = tested
    shuffled = examples._replace(expressions=np.roll(examples.expressions, 1))
    logits = [
        predict_answers(
            trained.program.eval_step,
            ("classifier",),
            random_parameters,
            part,
            batch_size=8,
            mesh=trained.program.mesh,
        )["classifier"].scores
        for part in (examples, shuffled)
    ]
    assert (examples.expressions != shuffled.expressions).all()
    assert len(np.unique(logits[0])) > 1
    np.testing.assert_array_equal(*logits)


def test_whole_pairs_give_the_accuracy_of_the_evaluation(trained, tested):
    config, examples = tested
    parameters = jax.tree.map(jnp.asarray, open_model(trained.workdir / "fold_1").parameters)
    found = tuple_accuracies(config, parameters, examples)
    result = read_json(trained.workdir / "fold_1/result.json")["classifier"]
    assert found["own_pairs"] == pytest.approx(result["accuracy"])


@pytest.fixture(scope="module")
def model(trained) -> IfganModel:
    opened = tdgan_jax.load(trained.workdir / "fold_1")
    assert isinstance(opened, IfganModel)
    return opened


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "face.png"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_the_drawn_face_and_the_feature_of_the_pair_can_be_probed(trained, tested, model):
    config, test = tested
    run = open_selected_run(trained.workdir / "fold_1")
    found = ifgan_features(config, run.parameters, test, num_expressions=7)
    assert set(found) == {"expression", "generated", "generated_pixels", "random", "pixels"}
    images = np.stack(list(test.images))
    logits = run.program.eval_step(run.parameters, images)["classifier"].scores
    head = run.parameters["classifier"]["resnet"]["fc"]
    ours = found["expression"] @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_allclose(ours, logits, rtol=1e-4, atol=1e-4)
    drawn = np.asarray(model.average_faces(images.astype(np.float32) / 255))
    for name, pictures in (("pixels", images / 255), ("generated_pixels", drawn)):
        flat = 2 * pictures.reshape(len(images), -1) - 1
        np.testing.assert_allclose(found[name], flat, rtol=1e-4, atol=1e-4)
    # The same eyes see both: the drawn face as an input has the drawn face's feature.
    shown = test._replace(images=list(np.rint(255 * drawn).astype(np.uint8)))
    again = ifgan_features(config, run.parameters, shown, num_expressions=7)
    np.testing.assert_allclose(again["random"], found["generated"], rtol=0.05, atol=0.05)
    assert not np.allclose(found["random"], found["generated"], rtol=0.05, atol=0.05)


def test_the_probes_of_a_run_are_tabulated(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(probes, "MLP_UPDATES", 10)
    command = [
        "--runs",
        str(trained.workdir / "fold_1"),
        "--dataset",
        "drawn_folds",
        "--no-transfer",
    ]
    command += ["--fit-split", "", "--test-split", "fold_1", "--out", str(tmp_path)]
    assert disentanglement.main(command) == 0
    tables = capsys.readouterr().out
    assert "| ifgan_yale_tiny | generated pixels | " in tables and "| random | " in tables
    assert "generated identity leakage" in tables and "two branch" not in tables
    (measured,) = read_json(tmp_path / "disentanglement.json")
    assert measured["family"] == "ifgan" and measured["transfer"] is None
    # Two people with seven expressions each, and one picture without.
    assert disentanglement.main([*command, "--with-unlabelled"]) == 0
    (more,) = read_json(tmp_path / "disentanglement.json")
    assert more["matrix"]["random"]["expression"]["linear"]["num_examples"] == 14
    assert more["matrix"]["random"]["identity"]["linear"]["num_examples"] == 16
    for feature in measured["matrix"].values():
        for label, num_classes in (("expression", 7), ("identity", 2)):
            asked = feature[label]["linear"]
            assert (asked["num_examples"], asked["num_classes"]) == (14, num_classes)


def test_a_run_predicts_as_it_was_evaluated(trained, tested, model):
    result = read_json(trained.workdir / "fold_1/result.json")["classifier"]
    assert evaluate_run(trained.workdir / "fold_1") == {"classifier": result}
    _, test = tested
    labels, probabilities = model.predict(np.stack(list(test.images)).astype(np.float32) / 255)
    names = np.array(test.expression_names)[test.expressions]
    assert np.mean(np.array(labels) == names) == pytest.approx(result["accuracy"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_predict_writes_a_row_with_a_probability_for_each_expression(
    trained, model, picture, tmp_path
):
    out = tmp_path / "rows.csv"
    command = ["predict", str(picture), "--detect", "none", "--out", str(out), "--quiet"]
    assert main([*command, "--model", str(trained.workdir / "fold_1")]) == 0
    header, row = out.read_text().splitlines()
    assert header.endswith(",".join(model.expression_names))
    assert model.predict(picture)[0][0] in row


def test_what_an_ifgan_cannot_do_is_one_clear_error(model, picture, trained, tmp_path, capsys):
    assert not isinstance(model, Generates) and isinstance(model, Attends)
    assert not hasattr(model, "face_features")
    flags = ["--model", str(trained.workdir / "fold_1"), "--detect", "none"]
    out = str(tmp_path / "out.png")
    one = str(picture)
    assert main(["transfer", "--face", one, "--expression", one, "--out", out, *flags]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "name a TDGAN" in message


@pytest.mark.parametrize("weights", ["torch", "safetensors", "onnx"])
def test_exports_compute_the_same_and_come_back(trained, model, picture, tmp_path, weights):
    pytest.importorskip("onnxruntime" if weights == "onnx" else "torch")
    out = tmp_path / "exported"
    command = ["export", str(trained.workdir / "fold_1"), "--format", weights, "--out", str(out)]
    assert main([*command, "--quiet"]) == 0
    described = read_json(out / "model.json")
    assert described["family"] == "ifgan"
    assert described["preprocessing"]["test_transform"] == "square_centre_crop"
    if weights != "safetensors":
        compared = {"expression_logits", "average_face", "discriminator_logits"}
        compared -= {"discriminator_logits"} if weights == "onnx" else set()
        assert set(described["parity"]["largest_differences"]) == compared
    if weights == "onnx":
        assert {path.name for path in out.iterdir()} > {"recogniser.onnx", "generator.onnx"}
        return
    imported = tmp_path / "imported"
    assert main(["import", str(out), "--model", "ifgan", "--out", str(imported), "--quiet"]) == 0
    _, ours = model.predict(picture)
    _, theirs = tdgan_jax.load(imported).predict(picture)
    np.testing.assert_array_equal(ours, theirs)


def test_weights_without_a_description_need_names_and_say_what_was_assumed(
    trained, model, tmp_path, capsys
):
    out = tmp_path / "exported"
    command = ["export", str(trained.workdir / "fold_1"), "--format", "safetensors"]
    assert main([*command, "--out", str(out), "--quiet"]) == 0
    weights = tmp_path / "weights.safetensors"
    (out / "weights.safetensors").rename(weights)
    command = ["import", str(weights), "--model", "ifgan", "--out", str(tmp_path / "imported")]
    assert main([*command, "--quiet"]) == 2
    assert "add --labels" in capsys.readouterr().err
    labels = ",".join(reversed(model.expression_names))
    assert main([*command, "--quiet", "--labels", labels]) == 0
    assert "assumed: image_size_px is 224" in capsys.readouterr().out
    found = read_json(tmp_path / "imported/model.json")["architecture"]
    said = model.description.architecture
    untold = {"image_size_px", "generator_dropout_rate", "attention_reduction"}
    assert {k: v for k, v in found.items() if k not in untold} == {
        k: v for k, v in said.items() if k not in untold
    }


def test_attention_maps_are_drawn_for_points_of_the_face(trained, model, picture, tmp_path, capsys):
    maps = model.attention_maps(picture, np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert maps.shape == (2, 8, 8)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, rtol=1e-5)
    out = tmp_path / "attention.png"
    command = ["attention", str(picture), "--detect", "none", "--quiet", "--out", str(out)]
    command += ["--model", str(trained.workdir / "fold_1"), "--query"]
    assert main([*command, "0.3,0.4", "0.5,0.75"]) == 0
    with Image.open(out) as sheet:
        assert sheet.size == (4 * 224 + 3 * 4, 224)
    assert main([*command, "0.3,0.4"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "30,40"]) == 2


def test_the_baseline_is_stored_with_one_network(trained, tmp_path):
    pytest.importorskip("torch")
    stored = tmp_path / "baseline"
    config = read_json(trained.workdir / "fold_1/config.json")
    config["model"]["has_generator"] = False
    stored.mkdir()
    (stored / "config.json").write_text(json.dumps(config))
    from tdgan_jax.families.ifgan.storage import ifgan_shapes
    from tdgan_jax.families.stored import ModelDescription, Preprocessing

    names = ("happiness", "sadness")
    shapes = ifgan_shapes(
        ModelDescription("ifgan", config["model"], names, 0, (), Preprocessing(16, 1, "resize"))
    )
    progress = {"expression_names": list(names), "identity_names": [], "crop": None}
    parameters = random_tree(shapes.parameters)
    Checkpoints(stored / "checkpoints").save_best("validation", 1, parameters, progress)
    out = tmp_path / "exported"
    assert main(["export", str(stored), "--format", "torch", "--out", str(out), "--quiet"]) == 0
    assert [path.name for path in sorted(out.iterdir())] == ["classifier.pkl", "model.json"]
    opened = tdgan_jax.load(out)
    assert isinstance(opened, IfganModel)
    assert opened.predict(np.zeros((1, 16, 16, 1)))[0][0] in names
    with pytest.raises(UserError, match="baseline"):
        opened.average_faces(np.zeros((1, 16, 16, 1)))


def test_imagenet_weights_start_a_run_and_a_missing_file_is_named(trained, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    from tdgan_jax.families.family import Names
    from tdgan_jax.families.ifgan.training import check_given_weights, ifgan_training
    from tdgan_jax.torch_weights.resnet import torch_from_resnet
    from tdgan_jax.training.checks import check_values
    from tests.torch_weights.test_resnet import shapes_of

    path = tmp_path / "resnet.safetensors"
    field = f"training.imagenet_weights={path}"
    config = load_config("configs/ifgan_yale.py:tiny", [field])
    with pytest.raises(UserError, match="there is no file .*resnet.safetensors"):
        open_run(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    check_values(config)  # a finished or resumed run need not read the file again
    theirs = random_tree(shapes_of(depth=10, width=4, num_classes=1000), seed=3)
    safetensors.save_file(torch_from_resnet(theirs), path)
    check_given_weights(config)
    family = ifgan_training(config, Names((), tuple("abcdefgh"[:7])))
    shapes = jax.eval_shape(family.init_state, jax.random.key(0))
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    assert family.with_given_weights is not None
    resnet = family.with_given_weights(state, None).parameters["classifier"]["resnet"]
    gray = theirs["conv1"]["kernel"].sum(axis=2, keepdims=True) / 2
    np.testing.assert_allclose(resnet["conv1"]["kernel"], np.repeat(gray, 2, axis=2), rtol=1e-6)
    assert not resnet["fc"]["kernel"].any()
    np.testing.assert_array_equal(
        resnet["stages"][0][0]["convs"][0]["kernel"], theirs["stages"][0][0]["convs"][0]["kernel"]
    )
