import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = "configs/tdgan_synthetic.py:tiny"


def run_benchmark(*arguments):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
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
    done = run_benchmark("--config", TINY, "--batch-size=2", "--threads=1", "--repeats=1")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["config"] == "tdgan_synthetic_tiny"
    assert (result["batch_size"], result["threads"], result["num_devices"]) == (2, 1, 1)
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--torch"], "num_inception_blocks is 1; the torch twin knows only 4"),
        (["--threads=0"], "--threads is 0"),
        (["--config.training.epoch=1"], "did you mean 'training.epochs'?"),
    ],
)
def test_bad_use_is_one_line(arguments, message):
    done = run_benchmark("--config", TINY, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
