"""A short run of MA-Net: the real program."""

import json

import jax
import numpy as np
import pytest

import tdgan_jax
from benchmarks import diversity
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.runs import evaluate_run
from tdgan_jax.exchange.exporting import export_model
from tdgan_jax.exchange.importing import import_weights
from tdgan_jax.exchange.selected_runs import open_run, open_selected_run
from tdgan_jax.families.family import Names
from tdgan_jax.families.ma_net.training import ma_net_training, with_start_weights
from tdgan_jax.families.ma_net.weights import FILE_STEMS, torch_from_ma_net
from tdgan_jax.probing.probed_features import probed_features
from tdgan_jax.runs.folder import read_metrics
from tdgan_jax.torch_weights.state_files import write_torch_files
from tests.families.short_runs import (
    assert_devices_agree,
    assert_same,
    finished_run,
    last_state,
    stopped_run,
    tiny_config,
)

pytestmark = pytest.mark.usefixtures("one_device")
CONFIG = "ma_net_synthetic"


@pytest.fixture(scope="module")
def run(drawn_datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "straight"
    # Hundreds of arrays: what is saved more often than it must be takes longer than the training.
    quick = ("training.epochs=1", "data.validation=none", "evaluation.selection=last")
    # At the configuration's rate the features of so short a training are thousands, in which
    # float32 has no four decimals.
    slow = "schedule.learning_rate=0.001"
    return finished_run(tiny_config(CONFIG, drawn_datasets, *quick, slow), folder)


@pytest.fixture(scope="module")
def images(run):
    config = run.config
    return load_test_examples(config, "synthetic_faces", "64", "test[:6]")


def test_the_benchmark_of_diversity_has_the_figures_of_the_run(run, drawn_datasets):
    args = diversity.parser().parse_args([str(run.workdir), "--data-dir", str(drawn_datasets)])
    (figures,) = diversity.measure(args).values()
    result = json.loads((run.workdir / "result.json").read_text())
    assert figures["accuracy"] == {name: result[name]["accuracy"] for name in figures["accuracy"]}
    assert figures["mean_class_accuracy"] == result["classifier"]["mean_class_accuracy"]


def test_a_run_is_evaluated_and_reported(run):
    result = json.loads((run.workdir / "result.json").read_text())
    recognisers = ("classifier", "local_branch", "global_branch")
    figures = {name: result[name] for name in recognisers}
    assert evaluate_run(run.workdir) == figures
    report = (run.workdir / "report.html").read_text()
    assert "Local branch" in report and "Diversity" in report
    records = read_metrics(run.workdir / "metrics.jsonl")
    terms = {name for name in records[0]["losses"] if name.startswith("diversity")}
    assert terms == {"diversity_spatial", "diversity_channel", "diversity_global"}


def test_a_stopped_run_ends_the_same(run, tmp_path):
    resumed = stopped_run(run, tmp_path / "stopped", after_steps=(2,))
    assert_same(last_state(run), last_state(resumed))


def test_one_device_computes_what_two_and_four_do(run):
    assert_devices_agree(run, rtol=1e-3)


def test_exports_come_back(run, images, tmp_path):
    pictures = np.stack(list(images.images))
    model = tdgan_jax.load(run.workdir)
    labels, probabilities = model.predict(pictures)
    parity = export_model(run.workdir, "torch", tmp_path / "torch")
    assert parity["different_tensors"] == 0
    assert parity["largest_differences"].keys() == {"expression_logits"}
    export_model(run.workdir, "safetensors", tmp_path / "safetensors")
    import_weights(tmp_path / "torch", run.config.family, tmp_path / "imported")
    for name in ("torch", "safetensors", "imported"):
        again = tdgan_jax.load(tmp_path / name)
        assert again.predict(pictures)[0] == labels
        np.testing.assert_array_equal(again.predict(pictures)[1], probabilities)
    output = model.judge(pictures)
    width = run.config.model.width
    assert output.local_features.shape == (6, 4, 1, 1, 8 * width)
    features = model.expression_features(pictures)
    np.testing.assert_array_equal(features[:, 0, 0], output.pooled_features.reshape(6, -1))


def test_onnx_computes_the_same(run, tmp_path):
    pytest.importorskip("onnxruntime")
    parity = export_model(run.workdir, "onnx", tmp_path / "onnx")
    assert parity["largest_differences"].keys() == {"expression_logits"}


def test_the_features_are_those_of_the_python_interface(run, images):
    opened = open_selected_run(run.workdir)
    found = probed_features(opened, [images])
    model = tdgan_jax.load(run.workdir)
    theirs = model.expression_features(np.stack(list(images.images))).reshape(6, -1)
    np.testing.assert_allclose(found["expression"], theirs, rtol=1e-4, atol=1e-4)
    assert found["random"].shape == theirs.shape and not np.allclose(found["random"], theirs)


def test_a_new_run_takes_all_but_the_heads(run, drawn_datasets, tmp_path):
    theirs = open_run(run.workdir).parameters
    write_torch_files(tmp_path, torch_from_ma_net(theirs), FILE_STEMS)
    own = last_state(run)
    own = own._replace(parameters=random_like(own.parameters))
    for given in (run.workdir, tmp_path / "network.pkl"):
        taken = with_start_weights(given, own, open_run).parameters["network"]
        assert_same(taken["local_branches"], theirs["network"]["local_branches"])
        assert_same(taken["local_fc"], own.parameters["network"]["local_fc"])
    config = tiny_config(CONFIG, drawn_datasets, "training.start_weights=nowhere.pth")
    with pytest.raises(UserError, match="training.start_weights: there is no file or folder"):
        finished_run(config, tmp_path / "new")


def random_like(tree):
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.random(leaf.shape, np.float32), tree)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.diversity=relesed", "loss.diversity is 'relesed'.*'released'"),
        ("model.second_direction=backwards", "second_direction is 'backwards'; known: forward"),
        ("model.image_size_px=40", "image_size_px must be a multiple of 16, got 40"),
        ("parallel.batch_statistics=none", "parallel.batch_statistics is 'none'"),
    ],
)
def test_what_no_run_can_have(drawn_datasets, override, message):
    config = tiny_config(CONFIG, drawn_datasets, override)
    with pytest.raises(UsageError, match=message):
        ma_net_training(config, Names((), tuple("abcdefg")))
