import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks import all as all_benchmarks


@pytest.fixture
def faked(monkeypatch):
    """Every benchmark prints what it would; growth fails."""
    step = {"config": "tdgan_raf", "batch_size": 16, "precision": "float32"}
    twins = {"eager": {"images_per_second": 2.0, "ratio": 0.75}}
    printed = {
        "train_step": step | {"images_per_second": 1.5, "torch": twins},
        "train_step:compiled": step | {"images_per_second": 1.5, "torch": twins},
        "input_pipeline": {"images_per_second": {"tdgan": 300.0, "ifgan": 50.0}},
        "growth": None,
    }

    def run(command, **_):
        assert command[0] == sys.executable
        script = command[1].removeprefix("benchmarks/").removesuffix(".py")
        result = printed[f"{script}:compiled" if "compiled" in command else script]
        text = "" if result is None else json.dumps(result | {"versions": {"jax": "1.0"}})
        return SimpleNamespace(returncode=int(result is None), stdout=text)

    monkeypatch.setattr("subprocess.run", run)
    return ["--only", *printed]


def test_writes_one_document_and_one_table(faked, tmp_path, capsys):
    out = tmp_path / "measured.json"
    assert all_benchmarks.main(["--out", str(out), *faked]) == 1  # growth has failed
    document = json.loads(out.read_text())
    assert document["machine"]["cores"] >= 1 and document["machine"]["cpu"]
    assert document["versions"] == {"jax": "1.0"}
    assert document["results"]["train_step"]["command"].startswith("python benchmarks/train_step")
    text = (tmp_path / "measured.md").read_text()
    assert text == capsys.readouterr().out
    row = "| tdgan_raf, batch 16, float32 | 1.50 images/s | eager 2.00 | 0.75 |"
    assert text.splitlines().count(row) == 2
    assert "| input of tdgan | 200 times what the step consumes |  |  |" in text.splitlines()
    assert "| growth | ended with status 1; its message stands above |  |  |" in text.splitlines()
    assert all_benchmarks.main(["--out", str(out), *faked]) == 2
    assert "exists; give --overwrite" in capsys.readouterr().err


def test_the_table_shows_how_a_step_grows():
    point = {"batch_size": 4, "image_size_px": 64, "num_devices": 2}
    point |= {"images_per_second": 20.0, "memory_bytes": 3 * 2**20}
    (row,) = all_benchmarks.rows({"growth": {"config": "tiny", "points": [point]}})
    assert row[:2] == ("tiny, batch 4, 64 px, 2 device(s)", "20.0 images/s, 3 MiB a device")
