import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.train_step import main, make_twin_step, random_batch
from tdgan_jax.configuration import load_config
from tdgan_jax.errors import UserError

ROOT = Path(__file__).parents[2]
TINY = "configs/tdgan_synthetic.py:tiny"


def run_benchmark(*arguments):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",  # before one for each core
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    return subprocess.run(
        [sys.executable, "benchmarks/train_step.py", *arguments],
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


def test_configuration_that_the_twin_cannot_do_is_one_line():
    done = run_benchmark("--config", TINY, "--torch")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "num_inception_blocks is 1; the torch twin knows only 4" in line


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


def test_missing_torch_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    config = load_config(str(ROOT / "configs/tdgan_raf.py"))
    config.model.image_size_px = 16
    with pytest.raises(UserError, match=r"pip install -e '\.\[torch\]'$"):
        make_twin_step(config, random_batch(config, 1, 2, 2), 2, 2, threads=1)
