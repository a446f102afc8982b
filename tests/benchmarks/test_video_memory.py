import json

import pytest

from benchmarks.photographs import main as time_photographs
from benchmarks.video_memory import main


def test_a_short_video_is_watched(capsys):
    pytest.importorskip("av")
    assert main(["--minutes", "0.03", "--rate", "5"]) == 0
    (figures,) = [x for key, x in json.loads(capsys.readouterr().out).items() if "minutes" in key]
    assert figures["frames"] == figures["rows"] == 9
    assert figures["peak_mib"] > 50


def test_photographs_against_what_is_no_checkout(tmp_path, capsys):
    assert time_photographs(["--against", str(tmp_path)]) == 1
    assert "is no checkout of this project" in capsys.readouterr().err
