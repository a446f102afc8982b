import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.random_inputs import names_of, random_batch
from benchmarks.train_step import main, make_twins, one_pattern, pattern_frequencies, pattern_name
from benchmarks.twins import make_twin_step
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UserError
from tdgan_jax.families.program import make_training

ROOT = Path(__file__).parents[2]
TINY = "configs/tdgan_synthetic.py:tiny"


def run_benchmark(*arguments):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",  # before one for each core
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.train_step", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_prints_one_json_object():
    done = run_benchmark("--config", TINY, "--batch-size=2", "--repeats=1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["config"] == "tdgan_synthetic_tiny"
    assert (result["batch_size"], result["num_devices"], result["device"]) == (2, 1, "cpu")
    assert result["threads"] >= 1
    patterns = result["per_pattern"]
    # The tiny configuration's gaps are both 2.
    assert {name: pattern["frequency"] for name, pattern in patterns.items()} == {
        "generator+face_discriminator+expression_discriminator": 0.5,
        "generator": 0.5,
    }
    seconds = sum(pattern["seconds"] / 2 for pattern in patterns.values())
    assert result["seconds_per_step"] == pytest.approx(seconds)
    assert result["images_per_second"] == pytest.approx(2 / seconds)
    compile_seconds = sum(pattern["compile_seconds"] for pattern in patterns.values())
    assert result["compile_seconds"] == pytest.approx(compile_seconds)
    flops = sum(pattern["flops"] / 2 for pattern in patterns.values())
    assert result["flops_per_second"] == pytest.approx(flops / seconds)
    memory = [pattern["memory_bytes"] for pattern in patterns.values()]
    assert result["peak_memory_bytes"] == max(memory)
    assert min(memory) > 0
    assert {"device", "versions", "git_commit"} <= result.keys()
    assert result["versions"]["jax"]
    assert "torch" not in result and "ratio" not in result


def test_stages_count_by_their_epochs():
    config = load_config(str(ROOT / "configs/esr_synthetic.py:tiny"), ["training.epochs=5"])
    fields = {"first_stage_epochs": 3, "later_stage_epochs": 1}
    config.training.update(fields)
    training = make_training(config, names_of(config))
    frequencies = pattern_frequencies(config, training)
    assert frequencies == {0: 0.6, 1: 0.2, 2: 0.2}
    assert one_pattern(frequencies, training) == {2: 1.0}


def test_a_stage_of_the_classifier_is_a_pattern_of_its_own():
    overrides = ["training.epochs=4", "training.classifier_epochs=1"]
    config = load_config(str(ROOT / "configs/tdgan_synthetic.py:tiny"), overrides)
    training = make_training(config, names_of(config))
    frequencies = pattern_frequencies(config, training)
    named = {pattern_name(updates, training): part for updates, part in frequencies.items()}
    both = "generator+face_discriminator+expression_discriminator"
    assert named == {"classifier_alone": 0.25, both: 0.375, "generator": 0.375}
    assert len(one_pattern(frequencies, training)) == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--threads=0", "--threads is 0"),
        ("--repeats=0", "must be at least 1"),
        ("--config.training.epoch=1", "did you mean 'training.epochs'?"),
    ],
)
def test_bad_use_is_one_line(argument, message, capsys):
    assert main(["--config", str(ROOT / TINY), argument]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert message in line


def test_a_variant_that_cannot_run_is_a_row(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    config = load_config(str(ROOT / TINY))
    twins, refused = make_twins(config, random_batch(config, 1), 1, ["eager"])
    assert twins == {} and "needs PyTorch" in refused["eager"]


def test_missing_torch_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    config = load_config(str(ROOT / "configs/tdgan_raf.py"))
    config.model.image_size_px = 16
    with pytest.raises(UserError, match=r"pip install 'tdgan-jax\[torch\]'$"):
        make_twin_step(config, random_batch(config, 1), threads=1)
