import json

import numpy as np
import pytest

from benchmarks import recognition
from benchmarks.random_inputs import random_model
from tdgan_jax.configuration import load_config
from tdgan_jax.families.known import family_named
from tests.tiny_tdgan import IMAGE_SIZE_PX, make_run

SHORT = ["--repeats=1", "--batch-size=2", "--count=3"]


def test_prints_one_json_object(tmp_path, capsys):
    run = str(make_run(tmp_path / "run"))
    assert recognition.main(["--model", run, "--torch", "--files", *SHORT]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["pictures"], result["batch_size"]) == (3, 2)
    assert (result["model"], result["image_size_px"]) == (run, IMAGE_SIZE_PX)
    twin = result["torch"]["eager"]
    ratio = result["images_per_second"] / twin["images_per_second"]
    assert twin["ratio"] == pytest.approx(ratio)
    assert 0 <= twin["largest_difference"] < 1e-4
    assert result["reading_too"] > 0 and "peak_memory_bytes" not in result


@pytest.mark.parametrize(
    "config",
    [
        "ifgan_synthetic",
        "recogniser_ferplus",
        "esr_synthetic",
        "ma_net_synthetic",
        "emotion_gcn_synthetic",
    ],
)
def test_the_twin_says_the_same_of_every_system(config):
    pytest.importorskip("torch", reason="the torch twins need the extra [torch]")
    stored = random_model(load_config(f"configs/{config}.py:tiny"))
    size, channels = stored.description.preprocessing[:2]
    images = np.random.default_rng(0).random((3, size, size, channels), np.float32)
    theirs = recognition.make_twin(stored, 2, batch_size=2, variant="eager")(images)
    ours = family_named(stored.description.family).model(stored).predict(images)[1]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats=0"], "must be at least 1"),
        (["--memory", "10"], "--memory needs --model"),
    ],
)
def test_bad_use_is_one_line(arguments, message, capsys):
    assert recognition.main([*arguments, "--count=1"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
