"""A short run of ESR, three branches in three stages: the real program."""

import json

import jax
import numpy as np
import pytest

import tdgan_jax
from tdgan_jax.configuration import load_config
from tdgan_jax.data.loading import load_test_examples
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.evaluation.runs import evaluate_run
from tdgan_jax.exchange.exporting import export_model
from tdgan_jax.exchange.importing import import_weights
from tdgan_jax.exchange.selected_runs import open_run, open_selected_run
from tdgan_jax.families.esr.model import EsrModel
from tdgan_jax.families.esr.start_weights import RELEASED_NAMES
from tdgan_jax.families.esr.storage import to_torch
from tdgan_jax.families.esr.training import esr_stages, esr_training
from tdgan_jax.families.esr.voters import without_voters
from tdgan_jax.families.esr.weights import FILE_STEMS, torch_from_esr
from tdgan_jax.families.family import Names
from tdgan_jax.probing.probed_features import probed_features
from tdgan_jax.runs.folder import read_metrics
from tdgan_jax.steps.parallel import replicate, shard_batch
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
CONFIG = "esr_synthetic"
BRANCHES = ("branch_1", "branch_2", "branch_3")


@pytest.fixture(scope="module")
def run(drawn_datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "straight"
    stages = ("training.first_stage_epochs=2", "training.later_stage_epochs=2")
    kind = ("training.epochs=6", "loss.diversity=acting", "data.sampling=capped")
    config = tiny_config(CONFIG, drawn_datasets, *stages, *kind, "data.class_cap=2")
    return finished_run(config, folder)


@pytest.fixture(scope="module")
def images(run):
    return load_test_examples(run.config, "synthetic_faces", "64", "test[:6]")


def test_a_run_is_evaluated_and_reported(run):
    result = json.loads((run.workdir / "result.json").read_text())
    figures = {name: result[name] for name in ("ensemble", *BRANCHES)}
    assert evaluate_run(run.workdir) == figures
    report = (run.workdir / "report.html").read_text()
    assert "Ensemble" in report and "Branch 3" in report and "Diversity" in report


def test_branches_come_one_after_the_other(run):
    records = read_metrics(run.workdir / "metrics.jsonl")
    of_stage = [[r["losses"] for r in records if r["epoch"] // 2 == stage] for stage in range(3)]
    assert all(one["branches"] == one["branches_newest"] for one in of_stage[0])
    assert not any("diversity_spatial" in one for one in of_stage[0])
    for losses in of_stage[1:]:
        assert all(one["branches"] > one["branches_newest"] for one in losses)
        assert all("diversity_channel" in one for one in losses)
    result = json.loads((run.workdir / "result.json").read_text())
    assert {one["epoch"] // 2 for one in result["by_selection"].values()} == {2}
    np.testing.assert_array_equal(last_state(run).is_voter, np.ones(3))


def test_a_stage_moves_its_branches_alone(run):
    program, feed = run.program, run.data.feed
    start = jax.device_get(program.init_state(jax.random.key(0)))
    batch = shard_batch(next(feed.batches(0)), run.mesh)
    for stage in (0, 1):
        state, _ = program.train_step(stage)(replicate(start, run.mesh), batch, jax.random.key(1))
        after = jax.device_get(state).weights
        moved = {name for name in after if not same(after[name], start.weights[name])}
        assert moved == {"base", *BRANCHES[: stage + 1]}


def same(first, second) -> bool:
    try:
        assert_same(first, second)
    except AssertionError:
        return False
    return True


def test_each_stage_draws_its_own_images(run):
    feed = run.data.feed
    assert feed.stage_starts == (0, 2, 4)
    shown = [np.concatenate([b.image for b in feed.batches(epoch)]) for epoch in (0, 2)]
    assert shown[0].shape == shown[1].shape and not np.array_equal(*shown)


def test_a_stopped_run_ends_the_same(run, tmp_path):
    epoch = run.data.feed.steps_per_epoch
    # Where the second branch begins, inside of it, and where the third one begins.
    stops = (2 * epoch, 2 * epoch + 2, 4 * epoch)
    resumed = stopped_run(run, tmp_path / "stopped", after_steps=stops)
    assert_same(last_state(run), last_state(resumed))
    results = [json.loads((one.workdir / "result.json").read_text()) for one in (run, resumed)]
    assert results[0]["by_selection"] == results[1]["by_selection"]


def test_one_device_computes_what_two_and_four_do(run):
    assert_devices_agree(run, 1, rtol=1e-3)


def test_exports_come_back(run, images, tmp_path):
    pictures = np.stack(list(images.images))
    model = tdgan_jax.load(run.workdir)
    labels, probabilities = model.predict(pictures)
    parity = export_model(run.workdir, "torch", tmp_path / "torch")
    assert parity["different_tensors"] == 0
    assert parity["largest_differences"].keys() == {"branch_logits"}
    names = {path.name for path in (tmp_path / "torch").iterdir()}
    files = {f"Net-Branch_{i}.pt" for i in (1, 2, 3)} | {"Net-Base-Shared_Representations.pt"}
    assert names == files | {"model.json"}
    export_model(run.workdir, "safetensors", tmp_path / "safetensors")
    import_weights(tmp_path / "torch", run.config.family, tmp_path / "imported")
    for name in ("torch", "safetensors", "imported"):
        again = tdgan_jax.load(tmp_path / name)
        assert again.predict(pictures)[0] == labels
        np.testing.assert_array_equal(again.predict(pictures)[1], probabilities)
    output = model.judge(pictures)
    assert output.logits.shape == (6, 3, 7)
    votes = np.eye(7)[output.logits.argmax(axis=2)].mean(axis=1)
    np.testing.assert_allclose(probabilities, votes, rtol=1e-6)
    features = model.expression_features(pictures)
    np.testing.assert_array_equal(features[:, 0, 0], output.feature.reshape(6, -1))


def test_onnx_computes_the_same(run, tmp_path):
    pytest.importorskip("onnxruntime")
    parity = export_model(run.workdir, "onnx", tmp_path / "onnx")
    assert parity["largest_differences"].keys() == {"branch_logits"}


def test_the_mean_of_probabilities_is_a_prediction_too(run, images):
    stored = open_run(run.workdir)
    architecture = stored.description.architecture | {"prediction": "mean_probability"}
    description = stored.description._replace(architecture=architecture)
    model = EsrModel(stored._replace(description=description))
    pictures = np.stack(list(images.images))
    exponentials = np.exp(model.judge(pictures).logits)
    expected = (exponentials / exponentials.sum(axis=2, keepdims=True)).mean(axis=1)
    np.testing.assert_allclose(model.predict(pictures)[1], expected, rtol=1e-4)


def test_the_features_are_those_of_the_python_interface(run, images):
    found = probed_features(open_selected_run(run.workdir), [images])
    model = tdgan_jax.load(run.workdir)
    theirs = model.expression_features(np.stack(list(images.images))).reshape(6, -1)
    np.testing.assert_allclose(found["expression"], theirs, rtol=1e-4, atol=1e-4)
    assert found["random"].shape == theirs.shape and not np.allclose(found["random"], theirs)


def test_an_ensemble_that_is_not_whole_is_not_exported(run):
    parameters = open_run(run.workdir).parameters
    voters = {"is_voter": np.array([1, 1, 0], np.float32)}
    with pytest.raises(UserError, match="2 of 3 branches have learned"):
        to_torch(parameters | {"voters": voters})


def started(run, directory, *overrides: str):
    """The state of a new run after it has taken start weights."""
    config = tiny_config(CONFIG, directory, *overrides)
    training = esr_training(config, run.data.names)
    assert training.with_given_weights is not None
    same_sizes = config.model == run.config.model
    initialise = run.program.init_state if same_sizes else jax.jit(training.init_state)
    own = jax.device_get(initialise(jax.random.key(7)))
    return training.with_given_weights(own, open_run), own


def test_a_new_run_begins_with_a_run_or_files(run, drawn_datasets, tmp_path):
    theirs = without_voters(open_run(run.workdir).parameters)
    state, _ = started(run, drawn_datasets, f"training.start_weights={run.workdir}")
    assert_same(state.weights, theirs)
    export_model(run.workdir, "torch", tmp_path / "torch")
    state, _ = started(run, drawn_datasets, f"training.start_weights={tmp_path / 'torch'}")
    assert_same(state.weights, theirs)


def test_classes_of_published_weights_find_their_places(run, drawn_datasets, tmp_path):
    state_dicts = torch_from_esr(without_voters(open_run(run.workdir).parameters))
    write_torch_files(tmp_path, state_dicts, FILE_STEMS, suffix=".pt")
    given = f"training.start_weights={tmp_path}"
    # Seven classes where published weights have eight.
    with pytest.raises(UsageError, match="classes of .* are neutral, happiness, .*contempt"):
        started(run, drawn_datasets, given)
    state, own = started(run, drawn_datasets, given, "training.take_fitting_parts=true")
    assert_same(state.weights["base"], without_voters(open_run(run.workdir).parameters)["base"])
    assert_same(state.weights["branch_2"]["fc"], own.weights["branch_2"]["fc"])

    names = Names((), tuple(sorted(RELEASED_NAMES)))
    for state_dict in list(state_dicts.values())[1:]:
        state_dict["fc.weight"] = np.arange(8 * 8, dtype=np.float32).reshape(8, 8)
        state_dict["fc.bias"] = np.arange(8, dtype=np.float32)
    write_torch_files(tmp_path, state_dicts, FILE_STEMS, suffix=".pt")
    training = esr_training(tiny_config(CONFIG, drawn_datasets, given), names)
    own = jax.device_get(jax.jit(training.init_state)(jax.random.key(7)))
    state = training.with_given_weights(own, open_run)
    found = state.weights["branch_1"]["fc"]["bias"]
    assert [RELEASED_NAMES[int(place)] for place in found] == list(names.expressions)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.num_branches=2", "training.epochs=2"], "weights are those of 3 branches"),
        (["model.base_widths=[4, 6]", "model.branch_widths=[4, 8]"], "shape"),
        (["model.has_attention=false", "loss.diversity=none"], "have attention.*lacks"),
    ],
)
def test_weights_of_another_ensemble_are_refused(run, drawn_datasets, overrides, message):
    given = f"training.start_weights={run.workdir}"
    with pytest.raises(UserError, match=message):
        started(run, drawn_datasets, given, *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.epochs=4"], "training.epochs is 4; the stages of 3 branches .* have 3"),
        (["model.has_attention=false"], "compares attentions, and model.has_attention is false"),
        (["model.prediction=votes"], "model.prediction is 'votes'.*'vote'"),
        (["training.learns=affect"], "learns is 'affect', and model.has_affect is false"),
        (["loss.channel_source=rows"], "loss.channel_source is 'rows'"),
        (["model.base_widths=[5000, 4]"], "base_widths is .*4096 channels are the most"),
        (["model.num_branches=17", "training.epochs=17"], "at most 16 branches"),
    ],
)
def test_what_no_run_can_have(drawn_datasets, overrides, message):
    config = tiny_config(CONFIG, drawn_datasets, *overrides)
    with pytest.raises(UsageError, match=message):
        esr_training(config, Names((), tuple("abcdefg")))


def test_nine_stages_have_the_papers_epochs():
    affectnet, ferplus = (
        [stage.epochs for stage in esr_stages(load_config(f"configs/esr_{name}.py"))]
        for name in ("affectnet", "ferplus")
    )
    assert affectnet == [50] + 8 * [20] and ferplus == [100] + 8 * [60]
