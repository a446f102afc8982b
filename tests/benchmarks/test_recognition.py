import json

import pytest

from benchmarks import recognition
from tests.tiny_tdgan import IMAGE_SIZE_PX, make_run


def test_prints_one_json_object(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recognition, "DRAWN_FACES", 3)
    run = str(make_run(tmp_path / "run"))
    assert recognition.main(["--model", run, "--torch", "--repeats=1", "--batch-size=2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["pictures"], result["batch_size"]) == (3, 2)
    assert (result["model"], result["image_size_px"]) == (run, IMAGE_SIZE_PX)
    assert result["ratio"] == pytest.approx(result["images_per_second"] / result["torch"])
    assert 0 <= result["largest_difference"] < 1e-4
    assert result["reading_too"] > 0 and "peak_memory_bytes" not in result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats=0"], "must be at least 1"),
        (["--memory", "10"], "--memory needs --model"),
    ],
)
def test_bad_use_is_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(recognition, "DRAWN_FACES", 1)
    assert recognition.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
