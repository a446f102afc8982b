"""Emotion-GCN through the whole program: a stop, resuming, evaluation, and all trained forms."""

import csv
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image
from tdgan_jax.data_builders.synthetic_faces import factors, synthetic_faces_dataset_builder

import tdgan_jax
from tdgan_jax.cli.main import main
from tdgan_jax.configuration import load_config
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.evaluation.runs import evaluate_run
from tdgan_jax.exchange.opening import open_model
from tdgan_jax.exchange.selected_runs import open_selected_run
from tdgan_jax.files import read_json
from tdgan_jax.inference.affect_curves import AffectCurves
from tdgan_jax.inference.records import FaceRecord
from tdgan_jax.preparation.preparing import prepare_dataset
from tdgan_jax.probing.probed_features import probed_features
from tdgan_jax.processes.stopping import Interrupted
from tdgan_jax.reports.report import write_report
from tdgan_jax.runs.checkpoints import Checkpoints
from tdgan_jax.training import loop
from tdgan_jax.training.loop import complete_run
from tdgan_jax.training.opening import open_run
from tests.inference.clips import write_clip

pytestmark = pytest.mark.usefixtures("four_devices")
CONFIG = "configs/emotion_gcn_synthetic.py:tiny"
FIELDS = ("model.backbone=bregnext", "loss.class_weights=rarest")
STOP_AFTER = 9  # of 14 steps


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """A dataset directory with a few faces of `synthetic_faces/64_affect`."""
    directory = tmp_path_factory.mktemp("affect")
    builder = synthetic_faces_dataset_builder
    with pytest.MonkeyPatch.context() as patch:
        for name, split in {
            "train": factors.Split(range(10), 2),
            "test": factors.Split(range(80, 87), 1),
            "faces": factors.Split(range(100, 101), 1),
        }.items():
            patch.setitem(factors.SPLITS, name, split)
        patch.setattr(builder, "draw_split", partial(builder.draw_split, num_workers=0))
        prepare_dataset("synthetic_faces", config="64_affect", data_dir=directory)
    return directory


class Trained(NamedTuple):
    """A run that was stopped and went on, and one without a stop."""

    folder: Path
    straight: Path


@pytest.fixture(scope="module")
def trained(directory, tmp_path_factory) -> Trained:
    config = load_config(CONFIG, [*FIELDS, f"data.directory={directory}", "log.every_steps=1"])
    folder, straight = (tmp_path_factory.mktemp("runs") / name for name in ("run", "straight"))
    check_finite = loop.check_finite

    def stop_once(parameters, step):
        check_finite(parameters, step)
        if step == STOP_AFTER:
            os.kill(os.getpid(), signal.SIGTERM)

    first = open_run(config, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "check_finite", stop_once)
        with pytest.raises(Interrupted, match=f"stopped after step {STOP_AFTER + 1} of 14"):
            complete_run(first, show_progress=False)
    for where in (folder, straight):
        # Compiling once is enough for this test; resuming does not depend on it.
        run = open_run(config, where, program=first.program)
        assert (run.beginning is None) == (where == folder)
        complete_run(run, show_progress=False)
    return Trained(folder, straight)


@pytest.fixture(scope="module")
def faces(trained, tmp_path_factory) -> Path:
    run = open_selected_run(trained.folder)
    examples = load_test_examples(run.config, "synthetic_faces", "64_affect", "test[:3]")
    folder = tmp_path_factory.mktemp("faces")
    for number, image in enumerate(examples.images):
        Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    return folder


def selected(folder: Path):
    return open_model(folder).parameters


def test_a_run_that_was_stopped_ends_as_if_it_was_not(trained):
    jax.tree.map(np.testing.assert_array_equal, *map(selected, trained))
    results = [read_json(folder / "result.json") | {"seconds": None} for folder in trained]
    assert results[0] == results[1]
    records = [read_json(folder / "beginning.json") for folder in trained]
    assert records[0] == records[1]


def test_the_model_carries_what_the_training_labels_say(trained):
    begun, parameters = read_json(trained.folder / "beginning.json"), selected(trained.folder)
    graph = parameters["network"]["graph"]
    np.testing.assert_allclose(graph["adjacency"], begun["adjacency"], atol=1e-6)
    np.testing.assert_allclose(graph["adjacency"].sum(axis=1), 1, atol=1e-6)
    assert begun["nodes"][-2:] == ["valence", "arousal"]
    correlations = np.array(begun["correlations"])
    place = {name: i for i, name in enumerate(begun["nodes"])}
    assert correlations[place["happiness"], place["valence"]] > 0.5
    assert correlations[place["sadness"], place["arousal"]] < -0.2
    assert min(begun["class_weights"]) > 0 and max(begun["class_weights"]) == 1
    assert np.isfinite(parameters["word_vectors"]["vectors"]).all()
    checkpoints = Checkpoints(trained.folder / "checkpoints", read_only=True)
    assert checkpoints.latest_step() == 14


def test_valence_and_arousal_are_evaluated(trained):
    result = read_json(trained.folder / "result.json")["emotion_recogniser"]
    assert evaluate_run(trained.folder) == {"emotion_recogniser": result}
    for figures in result["affect"].values():
        assert figures["num_examples"] == 45
        assert -1 <= figures["ccc"] <= 1 and figures["rmse"] > 0


def test_every_form_of_the_model_answers_the_same(trained, faces, tmp_path, capsys):
    pytest.importorskip("torch", reason="two of the forms need PyTorch")
    pictures = sorted(map(str, faces.iterdir()))
    own = tdgan_jax.load(trained.folder).recognise(pictures)
    assert own.affect.shape == (3, 2)
    for weights in ("torch", "safetensors"):
        out, imported = tmp_path / weights, tmp_path / f"imported_{weights}"
        export = ["export", str(trained.folder), "--format", weights, "--out", str(out)]
        assert main([*export, "--quiet"]) == 0
        parity = read_json(out / "model.json")["parity"]
        assert parity["different_tensors"] == 0
        command = ["import", str(out), "--model", "emotion_gcn", "--out", str(imported)]
        assert main([*command, "--quiet"]) == 0
        for folder in (out, imported):
            answers = tdgan_jax.load(folder).recognise(pictures)
            jax.tree.map(np.testing.assert_array_equal, answers, own)
    largest = read_json(tmp_path / "torch" / "model.json")["parity"]["largest_differences"]
    assert max(largest.values()) < 1e-4 and set(largest) == {"logits", "affect"}
    capsys.readouterr()


def test_onnx_holds_what_the_graph_gives(trained, faces, tmp_path, capsys):
    for package in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason="ONNX needs it")
    from tdgan_jax.torch_weights.onnx_files import run_onnx_outputs

    export = ["export", str(trained.folder), "--format", "onnx", "--out", str(tmp_path / "onnx")]
    assert main([*export, "--quiet"]) == 0
    model = tdgan_jax.load(trained.folder)
    images = model.prepared(sorted(map(str, faces.iterdir())))
    found = run_onnx_outputs(
        tmp_path / "onnx" / "recogniser.onnx", {"image": images.transpose(0, 3, 1, 2)}
    )
    own = model.recognise(images)
    np.testing.assert_allclose(found["logits"], own.scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["affect"], own.affect, rtol=1e-4, atol=1e-5)
    capsys.readouterr()


def test_the_table_of_faces_has_valence_and_arousal(trained, faces, tmp_path, capsys):
    out = tmp_path / "rows.csv"
    command = ["predict", str(faces), "--detect", "none", "--model", str(trained.folder)]
    assert main([*command, "--out", str(out), "--quiet"]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    own = tdgan_jax.load(trained.folder).recognise(sorted(map(str, faces.iterdir())))
    given = [[float(row["valence"]), float(row["arousal"])] for row in rows]
    np.testing.assert_allclose(given, own.affect, atol=1e-6)
    capsys.readouterr()


def test_a_videos_valence_and_arousal_are_drawn_over_its_time(trained, faces, tmp_path, capsys):
    pytest.importorskip("av", reason="videos need PyAV")
    frames = [Image.open(path).convert("RGB") for path in sorted(faces.iterdir())]
    clip = str(write_clip(tmp_path / "clip.mp4", frames * 2))
    out, drawing = tmp_path / "rows.csv", tmp_path / "curves.png"
    command = ["predict", clip, "--detect", "none", "--model", str(trained.folder), "--quiet"]
    assert main([*command, "--out", str(out), "--curves", str(drawing)]) == 0
    with Image.open(drawing) as image:
        assert image.width > image.height > 400
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 6
    curves = AffectCurves()
    for row in rows:
        shown = {name: float(row[name]) for name in ("time_s", "valence", "arousal")}
        curves.add([FaceRecord(file="clip", frame=0, track=int(row["track"]), **shown)])
    assert [moment.time_s for moment in curves.longest[0]] == [float(row["time_s"]) for row in rows]
    capsys.readouterr()
    for arguments, message in (
        ([str(faces), "--curves", str(tmp_path / "a.png")], "takes one video"),
        ([clip, "--curves", str(tmp_path / "a.gif")], "the name must end in .png or .svg"),
        ([clip, "--curves", str(drawing)], "exists; add --overwrite"),
        ([clip, "--curves", str(tmp_path / "a.png"), "--model", "pretrained"], "knows no valence"),
    ):
        assert main(["predict", *command[2:], *arguments]) != 0
        assert message in capsys.readouterr().err


def test_the_report_shows_figures_circumplex_and_graph(trained, directory, capsys):
    command = ["report", str(trained.folder), "--pictures", "--data-dir", str(directory)]
    assert main([*command, "--quiet"]) == 0
    drawn = read_json(trained.folder / "pictures" / "affect.json")
    assert len(drawn["answers"]) == len(drawn["labelled"]) == 45
    html = (trained.folder / "report.html").read_text()
    for shown in ("Valence and arousal", "Concordance (CCC)", "circumplex-0", "graph-0"):
        assert shown in html
    capsys.readouterr()
    assert main(["evaluate", str(trained.folder), "--quiet"]) == 0
    assert "emotion_recogniser: valence concordance" in capsys.readouterr().out


def test_runs_side_by_side_have_their_figures_and_graphs_each(trained, tmp_path):
    html = write_report(list(trained), tmp_path / "both.html").read_text()
    assert html.count("Graph between labels, from: labels") >= 2
    for name in ("Valence", "Arousal"):
        assert html.count(f"{name}<span") == 2


def test_the_feature_is_probed(trained):
    run = open_selected_run(trained.folder)
    examples = load_test_examples(run.config, "synthetic_faces", "64_affect", "test[:5]")
    found = probed_features(run, [examples])
    assert {name: values.shape for name, values in found.items()} == {
        "expression": (5, 8),
        "random": (5, 8),
    }
    model = tdgan_jax.load(trained.folder)
    theirs = model.expression_features(np.stack(list(examples.images)))
    np.testing.assert_allclose(found["expression"], theirs.reshape(5, -1), rtol=1e-4, atol=1e-5)


def test_model_json_that_does_not_fit_the_weights_is_refused(trained, faces, tmp_path, capsys):
    out = tmp_path / "out"
    export = ["export", str(trained.folder), "--format", "safetensors", "--out", str(out)]
    assert main([*export, "--quiet"]) == 0
    description = read_json(out / "model.json")
    description["architecture"]["stage_layers"] = [1, 2]
    (out / "model.json").write_text(json.dumps(description))
    capsys.readouterr()
    assert main(["predict", str(faces), "--model", str(out)]) != 0
    assert "stage_layers" in capsys.readouterr().err
