"""A system more is a folder and a case in `known.py`: it trains, is used, exported and reported."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
CASE = """\
        case "toy":
            from tdgan_jax.families.toy.family import TOY as family
        case _:
"""
CONFIG = """\
from tdgan_jax.families.loop_fields import log_of_tiny
from tdgan_jax.families.fields import new_config

def get_config(variant=""):
    config = new_config("toy")
    config.name = "toy"
    config.data.expressions.dataset = "synthetic_faces"
    config.data.expressions.builder_config = "64"
    config.data.expressions.train_split = "train[:140]"
    config.data.expressions.test_split = "test[:45]"
    config.data.validation_fraction = 0.2
    config.training.epochs = 2
    config.training.batch_size = 8
    log_of_tiny(config)
    config.log.every_steps = 1
    return config
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A copy of the package with the folder and the case."""
    house = tmp_path_factory.mktemp("house")
    for name in ("tdgan_jax", "data_builders"):
        shutil.copytree(ROOT / name, house / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "launch.py", house)
    shutil.copytree(ROOT / "tests" / "toy_family", house / "tdgan_jax" / "families" / "toy")
    known = house / "tdgan_jax" / "families" / "known.py"
    text = known.read_text().replace("NAMES = (", 'NAMES = ("toy", ')
    known.write_text(text.replace("        case _:\n", CASE))
    (house / "toy.py").write_text(CONFIG)
    picture = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(picture).save(house / "face.png")
    return house


@pytest.fixture(scope="module")
def start(house, drawn_datasets) -> Callable[..., subprocess.Popen]:
    """Starts a command in the copy."""
    environment = os.environ | {
        "PYTHONPATH": str(house),
        "TFDS_DATA_DIR": str(drawn_datasets),
        "XDG_CACHE_HOME": str(house / "cache"),
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "tdgan_jax"]
    return lambda *given: subprocess.Popen([*command, *given], cwd=house, env=environment, **pipes)


@pytest.fixture(scope="module")
def command(start) -> Callable[..., str]:
    """Runs a command in the copy to its end."""

    def run(*arguments: str) -> str:
        process = start(*arguments)
        said, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        return said

    return run


@pytest.fixture(scope="module")
def run(house, command) -> Path:
    command("train", "--config", "toy.py", "--workdir", "run", "--quiet")
    return house / "run"


def test_the_commands_know_the_seventh_system(house, run, command):
    result = json.loads((house / "run" / "result.json").read_text())
    assert (
        json.loads(command("evaluate", "run", "--json"))["regression"]["accuracy"]
        == (result["regression"]["accuracy"])
    )
    rows = [
        command("predict", "face.png", "--detect", "none", "--model", model)
        for model in ("run", "exported")
        if model == "run" or command("export", "run", "--format", "safetensors", "--out", model)
    ]
    assert rows[0] == rows[1] and "face.png" in rows[0]
    command("import", "exported", "--model", "toy", "--out", "imported")
    command("report", "run")
    assert "Softmax regression" in (house / "run" / "report.html").read_text()


@pytest.mark.parametrize("steps_after_the_boundary", [0, 1])
def test_a_run_that_is_killed_where_a_stage_begins_ends_the_same(
    house, run, start, command, steps_after_the_boundary
):
    steps = json.loads((run / "result.json").read_text())["steps"]
    workdir = f"killed_{steps_after_the_boundary}"
    arguments = ("train", "--config", "toy.py", "--workdir", workdir, "--quiet")
    log = house / workdir / "metrics.jsonl"
    process = start(*arguments)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        logged = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        if logged and logged[-1]["step"] >= steps // 2 + steps_after_the_boundary:
            process.kill()
        time.sleep(0.005)
    process.communicate()
    assert process.returncode == -9 and not (house / workdir / "result.json").exists()
    command(*arguments)
    for folder in (workdir, "run"):
        out = f"{folder}_of_{workdir}"
        command("export", folder, "--format", "safetensors", "--out", out)
    straight, resumed = (
        (house / f"{folder}_of_{workdir}" / "weights.safetensors").read_bytes()
        for folder in ("run", workdir)
    )
    assert straight == resumed
    results = [json.loads((house / f / "result.json").read_text()) for f in ("run", workdir)]
    assert results[0]["by_selection"] == results[1]["by_selection"]
