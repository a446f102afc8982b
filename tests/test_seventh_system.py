"""A system more is a folder and a case in `known.py`: it trains, is used, exported and reported."""

import json
import os
import shutil
import subprocess
import sys
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
from tdgan_jax.families.classifier.fields import log_of_tiny
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


def test_the_commands_know_the_seventh_system(house, drawn_datasets):
    environment = os.environ | {
        "PYTHONPATH": str(house),
        "TFDS_DATA_DIR": str(drawn_datasets),
        "XDG_CACHE_HOME": str(house / "cache"),
    }

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tdgan_jax", *arguments],
            cwd=house,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command("train", "--config", "toy.py", "--workdir", "run", "--quiet")
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
