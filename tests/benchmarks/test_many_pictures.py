import json

import pytest

from benchmarks.many_pictures import main


@pytest.mark.parametrize("more", [[], ["--list"]])
def test_a_few_pictures_are_watched(more, capsys):
    assert main(["--pictures", "40", "--distinct", "3", *more]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["pictures"] == figures["rows"] == 40 and figures["distinct"] == 3
    assert figures["pictures_per_second"] > 0 and figures["peak_mib"] > 50
