"""What compiles little: the others are run by their own tests, or by hand."""

import json
from argparse import Namespace

import pytest

from benchmarks import faults, growth, input_pipeline, many_examples, processes
from benchmarks.measuring import fastest_seconds
from tdgan_jax.configuration import load_config


def test_the_feeds_make_images(capsys):
    assert input_pipeline.main(["--images=16", "--batch-size=8", "--repeats=1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["images_per_second"].keys() == {"tdgan", "ifgan"}
    assert min(result["images_per_second"].values()) > 0


def test_a_batch_larger_than_an_epoch_is_one_line(capsys):
    assert input_pipeline.main(["--images=4", "--batch-size=8"]) == 2
    assert "at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "more"), [(faults.main, []), (processes.main, ["--config", "tdgan_synthetic:tiny"])]
)
def test_finished_runs_are_not_timed_again(main, more, tmp_path, capsys):
    (tmp_path / "reference").mkdir()
    assert main(["--runs", str(tmp_path), *more]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"--runs {tmp_path} holds something already; give a new folder\n")


def test_the_second_call_of_a_turn_is_timed(monkeypatch):
    clock, turns = iter((0.0, 5.0, 10.0, 12.0, 20.0, 23.0, 30.0, 34.0)), []
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    calls = {name: lambda name=name: turns.append(name) for name in "ab"}
    assert fastest_seconds(calls, 2) == {"a": 3.0, "b": 2.0}
    assert turns == list("aabb" * 2)


def test_one_thing_grows_at_a_time():
    config = load_config("configs/tdgan_fer2013.py:cpu")
    lists = Namespace(batch_sizes=[16, 4], image_sizes=None, devices=[1, 2])
    expected = [(16, 64, 1), (4, 64, 1), (16, 128, 1), (16, 64, 2)]
    assert growth.points(config, lists) == expected


def test_opening_many_examples_is_timed(capsys):
    assert many_examples.main(["--examples", "400"]) == 0
    (point,) = json.loads(capsys.readouterr().out)["points"]
    assert point["examples"] == 400 and min(point["open_seconds"], point["batch_seconds"]) > 0
    assert many_examples.main(["--examples", "4"]) == 2


@pytest.mark.parametrize(
    ("variant", "dtype"), [("channels_last", "float32"), ("bfloat16", "bfloat16")]
)
def test_torchs_variants_do_what_they_say(variant, dtype):
    torch = pytest.importorskip("torch", reason="the torch twins need the extra [torch]")
    from benchmarks.torch_variants import use_variant

    network = torch.nn.Conv2d(4, 8, 3)
    seen = []

    def step(images):
        seen.append(images.is_contiguous(memory_format=torch.channels_last))
        return network(images)

    output = use_variant(variant, [network], step)(torch.ones(2, 4, 8, 8))
    assert seen == [True] and str(output.dtype) == f"torch.{dtype}"
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
