"""Runs and exports of version 0.1.0 open and answer as they did then.

`stored/` holds a tiny run of each system with the parameters that its selection chose, the exports
that the version made of them, and what it answered to random images.
"""

import json
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tdgan_jax
from tdgan_jax.errors import UserError
from tdgan_jax.evaluation.runs import evaluate_run
from tdgan_jax.files import read_json
from tdgan_jax.reports.report import write_report

pytestmark = pytest.mark.usefixtures("four_devices")
STORED = Path(__file__).parent / "stored"
PREDICTIONS = json.loads((STORED / "predictions_0.1.0.json").read_text())


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    for archive in STORED.glob("*.zip"):
        with zipfile.ZipFile(archive) as files:
            files.extractall(folder / archive.name.partition("_")[0])
    return folder


@pytest.mark.parametrize("kind", ["run", "export"])
@pytest.mark.parametrize("family", ["tdgan", "ifgan"])
def test_a_model_answers_as_it_did(unpacked, family, kind):
    model = tdgan_jax.load(unpacked / family / kind)
    size = model.image_size_px
    shape = (4, size, size, model.image_channels)
    images = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    _, probabilities = model.predict(images)
    then = PREDICTIONS[f"{family}_{'run' if kind == 'run' else 'safetensors'}"]
    np.testing.assert_allclose(probabilities, then, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["tdgan", "ifgan", "classifier"])
def test_a_run_evaluates_to_the_same_figures(unpacked, drawn_datasets, family):
    run = unpacked / family / "run"
    result = read_json(run / "result.json")
    figures = evaluate_run(run, data_dir=str(drawn_datasets))
    for recogniser, found in figures.items():
        for name in ("accuracy", "mean_class_accuracy", "confusion_matrix", "labels"):
            assert found[name] == result[recogniser][name], (recogniser, name)
        np.testing.assert_allclose(
            found["cross_entropy"], result[recogniser]["cross_entropy"], rtol=1e-4
        )
    assert write_report([run]).stat().st_size > 10_000


def test_a_classifier_of_then_can_be_used_now(unpacked):
    model = tdgan_jax.load(unpacked / "classifier" / "run")
    labels, probabilities = model.predict(np.zeros((2, 40, 40, 1), np.uint8))
    assert labels[0] in model.expression_names
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_a_damaged_checkpoint_is_one_error_and_prints_nothing(unpacked, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(unpacked / "classifier" / "run", run)
    for part in run.glob("checkpoints/*/*/tree/d/*"):
        part.write_bytes(b"x")
    with pytest.raises(UserError, match="the checkpoint in .* cannot be read: best_validation"):
        tdgan_jax.load(run)
    time.sleep(0.5)  # what reads its other arrays ends later
    assert capfd.readouterr() == ("", "")
