import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import all as all_benchmarks
from benchmarks.entries import SYSTEMS, accelerator_entries, table_entries
from tdgan_jax.configuration import load_config

STEP = {
    "config": "tdgan_raf",
    "family": "tdgan",
    "image_size_px": 128,
    "batch_size": 16,
    "precision": "float32",
    "images_per_second": 1.5,
    "compile_seconds": 20.0,
    "peak_memory_bytes": 2**31,
}
GROWN = {"batch_size": 4, "image_size_px": 64, "num_devices": 2, "images_per_second": 20.0}
PRINTED = {
    "train_step:tdgan:paper:eager": STEP | {"torch": {"eager": {"ratio": 1.5}}},
    "train_step:tdgan:paper:channels_last": STEP | {"torch": {"channels_last": {"error": "why"}}},
    "train_step:tdgan:paper:compiled": STEP | {"torch": {"compiled": {"ratio": 1.1}}},
    "input_pipeline": {"images_per_second": {"tdgan": 300.0, "ifgan": 50.0}},
    "growth:tdgan": {"config": "tiny", "points": [GROWN | {"memory_bytes": 3 * 2**20}]},
    "generation": {
        "model": "tdgan_raf",
        "images_per_second": 20.0,
        "torch": {"eager": {"ratio": 1.2}},
    },
    "growth:esr": None,
}


@pytest.fixture
def faked(monkeypatch):
    """Every benchmark prints what it would; one fails, and its runs are counted."""
    commands = {f"{entry.script} {entry.arguments}": entry.name for entry in table_entries()}
    started = []

    class Process:
        def __init__(self, command, **_):
            assert command[0] == sys.executable
            script = command[2].removeprefix("benchmarks.")
            self.name = commands[f"{script} {' '.join(command[3:])}"]
            started.append(self.name)
            self.returncode = int(PRINTED[self.name] is None)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def communicate(self, timeout):
            assert timeout is None
            result = PRINTED[self.name]
            return "" if result is None else json.dumps(result | {"versions": {"jax": "1.0"}}), ""

        def poll(self):
            return self.returncode

    monkeypatch.setattr("subprocess.Popen", Process)
    return started


def test_writes_each_result_and_the_tables(faked, tmp_path, capsys):
    out = tmp_path / "measured.jsonl"
    command = ["--out", str(out), "--only", *PRINTED]
    assert all_benchmarks.main(command) == 1  # one has failed
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert {result["name"] for result in results} == PRINTED.keys() == set(faked)
    assert results[0]["machine"]["cores"] >= 1 and results[0]["machine"]["cpu"]
    assert results[0]["command"].startswith("python -m benchmarks.train_step --config")
    lines = (tmp_path / "measured.md").read_text().splitlines()
    assert lines == capsys.readouterr().out.splitlines()
    step = "tdgan: tdgan_raf, 128 px, batch 16, float32 | 1.5 | 1.50 | why | 1.10"
    target = "1; `torch.compile` 1.25 | no: `torch.compile` | 20 | 2,048 MiB"
    assert f"| {step} | {target} |" in lines
    assert "| input of tdgan | 300 images/s, 200 times what its fastest step takes |" in lines
    assert "| drawing, tdgan_raf | 20 images/s, 1.20 of eager PyTorch |" in lines
    assert "| tiny | 4 | 64 | 2 | 20 | 3 MiB |" in lines
    assert "| growth:esr | ended with status 1; its message stands above |" in lines
    # Again: what has no figure alone, also after a cut line.
    with out.open("a") as file:
        file.write('{"name": "growth')
    faked.clear()
    assert all_benchmarks.main(command) == 1
    assert faked == ["growth:esr"]
    assert len(all_benchmarks.read_results(out)) == len(PRINTED) + 1


def test_what_does_not_fit_is_named_as_skipped(faked, tmp_path):
    out = tmp_path / "measured.jsonl"
    assert all_benchmarks.main(["--accelerator", "--budget", "10", "--out", str(out)]) == 0
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [result["name"] for result in results] == [e.name for e in accelerator_entries()]
    assert {result["skipped"] for result in results} <= {"10 s were left", "9 s were left"}
    assert faked == []


def is_running(pid):
    """Whether a process is neither gone nor only waiting to be collected by its parent."""
    try:
        return "State:\tZ" not in Path("/proc", str(pid), "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_takes_too_long_is_ended_with_all_that_it_started(monkeypatch, tmp_path):
    started = tmp_path / "started"
    sleeper = (
        f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(99)"
    )
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeper!r}])"
    start = subprocess.Popen
    monkeypatch.setattr(
        "subprocess.Popen",
        lambda command, **options: start([sys.executable, "-c", program], **options),
    )
    (entry,) = (entry for entry in accelerator_entries() if entry.name == "input_pipeline")
    result = all_benchmarks.run_entry(entry, "", quick=True, limit_s=3)
    assert result["error"] == "ended after 3 s without a figure"
    if started.exists():  # a machine so slow that it has not been started yet is fine
        end = time.monotonic() + 30  # a signal takes a moment on a busy machine
        while is_running(int(started.read_text())):
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize("configs", SYSTEMS.values(), ids=SYSTEMS)
def test_the_configurations_are_those_of_the_system(configs):
    family = {name for name, system in SYSTEMS.items() if system is configs}
    for name in (configs.paper, configs.small, configs.tiny):
        file, colon, variant = name.partition(":")
        assert {load_config(f"configs/{file}.py{colon}{variant}").family} == family


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "no such benchmark"),
        (["--out", "table.json"], "must end in .jsonl"),
        (["--jobs", "0"], "--jobs must be"),
    ],
)
def test_bad_use_is_one_line(arguments, message, capsys):
    assert all_benchmarks.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
