import os
from pathlib import Path

import pytest

from tdgan_jax.cli.main import main


@pytest.mark.parametrize("name", ["result.json", "samples/1.png"])
def test_a_report_never_takes_the_place_of_a_file_of_a_run(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for run in ("a", "b"):
        target = Path(run, name)
        target.parent.mkdir(parents=True)
        target.write_text("{}")
        assert main(["report", "a", run, "--out", str(target), "--overwrite"]) == 1
        assert f"{target} is read as well as written" in capfd.readouterr().err
        assert target.read_text() == "{}"


def test_a_link_to_nothing_is_no_place_for_a_report(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    os.symlink("nowhere", "report.html")
    assert main(["report", "a", "--out", "report.html", "--overwrite"]) == 1
    assert "report.html is a link to nowhere" in capfd.readouterr().err
